"""The joint histogram of two label images: how many pixels each pair of labels shares.

Whatever compares two segmentations needs only this, not the pixels. It is sparse and made from
runs of equal pixels along the rows, so that its size and the sorting grow with the number of
objects, neither with the labels' values nor with the slide.
"""

from dataclasses import dataclass

import numpy as np

_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def pair_key(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return uint64 keys that sort by the first uint32 label, then by the second."""
    return (first.astype(np.uint64) << _SHIFT) | second.astype(np.uint64)


def first_label(keys: np.ndarray) -> np.ndarray:
    """Return the first label of pair keys, as uint64."""
    return keys >> _SHIFT


def second_label(keys: np.ndarray) -> np.ndarray:
    """Return the second label of pair keys, as uint64."""
    return keys & _LOW


def runs(*images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where runs of equal pixels start, and their lengths.

    Parameters
    ----------
    images : (h, w) arrays
        A run ends where any of them changes, and with the row.

    Returns
    -------
    starts, lengths : (n,) int64
        Indices into the flattened images; together the runs cover every pixel.
    """
    change = np.zeros(images[0].shape, bool)
    change[:, :1] = True
    for image in images:
        change[:, 1:] |= image[:, 1:] != image[:, :-1]
    starts = np.flatnonzero(change)
    return starts, np.diff(starts, append=change.size)


@dataclass(frozen=True)
class Table:
    """Sums over pixels by key, the keys unique and ascending.

    Attributes
    ----------
    keys : (n,) uint64
        Labels, or pairs of labels made by `pair_key`.
    sums : (n, 3) int64
        Number of pixels, sum of their rows, sum of their columns.
    """

    keys: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, sums: np.ndarray) -> "Table":
        """Add up the rows of `sums` that share a key."""
        if keys.size == 0:
            return cls(np.empty(0, np.uint64), np.empty((0, 3), np.int64))
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        return cls(keys[starts], np.add.reduceat(sums[order], starts))

    @property
    def area(self) -> np.ndarray:
        """Number of pixels of each key, int64."""
        return self.sums[:, 0]

    def by(self, keys: np.ndarray) -> "Table":
        """Add up under new keys, one given for each row, and leave out new key 0."""
        return Table.of(keys[keys != 0], self.sums[keys != 0])

    def rows_of(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each of the keys, which must all be there."""
        return np.searchsorted(self.keys, keys)


class _Sum:
    """A table that grows by parts; merged now and then, so that the parts stay few."""

    def __init__(self) -> None:
        self.parts: list[Table] = []
        self.limit = 1_000_000

    def add(self, part: Table) -> None:
        self.parts.append(part)
        if sum(len(part.keys) for part in self.parts) > self.limit:
            self.limit = max(self.limit, 2 * len(self.total().keys))

    def total(self) -> Table:
        keys = [part.keys for part in self.parts] or [np.empty(0, np.uint64)]
        sums = [part.sums for part in self.parts] or [np.empty((0, 3), np.int64)]
        self.parts = [Table.of(np.concatenate(keys), np.concatenate(sums))]
        return self.parts[0]


class Contingency:
    """The joint histogram of two label images, gathered strip by strip.

    How the image was cut into strips does not change the result.
    """

    def __init__(self) -> None:
        self._pairs, self._selected = _Sum(), _Sum()

    def add(
        self, first: np.ndarray, second: np.ndarray, selected: np.ndarray | None = None, y0: int = 0
    ) -> None:
        """Count one strip over the full width of the images.

        Parameters
        ----------
        first, second : (h, w) uint32
            Labels, 0 is background.
        selected : (h, w) bool, optional
            The pixels that `selected_pairs` counts, none where it is not given.
        y0 : int
            Row in the image of the strip's first row.
        """
        starts, lengths = runs(first, second, *([] if selected is None else [selected]))
        y, x = np.divmod(starts, first.shape[1])
        sums = np.stack(
            [lengths, lengths * (y + y0), lengths * x + lengths * (lengths - 1) // 2], axis=1
        )
        first, second = first.ravel()[starts], second.ravel()[starts]
        keys = pair_key(first, second)
        table = Table(keys, sums)
        self._pairs.add(table.by(keys))
        if selected is not None:
            both = selected.ravel()[starts] & (first != 0) & (second != 0)
            self._selected.add(table.by(np.where(both, keys, 0)))

    def pairs(self) -> Table:
        """Return all pairs on any pixel, keyed by `pair_key`; one of the labels may be 0."""
        return self._pairs.total()

    def selected_pairs(self) -> Table:
        """Return the pairs of two labels on the selected pixels, keyed by `pair_key`."""
        return self._selected.total()
