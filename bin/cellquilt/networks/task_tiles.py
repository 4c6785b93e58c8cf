"""The tiles of a task as a network sees them, and the rows of maps that it makes of them."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import zarr
from cellquilt_kernels.tiles import look_up

from ..errors import DataError
from ..labelling.map_store import MapRows
from ..tiling.lattice import DEFAULT, Blender, Geometry
from ..tiling.task_store import lattice_of
from .distinct_tiles import Codes

type Tile = tuple[int, int]  # its row and column in the slide-wide lattice


class TileMaps(Protocol):
    """Collects the maps of tiles and writes rows of the task's maps as soon as they are final."""

    def add(self, tile: Tile, maps: np.ndarray) -> None:
        """Take the (h, w, n) float32 maps of the next tile in raster order."""

    def close(self) -> None:
        """Write what is left."""


class TaskTiles(ABC):
    """The tiles of a task, read band by band.

    Parameters
    ----------
    task : Group
        Store of a task, as PATCH wrote it.
    side : int
        Of a tile as the network sees it, in pixels.
    n_channels : int
        Channels that the network sees, nuclear first.
    geometry : Geometry
        What the network is made for.

    Raises
    ------
    DataError
        If the task was cut for another network.

    Attributes
    ----------
    margin : int
        How many pixels around a box have final maps, too, if those of the box are final since all
        tiles that reach into it were computed.
    """

    margin = 0

    def __init__(self, task: zarr.Group, side: int, n_channels: int, geometry: Geometry = DEFAULT):
        self.attributes = dict(task.attrs)
        self.lattice = lattice_of(self.attributes)
        if (cut := self.lattice.geometry) != geometry:
            raise DataError(
                f"task {self.attributes['task']}: was cut for tiles of {cut.tile} px every"
                f" {cut.stride} px, and this network has tiles of {geometry.tile} px every"
                f" {geometry.stride} px; give patch.py its --tile and --stride."
            )
        self.codes = task["codes"]
        self.height, self.width = self.codes.shape[1:]
        self.first = self.attributes["tile_rows"][0], self.attributes["tile_cols"][0]
        self._side, self._n_channels, self._lut = side, n_channels, task["lut"][:]
        self._band_row: int | None = None  # the tile row whose pixels were read last
        self._band = np.zeros((0, 0, 0), np.uint16)

    @abstractmethod
    def tiles(self) -> list[Tile]:
        """Return the tiles to run, in raster order."""

    @abstractmethod
    def read_band(self, row: int) -> np.ndarray:
        """Return the codes of a row of tiles, (2, side, width) uint16."""

    @abstractmethod
    def window(self, band: np.ndarray, col: int) -> np.ndarray:
        """Return the codes of a tile, (2, side, side) uint16, from its band."""

    @abstractmethod
    def collect(self, rows: MapRows) -> TileMaps:
        """Return what makes rows of the tiles' maps."""

    def read(self, tile: Tile) -> tuple[Codes | None, np.ndarray]:
        """Return a tile's codes, where it is constant, and the network's (side, side, c) input."""
        row, col = tile
        if row != self._band_row:
            self._band_row, self._band = row, self.read_band(row)
        window = self.window(self._band, col)
        pixels = np.empty((*window.shape[1:], self._n_channels), np.float32)
        constant = look_up(window, self._lut, pixels)
        return (int(window[0, 0, 0]), int(window[1, 0, 0])) if constant else None, pixels

    def constant(self, codes: Codes) -> np.ndarray:
        """Return the network's input of a constant tile."""
        values = self._lut[[0, 1], codes][: self._n_channels]
        return np.full((self._side, self._side, self._n_channels), values, np.float32)


class BlendedTiles(TaskTiles):
    """Tiles whose maps are blended where they overlap, as deepcell does."""

    def __init__(self, task: zarr.Group, geometry: Geometry = DEFAULT, n_channels: int = 2):
        super().__init__(task, geometry.tile, n_channels, geometry)
        self._lower_row: int | None = None  # the tile row whose first pixels were read before
        self._lower = self._band

    def tiles(self) -> list[Tile]:
        """Return the task's tiles."""
        return [(row, col) for row, col in self.attributes["tiles"]]

    def read_band(self, row: int) -> np.ndarray:
        """Return the codes of a row of tiles, of which no chunk is read twice."""
        stride = self.lattice.geometry.stride
        top = (row - self.first[0]) * stride
        upper = self._lower if row == self._lower_row else self.codes[:, top : top + stride]
        self._lower_row, self._lower = row + 1, self.codes[:, top + stride : top + 2 * stride]
        return np.concatenate([upper, self._lower[:, : self.lattice.geometry.overlap]], axis=1)

    def window(self, band: np.ndarray, col: int) -> np.ndarray:
        """Return the codes of a tile."""
        left = (col - self.first[1]) * self.lattice.geometry.stride
        return band[:, :, left : left + self.lattice.geometry.tile]

    def collect(self, rows: MapRows) -> TileMaps:
        """Return what blends maps."""
        spans = (range(*self.attributes[name]) for name in ("tile_rows", "tile_cols"))
        return _BlendedMaps(Blender(self.lattice, *spans, rows.shape[0]), rows)


class _BlendedMaps:
    def __init__(self, blender: Blender, rows: MapRows):
        self._blender, self._rows = blender, rows
        self._row = blender.tile_rows.start

    def add(self, tile: Tile, maps: np.ndarray) -> None:
        while self._row < tile[0]:
            self._flush()
        self._blender.add(*tile, maps)

    def close(self) -> None:
        self._flush()

    def _flush(self) -> None:
        self._rows.write(*self._blender.flush())
        self._row += 1
