"""The joint histogram of two label images: how many pixels each pair of labels shares.

Whatever compares two segmentations needs only this, not the pixels. It is sparse: its size grows
with the number of objects, neither with the labels' values nor with the slide.
"""

from dataclasses import dataclass

import numpy as np
from cellquilt_kernels.counting import JointHistogram

_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def first_label(keys: np.ndarray) -> np.ndarray:
    """Return the first label of pairs' keys, as uint64."""
    return keys >> _SHIFT


def second_label(keys: np.ndarray) -> np.ndarray:
    """Return the second label of pairs' keys, as uint64."""
    return keys & _LOW


@dataclass(frozen=True)
class Table:
    """Sums over pixels by key, the keys unique and ascending.

    Attributes
    ----------
    keys : (n,) uint64
        Labels, or pairs of labels: the first * 2^32 + the second.
    sums : (n, 3) int64
        Number of pixels, sum of their rows, sum of their columns.
    """

    keys: np.ndarray
    sums: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """Number of pixels of each key, int64."""
        return self.sums[:, 0]

    def by(self, keys: np.ndarray) -> "Table":
        """Add up under new keys, one given for each row, and leave out new key 0."""
        order = np.argsort(keys, kind="stable")
        order = order[np.count_nonzero(keys == 0) :]
        keys = keys[order]
        starts = np.flatnonzero(np.diff(keys, prepend=np.uint64(0)))
        return Table(keys[starts], np.add.reduceat(self.sums[order], starts, dtype=np.int64))

    def only(self, kept: np.ndarray) -> "Table":
        """Return the rows that are kept, (n,) bool."""
        return Table(self.keys[kept], self.sums[kept])

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each of the keys, which must all be there."""
        return np.searchsorted(self.keys, keys)


class Contingency:
    """The joint histogram of two label images, gathered strip by strip.

    How the image was cut into strips does not change the result.
    """

    def __init__(self) -> None:
        self._counted = JointHistogram()

    def add(
        self,
        first: np.ndarray,
        second: np.ndarray,
        y0: int = 0,
        above: np.ndarray | None = None,
        below: np.ndarray | None = None,
    ) -> None:
        """Count one strip over the full width of the images.

        Parameters
        ----------
        first, second : (h, w) uint32
            Labels, 0 is background.
        y0 : int
            Row in the image of the strip's first row.
        above, below : (w,) uint32, optional
            The rows of `first` next to the strip; None at the image's edge. Only interiors
            depend on them.
        """
        self._counted.add(
            np.ascontiguousarray(first), np.ascontiguousarray(second), y0, above, below
        )

    def tables(self) -> tuple[Table, Table]:
        """Return the pairs on any pixel, and the pairs in the interiors of the first objects.

        In the first table one of a pair's labels may be 0; the second has pairs of two objects
        that share at least one pixel. The interior of an object is its pixels without an upper,
        lower, left or right neighbour of another value.
        """
        n = len(self._counted)
        keys, sums = np.empty(n, np.uint64), np.empty((n, 6), np.int64)
        self._counted.read(keys, sums)
        order = np.argsort(keys)
        keys, sums = keys[order], sums[order]
        inside = sums[:, 3] > 0
        return Table(keys, sums[:, :3]), Table(keys[inside], sums[inside, 3:])

    def pairs(self) -> Table:
        """Return the first of `tables`."""
        return self.tables()[0]
