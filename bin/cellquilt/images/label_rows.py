"""Label images that are read in strips of rows, and what is derived from them row by row."""

from typing import Protocol

import numpy as np


class LabelRows(Protocol):
    """A 2-D label image that is read in strips of rows, wherever its pixels are.

    `cellquilt.images.label_image.LabelReader` reads a file, `cellquilt.images.strips.Scratch`
    what a step computed; `Relabelled` and `Overlaid` derive one label image from others.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    """

    shape: tuple[int, int]

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Return the inner boundary of every object, as labels.

    A boundary pixel has an upper, lower, left or right neighbour of another value. The image
    edge is no boundary. A strip of a larger image needs one more row on either side, whose
    own result is to be dropped; see `boundary_rows`.

    Parameters
    ----------
    labels : (height, width) integer
        Label image.

    Returns
    -------
    (height, width) array of the same type
        The label on boundary pixels, 0 elsewhere: where
        ``skimage.segmentation.find_boundaries(labels, connectivity=1, mode="inner")``.
    """
    boundary = np.zeros(labels.shape, bool)
    change = labels[1:] != labels[:-1]
    boundary[1:] |= change
    boundary[:-1] |= change
    change = labels[:, 1:] != labels[:, :-1]
    boundary[:, 1:] |= change
    boundary[:, :-1] |= change
    return np.where(boundary, labels, 0)


def boundary_rows(labels: LabelRows, y0: int, y1: int) -> np.ndarray:
    """Return rows `y0` to `y1` of the image's boundaries, reading one row more on either side."""
    above = min(y0, 1)
    return boundaries(labels.read(y0 - above, y1 + 1))[above : above + y1 - y0]


class Relabelled:
    """A label image whose labels are replaced by those of a table, as `LabelRows`.

    Parameters
    ----------
    labels : LabelRows
    new_labels : (n,) uint32
        New label of each label from 0 to n - 1; larger ones are given the last.
    """

    def __init__(self, labels: LabelRows, new_labels: np.ndarray):
        self._labels, self._new = labels, new_labels
        self.shape: tuple[int, int] = labels.shape

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        return np.take(self._new, self._labels.read(y0, y1), mode="clip")


def new_labels(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return the table for `Relabelled` that makes each old label the new one beside it.

    Its last entry, for all labels beyond the largest old one, is background.
    """
    table = np.zeros(int(old.max(initial=0)) + 2, np.uint32)
    table[np.asarray(old, np.int64)] = new
    return table


class Overlaid:
    """Two label images, the lower one seen where the upper one is background, as `LabelRows`."""

    def __init__(self, upper: LabelRows, lower: LabelRows):
        self._upper, self._lower = upper, lower
        self.shape: tuple[int, int] = upper.shape

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        upper = self._upper.read(y0, y1)
        return np.where(upper == 0, self._lower.read(y0, y1), upper)
