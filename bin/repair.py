#!/usr/bin/env python3
"""Match cells with nuclei, trim the nuclei and derive cytoplasm and boundaries."""

import argparse
from pathlib import Path

from cellquilt import cli, segmenters
from cellquilt.cells.repair import repair
from cellquilt.handoff.step_files import read_facts, read_regions, read_uncertified


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    args.add_argument(
        "--export_pickle",
        **cli.SWITCH,
        help="also write the two pickles; takes both masks into memory",
    )


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--cell", type=Path, required=True, help="whole-cell label image")
    args.add_argument("--nucleus", type=Path, required=True, help="nuclear label image")
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    cli.add_sample(args)
    args.add_argument("--uncertified", type=Path, help="uncertified.csv of STITCH")
    args.add_argument("--regions", type=Path, help="regions.csv of STITCH")
    args.add_argument("--segmenter", default=segmenters.DEFAULT, help="which made the maps")
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    add_settings(args)
    o = args.parse_args()
    facts = read_facts(o.facts, sample=o.sample)
    uncertified = None if o.uncertified is None else read_uncertified(o.uncertified)
    regions = None if o.regions is None else read_regions(o.regions)
    pair, how = (o.cell, o.nucleus), (o.segmenter, o.outdir, o.export_pickle, o.cpus)
    found = repair(*pair, facts, uncertified, *how, regions)
    cli.log.info(
        "repair: %s: %d cells, %d nuclei, %d matched",
        *(found[name] for name in ("sample", "n_cells", "n_nuclei", "n_matched")),
    )


if __name__ == "__main__":
    cli.run(main)
