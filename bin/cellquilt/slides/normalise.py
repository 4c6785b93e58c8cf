"""Mesmer's normalisation, with the statistics of the whole slide, applied strip by strip.

``deepcell.applications.mesmer.mesmer_preprocess`` (0.12.10) clips each channel at the 99.9
percentile of its non-zero pixels, rescales it to [0, 1] and equalises it (CLAHE, kernel 128).
Three of its numbers belong to the whole slide: the percentile, the minimum and maximum before
CLAHE, and those after it. With them known, any strip of rows comes out bit for bit as in the
whole image. The equalised slide is kept as CLAHE's own 14-bit integer codes; the last rescaling
to float32 is a look-up table. So is all that comes before CLAHE, where pixels have no more than
16 bits.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from cellquilt_kernels import equalise

PERCENTILE = 99.9
KERNEL = 128
N_CODES = 2**14
# CLAHE counts its 14-bit grey levels in 256 bins, and maps the bins.
_LEVELS_PER_BIN = 1 + N_CODES // 256
_BIN_OF_UINT16 = np.round(np.arange(2**16) / (2**16 - 1) * (N_CODES - 1)) // _LEVELS_PER_BIN
_BIN_OF_UINT16 = _BIN_OF_UINT16.astype(np.uint8)


class TopValues:
    """Exact high percentile of the non-zero pixels of a slide that is seen strip by strip.

    Parameters
    ----------
    n_pixels : int
        Number of pixels of the slide.
    percentile : float
        Between 0 and 100. Integers of up to 16 bits are counted; of other types so many of the
        largest values are kept as the percentile can need, ``n_pixels * (1 - percentile / 100)``.
    """

    def __init__(self, n_pixels: int, percentile: float = PERCENTILE):
        self.percentile = percentile
        self._keep = math.ceil(n_pixels * (1 - percentile / 100)) + 2
        self._seen: Histogram | _Largest | None = None

    def add(self, strip: np.ndarray) -> None:
        """Count the non-zero pixels of `strip`, any shape; one dtype for all strips."""
        strip = _native(strip)
        if self._seen is None:
            counted = is_small(strip.dtype)
            self._seen = Histogram(strip.dtype) if counted else _Largest(self._keep)
        self._seen.add(strip)

    def value(self) -> float | None:
        """Return the percentile, None without any non-zero pixel.

        Linear interpolation in the order of operations of ``np.percentile`` of numpy 1.26,
        the one that deepcell 0.12.10 runs with.
        """
        n_nonzero = self._seen.n_nonzero if self._seen is not None else 0
        if n_nonzero == 0:
            return None
        virtual = (n_nonzero - 1) * (self.percentile / 100)
        below = math.floor(virtual)
        part = virtual - below
        a, b = self._seen.ranked([below, min(below + 1, n_nonzero - 1)])
        step = float(b - a)
        return float(b) - step * (1 - part) if part >= 0.5 else float(a) + step * part


class Histogram:
    """Counts of the non-zero values of an integer type of up to 16 bits."""

    def __init__(self, dtype: np.dtype):
        self._values = _all_values(dtype)
        self._counts = np.zeros(self._values.size, np.int64)

    @property
    def n_nonzero(self) -> int:
        """Number of pixels that are not zero."""
        return int(self._counts[1:].sum())

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the values that there are, in order, and how many pixels have each."""
        order = np.argsort(self._values)
        order = order[self._counts[order] > 0]
        return self._values[order], self._counts[order]

    def add(self, strip: np.ndarray) -> None:
        """Count the pixels of a contiguous strip."""
        equalise.histogram(_as_unsigned(strip), self._counts)

    def ranked(self, ranks: list[int]) -> np.ndarray:
        """Return the values at these places of all non-zero ones, sorted, from 0."""
        order = np.argsort(self._values[1:]) + 1
        ends = np.cumsum(self._counts[order])
        return self._values[order[np.searchsorted(ends, ranks, side="right")]]


