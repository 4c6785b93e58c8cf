"""Cells that are a slide's nuclei, grown: their pixels, and which of them are proved.

What a cell is depends on the nuclei within twice the distance: a pixel is as far from its own
nucleus as that at most, and from another that may take it, too.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..images.growing import grow, labels_near
from ..images.label_rows import LabelRows
from ..images.strips import Scratch
from .stitch import Stitched


def grown_cells(nuclei: Stitched, distance: float) -> Stitched:
    """Grow a slide's nuclei to cells of the same labels.

    Parameters
    ----------
    nuclei : Stitched
    distance : float
        How far at most, in pixels of the input's grid.

    Returns
    -------
    Stitched
        A cell is certified where all nuclei within twice the distance are.
    """
    labels, y = Scratch(Path(), nuclei.labels.shape, np.uint32), 0
    for strip in grow(nuclei.labels, distance):
        labels[y : y + len(strip)] = strip
        y += len(strip)
    cells = nuclei.cells.copy()
    doubtful = np.zeros(int(cells["label"].max() if len(cells) else 0) + 1, bool)
    doubtful[cells.loc[~cells["certified"], "label"]] = True
    if doubtful.any():
        near = labels_near(nuclei.labels, _Chosen(nuclei.labels, doubtful), 2 * distance)
        cells["certified"] &= ~cells["label"].isin(near)
    return replace(nuclei, labels=labels, cells=cells, n_disputed_px=0)


def without_neighbours(nuclei: Stitched, patches: pd.DataFrame, distance: float) -> np.ndarray:
    """Return the labels within twice a distance of which nuclei may be that are not there.

    Those are of patches outside of the regions of interest, which are not segmented.

    Parameters
    ----------
    nuclei : Stitched
    patches : DataFrame
        Of PATCH.
    distance : float
        In pixels of the input's grid.
    """
    return labels_near(nuclei.labels, _Unseen(nuclei, patches), 2 * distance)


class _Chosen:
    """The pixels of chosen labels, as `growing.MarkedRows`."""

    def __init__(self, labels: LabelRows, chosen: np.ndarray):
        self._labels, self._chosen = labels, chosen

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1`, (rows, width) bool."""
        return self._chosen[self._labels.read(y0, y1)]


class _Unseen:
    """Where nuclei may be that are not there, as `growing.MarkedRows`."""

    def __init__(self, nuclei: Stitched, patches: pd.DataFrame):
        self._shape, self._pixels = nuclei.labels.shape, nuclei.unseen
        outside = patches[patches["reason"] == "outside_roi"]
        self._boxes = outside[["y0", "height", "x0", "width"]].to_numpy()

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1`, (rows, width) bool."""
        y1 = min(y1, self._shape[0])
        marks = np.zeros((y1 - y0, self._shape[1]), bool)
        y, x = self._pixels[(self._pixels[:, 0] >= y0) & (self._pixels[:, 0] < y1)].T
        marks[y - y0, x] = True
        for top, height, x0, width in self._boxes:
            if top < y1 and top + height > y0:
                marks[max(top - y0, 0) : top + height - y0, x0 : x0 + width] = True
        return marks
