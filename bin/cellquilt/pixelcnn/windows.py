"""The windows that a pixel classifier needs of a task's tiles, and the cores that it gives back.

Each tile of the slide-wide lattice gives the pixels of its core, always from the same window of
the same size, so that a pixel's probabilities do not depend on how the slide was cut. At the
slide's edge the window is reflected; where the outermost core ends before the slide does, one
more tile lies beyond it.
"""

from collections.abc import Iterator

import numpy as np
import zarr

from ..labelling.map_store import MapRows
from ..networks.task_tiles import TaskTiles, Tile, TileMaps
from ..tiling.lattice import OVERLAP, STRIDE, Axis

START = OVERLAP // 2  # where in a tile its core begins; a core is as long as the way to the next


class CoreTiles(TaskTiles):
    """The windows of a task's tiles, whose maps are those of their cores.

    Parameters
    ----------
    task : Group
        Store of a task, as PATCH wrote it.
    radius : int
        Pixels around a core that its window has.
    n_channels : int
        Channels of a window, nuclear first.
    """

    margin = START

    def __init__(self, task: zarr.Group, radius: int, n_channels: int):
        super().__init__(task, STRIDE + 2 * radius, n_channels)
        self._radius = radius

    def tiles(self) -> list[Tile]:
        """Return the task's tiles in raster order, with those beyond the slide's edges."""
        found = set()
        for row, col in self.attributes["tiles"]:
            found |= {
                (r, c)
                for r in _with_outer(self.lattice.rows, row)
                for c in _with_outer(self.lattice.cols, col)
            }
        return sorted(found)

    def read_band(self, row: int) -> np.ndarray:
        """Return the codes of a row of windows."""
        rows = self._reflected(row, self.first[0], self.lattice.rows)
        return self.codes[:, rows.min() : rows.max() + 1][:, rows - rows.min()]

    def window(self, band: np.ndarray, col: int) -> np.ndarray:
        """Return the codes of a window."""
        return band.take(self._reflected(col, self.first[1], self.lattice.cols), axis=2)

    def collect(self, rows: MapRows) -> TileMaps:
        """Return what puts cores beside each other."""
        return CoreMaps(rows, self.first)

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


class CoreMaps:
    """Make bands, as high as a core, of cores that arrive in raster order.

    Parameters
    ----------
    rows : MapRows
    first : (int, int)
        Row and column of the tile at which the maps start.
    """

    def __init__(self, rows: MapRows, first: Tile):
        self._rows, self._first = rows, first
        self._top = 0  # row of the maps at which the band starts
        self._band = np.zeros((rows.shape[0], 2 * STRIDE, rows.shape[2]), np.float32)

    def add(self, tile: Tile, maps: np.ndarray) -> None:
        """Put a core, (192, 192, n), where it lies; what is outside the maps is dropped."""
        row, col = (
            (index - first) * STRIDE + START for index, first in zip(tile, self._first, strict=True)
        )
        while row >= self._top + STRIDE:
            self._flush()
        above, left = max(-row, 0), max(-col, 0)
        core = np.moveaxis(maps, -1, 0)[:, above:, left:]
        y, x = row + above - self._top, col + left
        target = self._band[:, y : y + core.shape[1], x : x + core.shape[2]]
        target[:] = core[:, : target.shape[1], : target.shape[2]]

    def close(self) -> None:
        """Write what is left."""
        while self._top < self._rows.shape[1]:
            self._flush()

    def _flush(self) -> None:
        stop = min(self._top + STRIDE, self._rows.shape[1])
        self._rows.write(self._top, self._band[:, : stop - self._top])
        self._band[:, :STRIDE] = self._band[:, STRIDE:]
        self._band[:, STRIDE:] = 0
        self._top += STRIDE
