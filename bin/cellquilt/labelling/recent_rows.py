"""The rows of maps that came last, in memory that processes share."""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

Shape = tuple[int, int, int]


class RecentRows:
    """The last rows of a task's maps; the place of one is taken by that `capacity` below it.

    It is read as an array (n, h, w), one map at a time.

    Parameters
    ----------
    memory : mmap
        As large as `size`, or larger.
    shape : tuple of int
        Number, height and width of all maps.
    capacity : int
        How many rows there are.
    """

    def __init__(self, memory: mmap.mmap, shape: Shape, capacity: int):
        n, _, width = self.shape = shape
        values = np.frombuffer(memory, np.float32, capacity * n * width)
        # all of a row is in one place, since rows are what comes and goes
        self._values = values.reshape(capacity, n, width).transpose(1, 0, 2)

    @staticmethod
    def size(shape: Shape, capacity: int) -> int:
        """Return how many bytes the rows take."""
        return 4 * shape[0] * capacity * shape[2]

    def __getitem__(self, where: tuple[int, slice, slice]) -> np.ndarray:
        """Return a window (h, w) of a map, all of whose rows are there."""
        plane, rows, columns = where
        parts = [self._values[plane, part, columns] for part in self._places(rows)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Put (n, m, w) rows, of which `start` is the first, in the place of older ones."""
        for part in self._places(slice(start, start + rows.shape[1])):
            n_rows = part.stop - part.start
            self._values[:, part] = rows[:, :n_rows]
            rows = rows[:, n_rows:]

    def _places(self, rows: slice) -> Iterator[slice]:
        capacity, start = self._values.shape[1], rows.start
        while True:
            first = start % capacity
            stop = min(first + rows.stop - start, capacity)
            yield slice(first, stop)
            start += stop - first
            if start >= rows.stop:
                return


@contextmanager
def shared_rows(shape: Shape, capacity: int) -> Iterator[tuple[RecentRows, str]]:
    """Give rows in memory, and the path by which processes of this machine can map it, too."""
    file = os.memfd_create("maps")
    try:
        os.ftruncate(file, RecentRows.size(shape, capacity))
        yield RecentRows(mmap.mmap(file, 0), shape, capacity), f"/proc/{os.getpid()}/fd/{file}"
    finally:
        os.close(file)
