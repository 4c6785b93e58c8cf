"""From the class probabilities of pixels to the maps that the watershed floods."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

SEED_SMOOTH = 2.0  # sigma in pixels of the gaussian from which seeds are taken
MAX_MEDIAN = 9


@dataclass(frozen=True)
class PixelMaps:
    """What `flood_cells` takes, both (h, w) float32."""

    maxima: np.ndarray
    interior: np.ndarray


def reach(median: int) -> int:
    """Return how many pixels around a window its maps depend on."""
    return median // 2 + int(4 * SEED_SMOOTH + 0.5)


def maps_of(cell: np.ndarray, edge: np.ndarray, median: int) -> PixelMaps:
    """Return the maps of a window, final where `reach` px of image lie around.

    Parameters
    ----------
    cell, edge : (h, w) ndarray of float32
        Probabilities of two classes, averaged over the networks.
    median : int
        Side of the median filter in pixels; 1 for none.

    Returns
    -------
    PixelMaps
        Seeds are maxima of the smoothed probability of a cell. The interior is that of a cell
        and half of that of an edge, so that touching cells meet along a valley between them.
    """
    if median > 1:
        cell, edge = (ndi.median_filter(values, median) for values in (cell, edge))
    return PixelMaps(ndi.gaussian_filter(cell, SEED_SMOOTH), interior_of(cell, edge))


def interior_of(cell: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return the interior map of probabilities, any shape."""
    return cell + edge / np.float32(2)
