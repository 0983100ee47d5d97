#!/usr/bin/env bash
# Builds the gateway's and the crawler's image with buildah on a base that debootstrap makes, and runs their commands: no image registry
# is asked, and packages come from where apt and pip of this machine take them. As root on Debian with buildah and debootstrap; some
# minutes and 5 GB, of which only the base stays. deploy/images/test.sh [NAME...]
#   KEEP=1    leave the images that were built
set -euo pipefail
cd "$(dirname "$0")/../.."
stop() { printf 'images-test: %s\n  -> %s\n' "$1" "$2" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || stop "debootstrap needs root" "sudo make images-test"
for program in buildah debootstrap; do
    command -v "$program" >/dev/null || stop "$program is missing" "apt-get install buildah debootstrap"
done
[ $# -gt 0 ] || set -- gateway crawler
for name; do
    case $name in gateway | crawler) ;; *) stop "there is no test of $name" "choose of: gateway crawler" ;; esac
done

work=$(mktemp -d) container='' built=()
clean_up() {
    [ -z "$container" ] || buildah rm "$container" >/dev/null
    [ ${#built[@]} -eq 0 ] || [ -n "${KEEP:-}" ] || buildah rmi "${built[@]}" >/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
# Under TMPDIR lies what buildah caches for `RUN --mount=type=cache`: pip's downloads, for both images.
export TMPDIR=$work BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker

release=bookworm base=localhost/yuqing-base:bookworm keys=/usr/share/keyrings/debian-archive-keyring.gpg
sources=$(apt-get indextargets --format "deb [signed-by=$keys] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
    grep -E " $release(-updates|-security)? main\$" | sort -u) || stop "apt of this machine has no source of Debian $release" "add one"
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    mirror=$(sed -n "s|.*\] \(.*\) $release main\$|\1|p" <<<"$sources" | head -1)
    debootstrap --variant=minbase "$release" "$work/root" "$mirror" >"$work/debootstrap.log" || { cat "$work/debootstrap.log"; exit 1; }
    : >"$work/root/etc/apt/sources.list"
    rm -rf "$work/root/var/cache/apt/archives" "$work/root"/var/lib/apt/lists/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/root" / >/dev/null
    buildah commit --quiet --rm "$container" "$base" >/dev/null
    container=''
    rm -rf "$work/root"
fi

# What this machine needs to reach packages is mounted into the builds and does not become part of the images: sources, proxies and
# accounts of apt, the settings of pip with the folders and the certificates that they name (proxy variables buildah hands on itself).
# shellcheck disable=SC2086 # FLAGS are words
set_up() { FLAGS="${FLAGS:-} --volume $1:$2:ro"; }
mkdir "$work/apt"
cp -a /etc/apt/. "$work/apt/"
rm -rf "$work/apt/sources.list.d" && mkdir "$work/apt/sources.list.d"
printf '%s\n' "$sources" >"$work/apt/sources.list"
certificates=$(python3 -m pip config list | sed -n "s/^[^=]*\.cert='\(.*\)'\$/\1/p" | head -1)
if [ -n "$certificates" ]; then
    set_up "$certificates" /run/certificates.crt # installing ca-certificates replaces the file of that name
    printf 'Acquire::https::CAInfo "/run/certificates.crt";\n' >"$work/apt/apt.conf.d/certificates"
fi
set_up "$work/apt" /etc/apt
# Variables (":env:") come first, and win.
python3 -m pip config list | awk '
    BEGIN { print "[global]" }
    { name = $0; sub(/=.*/, "", name); sub(/.*\./, "", name); value = $0; sub(/^[^=]*=/, "", value); gsub(/^.|.$/, "", value); gsub(/\\n/, " ", value) }
    name == "cert" { value = "/run/certificates.crt" }
    name != "config-file" && !seen[name]++ { print name " = " value }' >"$work/pip.conf"
# The pages of an index (.../simple) link to files beside it. Longer names first: one may begin with another.
number=0
for folder in $(grep -E '^(find-links|index-url|extra-index-url) ' "$work/pip.conf" | grep -oE '(^|[ :/])/[^ /][^ ]*' |
    sed 's|^[ :/]*|/|; s|/simple/*$||' | sort -ru); do
    [ -e "$folder" ] || continue
    number=$((number + 1))
    set_up "$folder" "/run/packages/$number"
    sed -i "s|$folder|/run/packages/$number|g" "$work/pip.conf"
done
set_up "$work/pip.conf" /etc/pip.conf

run() { # command...: in a container of the image, with its own user and environment
    buildah run "$container" -- "$@" || stop "$* failed in $image" "see above"
}
check() { printf '\n== %s\n' "$1"; }

for name; do
    image=yuqing/$name:test
    BUILDER=buildah BASE=$base VERSION=test FLAGS="$FLAGS --network host" deploy/images/build.sh "$name"
    built+=("$image")
    container=$(buildah from "$image")
    check "$name: user, read-only code, no build tools, nothing of this machine"
    run bash -c '[ "$(id -u):$(id -g)" = 10001:10001 ] && [ ! -w /opt/yuqing ] && [ ! -w /usr ] && [ -w /var/lib/yuqing ]'
    run bash -c '! command -v gcc && ! command -v pip && ! command -v git'
    root=$(buildah mount "$container") # the builder leaves the empty places where something was mounted
    left=$(find "$root/run" "$root/root" "$root/etc/pip.conf" "$root"/etc/apt/sources.list* -type f -size +0 ! -name .containerenv \
        ! -name .bashrc ! -name .profile 2>/dev/null || true)
    [ -z "$left" ] || stop "the image holds $left" "the builder was to mount it, not to copy it"
    touch "$work/before"
    check "$name: yuqing --help"
    run yuqing --help
    case $name in
        gateway)
            run bash -c 'yuqing serve --help >/dev/null && yuqing k8s --help >/dev/null && yuqing backup --help >/dev/null'
            run bash -c '! yuqing crawl --help 2>/dev/null'
            check "gateway: it answers without a database, and stops on SIGTERM"
            run bash -c 'export YUQING_DATABASE__URL=postgresql://a:b@127.0.0.1:1/c YUQING_S3__ENDPOINT=http://127.0.0.1:1 \
                YUQING_S3__ACCESS_KEY=a YUQING_S3__SECRET_KEY=b YUQING_LLM__URL=http://127.0.0.1:1/v1 YUQING_GATEWAY__SESSION_SECRET=0123456789abcdef0123456789abcdef
                yuqing serve --host 127.0.0.1 --port 18080 & pid=$!
                for _ in $(seq 60); do
                    python -c "import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:18080/livez\").read())" 2>/dev/null && answered=yes && break
                    sleep 1
                done
                kill -TERM $pid && wait $pid; code=$?; [ "${answered:-}" = yes ] && { [ $code = 0 ] || [ $code = 143 ]; }' ;;
        crawler)
            run bash -c 'chromium --version && chromedriver --version && tini --version && yuqing sites list | head -5'
            run tini -- yuqing crawl --help
            check "crawler: Chromium renders a page, and tini reaps what it leaves"
            run tini -s -- bash -c 'chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --dump-dom \
                "data:text/html,<script>document.title=6*7</script>" 2>/dev/null | grep "<title>42" || exit 1
                bash -c "sleep 0.3 & exec sleep 0.1"; sleep 1
                children=$(grep -l "^PPid:[[:space:]]$PPID$" /proc/[0-9]*/status 2>/dev/null) && [ -n "$children" ] || exit 2
                ! grep "^State:[[:space:]]Z" $children' ;;
    esac
    check "$name: nothing was written but under /tmp, /var/lib/yuqing and /var/cache/yuqing"
    written=$(find "$root" -xdev -type f -newer "$work/before" ! -path "$root/tmp/*" ! -path "$root/var/lib/yuqing/*" \
        ! -path "$root/var/cache/yuqing/*" ! -path "$root/run/.containerenv" ! -path "$root/etc/*")
    [ -z "$written" ] || stop "commands of $name wrote $written" "the root file system is read-only in the cluster"
    buildah rm "$container" >/dev/null
    container=''
done
printf '\nimages-test: all commands ran\n'
