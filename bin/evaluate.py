#!/usr/bin/env python3
"""EVALUATE: score the segmentation of a part of the slide with CellSegmentationEvaluator."""

from pathlib import Path

from cellquilt import outputs
from cellquilt.cells import quality_score
from cellquilt.cli import log, parser, run
from cellquilt.handoff.step_files import read_counts, read_facts, read_matches
from cellquilt.slides.readers import reopen_slide


def main() -> None:
    """Write evaluation.json."""
    arguments = parser(__doc__)
    arguments.add_argument("--image", type=Path, required=True, help="the slide")
    arguments.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    arguments.add_argument("--cell", type=Path, required=True, help="whole-cell label image")
    arguments.add_argument("--nucleus", type=Path, required=True, help="nuclear label image")
    arguments.add_argument("--matches", type=Path, required=True, help="matches.csv of REPAIR")
    arguments.add_argument("--metrics", type=Path, required=True, help="metrics of REPAIR")
    arguments.add_argument(
        "--side", type=int, default=quality_score.SIDE, help="of the square that is scored, px"
    )
    arguments.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    args = arguments.parse_args()
    facts = read_facts(args.facts, needs_image=True)
    ours = read_counts(args.metrics)
    centres = quality_score.cell_centres(read_matches(args.matches))

    with reopen_slide(args.image, facts) as slide:
        shape = slide.height, slide.width
        window = quality_score.choose_window(centres, shape, args.side)
        image = quality_score.read_image(slide, window)
    cell, nucleus = (
        quality_score.read_labels(path, shape, window) for path in (args.cell, args.nucleus)
    )
    found = quality_score.evaluate(image, cell, nucleus, facts["image_mpp"])
    if found["problem"]:
        log.warning("evaluate: %s: %s", facts["sample"], found["problem"])
    report = {
        "sample": facts["sample"],
        **found,
        "window": window._asdict(),
        "is_whole_slide": image.shape[1:] == shape,
        "n_channels": len(image),
        "n_cells": int(cell.max()),
        "n_nuclei": int(nucleus.max()),
        "cellquilt": {key: value for key, value in ours.items() if key.endswith("fraction")},
    }
    args.outdir.mkdir(parents=True, exist_ok=True)
    outputs.write_json(args.outdir / "evaluation.json", report)
    log.info("evaluate: %s: quality score %s", facts["sample"], found["quality_score"])


if __name__ == "__main__":
    run(main)
