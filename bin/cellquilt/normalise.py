"""Mesmer's normalisation, measured over the whole slide and applied strip by strip.

``deepcell.applications.mesmer.mesmer_preprocess`` (0.12.10) clips each channel at the 99.9
percentile of its non-zero pixels, rescales it to [0, 1] and equalises it (CLAHE, kernel 128).
Three of its numbers belong to the whole slide: the percentile, the minimum and maximum before
CLAHE, and those after it. With them known, any strip of rows comes out bit for bit as in the
whole image. The equalised slide is kept as CLAHE's own 14-bit integer codes; the last rescaling
to float32 is a look-up table.
"""

import math
from dataclasses import dataclass

import numpy as np
from skimage import img_as_uint
from skimage.exposure import rescale_intensity
from skimage.exposure._adapthist import _clahe

PERCENTILE = 99.9
KERNEL = 128
CLIP_LIMIT = 0.01
N_BINS = 256
N_CODES = 2**14
_GREY_OF_UINT16 = np.round(
    rescale_intensity(np.arange(2**16, dtype=np.uint16), out_range=(0, N_CODES - 1))
).astype(np.uint16)


class TopValues:
    """Exact high percentile of the non-zero pixels of a slide that is seen strip by strip.

    Keeps only as many of the largest values as the percentile can need.

    Parameters
    ----------
    n_pixels : int
        Number of pixels of the slide.
    percentile : float
        Between 0 and 100; memory is ``n_pixels * (1 - percentile / 100)`` values.
    """

    def __init__(self, n_pixels: int, percentile: float = PERCENTILE):
        self.percentile = percentile
        self.n_nonzero = 0
        self._keep = math.ceil(n_pixels * (1 - percentile / 100)) + 2
        self._top: np.ndarray | None = None
        self._floor = None

    def add(self, strip: np.ndarray) -> None:
        """Count the non-zero pixels of `strip`, any shape; one dtype for all strips."""
        values = strip[strip != 0]
        self.n_nonzero += values.size
        if self._floor is not None:
            values = values[values > self._floor]
        top = values if self._top is None else np.concatenate([self._top, values])
        if top.size > self._keep:
            top = np.partition(top, top.size - self._keep)[-self._keep :]
            self._floor = top.min()
        self._top = top

    def value(self) -> float | None:
        """Return the percentile, None without any non-zero pixel.

        Linear interpolation in the order of operations of ``np.percentile`` of numpy 1.26,
        the one that deepcell 0.12.10 runs with.
        """
        if self.n_nonzero == 0:
            return None
        virtual = (self.n_nonzero - 1) * (self.percentile / 100)
        below = math.floor(virtual)
        part = virtual - below
        top = np.sort(self._top)
        offset = self.n_nonzero - top.size
        a = top[below - offset]
        b = top[min(below + 1, self.n_nonzero - 1) - offset]
        step = float(b - a)
        return float(b) - step * (1 - part) if part >= 0.5 else float(a) + step * part


@dataclass(frozen=True)
class Channel:
    """What normalisation needs to know of one channel of the whole slide.

    Attributes
    ----------
    percentile : float or None
        99.9 percentile of the non-zero pixels; None where all are zero.
    low, high : float
        Minimum and maximum after clipping, rounded to float32.
    """

    percentile: float | None
    low: float
    high: float

    @property
    def constant(self) -> bool:
        """Whether nothing is left to normalise; such a channel becomes zeros."""
        return self.percentile is None or self.low == self.high


def measure(top: TopValues, minimum: float, maximum: float, dtype: np.dtype) -> Channel:
    """Return the channel whose pixels `top` has seen, with their `minimum` and `maximum`."""
    percentile = top.value()
    if percentile is None:
        return Channel(None, 0.0, 0.0)
    limit = dtype.type(percentile)
    return Channel(
        percentile,
        float(np.float32(min(minimum, limit))),
        float(np.float32(min(maximum, limit))),
    )


def grey_levels(strip: np.ndarray, channel: Channel) -> np.ndarray:
    """Clip and rescale model pixels to the 14-bit grey levels that CLAHE starts from.

    Parameters
    ----------
    strip : ndarray
        Pixels in the slide's dtype.
    channel : Channel
        Not constant.

    Returns
    -------
    ndarray of uint16
    """
    clipped = np.minimum(strip, strip.dtype.type(channel.percentile)).astype(np.float32)
    scaled = rescale_intensity(clipped, in_range=(channel.low, channel.high), out_range=(0.0, 1.0))
    return _GREY_OF_UINT16[img_as_uint(scaled)]


def clahe_context(start: int, stop: int, height: int) -> tuple[int, int]:
    """Return the rows [first, last) that `clahe_rows` needs to equalise rows [start, stop).

    Every pixel is interpolated between the maps of its four nearest 128-px blocks, so one block
    on either side is enough; two above keep the reflection at the slide's lower edge within the
    window.
    """
    return max(start - 2 * KERNEL, 0), min(stop + KERNEL, height)


def clahe_rows(window: np.ndarray, first: int, start: int, stop: int) -> np.ndarray:
    """Equalise rows [start, stop) of a slide.

    Parameters
    ----------
    window : (rows, width) ndarray of uint16
        Grey levels of the rows that `clahe_context` names.
    first : int
        Row of the slide that `window` starts at.
    start, stop : int
        Rows of the slide; `start` is a multiple of 128, `stop` too or the slide's height.

    Returns
    -------
    (stop - start, width) ndarray of uint16
        Codes below 16,384, before CLAHE's last rescaling.
    """
    codes = _clahe(window, [KERNEL, KERNEL], CLIP_LIMIT, N_BINS)
    return codes[start - first : stop - first]


def float_of_code(low: int, high: int) -> np.ndarray:
    """Return the look-up table from code to the network's input.

    Parameters
    ----------
    low, high : int
        Smallest and largest code of the slide.

    Returns
    -------
    (16384,) ndarray of float32
        0 at and below `low`, 1 at and above `high`.
    """
    table = np.zeros(N_CODES, np.float32)
    if high > low:
        table[low : high + 1] = rescale_intensity(np.arange(low, high + 1, dtype=np.float32))
        table[high:] = 1
    return table
