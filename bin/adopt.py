#!/usr/bin/env python3
"""Take masks of one's own in place of what a network would give."""

import argparse
from pathlib import Path

import stitch
from cellquilt import cli
from cellquilt.handoff.step_files import read_facts, read_patches
from cellquilt.masks.adopt import adopt


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    args.add_argument("--patches", type=Path, required=True, help="table of patches of PATCH")
    add_masks(args)
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    stitch.add_settings(args)
    o = args.parse_args()
    facts, patches = read_facts(o.facts, needs_image=True), read_patches(o.patches, "PATCH")
    o.outdir.mkdir(parents=True, exist_ok=True)
    adopt(masks_given(o), facts, patches, o.outdir, o.cpus, o.expand_um)


def add_masks(args: argparse.ArgumentParser) -> None:
    """Add the options that name the masks."""
    kinds = "label TIFF, labels of an OME-Zarr, or GeoJSON"
    args.add_argument("--cell_mask", type=Path, help=f"of whole cells: {kinds}")
    args.add_argument("--nucleus_mask", type=Path, help=f"of nuclei: {kinds}")


def masks_given(o: argparse.Namespace) -> dict[str, Path]:
    """Return the masks by compartment."""
    given = {"cell": o.cell_mask, "nucleus": o.nucleus_mask}
    return {name: path for name, path in given.items() if path is not None}


if __name__ == "__main__":
    cli.run(main)
