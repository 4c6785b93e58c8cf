"""The page that puts the results of several segmenters of one slide side by side."""

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

import numpy as np

from .. import outputs
from ..cells.agreement import THRESHOLDS, Agreement, agreement
from ..cells.object_f1 import ratio
from ..compartments import PLURALS
from ..errors import DataError
from ..handoff import stores
from ..handoff.step_files import read_report
from ..images.label_image import LabelReader, by_name
from ..segmenters import title_of
from . import page
from .crops import CROP_UM, squares
from .findings import findings
from .sample_report import ENLARGEMENT, data_url_of, svg_path
from .slide_view import crop_lines, crop_signal, in_colours
from .summary import found

N_CROPS = 3
MOST_SQUARES = 40  # of the map, along the longer side
COLOURS = ("#ffe98a", "#ff5cf0", "#58d8ff")  # of the results' outlines


@dataclass(frozen=True)
class Result:
    """What a segmenter made of the slide: its report.json, title and masks by name."""

    report: dict
    title: str
    masks: dict[str, Path]


@dataclass(frozen=True)
class Pair:
    """Two results compared in one compartment."""

    first: Result
    second: Result
    compartment: str
    agreement: Agreement


def contrast(store: Path, results: Sequence[tuple[Path, Sequence[Path]]], outdir: Path) -> None:
    """Write ``comparison.html`` and ``agreement.csv`` of a slide.

    Parameters
    ----------
    store : Path
        INGEST's store of the normalised slide.
    results : sequence of (Path, list of Path)
        Of each segmenter report.json of DRAW, and its label images.
    outdir : Path
        Folder of the slide, made where it is missing.

    Raises
    ------
    DataError
        If an input is damaged, or they are not of one slide.
    """
    given = [_result(report, masks) for report, masks in results]
    pairs = _pairs(given)
    with stores.read(store) as group:
        facts = group.attrs["facts"]
        mpp, image = facts["image_mpp"], facts["image"]
        extent = image["height"] * mpp, image["width"] * mpp
        crops = _crops(pairs, extent, mpp)
        shown = [
            {
                "signal": crop_signal(group["codes"], group["lut"][:], crop, extent),
                "crop": crop,
            }
            for crop in crops
        ]
    lines = [crop_lines(_outlined(result), crops, mpp) for result in given]
    outdir.mkdir(parents=True, exist_ok=True)
    outputs.write_text(outdir / "agreement.csv", _table(pairs))
    text = page.render(
        "contrast.html.j2",
        facts=facts,
        extent=extent,
        results=[_row(result) for result in given],
        colours=COLOURS,
        thresholds=THRESHOLDS,
        pairs=[_shown_pair(pair, extent, mpp) for pair in pairs],
        crops=[_shown_crop(one, lines) for one in shown],
    )
    outputs.write_text(outdir / "comparison.html", text)


def _result(report: Path, masks: Sequence[Path]) -> Result:
    read = read_report(report)
    return Result(read, title_of(read["segmenter"]), by_name(masks))


def _pairs(results: Sequence[Result]) -> list[Pair]:
    """Compare every two results in each compartment that both have."""
    pairs = []
    for first, second in combinations(results, 2):
        for compartment in PLURALS:
            paths = [found(result.masks, compartment) for result in (first, second)]
            if not all(paths):
                continue
            with ExitStack() as files:
                labels = [files.enter_context(LabelReader(path)) for path in paths if path]
                if labels[0].shape != labels[1].shape:
                    raise DataError(
                        f"{paths[1]}: is {labels[1].shape} px and {paths[0]} {labels[0].shape} px;"
                        " give masks of one slide."
                    )
                pairs.append(Pair(first, second, compartment, agreement(*labels)))
    return pairs


def _crops(pairs: Sequence[Pair], extent: tuple[float, float], mpp: float) -> list:
    """Return the squares in which the pairs agree least, apart from each other."""
    chosen = [pair for pair in pairs if pair.compartment == "cell"] or list(pairs)
    if not chosen:
        return []
    places = np.concatenate([pair.agreement.places for pair in chosen]) * mpp
    differs = ~np.concatenate([pair.agreement.is_matched for pair in chosen])
    return squares("differ most", places, differs, extent, CROP_UM, N_CROPS)


