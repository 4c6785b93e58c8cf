"""The quality score of CellSegmentationEvaluator (Chen and Murphy 2023), run on a part of a slide.

It needs no truth: 14 metrics of how well cells cover the tissue and how uniform they are, and a
score from them. Its code is used as it is published, but for two things. Its reader of images,
which it imports and which is not needed here, is not installed. And its model of the score, which
is numbers in its source, is given to it as arrays, without which scikit-learn 1.9 fails in silence
and the score is NaN. Nothing is fetched, and nothing is unpickled.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from ..errors import DataError, reason
from ..images.label_image import LabelReader
from ..slides.slide import Slide
from ..tiling.box import Box

log = logging.getLogger("cellquilt")

PACKAGE = "CellSegmentationEvaluator"
MODEL = "2Dv1.5"
SIDE = 2048
# It takes 180 + 7 x channels bytes a pixel (measured): 8 GB for 40 channels of this.
MAX_SIDE = 4096
# It clusters the cells into up to 10 types.
FEWEST_CELLS = 11


def describe(
    slide: Slide,
    facts: dict,
    masks: Mapping[str, Path],
    matches: pd.DataFrame,
    metrics: dict,
    side: int = SIDE,
) -> dict:
    """Score a typical square of a slide and return the contents of evaluation.json.

    Parameters
    ----------
    slide : Slide
    facts : dict
        INGEST's, of the slide.
    masks : dict
        Label images of all that was found, ``cell`` and ``nucleus``.
    matches : DataFrame
        matches.csv, for where the cells are.
    metrics : dict
        REPAIR's, of which the fractions are put beside the score.
    side : int
        Of the square (px), see `choose_window`.

    Returns
    -------
    dict
        ``sample``; what `evaluate` returns; ``window``, the square; ``is_whole_slide``;
        ``n_channels``, ``n_cells`` and ``n_nuclei`` in it; ``cellquilt``, REPAIR's fractions.

    Raises
    ------
    DataError
        If `side` cannot be, pixels cannot be decoded, or a mask is not of the slide's size.
    """
    shape = slide.height, slide.width
    window = choose_window(cell_centres(matches), shape, side)
    image = read_image(slide, window)
    cell, nucleus = (read_labels(masks[name], shape, window) for name in ("cell", "nucleus"))
    found = evaluate(image, cell, nucleus, facts["image_mpp"])
    if found["problem"]:
        log.warning("evaluate: %s: %s", facts["sample"], found["problem"])
    return {
        "sample": facts["sample"],
        **found,
        "window": window._asdict(),
        "is_whole_slide": image.shape[1:] == shape,
        "n_channels": len(image),
        "n_cells": int(cell.max()),
        "n_nuclei": int(nucleus.max()),
        "cellquilt": {key: value for key, value in metrics.items() if key.endswith("fraction")},
    }


def choose_window(centres: np.ndarray, shape: tuple[int, int], side: int = SIDE) -> Box:
    """Return a square of a slide that is typical: of those with cells, the one of median number.

    Parameters
    ----------
    centres : (n, 2) ndarray
        y and x of the cells (px).
    shape : (int, int)
        Height and width of the slide (px).
    side : int
        Of the squares (px), which lie side by side, those at the lower and right edges overlapping
        their neighbours. A slide that is smaller is taken whole.

    Raises
    ------
    DataError
        If `side` is above `MAX_SIDE`.
    """
    if not 1 <= side <= MAX_SIDE:
        raise DataError(
            f"--side {side}: {PACKAGE} holds all channels in memory, so the square must have"
            f" between 1 and {MAX_SIDE} px a side; choose one of them."
        )
    windows = list(_squares(shape, side))
    counts = np.array([_count(centres, window) for window in windows])
    occupied = np.flatnonzero(counts)
    if not len(occupied):
        return windows[0]
    by_count = occupied[np.argsort(counts[occupied], kind="stable")]
    return windows[by_count[(len(by_count) - 1) // 2]]


def _squares(shape: tuple[int, int], side: int) -> Iterator[Box]:
    height, width = (min(side, length) for length in shape)
    for y0 in range(0, shape[0], height):
        for x0 in range(0, shape[1], width):
            y, x = min(y0, shape[0] - height), min(x0, shape[1] - width)
            yield Box(y, y + height, x, x + width)


def _count(centres: np.ndarray, window: Box) -> int:
    y, x = centres.T
    inside = (window.y0 <= y) & (y < window.y1) & (window.x0 <= x) & (x < window.x1)
    return int(inside.sum())


def cell_centres(matches: pd.DataFrame) -> np.ndarray:
    """Return y and x (px) of the cells of REPAIR's table, (n, 2)."""
    centres = matches[["cell_centroid_y_px", "cell_centroid_x_px"]].to_numpy(
        np.float64, na_value=np.nan
    )
    return centres[~np.isnan(centres[:, 0])]


