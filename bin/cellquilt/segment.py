"""Running the network over the lattice tiles of a task and blending them into raw maps."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

from . import provenance, stores
from .cli import Progress
from .lattice import STRIDE, TILE, Blender
from .mesmer import OUTPUT_CHANNELS
from .network import Network
from .tasks import lattice_of

log = logging.getLogger("cellquilt")


def segment(pixels: Path, network: Network, device: str, card: dict, maps: Path) -> None:
    """Write the blended maps of one task.

    Parameters
    ----------
    pixels : Path
        A task's store, as PATCH wrote it.
    network : Network
    device : str
        What it runs on, for the provenance.
    card : dict
        What the SavedModel is, for the provenance.
    maps : Path
        Store to write: ``maps`` (4, h, w) float32 over the padded lattice that the task's tiles
        span, channels in the order of `mesmer.OUTPUT_CHANNELS`, 0 where no tile was computed.
    """
    with stores.read(pixels) as task:
        attributes = dict(task.attrs)
        tile_rows, tile_cols = range(*attributes["tile_rows"]), range(*attributes["tile_cols"])
        tiles = [tuple(tile) for tile in attributes["tiles"]]
        blender = Blender(lattice_of(attributes), tile_rows, tile_cols, len(OUTPUT_CHANNELS))
        attributes["model"] = card
        attributes["provenance"] = [
            *attributes["provenance"],
            provenance.of_step("SEGMENT", device=device, batch_size=network.batch_size),
        ]
        progress = Progress("segment: tiles", len(tiles))
        with stores.create(maps, attributes) as result:
            shape = (len(OUTPUT_CHANNELS), blender.height, blender.width)
            chunks = (1, STRIDE, stores.CHUNK)
            array = stores.new_array(result, "maps", shape, "float32", chunks)
            row = tile_rows.start
            read = _read_tiles(task, tiles, tile_rows.start, tile_cols.start)
            for (tile_row, tile_col), output in zip(tiles, network.run(read), strict=True):
                while row < tile_row:
                    _flush(blender, array)
                    row += 1
                blender.add(tile_row, tile_col, output)
                progress.add(pixels=STRIDE * STRIDE)
            _flush(blender, array)


def _read_tiles(
    task: zarr.Group, tiles: list[tuple[int, int]], first_row: int, first_col: int
) -> Iterator[np.ndarray]:
    """Yield the network's input, (256, 256, 2) float32, tile by tile."""
    codes, lut = task["codes"], task["lut"][:]
    band_row, band = None, None
    for row, col in tiles:
        if row != band_row:
            top = (row - first_row) * STRIDE
            band_row, band = row, codes[:, top : top + TILE]
        left = (col - first_col) * STRIDE
        tile = band[:, :, left : left + TILE]
        yield np.stack([table[channel] for table, channel in zip(lut, tile, strict=True)], axis=-1)


def _flush(blender: Blender, array: zarr.Array) -> None:
    start, rows = blender.flush()
    array[:, start : start + len(rows)] = np.moveaxis(rows, -1, 0)
