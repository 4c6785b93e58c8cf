"""Distributions as SVG paths: histograms, and the medians and quartiles of many samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.ticker import MaxNLocator

MAX_BARS = 50
# An axis ends where at most so many of the values lie beyond.
BEYOND = 0.005
# The bars of nine in ten samples lie in the band of a pooled histogram; of few samples, all.
BAND = (0.05, 0.95)
# Tukey's fences: a median this many times the interquartile range away from the middle half.
FENCE = 1.5
# With fewer samples nothing can be said to be usual.
MIN_SAMPLES = 8


@dataclass(frozen=True)
class Axes:
    """The axes of a histogram.

    Attributes
    ----------
    width : float
        Of a bar.
    n_bars : int
        From 0.
    top : float
        Share of the values at the upper end.
    x_ticks, y_ticks : list of float
    """

    width: float
    n_bars: int
    top: float
    x_ticks: list[float]
    y_ticks: list[float]

    @property
    def limit(self) -> float:
        """The right end."""
        return self.width * self.n_bars


def _ticks(limit: float, n: int) -> list[float]:
    ticks = MaxNLocator(n, steps=[1, 2, 2.5, 5, 10]).tick_values(0, limit)
    return [float(tick) for tick in ticks if 0 <= tick <= limit * (1 + 1e-9)]


def _reaching(highest: float, n: int) -> list[float]:
    """Return ticks from 0 on, of which the last is not below `highest`."""
    ticks = _ticks(highest or 1.0, n)
    return ticks if ticks[-1] >= highest else [*ticks, ticks[-1] + ticks[1]]


def _bars(distribution: dict, merged: int, n_bars: int) -> np.ndarray:
    """Return the share of the values in each bar of so many bins."""
    bins = np.zeros(merged * n_bars)
    counts = distribution["counts"][: len(bins)]
    bins[: len(counts)] = counts
    return bins.reshape(n_bars, merged).sum(axis=1) / max(distribution["n"], 1)


def axes_of(distribution: dict, limit: float | None = None) -> Axes:
    """Return axes for a distribution, to `limit` or as far as nearly all of its values lie."""
    width = distribution["width"]
    n_bins = round(limit / width) if limit else _n_bins(distribution)
    merged = math.ceil(n_bins / MAX_BARS)
    n_bars = math.ceil(n_bins / merged)
    top = _reaching(float(_bars(distribution, merged, n_bars).max()), 3)
    return Axes(width * merged, n_bars, top[-1], _ticks(width * merged * n_bars, 5), top)


def _n_bins(distribution: dict) -> int:
    """Return how many bins hold nearly all of the values; ten where there are none."""
    reached = np.cumsum(distribution["counts"])
    enough = reached >= (1 - BEYOND) * distribution["n"]
    return max(int(enough.argmax()) + 1 if enough.any() else len(reached), 10)


def outline(distribution: dict, axes: Axes, width: float, height: float) -> str:
    """Return a histogram as an SVG path, `width` by `height`, y downwards."""
    merged = round(axes.width / distribution["width"])
    steps = _steps(_bars(distribution, merged, axes.n_bars), axes, width, height)
    return f"M0 {height:g}{steps}V{height:g}z"


def _steps(shares: np.ndarray, axes: Axes, width: float, height: float, back: bool = False) -> str:
    """Return the upper edges of bars, from left to right or back."""
    bars = range(axes.n_bars)
    return "".join(
        f"V{height * (1 - shares[k] / axes.top):.1f}H{(k + (not back)) * width / axes.n_bars:.1f}"
        for k in (reversed(bars) if back else bars)
    )


def n_beyond(distribution: dict, axes: Axes) -> int:
    """Return how many values lie beyond the axis."""
    merged = round(axes.width / distribution["width"])
    return distribution["n"] - sum(distribution["counts"][: merged * axes.n_bars])


@dataclass(frozen=True)
class Pooled:
    """The histogram of all samples' values together.

    Attributes
    ----------
    n : int
        Values.
    axes : Axes
    bars, band : str
        SVG paths: the histogram, and between which heights the bars of the samples lie, see
        `BAND`.
    """

    n: int
    axes: Axes
    bars: str
    band: str


def pool(distributions: Sequence[dict], limit: float | None, size: tuple[float, float]) -> Pooled:
    """Return the pooled histogram of samples' distributions, drawn `size` wide and high.

    Parameters
    ----------
    distributions : sequence of dict
        See `distributions.count`; each has values.
    limit : float, optional
        See `axes_of`.
    size : (float, float)
    """
    counts = np.zeros(max(len(found["counts"]) for found in distributions), int)
    for found in distributions:
        counts[: len(found["counts"])] += found["counts"]
    n, bin_width = sum(found["n"] for found in distributions), distributions[0]["width"]
    whole = {"n": n, "width": bin_width, "counts": counts.tolist()}
    axes = axes_of(whole, limit)
    merged = round(axes.width / bin_width)
    shares = [_bars(found, merged, axes.n_bars) for found in distributions]
    low, high = np.quantile(shares, BAND if len(shares) >= MIN_SAMPLES else (0, 1), axis=0)
    top = _reaching(max(axes.top, float(high.max())), 3)
    axes = replace(axes, top=top[-1], y_ticks=top)
    edges = _steps(high, axes, *size) + _steps(low, axes, *size, back=True)
    band = f"M0 {size[1]:g}{edges}z"
    return Pooled(n, axes, outline(whole, axes, *size), band)


@dataclass(frozen=True)
class Ranked:
    """A sample in the order of the medians.

    Attributes
    ----------
    sample : int
        Its place in the sequence that was given.
    median, low, high : float
        And quartiles.
    x, y, y_low, y_high : float
        Where they are drawn.
    is_outlier : bool
        The median is beyond Tukey's fences of all medians.
    """

    sample: int
    median: float
    low: float
    high: float
    x: float
    y: float
    y_low: float
    y_high: float
    is_outlier: bool


@dataclass(frozen=True)
class Ranks:
    """Medians and quartiles of samples, by rising median.

    Attributes
    ----------
    samples : list of Ranked
    top : float
        Value at the upper end, the last of `ticks`.
    ticks : list of float
    fences : (float, float), optional
        Between which a median is usual; None of too few samples.
    """

    samples: list[Ranked]
    top: float
    ticks: list[float]
    fences: tuple[float, float] | None


def rank(distributions: Sequence[dict], size: tuple[float, float]) -> Ranks:
    """Return the medians and quartiles of samples' distributions, drawn `size` wide and high."""
    quartiles = np.array(
        [[d["quantiles"][q] for q in ("0.25", "0.5", "0.75")] for d in distributions]
    )
    medians = quartiles[:, 1]
    fences = None
    if len(medians) >= MIN_SAMPLES:
        low, high = np.quantile(medians, (0.25, 0.75))
        fences = float(low - FENCE * (high - low)), float(high + FENCE * (high - low))
    ticks = _reaching(float(quartiles.max()), 4)
    width, height = size
    ranked = []
    for place, k in enumerate(np.argsort(medians, kind="stable")):
        low, median, high = map(float, quartiles[k])
        y_low, y, y_high = (height * (1 - value / ticks[-1]) for value in (low, median, high))
        is_outlier = fences is not None and not fences[0] <= median <= fences[1]
        x = (place + 0.5) * width / len(medians)
        ranked.append(Ranked(int(k), median, low, high, x, y, y_low, y_high, is_outlier))
    return Ranks(ranked, ticks[-1], ticks, fences)