def read_image(slide: Slide, window: Box) -> np.ndarray:
    """Return all channels of a window, (channels, height, width) of the slide's type."""
    planes = []
    for channel in slide.channels:
        planes.append(slide.read(channel.index, *window))
        slide.release(channel.index)
    return np.stack(planes)


def read_labels(path: Path, shape: tuple[int, int], window: Box) -> np.ndarray:
    """Return a window of a label image, (height, width) int64, its labels from 1 without gaps.

    The evaluator takes the n-th label for label n.

    Raises
    ------
    DataError
        If the label image is not of the slide's shape.
    """
    with LabelReader(path) as labels:
        if labels.shape != shape:
            raise DataError(
                f"{path}: is {labels.shape} px and the image {shape} px; give masks of this image."
            )
        part = labels.read(window.y0, window.y1)[:, window.x0 : window.x1]
    there, ranks = np.unique(part, return_inverse=True)
    return ranks.reshape(part.shape) + (there[0] > 0)


def evaluate(image: np.ndarray, cell: np.ndarray, nucleus: np.ndarray, image_mpp: float) -> dict:
    """Return what CellSegmentationEvaluator finds in cells and nuclei that it matches itself.

    Parameters
    ----------
    image : (channels, height, width) ndarray
    cell, nucleus : (height, width) integer ndarray
        Label images, their labels from 1 without gaps.
    image_mpp : float
        Pixel size in um.

    Returns
    -------
    dict
        ``evaluator`` and ``version``; ``quality_score``; ``metrics``, by the mask they are of and
        their name; ``problem``, why there is neither, or None. A metric that is not defined is
        None.
    """
    report = {"evaluator": PACKAGE, "version": version(PACKAGE), "model": MODEL}
    none = {"quality_score": None, "metrics": None}
    n_objects = min(int(cell.max(initial=0)), int(nucleus.max(initial=0)))
    if n_objects < FEWEST_CELLS:
        fewest = f"fewer than {FEWEST_CELLS} cells or nuclei"
        return report | none | {"problem": f"{fewest}, which it cannot cluster into types"}
    single_method_eval, model = _load()
    masks = np.stack([cell, nucleus])[None, :, None].astype(np.int64)
    pixels = {"img": None, "name": "image", "data": image[None, :, None]}
    size = {"pixelsizex": image_mpp, "pixelsizey": image_mpp}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            metrics = single_method_eval(pixels, {"img": None, "data": masks}, model, None, **size)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        # Such as where no foreground is left outside the cells, or a channel is constant.
        return report | none | {"problem": f"{PACKAGE} failed: {reason(error)}"}
    score = metrics.pop("QualityScore")
    return report | {
        "quality_score": _finite(score),
        "metrics": {
            mask: {name: _finite(value) for name, value in found.items()}
            for mask, found in metrics.items()
        },
        "problem": None if np.isfinite(score) else "a metric is not defined, so no score is",
    }


def _load():
    """Return its function for 2-D images, and its model of the score."""
    sys.modules.setdefault("aicsimageio", SimpleNamespace(AICSImage=None))  # imported, not used
    from CellSegmentationEvaluator.functions import getPCAmodel
    from CellSegmentationEvaluator.single_method_eval import single_method_eval

    model = np.empty(2, object)
    for k, part in enumerate(getPCAmodel(MODEL)):
        fitted = {name: value for name, value in vars(part).items() if name.endswith("_")}
        vars(part).update({name: np.asarray(value) for name, value in fitted.items()})
        model[k] = part
    return single_method_eval, model


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
