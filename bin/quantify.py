#!/usr/bin/env python3
"""Measure every cell over all channels of the slide."""

from pathlib import Path

from cellquilt import cli, segmenters
from cellquilt.cells.cell_table import read_columns
from cellquilt.cells.sample_table import write_table


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
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    o = args.parse_args()
    own = read_columns(o.columns)
    write_table(
        o.image,
        o.facts,
        o.provenance,
        o.uncertified,
        o.masks,
        o.matches,
        o.segmenter,
        own,
        o.outdir,
        o.cpus,
    )


if __name__ == "__main__":
    cli.run(main)
