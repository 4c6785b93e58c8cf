"""From the cells of every patch to whole-slide label images.

Each cell is held by one patch, the one that owns its marker, so nothing has to be merged: cells
are numbered in raster order of their markers and painted where they lie.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from . import stores
from .cli import Progress
from .grid import Grid
from .label_image import scratch_labels, strip_rows

log = logging.getLogger("cellquilt")


@dataclass(frozen=True)
class Stitched:
    """One compartment of a slide.

    Attributes
    ----------
    labels : (height, width) memmap of uint32
        On the input's grid.
    counts : dict
        Patch id to the number of cells that the patch owns.
    n_disputed_px : int
        Model pixels that two patches' cells both claimed; 0 where the halo was wide enough.
        They stay with the patch that comes first.
    """

    labels: np.memmap
    counts: dict[int, int]
    n_disputed_px: int


def stitch(paths: list[Path], name: str, grid: Grid, scratch: Path) -> Stitched:
    """Put the cells of all patches into one label image.

    Parameters
    ----------
    paths : list of Path
        Label stores of a slide, in any order; may be empty.
    name : {'cell', 'nucleus'}
    grid : Grid
        Of the slide.
    scratch : Path
        Folder for the memory-mapped images.

    Returns
    -------
    Stitched
        Labels are 1 ... n in raster order of the markers, as deepcell numbers them.
    """
    paths = sorted(paths, key=lambda path: path.name)
    markers = _read_markers(paths, name)
    counts = {patch_id: len(found) for patch_id, found in markers.items()}
    everything = np.concatenate([np.zeros((0, 2), np.int64), *markers.values()])
    numbers = np.empty(len(everything), np.uint32)
    numbers[np.lexsort(everything.T[::-1])] = np.arange(1, len(everything) + 1)
    ends = dict(zip(counts, np.cumsum(list(counts.values())), strict=True))

    model = scratch_labels(scratch / f"{name}.model", grid.model_shape)
    n_disputed = 0
    progress = Progress(f"stitch: {name} patches", len(counts))
    for path in paths:
        with stores.read(path) as store:
            tops = {patch["patch_id"]: patch for patch in store.attrs["patches"]}
            halo = store.attrs["halo"]
            for patch_id, patch in tops.items():
                local = store[f"{patch_id}/{name}/labels"][:]
                own = numbers[ends[patch_id] - counts[patch_id] : ends[patch_id]]
                y, x = max(patch["y0"] - halo, 0), max(patch["x0"] - halo, 0)
                target = model[y : y + local.shape[0], x : x + local.shape[1]]
                claimed = local > 0
                free = claimed & (target == 0)
                n_disputed += int(claimed.sum() - free.sum())
                target[free] = own[local[free] - 1]
                progress.add(pixels=local.size)
    return Stitched(_to_input(model, name, grid, scratch), counts, n_disputed)


def _read_markers(paths: list[Path], name: str) -> dict[int, np.ndarray]:
    """Return the markers of every patch, by patch id, in the order of the stores."""
    markers = {}
    for path in paths:
        with stores.read(path) as store:
            for patch in store.attrs["patches"]:
                patch_id = patch["patch_id"]
                markers[patch_id] = store[f"{patch_id}/{name}/markers"][:]
    return markers


def _to_input(model: np.memmap, name: str, grid: Grid, scratch: Path) -> np.memmap:
    if not grid.resized:
        return model
    labels = scratch_labels(scratch / f"{name}.input", (grid.height, grid.width))
    rows, cols = grid.label_rows(), grid.label_cols()
    for y0, y1 in strip_rows(labels.shape):
        labels[y0:y1] = model[rows[y0:y1]][:, cols]
    return labels


def count_labels(labels: np.ndarray) -> int:
    """Return how many cells a label image shows, reading it in strips."""
    seen = np.zeros(0, np.uint32)
    for y0, y1 in strip_rows(labels.shape):
        seen = np.union1d(seen, labels[y0:y1])
    return int(np.count_nonzero(seen))


def add_counts(table: pd.DataFrame, counts: dict[str, dict[int, int]]) -> pd.DataFrame:
    """Return the table of patches with ``n_<compartment>`` columns; 0 for skipped patches."""
    columns = {
        {"cell": "n_cells", "nucleus": "n_nuclei"}[name]: [
            found.get(patch_id, 0) for patch_id in table["patch_id"]
        ]
        for name, found in counts.items()
    }
    return table.assign(**columns)
