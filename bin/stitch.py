#!/usr/bin/env python3
"""Stitch the cells of all patches into whole-slide label images."""

import argparse
from pathlib import Path

from cellquilt import cli, compartments, segmenters
from cellquilt.errors import SlideError
from cellquilt.handoff.step_files import read_facts, read_patches
from cellquilt.labelling.slide_masks import write_masks


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    text = "cells are nuclei grown by so many um; of both compartments LABEL gave nuclei"
    args.add_argument("--expand_um", type=float, help=text)


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    cli.add_sample(args)
    args.add_argument("--patches", type=Path, required=True, help="table of patches of PATCH")
    args.add_argument("--labels", type=Path, nargs="*", default=[], help="label stores of LABEL")
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--segmenter", default=segmenters.DEFAULT, help="which made the maps")
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    add_settings(args)
    o = args.parse_args()
    facts, patches = (
        read_facts(o.facts, needs_image=True, sample=o.sample),
        read_patches(o.patches, "PATCH"),
    )
    how = (o.compartment, o.segmenter, o.outdir, o.cpus, o.expand_um)
    write_masks(o.labels, patches, facts, *how)


if __name__ == "__main__":
    cli.run(main, refused=SlideError)
