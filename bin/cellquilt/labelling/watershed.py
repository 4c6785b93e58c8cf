"""From Mesmer's maps to labelled cells, with the semantics of deepcell_toolbox.

Written after the published description and behaviour of
``deepcell_toolbox.deep_watershed`` (0.12.1); tests compare the two. The compiled parts are
those of `cellquilt_kernels`.
"""

from dataclasses import dataclass

import numpy as np
from cellquilt_kernels import flood, holes, peaks
from scipy import ndimage as ndi
from skimage.morphology import disk, reconstruction, remove_small_holes

from .thresholds import Thresholds

Sides = tuple[bool, bool, bool, bool]
CLOSED: Sides = (False, False, False, False)


def smooth_reach(thresholds: Thresholds) -> int:
    """Return how many pixels around a window its smoothed interior map depends on."""
    return int(4 * thresholds.interior_smooth + 0.5)


def smooth(interior: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return the interior map smoothed by a gaussian, float32."""
    return ndi.gaussian_filter(interior, thresholds.interior_smooth)


@dataclass(frozen=True)
class Flood:
    """Cells of a window of a larger image, numbered in raster order of their markers.

    Attributes
    ----------
    labels : (H, W) ndarray of int32
        1 ... n; 0 is background, -1 may belong to something outside the window.
    peaks : (H, W) ndarray of int32
        The markers, of the same numbers.
    markers : (n, 2) ndarray of int64
        Row and column of the first pixel of each one.
    areas : (n,) ndarray of int64
        Pixels of each cell; 0 where the marker lies in no cell.
    certain : (n,) ndarray of bool
        Whether the marker does not depend on what lies outside.
    settled : (n,) ndarray of bool
        Whether marker and cell, before holes are filled, do not depend on it.
    """

    labels: np.ndarray
    peaks: np.ndarray
    markers: np.ndarray
    areas: np.ndarray
    certain: np.ndarray
    settled: np.ndarray


def flood_cells(
    maxima: np.ndarray, interior: np.ndarray, thresholds: Thresholds, open_sides: Sides
) -> Flood:
    """Flood the interior map from the peaks of the maxima map.

    Parameters
    ----------
    maxima : (H, W) ndarray of float32
        Mesmer's map of the distance to a cell's border.
    interior : (H, W) ndarray of float32
        Its probability of a cell's interior, already smoothed.
    thresholds : Thresholds
    open_sides : tuple of bool
        Whether the image goes on above, below, left and right of the window.
    """
    interior = np.ascontiguousarray(interior, np.float32)
    found = find_maxima(maxima, thresholds.maxima_threshold, thresholds.radius, open_sides)
    marked, markers, certain = peaks.label_peaks(found, open_sides)
    labels, areas, touched = flood.watershed(
        interior, marked, thresholds.interior_threshold, certain.view(np.uint8), open_sides
    )
    return Flood(labels, marked, markers, areas[1:], certain, certain & ~touched[1:])


def find_maxima(maxima: np.ndarray, h: float, radius: int, open_sides: Sides) -> np.ndarray:
    """Return the h-maxima of a window: 0 no, 1 yes, 2 unknown without what lies outside.

    Parameters
    ----------
    maxima : (H, W) ndarray of float32
    h : float
        Height by which a maximum stands out.
    radius : int
        Of the disk in which pixels are neighbours.
    open_sides : tuple of bool

    Returns
    -------
    (H, W) ndarray of uint8
        Without open sides what `skimage.morphology.h_maxima` returns.
    """
    maxima = np.ascontiguousarray(maxima, np.float32)
    found = peaks.h_maxima(maxima, h, radius, open_sides)
    return maxima_by_reconstruction(maxima, h, radius, open_sides) if found is None else found


def maxima_by_reconstruction(
    maxima: np.ndarray, h: float, radius: int, open_sides: Sides
) -> np.ndarray:
    """Return what `find_maxima` returns, from two morphological reconstructions.

    Slower, but in bounded time on any image: long plateaus of noise below h are what the flood
    from candidates is slow on. The second reconstruction takes the pixels whose neighbourhood
    reaches outside to be as high as anything there could make them.
    """
    h = np.float32(h)
    if np.ptp(maxima) < h and not any(open_sides):
        return np.zeros(maxima.shape, np.uint8)
    seed = maxima - h - np.float32(2e-6) * np.abs(maxima)
    footprint = disk(radius)

    def stands_out(seed: np.ndarray) -> np.ndarray:
        return maxima - reconstruction(seed, maxima, footprint=footprint) >= h

    up, down, left, right = open_sides
    raised = seed.copy()
    for opened, edge in (
        (up, np.s_[:radius]),
        (down, np.s_[-radius:]),
        (left, np.s_[:, :radius]),
        (right, np.s_[:, -radius:]),
    ):
        if opened:
            raised[edge] = maxima[edge]
    return np.where(stands_out(seed), 2 - stands_out(raised), 0).astype(np.uint8)


def clean(cells: Flood, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Remove small cells and fill the holes of the others.

    Parameters
    ----------
    cells : Flood
    thresholds : Thresholds

    Returns
    -------
    labels : (H, W) ndarray of int32
        As in `cells`, 0 where a cell was removed or nothing is known.
    holed : (m,) ndarray of int64
        Labels of the cells that have holes, ascending.
    boxes : (n + 1, 4) ndarray of int64
        y0, y1, x0, x1 of every label before holes were filled.
    """
    n = len(cells.areas)
    kept = np.arange(n + 1, dtype=np.int32)
    kept[1:][cells.areas < thresholds.small_objects_threshold] = 0
    labels = kept.take(cells.labels, mode="clip")  # nothing is known of those below 0
    euler, boxes = holes.outlines(labels, n)
    # a label that is not there has an Euler number of 0 too
    holed = np.flatnonzero((euler < 1) & (boxes[:, 0] < boxes[:, 1]))
    if thresholds.fill_holes_threshold > 1:
        fill_holes(labels, holed, boxes, thresholds.fill_holes_threshold)
    return labels, holed, boxes


def fill_holes(labels: np.ndarray, holed: np.ndarray, boxes: np.ndarray, size: int) -> None:
    """Fill, in place, the holes of fewer than `size` pixels in the cells `holed`.

    As in deepcell_toolbox, holes are sought within the cell's bounding box, so that a corner of
    the box that is cut off by the cell counts as a hole too, even where another cell lies.
    """
    for label in holed:
        y0, y1, x0, x1 = boxes[label]
        box = labels[y0:y1, x0:x1]
        box[remove_small_holes(box == label, max_size=size - 1, connectivity=1)] = label


def label_cells(
    maxima: np.ndarray, interior: np.ndarray, thresholds: Thresholds
) -> tuple[np.ndarray, np.ndarray]:
    """Label the cells of a whole image.

    Parameters
    ----------
    maxima, interior : (H, W) ndarray of float32
        As for `flood_cells`.
    thresholds : Thresholds

    Returns
    -------
    labels : (H, W) ndarray of uint32
        1 ... n in raster order of the first pixel of each cell's peak; 0 is background.
    markers : (n, 2) ndarray of int64
        Row and column of that pixel.
    """
    cells = flood_cells(maxima, interior, thresholds, CLOSED)
    labels, _, _ = clean(cells, thresholds)
    return renumber(labels, np.ones(len(cells.markers), bool), cells.markers)


def renumber(
    labels: np.ndarray, wanted: np.ndarray, markers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the wanted labels that are there, numbered 1 ... n, and their markers.

    Parameters
    ----------
    labels : (H, W) ndarray of int32
        At most m, none negative.
    wanted : (m,) ndarray of bool
    markers : (m, 2) ndarray of int64

    Returns
    -------
    labels : (H, W) ndarray of uint32
    markers : (n, 2) ndarray of int64
    """
    present = wanted & (np.bincount(labels.ravel(), minlength=len(wanted) + 1)[1:] > 0)
    numbers = np.zeros(len(wanted) + 1, np.uint32)
    numbers[1:][present] = np.arange(1, present.sum() + 1)
    return numbers[labels], markers[present]
