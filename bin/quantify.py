#!/usr/bin/env python3
"""Measure every cell over all channels of the slide."""

import argparse
from pathlib import Path

from cellquilt import cli, segmenters
from cellquilt.cells import flags, measures
from cellquilt.cells.cell_table import read_columns
from cellquilt.cells.sample_table import write_table


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    for parameter, limit in flags.LIMITS.items():
        args.add_argument(
            f"--{parameter}", type=float, help=f"beyond it, {limit.column} is flagged"
        )
    known = ", ".join((*measures.NAMES, measures.BOUNDARY))
    args.add_argument("--measures", default=measures.MEAN, help=f"of pixels, of {known}")


def limits_given(o: argparse.Namespace) -> dict[str, float]:
    """Return what these options say: the limits that are given, by parameter."""
    given = {name: value for name in flags.LIMITS if (value := getattr(o, name)) is not None}
    flags.check_limits(given)
    return given


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--image", type=Path, nargs="+", required=True, help="slide, all its files")
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    cli.add_sample(args)
    args.add_argument("--provenance", type=Path, required=True, help="of STITCH")
    args.add_argument("--uncertified", type=Path, help="of STITCH")
    args.add_argument("--patches", type=Path, help="patches_metadata.csv of STITCH")
    args.add_argument("--masks", type=Path, nargs="+", required=True, help="label images")
    args.add_argument("--matches", type=Path, help="matches.csv, of both compartments")
    args.add_argument("--regions", type=Path, help="regions.csv of STITCH")
    args.add_argument("--segmenter", default=segmenters.DEFAULT, help="which made the maps")
    args.add_argument("--columns", default="{}", help="the user's, a JSON object of the values")
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    add_settings(args)
    o = args.parse_args()
    own = read_columns(o.columns)
    asked = measures.parse(o.measures)
    write_table(
        o.image,
        o.facts,
        o.provenance,
        o.uncertified,
        o.patches,
        o.masks,
        o.matches,
        o.segmenter,
        own,
        limits_given(o),
        o.outdir,
        o.cpus,
        o.regions,
        o.sample,
        asked,
    )


if __name__ == "__main__":
    cli.run(main)
