"""A network's tile lattice over a whole slide: where its tiles lie and how they are blended.

deepcell cuts an image into 256-px tiles 192 px apart, centres the lattice by padding, runs the
network on each tile and blends the overlaps with a quadratic spline window
(``deepcell_toolbox.utils.tile_image`` and ``untile_image``, version 0.12.1). Tiles of other
networks have another size or are another way apart, and all else is the same. A pixel of the maps
depends on which tiles it lies in, so whoever wants the whole image's maps keeps the whole
image's lattice. Coordinates are *padded* where they count from the corner of the first tile and
*image* where they count from the corner of the image; both in pixels of the model's scale.
"""

import functools
from dataclasses import dataclass

import numpy as np
from cellquilt_kernels import tiles


@dataclass(frozen=True)
class Geometry:
    """Size of a network's tiles, and how far apart they are.

    Attributes
    ----------
    tile : int
        Side in pixels.
    stride : int
        From the start of a tile to that of the next one, in pixels; half of `tile` or more, so
        that a pixel of an axis lies in two tiles at most.
    """

    tile: int
    stride: int

    @property
    def overlap(self) -> int:
        """What two neighbours share, in pixels."""
        return self.tile - self.stride

    def span(self, n_tiles: int) -> int:
        """Return from the first tile's start to the last one's end, in pixels."""
        return self.tile + self.stride * (n_tiles - 1)


# Mesmer's, and that of the pixel classifiers
TILE, STRIDE = 256, 192
OVERLAP = TILE - STRIDE
DEFAULT = Geometry(TILE, STRIDE)


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
    geometry : Geometry
    """

    size: int
    n_tiles: int
    before: int
    geometry: Geometry = DEFAULT

    @property
    def padded(self) -> int:
        """Length with padding, in pixels: from the first tile's start to the last one's end."""
        return self.geometry.span(self.n_tiles)

    def tiles_of(self, start: int, stop: int) -> range:
        """Return the indices of the tiles that reach into image pixels [start, stop)."""
        tile, stride = self.geometry.tile, self.geometry.stride
        first = -(-(start + self.before - tile + 1) // stride)
        last = (stop + self.before - 1) // stride
        return range(max(first, 0), min(last, self.n_tiles - 1) + 1)

    def cut(self, tile: int) -> int:
        """Return the image pixel half-way through the overlap of `tile` with the one before."""
        return tile * self.geometry.stride + self.geometry.overlap // 2 - self.before

    def source(self, start: int, stop: int) -> np.ndarray:
        """Return, for padded pixels [start, stop), the image pixel each one shows.

        Returns
        -------
        (stop - start,) ndarray of int64
            -1 where the padding is zeros. An image shorter than a tile is padded by
            reflection, as ``Application._tile_input`` of deepcell 0.12.10 does.
        """
        if self.size < self.geometry.tile:
            after = self.geometry.tile - self.size - self.before
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
        (tile,) ndarray of float64
        """
        overlap = self.geometry.overlap
        weights = np.ones(self.geometry.tile)
        if blended:
            ramp = _spline_ramp(overlap)
            if tile > 0:
                weights[:overlap] = ramp
            if tile < self.n_tiles - 1:
                weights[-overlap:] = ramp[::-1]
        elif tile < self.n_tiles - 1:
            weights[-overlap:] = 0
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
    def geometry(self) -> Geometry:
        """Of its tiles."""
        return self.rows.geometry

    @property
    def blended(self) -> bool:
        """Whether tiles are blended: deepcell does not where either axis holds one tile only."""
        return min(self.rows.padded, self.cols.padded) > self.geometry.tile

    def weights(self, row: int, col: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the (tile,) float64 weights of rows and columns of the tile at `row`, `col`."""
        return self.rows.window(row, self.blended), self.cols.window(col, self.blended)


def plan(height: int, width: int, geometry: Geometry = DEFAULT) -> Lattice:
    """Return the lattice that deepcell lays over an image of `height` x `width` pixels.

    Where one side is shorter than a tile and the other is not, deepcell 0.12.10 pads both and
    cuts no tiles (deepcell-tf issue 709); here the short side alone is padded, by reflection,
    and the long one is tiled.
    """
    return Lattice(_axis(height, geometry), _axis(width, geometry))


def _axis(size: int, geometry: Geometry) -> Axis:
    if size < geometry.tile:
        return Axis(size, 1, (geometry.tile - size) // 2, geometry)
    n_tiles = -(-(size - geometry.tile) // geometry.stride) + 1
    return Axis(size, n_tiles, -(-(geometry.span(n_tiles) - size) // 2), geometry)


@functools.cache
def _spline_ramp(overlap: int) -> np.ndarray:
    """Return the rising half of the blending window, (overlap,) float64.

    Second-order spline of a triangle of twice as many samples, scaled to a maximum of 1
    (``deepcell_toolbox.utils.spline_window`` with power 2).
    """
    triangle = (2 * np.arange(overlap) + 1) / (2 * overlap)
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
        self._tile, self._stride = lattice.geometry.tile, lattice.geometry.stride
        self._overlap = lattice.geometry.overlap
        self.width = lattice.geometry.span(len(tile_cols))
        self.height = lattice.geometry.span(len(tile_rows))
        self._n_maps, self._row = n_maps, tile_rows.start
        # sums that wait for the tiles below, and for the next tile
        self._above = np.zeros((self._overlap, self.width * n_maps))
        self._before = np.zeros((self._tile, self._overlap * n_maps))
        self._start_row()

    def _start_row(self) -> None:
        self._col = self.tile_cols.start
        self._before[:] = 0
        self._before[: self._overlap] = self._above[:, : self._overlap * self._n_maps]
        height = self._tile if self._row == self.tile_rows.stop - 1 else self._stride
        self._rows = np.empty((self._n_maps, height, self.width), np.float32)

    def add(self, row: int, col: int, maps: np.ndarray) -> None:
        """Add the (tile, tile, n_maps) float32 maps of the tile at `row`, `col` of the slide."""
        if row != self._row:
            raise ValueError(f"tile row {row} after {self._row}: flush in between")
        self._skip_to(col)
        self._blend(np.ascontiguousarray(maps).reshape(self._tile, -1))

    def _skip_to(self, col: int) -> None:
        while self._col < col:
            self._blend(np.empty((0, self._tile * self._n_maps), np.float32))

    def _blend(self, maps: np.ndarray) -> None:
        n_maps, left = self._n_maps, (self._col - self.tile_cols.start) * self._stride
        width = self._tile if self._col == self.tile_cols.stop - 1 else self._stride
        rows, columns = self.lattice.weights(self._row, self._col)
        tiles.blend(
            maps,
            rows,
            columns.repeat(n_maps),
            self._above[:, left * n_maps : (left + self._tile) * n_maps],
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
        rows : (n_maps, stride or tile, width) ndarray of float32
            The rows that no later tile reaches.
        """
        self._skip_to(self.tile_cols.stop)
        start, rows = (self._row - self.tile_rows.start) * self._stride, self._rows
        self._row += 1
        self._start_row()
        return start, rows
