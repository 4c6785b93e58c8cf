#!/usr/bin/env python3
"""Put the results of several segmenters of a slide side by side."""

from pathlib import Path

from cellquilt import cli
from cellquilt.reports.contrast import contrast


def main() -> None:
    """Write comparison.html and agreement.csv."""
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    text = "of a segmenter: report.json of DRAW, and its label images; once for each"
    args.add_argument("--result", type=Path, nargs="+", action="append", required=True, help=text)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the slide's results")
    o = args.parse_args()
    contrast(o.store, [(report, masks) for report, *masks in o.result], o.outdir)


if __name__ == "__main__":
    cli.run(main)
