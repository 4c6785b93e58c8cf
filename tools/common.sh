# shellcheck shell=bash disable=SC2034
# Sourced by the other tools: paths, and how to find uv and Python.

ROOT=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.." && pwd)
CACHE=${CELLQUILT_CACHE:-${HOME:?set HOME or CELLQUILT_CACHE}/.cache/cellquilt}
NEXTFLOW_VERSION=25.04.4
OLDEST_NEXTFLOW=25.04.0
OLDEST_UV=0.9.10 # tried; older ones lack `uv pip compile --excludes`
JAVA=${JAVA_HOME:+$JAVA_HOME/bin/}java

say() { printf '%s\n' "$*" >&2; }
die() {
    say "ERROR: $*"
    exit 1
}

# at_least HAVE WANTED: whether version HAVE is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# install_in_cache PLACE BUILD FILE...: make $CACHE/PLACE a link to a folder that the function
# BUILD fills from the lock files (with LOOKING set, only call the function for what that needs:
# for build_kernels it is need_kernels). The folder's name contains their checksum, and it is used only
# once it is complete; so an interrupted build is started again, an unchanged one is kept, and
# clones that share the cache, at one version or two, never write into a folder in use.
install_in_cache() {
    local place=$CACHE/$1 build=$2 stamp folder started=$SECONDS
    shift 2
    stamp=$(cat "$@" | sha256sum | cut -c1-12)
    folder=$place-$stamp
    if [ "$(readlink "$place")" = "$(basename "$folder")" ] && is_complete "$folder"; then return; fi
    if [ -n "${LOOKING:-}" ]; then
        if ! is_complete "$folder"; then "need_${build#build_}"; fi
        return
    fi
    mkdir -p "$(dirname "$place")"
    (
        flock 9
        if ! is_complete "$folder"; then
            say "setup: $place ..."
            rm -rf "$folder"
            mkdir "$folder"
            "$build" "$folder" "$@"
            touch "$folder/.complete"
            say "setup: $place is ready ($((SECONDS - started)) s)"
        fi
        ln -sfn "$(basename "$folder")" "$place.link"
        mv -T "$place.link" "$place"
    ) 9>"$place.lock"
}

# The second test is for an environment whose interpreter has since been removed.
is_complete() { [ -e "$1/.complete" ] && { [ ! -L "$1/bin/python" ] || [ -x "$1/bin/python" ]; }; }

# find_uv: sets UV to the uv on PATH, or installs a pinned one and sets UV to it.
find_uv() {
    local version
    UV=uv
    if version=$(uv --version 2>/dev/null) && at_least "${version#uv }" "$OLDEST_UV"; then return; fi
    install_in_cache uv build_uv "$ROOT/tools/uv.lock"
    UV=$CACHE/uv/bin/uv
}

has_pip() { python3 -m pip --version >/dev/null 2>&1; }

build_uv() {
    has_pip || die "there is neither uv nor a python3 with pip (Debian: apt-get install python3-pip)."
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --no-deps --require-hashes --target "$1" -r "$2" >&2
}

# find_python 3.13: prints a working interpreter of that version, or, if there is none, the
# version, for uv to find or download. pyenv's shims are on PATH even for versions that are not
# active, and fail when run, so each candidate is tried.
find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$1".*/"bin/python$1"; do
        if "$candidate" -c 'import ctypes, ssl, sys, zlib; print(sys.executable)' 2>/dev/null; then
            return
        fi
    done
    printf '%s\n' "$1"
}

# fetch_nextflow DIR: Nextflow's jars, from Maven Central, which is accessible from machines that
# cannot reach the launcher's download server.
fetch_nextflow() {
    mvn --batch-mode --quiet --strict-checksums -f "$ROOT/tools/nextflow-pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$1" 2>&1 |
        sed 's/\x1b\[[0-9;]*m//g; /^$/d' >&2 # Debian's Maven prints colours even in batch mode
}

# find_nextflow: sets NEXTFLOW to the first nextflow on PATH that is recent enough and is not
# tools/nextflow of this or another clone, or to an empty string.
find_nextflow() {
    local candidate version
    NEXTFLOW=
    while read -r candidate; do
        if [ -e "$(dirname "$(realpath "$candidate")")/nextflow-pom.xml" ]; then continue; fi
        version=$(timeout 60 "$candidate" -v 2>/dev/null | sed -n 's/^nextflow version //p') ||
            continue
        if [ -n "$version" ] && at_least "$version" "$OLDEST_NEXTFLOW"; then
            NEXTFLOW=$candidate
            return
        fi
    done < <(type -aP nextflow)
}
