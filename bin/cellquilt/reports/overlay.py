"""A picture of a sample: the slide, and the outlines of cells and nuclei in a few crops of it.

Laid out in pixels (at 72 dpi a point is a pixel), with axes in um.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from ..compartments import PLURALS
from ..handoff import stores
from .crops import Crop, choose_crops, shown
from .slide_view import (
    LINE_COLOURS,
    SIGNAL_COLOURS,
    crop_lines,
    crop_signal,
    in_colours,
    scale_bar,
    thumbnail,
)
from .summary import headlines, shortened

THUMBNAIL_PX = (1056, 1120)
MAX_ENLARGEMENT = 4
CROP_PX = (400, 520)
MIN_LEFT_PX = 520
EDGE, GAP, HEADER, FOOTER = 24, 16, 86, 56

PAPER, INK, FAINT = "#0b0d12", "#f2f4f8", "#9aa3b2"
SHADE = [withStroke(linewidth=3, foreground=PAPER)]
PANE = {"facecolor": PAPER, "alpha": 0.75, "edgecolor": "none"}


# A dollar sign in a channel's name starts no formula.
@rc_context({"text.parse_math": False})
def draw_overlay(
    path: Path, store: Path, masks: dict[str, Path], rows: pd.DataFrame, summary: dict
) -> None:
    """Draw the slide, the outlines of its masks in two crops, and its counts.

    Equal input gives an equal file. Without cells there is the slide alone.

    Parameters
    ----------
    path : Path
        PNG to write.
    store : Path
        INGEST's store of the normalised slide.
    masks : dict
        Label images by name: ``cell``, ``nucleus``, ``cell_original``, ``nucleus_original``,
        as far as they are there. What is in an original only is drawn as unmatched.
    rows : DataFrame
        Of the table of cells.
    summary : dict
        From `summary.summarise`.
    """
    with stores.read(store) as group:
        facts, codes, lut = group.attrs["facts"], group["codes"], group["lut"][:]
        mpp = facts["image_mpp"]
        extent = facts["image"]["height"] * mpp, facts["image"]["width"] * mpp
        compartment, places = shown(rows, mpp)
        objects = PLURALS[compartment]
        crops = choose_crops(places, extent)

        scale = min(*np.divide(THUMBNAIL_PX, codes.shape[1:]), MAX_ENLARGEMENT)
        size = tuple(max(round(n * scale), 1) for n in codes.shape[1:])
        page = _Page(*size, len(crops))
        slide = page.slide
        _show(slide, thumbnail(codes, lut, size), (0, extent[1], extent[0], 0))
        _scale_bar(slide)
        if not crops:
            _announce(slide, f"no {objects} found")
        kinds = set()
        for axes, letter, crop in zip(page.crops, "AB", crops, strict=False):
            _mark(slide, crop, letter)
            lines = crop_lines(masks, crop, mpp)
            _show(axes, *crop_signal(codes, lut, crop, extent))
            for kind, colour in LINE_COLOURS.items():
                axes.add_collection(LineCollection(lines.get(kind, []), colors=colour, lw=1.1))
            axes.set(xlim=(crop.x, crop.x + crop.side), ylim=(crop.y + crop.side, crop.y))
            _scale_bar(axes)
            what = compartment if crop.n_objects == 1 else objects
            _caption(axes, f"{letter}   {crop.title}, {crop.n_objects:,} {what}")
            kinds |= lines.keys()
    page.header(*headlines(summary, facts))
    page.legend(_legend(facts, kinds))
    page.save(path)


class _Page:
    """A page with the slide on the left and the crops on the right."""

    def __init__(self, height: int, width: int, n_crops: int):
        left = max(width, MIN_LEFT_PX)
        gaps = GAP * max(n_crops - 1, 0)
        side = int(np.clip((height - gaps) / max(n_crops, 1), *CROP_PX))
        column = n_crops * side + gaps
        inner = max(height, column)
        self.width = EDGE + left + (GAP + side if n_crops else 0) + EDGE
        self.height = HEADER + inner + FOOTER
        size = self.width / 72, self.height / 72
        self.figure = Figure(figsize=size, dpi=72, facecolor=PAPER)
        FigureCanvasAgg(self.figure)
        x, y = EDGE + (left - width) // 2, HEADER + (inner - height) // 2
        self.slide = self._axes(x, y, width, height)
        x, y = EDGE + left + GAP, HEADER + (inner - column) // 2
        self.crops = [self._axes(x, y + k * (side + GAP), side, side) for k in range(n_crops)]

    def _axes(self, x: int, y: int, width: int, height: int) -> Axes:
        at = x / self.width, 1 - (y + height) / self.height
        axes = self.figure.add_axes((*at, width / self.width, height / self.height))
        axes.set(xticks=[], yticks=[], facecolor=PAPER)
        axes.spines[:].set_color(FAINT)
        return axes

    def header(self, title: str, size: str, counts: str) -> None:
        left, right = EDGE / self.width, 1 - EDGE / self.width
        upper, lower = 1 - 36 / self.height, 1 - 66 / self.height
        self.figure.text(left, upper, title, size=25, weight="bold", color=INK)
        self.figure.text(right, upper, size, size=15, color=FAINT, ha="right")
        self.figure.text(left, lower, counts, size=16, color=INK)

    def legend(self, handles: list) -> None:
        self.figure.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(EDGE / self.width, FOOTER / 2 / self.height),
            borderpad=0,
            borderaxespad=0,
            ncols=len(handles),
            frameon=False,
            fontsize=14,
            labelcolor=INK,
            handlelength=1.4,
            columnspacing=1.8,
        )

    def save(self, path: Path) -> None:
        # Without the name and version of the program that matplotlib writes by itself.
        self.figure.savefig(path, dpi=72, metadata={"Software": None}, facecolor=PAPER)


def _show(axes: Axes, signal: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    """Draw nuclear signal in blue plus membrane signal in green, between bounds in um."""
    axes.imshow(in_colours(signal), extent=bounds, aspect="auto", interpolation="hanning")


def _mark(axes: Axes, crop: Crop, letter: str) -> None:
    """Draw where in the slide a crop is."""
    box = Rectangle((crop.x, crop.y), crop.side, crop.side, fill=False, edgecolor=INK, lw=1.6)
    box.set_path_effects([withStroke(linewidth=3.5, foreground=PAPER)])
    axes.add_patch(box)
    on_right = crop.x + crop.side < 0.95 * axes.get_xlim()[1]
    axes.annotate(
        letter,
        (crop.x + crop.side if on_right else crop.x, crop.y),
        xytext=(5 if on_right else -5, 0),
        textcoords="offset points",
        ha="left" if on_right else "right",
        va="top",
        size=17,
        weight="bold",
        color=INK,
        path_effects=SHADE,
    )


def _announce(axes: Axes, text: str) -> None:
    """Write in the middle, and say what the picture behind it is."""
    middle = {"transform": axes.transAxes, "ha": "center", "color": INK, "bbox": PANE}
    axes.text(0.5, 0.5, text, size=28, va="bottom", **middle)
    axes.text(0.5, 0.47, "signal as normalised for the network", size=14, va="top", **middle)


def _caption(axes: Axes, text: str) -> None:
    """Write in the upper left corner."""
    corner = {"transform": axes.transAxes, "ha": "left", "va": "top"}
    axes.text(0.016, 0.984, text, size=15, color=INK, bbox=PANE, **corner)


def _scale_bar(axes: Axes) -> None:
    """Draw a bar of a round length, at most a quarter of the width."""
    width = np.ptp(axes.get_xlim())
    length, label = scale_bar(width)
    pixel = width / axes.bbox.width
    bar = AnchoredSizeBar(
        axes.transData,
        length,
        label,
        "lower right",
        pad=0.4,
        borderpad=0.5,
        sep=4,
        color=INK,
        size_vertical=3 * pixel,
        label_top=True,
        fontproperties=FontProperties(size=14),
    )
    bar.patch.set(**PANE)
    axes.add_artist(bar)


def _legend(facts: dict, kinds: set[str]) -> list:
    channels = {
        "nuclear": facts["nuclear"]["name"],
        "membrane": " + ".join(channel["name"] for channel in facts["membrane"]),
    }
    signals = [
        Patch(color=SIGNAL_COLOURS[role], label=f"{role}: {shortened(name, 28)}")
        for role, name in channels.items()
        if name
    ]
    lines = [
        Line2D([], [], color=colour, lw=2.5, label=kind)
        for kind, colour in LINE_COLOURS.items()
        if kind in kinds
    ]
    return signals + lines
