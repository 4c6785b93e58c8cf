#!/usr/bin/env python3
"""Run a segmenter's network over the tiles of a task: its maps, or the labels of its patches."""

import argparse
from pathlib import Path

import label
from cellquilt import cli, compartments, segmenters
from cellquilt.errors import SlideError
from cellquilt.labelling.arriving import labelled
from cellquilt.labelling.label import Wanted
from cellquilt.labelling.map_store import stored
from cellquilt.networks import gpu_lock


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    text = "what MODEL, TRAIN or NETWORK wrote; of several segmenters each as SEGMENTER=FILE"
    args.add_argument("--networks", type=_network, nargs="*", default=[], help=text)
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    cli.add_cpus(args)
    args.add_argument("--batch_size", default="auto", help="tiles at a time: 'auto' or 2 to 255")
    args.add_argument("--precision", choices=["float32", "bfloat16", "tf32"], default="float32")
    args.add_argument("--xla", **cli.SWITCH, help="compile the network")
    args.add_argument(
        "--max_map_difference",
        type=float,
        default=segmenters.MAX_MAP_DIFFERENCE,
        help="by how much another precision, or XLA, may change the maps",
    )
    args.add_argument("--tasks_per_gpu", type=int, default=1, help="that may share one")
    args.add_argument(
        "--gpu_locks", type=Path, default=gpu_lock.FOLDER, help="the machine's folder"
    )


def _network(text: str) -> tuple[str | None, Path]:
    """Return a network's segmenter, where it is given, and its file."""
    segmenter, _, path = text.partition("=")
    return (segmenter, Path(path)) if segmenter in segmenters.SEGMENTERS else (None, Path(text))


def settings_of(o: argparse.Namespace, segmenter: str) -> segmenters.Settings:
    """Return what these options say for a segmenter."""
    # Of several the default one alone can have another precision
    others = segmenter != segmenters.DEFAULT and any(own for own, _ in o.networks)
    return segmenters.Settings(
        [path for own, path in o.networks if own in (None, segmenter)],
        o.device,
        o.cpus,
        None if o.batch_size == "auto" else int(o.batch_size),
        "float32" if others else o.precision,
        o.xla and not others,
        o.max_map_difference,
        o.tasks_per_gpu,
        o.gpu_locks,
    )


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, required=True, help="pixel store of the task")
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--segmenter", choices=segmenters.SEGMENTERS, default=segmenters.DEFAULT)
    add_settings(args)
    wanted = args.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--maps", type=Path, help="store of maps to write")
    wanted.add_argument("--labels", type=Path, help="store of labels to write")
    label.add_settings(args)
    args.add_argument("--label_processes", type=int, help="by default as many as --cpus")
    o = args.parse_args()
    if not o.networks:
        args.error("--networks are needed")
    thresholds = label.thresholds_given(o)
    if o.maps and any(thresholds.values()):
        args.error("thresholds are for --labels; with --maps give them to label.py")
    if o.maps:
        destination = stored(o.maps)
    else:
        n_processes = o.cpus if o.label_processes is None else o.label_processes
        given = Wanted(compartments.segmented(o.compartment), thresholds)
        destination = labelled(o.labels, given, n_processes)
    segmenters.load(o.segmenter, settings_of(o, o.segmenter)).segment(
        o.pixels, o.compartment, destination
    )


if __name__ == "__main__":
    cli.run(main, refused=SlideError)
