"""Plots of the batching study: one quantity against batch size and against patch size."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

PANEL_INCHES = (5.2, 3.2)
LINES = ("-", "--", ":", "-.")
COLOURS = ("#3b6fd4", "#d4553b", "#2f9e6e", "#8b5fc7", "#c79a1e", "#4a4f5c", "#1ea0c7", "#c71e76")


def plot(path: Path, table: pd.DataFrame, value: str, label: str, best: dict | None) -> None:
    """Draw `value`, a row of panels for each image, against batch size and against patch size.

    Parameters
    ----------
    path : Path
        PNG to write.
    table : DataFrame
        From `recommendation.read_rows`; rows without the value are left out.
    value, label : str
        Column, and what to call it.
    best : dict or None
        The recommended choice, to be marked.
    """
    measured = table.dropna(subset=[value])
    images = list(measured.groupby("image", sort=False))
    width, height = PANEL_INCHES
    figure = Figure((2 * width, height * max(len(images), 1)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(max(len(images), 1), 2, squeeze=False)
    for (name, rows), (left, right) in zip(images, panels, strict=False):
        title = f"{name}, {rows['slide_mpx'].iloc[0]:.1f} Mpx"
        cuts = ["patch_size", "patches_per_task"]
        _panel(left, rows, "batch_size", cuts, value, lambda cut: f"{cut[0]} px, {cut[1]} a task")
        # Of several numbers of patches a task, the best one
        merit = rows[value] if value == "slide_mpx_per_s" else -rows[value]
        top = rows.loc[
            merit.groupby([rows[k] for k in ("patch_size", "batch_size", "tasks")]).idxmax()
        ]
        _panel(right, top, "patch_size", ["batch_size"], value, lambda cut: f"batch of {cut[0]}")
        left.set(title=title, xlabel="batch size, tiles", ylabel=label)
        right.set(title=title, xlabel="patch size, model pixels", ylabel=label)
        if best and best["image"] == name:
            for axes, x in ((left, "batch_size"), (right, "patch_size")):
                mark = {"s": 150, "facecolors": "none", "edgecolors": "black", "zorder": 3}
                axes.scatter([best[x]], [best[value]], label="recommended", **mark)
                axes.legend(fontsize=8, handlelength=3.5)
    figure.savefig(path, metadata={"Software": None})


def _panel(axes: Axes, rows: pd.DataFrame, x: str, by: list[str], value: str, say) -> None:
    tasks = sorted(rows["tasks"].unique())
    for colour, (cut, part) in zip(_cycle(COLOURS), rows.groupby(by), strict=False):
        for n, line in part.groupby("tasks"):
            style = LINES[tasks.index(n) % len(LINES)]
            text = f"{say(cut)}, {n} {'task' if n == 1 else 'tasks'}"
            ordered = line.sort_values(x)
            axes.plot(ordered[x], ordered[value], style, color=colour, marker="o", label=text)
    ticks = np.sort(rows[x].unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, handlelength=3.5)


def _cycle(values: tuple):
    while True:
        yield from values
