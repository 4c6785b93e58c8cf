"""Label images that are read in strips of rows, and what is derived from them row by row."""

from typing import Protocol

import numpy as np

_MOST_OF_A_TABLE = 1 << 26  # labels beyond, as some tools give, are searched for


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
    """A label image whose labels are replaced by others, as `LabelRows`.

    Parameters
    ----------
    labels : LabelRows
    old, new : (n,) integer
        Labels, each once, and what each becomes. All others become background.
    """

    def __init__(self, labels: LabelRows, old: np.ndarray, new: np.ndarray):
        self._labels = labels
        self.shape: tuple[int, int] = labels.shape
        old, new = np.asarray(old, np.int64), np.asarray(new).astype(np.uint32)
        largest = int(old.max(initial=0))
        self._table = self._old = None
        if largest < _MOST_OF_A_TABLE:
            self._table = np.zeros(largest + 2, np.uint32)  # the last for all that are larger
            self._table[old] = new
        else:
            order = np.argsort(old)
            self._old, self._new = old[order].astype(np.uint32), new[order]

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        labels = self._labels.read(y0, y1)
        if self._table is not None:
            return np.take(self._table, labels, mode="clip")
        place = np.minimum(np.searchsorted(self._old, labels), len(self._old) - 1)
        return np.where(self._old[place] == labels, self._new[place], np.uint32(0))


def labels_of(strip: np.ndarray) -> np.ndarray:
    """Return the labels of the objects in a strip, (rows, width), ascending."""
    begins = np.ones(strip.shape, bool)
    # Pixels that go on with the label to their left say no more, and are most of them
    begins[:, 1:] = strip[:, 1:] != strip[:, :-1]
    labels = np.unique(strip[begins])
    return labels[labels > 0]


class Overlaid:
    """Two label images, the lower one seen where the upper one is background, as `LabelRows`."""

    def __init__(self, upper: LabelRows, lower: LabelRows):
        self._upper, self._lower = upper, lower
        self.shape: tuple[int, int] = upper.shape

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        upper = self._upper.read(y0, y1)
        return np.where(upper == 0, self._lower.read(y0, y1), upper)
