#!/usr/bin/env python3
"""Measure what the network takes on a slide's tasks, with one choice of sizes."""

import csv
from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.networks import gpu_lock, precision_check
from cellquilt.tuning import measure


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, nargs="+", required=True, help="all its pixel stores")
    args.add_argument("--model", type=Path, required=True, help="what MODEL wrote")
    args.add_argument("--image", required=True, help="name of the slide")
    args.add_argument("--patch_size", type=int, required=True, help="of PATCH, for the table")
    args.add_argument("--patches_per_task", type=int, required=True, help="of PATCH, for the table")
    args.add_argument("--batch_size", type=int, required=True, help="tiles at a time: 2 to 255")
    args.add_argument("--tasks", type=int, default=1, help="tasks at the same time")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument(
        "--gpu_locks", type=Path, default=gpu_lock.FOLDER, help="the machine's folder"
    )
    cli.add_cpus(args)
    args.add_argument("--precision", choices=["float32", "bfloat16", "tf32"], default="float32")
    args.add_argument("--xla", **cli.SWITCH, help="compile the network")
    args.add_argument(
        "--max_map_difference",
        type=float,
        default=precision_check.MAX_MAP_DIFFERENCE,
        help="as for SEGMENT",
    )
    args.add_argument("--max_tiles", type=int, default=512, help="no further task after so many")
    args.add_argument("--row", type=Path, required=True, help="CSV of one row to write")
    o = args.parse_args()
    mode = (o.precision, o.xla, o.max_map_difference)
    setting = measure.Setting(o.model, o.device, o.cpus, o.batch_size, o.tasks, *mode, o.gpu_locks)
    sizes = {
        "image": o.image,
        "patch_size": o.patch_size,
        "patches_per_task": o.patches_per_task,
    }
    row = sizes | measure.measure(o.pixels, setting, o.max_tiles)
    with outputs.whole(o.row) as partial, partial.open("w", newline="") as file:
        table = csv.DictWriter(file, row)
        table.writeheader()
        table.writerow(row)


if __name__ == "__main__":
    cli.run(main)
