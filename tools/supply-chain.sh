#!/usr/bin/env bash
# Software bill of materials (SBOM) and known vulnerabilities, with the tools of tools/audit.lock.
#   sbom    Write sbom/: a CycloneDX file for each image, one for files that are in no image, and
#           licences.csv for all. An image built with docker or podman is read directly, including
#           its Debian packages; else only its Python packages are listed, from the local
#           environment of the same lock file. With --built, of images that are built, and no others.
#   audit   List the known vulnerabilities of the packages in the images' lock files.
#   setup   Only install the two tools.
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
    if [ "${1:-}" != --built ]; then "$ROOT/tools/setup.sh" runtime export deepcell evaluate; fi
    "$CACHE/envs/audit/bin/python" "$ROOT/tools/sbom.py" --environments "$CACHE/envs" "$@"
}

# pip-audit exits with 1 both if it finds something and if it cannot reach the database; and a
# mirror of PyPI may have packages but no vulnerabilities, which looks like a clean result.
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
            die "the vulnerability data is not available here. Run make audit with access to" \
                "PyPI itself, not a mirror, or tools/supply-chain.sh audit -s osv, which uses OSV."
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
