#!/usr/bin/env python3
"""Label the cells and nuclei of a task's patches in its maps."""

import argparse
from dataclasses import fields
from pathlib import Path

from cellquilt import cli, compartments
from cellquilt.labelling.label import Wanted, label
from cellquilt.labelling.thresholds import Thresholds

PARAMETERS = {
    (name, field.name): f"{compartments.parameter_of(name)}_{field.name}"
    for name in compartments.PLURALS
    for field in fields(Thresholds)
}


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    types = {field.name: field.type for field in fields(Thresholds)}
    for (_, threshold), parameter in PARAMETERS.items():
        args.add_argument(
            f"--{parameter}", type=types[threshold], help="by default the segmenter's own"
        )


def thresholds_given(o: argparse.Namespace) -> dict[str, dict]:
    """Return what these options say: of each compartment, the thresholds that are given."""
    given: dict[str, dict] = {name: {} for name in compartments.PLURALS}
    for (name, threshold), parameter in PARAMETERS.items():
        if (value := getattr(o, parameter)) is not None:
            given[name][threshold] = value
    return given


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--maps", type=Path, required=True, help="maps of SEGMENT")
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--labels", type=Path, required=True, help="store of labels to write")
    add_settings(args)
    o = args.parse_args()
    label(o.maps, Wanted(compartments.segmented(o.compartment), thresholds_given(o)), o.labels)


if __name__ == "__main__":
    cli.run(main)
