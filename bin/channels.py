#!/usr/bin/env python3
"""Rank the channels of a slide by how nuclear and how much like membranes they look, before a run.

By their pixels alone, in nine windows of the slide. It helps to choose --nuclear and --membrane.
"""

from pathlib import Path

from cellquilt import cli
from cellquilt.slides.channel_structure import structures
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--image", type=Path, required=True, help="the slide")
    args.add_argument("--image_mpp", type=float, help="pixel size (um), where the file has none")
    for axis in "zt":
        args.add_argument(f"--{axis}", type=int, help=f"plane along {axis.upper()}, from 0")
    o = args.parse_args()
    with open_slide(o.image, o.z, o.t) as slide:
        mpp, _ = resolve_image_mpp(slide, o.image_mpp)
        found = list(structures(slide, mpp))
    for role in ("nuclear", "membrane"):
        print(f"{role}, the likeliest first")
        for channel, structure in sorted(found, key=lambda pair: -getattr(pair[1], role)):
            print(f"  {getattr(structure, role):.4f}  {channel.index}: {channel.name}")


if __name__ == "__main__":
    cli.run(main)
