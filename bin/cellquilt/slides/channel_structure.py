"""Which channels look nuclear and which look like membranes, from pixels alone.

For a choice before anything is segmented. With masks, `cells.markers` has better figures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .slide import Channel, Slide

WINDOW_PX = 512
WINDOWS = 3  # a side
_TOP = 0.999  # the quantile that pixels are clipped at, near that of normalisation
# Of the Gaussians (um): half the radius of a nucleus, and the width of a membrane in a microscope
_NUCLEUS_UM, _MEMBRANE_UM = 2.2, 0.6


@dataclass(frozen=True)
class Structure:
    """What there is in a channel, in standard deviations of its pixels: larger is more.

    Attributes
    ----------
    nuclear : float
        Mean of what curves down in all directions, at the scale of nuclei: bright spots.
    membrane : float
        Mean of what curves down across and hardly along, at the scale of membranes: bright lines.
    """

    nuclear: float
    membrane: float


def structures(slide: Slide, mpp: float) -> Iterator[tuple[Channel, Structure]]:
    """Yield each channel and what there is in nine windows of it.

    Parameters
    ----------
    slide : Slide
    mpp : float
        Pixel size (um).
    """
    for channel in slide.channels:
        parts = [slide.read(channel.index, *window) for window in _windows(slide)]
        slide.release(channel.index)
        yield channel, structure(parts, mpp)


def _windows(slide: Slide) -> list[tuple[int, int, int, int]]:
    """Return first and next row, and first and next column of each window; from the top down."""
    spans = []
    for length in (slide.height, slide.width):
        side = min(WINDOW_PX, length)
        starts = {(length - side) * (2 * k + 1) // (2 * WINDOWS) for k in range(WINDOWS)}
        spans.append([(start, start + side) for start in sorted(starts)])
    return [(*rows, *columns) for rows in spans[0] for columns in spans[1]]


def structure(parts: Sequence[np.ndarray], mpp: float) -> Structure:
    """Return what there is in parts of a channel, each (height, width) with pixels of `mpp` um."""
    parts = [np.nan_to_num(part.astype(np.float32), posinf=0, neginf=0) for part in parts]
    values = np.concatenate([part.ravel() for part in parts])
    top = np.quantile(values, _TOP)
    spread = float(np.minimum(values, top).std(dtype=np.float64))
    if not spread:
        return Structure(0.0, 0.0)
    nuclear, membrane = [], []
    for part in parts:
        signal = np.minimum(part, top) / spread
        most, least = _curvatures(signal, _NUCLEUS_UM / mpp)
        nuclear.append(np.maximum(-most, 0).mean(dtype=np.float64))
        most, least = _curvatures(signal, max(_MEMBRANE_UM / mpp, 0.5))
        membrane.append(np.maximum(-least - 2 * np.abs(most), 0).mean(dtype=np.float64))
    return Structure(float(np.mean(nuclear)), float(np.mean(membrane)))


def _curvatures(signal: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the larger and the smaller eigenvalue of the Hessian of a smoothed signal."""
    yy, xx, yx = (
        ndimage.gaussian_filter(signal, sigma, order) * sigma**2
        for order in ((2, 0), (0, 2), (1, 1))
    )
    middle, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return middle + half, middle - half
