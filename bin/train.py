#!/usr/bin/env python3
"""Train a pixel classifier from images with labels."""

from pathlib import Path

from cellquilt import cli, compartments
from cellquilt.errors import DataError
from cellquilt.networks import gpu_lock
from cellquilt.pixelcnn import architectures
from cellquilt.training.examples import AUGMENTS, SPLITS, channels_of, check_parts, read_example
from cellquilt.training.pixel_classes import MIN_EDGE_WIDTH


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--name", required=True, help="of the files that are written")
    args.add_argument("--stores", type=Path, nargs="+", required=True, help="of INGEST")
    args.add_argument("--labels", type=Path, nargs="+", required=True, help="of the same slides")
    args.add_argument("--splits", nargs="+", choices=SPLITS, default=[], help="of the same slides")
    args.add_argument("--compartment", choices=compartments.OPTIONS, required=True)
    args.add_argument("--architecture", default=architectures.DEFAULT[0])
    args.add_argument("--architecture_file", type=Path, help="YAML with other architectures")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--edge_width", type=int, default=3, help="model px between touching cells")
    args.add_argument("--held_out", type=float, default=0.2, help="share of an image for the test")
    args.add_argument("--steps", type=int, default=4000, help="at most")
    args.add_argument("--patience", type=int, default=10, help="evaluations without progress")
    args.add_argument("--learning_rate", type=float, default=1e-4)
    args.add_argument("--augment", choices=AUGMENTS, default="flip")
    args.add_argument("--data_license", default="not stated", help="of the images and labels")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--tasks_per_gpu", type=int, default=1, help="that may share one")
    args.add_argument(
        "--gpu_locks", type=Path, default=gpu_lock.FOLDER, help="the machine's folder"
    )
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True)
    o = args.parse_args()
    if o.edge_width < MIN_EDGE_WIDTH:
        raise DataError(f"--edge_width {o.edge_width}: must be at least {MIN_EDGE_WIDTH} px.")
    (architecture,) = architectures.load([o.architecture], o.architecture_file)
    splits = o.splits or ["train"] * len(o.stores)
    held_out = 0.0 if "test" in splits else o.held_out
    seen = {channels_of(store, o.compartment) for store in o.stores}
    if len(seen) > 1:
        raise DataError("--input: some images have a membrane channel; name one for all or none.")
    n_channels = len(seen.pop())
    examples = [
        read_example(store, labels, n_channels, split, o.edge_width, held_out, architecture.radius)
        for store, labels, split in zip(o.stores, o.labels, splits, strict=True)
    ]
    check_parts(examples, o.edge_width)
    # TensorFlow takes seconds to import, so only once the input is known to be right
    from cellquilt.networks.tile_network import select_device
    from cellquilt.training.fit import Schedule
    from cellquilt.training.train import train_network

    device = select_device(o.device, o.cpus, o.tasks_per_gpu, o.gpu_locks)
    schedule = Schedule(o.steps, o.patience, learning_rate=o.learning_rate, augment=o.augment)
    facts = {
        **{name: getattr(o, name) for name in ("edge_width", "data_license", "cpus")},
        "held_out": held_out,
        "device": device,
    }
    card = train_network(
        o.name, architecture, o.compartment, examples, schedule, o.seed, o.outdir, facts
    )
    test = card["scores"]["test"]
    cli.log.info(
        "train: %s: pixel accuracy %.3f and F1 %.3f of the cells on the test",
        o.name,
        test["pixel_accuracy"],
        test["f1"] or 0,
    )


if __name__ == "__main__":
    cli.run(main)
