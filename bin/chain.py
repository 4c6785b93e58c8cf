#!/usr/bin/env python3
"""Do all steps of small slides, one slide after the other, with the network loaded once.

Standard input has the slides: a JSON list of objects with sample, images (all files of the slide),
nuclear and, where they are given, membrane, image_mpp, compartment, columns, z, t, scene, markers,
roi and truth.
"""

import json
import sys
from functools import cache
from pathlib import Path

import ingest
import label
import patch
import quantify
import repair
import segment
from cellquilt import cli, outputs, segmenters
from cellquilt.bundles.chain import Settings, Slide, chain
from cellquilt.errors import DataError, reason
from cellquilt.slides.selection import z_of

EMPTY = (None, "")


def files_of(row: dict) -> dict:
    """Return what a slide's object has as paths and as numbers."""
    paths = {key: [Path(name) for name in row.get(key, ())] for key in ("images", "truth")}
    tables = {key: Path(row[key]) for key in ("markers", "roi") if key in row}
    plane = {"z": z_of(str(row["z"]))} if "z" in row else {}
    return paths | tables | plane


def slides_of(text: str) -> list[Slide]:
    """Return the slides that standard input names."""
    try:
        found = json.loads(text)
        if not isinstance(found, list) or not found:
            raise ValueError("no list with any")
        given = [{key: v for key, v in row.items() if v not in EMPTY} for row in found]
        return [Slide(**row | files_of(row)) for row in given]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(f"standard input: has no slides as JSON ({reason(error)}).") from error


def main() -> None:
    args = cli.parser(__doc__)
    for step in (ingest, patch, segment, label, repair, quantify):
        step.add_settings(args)
    args.add_argument("--max_mpx", type=float, default=20, help="a slide with more is left")
    args.add_argument(
        "--to_table", **cli.SWITCH, help="measure and draw the cells too, after the masks"
    )
    cli.add_refusals(args)
    args.add_argument("--left", type=Path, required=True, help="list of what was left, to write")
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of the samples' folders")
    o = args.parse_args()
    settings = Settings(
        o.segmenter,
        o.nuclear_combine,
        o.membrane_combine,
        o.channels_axis,
        patch.cut_of(o),
        label.thresholds_given(o),
        o.export_pickle,
        quantify.limits_given(o),
        round(o.max_mpx * 1e6),
        o.to_table,
    )

    @cache
    def load() -> segmenters.Runner:
        return segmenters.load(o.segmenter, segment.settings_of(o))

    def refuse(sample: str, step: str, error: DataError) -> None:
        with cli.refused_by(step, sample, o.refusals):
            raise error

    left = chain(slides_of(sys.stdin.read()), settings, load, o.outdir, refuse)
    outputs.write_text(o.left, "".join(f"{sample}\n" for sample in left))


if __name__ == "__main__":
    cli.run(main)
