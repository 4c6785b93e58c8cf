#!/usr/bin/env python3
"""Run a segmenter's network over the tiles of a task."""

from pathlib import Path

from cellquilt import cli, compartments, segmenters
from cellquilt.errors import SlideError


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, required=True, help="pixel store of the task")
    args.add_argument(
        "--networks", type=Path, nargs="+", required=True, help="what MODEL wrote, or TRAIN"
    )
    args.add_argument(
        "--segmenter", choices=segmenters.SEGMENTERS, default=segmenters.DEFAULT, help="which it is"
    )
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--cpus", type=int, default=cli.cpu_count(), help="threads")
    args.add_argument("--batch_size", default="auto", help="tiles at a time: 'auto' or 2 to 255")
    args.add_argument("--precision", choices=["float32", "bfloat16", "tf32"], default="float32")
    args.add_argument("--xla", **cli.SWITCH, help="compile the network")
    args.add_argument(
        "--max_map_difference",
        type=float,
        default=segmenters.MAX_MAP_DIFFERENCE,
        help="by how much another precision, or XLA, may change the maps",
    )
    args.add_argument("--maps", type=Path, required=True, help="store of maps to write")
    o = args.parse_args()
    request = segmenters.Request(
        o.pixels,
        o.networks,
        o.compartment,
        o.maps,
        o.device,
        o.cpus,
        None if o.batch_size == "auto" else int(o.batch_size),
        o.precision,
        o.xla,
        o.max_map_difference,
    )
    segmenters.runner(o.segmenter)(request)


if __name__ == "__main__":
    cli.run(main, refused=SlideError)
