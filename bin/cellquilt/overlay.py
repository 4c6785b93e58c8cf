"""A picture of a sample: the slide, and the outlines of cells and nuclei in a few crops of it.

Laid out in pixels (at 72 dpi a point is a pixel), with axes in um: the model's grid, that the
signal is on, and the input's, that the masks are on, span the same rectangle. Full resolution
is read for the crops only.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
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
from scipy import ndimage as ndi
from skimage.measure import find_contours

from . import stores
from .grid import MODEL_MPP
from .label_image import LabelReader
from .report import (
    COMPARTMENTS,
    Crop,
    choose_crops,
    found,
    headlines,
    object_centres,
    shortened,
)

THUMBNAIL_PX = (1056, 1120)
MAX_ENLARGEMENT = 4
CROP_PX = (400, 520)
MIN_LEFT_PX = 520
EDGE, GAP, HEADER, FOOTER = 24, 16, 86, 56

# An object that reaches out of a crop by no more than this is seen whole.
MARGIN_UM = 25.0
# The steps of the model's pixels, that the masks were found on, are smoothed away.
SMOOTHING_UM = MODEL_MPP
# Pixels a side that are averaged for a pixel of the thumbnail, at most.
SAMPLES = 4

# The two signals add up; the exponent darkens the background, which CLAHE lifts.
SIGNAL_COLOURS = {"nuclear": (0.24, 0.42, 1.0), "membrane": (0.08, 0.80, 0.22)}
GAMMA = 1.5
# In the order of drawing: a cell's line stays visible where its nucleus fills it.
LINE_COLOURS = {"nucleus": "#ff5cf0", "cell": "#ffe98a", "unmatched": "#ff5a36"}
PAPER, INK, FAINT = "#0b0d12", "#f2f4f8", "#9aa3b2"
SHADE = [withStroke(linewidth=3, foreground=PAPER)]
PANE = {"facecolor": PAPER, "alpha": 0.75, "edgecolor": "none"}


# A dollar sign in a channel's name starts no formula.
@rc_context({"text.parse_math": False})
def draw_overlay(path: Path, store: Path, masks: dict[str, Path], summary: dict) -> None:
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
    summary : dict
        From `report.summarise`.
    """
    with stores.read(store) as group:
        facts, codes, lut = group.attrs["facts"], group["codes"], group["lut"][:]
        mpp = facts["image_mpp"]
        extent = facts["image"]["height"] * mpp, facts["image"]["width"] * mpp
        compartment, centres = _centres(masks, mpp)
        objects = COMPARTMENTS[compartment]
        crops = choose_crops(centres, extent)

        scale = min(*np.divide(THUMBNAIL_PX, codes.shape[1:]), MAX_ENLARGEMENT)
        size = tuple(max(round(n * scale), 1) for n in codes.shape[1:])
        page = _Page(*size, len(crops))
        slide = page.slide
        _show(slide, thumbnail(codes, lut, size), (0, extent[1], extent[0], 0))
        _scale_bar(slide)
        if not crops:
            _announce(slide, f"no {objects} {'matched' if summary[f'n_{objects}'] else 'found'}")
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


def _centres(masks: dict[str, Path], image_mpp: float) -> tuple[str, np.ndarray]:
    """Return cells or, where there are none, nuclei: the compartment and its objects' centres."""
    centres = {
        compartment: object_centres(mask, image_mpp)
        for compartment in COMPARTMENTS
        if (mask := found(masks, compartment))
    }
    compartment = next((name for name in centres if len(centres[name])), next(iter(centres)))
    return compartment, centres[compartment]