class _Largest:
    """As many of the largest non-zero values as are to be kept."""

    def __init__(self, keep: int):
        self.n_nonzero = 0
        self._keep = keep
        self._top: np.ndarray | None = None
        self._floor = None

    def add(self, strip: np.ndarray) -> None:
        values = strip[strip != 0]
        self.n_nonzero += values.size
        if self._floor is not None:
            values = values[values > self._floor]
        top = values if self._top is None else np.concatenate([self._top, values])
        if top.size > self._keep:
            top = np.partition(top, top.size - self._keep)[-self._keep :]
            self._floor = top.min()
        self._top = top

    def ranked(self, ranks: list[int]) -> np.ndarray:
        """Return the values at these places of all non-zero ones, sorted, from 0."""
        return np.sort(self._top)[np.array(ranks) - (self.n_nonzero - self._top.size)]


def _native(strip: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(strip, strip.dtype.newbyteorder("="))


def is_small(dtype: np.dtype) -> bool:
    """Return whether `Histogram` can count pixels of a type."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def _as_unsigned(values: np.ndarray) -> np.ndarray:
    """Return contiguous small integers as indices, flat; negative ones come last."""
    return values.reshape(-1).view(f"u{values.dtype.itemsize}")


def _all_values(dtype: np.dtype) -> np.ndarray:
    """Return the value of each index that `_as_unsigned` can give."""
    return np.arange(2 ** (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").view(dtype)


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


def channel_of(top: TopValues, minimum: float, maximum: float, dtype: np.dtype) -> Channel:
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
    """Clip and rescale model pixels to the bins of grey levels that CLAHE starts from.

    Parameters
    ----------
    strip : (rows, width) ndarray
        Pixels in the slide's dtype.
    channel : Channel
        Not constant.

    Returns
    -------
    (rows, width) ndarray of uint8
    """
    strip = _native(strip)
    if is_small(strip.dtype):
        indices, table = _as_unsigned(strip), _bin_table(strip.dtype, channel)
    else:
        indices, table = _uint16_levels(strip, channel).reshape(-1), _BIN_OF_UINT16
    bins = np.empty(strip.shape, np.uint8)
    equalise.lookup(indices, table, bins.reshape(-1))
    return bins


@lru_cache(maxsize=2)
def _bin_table(dtype: np.dtype, channel: Channel) -> np.ndarray:
    return _BIN_OF_UINT16[_uint16_levels(_all_values(dtype), channel)]


def _uint16_levels(pixels: np.ndarray, channel: Channel) -> np.ndarray:
    """Rescale as ``rescale_intensity`` and ``img_as_uint`` of scikit-image do, all in float32."""
    levels = np.minimum(pixels, pixels.dtype.type(channel.percentile)).astype(np.float32)
    np.clip(levels, channel.low, channel.high, out=levels)
    levels -= np.float32(channel.low)
    levels /= np.float32(channel.high - channel.low)
    levels *= np.float32(2**16 - 1)
    return np.rint(levels, out=levels).astype(np.uint16)


def clahe_context(start: int, stop: int, height: int) -> tuple[int, int]:
    """Return the rows [first, last) that `clahe_rows` needs to equalise rows [start, stop).

    Every pixel is interpolated between the maps of its four nearest 128-px blocks, so one block
    on either side is enough; the slide's last one mirrors rows of the one before.
    """
    return max(start - KERNEL, 0), min(stop + KERNEL, height)


def clahe_rows(window: np.ndarray, first: int, start: int, stop: int) -> np.ndarray:
    """Equalise rows [start, stop) of a slide.

    Parameters
    ----------
    window : (rows, width) ndarray of uint8
        What `grey_levels` gives for the rows that `clahe_context` names.
    first : int
        Row of the slide that `window` starts at.
    start, stop : int
        Rows of the slide; `start` is a multiple of 128, `stop` too or the slide's height.

    Returns
    -------
    (stop - start, width) ndarray of uint16
        Codes below 16,384, before CLAHE's last rescaling.
    """
    codes = np.empty((stop - start, window.shape[1]), np.uint16)
    equalise.clahe(window, start - first, stop - first, codes)
    return codes


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
    codes = np.arange(N_CODES, dtype=np.float32).clip(low, high)
    return (codes - np.float32(low)) / np.float32(max(high - low, 1))
