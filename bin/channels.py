#!/usr/bin/env python3
"""Rank the channels of a slide by how nuclear and how much like membranes they look, before a run.

By their pixels alone, in nine windows of the slide. It helps to choose --nuclear and --membrane.
"""

from pathlib import Path

import ingest
from cellquilt import cli
from cellquilt.slides.channel_structure import structures
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--image", type=Path, nargs="+", required=True, help="slide, all its files")
    args.add_argument("--image_mpp", type=float, help="pixel size (um), where the file has none")
    ingest.add_selection(args)
    ingest.add_settings(args)
    o = args.parse_args()
    with open_slide(o.image, ingest.selection_of(o)) as slide:
        mpp, _ = resolve_image_mpp(slide, o.image_mpp)
        found = list(structures(slide, mpp))
    for role in ("nuclear", "membrane"):
        print(f"{role}, the likeliest first")
        for channel, structure in sorted(found, key=lambda pair: -getattr(pair[1], role)):
            print(f"  {getattr(structure, role):.4f}  {channel.index}: {channel.name}")


if __name__ == "__main__":
    cli.run(main)
