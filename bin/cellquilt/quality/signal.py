"""What a slide's signal alone says: how large its nuclei are, what is nuclear, where seams run.

All are found without masks, on parts of the slide that its pixels and size decide, so that cost
and memory are bounded and equal input gives equal figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import zarr
from scipy import ndimage

from ..tiling.patches import BLOCK, MIN_CONTRAST_IN_NOISE, block_lattice
from ..tiling.pixel_grid import MODEL_MPP

WINDOW = 256  # model pixels, a whole number of blocks
N_WINDOWS = 6
# Of the gaussians, model pixels; each is found on a picture halved so many times.
SIGMAS = {1.4: 0, 2.0: 0, 3.0: 1, 4.0: 1, 6.0: 2, 8.0: 2, 12.0: 3, 16.0: 3}
N_FINE = 4  # of the gaussians, those that are smaller than nuclei
MIN_WINDOW = 96  # a smaller slide has no room for the largest gaussians
# Of the range of the slide's blocks, as of PATCH's rule `signal`
MIN_CONTRAST = 0.03

BAND = 256
N_BANDS = 6
# A step between two columns, in standard deviations of such steps
SEAM = 4.0
MIN_PERIOD = 128
PERIOD_TOLERANCE = 3


@dataclass(frozen=True)
class Blobs:
    """How an image's bright blobs respond to gaussians of each of `SIGMAS`.

    Attributes
    ----------
    blob, ridge : (n,) ndarray
        Mean curvature, times sigma squared, of what is bent down in all directions, and in one.
    """

    blob: np.ndarray
    ridge: np.ndarray

    def radius_px(self) -> float:
        """Return the radius of discs for which the response is largest at the scale it is."""
        best = int(np.clip(self.blob.argmax(), 1, len(self.blob) - 2))
        if self.blob[best] < self.blob.max():  # at the first or the last: it may lie beyond
            return float(list(SIGMAS)[self.blob.argmax()] * np.sqrt(2))
        scale = np.log(list(SIGMAS))[best - 1 : best + 2]
        a, b, _ = np.polyfit(scale, self.blob[best - 1 : best + 2], 2)
        return float(np.exp(-b / (2 * a)) * np.sqrt(2))

    def roundness(self) -> float:
        """Return blobs over ridges, at the one of the finest scales where that is largest.

        Nuclei have 0.17 and more, membranes and noise 0.09 to 0.15, whatever the pixel size.
        """
        return float((self.blob[:N_FINE] / self.ridge[:N_FINE]).max())


def has_signal(blocks: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """Return which of the 32 x 32 px blocks show structure beyond noise, in any of the channels.

    Parameters
    ----------
    blocks : list of dict of (n, m) ndarray
        See `tiling.patches.block_statistics`.
    """
    found = np.zeros(blocks[0]["peak"].shape, bool)
    for channel in blocks:
        contrast = channel["peak"] - channel["floor"]
        span = np.nanpercentile(channel["peak"], 99) - np.nanpercentile(channel["floor"], 1)
        noise = channel["noise"][channel["noise"] > 0]
        quiet = np.percentile(noise, 10) if noise.size else 0.0
        limit = max(MIN_CONTRAST * span, MIN_CONTRAST_IN_NOISE * quiet)
        found |= np.nan_to_num(contrast) > limit
    return found


def windows(shape: tuple[int, int], blocks: dict[str, np.ndarray]) -> list[tuple[slice, slice]]:
    """Return windows of the slide with structure, evenly spread over it.

    Parameters
    ----------
    shape : (int, int)
        Of the slide, model pixels.
    blocks : dict of (n, m) ndarray
        Of the nuclear channel.
    """
    if min(shape) < WINDOW:
        return [np.s_[: shape[0], : shape[1]]] if min(shape) >= MIN_WINDOW else []
    lattice = block_lattice(shape)
    offsets = [-(axis.before % BLOCK) % BLOCK for axis in (lattice.rows, lattice.cols)]
    contrast = np.nan_to_num(blocks["peak"] - blocks["floor"])
    found = []
    for y in range(offsets[0], shape[0] - WINDOW + 1, WINDOW):
        for x in range(offsets[1], shape[1] - WINDOW + 1, WINDOW):
            row, col = (y + lattice.rows.before) // BLOCK, (x + lattice.cols.before) // BLOCK
            part = contrast[row : row + WINDOW // BLOCK, col : col + WINDOW // BLOCK]
            found.append((float(part.mean()), np.s_[y : y + WINDOW, x : x + WINDOW]))
    if not found:
        return [np.s_[:WINDOW, :WINDOW]]
    middle = np.median([score for score, _ in found])
    rich = [window for score, window in found if score >= middle / 2]
    chosen = np.unique(np.linspace(0, len(rich) - 1, N_WINDOWS).round().astype(int))
    return [rich[k] for k in chosen]


def blobs(
    codes: zarr.Array, channel: int, parts: Sequence[tuple[slice, slice]], n: int = len(SIGMAS)
) -> Blobs | None:
    """Return a channel's responses to the first n gaussians, over parts; None without parts."""
    if not parts:
        return None
    sigmas = list(SIGMAS.items())[:n]
    total = np.zeros((2, n))
    for part in parts:
        levels = [codes[channel, *part].astype(np.float32)]
        while len(levels) <= sigmas[-1][1]:
            levels.append(_halved(levels[-1]))
        for k, (sigma, level) in enumerate(sigmas):
            total[:, k] += _curvature(levels[level], sigma / 2**level)
    if not total[1].all():
        return None
    return Blobs(*total)


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = (n // 2 * 2 for n in image.shape)
    return image[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))


