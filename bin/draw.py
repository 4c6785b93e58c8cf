#!/usr/bin/env python3
"""Draw the masks over the slide and sum up the sample (DRAW)."""

import json
from pathlib import Path

import pandas as pd

from cellquilt import cli, stores
from cellquilt.label_image import by_name
from cellquilt.reports import overlay, sample_report, summary

OVERLAY = "overlay.png"


def main() -> None:
    """Write overlay.png, summary.json and report.json."""
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    args.add_argument("--table", type=Path, required=True, help="table of cells, of QUANTIFY")
    args.add_argument("--patches", type=Path, required=True, help="patches_metadata.csv of STITCH")
    args.add_argument("--provenance", type=Path, required=True, help="provenance.json of STITCH")
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
    masks, truth = by_name(o.masks), by_name(o.truth)
    counts = {key: n for path in o.counts for key, n in json.loads(path.read_text()).items()}
    rows = sample_report.read_cells(o.table, facts["sample"])
    found = summary.summarise(facts, counts, masks, truth, OVERLAY)
    patches, provenance = pd.read_csv(o.patches), json.loads(o.provenance.read_text())
    report = sample_report.describe(o.store, masks, rows, patches, counts, found, provenance)

    o.outdir.mkdir(parents=True, exist_ok=True)
    overlay.draw_overlay(o.outdir / OVERLAY, o.store, masks, rows, found)
    (o.outdir / "summary.json").write_text(json.dumps(found, indent=2) + "\n")
    (o.outdir / "report.json").write_text(json.dumps(report) + "\n")
    cli.log.info("draw: %s: %s", facts["sample"], o.outdir / OVERLAY)


if __name__ == "__main__":
    cli.run(main)
