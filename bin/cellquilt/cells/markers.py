"""What each channel of a slide looks like: its background, its contrasts, its cells, a picture.

For a person who chooses channels, or doubts a choice. All of it comes from the pass over the slide
that measures the cells: from a part of its rows, so that it costs and holds the same for any slide.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..images import data_url

# Of the rows that are looked at, together, but for the rest of a row
SAMPLE_PIXELS = 1 << 19
AROUND_UM = 2.0  # beside a nucleus
EDGE_UM = 0.5  # of a cell
_TOO_LARGE = 1e100  # also for the numbers of `cell_table.read_markers`
_DARK = 0.01  # the quantile of a channel's pixels from which signal is counted

STEP = 8  # pixels of the slide to one of its small picture, or a multiple
THUMBNAIL_PX = 168
_PER_BLOCK = 4  # pixels a side that are averaged, at most
_QUALITIES = (50, 30, 15, 5)
_ALL_LENGTH = 60_000  # of the pictures of all channels together, about
_LENGTHS = (1200, 2800)  # of one, at least and at most

N_BARS = 32
_ENDS = (0.005, 0.995)
# An axis is linear unless the values above the median reach so many times as far as those below
_SKEWED = 10


class SampledRows:
    """Every n-th row of an image that comes from the top down in strips.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image (px).
    """

    def __init__(self, shape: tuple[int, int]):
        self.step = -(-shape[0] * shape[1] // SAMPLE_PIXELS)
        self._parts: list[np.ndarray] = []

    def add(self, rows: np.ndarray, y0: int) -> None:
        """Take rows of the image, (n, width), from row `y0` on."""
        self._parts.append(rows[-y0 % self.step :: self.step].copy())

    def pixels(self) -> np.ndarray:
        """Return the rows, (n, width)."""
        return np.concatenate(self._parts)


class Chords:
    """Where sampled rows cross nuclei and cells: what is inside, beside, at an edge, and outside.

    Parameters
    ----------
    labels : dict
        Label images ``cell`` and ``nucleus`` in sampled rows, (rows, width), as far as there are.
    image_mpp : float
        Pixel size (um).
    """

    def __init__(self, labels: Mapping[str, np.ndarray], image_mpp: float):
        self._outside = ~np.any([of > 0 for of in labels.values()], axis=0).ravel()
        self._nuclei = self._cells = None
        if "nucleus" in labels:
            width = labels["nucleus"].shape[1]
            start, end = _runs(labels["nucleus"])
            reach = max(round(AROUND_UM / image_mpp), 1)
            left = start - np.minimum(reach, start % width)
            right = end + np.minimum(reach, width - 1 - (end - 1) % width)
            self._beside = labels["nucleus"].ravel() == 0
            n = _over(_sums(self._beside), left, start) + _over(_sums(self._beside), end, right)
            self._nuclei = np.stack([start, end, left, right, n])[:, n > 0]
        if "cell" in labels:
            start, end = _runs(labels["cell"])
            self._edge = max(round(EDGE_UM / image_mpp), 1)
            self._cells = np.stack([start, end])[:, end - start >= 4 * self._edge]

    def background(self, pixels: np.ndarray) -> float | None:
        """Return the median of the pixels (flat) outside of all objects; None without any."""
        outside = pixels[self._outside]
        return float(np.median(outside)) if outside.size else None

    def nuclear_contrast(self, signal: np.ndarray) -> float | None:
        """Return how much brighter nuclei are than what is beside them, see `_contrast`."""
        if self._nuclei is None:
            return None
        start, end, left, right, n = self._nuclei
        around = _sums(np.where(self._beside, signal, 0))
        beside = (_over(around, left, start) + _over(around, end, right)) / n
        return _contrast(_over(_sums(signal), start, end) / (end - start), beside)

    def membrane_contrast(self, signal: np.ndarray) -> float | None:
        """Return how much brighter cells are at their edges than inside, see `_contrast`."""
        if self._cells is None:
            return None
        (start, end), edge, sums = self._cells, self._edge, _sums(signal)
        inside = _over(sums, start + edge, end - edge)
        outer = _over(sums, start, end) - inside
        return _contrast(outer / (2 * edge), inside / (end - start - 2 * edge))


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and next pixel of each object's runs in rows, of the flat image."""
    starts = np.ones(labels.shape, bool)
    starts[:, 1:] = labels[:, 1:] != labels[:, :-1]
    start = np.flatnonzero(starts)
    end = np.append(start[1:], labels.size)
    inside = labels.ravel()[start] > 0
    return start[inside], end[inside]


