#!/usr/bin/env bash
# Install the pipeline's dependencies into ${CELLQUILT_CACHE:-~/.cache/cellquilt}:
#   runtime   every step except MODEL and EXPORT (Python 3.13, TensorFlow for CPU, the kernels,
#             compiled here)
#   export    EXPORT (Python 3.13, the libraries of the formats, the kernels)
#   deepcell  MODEL (Python 3.10, deepcell)
#   dev       runtime, and the dependencies of tests and checks
#   readers   the programs that open Cellquilt's outputs, for the tests, and two older anndata in
#             environments of their own (Python 3.13)
#   nextflow  Nextflow, if PATH has none that is recent enough
#   all       all of the above (the default)
#   evaluate  EVALUATE, which is optional and not in all (Python 3.13)
#   fuzz      runtime, and atheris for make fuzz; not in all
# First it looks for the programs that are needed for what is not installed yet, and names all that
# are missing; with --look it does no more.
# The kernels are compiled once for all of them. Python environments match their lock files exactly,
# with hashes checked, including the build tools of the kernels. Existing environments are kept.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$ROOT/tools/java.sh"

RUNTIME=$ROOT/containers/runtime/requirements-cpu.lock
EXPORT=$ROOT/containers/export/requirements.lock
DEV=$ROOT/tools/dev.lock
DEEPCELL=$ROOT/containers/deepcell
EVALUATE=$ROOT/containers/evaluate
READERS=$ROOT/tests/readers
FUZZ=$ROOT/tests/fuzz/fuzz.lock
KERNELS=$ROOT/kernels
KERNEL_SOURCES=("$KERNELS"/{pyproject.toml,setup.py,build.lock} "$KERNELS"/cellquilt_kernels/*.*)

setup_runtime() {
    install_in_cache envs/runtime build_runtime "$RUNTIME" "${KERNEL_SOURCES[@]}"
}
setup_export() { install_in_cache envs/export build_export "$EXPORT" "${KERNEL_SOURCES[@]}"; }
setup_dev() { install_in_cache envs/dev build_dev "$RUNTIME" "$DEV" "${KERNEL_SOURCES[@]}"; }
setup_fuzz() { install_in_cache envs/fuzz build_fuzz "$RUNTIME" "$FUZZ" "${KERNEL_SOURCES[@]}"; }
setup_deepcell() {
    install_in_cache envs/deepcell build_deepcell "$DEEPCELL/requirements.lock" \
        "$DEEPCELL/build.lock"
}
setup_evaluate() {
    install_in_cache envs/evaluate build_from_source "$EVALUATE/requirements.lock" \
        "$EVALUATE/build.lock"
}
setup_readers() {
    local anndata
    install_in_cache envs/readers build_from_source "$READERS/readers.lock" "$READERS/build.lock"
    for anndata in anndata-0.10 anndata-0.11; do
        install_in_cache "envs/$anndata" build_from_source "$READERS/$anndata.lock" \
            "$READERS/build.lock"
    done
}
setup_nextflow() {
    if [ -z "$knows_nextflow" ]; then find_nextflow; fi
    knows_nextflow=yes
    if [ -n "$NEXTFLOW" ]; then return; fi
    install_in_cache "nextflow/$NEXTFLOW_VERSION" build_nextflow \
        "$ROOT/tools/nextflow-pom.xml" "$ROOT/tools/nextflow.sha256" "$ROOT/tools/java.sh"
}

build_runtime() { install_with_kernels "$1" "$RUNTIME"; }
build_export() { install_with_kernels "$1" "$EXPORT"; }
build_dev() { install_with_kernels "$1" "$RUNTIME" "$DEV"; }
build_fuzz() { install_with_kernels "$1" "$RUNTIME" "$FUZZ"; }

# install_with_kernels FOLDER LOCK...
install_with_kernels() {
    install_in_cache kernels build_kernels "${KERNEL_SOURCES[@]}"
    make_venv 3.13 "$1"
    # compile now: in a read-only environment every task would compile its imports again
    "$UV" pip sync --quiet --compile-bytecode --require-hashes --python "$1/bin/python" "${@:2}"
    "$UV" pip install --quiet --no-deps --python "$1/bin/python" "$CACHE"/kernels/wheel/*.whl
}

build_kernels() {
    make_venv 3.13 "$1"
    has_headers "$1/bin/python" || die_of_headers 3.13
    "$UV" build --quiet --wheel --require-hashes --build-constraints "$KERNELS/build.lock" \
        --python "$1/bin/python" --out-dir "$1/wheel" "$KERNELS"
}

build_deepcell() {
    make_venv 3.10 "$1"
    has_headers "$1/bin/python" || die_of_headers 3.10
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" --build-constraints "$3" "$2"
}

# make_venv VERSION FOLDER
make_venv() {
    find_uv
    "$UV" venv --quiet --no-project --python "$(find_python "$1")" "$2" ||
        die "no Python $1 that works was found, and uv could not fetch one." \
            "Install python$1 (with pyenv: pyenv install $1)."
}

has_headers() {
    "$1" -c 'import os, sysconfig as s
os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null
}

die_of_headers() {
    die "uv found a Python $1 without the headers that compiling for it needs" \
        "(Debian: apt-get install python$1-dev)."
}

# build_from_source FOLDER LOCK BUILD_LOCK: for pure Python packages without wheels.
build_from_source() {
    make_venv 3.13 "$1"
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" --build-constraints "$3" "$2"
}

build_nextflow() {
    fetch_nextflow "$1"
    (cd "$1" && sha256sum --quiet --strict --check "$3") ||
        die "a jar of Nextflow has another checksum than in tools/nextflow.sha256."
    keep_classes "$1"
}

knows_nextflow=
MISSING=()
PACKAGES=()
# missing WHAT PACKAGE...: note what is missing, and the Debian packages that have it.
missing() {
    if [[ " ${MISSING[*]} " == *" $1 "* ]]; then return; fi
    MISSING+=("$1")
    PACKAGES+=("${@:2}")
}

need_nextflow() {
    local found
    found=$("$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || true
    at_least "${found:-0}" 17 || missing "Java 17 or newer, which runs Nextflow" default-jre-headless
    command -v mvn >/dev/null ||
        missing "Maven, which fetches Nextflow (or Nextflow $OLDEST_NEXTFLOW or newer on PATH)" maven
}

need_runtime() {
    need_from_source
    command -v ps >/dev/null || missing "ps, with which Nextflow measures its tasks" procps
    install_in_cache kernels build_kernels "${KERNEL_SOURCES[@]}"
}
need_export() { need_runtime; }
need_fuzz() { need_runtime; }
need_dev() {
    need_runtime
    command -v git >/dev/null || missing "git, for the tests" git
}
need_kernels() { need_compiler 3.13; }
need_deepcell() {
    need_from_source
    need_compiler 3.10
}
need_from_source() { find_uv; } # uv finds or fetches Python
need_uv() { has_pip || missing "uv, or a python3 with pip to install it" python3-pip; }

# need_compiler VERSION: what compiles extensions of that Python.
need_compiler() {
    local python
    cc -E - <<<'#include <stdio.h>' >/dev/null 2>&1 ||
        missing "a C compiler with its headers, for Cellquilt's kernels and deepcell" gcc libc6-dev
    python=$(find_python "$1")
    if [ -x "$python" ]; then # else uv fetches one, with headers
        has_headers "$python" || missing "the headers of $python" "python$1-dev"
    fi
}

# look WHAT...: end with the list of what is missing, if anything is.
look() {
    local what
    # shellcheck disable=SC2034 # install_in_cache reads it
    local LOOKING=yes
    [ "$(uname -sm)" = "Linux x86_64" ] || [ "$*" = nextflow ] ||
        die "Cellquilt's environments are for Linux on x86-64, and this is $(uname -sm)." \
            "README.md, under Try it, says what works here."
    for what in "$@"; do "setup_$what"; done
    if [ ${#MISSING[@]} -eq 0 ]; then return; fi
    say "ERROR: this machine lacks what installing Cellquilt takes:"
    printf '  - %s\n' "${MISSING[@]}" >&2
    say "Debian and Ubuntu have it, as root: apt-get install ${PACKAGES[*]}"
    exit 1
}

ALL=(nextflow export runtime deepcell dev readers)
targets=()
only_look=
for what in "${@:-all}"; do
    case $what in
    runtime | export | deepcell | dev | evaluate | fuzz | readers | nextflow) targets+=("$what") ;;
    all) targets+=("${ALL[@]}") ;;
    --look) only_look=yes ;;
    *)
        die "unknown: $what. Usage: tools/setup.sh" \
            "[--look] [runtime|export|deepcell|dev|readers|evaluate|fuzz|nextflow|all]..."
        ;;
    esac
done
if [ ${#targets[@]} -eq 0 ]; then targets=("${ALL[@]}"); fi # --look alone
look "${targets[@]}"
if [ -n "$only_look" ]; then exit; fi
for what in "${targets[@]}"; do "setup_$what"; done
if [ "$SECONDS" -gt 10 ]; then say "setup: done in $SECONDS s"; fi # something was installed
