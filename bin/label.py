#!/usr/bin/env python3
"""Label the cells and nuclei of a task's patches in its maps."""

from dataclasses import fields
from pathlib import Path

from cellquilt import cli, compartments
from cellquilt.labelling.label import label, thresholds_of
from cellquilt.labelling.thresholds import Thresholds


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--maps", type=Path, required=True, help="maps of SEGMENT")
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--labels", type=Path, required=True, help="store of labels to write")
    parameters = {
        (name, field.name): f"{compartments.parameter_of(name)}_{field.name}"
        for name in compartments.PLURALS
        for field in fields(Thresholds)
    }
    types = {field.name: field.type for field in fields(Thresholds)}
    for (_, threshold), parameter in parameters.items():
        args.add_argument(
            f"--{parameter}", type=types[threshold], help="by default the segmenter's own"
        )
    o = args.parse_args()
    given: dict[str, dict] = {name: {} for name in compartments.PLURALS}
    for (name, threshold), parameter in parameters.items():
        if (value := getattr(o, parameter)) is not None:
            given[name][threshold] = value
    thresholds = thresholds_of(o.maps, compartments.segmented(o.compartment), given)
    label(o.maps, thresholds, o.labels)


if __name__ == "__main__":
    cli.run(main)
