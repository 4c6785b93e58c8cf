"""Mesmer's tile lattice over a whole slide: where its tiles lie and how they are blended.

deepcell cuts an image into 256-px tiles 192 px apart, centres the lattice by padding, runs the
network on each tile and blends the overlaps with a quadratic spline window
(``deepcell_toolbox.utils.tile_image`` and ``untile_image``, version 0.12.1). A pixel of the maps
depends on which tiles it lies in, so whoever wants the whole image's maps keeps the whole
image's lattice. Coordinates are *padded* where they count from the corner of the first tile and
*image* where they count from the corner of the image; both in pixels of the model's scale.
"""

import functools
from dataclasses import dataclass

import numpy as np
from cellquilt_kernels import tiles

TILE = 256
STRIDE = 192
OVERLAP = TILE - STRIDE


@dataclass(frozen=True)
class Axis:
    """One axis of the lattice.

    Attributes
    ----------
    size : int
        Length of the image in pixels.
    n_tiles : int
        Number of tiles.
    before : int
        Padding before the image in pixels.
    """

    size: int
    n_tiles: int
    before: int

    @property
    def padded(self) -> int:
        """Length with padding, in pixels: from the first tile's start to the last one's end."""
        return TILE + STRIDE * (self.n_tiles - 1)

    def tiles_of(self, start: int, stop: int) -> range:
        """Return the indices of the tiles that reach into image pixels [start, stop)."""
        first = -(-(start + self.before - TILE + 1) // STRIDE)
        last = (stop + self.before - 1) // STRIDE
        return range(max(first, 0), min(last, self.n_tiles - 1) + 1)

    def cut(self, tile: int) -> int:
        """Return the image pixel half-way through the overlap of `tile` with the one before."""
        return tile * STRIDE + OVERLAP // 2 - self.before

    def source(self, start: int, stop: int) -> np.ndarray:
        """Return, for padded pixels [start, stop), the image pixel each one shows.

        Returns
        -------
        (stop - start,) ndarray of int64
            -1 where the padding is zeros. An image shorter than a tile is padded by
            reflection, as ``Application._tile_input`` of deepcell 0.12.10 does.
        """
        if self.size < TILE:
            after = TILE - self.size - self.before
            return np.pad(np.arange(self.size), (self.before, after), "reflect")[start:stop]
        index = np.arange(start, stop) - self.before
        return np.where((index >= 0) & (index < self.size), index, -1)

    def window(self, tile: int, blended: bool) -> np.ndarray:
        """Return the weights of a tile along this axis.

        Parameters
        ----------
        tile : int
            Index of the tile.
        blended : bool
            Spline weights; otherwise a later tile replaces an earlier one where they overlap.

        Returns
        -------
        (256,) ndarray of float64
        """
        weights = np.ones(TILE)
        if blended:
            ramp = _spline_ramp()
            if tile > 0:
                weights[:OVERLAP] = ramp
            if tile < self.n_tiles - 1:
                weights[-OVERLAP:] = ramp[::-1]
        elif tile < self.n_tiles - 1:
            weights[-OVERLAP:] = 0
        return weights


@dataclass(frozen=True)
class Lattice:
    """The tile lattice of an image."""

    rows: Axis
    cols: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.rows.size, self.cols.size

    @property
    def blended(self) -> bool:
        """Whether tiles are blended: deepcell does not where either axis holds one tile only."""
        return min(self.rows.padded, self.cols.padded) > TILE

    def weights(self, row: int, col: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the (256,) float64 weights of the rows and columns of the tile at `row`, `col`."""
        return self.rows.window(row, self.blended), self.cols.window(col, self.blended)


def plan(height: int, width: int) -> Lattice:
    """Return the lattice that deepcell lays over an image of `height` x `width` pixels.

    Where one side is shorter than a tile and the other is not, deepcell 0.12.10 pads both and
    cuts no tiles (deepcell-tf issue 709); here the short side alone is padded, by reflection,
    and the long one is tiled.
    """
    return Lattice(_axis(height), _axis(width))


def _axis(size: int) -> Axis:
    if size < TILE:
        return Axis(size, 1, (TILE - size) // 2)
    n_tiles = -(-(size - TILE) // STRIDE) + 1
    return Axis(size, n_tiles, -(-(TILE + STRIDE * (n_tiles - 1) - size) // 2))


@functools.cache
def _spline_ramp() -> np.ndarray:
    """Return the rising half of the blending window, (64,) float64.

    Second-order spline of a triangle of 128 samples, scaled to a maximum of 1
    (``deepcell_toolbox.utils.spline_window`` with power 2).
    """
    triangle = (2 * np.arange(OVERLAP) + 1) / (2 * OVERLAP)
    ramp = np.where(triangle < 0.5, 2 * triangle**2, 1 - 2 * (triangle - 1) ** 2)
    return ramp / ramp[-1]


class Blender:
    """Blend tiles that arrive in raster order, giving back rows as soon as they are final.

    Sums in float64 in the order of arrival and rounds once to float32, as ``untile_image``
    does, so that the result is bit-identical to blending the whole image.

    Parameters
    ----------
    lattice : Lattice
    tile_rows, tile_cols : range
        The part of the lattice that is blended.
    n_maps : int
        Number of maps a tile holds.
    """

    def __init__(self, lattice: Lattice, tile_rows: range, tile_cols: range, n_maps: int):
        self.lattice, self.tile_rows, self.tile_cols = lattice, tile_rows, tile_cols
        self.width = TILE + STRIDE * (len(tile_cols) - 1)
        self.height = TILE + STRIDE * (len(tile_rows) - 1)
        self._n_maps, self._row = n_maps, tile_rows.start
        # sums that wait for the tiles below, and for the next tile
        self._above = np.zeros((OVERLAP, self.width * n_maps))
        self._before = np.zeros((TILE, OVERLAP * n_maps))
        self._start_row()

    def _start_row(self) -> None:
        self._col = self.tile_cols.start
        self._before[:] = 0
        self._before[:OVERLAP] = self._above[:, : OVERLAP * self._n_maps]
        height = TILE if self._row == self.tile_rows.stop - 1 else STRIDE
        self._rows = np.empty((self._n_maps, height, self.width), np.float32)

    def add(self, row: int, col: int, maps: np.ndarray) -> None:
        """Add the (256, 256, n_maps) float32 maps of the tile at `row`, `col` of the slide."""
        if row != self._row:
            raise ValueError(f"tile row {row} after {self._row}: flush in between")
        self._skip_to(col)
        self._blend(np.ascontiguousarray(maps).reshape(TILE, -1))

    def _skip_to(self, col: int) -> None:
        while self._col < col:
            self._blend(np.empty((0, TILE * self._n_maps), np.float32))

    def _blend(self, maps: np.ndarray) -> None:
        n_maps, left = self._n_maps, (self._col - self.tile_cols.start) * STRIDE
        width = TILE if self._col == self.tile_cols.stop - 1 else STRIDE
        rows, columns = self.lattice.weights(self._row, self._col)
        tiles.blend(
            maps,
            rows,
            columns.repeat(n_maps),
            self._above[:, left * n_maps : (left + TILE) * n_maps],
            self._before,
            self._rows[:, :, left : left + width],
        )
        self._col += 1

    def flush(self) -> tuple[int, np.ndarray]:
        """Close the current tile row.

        Returns
        -------
        start : int
            First row, counted from the start of `tile_rows`.
        rows : (n_maps, 192 or 256, width) ndarray of float32
            The rows that no later tile reaches.
        """
        self._skip_to(self.tile_cols.stop)
        start, rows = (self._row - self.tile_rows.start) * STRIDE, self._rows
        self._row += 1
        self._start_row()
        return start, rows
