#!/usr/bin/env bash
# Builds the gateway's and the crawler's image with buildah on a base that debootstrap makes, and runs their commands: no registry is
# asked. As root on Debian with buildah and debootstrap; some minutes and 5 GB. deploy/images/test.sh [NAME...]
set -euo pipefail
cd "$(dirname "$0")/../.."
stop() { printf 'images-test: %s\n  -> %s\n' "$1" "$2" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || stop "debootstrap needs root" "sudo make images-test"
for program in buildah debootstrap; do
    command -v "$program" >/dev/null || stop "$program is missing" "apt-get install buildah debootstrap"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_FORMAT=docker
base=localhost/yuqing-base:bookworm
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    debootstrap --variant=minbase bookworm "$work/root" "${DEBIAN_MIRROR:-}"
    # What a mirror or a proxy of this machine needs, builds need as well.
    cp -a /etc/apt/. "$work/root/etc/apt/"
    mkdir -p "$work/root/usr/local/share/ca-certificates" "$work/root/etc/ssl"
    cp -aL /etc/ssl/certs "$work/root/etc/ssl/"
    rm -rf "$work/root/var/cache/apt/archives" "$work/root"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" / >/dev/null
    buildah commit --quiet --rm "$container" "$base" >/dev/null
    rm -rf "$work/root"
fi
# pip's settings of this machine, with its certificates at a place that installing ca-certificates does not write anew.
certificates=/etc/ssl/certs/ca-certificates.crt
FLAGS="${FLAGS:-} --volume $certificates:/run/certificates.crt:ro"
if [ -e /etc/pip.conf ]; then
    sed "s|$certificates|/run/certificates.crt|" /etc/pip.conf >"$work/pip.conf"
    FLAGS="$FLAGS --volume $work/pip.conf:/etc/pip.conf:ro"
    for folder in $(sed -n 's|.*file://\(/[^ ]*\).*|\1|p; s|^find-links *= *\(/.*\)|\1|p' /etc/pip.conf); do
        FLAGS="$FLAGS --volume $folder:$folder:ro"
    done
fi

run() { # image, command...: in a container of the image, with its own user and environment
    local container image=$1
    shift
    container=$(buildah from "$image")
    buildah run "$container" -- "$@" || { buildah rm "$container" >/dev/null; stop "$* failed in $image" "see above"; }
    buildah rm "$container" >/dev/null
}
check() { printf '\n== %s\n' "$1"; }

[ $# -gt 0 ] || set -- gateway crawler
for name; do
    BUILDER=buildah BASE=$base VERSION=test FLAGS="${FLAGS:-} --network host" deploy/images/build.sh "$name"
    image=yuqing/$name:test
    check "$name: user, read-only code, no build tools"
    run "$image" bash -c '[ "$(id -u):$(id -g)" = 10001:10001 ] && [ ! -w /opt/yuqing ] && [ ! -w /usr ] && [ -w /var/lib/yuqing ]'
    run "$image" bash -c '! command -v gcc && ! command -v pip && ! command -v git'
    check "$name: yuqing --help"
    run "$image" yuqing --help
    case $name in
        gateway)
            run "$image" bash -c 'yuqing serve --help >/dev/null && yuqing k8s --help >/dev/null && yuqing backup --help >/dev/null'
            run "$image" bash -c '! yuqing crawl --help 2>/dev/null'
            check "gateway: it answers without a database, and stops on SIGTERM"
            run "$image" bash -c 'export YUQING_DATABASE__URL=postgresql://a:b@127.0.0.1:1/c YUQING_S3__ENDPOINT=http://127.0.0.1:1 \
                YUQING_S3__ACCESS_KEY=a YUQING_S3__SECRET_KEY=b YUQING_LLM__URL=http://127.0.0.1:1/v1 YUQING_GATEWAY__SESSION_SECRET=0123456789abcdef0123456789abcdef
                yuqing serve --host 127.0.0.1 --port 18080 & pid=$!
                for _ in $(seq 60); do
                    python -c "import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:18080/livez\").read())" 2>/dev/null && break
                    sleep 1
                done
                kill -TERM $pid && wait $pid; code=$?; [ $code = 0 ] || [ $code = 143 ]' ;;
        crawler)
            run "$image" bash -c 'chromium --version && chromedriver --version && tini --version && yuqing sites list | head -5'
            run "$image" tini -- yuqing crawl --help
            check "crawler: Chromium renders a page, and tini reaps what it leaves"
            run "$image" tini -- bash -c 'chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --dump-dom \
                "data:text/html,<script>document.title=6*7</script>" 2>/dev/null | grep "<title>42"
                bash -c "sleep 0.3 & exec sleep 0.1"; sleep 1; ! ps -e -o stat= 2>/dev/null | grep Z' ;;
    esac
done
printf '\nimages-test: all commands ran\n'
