#!/usr/bin/env bash
# Build the pipeline's container images with docker if it is running, else podman:
#   runtime, export, deepcell   for a run without GPU (the default)
#   runtime-gpu                 runtime with CUDA
#   evaluate                    for --evaluate
# --push REGISTRY, such as registry.example/lab, also pushes each: to REGISTRY/cellquilt/runtime:VERSION.
# Arguments after -- go to the build command, such as --build-arg BASE_IMAGE=...
set -euo pipefail
. "$(dirname "$0")/common.sh"

VERSION=0.1.0
USAGE="Usage: tools/build-images.sh [--push REGISTRY] [runtime|runtime-gpu|export|evaluate|deepcell]... [-- OPTION...]"
registry=
if [ "${1:-}" = --push ]; then
    registry=${2:?"--push needs a registry. $USAGE"}
    shift 2
fi
images=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    images+=("$1")
    shift
done
if [ $# -gt 0 ]; then shift; fi
if [ ${#images[@]} -eq 0 ]; then images=(runtime export deepcell); fi

engine=podman
if docker info >/dev/null 2>&1; then engine=docker; fi
command -v "$engine" >/dev/null || die "there is neither a running docker nor podman to build with."

# build FOLDER TAG [OPTION...]
build() {
    say "container: cellquilt/$2"
    "$engine" build --file "$ROOT/containers/$1/Containerfile" --tag "cellquilt/$2" "${@:3}" \
        "$ROOT"
    if [ -z "$registry" ]; then return; fi
    say "container: $registry/cellquilt/$2"
    "$engine" tag "cellquilt/$2" "$registry/cellquilt/$2"
    "$engine" push "$registry/cellquilt/$2"
}

for image in "${images[@]}"; do
    case $image in
    runtime) build runtime "runtime:$VERSION" "$@" ;;
    runtime-gpu)
        build runtime "runtime:$VERSION-gpu" --build-arg REQUIREMENTS=requirements-gpu.lock "$@"
        ;;
    export) build export "export:$VERSION" "$@" ;;
    evaluate) build evaluate "evaluate:$VERSION" "$@" ;;
    deepcell) build deepcell "deepcell:$VERSION" "$@" ;;
    *)
        die "unknown: $image. $USAGE"
        ;;
    esac
done
