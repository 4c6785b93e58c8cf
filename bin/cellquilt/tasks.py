"""From the normalised store of a slide to its patches and the pixels of each task."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from . import provenance, stores
from .grid import Grid
from .lattice import STRIDE, TILE, Lattice, plan
from .patches import Patch, assess, group_patches, metadata, plan_patches, tiles_of


def plan_tasks(
    store: Path,
    outdir: Path,
    patch_size: int,
    halo: int,
    patches_per_task: int,
    patch_qc: str,
    min_contrast: float,
) -> pd.DataFrame:
    """Plan the patches of a slide and write one store of pixels for each task.

    A task's store holds ``codes`` (2, h, w) uint16, the part of the padded lattice that its
    tiles span, and ``lut``; its attributes name tiles, patches and geometry.

    Parameters
    ----------
    store : Path
        What INGEST wrote.
    outdir : Path
        Folder for ``task-<n>.pixels.zip``.
    patch_size, halo : int
        In model pixels.
    patches_per_task : int
    patch_qc : {'default', 'reference', 'none'}
    min_contrast : float
        See `patches.assess`.

    Returns
    -------
    DataFrame
        The table of patches, with the ``task`` of each (-1 where it is skipped).
    """
    with stores.read(store) as slide:
        facts = slide.attrs["facts"]
        grid = Grid(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])
        lattice = plan(*grid.model_shape)
        patches = plan_patches(lattice, patch_size)
        channels = [
            {name: array[:] for name, array in slide[f"blocks/{index}"].arrays()}
            for index in range(2 if facts["membrane"] else 1)
        ]
        quality = assess(patches, lattice, channels, patch_qc, min_contrast)
        table = metadata(patches, grid, halo, quality)
        table["task"] = -1
        tasks = group_patches(patches, quality["is_informative"].to_numpy(), patches_per_task)
        step = provenance.of_step(
            "PATCH",
            patch_size=patch_size,
            halo=halo,
            patch_qc=patch_qc,
            min_contrast=min_contrast,
        )
        for number, members in enumerate(tasks):
            table.loc[[patch.patch_id for patch in members], "task"] = number
            attributes = {
                "facts": facts,
                "task": number,
                "halo": halo,
                "patches": [asdict(patch) for patch in members],
                "provenance": [*facts["provenance"], step],
            }
            path = outdir / f"task-{number:05d}.pixels.zip"
            _write_pixels(path, attributes, slide, lattice, tiles_of(lattice, members, halo))
    return table


def _write_pixels(path: Path, attributes: dict, slide, lattice: Lattice, tiles: list) -> None:
    rows, cols = zip(*tiles, strict=True)
    tile_rows = range(min(rows), max(rows) + 1)
    tile_cols = range(min(cols), max(cols) + 1)
    attributes |= {
        "tile_rows": [tile_rows.start, tile_rows.stop],
        "tile_cols": [tile_cols.start, tile_cols.stop],
        "tiles": tiles,
    }
    height, width = (STRIDE * (len(span) - 1) + TILE for span in (tile_rows, tile_cols))
    source_cols = lattice.cols.source(tile_cols.start * STRIDE, tile_cols.start * STRIDE + width)
    lut = slide["lut"][:]
    # 0 is what the padding shows to the network: the code of a channel's darkest pixel
    blank = [int(np.flatnonzero(table)[0]) - 1 if table.any() else 0 for table in lut]
    with stores.create(path, attributes) as group:
        stores.new_array(group, "lut", lut.shape, "float32", lut.shape)[:] = lut
        chunks = (1, STRIDE, stores.CHUNK)
        codes = stores.new_array(group, "codes", (2, height, width), "uint16", chunks)
        top = tile_rows.start * STRIDE
        for start in range(0, height, 4 * STRIDE):
            stop = min(start + 4 * STRIDE, height)
            source_rows = lattice.rows.source(top + start, top + stop)
            for channel in range(2):
                codes[channel, start:stop] = _gather(
                    slide["codes"], channel, source_rows, source_cols, blank[channel]
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
    image = attributes["facts"]["image"]
    return Grid(image["height"], image["width"], attributes["facts"]["image_mpp"])


def lattice_of(attributes: dict) -> Lattice:
    """Return the tile lattice of the slide that a store belongs to."""
    return plan(*grid_of(attributes).model_shape)
