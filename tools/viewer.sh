#!/usr/bin/env bash
# Install OpenSeadragon, from the lock with its hashes, into the pages of --formats viewer. After a
# change of the version in tools/viewer/package.json, --update writes the lock first.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
page=$repo/bin/cellquilt/exports/viewer/page
if ! command -v npm > /dev/null; then
    echo "ERROR: npm is missing, which comes with Node.js; Debian has it: apt-get install npm" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$repo"/tools/viewer/package*.json "$folder"
cd "$folder"
# No address of a registry in the lock: npm takes that of its settings
options=(--no-audit --no-fund --ignore-scripts --omit-lockfile-registry-resolved)
if [ "${1:-}" = --update ]; then
    npm install "${options[@]}" --package-lock-only
    cp package-lock.json "$repo/tools/viewer/"
fi
npm ci "${options[@]}"
# Its map is not there
sed "/^\/\/# sourceMappingURL=/d" node_modules/openseadragon/build/openseadragon/openseadragon.min.js > "$page/openseadragon.min.js"
cp node_modules/openseadragon/LICENSE.txt "$page/openseadragon.LICENSE.txt"
