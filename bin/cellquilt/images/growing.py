"""Objects grown into the background, in windows: equal to those of the whole label image at once.

A pixel belongs to the nearest object that is near enough, so all that decides about it lies within
that distance, and a window with as wide a halo decides alike, ties included.
"""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import expand_labels

from .label_rows import LabelRows

SIDE = 1024  # px of a window without its halo, unless that is wider


class MarkedRows(Protocol):
    """Pixels of a label image's grid that are marked, read in strips of rows."""

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) bool."""


def grow(labels: LabelRows, distance: float) -> Iterator[np.ndarray]:
    """Yield a label image whose objects are grown, in strips from the top down.

    Parameters
    ----------
    labels : LabelRows
    distance : float
        How far at most, in pixels. Where two objects meet, each pixel is of the nearer one.

    Yields
    ------
    (rows, width) ndarray of uint32
        ``skimage.segmentation.expand_labels(labels, distance)``, the rows of one strip. Memory
        follows the image's width, `SIDE` and `distance`.
    """
    halo, width = math.floor(distance) + 1, labels.shape[1]
    for y0, y1, top, rows in _strips(labels, halo):
        strip = np.zeros((y1 - y0, width), np.uint32)
        for left, right in _windows(width, halo):
            x0 = max(left - halo, 0)
            window = rows[:, x0 : right + halo]
            if window.any():
                grown = expand_labels(window, distance)
                strip[:, left:right] = grown[y0 - top : y1 - top, left - x0 : right - x0]
        yield strip


def labels_near(labels: LabelRows, marked: MarkedRows, distance: float) -> np.ndarray:
    """Return the labels of objects that come as near as `distance` (px) to a marked pixel."""
    halo, width = math.floor(distance) + 1, labels.shape[1]
    found = [np.zeros(0, np.uint32)]
    for _, y1, top, rows in _strips(labels, halo):
        marks = marked.read(top, y1 + halo)
        for left, right in _windows(width, halo):
            window = np.s_[:, max(left - halo, 0) : right + halo]
            if marks[window].any():
                near = distance_transform_edt(~marks[window]) <= distance
                found.append(np.unique(rows[window][near]))
    found = np.unique(np.concatenate(found))
    return found[found > 0]


def _strips(labels: LabelRows, halo: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield first and last row of each strip, the first row of its halo, and its pixels."""
    height, side = labels.shape[0], max(SIDE, 2 * halo)
    for y0 in range(0, height, side):
        y1, top = min(y0 + side, height), max(y0 - halo, 0)
        yield y0, y1, top, labels.read(top, y1 + halo)


def _windows(width: int, halo: int) -> Iterator[tuple[int, int]]:
    """Yield first and last column of each window."""
    side = max(SIDE, 2 * halo)
    for x0 in range(0, width, side):
        yield x0, min(x0 + side, width)
