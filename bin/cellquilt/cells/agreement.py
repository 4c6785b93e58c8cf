"""How far two segmentations of a slide agree, and where they do not."""

from dataclasses import dataclass

import numpy as np

from ..images.label_rows import LabelRows
from ..images.strips import strip_rows
from .contingency import Contingency, Table
from .object_f1 import overlaps_of, ratio

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Agreement:
    """Two label images of a slide, object by object.

    Attributes
    ----------
    n_matched : dict of float to int
        How many objects of one match one of the other, by the intersection over union above which
        they do.
    first, second : (n, 2) ndarray of float64
        Centroids of all objects, y and x in pixels from the corner of the first one.
    first_matched, second_matched : (n,) ndarray of bool
        Which of them match at an intersection over union above 0.5.
    mean_iou : float or None
        Of the pairs that match at 0.5.
    """

    n_matched: dict[float, int]
    first: np.ndarray
    second: np.ndarray
    first_matched: np.ndarray
    second_matched: np.ndarray
    mean_iou: float | None

    def f1(self, threshold: float) -> float | None:
        """Return F1 at a threshold, see `object_f1.object_f1`; None without any object."""
        return ratio(2 * self.n_matched[threshold], len(self.first) + len(self.second))

    @property
    def places(self) -> np.ndarray:
        """Centroids of the objects of both, (n, 2)."""
        return np.concatenate([self.first, self.second])

    @property
    def is_matched(self) -> np.ndarray:
        """Which of `places` are of objects that match, (n,) bool."""
        return np.concatenate([self.first_matched, self.second_matched])


def agreement(first: LabelRows, second: LabelRows) -> Agreement:
    """Compare two label images of the same shape, strip by strip."""
    contingency = Contingency()
    for y0, y1 in strip_rows(first.shape):
        contingency.add(first.read(y0, y1), second.read(y0, y1), y0)
    found = overlaps_of(contingency.pairs())
    # Above 0.5 an object matches at most one other
    paired = found.iou > THRESHOLDS[0]
    matched = [np.zeros(len(table.keys), bool) for table in (found.found, found.true)]
    matched[0][found.first[paired]] = matched[1][found.second[paired]] = True
    return Agreement(
        {threshold: int((found.iou > threshold).sum()) for threshold in THRESHOLDS},
        _centroids(found.found),
        _centroids(found.true),
        *matched,
        ratio(float(found.iou[paired].sum()), int(paired.sum())),
    )


def _centroids(objects: Table) -> np.ndarray:
    return objects.sums[:, 1:] / objects.area[:, None] + 0.5
