"""Histograms as SVG paths, on axes that several samples share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

MAX_BARS = 50
# An axis ends where at most so many of a sample's values lie beyond.
BEYOND = 0.005


@dataclass(frozen=True)
class Axes:
    """The axes of a measure: what every sample's distribution is drawn on.

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


def _bars(distribution: dict, merged: int, n_bars: int) -> np.ndarray:
    """Return the share of the values in each bar of so many bins."""
    bins = np.zeros(merged * n_bars)
    counts = distribution["counts"][: len(bins)]
    bins[: len(counts)] = counts
    return bins.reshape(n_bars, merged).sum(axis=1) / max(distribution["n"], 1)


def shared_axes(distributions: Sequence[dict], limit: float | None = None) -> Axes:
    """Return axes for the distributions of a measure, to `limit` or as far as nearly all lie."""
    width = distributions[0]["width"]
    n_bins = round(limit / width) if limit else max(map(_n_bins, distributions))
    merged = math.ceil(n_bins / MAX_BARS)
    n_bars = math.ceil(n_bins / merged)
    highest = max(float(_bars(found, merged, n_bars).max()) for found in distributions)
    top = _ticks(highest or 1.0, 3)
    top = top if top[-1] >= highest else [*top, top[-1] + top[1]]
    return Axes(width * merged, n_bars, top[-1], _ticks(width * merged * n_bars, 5), top)


def _n_bins(distribution: dict) -> int:
    """Return how many bins hold nearly all of the values; ten where there are none."""
    reached = np.cumsum(distribution["counts"])
    enough = reached >= (1 - BEYOND) * distribution["n"]
    return max(int(enough.argmax()) + 1 if enough.any() else len(reached), 10)


def outline(distribution: dict, axes: Axes, width: float, height: float) -> str:
    """Return a histogram as an SVG path, `width` by `height`, y downwards."""
    merged = round(axes.width / distribution["width"])
    bars = _bars(distribution, merged, axes.n_bars)
    step = width / axes.n_bars
    parts = [f"M0 {height:g}"]
    for k, share in enumerate(bars, 1):
        parts.append(f"V{height * (1 - share / axes.top):.1f}H{k * step:.1f}")
    return "".join([*parts, f"V{height:g}z"])


def n_beyond(distribution: dict, axes: Axes) -> int:
    """Return how many values lie beyond the axis."""
    merged = round(axes.width / distribution["width"])
    return distribution["n"] - sum(distribution["counts"][: merged * axes.n_bars])
