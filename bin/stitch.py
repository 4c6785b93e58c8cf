#!/usr/bin/env python3
"""Stitch the cells of all patches into whole-slide label images."""

from pathlib import Path

import pandas as pd

from cellquilt import cli, outputs, provenance
from cellquilt.handoff import stores
from cellquilt.handoff.step_files import read_facts, read_patches
from cellquilt.images.label_image import masks_folder, write_label_image, write_label_strips
from cellquilt.images.label_rows import boundary_rows
from cellquilt.images.strips import strip_rows
from cellquilt.labelling.label import COMPARTMENTS, compartments_of
from cellquilt.labelling.stitch import OBJECTS, add_counts, blank_proved, stitch, uncertified
from cellquilt.tiling.pixel_grid import Grid


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    args.add_argument("--patches", type=Path, required=True, help="table of patches of PATCH")
    args.add_argument("--labels", type=Path, nargs="*", default=[], help="label stores of LABEL")
    args.add_argument("--compartment", choices=["whole-cell", "nuclear", "both"], default="both")
    args.add_argument("--segmenter", default="mesmer", help="which made the maps")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    o = args.parse_args()

    facts = read_facts(o.facts, needs_image=True)
    grid = Grid(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])
    summary: dict = {"sample": facts["sample"], "segmenter": o.segmenter}
    cells = {}
    masks = masks_folder(o.outdir, facts["sample"], o.segmenter)
    masks.mkdir(parents=True, exist_ok=True)
    names = [COMPARTMENTS[compartment][0] for compartment in compartments_of(o.compartment)]
    for name in names:
        cells[name] = write_compartment(o.labels, name, len(names) == 1, grid, masks, summary)

    table = add_counts(read_patches(o.patches, "PATCH"), cells, blank_proved(o.labels))
    skipped = ~table["is_informative"]
    summary["n_unproved_patches"] = int((skipped & ~table["certified"]).sum())
    warn(facts["sample"], summary)
    outputs.write_csv(o.outdir / "patches_metadata.csv", table)
    outputs.write_csv(o.outdir / "uncertified.csv", uncertified(cells))
    outputs.write_json(o.outdir / "stitch.json", summary)
    steps, model = facts.get("provenance", []), None
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


def write_compartment(
    paths: list[Path], name: str, alone: bool, grid: Grid, masks: Path, summary: dict
) -> pd.DataFrame:
    """Write a compartment's label image, add its counts to `summary` and return its cells."""
    stitched = stitch(paths, name, grid, Path())
    labels, shape, mpp = stitched.labels, stitched.labels.shape, grid.image_mpp
    write_label_image(masks / f"{name if alone else f'{name}_original'}.ome.tif", labels, mpp, name)
    if alone:
        edges = (boundary_rows(labels, y0, y1) for y0, y1 in strip_rows(shape))
        title = f"{name}_boundary"
        write_label_strips(masks / f"{title}.ome.tif", shape, edges, mpp, title)
    summary[f"n_{OBJECTS[name]}"] = stitched.n_labels
    summary[f"n_uncertified_{OBJECTS[name]}"] = int((~stitched.cells["certified"]).sum())
    summary[f"{name}_disputed_px"] = stitched.n_disputed_px
    return stitched.cells


def warn(sample: str, summary: dict) -> None:
    """Tell what a user may want to mend."""
    asked = [objects for objects in OBJECTS.values() if f"n_{objects}" in summary]
    if not any(summary[f"n_{objects}"] for objects in asked):
        cli.log.warning("stitch: %s: no cells found; its masks are empty", sample)
    if any(summary[key] for key in summary if key.endswith("disputed_px")):
        cli.log.warning("stitch: %s: patches disagree on some pixels; raise --halo", sample)
    doubtful = [(summary[f"n_uncertified_{objects}"], objects) for objects in asked]
    if any(n for n, _ in doubtful):
        cli.log.warning(
            "stitch: %s: %s are not proved to be those of the whole slide (see uncertified.csv);"
            " raise --halo",
            sample,
            " and ".join(f"{n} {objects}" for n, objects in doubtful if n),
        )


if __name__ == "__main__":
    cli.run(main)
