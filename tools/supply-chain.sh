#!/usr/bin/env bash
# What the pipeline is made of, and what is known to be wrong with it. Both tools are those of
# tools/audit.lock.
#   sbom    Write sbom/: a CycloneDX file for each image and one for what is in none, and
#           licences.csv of all. An image that docker or podman has built is read itself, with
#           its Debian packages; else its Python packages alone, from the local environment of
#           the same lock file.
#   audit   List the known vulnerabilities of the packages in the lock files of the images.
#   setup   Install both tools alone.
set -euo pipefail
. "$(dirname "$0")/common.sh"

LOCKS=(runtime/requirements-cpu runtime/requirements-gpu export/requirements
    deepcell/requirements evaluate/requirements)

setup_audit() { install_in_cache envs/audit build_audit "$ROOT/tools/audit.lock"; }

build_audit() {
    find_uv
    "$UV" venv --quiet --no-project --python "$(find_python 3.13)" "$1" ||
        die "no Python 3.13 that works was found, and uv could not fetch one."
    "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" "$2"
}

sbom() {
    "$ROOT/tools/setup.sh" runtime export deepcell evaluate
    "$CACHE/envs/audit/bin/python" "$ROOT/tools/sbom.py" --environments "$CACHE/envs" "$@"
}

# pip-audit ends with 1 where it finds something, and where it cannot ask; and an index that is a
# mirror may know packages, but no vulnerabilities, of which it then says nothing wrong.
audit() {
    local lock said found=0
    said=$(mktemp)
    trap 'rm -f "$said"' EXIT
    for lock in "${LOCKS[@]}"; do
        say "audit: containers/$lock.lock"
        "$CACHE/envs/audit/bin/pip-audit" --progress-spinner off --no-deps --disable-pip \
            --requirement "$ROOT/containers/$lock.lock" "$@" >"$said" 2>&1 || found=1
        if grep -qE '^Traceback|not found on PyPI' "$said"; then
            grep -E '^[A-Za-z.]+(Error|Exception|Timeout)\b' "$said" | tail -n 1 | cut -c1-200 >&2 ||
                true
            die "the list of vulnerabilities could not be had here. Run make audit where PyPI" \
                "itself is reached and no mirror, or tools/supply-chain.sh audit -s osv, which" \
                "asks OSV."
        fi
        cat "$said"
    done
    return "$found"
}

what=${1:-}
case $what in
setup) setup_audit ;;
sbom | audit)
    setup_audit
    "$what" "${@:2}"
    ;;
*) die "unknown: $what. Usage: tools/supply-chain.sh sbom|audit|setup [OPTION...]" ;;
esac
