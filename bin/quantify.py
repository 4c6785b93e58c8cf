#!/usr/bin/env python3
"""Measure every cell over all channels of the slide."""

from contextlib import ExitStack
from pathlib import Path

from cellquilt import cli, segmenters
from cellquilt.cells.cell_table import read_columns
from cellquilt.cells.objects import check_masks, open_objects
from cellquilt.cells.quantify import quantify
from cellquilt.handoff.step_files import read_facts, read_matches, read_provenance, read_uncertified
from cellquilt.images.label_image import by_name
from cellquilt.slides.readers import reopen_slide


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--image", type=Path, required=True, help="the slide")
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    args.add_argument("--provenance", type=Path, required=True, help="of STITCH")
    args.add_argument("--uncertified", type=Path, required=True, help="of STITCH")
    args.add_argument("--masks", type=Path, nargs="+", required=True, help="label images")
    args.add_argument("--matches", type=Path, help="matches.csv, of both compartments")
    args.add_argument("--segmenter", default=segmenters.DEFAULT, help="which made the maps")
    args.add_argument("--columns", default="{}", help="the user's, a JSON object of the values")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    o = args.parse_args()

    facts = read_facts(o.facts, needs_image=True)
    own = read_columns(o.columns)
    steps = read_provenance(o.provenance)["steps"]
    matches = o.matches and read_matches(o.matches)
    uncertified = read_uncertified(o.uncertified)
    table = o.outdir / "quantification" / f"{facts['sample']}.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        slide = files.enter_context(reopen_slide(o.image, facts))
        objects = open_objects(files, by_name(o.masks), matches, uncertified)
        check_masks(objects, facts)
        quantify(slide, objects, facts, o.segmenter, steps, table, own=own)
    cli.log.info(
        "quantify: %s: %d objects, %d channels",
        facts["sample"],
        len(objects.rows),
        len(slide.channels),
    )


if __name__ == "__main__":
    cli.run(main)
