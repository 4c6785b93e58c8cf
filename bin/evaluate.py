#!/usr/bin/env python3
"""Score the segmentation of a part of the slide with CellSegmentationEvaluator."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.cells import quality_score
from cellquilt.handoff.step_files import read_counts, read_facts, read_matches
from cellquilt.slides.readers import reopen_slide


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--image", type=Path, nargs="+", required=True, help="slide, all its files")
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    cli.add_sample(args)
    args.add_argument("--cell", type=Path, required=True, help="whole-cell label image")
    args.add_argument("--nucleus", type=Path, required=True, help="nuclear label image")
    args.add_argument("--matches", type=Path, required=True, help="matches.csv of REPAIR")
    args.add_argument("--metrics", type=Path, required=True, help="metrics of REPAIR")
    args.add_argument(
        "--side", type=int, default=quality_score.SIDE, help="of the square that is scored, px"
    )
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    o = args.parse_args()

    facts = read_facts(o.facts, needs_image=True, sample=o.sample)
    metrics = read_counts(o.metrics)
    matches = read_matches(o.matches)
    masks = {"cell": o.cell, "nucleus": o.nucleus}
    with reopen_slide(o.image, facts) as slide:
        report = quality_score.describe(slide, facts, masks, matches, metrics, o.side)
    o.outdir.mkdir(parents=True, exist_ok=True)
    outputs.write_json(o.outdir / "evaluation.json", report)
    cli.log.info("evaluate: %s: quality score %s", facts["sample"], report["quality_score"])


if __name__ == "__main__":
    cli.run(main)