def _sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of the values before each place, and of all; whole numbers stay exact."""
    total = np.float64 if values.dtype.kind == "f" else np.int64
    return np.concatenate([[0], np.cumsum(values, dtype=total)])


def _over(sums: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return sums[end] - sums[start]


def _contrast(here: np.ndarray, there: np.ndarray) -> float | None:
    """Return (here - there) / (here + there), each added up over the chords: from -1 to 1."""
    total = float((np.abs(here) + np.abs(there)).sum())
    return float((here - there).sum()) / total if total else None


class Marker:
    """A channel of a slide, whose rows come from the top down."""

    def __init__(self, shape: tuple[int, int]):
        self._rows = SampledRows(shape)
        self._picture = _Picture(shape)

    def add(self, rows: np.ndarray, y0: int) -> None:
        """Take rows of the slide, (n, width), from row `y0` on."""
        self._rows.add(rows, y0)
        self._picture.add(rows, y0)

    def describe(self, chords: Chords, means: np.ndarray, n_channels: int) -> dict:
        """Return what is to be said of the channel.

        Parameters
        ----------
        chords : Chords
        means : (n,) ndarray of float
            Of the cells or, without cells, the nuclei; those that are not finite are left out.
        n_channels : int
            Of the slide: the pictures of many are smaller files.

        Returns
        -------
        dict
            ``background``, the median outside of all objects; ``nuclear_contrast`` and
            ``membrane_contrast``, see `Chords`; ``means``, see `distribution`; ``picture``, a data
            URL (``src``) with ``height`` and ``width``. What does not apply is None.
        """
        pixels = _finite(self._rows.pixels().ravel())
        # What a camera adds would make all contrasts small.
        dark = np.quantile(pixels, _DARK, method="lower")
        signal = pixels.astype(np.float64 if pixels.dtype.kind == "f" else np.int64) - dark
        length = int(np.clip(_ALL_LENGTH // n_channels, *_LENGTHS))
        return {
            "background": chords.background(pixels),
            "nuclear_contrast": chords.nuclear_contrast(signal),
            "membrane_contrast": chords.membrane_contrast(signal),
            "means": distribution(means[np.isfinite(means)]),
            "picture": self._picture.encoded(length),
        }


def _finite(pixels: np.ndarray) -> np.ndarray:
    """Return pixels with 0 in place of what is not finite, or too large to be added up."""
    if pixels.dtype.kind != "f":
        return pixels
    pixels = pixels.astype(np.float64)
    return np.where(np.abs(pixels) < _TOO_LARGE, pixels, 0)


class _Picture:
    """A slide's channel, each pixel the mean of a part of those of a block."""

    def __init__(self, shape: tuple[int, int]):
        block = min(STEP * -(-max(shape) // (STEP * THUMBNAIL_PX)), *shape)
        self._step = max(block // _PER_BLOCK, 1)
        self._block = block // self._step * self._step
        self._sums = np.zeros([side // self._block for side in shape])

    def add(self, rows: np.ndarray, y0: int) -> None:
        high, wide = self._sums.shape
        y = np.arange(y0 + -y0 % self._step, y0 + len(rows), self._step)
        y = y[y < high * self._block]
        part = _finite(rows[y - y0, : wide * self._block : self._step])
        # A row at a time, so that strips of any height give the same sums
        np.add.at(
            self._sums,
            y // self._block,
            part.reshape(len(y), wide, self._block // self._step).sum(axis=-1, dtype=np.float64),
        )

    def encoded(self, length: int) -> dict:
        """Return it from black to white, of about so many characters."""
        low, high = np.quantile(self._sums, (0.01, 0.998))
        grey = np.clip((self._sums - low) / ((high - low) or 1), 0, 1) * 255
        colours = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)
        for quality in _QUALITIES:
            src = data_url.encode(colours, quality)
            if len(src) <= length:
                break
        return {"src": src, "height": len(grey), "width": grey.shape[1]}


def distribution(values: np.ndarray) -> dict | None:
    """Return a histogram of values, on an axis that shows skewed ones too.

    Returns
    -------
    dict or None
        ``n``; ``low`` and ``high``, the ends of the axis, between which nearly all values lie, and
        ``counts`` of those between them; ``cofactor``, None of a linear axis, else c of
        asinh((value - low) / c); ``quartiles``. None without values.
    """
    if not values.size:
        return None
    low, high = (float(value) for value in np.quantile(values, _ENDS))
    quartiles = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    below = quartiles[1] - low
    skewed = high - low > _SKEWED * below
    cofactor = max(below, (high - low) / 200) if skewed and high > low else None
    inside = values[(values >= low) & (values <= high)]
    places = positions(inside, low, high, cofactor)
    return {
        "n": values.size,
        **{"low": low, "high": high, "cofactor": cofactor, "quartiles": quartiles},
        "counts": np.histogram(places, N_BARS, (0, 1))[0].tolist(),
    }


def positions(
    values: Sequence[float] | np.ndarray, low: float, high: float, cofactor: float | None
) -> np.ndarray:
    """Return where values lie on the axis of a `distribution`, 0 at `low` and 1 at `high`."""
    above, whole = np.asarray(values, np.float64) - low, (high - low) or 1.0
    if cofactor is None:
        return above / whole
    return np.arcsinh(above / cofactor) / np.arcsinh(whole / cofactor)
