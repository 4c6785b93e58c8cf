#!/usr/bin/env python3
"""QUANTIFY: measure every cell over all channels of the slide."""

from contextlib import ExitStack
from pathlib import Path

from cellquilt import provenance
from cellquilt.cells.objects import check_masks, open_objects
from cellquilt.cells.quantify import quantify
from cellquilt.cli import log, parser, run
from cellquilt.handoff.step_files import read_facts, read_matches, read_provenance, read_uncertified
from cellquilt.images.label_image import by_name
from cellquilt.slides.readers import reopen_slide


def main() -> None:
    """Write quantification/<sample>.parquet."""
    arguments = parser(__doc__)
    arguments.add_argument("--image", type=Path, required=True, help="the slide")
    arguments.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    arguments.add_argument("--provenance", type=Path, required=True, help="of STITCH")
    arguments.add_argument("--uncertified", type=Path, required=True, help="of STITCH")
    arguments.add_argument("--masks", type=Path, nargs="+", required=True, help="label images")
    arguments.add_argument("--matches", type=Path, help="matches.csv, of both compartments")
    arguments.add_argument("--segmenter", default="mesmer", help="which made the maps")
    arguments.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    args = arguments.parse_args()
    facts = read_facts(args.facts, needs_image=True)
    steps = read_provenance(args.provenance)["steps"]
    matches = args.matches and read_matches(args.matches)
    uncertified = read_uncertified(args.uncertified)
    table = args.outdir / "quantification" / f"{facts['sample']}.parquet"
    table.parent.mkdir(parents=True, exist_ok=True)

    with ExitStack() as files:
        slide = files.enter_context(reopen_slide(args.image, facts))
        objects = open_objects(files, by_name(args.masks), matches, uncertified)
        check_masks(objects, facts)
        known = {
            "sample": facts["sample"],
            "segmenter": args.segmenter,
            "compartment": objects.compartment,
            "image": {key: facts["image"][key] for key in ("name", "height", "width")},
            "image_mpp": facts["image_mpp"],
            "provenance": [*steps, provenance.of_step("QUANTIFY")],
        }
        quantify(slide, objects, known, table)
        n_channels = len(slide.channels)
    n_objects = len(objects.rows)
    log.info("quantify: %s: %d objects, %d channels", facts["sample"], n_objects, n_channels)


if __name__ == "__main__":
    run(main)
