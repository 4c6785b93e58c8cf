"""The cells of a patch, each with the proof that it is the one of the whole image.

A patch is labelled within a window, its core and a halo. A cell is certified where nothing that
may lie outside the window could change one of its pixels:

- Its marker is certain: what kills an h-maximum in the window kills it in the image, and one
  that stands is final unless the flood that looks for a killer leaves the window.
- Its flooded region does not touch UNKNOWN, a marker on the window's open edges and on all
  uncertain markers that floods before any other. By induction over the order of the queue, a
  pixel that UNKNOWN takes is taken no later than by whatever comes from outside in the image,
  and all other pixels are taken in the image as they are here, by the same labels in the same
  order, equal heights included.
- No cell that may be another one in the image is so near that it could fill a hole over it.

Where a cell of the core is not certified, its patch is labelled again with twice the halo, as
far as there are maps, to `MAX_HALO`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..tiling.box import Box
from .thresholds import Thresholds
from .watershed import CLOSED, Flood, clean, flood_cells, renumber, smooth, smooth_reach

MAX_HALO = 768  # SEGMENT keeps maps in memory that far around the patches it has yet to label
BLOCK = 16  # pixels, the side of the squares in which unsettled cells are first looked for


@dataclass(frozen=True)
class Cells:
    """The cells of a patch: those whose marker's first pixel lies in its core.

    Attributes
    ----------
    labels : (h, w) ndarray of uint32
        1 ... n in raster order of the markers, over the window.
    origin : tuple of int
        Row and column of the image at which `labels` starts.
    markers : (n, 2) ndarray of int64
        First pixel of each cell's peak, row and column on the image.
    certified : (n,) ndarray of bool
        Whether the cell is proved to be that of the whole image.
    unseen : (m, 2) ndarray of int64
        Pixels of the core, row and column on the image, that a cell whose marker lies in
        `Maps.unseen` has, or may have. None where all patches are labelled.
    """

    labels: np.ndarray
    origin: tuple[int, int]
    markers: np.ndarray
    certified: np.ndarray
    unseen: np.ndarray


@dataclass(frozen=True)
class Maps:
    """The maps of an image, as far as they have been computed.

    Attributes
    ----------
    shape : tuple of int
        Height and width of the image.
    read : callable
        ``read(box)`` gives the maxima and interior maps of a box, each (h, w) float32.
    covers : callable
        ``covers(box)`` is whether there are final maps of all of it.
    unseen : sequence of Box
        Cores whose cells nobody labels, though there may be some.
    """

    shape: tuple[int, int]
    read: Callable[[Box], tuple[np.ndarray, np.ndarray]]
    covers: Callable[[Box], bool]
    unseen: Sequence[Box] = ()

    def there(self, core: Box, halo: int, reach: int) -> int:
        """Return the largest halo up to this one for which there are maps.

        PATCH asks for tiles without knowing how far filters reach.

        Raises
        ------
        DataError
            If there are none for the core itself.
        """
        while not self.covers(core.grown(halo + reach, self.shape)):
            if halo == 0:
                raise DataError(
                    "the filters of the maps reach further than the tiles around a patch; raise"
                    " --halo."
                )
            halo = max(halo - 1, 0)
        return halo

    def next_halo(self, core: Box, halo: int, reach: int) -> int | None:
        """Return the next halo to try: twice as large if there are maps for it, else the largest.

        None where there is no larger one, or the proof may take no more memory.
        """
        if core.grown(halo, self.shape) == core.grown(halo + 1, self.shape):
            return None
        low, high = halo, min(max(2 * halo, 64), MAX_HALO) + 1
        while low + 1 < high:
            middle = (low + high) // 2
            there = self.covers(core.grown(middle + reach, self.shape))
            low, high = (middle, high) if there else (low, middle)
        return low if low > halo else None


def label_patch(maps: Maps, core: Box, halo: int, thresholds: Thresholds) -> tuple[Cells, int]:
    """Label the cells of a patch, with as much halo as their proof takes.

    Parameters
    ----------
    maps : Maps
    core : Box
        On the image.
    halo : int
        First halo to try, in pixels.
    thresholds : Thresholds

    Returns
    -------
    cells : Cells
    halo : int
        The one that sufficed, or the largest that there are maps for.
    """
    while isinstance(found := label_window(maps, core, halo, thresholds), int):
        halo = found
    return found, halo


def label_window(maps: Maps, core: Box, halo: int, thresholds: Thresholds) -> Cells | int:
    """Label the cells of a patch within one halo.

    Parameters
    ----------
    maps, core, halo, thresholds
        As for `label_patch`.

    Returns
    -------
    Cells or int
        Where the proof of a cell takes a larger halo, and there is one, the halo to try next.
    """
    reach = smooth_reach(thresholds)
    halo = maps.there(core, halo, reach)
    window, read = (core.grown(m, maps.shape) for m in (halo, halo + reach))
    maxima, interior = maps.read(read)
    inner = window.within(read)
    maxima, interior = inner.crop(maxima), inner.crop(smooth(interior, thresholds))
    larger = maps.next_halo(core, halo, reach)
    cells = label_core(maxima, interior, core, window, maps, thresholds, larger is None)
    return larger if cells is None else cells


def label_core(
    maxima: np.ndarray,
    interior: np.ndarray,
    core: Box,
    window: Box,
    maps: Maps,
    thresholds: Thresholds,
    last: bool,
) -> Cells | None:
    """Label the cells of a patch from one window, and certify each.

    Parameters
    ----------
    maxima, interior : (h, w) ndarray of float32
        Maps of the window, the second one smoothed.
    core, window : Box
        On the image; the window is core and halo.
    maps : Maps
        Of the image; its shape, and what is not labelled of it.
    thresholds : Thresholds
    last : bool
        Whether the window's own answer is to stand for cells without proof.

    Returns
    -------
    Cells or None
        None where the proof of a cell takes a larger window.
    """
    y0, y1, x0, x1 = window
    inner, (height, width) = core.within(window), maps.shape
    cells = flood_cells(maxima, interior, thresholds, (y0 > 0, y1 < height, x0 > 0, x1 < width))
    labels, holed, boxes = clean(cells, thresholds)
    unseen = _unseen(cells, labels, inner, [box.within(window) for box in maps.unseen])
    owned = _inside(cells.markers, inner)
    proved = cells.settled & ~_endangered(cells, holed, boxes, owned, thresholds)
    certified_markers = cells.markers[proved]
    doubtful = _doubtful_peak(cells, interior, thresholds.interior_threshold, inner)
    if doubtful or not proved[owned & (cells.areas > 0)].all():
        if not last:
            return None
        # As if the image ended here: one of the images that the proved cells hold in
        cells = flood_cells(maxima, interior, thresholds, CLOSED)
        labels, _, _ = clean(cells, thresholds)
        owned = _inside(cells.markers, inner)
    labels, markers = renumber(labels, owned, cells.markers)
    certified = np.isin(_keys(markers), _keys(certified_markers))
    return Cells(labels, (y0, x0), markers + (y0, x0), certified, unseen + (y0, x0))


def _inside(markers: np.ndarray, box: Box) -> np.ndarray:
    rows, cols = markers.T
    return (rows >= box.y0) & (rows < box.y1) & (cols >= box.x0) & (cols < box.x1)


def _unseen(cells: Flood, labels: np.ndarray, core: Box, elsewhere: Sequence[Box]) -> np.ndarray:
    """Return the pixels of the core that cells with their markers elsewhere have or may have."""
    if not elsewhere:
        return np.zeros((0, 2), np.int64)
    foreign = np.zeros(len(cells.markers) + 1, bool)
    for box in elsewhere:
        foreign[1:] |= _inside(cells.markers, box)
    found = foreign[core.crop(labels)] | (core.crop(cells.labels) < 0)
    return np.argwhere(found) + (core.y0, core.x0)


def _keys(markers: np.ndarray) -> np.ndarray:
    return markers[:, 0] << 32 | markers[:, 1]


def _doubtful_peak(cells: Flood, interior: np.ndarray, threshold: float, core: Box) -> bool:
    """Return whether a peak that may not be one, or may be larger, could begin in the core."""
    if cells.certain.all():
        return False
    at = np.flatnonzero(cells.peaks)
    labels = cells.peaks.ravel()[at]
    at, labels = (values[~cells.certain[labels - 1]] for values in (at, labels))
    rows, cols = np.divmod(at, cells.peaks.shape[1])
    in_core = _inside(np.column_stack([rows, cols]), core)
    in_mask = interior[rows, cols] > threshold
    return np.intersect1d(labels[in_core], labels[in_mask]).size > 0


def _endangered(
    cells: Flood, holed: np.ndarray, boxes: np.ndarray, owned: np.ndarray, thresholds: Thresholds
) -> np.ndarray:
    """Return the settled cells over which another one could yet fill a hole, (n,) bool.

    A hole is connected, smaller than the threshold and beside the cell that fills it. So a cell
    that is unsettled reaches no further than that many pixels, and one that has holes itself
    passes the danger on to the cells in its box. Only cells in `owned`, and those that pass it
    on, are looked at.
    """
    reach = thresholds.fill_holes_threshold
    endangered = np.zeros(len(owned) + 1, bool)
    if reach <= 1 or cells.settled.all() and not (cells.labels < 0).any():
        return endangered[1:]
    looked_at = np.union1d(np.flatnonzero(owned & cells.settled) + 1, holed)
    looked_at = looked_at[boxes[looked_at, 0] < boxes[looked_at, 1]]
    height, width = cells.labels.shape

    def wide(labels: np.ndarray) -> np.ndarray:
        grown = boxes[labels] + (-reach, reach, -reach, reach)
        return np.clip(grown, 0, [height, height, width, width])

    if looked_at.size == 0:
        return endangered[1:]
    # by blocks first, since what is unsettled is mostly far from the core
    doubt = np.append(np.insert(~cells.settled, 0, False), True)[cells.labels]
    first, last = (np.arange(0, side, BLOCK) for side in doubt.shape)
    blocks = np.logical_or.reduceat(np.logical_or.reduceat(doubt, first), last, axis=1)
    if not blocks.any():
        return endangered[1:]
    sums = np.pad(blocks.cumsum(axis=0).cumsum(axis=1), (1, 0))
    grown = wide(looked_at)
    y0, x0 = grown[:, ::2].T // BLOCK
    y1, x1 = -(-grown[:, 1::2].T // BLOCK)
    near = np.flatnonzero(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0])
    endangered[looked_at[[k for k in near if Box(*grown[k]).crop(doubt).any()]]] = True
    endangered[1:] |= ~cells.settled
    waiting = [label for label in holed if endangered[label]]
    while waiting:
        y0, y1, x0, x1 = wide(np.array([waiting.pop()]))[0]
        reached = np.unique(cells.labels[y0:y1, x0:x1])
        reached = reached[(reached > 0) & ~endangered[reached]]
        endangered[reached] = True
        waiting.extend(np.intersect1d(reached, holed))
    return endangered[1:]
