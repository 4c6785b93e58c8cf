#!/usr/bin/env bash
# Update the lock files to the newest versions that the .in files allow.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# lock PYTHON LOCK IN [OPTION...]: no index address is written, so that any mirror can be used.
lock() {
    say "lock: $2"
    (
        cd "$ROOT/$(dirname "$2")"
        "$UV" pip compile --quiet --upgrade --generate-hashes --no-header --no-config \
            --no-emit-index-url --emit-build-options --python-version "$1" \
            --python-platform x86_64-manylinux_2_28 \
            --output-file "$(basename "$2")" "${@:3}" >/dev/null
    )
}

find_uv
lock 3.13 containers/runtime/requirements-cpu.lock requirements-cpu.in
lock 3.13 containers/runtime/requirements-gpu.lock requirements-gpu.in \
    --constraint requirements-cpu.lock
lock 3.10 containers/deepcell/requirements.lock requirements.in --excludes excludes.txt
lock 3.10 containers/deepcell/build.lock build.in --constraint requirements.lock
lock 3.13 containers/export/requirements.lock requirements.in \
    --constraint ../runtime/requirements-cpu.lock
lock 3.13 tools/dev.lock dev.in --constraint ../containers/runtime/requirements-cpu.lock \
    --constraint ../containers/export/requirements.lock
lock 3.13 containers/evaluate/requirements.lock requirements.in --excludes excludes.txt
lock 3.13 containers/evaluate/build.lock build.in --constraint requirements.lock
lock 3.13 tests/fuzz/fuzz.lock fuzz.in --constraint ../../containers/runtime/requirements-cpu.lock
lock 3.13 tests/readers/readers.lock readers.in --excludes excludes.txt
lock 3.13 tests/readers/anndata-0.10.lock anndata-0.10.in
lock 3.13 tests/readers/anndata-0.11.lock anndata-0.11.in
lock 3.13 tests/readers/build.lock build.in --constraint readers.lock
lock 3.13 kernels/build.lock build.in
lock 3.13 tools/audit.lock audit.in
lock 3.13 tools/uv.lock uv.in

say "lock: tools/nextflow.sha256"
jars=$(mktemp -d)
trap 'rm -rf "$jars"' EXIT
fetch_nextflow "$jars"
(cd "$jars" && sha256sum -- *.jar) >"$ROOT/tools/nextflow.sha256"
