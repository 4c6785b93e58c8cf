"""The windows that a pixel classifier needs of a task's tiles, and the cores that it gives back.

Each tile of the slide-wide lattice gives the pixels of its core, always from the same window of
the same size, so that a pixel's probabilities do not depend on how the slide was cut. At the
slide's edge the window is reflected; where the outermost core ends before the slide does, one
more tile lies beyond it.
"""

from collections.abc import Iterator

import numpy as np
import zarr

from ..networks.segment import Codes
from ..tiling.lattice import OVERLAP, STRIDE, Axis
from ..tiling.tasks import lattice_of

START = OVERLAP // 2  # where in a tile its core begins; a core is as long as the way to the next


class TileSource:
    """The windows of a task's tiles as the networks see them.

    Parameters
    ----------
    task : Group
        Store of a task, as PATCH wrote it.
    radius : int
        Pixels around a core that its window has.
    n_channels : int
        Channels of a window, nuclear first.
    """

    def __init__(self, task: zarr.Group, radius: int, n_channels: int):
        self._attributes, self._codes = dict(task.attrs), task["codes"]
        self._lut = task["lut"][:]
        self._lattice = lattice_of(self._attributes)
        self._radius, self._n_channels = radius, n_channels
        self._first = self._attributes["tile_rows"][0], self._attributes["tile_cols"][0]
        self.height, self.width = self._codes.shape[1:]
        self._band_row: int | None = None  # the tile row whose pixels were read last
        self._band = np.zeros((0, 0, 0), np.uint16)

    def tiles(self) -> list[tuple[int, int]]:
        """Return the task's tiles in raster order, with those beyond the slide's edges."""
        found = set()
        for row, col in self._attributes["tiles"]:
            found |= {
                (r, c)
                for r in _with_outer(self._lattice.rows, row)
                for c in _with_outer(self._lattice.cols, col)
            }
        return sorted(found)

    def place(self, tile: tuple[int, int]) -> tuple[int, int]:
        """Return row and column in the task's maps at which a tile's core starts."""
        row, col = (
            (index - first) * STRIDE + START for index, first in zip(tile, self._first, strict=True)
        )
        return row, col

    def read(self, tile: tuple[int, int]) -> tuple[Codes | None, np.ndarray]:
        """Return a tile's codes, where its window is constant, and its window."""
        row, col = tile
        if row != self._band_row:
            rows = self._reflected(row, self._first[0], self._lattice.rows)
            read = self._codes[:, rows.min() : rows.max() + 1]
            self._band_row, self._band = row, read[:, rows - rows.min()]
        window = self._band[:, :, self._reflected(col, self._first[1], self._lattice.cols)]
        corner = window[:, 0, 0]
        constant = (window == corner[:, None, None]).all()
        parts = zip(self._lut, window[: self._n_channels], strict=False)
        pixels = np.stack([table[part] for table, part in parts], axis=-1)
        return (int(corner[0]), int(corner[1])) if constant else None, pixels

    def constant(self, codes: Codes) -> np.ndarray:
        """Return the window of a constant tile."""
        side = STRIDE + 2 * self._radius
        values = self._lut[[0, 1], codes][: self._n_channels]
        return np.full((side, side, self._n_channels), values, np.float32)

    def _reflected(self, tile: int, first: int, axis: Axis) -> np.ndarray:
        """Return where in the task's codes a window's pixels lie along an axis."""
        start = tile * STRIDE + START - axis.before
        found = reflected(start - self._radius, start + STRIDE + self._radius, axis.size)
        return found + axis.before - first * STRIDE


def _with_outer(axis: Axis, tile: int) -> Iterator[int]:
    """Yield a tile and, if it is the first or last and its core ends too early, one beyond."""
    yield tile
    if tile == 0 and axis.before < START:
        yield -1
    if tile == axis.n_tiles - 1 and axis.before + axis.size > tile * STRIDE + START + STRIDE:
        yield tile + 1


def reflected(start: int, stop: int, size: int) -> np.ndarray:
    """Return for pixels [start, stop) which of `size` pixels each shows, as ``np.pad`` reflects."""
    period = max(2 * (size - 1), 1)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index) if size > 1 else np.zeros_like(index)


class CoreRows:
    """Write cores that arrive in raster order to an array whose chunks can be written once.

    Parameters
    ----------
    array : (n, height, width) zarr array of float32
        Its chunks are as high as a core.
    """

    def __init__(self, array: zarr.Array):
        self._array = array
        self._top = 0  # row of the array at which the band starts
        self._band = np.zeros((array.shape[0], 2 * STRIDE, array.shape[2]), np.float32)

    def add(self, row: int, col: int, core: np.ndarray) -> None:
        """Put a core, (n, 192, 192), where it starts; what lies outside the array is dropped."""
        while row >= self._top + STRIDE:
            self._flush()
        above, left = max(-row, 0), max(-col, 0)
        core = core[:, above:, left:]
        y, x = row + above - self._top, col + left
        target = self._band[:, y : y + core.shape[1], x : x + core.shape[2]]
        target[:] = core[:, : target.shape[1], : target.shape[2]]

    def close(self) -> None:
        """Write what is left."""
        while self._top < self._array.shape[1]:
            self._flush()

    def _flush(self) -> None:
        stop = min(self._top + STRIDE, self._array.shape[1])
        self._array[:, self._top : stop] = self._band[:, : stop - self._top]
        self._band[:, :STRIDE] = self._band[:, STRIDE:]
        self._band[:, STRIDE:] = 0
        self._top += STRIDE
