#!/usr/bin/env python3
"""Turn the raw maps of a task into the cells and nuclei that its patches own."""

from dataclasses import fields, replace
from pathlib import Path

from cellquilt import cli
from cellquilt.label import COMPARTMENTS, compartments_of, label


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--maps", type=Path, required=True, help="maps of SEGMENT")
    args.add_argument("--compartment", choices=["whole-cell", "nuclear", "both"], default="both")
    args.add_argument("--labels", type=Path, required=True, help="store of labels to write")
    for compartment, (_, _, defaults) in COMPARTMENTS.items():
        for field in fields(defaults):
            args.add_argument(
                f"--{compartment.replace('-', '_')}_{field.name}",
                type=type(getattr(defaults, field.name)),
                default=getattr(defaults, field.name),
            )
    o = args.parse_args()
    thresholds = {}
    for compartment in compartments_of(o.compartment):
        _, _, defaults = COMPARTMENTS[compartment]
        prefix = compartment.replace("-", "_")
        given = {f.name: getattr(o, f"{prefix}_{f.name}") for f in fields(defaults)}
        thresholds[compartment] = replace(defaults, **given)
    label(o.maps, thresholds, o.labels)


if __name__ == "__main__":
    cli.run(main)
