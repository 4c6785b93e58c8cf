#!/usr/bin/env python3
"""Cut a slide into patches, assess each, and write the pixels of every task."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.tiling import tasks


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--store", type=Path, required=True, help="normalised store of INGEST")
    args.add_argument("--patch_size", type=int, default=1536, help="side of a core, model pixels")
    args.add_argument("--halo", type=int, default=96, help="context around a core, model pixels")
    args.add_argument("--patches_per_task", type=int, default=16)
    args.add_argument(
        "--patch_qc", choices=["default", "signal", "reference", "none"], default="default"
    )
    args.add_argument("--min_contrast", type=float, default=0.03, help="share of slide's range")
    args.add_argument("--table", type=Path, required=True, help="table of patches to write (CSV)")
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of task-*.pixels.zip")
    o = args.parse_args()
    table = tasks.plan_tasks(
        o.store,
        o.outdir,
        o.patch_size,
        o.halo,
        o.patches_per_task,
        o.patch_qc,
        o.min_contrast,
    )
    outputs.write_csv(o.table, table)
    informative = int(table["is_informative"].sum())
    cli.log.info("patch: %d of %d patches informative", informative, len(table))
    if not informative:
        cli.log.warning("patch: no patch of this slide can hold cells; its outputs will be empty")


if __name__ == "__main__":
    cli.run(main)
