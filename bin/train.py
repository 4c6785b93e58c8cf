#!/usr/bin/env python3
"""Train a network, a pixel classifier or a U-Net, from images with labels."""

from dataclasses import replace
from pathlib import Path

from cellquilt import cli, compartments
from cellquilt.errors import DataError
from cellquilt.networks import gpu_lock
from cellquilt.training import architectures
from cellquilt.training.examples import (
    AUGMENTS,
    SPLITS,
    Source,
    channels_of,
    check_objects,
    check_parts,
    read_examples,
)
from cellquilt.training.pixel_classes import MIN_EDGE_WIDTH
from cellquilt.unet.architecture import UNet


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--name", required=True, help="of the files that are written")
    args.add_argument("--stores", type=Path, nargs="+", required=True, help="of INGEST")
    args.add_argument("--labels", type=Path, nargs="+", required=True, help="of the same slides")
    args.add_argument("--splits", nargs="+", choices=SPLITS, default=[], help="of the same slides")
    args.add_argument("--compartment", choices=compartments.OPTIONS, required=True)
    args.add_argument("--architecture", default=architectures.DEFAULT[0])
    args.add_argument("--architecture_file", type=Path, help="YAML with other architectures")
    args.add_argument("--start", type=Path, help="the U-Net that is trained further")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--edge_width", type=int, default=3, help="model px between touching cells")
    args.add_argument("--held_out", type=float, default=0.2, help="share of an image for the test")
    args.add_argument("--steps", type=int, help="at most; by default what suits the network")
    args.add_argument("--patience", type=int, help="evaluations without progress")
    args.add_argument("--learning_rate", type=float, help="by default what suits the network")
    args.add_argument("--augment", choices=AUGMENTS)
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
    is_unet = isinstance(architecture, UNet)
    if is_unet and o.compartment != "nuclear":
        raise DataError(
            f"--architectures {o.architecture}: is a network for nuclei; add --compartment nuclear,"
            " with labels of nuclei, or leave it out."
        )
    if is_unet and architecture.has_start != bool(o.start):
        raise DataError(
            f"--architecture {o.architecture} {'needs' if not o.start else 'has no'} --start."
        )
    splits = o.splits or ["train"] * len(o.stores)
    seen = {channels_of(store, o.compartment) for store in o.stores}
    if len(seen) > 1:
        raise DataError("--input: some images have a membrane channel; name one for all or none.")
    n_channels = len(seen.pop())
    sources = [Source(*each) for each in zip(o.stores, o.labels, splits, strict=True)]
    examples = read_examples(
        sources, o.compartment, n_channels, o.edge_width, o.held_out, architecture.radius
    )
    if is_unet:
        check_objects(examples)
    else:
        check_parts(examples, o.edge_width)
    # TensorFlow takes seconds to import, so only once the input is known to be right
    from cellquilt.networks.tile_network import select_device

    device = select_device(o.device, o.cpus, o.tasks_per_gpu, o.gpu_locks)
    names = ("steps", "patience", "learning_rate", "augment")
    given = {name: getattr(o, name) for name in names if getattr(o, name) is not None}
    facts = {
        **{name: getattr(o, name) for name in ("edge_width", "data_license", "cpus")},
        "held_out": 0.0 if "test" in splits else o.held_out,
        "device": device,
    }
    if is_unet:
        from cellquilt.training.unet_recipe import FURTHER, NEW
        from cellquilt.training.unet_train import train_unet

        schedule = replace(FURTHER if architecture.has_start else NEW, **given)
        card = train_unet(
            o.name, architecture, examples, schedule, o.seed, o.outdir, facts, o.start
        )
        say_unet(o.name, card)
        return

    from cellquilt.training.fit import Schedule
    from cellquilt.training.train import train_network

    card = train_network(
        o.name, architecture, o.compartment, examples, Schedule(**given), o.seed, o.outdir, facts
    )
    test = card["scores"]["test"]
    cli.log.info(
        "train: %s: pixel accuracy %.3f and F1 %.3f of the cells on the test",
        o.name,
        test["pixel_accuracy"],
        test["f1"] or 0,
    )


def say_unet(name: str, card: dict) -> None:
    """Log whether it paid."""
    scores = card["scores"]
    before = scores.get("before", {}).get("test")
    since = f", and {before['f1'] or 0:.3f} before it was trained" if before else ""
    text = "train: %s: F1 %.3f of the nuclei on the test%s"
    cli.log.info(text, name, scores["test"]["f1"] or 0, since)


if __name__ == "__main__":
    cli.run(main)
