#!/usr/bin/env bash
# Run the nf-test cases, if nf-test is on PATH, with the same Nextflow as the other tools.
set -euo pipefail
. "$(dirname "$0")/common.sh"

cd "$ROOT"
if ! command -v nf-test >/dev/null; then
    say "nf-test not on PATH: skipped"
    exit 0
fi
link=$(mktemp -d)
trap 'rm -rf "$link"' EXIT
ln -s "$ROOT/tools/nextflow" "$link/nextflow"
PATH=$link:$PATH nf-test test "$@"
