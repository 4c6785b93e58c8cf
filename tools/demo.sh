#!/usr/bin/env bash
# Run the pipeline on the demo's generated tissue, with Mesmer and with the networks that come with
# it, and print the results. Arguments go to nextflow run.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# stage WHAT COMMAND...: run the command, and say how long it took.
stage() {
    local started=$SECONDS
    say "demo: $1 ..."
    "${@:2}"
    say "demo: $1: done in $((SECONDS - started)) s"
}

cd "$ROOT"
run=(tools/nextflow run . -profile "demo,local")
stage "1 of 2, a generated tissue with Mesmer, whose weights are downloaded once" \
    "${run[@]}" --accept_mesmer_license --outdir results "$@"
stage "2 of 2, the same with the networks that come with Cellquilt" \
    "${run[@]}" --segmenter pixelcnn --outdir results/pixelcnn "$@"
"$CACHE/envs/runtime/bin/python" - results/demo/summary.json results/pixelcnn/demo/summary.json <<'PYTHON'
import json
import sys
from pathlib import Path


def line(found: dict) -> str:
    text = f"{found['n_cells']} cells, {found['n_nuclei']} nuclei"
    if found["matched_fraction"] is not None:
        text += f", {found['n_matched']} matched ({found['matched_fraction']:.1%})"
    return text


for path in map(Path, sys.argv[1:]):
    found = json.loads(path.read_text())
    segmenter = Path(found["segmentation"]).name.split("-")[0]
    print(f"\n{found['sample']}, {segmenter}: {line(found)}")
    for key, what in {"f1_cell": "cells", "f1_nucleus": "nuclei"}.items():
        if found.get(key) is not None:
            print(f"  F1 of the {what} against the known truth, at IoU 0.5: {found[key]:.3f}")
    print(f"  masks:   {path.parent / found['segmentation']}")
    print(f"  report:  {path.parent / 'report.html'}")
PYTHON
