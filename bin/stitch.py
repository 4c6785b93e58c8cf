#!/usr/bin/env python3
"""Stitch the cells of all patches into whole-slide label images."""

import json
import tempfile
from pathlib import Path

import pandas as pd

from cellquilt import cli, provenance, stores
from cellquilt.grid import Grid
from cellquilt.label import COMPARTMENTS, compartments_of
from cellquilt.label_image import (
    boundary_rows,
    masks_folder,
    scratch_labels,
    strip_rows,
    write_label_image,
)
from cellquilt.stitch import add_counts, count_labels, stitch


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    args.add_argument("--patches", type=Path, required=True, help="table of patches of PATCH")
    args.add_argument("--labels", type=Path, nargs="*", default=[], help="label stores of LABEL")
    args.add_argument("--compartment", choices=["whole-cell", "nuclear", "both"], default="both")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    o = args.parse_args()

    facts = json.loads(o.facts.read_text())
    grid = Grid(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])
    summary: dict = {"sample": facts["sample"]}
    counts = {}
    masks = masks_folder(o.outdir, facts["sample"])
    masks.mkdir(parents=True, exist_ok=True)
    for compartment in compartments_of(o.compartment):
        name = COMPARTMENTS[compartment][0]
        with tempfile.TemporaryDirectory(dir=Path()) as folder:
            scratch = Path(folder)
            stitched = stitch(o.labels, name, grid, scratch)
            labels = stitched.labels
            counts[name] = stitched.counts
            summary[f"n_{'cells' if name == 'cell' else 'nuclei'}"] = count_labels(labels)
            summary[f"{name}_disputed_px"] = stitched.n_disputed_px
            single = o.compartment != "both"
            file_name = name if single else f"{name}_original"
            write_label_image(masks / f"{file_name}.ome.tif", labels, grid.image_mpp, name)
            if single:
                edges = scratch_labels(scratch / "edges", labels.shape)
                for y0, y1 in strip_rows(labels.shape):
                    edges[y0:y1] = boundary_rows(labels, y0, y1)
                title = f"{name}_boundary"
                write_label_image(masks / f"{title}.ome.tif", edges, grid.image_mpp, title)
    if not any(sum(found.values()) for found in counts.values()):
        cli.log.warning("stitch: %s: no cells found; its masks are empty", facts["sample"])

    if any(stitched_px for key, stitched_px in summary.items() if key.endswith("disputed_px")):
        cli.log.warning(
            "stitch: %s: patches disagree on some pixels; raise --halo", facts["sample"]
        )
    table = pd.read_csv(o.patches, keep_default_na=False)
    add_counts(table, counts).to_csv(o.outdir / "patches_metadata.csv", index=False)
    (o.outdir / "stitch.json").write_text(json.dumps(summary, indent=2) + "\n")
    steps, model = facts["provenance"], None
    if o.labels:
        with stores.read(min(o.labels)) as store:
            steps, model = store.attrs["provenance"], store.attrs["model"]
    steps = [*steps, provenance.of_step("STITCH", compartment=o.compartment)]
    provenance.write(
        o.outdir / "provenance.json",
        steps,
        sample=facts["sample"],
        image=facts["image"],
        model=model,
    )


if __name__ == "__main__":
    cli.run(main)
