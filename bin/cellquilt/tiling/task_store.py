"""The stores of a task, of pixels, maps and labels: what all say of its place in the slide."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import zarr

from ..handoff import stores
from .lattice import DEFAULT, Geometry, Lattice, plan
from .patches import Patch
from .pixel_grid import Grid


def write_pixels(
    path: Path,
    attributes: dict,
    codes: zarr.Array,
    lut: np.ndarray,
    blank: list[int],
    lattice: Lattice,
    tiles: list[tuple[int, int]],
) -> None:
    """Write a task's pixels: the part of the padded lattice that its tiles span.

    Parameters
    ----------
    path : Path
    attributes : dict
        Of the store; ``geometry``, ``tiles``, ``tile_rows`` and ``tile_cols`` are added.
    codes : (2, height, width) zarr array of uint16
        Of the slide.
    lut : (2, 16384) ndarray of float32
        Network input of each code.
    blank : list of int
        Codes of the padding around the slide.
    lattice : Lattice
    tiles : list of (int, int)
        Rows and columns of the task's tiles.
    """
    rows, cols = zip(*tiles, strict=True)
    tile_rows = range(min(rows), max(rows) + 1)
    tile_cols = range(min(cols), max(cols) + 1)
    attributes |= {
        "geometry": asdict(lattice.geometry),
        "tile_rows": [tile_rows.start, tile_rows.stop],
        "tile_cols": [tile_cols.start, tile_cols.stop],
        "tiles": tiles,
    }
    height, width = (lattice.geometry.span(len(span)) for span in (tile_rows, tile_cols))
    stride = lattice.geometry.stride
    left = tile_cols.start * stride
    source_cols = lattice.cols.source(left, left + width)
    with stores.create(path, attributes) as group:
        stores.new_array(group, "lut", lut.shape, "float32", lut.shape)[:] = lut
        chunks = (1, stride, 8 * stores.CHUNK)  # long ones, since whole rows are read
        target = stores.new_array(group, "codes", (2, height, width), "uint16", chunks)
        top = tile_rows.start * stride
        for start in range(0, height, 4 * stride):
            stop = min(start + 4 * stride, height)
            source_rows = lattice.rows.source(top + start, top + stop)
            for channel in range(2):
                target[channel, start:stop] = _gather(
                    codes, channel, source_rows, source_cols, blank[channel]
                )


def _gather(codes, channel: int, rows: np.ndarray, cols: np.ndarray, blank: int) -> np.ndarray:
    """Return pixels (rows, cols) of the slide's codes, `blank` where an index is negative."""
    result = np.full((rows.size, cols.size), blank, np.uint16)
    inside_rows, inside_cols = rows >= 0, cols >= 0
    if inside_rows.any() and inside_cols.any():
        y, x = rows[inside_rows], cols[inside_cols]
        window = codes[channel, y.min() : y.max() + 1, x.min() : x.max() + 1]
        result[np.ix_(inside_rows, inside_cols)] = window[np.ix_(y - y.min(), x - x.min())]
    return result


def patches_of(attributes: dict) -> list[Patch]:
    """Return the patches that a task's store names."""
    return [Patch(**patch) for patch in attributes["patches"]]


def grid_of(attributes: dict) -> Grid:
    """Return the pixel grids of the slide that a store belongs to."""
    return Grid.of(attributes["facts"])


def lattice_of(attributes: dict) -> Lattice:
    """Return the tile lattice of the slide that a store belongs to."""
    return plan(*grid_of(attributes).model_shape, geometry_of(attributes))


def geometry_of(attributes: dict) -> Geometry:
    """Return the size of the tiles that a task was cut for, and how far apart they are."""
    given = attributes.get("geometry")
    return Geometry(**given) if given else DEFAULT


def origin_of(attributes: dict) -> tuple[int, int]:
    """Return the model pixel, row and column, at which a task's arrays start; may be negative."""
    lattice = lattice_of(attributes)
    stride = lattice.geometry.stride
    return (
        attributes["tile_rows"][0] * stride - lattice.rows.before,
        attributes["tile_cols"][0] * stride - lattice.cols.before,
    )
