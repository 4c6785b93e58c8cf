#!/usr/bin/env bash
# Install what the pipeline runs with, into ${CELLQUILT_CACHE:-~/.cache/cellquilt}:
#   runtime   every step but MODEL (Python 3.13, TensorFlow for CPU)
#   deepcell  MODEL (Python 3.10, deepcell)
#   dev       runtime, and what tests and checks need
#   nextflow  Nextflow, where PATH has none that is recent enough
#   all       all of them (the default)
# Python environments are exactly their lock files, hashes checked. What is there already is kept.
set -euo pipefail
. "$(dirname "$0")/common.sh"

RUNTIME=$ROOT/containers/runtime
DEEPCELL=$ROOT/containers/deepcell

setup_runtime() { install_in_cache envs/runtime build_runtime "$RUNTIME/requirements-cpu.lock"; }
setup_dev() {
    install_in_cache envs/dev build_runtime "$RUNTIME/requirements-cpu.lock" "$ROOT/tools/dev.lock"
}
setup_deepcell() {
    install_in_cache envs/deepcell build_deepcell "$DEEPCELL/requirements.lock" \
        "$DEEPCELL/build.lock"
}
setup_nextflow() {
    find_nextflow
    if [ -n "$NEXTFLOW" ]; then return; fi
    install_in_cache "nextflow/$NEXTFLOW_VERSION" build_nextflow \
        "$ROOT/tools/nextflow-pom.xml" "$ROOT/tools/nextflow.sha256"
}

build_runtime() {
    make_venv 3.13 "$1"
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" "${@:2}"
}

build_deepcell() {
    command -v cc >/dev/null ||
        die "a part of deepcell is compiled, and there is no C compiler" \
            "(Debian: apt-get install gcc libc6-dev)."
    make_venv 3.10 "$1"
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" --build-constraints "$3" "$2"
}

# make_venv VERSION FOLDER
make_venv() {
    find_uv
    "$UV" venv --quiet --no-project --python "$(find_python "$1")" "$2" ||
        die "no Python $1 that works was found, and uv could not fetch one." \
            "Install python$1 (with pyenv: pyenv install $1)."
}

build_nextflow() {
    local java
    java=$("$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || true
    at_least "${java:-0}" 17 ||
        die "Nextflow needs Java 17 or newer (Debian: apt-get install default-jre-headless)."
    command -v mvn >/dev/null ||
        die "there is neither Nextflow $OLDEST_NEXTFLOW or newer on PATH, nor Maven to fetch one" \
            "(Debian: apt-get install maven)."
    fetch_nextflow "$1"
    (cd "$1" && sha256sum --quiet --strict --check "$3") ||
        die "a jar of Nextflow is not the one that tools/nextflow.sha256 names."
}

for what in "${@:-all}"; do
    case $what in
    runtime | deepcell | dev | nextflow) "setup_$what" ;;
    all)
        setup_nextflow
        setup_runtime
        setup_deepcell
        setup_dev
        ;;
    *) die "unknown: $what. Usage: tools/setup.sh [runtime|deepcell|dev|nextflow|all]..." ;;
    esac
done
