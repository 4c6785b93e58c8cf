"""How well one segmentation agrees with another."""

from dataclasses import dataclass

import numpy as np

from ..images.label_image import as_labels
from .contingency import Contingency, Table, first_label, second_label


def object_f1(
    predicted: np.ndarray, truth: np.ndarray, iou: float = 0.5
) -> dict[str, float | int | None]:
    """Return F1 of the objects that match one to one at an intersection over union above `iou`.

    Parameters
    ----------
    predicted, truth : (height, width) integer
        Label images, 0 is background; labels may have gaps.
    iou : float
        Threshold, at least 0.5: above it an object matches at most one other.

    Returns
    -------
    dict
        f1, precision, recall (None where undefined), mean_iou of the matched objects, and the
        counts n_true_positive, n_predicted and n_truth.

    Raises
    ------
    ValueError
        If the shapes differ, the threshold is below 0.5 or an array holds no labels.

    References
    ----------
    The definition of DeepCell's and StarDist's evaluations (Caicedo et al., Nature Methods 16,
    1247, 2019, https://doi.org/10.1038/s41592-019-0612-7).
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"shapes differ: {predicted.shape} and {truth.shape}")
    if not 0.5 <= iou < 1:
        raise ValueError(f"iou {iou} is outside [0.5, 1), where a match is unique")
    contingency = Contingency()
    contingency.add(as_labels(predicted), as_labels(truth))
    overlaps = overlaps_of(contingency.pairs())
    found, true = overlaps.found, overlaps.true
    matched = overlaps.iou[overlaps.iou > iou]
    n_matched, n_found, n_true = len(matched), len(found.keys), len(true.keys)
    return {
        "f1": ratio(2 * n_matched, n_found + n_true),
        "precision": ratio(n_matched, n_found),
        "recall": ratio(n_matched, n_true),
        "mean_iou": ratio(float(matched.sum()), n_matched),
        "n_true_positive": n_matched,
        "n_predicted": n_found,
        "n_truth": n_true,
    }


@dataclass(frozen=True)
class Overlaps:
    """The objects of two label images, and which of them share pixels.

    Attributes
    ----------
    found, true : Table
        By label, the objects of the first and of the second image.
    first, second : (n,) int64
        Rows in `found` and `true` of each two that share a pixel.
    iou : (n,) float64
        Their intersection over union.
    """

    found: Table
    true: Table
    first: np.ndarray
    second: np.ndarray
    iou: np.ndarray


def overlaps_of(pairs: Table) -> Overlaps:
    """Return the overlaps in the joint histogram of two label images, see `Contingency.pairs`."""
    first, second = first_label(pairs.keys), second_label(pairs.keys)
    found, true = pairs.by(first), pairs.by(second)
    both = (first != 0) & (second != 0)
    rows, others = found.rows_of(first[both]), true.rows_of(second[both])
    shared = pairs.area[both]
    iou = shared / (found.area[rows] + true.area[others] - shared)
    return Overlaps(found, true, rows, others, iou)


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, or None where that is undefined."""
    return part / whole if whole else None
