"""A slide's signal and its objects' outlines, for pictures: all coordinates in um.

The model's grid, that the signal is on, and the input's, that the masks are on, span the same
rectangle. Full resolution is read for crops only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from PIL import Image

from ..compartments import PLURALS
from ..images.label_image import LabelReader
from .crops import Crop, Square, choose_crops, close_ups, shown, worst_matched
from .outlines import outlines, simplified

N_CLOSE_UPS = 6
# An object that reaches out of a crop by no more than this is seen whole.
MARGIN_UM = 25.0
# The steps of the model's pixels, that the masks were found on and are so wide, are smoothed away.
SMOOTHING_UM = 0.5
# How far a point that an outline does without may be from it.
OUTLINE_UM = 0.05
# Pixels a side that are averaged for a pixel of the thumbnail, at most.
SAMPLES = 4

# The two signals add up; the exponent darkens the background, which CLAHE lifts.
SIGNAL_COLOURS = {"nuclear": (0.24, 0.42, 1.0), "membrane": (0.08, 0.80, 0.22)}
GAMMA = 1.5
# In the order of drawing: a cell's line stays visible where its nucleus fills it.
LINE_COLOURS = {"nucleus": "#ff5cf0", "cell": "#ffe98a", "unmatched": "#ff5a36"}


@dataclass(frozen=True)
class SlideView:
    """What the pictures of a sample are drawn from, while INGEST's store is open.

    Attributes
    ----------
    facts : dict
        INGEST's, of the slide.
    codes : (2, h, w) zarr array of uint16
    lut : (2, 16384) ndarray of float32
        Signal of each code.
    extent : (float, float)
        Height and width, um.
    compartment : str
        What is counted in crops: ``cell`` or, without cells, ``nucleus``.
    crops, worst, close_ups : list of Crop
        The densest and a typical square, the worst matched one, and the worst matched cells.
    lines : dict
        Outlines by `Crop.square` and kind, see `crop_lines`.
    """

    facts: dict
    codes: zarr.Array
    lut: np.ndarray
    extent: tuple[float, float]
    compartment: str
    crops: list[Crop]
    worst: list[Crop]
    close_ups: list[Crop]
    lines: dict[Square, dict[str, list[np.ndarray]]]


def view_slide(
    group: zarr.Group, masks: dict[str, Path], rows: pd.DataFrame, facts: dict | None = None
) -> SlideView:
    """Choose the crops of a slide and outline the objects in them.

    Parameters
    ----------
    group : zarr.Group
        INGEST's store of the normalised slide.
    masks : dict
        Label images by name: ``cell``, ``nucleus``, ``cell_original``, ``nucleus_original``,
        as far as they are there. What is in an original only is unmatched.
    rows : DataFrame
        Of the table of cells.
    facts : dict, optional
        INGEST's, of the slide, in place of those of the store.
    """
    facts = facts or group.attrs["facts"]
    mpp, image = facts["image_mpp"], facts["image"]
    extent = image["height"] * mpp, image["width"] * mpp
    compartment, places = shown(rows, mpp)
    crops = choose_crops(places, extent)
    worst = worst_matched(rows, extent, mpp)
    near = close_ups(rows, extent, mpp, N_CLOSE_UPS)
    known = None
    if facts.get("regions") is not None and "status" in rows:
        # What lies outside of all regions has no partner that was looked for
        labels = {compartment: rows[f"{compartment}_label"].dropna() for compartment in PLURALS}
        known = {compartment: of.to_numpy(np.uint32) for compartment, of in labels.items()}
    lines = crop_lines(masks, [*crops, *worst, *near], mpp, known)
    return SlideView(
        facts, group["codes"], group["lut"][:], extent, compartment, crops, worst, near, lines
    )


def in_colours(signal: np.ndarray) -> Image.Image:
    """Return a picture of nuclear and membrane signal, (h, w, 2) float32 in [0, 1]."""
    colours = np.array(list(SIGNAL_COLOURS.values()), np.float32) * 255
    return Image.fromarray(np.clip(np.rint(signal**GAMMA @ colours), 0, 255).astype(np.uint8))


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
    signal = np.stack([lut[k][part] for k, part in enumerate(codes[:, *spans])], axis=-1)
    (top, bottom), (left, right) = edges
    return signal, (left, right, bottom, top)


def crop_lines(
    masks: dict[str, Path],
    crops: Iterable[Crop],
    image_mpp: float,
    known: Mapping[str, np.ndarray] | None = None,
) -> dict[Square, dict[str, list[np.ndarray]]]:
    """Return the outlines in crops, (n, 2) arrays of x and y in um, by `Crop.square` and kind.

    An object that reaches into a crop is outlined as a whole. The kinds are ``cell``, ``nucleus``,
    and where there are masks before and after matching ``unmatched`` and ``untrimmed``, the
    matched nuclei as they were before they were trimmed. With `known`, labels before matching by
    compartment, only these are unmatched.
    """

    def span(start: float, side: float) -> slice:
        first = max(int((start - MARGIN_UM) / image_mpp), 0)
        return slice(first, int(np.ceil((start + side + MARGIN_UM) / image_mpp)))

    windows = {crop.square: (span(crop.y, crop.side), span(crop.x, crop.side)) for crop in crops}

    def lines_of(labels: np.ndarray, square: Square) -> list[np.ndarray]:
        y, x, side = square
        rows, cols = windows[square]
        corner = np.array([cols.start, rows.start])
        first = np.array([x, y]) / image_mpp - corner
        found = outlines(labels, SMOOTHING_UM / image_mpp, (first, first + side / image_mpp))
        return [(line + corner) * image_mpp for line in found]

    lines: dict[Square, dict[str, list]] = {square: {} for square in windows}
    for compartment in PLURALS:
        matched = _read(masks.get(compartment), windows)
        original = _read(masks.get(f"{compartment}_original"), windows)
        for square, found in lines.items():
            if matched or original:
                found[compartment] = lines_of((matched or original)[square], square)
            if matched and original:
                after, before = matched[square], original[square]
                kept = np.isin(before, before[after > 0])
                drawn = ~kept if known is None else ~kept & np.isin(before, known[compartment])
                alone = lines_of(np.where(drawn, before, 0), square)
                found.setdefault("unmatched", []).extend(alone)
                cut = np.isin(before, before[kept & (after == 0)])
                whole = lines_of(np.where(cut, before, 0), square)
                found.setdefault("untrimmed", []).extend(whole)
    every = [line for found in lines.values() for of_kind in found.values() for line in of_kind]
    fewer = iter(simplified(every, OUTLINE_UM))
    return {
        square: {kind: [next(fewer) for _ in of_kind] for kind, of_kind in found.items()}
        for square, found in lines.items()
    }


def _read(
    mask: Path | None, windows: dict[Square, tuple[slice, slice]]
) -> dict[Square, np.ndarray]:
    """Return windows of a mask; nothing without one."""
    if mask is None:
        return {}
    with LabelReader(mask) as labels:
        # From the top down, so that few rows are decoded twice.
        return {
            square: labels.read(rows.start, rows.stop)[:, cols].copy()
            for square, (rows, cols) in sorted(windows.items())
        }


def scale_bar(width: float) -> tuple[float, str]:
    """Return a length of 1, 2 or 5 times a power of ten um, at most a quarter of `width`."""
    limit = width / 4
    decade = 10.0 ** np.floor(np.log10(limit))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= limit)
    return float(length), f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
