#!/usr/bin/env python3
"""Validate one slide and write its normalised two-channel store and sample.json."""

import argparse
from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.slides import ingest


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that are the same for all slides."""
    args.add_argument("--membrane_combine", choices=["max", "mean"], default="max")
    args.add_argument("--z", type=int, help="plane of a z-stack")
    args.add_argument("--t", type=int, help="frame of a time series")


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--sample", required=True, help="name of the sample")
    args.add_argument("--image", type=Path, required=True, help="OME-TIFF")
    args.add_argument("--nuclear", required=True, help="nuclear channel, name or 0-based index")
    args.add_argument("--membrane", default="", help="membrane channels, separated by ';'")
    args.add_argument(
        "--image_mpp", type=float, help="pixel size in um; from the file if not given"
    )
    add_settings(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the two")
    o = args.parse_args()
    request = ingest.Request(
        o.sample, o.image, o.nuclear, o.membrane, o.image_mpp, o.membrane_combine, o.z, o.t
    )
    o.outdir.mkdir(parents=True, exist_ok=True)
    facts = ingest.ingest(request, o.outdir / "normalised.zip")
    outputs.write_json(o.outdir / "sample.json", facts)


if __name__ == "__main__":
    cli.run(main)
