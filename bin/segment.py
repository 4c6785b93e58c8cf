#!/usr/bin/env python3
"""Run Mesmer's network over the tiles of a task."""

from pathlib import Path

from cellquilt import cli
from cellquilt.mesmer import saved_model
from cellquilt.networks import precision_check


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, required=True, help="pixel store of the task")
    args.add_argument("--model", type=Path, required=True, help="SavedModel of MODEL")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--cpus", type=int, default=cli.cpu_count(), help="threads")
    args.add_argument("--batch_size", default="auto", help="tiles at a time: 'auto' or 2 to 255")
    args.add_argument("--precision", choices=["float32", "bfloat16", "tf32"], default="float32")
    args.add_argument("--xla", **cli.SWITCH, help="compile the network")
    args.add_argument(
        "--max_map_difference",
        type=float,
        default=precision_check.MAX_MAP_DIFFERENCE,
        help="by how much another precision, or XLA, may change the maps",
    )
    args.add_argument("--maps", type=Path, required=True, help="store of maps to write")
    o = args.parse_args()
    card = saved_model.read_card(o.model)
    # TensorFlow takes seconds to import, so only once the arguments are known to be right
    from cellquilt.networks.segment import segment
    from cellquilt.networks.tile_network import Mode, Network, choose_batch_size, select_device

    mode = Mode(o.precision, o.xla)
    mode.check(o.device)
    device = select_device(o.device, o.cpus)
    network = Network(o.model, 2 if o.batch_size == "auto" else int(o.batch_size), mode)
    if o.batch_size == "auto":
        choose_batch_size(network, o.device)
    cli.log.info("segment: on %s, batches of %d tiles", device, network.batch_size)
    segment(o.pixels, network, device, card, o.maps, o.max_map_difference)


if __name__ == "__main__":
    cli.run(main)
