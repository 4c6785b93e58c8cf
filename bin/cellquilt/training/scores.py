"""How good a pixel classifier is: of its pixels, and of the cells that come of them."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..cells.object_f1 import object_f1, ratio
from ..labelling.pixel_maps import maps_of
from ..labelling.thresholds import Thresholds
from ..labelling.watershed import label_cells, smooth
from ..pixelcnn.architectures import CLASSES

MAXIMA_THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)
INTERIOR_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
MEDIANS = (1, 3, 5)
# What thresholds are chosen from: those that are not tried keep these values
DEFAULT = Thresholds(
    maxima_threshold=0.05,
    interior_threshold=0.5,
    interior_smooth=1.0,
    small_objects_threshold=15,
    fill_holes_threshold=15,
    radius=2,
    median=3,
)
SMALLEST_PROBABILITY = 1e-7  # below it, a cross-entropy counts no further


def pixel_scores(
    probabilities: Iterable[np.ndarray], classes: Iterable[np.ndarray]
) -> dict[str, float | None]:
    """Return how well pixels are classified.

    Parameters
    ----------
    probabilities : iterable of (2, h, w) ndarray of float32
        Of cell and edge, by image.
    classes : iterable of (h, w) ndarray of uint8
        True ones.

    Returns
    -------
    dict
        ``pixel_accuracy``, ``cross_entropy`` (mean over pixels, nats), and ``recall_<class>``,
        None where the class has no pixel.
    """
    right, total = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    losses = 0.0
    for found, true in zip(probabilities, classes, strict=True):
        cell, edge = found
        every = np.stack([1 - cell - edge, cell, edge])
        chosen = every.argmax(axis=0)
        total += np.bincount(true.ravel(), minlength=len(CLASSES))
        right += np.bincount(true[chosen == true], minlength=len(CLASSES))
        of_true = np.take_along_axis(every, true[None].astype(np.intp), axis=0)
        losses -= np.log(np.maximum(of_true, SMALLEST_PROBABILITY), dtype=np.float64).sum()
    recalls = {
        f"recall_{name}": ratio(float(r), float(n))
        for name, r, n in zip(CLASSES, right, total, strict=True)
    }
    n_pixels = float(total.sum())
    return {
        "pixel_accuracy": float(right.sum()) / n_pixels,
        "cross_entropy": float(losses) / n_pixels,
        **recalls,
    }


def label_region(probabilities: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return the cells of a region, (h, w) uint32, from its (2, h, w) probabilities."""
    maps = maps_of(*probabilities, thresholds.median)
    labels, _ = label_cells(maps.maxima, smooth(maps.interior, thresholds), thresholds)
    return labels


def object_scores(
    found: Iterable[np.ndarray], truth: Iterable[np.ndarray], iou: float = 0.5
) -> dict:
    """Return `object_f1` at an intersection over union over several images together."""
    scores = [object_f1(f, t, iou) for f, t in zip(found, truth, strict=True)]
    n = {
        key: sum(score[key] for score in scores)
        for key in ("n_true_positive", "n_predicted", "n_truth")
    }
    return {"f1": ratio(2 * n["n_true_positive"], n["n_predicted"] + n["n_truth"]), **n}


def mean_f1(found: Iterable[np.ndarray], truth: Iterable[np.ndarray], iou: float = 0.5) -> float:
    """Return the mean object F1 over images, so that one of many cells does not outvote others.

    An image without cells, true or found, counts as right.
    """
    scores = [object_f1(f, t, iou)["f1"] for f, t in zip(found, truth, strict=True)]
    return float(np.mean([1.0 if f1 is None else f1 for f1 in scores]))


def choose_thresholds(
    probabilities: list[np.ndarray],
    truth: list[np.ndarray],
    medians: Iterable[int] = MEDIANS,
) -> Thresholds:
    """Return the thresholds of the watershed, and the median filter, with the best `mean_f1`.

    Parameters
    ----------
    probabilities : list of (2, h, w) ndarray of float32
        Of validation regions.
    truth : list of (h, w) ndarray of uint32
        Their labels.
    medians : iterable of int
        Sides of the filter to choose from.
    """
    best, best_f1 = DEFAULT, -1.0
    for median in medians:
        maps = [maps_of(*found, median) for found in probabilities]
        for maxima, interior in itertools.product(MAXIMA_THRESHOLDS, INTERIOR_THRESHOLDS):
            tried = replace(
                DEFAULT, maxima_threshold=maxima, interior_threshold=interior, median=median
            )
            labels = [label_cells(m.maxima, smooth(m.interior, tried), tried)[0] for m in maps]
            f1 = mean_f1(labels, truth)
            if f1 > best_f1:
                best, best_f1 = tried, f1
    return best
