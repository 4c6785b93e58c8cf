#!/usr/bin/env python3
"""Validate one slide and write its normalised two-channel store and sample.json."""

import argparse
from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.bundles.slide import Combining, inputs_of
from cellquilt.slides import ingest
from cellquilt.slides.markers import read_markers
from cellquilt.slides.selection import AXES, PROJECTIONS, Selection, z_of


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    for role in ("nuclear", "membrane"):
        text = f"how several {role} channels become one"
        args.add_argument(f"--{role}_combine", choices=PROJECTIONS, default="max", help=text)
    text = "axis along which the channels of a slide lie"
    args.add_argument("--channels_axis", choices=AXES, default="C", help=text)
    args.add_argument("--checksum", **cli.SWITCH, help="add the SHA-256 of the input files")


def combining_of(o: argparse.Namespace) -> Combining:
    """Return what these options say."""
    return Combining(o.nuclear_combine, o.membrane_combine, o.channels_axis, o.checksum)


def add_selection(args: argparse.ArgumentParser) -> None:
    """Add the options that say what of a file is the slide."""
    text = "plane of a z-stack, from 0, or max or mean over all"
    args.add_argument("--z", type=z_of, help=text)
    args.add_argument("--t", type=int, help="frame of a time series, from 0")
    args.add_argument("--scene", help="name or 0-based index of one of several images")
    text = "table with the names of the channels, such as MCMICRO's markers.csv"
    args.add_argument("--markers", type=Path, help=text)


def selection_of(o: argparse.Namespace) -> Selection:
    """Return what these options say."""
    names = read_markers(o.markers) if o.markers else None
    return Selection(o.z, o.t, o.scene, o.channels_axis, names)


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--sample", required=True, help="name of the sample")
    args.add_argument("--image", type=Path, nargs="+", required=True, help="slide, all its files")
    text = "nuclear channels, names or 0-based indices, separated by ';'"
    args.add_argument("--nuclear", required=True, help=text)
    args.add_argument("--membrane", default="", help="membrane channels, separated by ';'")
    args.add_argument(
        "--image_mpp", type=float, help="pixel size in um; from the file if not given"
    )
    add_selection(args)
    args.add_argument("--roi", type=Path, help="regions of interest: GeoJSON or label image")
    add_settings(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the two")
    o = args.parse_args()
    request = ingest.Request(
        o.sample,
        o.image,
        o.nuclear,
        o.membrane,
        o.image_mpp,
        o.membrane_combine,
        o.nuclear_combine,
        selection_of(o),
        o.markers and o.markers.name,
        o.roi,
        inputs_of(o.image, o.markers, o.roi) if o.checksum else (),
    )
    o.outdir.mkdir(parents=True, exist_ok=True)
    facts = ingest.ingest(request, o.outdir / "normalised.zip")
    outputs.write_json(o.outdir / "sample.json", facts)


if __name__ == "__main__":
    cli.run(main)
