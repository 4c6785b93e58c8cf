"""A slide's signal and its objects' outlines, for pictures: all coordinates in um.

The model's grid, that the signal is on, and the input's, that the masks are on, span the same
rectangle. Full resolution is read for crops only.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from scipy import ndimage as ndi
from skimage.measure import find_contours

from ..compartments import PLURALS
from ..images.label_image import LabelReader
from ..tiling.pixel_grid import MODEL_MPP
from .crops import Crop

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


def in_colours(signal: np.ndarray) -> np.ndarray:
    """Return a picture (h, w, 3) in [0, 1] of nuclear and membrane signal (h, w, 2)."""
    colours = np.array(list(SIGNAL_COLOURS.values()), np.float32)
    return np.clip(signal**GAMMA @ colours, 0, 1)


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

    The kinds are ``cell``, ``nucleus``, and where there are masks before and after matching
    ``unmatched`` and ``untrimmed``, the matched nuclei as they were before they were trimmed.
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
    for compartment in PLURALS:
        original = f"{compartment}_original"
        if compartment in masks:
            matched = window(compartment)
            lines[compartment] = lines_of(matched)
            if original in masks:
                before = window(original)
                kept = np.isin(before, before[matched > 0])
                lines.setdefault("unmatched", []).extend(lines_of(np.where(kept, 0, before)))
                cut = np.isin(before, before[kept & (matched == 0)])
                lines.setdefault("untrimmed", []).extend(lines_of(np.where(cut, before, 0)))
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


def scale_bar(width: float) -> tuple[float, str]:
    """Return a length of 1, 2 or 5 times a power of ten um, at most a quarter of `width`."""
    limit = width / 4
    decade = 10.0 ** np.floor(np.log10(limit))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= limit)
    return float(length), f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
