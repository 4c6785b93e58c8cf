#!/usr/bin/env python3
"""Draw the masks over the slide and sum up the sample (REPORT)."""

import json
from pathlib import Path

from cellquilt import cli, overlay, report, stores

OVERLAY = "overlay.png"


def main() -> None:
    """Write overlay.png and summary.json."""
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    args.add_argument(
        "--counts",
        type=Path,
        nargs="+",
        required=True,
        help="counts of STITCH and, where both compartments are there, metrics of REPAIR",
    )
    args.add_argument("--masks", type=Path, nargs="+", required=True, help="label images")
    args.add_argument(
        "--truth", type=Path, nargs="*", default=[], help="{cell,nucleus}_truth.ome.tif"
    )
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    o = args.parse_args()

    with stores.read(o.store) as store:
        facts = store.attrs["facts"]
    masks, truth = report.files_by_name(o.masks), report.files_by_name(o.truth)
    counts = {key: n for path in o.counts for key, n in json.loads(path.read_text()).items()}
    summary = report.summarise(facts, counts, masks, truth, OVERLAY)
    o.outdir.mkdir(parents=True, exist_ok=True)
    overlay.draw_overlay(o.outdir / OVERLAY, o.store, masks, summary)
    (o.outdir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    cli.log.info("report: %s: %s", facts["sample"], o.outdir / OVERLAY)


if __name__ == "__main__":
    cli.run(main)
