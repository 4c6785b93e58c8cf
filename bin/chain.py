#!/usr/bin/env python3
"""Do all steps of small slides, one slide after the other, with the network loaded once.

Standard input has the slides: a JSON list of objects with sample, images (all files of the slide),
nuclear and, where they are given, segmenter, slide (its name, where several segmenters' results
follow each other), tile and stride (of a network whose tiles are not Mesmer's), membrane,
image_mpp, compartment, columns, z, t, scene, markers, roi, cell_mask, nucleus_mask and truth.
"""

import sys
from functools import cache
from pathlib import Path

import ingest
import label
import patch
import quantify
import repair
import segment
import stitch
from cellquilt import cli, outputs, segmenters
from cellquilt.bundles.chain import Settings, chain
from cellquilt.bundles.slide import slides_of
from cellquilt.cells import measures
from cellquilt.errors import DataError


def main() -> None:
    args = cli.parser(__doc__)
    for step in (ingest, patch, segment, label, stitch, repair, quantify):
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
        ingest.combining_of(o),
        patch.cut_of(o),
        label.thresholds_given(o),
        o.export_pickle,
        quantify.limits_given(o),
        round(o.max_mpx * 1e6),
        o.to_table,
        o.expand_um,
        measures.parse(o.measures),
    )

    @cache
    def load(segmenter: str) -> segmenters.Runner:
        return segmenters.load(segmenter, segment.settings_of(o, segmenter))

    def refuse(sample: str, step: str, error: DataError) -> None:
        with cli.refused_by(step, sample, o.refusals):
            raise error

    left = chain(slides_of(sys.stdin.read()), settings, load, o.outdir, refuse)
    outputs.write_text(o.left, "".join(f"{sample}\n" for sample in left))


if __name__ == "__main__":
    cli.run(main)
