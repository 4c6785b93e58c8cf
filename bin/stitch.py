#!/usr/bin/env python3
"""Stitch the cells of all patches into whole-slide label images."""

from pathlib import Path

from cellquilt import cli, compartments, segmenters
from cellquilt.errors import SlideError
from cellquilt.handoff.step_files import read_facts, read_patches
from cellquilt.labelling.slide_masks import write_masks


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    args.add_argument("--patches", type=Path, required=True, help="table of patches of PATCH")
    args.add_argument("--labels", type=Path, nargs="*", default=[], help="label stores of LABEL")
    args.add_argument("--compartment", choices=compartments.CHOICES, default="both")
    args.add_argument("--segmenter", default=segmenters.DEFAULT, help="which made the maps")
    cli.add_cpus(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the sample's results")
    o = args.parse_args()
    facts, patches = read_facts(o.facts, needs_image=True), read_patches(o.patches, "PATCH")
    write_masks(o.labels, patches, facts, o.compartment, o.segmenter, o.outdir, o.cpus)


if __name__ == "__main__":
    cli.run(main, refused=SlideError)
