#!/usr/bin/env bash
# Print what CHANGELOG.md says of a version, which must be the one that nextflow.config has.
set -euo pipefail
. "$(dirname "$0")/common.sh"

version=${1:?"Usage: tools/release-notes.sh VERSION"}
own=$(sed -n "s/^ *version *= *'\(.*\)'/\1/p" "$ROOT/nextflow.config")
[ "$version" = "$own" ] || die "the version in nextflow.config is $own, and not $version."
notes=$(sed -n "/^## ${version//./\\.}\$/,/^## /{/^## /!p}" "$ROOT/CHANGELOG.md")
[ -n "$notes" ] || die "CHANGELOG.md says nothing under \"## $version\"."
printf '%s\n' "$notes"
