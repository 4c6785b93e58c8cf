#!/usr/bin/env python3
"""Run Mesmer's network over the tiles of a task."""

from pathlib import Path

from cellquilt import cli, mesmer


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, required=True, help="pixel store of the task")
    args.add_argument("--model", type=Path, required=True, help="SavedModel of MODEL")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--cpus", type=int, default=cli.cpu_count(), help="threads")
    args.add_argument("--batch_size", default="auto", help="tiles at a time: 'auto' or 2 to 255")
    args.add_argument("--maps", type=Path, required=True, help="store of maps to write")
    o = args.parse_args()
    card = mesmer.read_card(o.model)
    # TensorFlow takes seconds to import, so only once the arguments are known to be right
    from cellquilt.network import Network, auto_batch_size, select_device
    from cellquilt.segment import segment

    device = select_device(o.device, o.cpus)
    batch_size = auto_batch_size(o.device) if o.batch_size == "auto" else int(o.batch_size)
    network = Network(o.model, batch_size)
    cli.log.info("segment: on %s, batches of %d tiles", device, network.batch_size)
    segment(o.pixels, network, device, card, o.maps)


if __name__ == "__main__":
    cli.run(main)
