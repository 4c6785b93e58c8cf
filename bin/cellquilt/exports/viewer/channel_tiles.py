"""The slide's channels as tiles of the viewer, at every zoom, written in rows of tiles."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from ...images.strips import Scratch, pyramid_steps, strip_rows
from ...parallel import threaded
from ...slides.slide import Slide
from ..picture import shown_range
from . import packs

TILE = 512  # px
MAX_PACKS = 1300  # of all channels and zooms; the cells have 600 files
_SAMPLE = 500_000  # pixels from which a channel's ranges are
# Beyond so many times the 99.9th percentile are a few pixels of dirt, which would leave the cells
# few grey levels
_BRIGHTEST = 4


@dataclass(frozen=True)
class Scale:
    """What the 256 levels of a channel's tiles stand for.

    Level k is `low` + (k / 255)^2 (`high` - `low`), since noise grows with the root of a signal;
    where the pixels are integers of at most 256 values, it is `low` + k, which is exact.
    """

    low: float
    high: float
    is_exact: bool

    def levels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the level nearest to each pixel, as uint8; what is not finite is the first."""
        if pixels.dtype == np.uint16 and pixels.size > 1 << 16:
            return self._levels(np.arange(1 << 16))[pixels]
        return self._levels(pixels)

    def _levels(self, pixels: np.ndarray) -> np.ndarray:
        shares = (pixels.astype(np.float64) - self.low) / (self.high - self.low)
        shares = np.clip(np.nan_to_num(shares, nan=0, posinf=1, neginf=0), 0, 1)
        return np.rint((shares if self.is_exact else np.sqrt(shares)) * 255).astype(np.uint8)


def tiles_a_side(shape: tuple[int, int], n_channels: int) -> int:
    """Return how many tiles a pack has along each side, so that packs are at most `MAX_PACKS`."""
    for side in (1 << k for k in count()):
        edge = side * TILE
        grids = [_size(shape, step) for step in pyramid_steps(shape, TILE)]
        if n_channels * sum(-(-h // edge) * -(-w // edge) for h, w in grids) <= max(
            MAX_PACKS, n_channels * len(grids)
        ):
            return side
    raise AssertionError


def write_channel(
    slide: Slide, channel: int, folder: Path, key: str, side: int, cpus: int = 1
) -> dict:
    """Write a channel as packs ``<key>/<zoom>-<row>-<column>.js``.

    Each zoom has the means of 2 x 2 pixels of the one before; zoom 0 is the slide itself. Memory
    holds two rows of tiles, and a row of packs compressed; a channel and a third of one lie on
    disk.

    Parameters
    ----------
    slide : Slide
    channel : int
        Index.
    folder : Path
        That the packs are written to.
    key : str
    side : int
        Tiles along each side of a pack, see `tiles_a_side`.
    cpus : int
        That compress tiles.

    Returns
    -------
    dict
        ``low``, ``high`` and ``exact`` of the `Scale`, and ``shown``, the range to show first.
    """
    pixels, scale, shown = _copied(slide, channel, folder)
    steps = pyramid_steps(pixels.shape, TILE)
    for zoom in range(len(steps)):
        size = _size(pixels.shape, 2)
        half = Scratch(folder, size, pixels.dtype) if zoom + 1 < len(steps) else None
        for row, y0 in enumerate(range(0, pixels.shape[0], side * TILE)):
            y1 = min(y0 + side * TILE, pixels.shape[0])
            made = _pack_row(pixels, half, (y0, y1), side, lambda p: _packed(scale, p), cpus)
            for column, parts in enumerate(made):
                packs.write(folder, f"{key}/{zoom}-{row}-{column}", parts)
        if half:
            pixels = half
    return {"low": scale.low, "high": scale.high, "exact": scale.is_exact, "shown": list(shown)}


def _packed(scale: Scale, pixels: np.ndarray) -> str:
    return packs.of_pixels(scale.levels(pixels))


def _pack_row(
    pixels: Scratch,
    half: Scratch | None,
    rows: tuple[int, int],
    side: int,
    packed: Callable[[np.ndarray], str],
    cpus: int,
) -> list[list[str]]:
    """Return the parts of each pack in a row of packs, and write the rows' means to `half`."""
    width = pixels.shape[1]
    made = [[""] * (side * side) for _ in range(-(-width // (side * TILE)))]
    for row, (y0, y1) in enumerate((y, min(y + TILE, rows[1])) for y in range(*rows, TILE)):
        strip = pixels[y0:y1]
        tiles = [strip[:, x0 : x0 + TILE] for x0 in range(0, width, TILE)]
        for column, text in enumerate(threaded(packed, tiles, cpus)):
            made[column // side][row * side + column % side] = text
        if half:
            half[y0 // 2 : (y1 + 1) // 2] = _means(strip)
    return made


def _means(strip: np.ndarray) -> np.ndarray:
    """Return the means of 2 x 2 pixels; at an odd edge of those that are there."""
    even = np.pad(strip, [(0, length % 2) for length in strip.shape], mode="edge")
    is_whole = strip.dtype.kind in "ui"
    wide = np.int64 if strip.dtype.itemsize > 2 else np.int32
    sums = np.add(even[::2], even[1::2], dtype=wide if is_whole else np.float64)
    sums = sums[:, ::2] + sums[:, 1::2]
    return ((sums + 2) >> 2 if is_whole else sums / 4).astype(strip.dtype)


def _copied(slide: Slide, channel: int, folder: Path) -> tuple[Scratch, Scale, tuple[float, float]]:
    """Return a channel on disk, what its levels stand for, and the range to show first."""
    shape = slide.height, slide.width
    pixels = Scratch(folder, shape, slide.dtype.newbyteorder("="))
    step = max(1, int((shape[0] * shape[1] / _SAMPLE) ** 0.5))
    sample, low, high = [], np.inf, -np.inf
    for y0, y1 in strip_rows(shape, TILE):
        rows = slide.read(channel, y0, y1)
        pixels[y0:y1] = rows
        sample.append(rows[-y0 % step :: step, ::step].copy())
        finite = rows[np.isfinite(rows)] if rows.dtype.kind == "f" else rows
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    slide.release(channel)
    if low > high:
        low = high = 0.0
    taken = np.concatenate(sample)
    shown = shown_range(taken)
    if slide.dtype.kind in "ui" and high - low <= 255:
        return pixels, Scale(low, low + 255, is_exact=True), shown
    bright = taken[np.isfinite(taken) & (taken != 0)]
    top = low + _BRIGHTEST * (float(np.percentile(bright, 99.9)) - low) if bright.size else high
    top = min(high, max(top, shown[1]))
    return pixels, Scale(low, top if top > low else low + 1, is_exact=False), shown


def _size(shape: tuple[int, int], step: int) -> tuple[int, int]:
    return -(-shape[0] // step), -(-shape[1] // step)
