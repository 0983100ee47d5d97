#!/usr/bin/env bash
# Builds the images with docker, podman or buildah: deploy/images/build.sh [--pin] [NAME...]
#   NAME      gateway crawler spark asr asr-cpu llm llm-cpu; default: all but those for the CPU
#   --pin     ask the registry for the base image's digest first, and write it into pins.env
#   BUILDER   docker, podman or buildah; default: the first that is installed
#   REGISTRY  prefix of the images' names, such as registry.example.cn/; default: none
#   VERSION   their tag; default: what git describes
#   BASE      base image (must have a digest unless it is a local one: localhost/...); default: that of pins.env
#   PUSH      1: push each image
#   FLAGS     further options of the builder, such as "--volume /etc/pip.conf:/etc/pip.conf:ro" for podman and buildah
#   YUQING_TORCH_INDEX   for llm-cpu: an index with the CPU build of torch
set -euo pipefail
cd "$(dirname "$0")/../.."
stop() { printf 'images: %s\n  -> %s\n' "$1" "$2" >&2; exit 2; }

base=${BASE:-}
. deploy/images/pins.env
builder=${BUILDER:-}
for program in docker podman buildah; do
    [ -n "$builder" ] || ! command -v "$program" >/dev/null || builder=$program
done
[ -n "$builder" ] || stop "there is neither docker nor podman nor buildah" "install one of them"

digest_of() { # image -> name@sha256:...
    "$builder" pull --quiet "$1" >/dev/null
    case $builder in
        buildah) printf '%s@%s\n' "${1%%:*}" "$(buildah inspect --type image --format '{{.FromImageDigest}}' "$1")" ;;
        *) "$builder" image inspect --format '{{index .RepoDigests 0}}' "$1" ;;
    esac
}

if [ "${1:-}" = --pin ]; then
    shift
    BASE=$(digest_of "$DEBIAN")
    sed -i "s|^BASE=.*|BASE=$BASE|" deploy/images/pins.env
fi
base=${base:-$BASE}
case $base in
    *@sha256:* | localhost/*) ;;
    "") stop "no base image is pinned" "run: make images PIN=1, and commit deploy/images/pins.env" ;;
    *) stop "$base is not pinned by its digest" "write $base@sha256:..., or let make images PIN=1 do it" ;;
esac

version=${VERSION:-$(git describe --tags --always --dirty)}
revision=$(git rev-parse HEAD)
build() { # name, Dockerfile, options...
    local image="${REGISTRY:-}yuqing/$1:$version" file=deploy/images/$2.Dockerfile
    shift 2
    local command=("$builder" build)
    # The format of docker's own images keeps HEALTHCHECK and SHELL, which OCI's does not know.
    [ "$builder" = docker ] || command+=(--format docker)
    # shellcheck disable=SC2086 # FLAGS are words
    "${command[@]}" ${FLAGS:-} --build-arg "BASE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
        "$@" --tag "$image" --file "$file" .
    if [ -n "${PUSH:-}" ]; then "$builder" push "$image"; fi
    printf 'built %s\n' "$image"
}

[ $# -gt 0 ] || set -- gateway crawler spark asr llm
for name; do
    case $name in
        gateway | crawler | spark) build "$name" "$name" ;;
        asr | llm) build "$name" "$name" --build-arg DEVICE=cuda ;;
        asr-cpu) build "$name" asr --build-arg DEVICE=cpu ;;
        llm-cpu)
            [ -n "${YUQING_TORCH_INDEX:-}" ] || stop "llm-cpu needs the CPU build of torch" \
                "name an index that has it: YUQING_TORCH_INDEX=<URL of PyTorch's index of CPU wheels>"
            build "$name" llm --build-arg DEVICE=cpu --build-arg "TORCH_INDEX=$YUQING_TORCH_INDEX" ;;
        *) stop "there is no image $name" "choose of: gateway crawler spark asr asr-cpu llm llm-cpu" ;;
    esac
done