def _outlined(result: Result) -> dict[str, Path]:
    """Return the masks of a result whose outlines are drawn: cells or, without, nuclei."""
    for compartment in PLURALS:
        if mask := found(result.masks, compartment):
            return {compartment: mask}
    return {}


def _row(result: Result) -> dict:
    """Return a result's line of the table."""
    report, summary = result.report, result.report["summary"]
    told = findings(report)
    medians = {
        key: report["distributions"][key]["quantiles"].get("0.5")
        for key in ("cell_area_um2", "nucleus_area_um2", "mismatch")
        if key in report["distributions"]
    }
    return {
        "name": report["sample"],
        "href": f"../{quote(report['sample'])}/report.html",
        "title": result.title,
        "expand_um": report.get("expand_um"),
        "summary": summary,
        "density": report["density_per_mm2"],
        "medians": medians,
        "n_urgent": sum(finding.urgent for finding in told),
        "n_findings": len(told),
    }


def _table(pairs: Sequence[Pair]) -> str:
    """Return the agreement of the pairs as CSV."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["first", "second", "compartment", "iou", "f1", "n_first", "n_second", "n_matched"]
    )
    for pair in pairs:
        of, names = pair.agreement, (pair.first.report["sample"], pair.second.report["sample"])
        for threshold in THRESHOLDS:
            f1 = of.f1(threshold)
            counts = len(of.first), len(of.second), of.n_matched[threshold]
            shown = "" if f1 is None else round(f1, 6)
            table.writerow([*names, pair.compartment, threshold, shown, *counts])
    return text.getvalue()


def _shown_pair(pair: Pair, extent: tuple[float, float], mpp: float) -> dict:
    """Return a pair's scores and its map."""
    of = pair.agreement
    return {
        "first": pair.first.title,
        "second": pair.second.title,
        "objects": PLURALS[pair.compartment],
        "f1": [of.f1(threshold) for threshold in THRESHOLDS],
        "mean_iou": of.mean_iou,
        "n_first": len(of.first),
        "n_second": len(of.second),
        "n_matched": of.n_matched[THRESHOLDS[0]],
        "map": agreement_map(of, extent, mpp),
    }


def agreement_map(of: Agreement, extent: tuple[float, float], mpp: float) -> list[dict]:
    """Return the squares of a slide with any object, and how far two results agree there.

    Of each ``y``, ``x``, ``height`` and ``width`` (um), ``n`` objects of both, and ``share``, of
    them those that match one of the other at an intersection over union above 0.5.
    """
    side = max(max(extent) / MOST_SQUARES, CROP_UM)
    n = [max(round(length / side), 1) for length in extent]
    edges = [np.linspace(0, length, k + 1) for k, length in zip(n, extent, strict=True)]
    places = of.places * mpp
    counts = np.histogram2d(*places.T, edges)[0]
    matched = np.histogram2d(*places[of.is_matched].T, edges)[0]
    return [
        {
            "y": edges[0][i],
            "x": edges[1][j],
            "height": edges[0][i + 1] - edges[0][i],
            "width": edges[1][j + 1] - edges[1][j],
            "n": int(counts[i, j]),
            "share": ratio(matched[i, j], counts[i, j]),
        }
        for i, j in np.argwhere(counts)
    ]


def _shown_crop(one: dict, lines: Sequence[dict]) -> dict:
    """Return a crop as a picture with the outlines of each result as SVG paths."""
    (signal, (left, right, bottom, top)), crop = one["signal"], one["crop"]
    picture = in_colours(signal)
    size = picture.width * ENLARGEMENT, picture.height * ENLARGEMENT
    of_results = [[line for of in found[crop.square].values() for line in of] for found in lines]
    return {
        "crop": crop,
        "src": data_url_of(picture, size),
        "bounds": [left - crop.x, top - crop.y, right - left, bottom - top],
        "paths": [svg_path(found, crop) for found in of_results],
    }
