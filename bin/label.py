#!/usr/bin/env python3
"""Turn the raw maps of a task into the cells and nuclei that its patches own."""

from dataclasses import fields
from pathlib import Path

from cellquilt import cli
from cellquilt.labelling.label import COMPARTMENTS, label, thresholds_of


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--maps", type=Path, required=True, help="maps of SEGMENT or CLASSIFY")
    args.add_argument("--compartment", choices=["whole-cell", "nuclear", "both"], default="both")
    args.add_argument("--labels", type=Path, required=True, help="store of labels to write")
    for compartment, (_, _, mesmers) in COMPARTMENTS.items():
        for field in fields(mesmers):
            args.add_argument(
                f"--{compartment.replace('-', '_')}_{field.name}",
                type=type(getattr(mesmers, field.name)),
                help="by default the segmenter's own",
            )
    o = args.parse_args()
    given = {
        compartment: {
            field.name: value
            for field in fields(mesmers)
            if (value := getattr(o, f"{compartment.replace('-', '_')}_{field.name}")) is not None
        }
        for compartment, (_, _, mesmers) in COMPARTMENTS.items()
    }
    label(o.maps, thresholds_of(o.maps, o.compartment, given), o.labels)


if __name__ == "__main__":
    cli.run(main)
