"""From Mesmer's maps to labelled cells, with the semantics of deepcell_toolbox.

Written on scikit-image and scipy after the published description and behaviour of
``deepcell_toolbox.deep_watershed`` (0.12.1); tests compare the two.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from skimage.measure import label, regionprops
from skimage.morphology import disk, h_maxima, remove_small_holes, remove_small_objects
from skimage.segmentation import relabel_sequential, watershed


@dataclass(frozen=True)
class Thresholds:
    """Parameters of the watershed of one compartment; the defaults are Mesmer's for whole cells.

    Attributes
    ----------
    maxima_threshold : float
        Height by which a peak of the maxima map must stand out (h of the h-maxima).
    interior_threshold : float
        Smallest value of the smoothed interior map inside a cell.
    interior_smooth : float
        Sigma of the gaussian on the interior map, in pixels.
    small_objects_threshold : int
        Cells of fewer pixels are removed.
    fill_holes_threshold : int
        Holes of fewer pixels are filled.
    radius : int
        Radius of the disk in which peaks are sought, in pixels.
    """

    maxima_threshold: float = 0.075
    interior_threshold: float = 0.2
    interior_smooth: float = 2.0
    small_objects_threshold: int = 15
    fill_holes_threshold: int = 15
    radius: int = 2


WHOLE_CELL = Thresholds()
NUCLEAR = Thresholds(maxima_threshold=0.1)


def smooth_reach(thresholds: Thresholds) -> int:
    """Return how many pixels around a window its smoothed interior map depends on."""
    return int(4 * thresholds.interior_smooth + 0.5)


def label_cells(
    maxima: np.ndarray, interior: np.ndarray, thresholds: Thresholds
) -> tuple[np.ndarray, np.ndarray]:
    """Label cells by a watershed of the interior map from the peaks of the maxima map.

    Parameters
    ----------
    maxima : (H, W) ndarray of float32
        Mesmer's map of the distance to a cell's border.
    interior : (H, W) ndarray of float32
        Its probability of a cell's interior, already smoothed.
    thresholds : Thresholds

    Returns
    -------
    labels : (H, W) ndarray of int64
        1 ... n in raster order of the first pixel of each cell's peak; 0 is background.
    markers : (n, 2) ndarray of int64
        Row and column of that pixel.
    """
    peaks = label(h_maxima(maxima, thresholds.maxima_threshold, disk(thresholds.radius)))
    cells = watershed(-interior, peaks, mask=interior > thresholds.interior_threshold)
    if thresholds.small_objects_threshold > 1:
        cells = remove_small_objects(cells, max_size=thresholds.small_objects_threshold - 1)
    if thresholds.fill_holes_threshold > 1:
        cells = fill_holes(cells, thresholds.fill_holes_threshold)

    ids, first = np.unique(peaks, return_index=True)
    survivors = np.unique(cells[cells > 0])
    markers = np.column_stack(np.unravel_index(first[np.isin(ids, survivors)], peaks.shape))
    return relabel_sequential(cells)[0], markers.reshape(-1, 2)


def smooth(interior: np.ndarray, thresholds: Thresholds) -> np.ndarray:
    """Return the interior map smoothed by a gaussian, float32."""
    return ndi.gaussian_filter(interior, thresholds.interior_smooth)


def fill_holes(labels: np.ndarray, size: int) -> np.ndarray:
    """Fill the holes of fewer than `size` pixels in cells that have any.

    As in deepcell_toolbox, holes are sought within the cell's bounding box, so that a corner of
    the box that is cut off by the cell counts as a hole too, even where another cell lies.

    Parameters
    ----------
    labels : (H, W) ndarray of int
    size : int

    Returns
    -------
    (H, W) ndarray of int
    """
    filled = labels.copy()
    for cell in regionprops(labels):
        if cell.euler_number < 1:
            box = filled[cell.slice]
            solid = remove_small_holes(box == cell.label, max_size=size - 1, connectivity=1)
            filled[cell.slice] = np.where(solid, cell.label, box)
    return filled


def label_core(
    maxima: np.ndarray,
    interior: np.ndarray,
    origin: tuple[int, int],
    window: tuple[int, int, int, int],
    core: tuple[int, int, int, int],
    thresholds: Thresholds,
) -> tuple[np.ndarray, np.ndarray]:
    """Label the cells that a patch owns: those whose peak's first pixel lies in its core.

    Parameters
    ----------
    maxima, interior : (h, w) ndarray of float32
        Maps of the window and of what smoothing needs around it, as far as the slide goes.
    origin : tuple of int
        Row and column of the slide at which the maps start, in model pixels.
    window, core : tuple of int
        y0, y1, x0, x1 on the slide, in model pixels; the window is core and halo.
    thresholds : Thresholds

    Returns
    -------
    labels : (y1 - y0, x1 - x0) ndarray of uint32
        The owned cells in the window, numbered 1 ... n in raster order of their markers.
    markers : (n, 2) ndarray of int64
        First pixel of each one's peak, row and column on the slide.
    """
    y0, y1, x0, x1 = window
    crop = (slice(y0 - origin[0], y1 - origin[0]), slice(x0 - origin[1], x1 - origin[1]))
    labels, markers = label_cells(maxima[crop], smooth(interior, thresholds)[crop], thresholds)
    markers = markers + (y0, x0)
    rows, cols = markers.T
    owned = (rows >= core[0]) & (rows < core[1]) & (cols >= core[2]) & (cols < core[3])
    renumber = np.zeros(len(markers) + 1, np.uint32)
    renumber[1:][owned] = np.arange(1, owned.sum() + 1)
    return renumber[labels], markers[owned]
