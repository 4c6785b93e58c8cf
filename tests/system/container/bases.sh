#!/usr/bin/env bash
# Replacements for the base images if no image registry is accessible: Debian 13 with its Python
# 3.13 as localhost/base/trixie:13, and based on it this machine's Python 3.10 as
# localhost/base/python:3.10. Needs root, for debootstrap, and podman.
set -euo pipefail
. "$(dirname "$0")/../../../tools/common.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if ! podman image exists localhost/base/trixie:13; then
    debootstrap --variant=minbase --include=procps,ca-certificates,python3,python3-venv \
        trixie "$scratch/trixie" >&2
    rm -rf "$scratch"/trixie/var/cache/apt/archives/*.deb "$scratch"/trixie/var/lib/apt/lists/*
    rm -rf "$scratch"/trixie/usr/share/{man,locale}/*
    find "$scratch/trixie/usr/share/doc" -type f ! -name copyright -delete
    tar -C "$scratch/trixie" -c . | podman import --quiet - localhost/base/trixie:13 >&2
fi

if ! podman image exists localhost/base/python:3.10; then
    python=$(find_python 3.10)
    [ -x "$python" ] || die "there is no Python 3.10 on this machine (with pyenv: pyenv install 3.10)."
    mkdir "$scratch/python"
    tar -C "$("$python" -c 'import sys; print(sys.base_prefix)')" -c --exclude='__pycache__' \
        --exclude='lib/python3.10/test' --exclude='lib/python3.10/site-packages/*' \
        --exclude='lib/*.a' --exclude='lib/python3.10/config-*' bin include lib |
        tar -C "$scratch/python" -x
    find "$scratch/python/bin" -type f ! -name 'python3.10*' -delete
    cat >"$scratch/python/Containerfile" <<'END'
FROM localhost/base/trixie:13
RUN apt-get update && apt-get install --yes --no-install-recommends libbz2-1.0 libffi8 liblzma5 \
    libncursesw6 libreadline8t64 libsqlite3-0 libssl3t64 zlib1g && rm -rf /var/lib/apt/lists/*
COPY bin /usr/local/bin
COPY include /usr/local/include
COPY lib /usr/local/lib
RUN ldconfig && python3.10 -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, zlib'
END
    podman build --quiet --isolation=chroot --network=host --tag localhost/base/python:3.10 \
        "$scratch/python" >&2
fi
