"""Plots of a comparison of networks: how they learn, what they see, what they find."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .. import outputs
from ..compartments import OPTIONS, PLURALS
from ..pixelcnn.architectures import CLASSES
from ..reports.outlines import outlines
from ..reports.slide_view import GAMMA, SIGNAL_COLOURS
from ..tiling.pixel_grid import MODEL_MPP
from .comparison import TrainedNetwork, Truth, by_architecture

# Okabe and Ito's, which colour-blind people can distinguish
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000")
CLASS_COLOURS = {"other": "#f0f0f0", "cell": "#56b4e9", "edge": "#b33c00"}
OUTLINE = "#ffffff"
TRUTH = "#b8bec9"
CROP = 256  # px a side
SCALE_UM = 20
PANEL_INCHES = 3.1
MAX_COLUMNS = 3
MIN_BINS, MAX_BINS = 8, 40


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with outputs.whole(path) as partial:
        figure.savefig(partial, metadata={"Software": None})


def _styles(groups: dict) -> dict[str, dict]:
    """Return a colour for each architecture, dashed where there are more of them than colours."""
    return {
        name: {"color": COLOURS[k % len(COLOURS)], "linestyle": ("-", "--")[k // len(COLOURS) % 2]}
        for k, name in enumerate(groups)
    }


def draw_curves(path: Path, networks: Sequence[TrainedNetwork]) -> None:
    """Draw the learning curves: replicates as thin lines, their mean as a thick one.

    The mean ends where the first replicate does. A dot marks the state of a network that was kept.

    Parameters
    ----------
    path : Path
        PNG to write.
    networks : sequence of TrainedNetwork
    """
    groups = by_architecture(networks)
    figure = _figure(11, 4.4)
    panels = figure.subplots(1, 2)
    quantities = {
        "validation_cross_entropy": "cross-entropy on validation, nats",
        "validation_accuracy": "accuracy on validation",
    }
    for axes, (column, label) in zip(panels, quantities.items(), strict=True):
        for name, style in _styles(groups).items():
            for network in groups[name]:
                curve = network.curve.set_index("step")[column]
                axes.plot(curve.index, curve, **style, lw=0.8, alpha=0.5)
                kept = network.card["training"]["best_step"]
                axes.plot(kept, curve[kept], "o", color=style["color"], ms=6, mec="white", zorder=3)
            mean = mean_curve([network.curve for network in groups[name]], column)
            axes.plot(mean.index, mean, **style, lw=2.2)
        axes.set(xlabel="step", ylabel=label)
        axes.set_xlim(0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], **style, lw=2.2, label=f"{name}, n = {len(groups[name])}")
        for name, style in _styles(groups).items()
    ]
    handles.append(
        Line2D([], [], color="#555555", lw=0.8, marker="o", ms=6, mec="white", label="one network")
    )
    panels[0].legend(handles=handles, frameon=False)
    figure.suptitle("thick: mean of the networks; dot: the state that is kept", size=10)
    _save(figure, path)


def mean_curve(curves: Iterable[pd.DataFrame], column: str) -> pd.Series:
    """Return the mean of a column of learning curves by step, at the steps that all have."""
    together = pd.concat([curve.set_index("step")[column] for curve in curves], axis=1)
    return together.dropna().mean(axis=1).sort_index()


def draw_probabilities(path: Path, networks: Sequence[TrainedNetwork], truth: Truth) -> None:
    """Draw for a crop of the test what the best network of each architecture makes of it.

    Above the image and the class probabilities, below the outlines of the true cells and of those
    that were found.

    Parameters
    ----------
    path : Path
        PNG to write.
    networks : sequence of TrainedNetwork
        The best of an architecture is that of the best F1 on validation.
    truth : Truth
    """
    groups = by_architecture(networks)
    best = [max(group, key=_validation_f1) for group in groups.values()]
    number, rows, cols = choose_crop(truth.labels["test"])
    boxes = truth.boxes["test"]
    image = networks[0].read("test", "image", boxes)[number][:, rows, cols]
    labels = truth.labels["test"][number]
    height, width = labels[rows, cols].shape
    n_columns, one = 1 + len(best), _object_of(networks)
    figure = _figure(n_columns * PANEL_INCHES, 2 * PANEL_INCHES * height / width + 1)
    panels = figure.subplots(2, n_columns, squeeze=False)
    signal = _signal_picture(image)
    panels[0, 0].imshow(signal)
    _draw_cells(panels[1, 0], signal, labels[rows, cols])
    _title(panels[:, 0], "image", f"truth: {_n_cells(labels[rows, cols])} {PLURALS[one]}")
    _scale_bar(panels[0, 0])
    for (above, below), network in zip(panels.T[1:], best, strict=True):
        found = network.read("test", "probabilities", boxes)[number].astype(np.float32)
        cells = network.objects(found)[rows, cols]
        # of a U-Net the second map is the probability of an object, lower at its border
        shown = np.stack([found[1], np.zeros_like(found[1])]) if network.is_unet else found
        above.imshow(_class_picture(shown[:, rows, cols]))
        _draw_cells(below, signal, cells)
        f1 = network.card["scores"]["test"]["f1"] or 0.0
        name = f"{network.architecture} (F1 {f1:.2f} on the test)"
        _title((above, below), name, f"found: {_n_cells(cells)} {PLURALS[one]}")
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    names = ("nuclear", "membrane")[: len(image)]
    handles = [Patch(color=SIGNAL_COLOURS[name], label=f"{name} signal") for name in names]
    # a U-Net has no edges
    classes = [name for name in CLASS_COLOURS if name != "edge" or not all(n.is_unet for n in best)]
    handles += [
        Patch(
            facecolor=CLASS_COLOURS[name],
            edgecolor="#888888",
            lw=0.5,
            label=f"probability of {one if name == 'cell' else name}",
        )
        for name in classes
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5 if len(best) > 1 else 3, frameon=False
    )
    _save(figure, path)


def _object_of(networks: Sequence[TrainedNetwork]) -> str:
    """Return what networks find, 'cell' or 'nucleus'."""
    return OPTIONS[networks[0].card["compartment"]]


def _validation_f1(network: TrainedNetwork) -> float:
    return network.card["scores"]["validation"]["f1"] or 0.0


def choose_crop(images: Sequence[np.ndarray]) -> tuple[int, slice, slice]:
    """Return which image, and rows and columns of it, hold most objects in at most `CROP` px.

    Parameters
    ----------
    images : sequence of (h, w) ndarray of uint32
        Label images; an object is where its first pixel is.
    """
    best, most = (0, slice(0, CROP), slice(0, CROP)), -1
    for number, labels in enumerate(images):
        _, first = np.unique(labels, return_index=True)
        y, x = np.divmod(first, labels.shape[1])
        tops, lefts = (
            [*range(0, side - CROP, CROP // 4), max(side - CROP, 0)] for side in labels.shape
        )
        for top, left in itertools.product(tops, lefts):
            inside = (y >= top) & (y < top + CROP) & (x >= left) & (x < left + CROP)
            if inside.sum() > most:
                most = inside.sum()
                best = number, slice(top, top + CROP), slice(left, left + CROP)
    return best


def _signal_picture(image: np.ndarray) -> np.ndarray:
    """Return an image (c, h, w) in [0, 1] as colours."""
    colours = np.array(list(SIGNAL_COLOURS.values()), np.float32)[: len(image)]
    signal = np.moveaxis(image.astype(np.float32), 0, -1)
    return np.clip(signal**GAMMA @ colours, 0, 1)


def _class_picture(probabilities: np.ndarray) -> np.ndarray:
    """Return (2, h, w) probabilities of cell and edge as a mixture of their colours."""
    cell, edge = probabilities
    by_name = {"other": 1 - cell - edge, "cell": cell, "edge": edge}
    colours = np.array([_rgb(CLASS_COLOURS[name]) for name in CLASSES], np.float32)
    return np.clip(np.stack([by_name[name] for name in CLASSES], axis=-1) @ colours, 0, 1)


def _rgb(colour: str) -> list[float]:
    return [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]


def _draw_cells(axes: Axes, picture: np.ndarray, labels: np.ndarray) -> None:
    axes.imshow(picture)
    # A picture's pixels have their middles at whole numbers, those of outlines at halves.
    lines = [line - 0.5 for line in outlines(labels, 1.0)]
    axes.add_collection(LineCollection(lines, colors=OUTLINE, lw=1.0))


def _n_cells(labels: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(labels)))


def _title(panels: Iterable[Axes], *titles: str) -> None:
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, size=11)


def _scale_bar(axes: Axes) -> None:
    length = SCALE_UM / MODEL_MPP
    right, bottom = axes.get_xlim()[1] - 8, axes.get_ylim()[0] - 8
    axes.plot([right - length, right], [bottom, bottom], color="white", lw=3, solid_capstyle="butt")
    middle = right - length / 2
    axes.text(middle, bottom - 5, f"{SCALE_UM} µm", color="white", ha="center", va="bottom")


def draw_sizes(path: Path, networks: Sequence[TrainedNetwork], truth: Truth) -> None:
    """Draw the distribution of cell areas on the test: the truth's and each architecture's.

    Cells that are cut by the edge of an image are left out. Numbers are means over the networks.

    Parameters
    ----------
    path : Path
        PNG to write.
    networks : sequence of TrainedNetwork
    truth : Truth
    """
    groups = by_architecture(networks)
    true = areas_um2(truth.labels["test"])
    found = {
        name: [_areas_of(network, truth) for network in group] for name, group in groups.items()
    }
    every = np.concatenate([true, *(areas for group in found.values() for areas in group)])
    limit = np.percentile(every, 99.5) * 1.05 if len(every) else 1.0
    n_bins = int(np.clip(3 * np.cbrt(len(true)), MIN_BINS, MAX_BINS))
    bins = np.linspace(0, limit, n_bins + 1)
    n_rows = -(-len(groups) // MAX_COLUMNS)
    n_columns = -(-len(groups) // n_rows)
    figure = _figure(max(n_columns * 4.2, 5.5), n_rows * 3.3)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(groups) :]:
        axes.set_visible(False)
    for axes, (name, style) in zip(panels.flat, _styles(groups).items(), strict=False):
        counts = np.mean([np.histogram(areas, bins)[0] for areas in found[name]], axis=0)
        together = np.concatenate(found[name])
        axes.stairs(np.histogram(true, bins)[0], bins, fill=True, color=TRUTH)
        axes.stairs(counts, bins, **style, lw=2)
        handles = [
            Patch(color=TRUTH, label=_described("truth", true, len(true))),
            Line2D([], [], **style, lw=2, label=_described("found", together, counts.sum())),
        ]
        axes.legend(handles=handles, frameon=False, fontsize=9)
        n = len(groups[name])
        axes.set_title(f"{name}, mean of {n} networks" if n > 1 else name, size=11)
        axes.tick_params(labelbottom=True)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    one = _object_of(networks)
    figure.supxlabel(f"area of a {one}, µm²", size=11)
    figure.supylabel(f"number of {PLURALS[one]}", size=11)
    _save(figure, path)


def _areas_of(network: TrainedNetwork, truth: Truth) -> np.ndarray:
    found = network.read("test", "probabilities", truth.boxes["test"])
    return areas_um2(map(network.objects, found))


def areas_um2(images: Iterable[np.ndarray]) -> np.ndarray:
    """Return the areas in um2 of the objects of label images that do not touch their edges."""
    found = [np.zeros(0)]
    for labels in images:
        names, areas = np.unique(labels, return_counts=True)
        edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        found.append(areas[~np.isin(names, [0, *np.unique(edges)])] * MODEL_MPP**2)
    return np.concatenate(found)


def _described(what: str, areas: np.ndarray, n: float) -> str:
    median = f", median {np.median(areas):.0f} µm²" if len(areas) else ""
    return f"{what}: {n:.0f}{median}"
