"""From the normalised store of a slide to its patches and the pixels of each task."""

import logging
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from numpy.lib.stride_tricks import sliding_window_view

from .. import provenance
from ..handoff import stores
from .box import Box
from .lattice import DEFAULT, Geometry, Lattice, plan
from .optics import assess_optics
from .patches import (
    Patch,
    assess,
    block_lattice,
    group_patches,
    metadata,
    plan_patches,
    tiles_of,
)
from .pixel_grid import Grid
from .regions import Regions
from .task_store import write_pixels

log = logging.getLogger("cellquilt")

# What is segmented around regions, in model pixels: more than a chain of cells and nuclei that
# overlap, so that all is there that has a part in the matching of a region's cells
REGION_MARGIN = 256
FINER = 4  # how many patches take the place of one, along each axis, where there are regions


@dataclass(frozen=True)
class Cut:
    """How a slide is to be cut.

    Attributes
    ----------
    patch_size, halo : int
        Side of a core and context around it, in model pixels.
    patches_per_task : int
    patch_qc : {'default', 'signal', 'reference', 'none'}
    min_contrast : float
        Both as in `patches.assess`.
    tiles : Geometry
        Of the network that is to run.
    """

    patch_size: int = 1536
    halo: int = 96
    patches_per_task: int = 16
    patch_qc: str = "default"
    min_contrast: float = 0.03
    tiles: Geometry = DEFAULT

    def around(self, regions: Regions | None) -> "Cut":
        """Return how a slide is cut of which regions are wanted, or all.

        A patch is segmented as a whole, so that of smaller ones less lies outside of the regions;
        a task has as many pixels as before. Where a rule of quality control depends on the size of
        patches, it stays.
        """
        side = max(self.patch_size // FINER, 2 * self.tiles.stride)
        if regions is None or side >= self.patch_size or self.patch_qc not in ("default", "none"):
            return self
        n_patches = round(self.patches_per_task * (self.patch_size / side) ** 2)
        return replace(self, patch_size=side, patches_per_task=n_patches)


def plan_tasks(store: Path, outdir: Path, cut: Cut, table_only: bool = False) -> pd.DataFrame:
    """Plan the patches of a slide and write one store of pixels for each task.

    Where the slide has regions of interest, patches that none of their cells can reach are
    skipped, and they are smaller, see `Cut.around`.

    A task's store holds ``codes`` (2, h, w) uint16, the part of the padded lattice that its
    tiles span, and ``lut``; its attributes name tiles, patches and geometry, in ``blank_codes``
    the constant tiles of the patches that were skipped for them, as the two codes of each kind,
    and in ``unseen`` the cores of the patches that no region needs.

    Parameters
    ----------
    store : Path
        What INGEST wrote.
    outdir : Path
        Folder for ``task-<n>.pixels.zip``.
    cut : Cut
    table_only : bool
        Whether there are to be no tasks, since nothing is to be segmented.

    Returns
    -------
    DataFrame
        The table of patches, with the ``task`` of each (-1 where it is skipped).
    """
    with stores.read(store) as slide:
        facts = slide.attrs["facts"]
        grid = Grid.of(facts)
        lattice, blocks = plan(*grid.model_shape, cut.tiles), block_lattice(grid.model_shape)
        regions, whole = Regions.of(facts), plan_patches(lattice, cut.patch_size)
        cut = cut.around(regions)
        patches = plan_patches(lattice, cut.patch_size)
        channels = [
            {name: array[:] for name, array in slide[f"blocks/{index}"].arrays()}
            for index in range(2 if facts["membrane"] else 1)
        ]
        lut = slide["lut"][:]
        blank = _blank_codes(lut)
        needed = [tiles_of(lattice, [patch], cut.halo) for patch in patches]
        flat = constant_tiles(slide["codes"], blank, lattice)
        constant = np.array([all(tile in flat for tile in tiles) for tiles in needed])
        quality = assess(patches, blocks, channels, constant, cut.patch_qc, cut.min_contrast)
        far = beyond_regions(regions, grid, patches)
        quality.loc[far, ["is_informative", "reason"]] = False, "outside_roi"
        skipped = np.flatnonzero(quality["reason"] == "constant")
        blanks = sorted({flat[tile] for patch_id in skipped for tile in needed[patch_id]})
        optics = assess_optics(whole, blocks, slide["codes"], channels, grid.image_mpp)
        if len(whole) < len(patches):  # flags of cells are those of the slide without regions
            optics = optics.iloc[_nearest(patches, whole)].reset_index(drop=True)
        table = metadata(patches, grid, cut.halo, pd.concat([quality, optics], axis=1))
        table["task"] = -1
        wanted = quality["is_informative"].to_numpy() & (not table_only)
        tasks = group_patches(patches, wanted, cut.patches_per_task)
        step = provenance.of_step(
            "PATCH",
            patch_size=cut.patch_size,
            halo=cut.halo,
            patch_qc=cut.patch_qc,
            min_contrast=cut.min_contrast,
        )
        for number, members in enumerate(tasks):
            table.loc[[patch.patch_id for patch in members], "task"] = number
            attributes = {
                "facts": facts | {"regions": None},  # whose outlines may be long
                "task": number,
                "halo": cut.halo,
                "blank_codes": blanks,
                "unseen": [patch.core for patch in patches if far[patch.patch_id]],
                "patches": [asdict(patch) for patch in members],
                "provenance": [*facts["provenance"], step],
            }
            path = outdir / f"task-{number:05d}.pixels.zip"
            tiles = tiles_of(lattice, members, cut.halo)
            write_pixels(path, attributes, slide["codes"], lut, blank, lattice, tiles)
    informative = int(table["is_informative"].sum())
    log.info("patch: %d of %d patches informative", informative, len(table))
    if not informative:
        log.warning("patch: no patch of this slide can hold cells; its outputs will be empty")
    return table


def _nearest(patches: list[Patch], whole: list[Patch]) -> np.ndarray:
    """Return the index in `whole` of the patch that the middle of each of `patches` lies in."""
    rows, cols = (sorted({getattr(p, name) for p in whole}) for name in ("y0", "x0"))
    y, x = (
        np.array([p.y0 + p.y1 for p in patches]) / 2,
        np.array([p.x0 + p.x1 for p in patches]) / 2,
    )
    row, col = np.searchsorted(rows, y, "right") - 1, np.searchsorted(cols, x, "right") - 1
    return row * len(cols) + col


def beyond_regions(regions: Regions | None, grid: Grid, patches: list[Patch]) -> np.ndarray:
    """Return which patches no cell of a region can reach, (n,) bool; none without regions."""
    far = np.zeros(len(patches), bool)
    if regions is None:
        return far
    rows, cols = grid.label_rows(), grid.label_cols()
    for patch in patches:
        y0, y1, x0, x1 = patch.core.grown(REGION_MARGIN, grid.model_shape)
        box = Box(*np.searchsorted(rows, (y0, y1)), *np.searchsorted(cols, (x0, x1)))
        far[patch.patch_id] = not regions.touch(box)
    return far


def _blank_codes(lut: np.ndarray) -> list[int]:
    """Return the code that the network sees as 0, as it does padding, of each channel."""
    return [int(np.flatnonzero(table)[0]) - 1 if table.any() else 0 for table in lut]


def constant_tiles(
    codes: zarr.Array, blank: list[int], lattice: Lattice
) -> dict[tuple[int, int], tuple[int, int]]:
    """Find the tiles that are constant in both channels.

    Parameters
    ----------
    codes : (2, height, width) array of uint16
        Of the slide; read in strips.
    blank : list of int
        Codes of the padding around it.
    lattice : Lattice

    Returns
    -------
    dict
        Row and column of a tile to its two codes.
    """
    rows, cols = lattice.rows, lattice.cols
    lowest, highest = [], []
    across = slice(cols.before, cols.before + cols.size)
    tile, stride = lattice.geometry.tile, lattice.geometry.stride
    part = math.gcd(tile, stride)
    # few enough for memory, enough to decode a chunk but twice
    band_rows = max(2 * stores.CHUNK // part, 1) * part
    for top in range(0, rows.padded, band_rows):
        bottom = min(top + band_rows, rows.padded)
        y0, y1 = (min(max(y - rows.before, 0), rows.size) for y in (top, bottom))
        blocks = []
        for channel in range(2):
            band = np.full((bottom - top, cols.padded), blank[channel], np.uint16)
            band[y0 + rows.before - top : y1 + rows.before - top, across] = codes[channel, y0:y1]
            parts = band.reshape(-1, part, cols.padded // part, part)
            blocks.append((parts.min(axis=(1, 3)), parts.max(axis=(1, 3))))
        low, high = zip(*blocks, strict=True)
        lowest.append(np.stack(low))
        highest.append(np.stack(high))

    def over_tiles(values: list[np.ndarray]) -> np.ndarray:
        """Return the parts of each tile, (2, n_rows, n_cols, n, n)."""
        size, step = tile // part, stride // part
        found = sliding_window_view(np.concatenate(values, axis=1), (size, size), axis=(1, 2))
        return found[:, ::step, ::step]

    low, high = over_tiles(lowest).min(axis=(3, 4)), over_tiles(highest).max(axis=(3, 4))
    return {
        (int(row), int(col)): (int(low[0, row, col]), int(low[1, row, col]))
        for row, col in np.argwhere((low == high).all(axis=0))
    }