def thumbnail(codes: zarr.Array, lut: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the slide's signal averaged down to at least `shape`, and less than twice that.

    Parameters
    ----------
    codes : (2, h, w) zarr array of uint16
        Read in bands of rows; of large blocks, a regular part of the pixels is averaged.
    lut : (2, 16384) ndarray of float32
        Signal of each code.
    shape : (int, int)
        Height and width in pixels; a slide that is smaller stays as it is.

    Returns
    -------
    (h, w, 2) ndarray of float32 in [0, 1]
    """
    height, width = codes.shape[1:]
    ratio = max(min(height // shape[0], width // shape[1]), 1)
    step = max(ratio // SAMPLES, 1)
    block = ratio // step
    pitch = step * block
    n_rows, n_cols = height // pitch, width // pitch
    result = np.empty((n_rows, n_cols, 2), np.float32)
    band = max(codes.chunks[1] // pitch, 1)
    for top in range(0, n_rows, band):
        rows = min(band, n_rows - top)
        for channel in range(2):
            part = codes[channel, top * pitch : (top + rows) * pitch, : n_cols * pitch]
            signal = lut[channel][part[::step, ::step]].reshape(rows, block, n_cols, block)
            result[top : top + rows, :, channel] = signal.mean(axis=(1, 3))
    return result


def crop_signal(
    codes: zarr.Array, lut: np.ndarray, crop: Crop, extent: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return the signal (h, w, 2) of a crop at full resolution, and its bounds.

    The bounds are left, right, bottom and top in um: the model pixels that the crop touches.
    """
    spans, edges = [], []
    for start, length, n in zip((crop.y, crop.x), extent, codes.shape[1:], strict=True):
        um = length / n
        first, last = int(start / um), min(int(np.ceil((start + crop.side) / um)), n)
        spans.append(slice(first, last))
        edges.append((first * um, last * um))
    signal = np.stack([lut[k][codes[k, spans[0], spans[1]]] for k in range(2)], axis=-1)
    (top, bottom), (left, right) = edges
    return signal, (left, right, bottom, top)


def crop_lines(masks: dict[str, Path], crop: Crop, image_mpp: float) -> dict[str, list]:
    """Return the outlines in a crop, (n, 2) arrays of x and y in um, by kind.

    The kinds are ``cell``, ``nucleus``, and ``unmatched`` where there are masks before and
    after matching to tell it from.
    """
    first = [max(int((start - MARGIN_UM) / image_mpp), 0) for start in (crop.y, crop.x)]
    reach = crop.side + MARGIN_UM
    last = [int(np.ceil((start + reach) / image_mpp)) for start in (crop.y, crop.x)]

    def window(name: str) -> np.ndarray:
        with LabelReader(masks[name]) as labels:
            return labels.read(first[0], last[0])[:, first[1] : last[1]]

    def lines_of(labels: np.ndarray) -> list[np.ndarray]:
        lines = outlines(labels, SMOOTHING_UM / image_mpp)
        return [(line + first + 0.5)[:, ::-1] * image_mpp for line in lines]

    lines: dict[str, list] = {}
    for compartment in COMPARTMENTS:
        original = f"{compartment}_original"
        if compartment in masks:
            matched = window(compartment)
            lines[compartment] = lines_of(matched)
            if original in masks:
                before = window(original)
                kept = np.isin(before, before[matched > 0])
                lines.setdefault("unmatched", []).extend(lines_of(np.where(kept, 0, before)))
        elif original in masks:
            lines[compartment] = lines_of(window(original))
    return lines


def outlines(labels: np.ndarray, smoothing: float) -> Iterator[np.ndarray]:
    """Yield closed outlines of the objects, (n, 2) rows and columns, pixel centres as integers.

    They run between the pixels, so that neighbours share theirs.

    Parameters
    ----------
    labels : (h, w) ndarray of integers
        Label image, 0 is background.
    smoothing : float
        Sigma of a Gaussian along the outlines, in their points, about a pixel each.
    """
    values, ranks = np.unique(labels, return_inverse=True)
    # Ranks are small, whatever the labels are; background has to be 0 even where there is none.
    ranks = ranks.reshape(labels.shape) + int(values[:1].all())
    for rank, box in enumerate(ndi.find_objects(ranks), 1):
        corner = np.array([side.start for side in box]) - 1
        for line in find_contours(np.pad(ranks[box] == rank, 1), 0.5):
            # The first point is the last one, too.
            smooth = ndi.gaussian_filter1d(line[:-1], smoothing, axis=0, mode="wrap")
            yield np.concatenate([smooth, smooth[:1]]) + corner


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
    colours = np.array(list(SIGNAL_COLOURS.values()), np.float32)
    picture = np.clip(signal**GAMMA @ colours, 0, 1)
    axes.imshow(picture, extent=bounds, aspect="auto", interpolation="hanning")


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
    """Draw a bar of 1, 2 or 5 times a power of ten um, at most a quarter of the width."""
    limit = np.ptp(axes.get_xlim()) / 4
    decade = 10.0 ** np.floor(np.log10(limit))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= limit)
    label = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    pixel = limit * 4 / axes.bbox.width
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
