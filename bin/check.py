#!/usr/bin/env python3
"""Look at the headers of slides: what is understood of each, what is wrong, and what they cost.

Standard input has two lines of JSON. The first is an object with bundles, the bundle of each small
slide by sample, and of slides that are not on the second line problems, the texts of what is wrong,
and unseen, why they are not looked at. The second has the slides as chain.py reads them.
"""

import argparse
import json
import sys
from functools import partial
from itertools import groupby
from pathlib import Path

import ingest
import patch
from cellquilt import cli, outputs, segmenters
from cellquilt.bundles.slide import Slide, slides_of
from cellquilt.cells.measures import MEAN, parse
from cellquilt.errors import DataError, reason
from cellquilt.planning import tables
from cellquilt.planning.figures import read_figures
from cellquilt.planning.inspection import Inspection, inspect
from cellquilt.planning.plan import Plan, Settings, plan_run, total


def given(text: str) -> dict:
    """Return what standard input has."""
    try:
        others, slides = text.strip().split("\n")
        found = json.loads(others)
        return {key: dict(found[key]) for key in ("bundles", "problems", "unseen")} | {
            "slides": slides_of(slides)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"standard input: has no slides as JSON ({reason(error)}).") from error


def add_settings(args: argparse.ArgumentParser) -> None:
    """Add the options that a plan depends on."""
    patch.add_settings(args)
    args.add_argument("--n_networks", type=int, default=2, help="pixel classifiers")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--max_mpx", type=float, default=20, help="a slide with more is large")
    args.add_argument("--keep_maps", **cli.SWITCH, help="LABEL has tasks of its own")
    args.add_argument("--formats", default="csv", help="of EXPORT, or none")
    args.add_argument("--measures", default=MEAN, help="of QUANTIFY")
    text = "recommendation.json of the user's batching study"
    args.add_argument("--benchmark", type=Path, help=text)


def settings_of(o: argparse.Namespace) -> Settings:
    """Return what these options say, but for the last."""
    asked = parse(o.measures)
    return Settings(
        o.n_networks,
        o.device,
        o.keep_maps,
        tuple(name for name in o.formats.split(",") if name != "none"),
        round(o.max_mpx * 1e6),
        patch.cut_of(o),
        len(asked.measures),
        asked.boundary,
    )


def _own_masks(slide: Slide) -> dict[str, Path]:
    return slide.own_masks if slide.segmenter == segmenters.OWN else {}


def main() -> None:
    args = cli.parser(__doc__)
    ingest.add_settings(args)
    add_settings(args)
    text = "channels that EXPORT is to write beside the labels"
    args.add_argument("--export_image", default="", help=text)
    args.add_argument("--outdir", type=Path, default=Path(), help="folder of check.csv")
    o = args.parse_args()
    figures, channels = read_figures(o.benchmark), ingest.combining_of(o)
    said = given(sys.stdin.read())
    found, works = [], []
    for name, of_slide in groupby(said["slides"], key=lambda slide: slide.name):
        results = list(of_slide)
        own_masks = {k: path for result in results for k, path in _own_masks(result).items()}
        one = inspect(name, partial(results[0].request, channels), own_masks, o.export_image)
        found.append(one)
        if one.status == "ok":
            bundle = said["bundles"].get(name)
            works += [
                one.work(of.compartment, bundle, of.segmented, of.segmenter, name, of.tiles)
                for of in results
            ]
    planned: dict[str, list[Plan]] = {}
    for work, plan in zip(works, plan_run(works, settings_of(o), figures), strict=True):
        planned.setdefault(work.slide, []).append(plan)
    plans = {name: total(of_slide) for name, of_slide in planned.items()}
    found += [Inspection(name, problems=texts) for name, texts in said["problems"].items()]
    found += [Inspection(name, unseen=text) for name, text in said["unseen"].items()]
    found.sort(key=lambda one: one.sample)
    rows = found, [plans.get(one.sample) for one in found]
    outputs.write_text(o.outdir / "check.csv", tables.render_csv(*rows))
    outputs.write_text(o.outdir / "check.txt", cli.printable(tables.render_text(*rows, figures)))
    if message := tables.refusal(found):
        outputs.write_text(o.outdir / "refusal.txt", message + "\n")


if __name__ == "__main__":
    cli.run(main)
