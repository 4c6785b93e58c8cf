"""The watershed on a U-Net's maps, and the choice of its thresholds."""

from collections.abc import Iterable

import numpy as np

from ..labelling.thresholds import Thresholds
from ..labelling.watershed import label_cells, smooth
from .scores import mean_f1, object_scores
from .unet_recipe import CANDIDATES, IOUS


def labels_of(maps: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return the nuclei in an image's maps, (h, w) uint32 of (2, h, w) float32."""
    maxima, interior = maps
    labels, _ = label_cells(maxima, smooth(interior, thresholds), thresholds)
    return labels


def choose(maps: Iterable[np.ndarray], truth: Iterable[np.ndarray]) -> Thresholds:
    """Return those of the recipe's thresholds with the best mean F1 over images and `IOUS`.

    Of equals, the first ones.

    Parameters
    ----------
    maps : iterable of (2, h, w) ndarray of float32
        Of validation regions.
    truth : iterable of (h, w) ndarray of uint32
        Their labels.
    """
    maps, truth = list(maps), list(truth)

    def score(thresholds: Thresholds) -> float:
        found = [labels_of(one, thresholds) for one in maps]
        return sum(mean_f1(found, truth, iou) for iou in IOUS)

    return max(CANDIDATES, key=score)


def scores_of(
    maps: Iterable[np.ndarray], truth: Iterable[np.ndarray], thresholds: Thresholds
) -> dict:
    """Return `object_scores` of nuclei, and F1 at the higher of `IOUS` as well."""
    found, truth = [labels_of(one, thresholds) for one in maps], list(truth)
    strict = object_scores(found, truth, IOUS[1])
    return {**object_scores(found, truth), f"f1_{IOUS[1]}": strict["f1"]}
