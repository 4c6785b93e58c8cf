#!/usr/bin/env python3
"""Draw the masks over the slide and summarise the sample."""

from pathlib import Path

from cellquilt import cli
from cellquilt.reports.draw import draw


def main() -> None:
    """Write overlay.png, summary.json, report.json and report.html."""
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    cli.add_sample(args)
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
    inputs = o.store, o.table, o.patches, o.provenance, o.counts, o.masks, o.truth
    draw(*inputs, o.outdir, o.sample)
    cli.log.info("draw: %s", o.outdir)


if __name__ == "__main__":
    cli.run(main)