def _curvature(image: np.ndarray, sigma: float) -> tuple[float, float]:
    """Return the mean curvature downwards in all directions, and in the steepest one."""
    smooth = ndimage.gaussian_filter(image, sigma, truncate=3.0, mode="nearest")
    middle = smooth[1:-1, 1:-1]
    yy = smooth[2:, 1:-1] - 2 * middle + smooth[:-2, 1:-1]
    xx = smooth[1:-1, 2:] - 2 * middle + smooth[1:-1, :-2]
    xy = (smooth[2:, 2:] - smooth[2:, :-2] - smooth[:-2, 2:] + smooth[:-2, :-2]) / 4
    half, mean = np.sqrt((xx - yy) ** 2 / 4 + xy**2), (xx + yy) / 2
    flat, steep = mean + half, mean - half
    return tuple(sigma**2 * float(np.clip(-part, 0, None).mean()) for part in (flat, steep))


def seams(codes: zarr.Array, channel: int) -> float | None:
    """Return at which distance steps of brightness return, um; None where they do not.

    A step is a difference between two neighbouring columns, or rows, that bands across the slide
    have in common and that is far larger than other differences. There are to be three or more,
    all at multiples of one distance from the first.
    """
    height, width = codes.shape[1:]
    for length, across, axis in ((width, height, 0), (height, width, 1)):
        starts = np.unique(np.linspace(0, max(across - BAND, 0), N_BANDS).round().astype(int))
        steps = []
        for start in starts:
            band = np.s_[start : start + BAND]
            where = (band, slice(None)) if axis == 0 else (slice(None), band)
            steps.append(np.diff(codes[channel, *where].mean(axis=axis, dtype=np.float64)))
        period = _period(_strength(np.array(steps))) if length > 2 * MIN_PERIOD else None
        if period:
            return period * MODEL_MPP
    return None


def _strength(steps: np.ndarray) -> np.ndarray:
    """Return how far each step stands out, over bands, (n,); steps are (bands, n)."""
    spread = np.median(np.abs(steps), axis=1, keepdims=True) * 1.4826
    return (np.abs(steps) / np.maximum(spread, 1e-9)).mean(axis=0) if spread.any() else steps[0] * 0


def _period(strength: np.ndarray) -> float | None:
    places = np.flatnonzero(strength > SEAM)
    # A step that interpolation has widened counts once, where it is steepest.
    groups = np.split(places, np.flatnonzero(np.diff(places) > 2 * PERIOD_TOLERANCE) + 1)
    peaks = np.array([group[strength[group].argmax()] for group in groups if group.size])
    if len(peaks) < 3:
        return None
    distances = np.diff(peaks)
    period = distances.min()
    multiples = np.rint(distances / period)
    regular = np.abs(distances - multiples * period) <= PERIOD_TOLERANCE * multiples
    return float(period) if period >= MIN_PERIOD and regular.all() else None
