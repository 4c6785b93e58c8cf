#!/usr/bin/env python3
"""Cut a slide into patches, assess each, and write the pixels of every task."""

import argparse
from dataclasses import replace
from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.tiling.lattice import DEFAULT, Geometry
from cellquilt.tiling.tasks import Cut, plan_tasks


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    default = Cut()
    args.add_argument(
        "--patch_size", type=int, default=default.patch_size, help="side of a core, model pixels"
    )
    args.add_argument(
        "--halo", type=int, default=default.halo, help="context around a core, model pixels"
    )
    args.add_argument("--patches_per_task", type=int, default=default.patches_per_task)
    args.add_argument(
        "--patch_qc",
        choices=["default", "signal", "reference", "none"],
        default=default.patch_qc,
    )
    args.add_argument(
        "--min_contrast", type=float, default=default.min_contrast, help="share of slide's range"
    )


def cut_of(o: argparse.Namespace) -> Cut:
    """Return what these options say."""
    return Cut(o.patch_size, o.halo, o.patches_per_task, o.patch_qc, o.min_contrast)


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    add_settings(args)
    args.add_argument("--table", type=Path, required=True, help="table of patches to write (CSV)")
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of task-*.pixels.zip")
    text = "side of the tiles of the network that is to run, model pixels"
    args.add_argument("--tile", type=int, default=DEFAULT.tile, help=text)
    text = "from a tile to the next one, model pixels"
    args.add_argument("--stride", type=int, default=DEFAULT.stride, help=text)
    args.add_argument("--table_only", **cli.SWITCH, help="no tasks, of masks that are there")
    o = args.parse_args()
    cut = replace(cut_of(o), tiles=Geometry(o.tile, o.stride))
    outputs.write_csv(o.table, plan_tasks(o.store, o.outdir, cut, o.table_only))


if __name__ == "__main__":
    cli.run(main)
