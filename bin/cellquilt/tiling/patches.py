"""The patch grid of a slide, the quality control of each patch, and their grouping into tasks.

Patches are cut on the whole-slide tile lattice, half-way through tile overlaps, so that a patch
with up to 152 px of halo, of Mesmer's tiles, needs one ring of tiles more than its core.
"""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from .box import Box
from .lattice import Axis, Lattice, plan
from .pixel_grid import Grid

BLOCK = 32
SUBBLOCK = 8
SMOOTHING_SIGMA = 2  # pixels; of the gaussian that LABEL applies to the interior map, at most
SMOOTHING_REACH = 4 * SMOOTHING_SIGMA  # its radius
REFERENCE_MIN_NONZERO = 0.05
REFERENCE_MIN_MEAN = 1.0
MIN_CONTRAST_IN_NOISE = 1.5
# How far below the ceiling a pixel counts as cut off, as a share: the model's grid interpolates.
CEILING_TOLERANCE = 0.005


@dataclass(frozen=True)
class Patch:
    """One patch; its core in model pixels is rows [y0, y1) and columns [x0, x1)."""

    patch_id: int
    row: int
    col: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def core(self) -> Box:
        """Its core."""
        return Box(self.y0, self.y1, self.x0, self.x1)


def plan_patches(lattice: Lattice, patch_size: int) -> list[Patch]:
    """Return the patches of a slide in raster order; their cores tile the image.

    Parameters
    ----------
    lattice : Lattice
    patch_size : int
        Wanted side of a core in model pixels; the real one is the multiple of the lattice's
        stride nearest to it that cuts the slide evenly.
    """
    rows, cols = (cuts(axis, patch_size) for axis in (lattice.rows, lattice.cols))
    return [
        Patch(i * (len(cols) - 1) + j, i, j, y0, y1, x0, x1)
        for i, (y0, y1) in enumerate(zip(rows, rows[1:], strict=False))
        for j, (x0, x1) in enumerate(zip(cols, cols[1:], strict=False))
    ]


def cuts(axis: Axis, patch_size: int) -> list[int]:
    """Return where patches start and end along an axis, in image pixels; see `plan_patches`."""
    tiles_a_patch = max(round(patch_size / axis.geometry.stride), 1)
    n_patches = -(-axis.n_tiles // tiles_a_patch)
    inner = [round(i * axis.n_tiles / n_patches) for i in range(1, n_patches)]
    return [0, *(axis.cut(tile) for tile in inner), axis.size]


def group_patches(
    patches: list[Patch], informative: np.ndarray, patches_per_task: int
) -> list[list[Patch]]:
    """Return the informative patches in blocks of at most `patches_per_task`.

    Blocks are as square as they can be, since a task recomputes the tiles around its block.
    Blocks without an informative patch are left out.
    """
    height, width = block_shape(patches_per_task)
    blocks: dict[tuple[int, int], list[Patch]] = {}
    for patch in patches:
        if informative[patch.patch_id]:
            blocks.setdefault((patch.row // height, patch.col // width), []).append(patch)
    return [blocks[key] for key in sorted(blocks)]


def block_shape(patches_per_task: int) -> tuple[int, int]:
    """Return how many rows and columns of patches a task has at most."""
    height = max(int(np.sqrt(patches_per_task)), 1)
    return height, patches_per_task // height


def tiles_of(lattice: Lattice, patches: list[Patch], halo: int) -> list[tuple[int, int]]:
    """Return the lattice tiles (row, col) that `patches` and their halos need, in raster order."""
    tiles: set[tuple[int, int]] = set()
    for patch in patches:
        y0, y1, x0, x1 = patch.core.grown(halo + SMOOTHING_REACH, lattice.shape)
        tiles.update(
            (row, col)
            for row in lattice.rows.tiles_of(y0, y1)
            for col in lattice.cols.tiles_of(x0, x1)
        )
    return sorted(tiles)


def block_lattice(shape: tuple[int, int]) -> Lattice:
    """Return the lattice at which the blocks of a slide are anchored.

    It is the same whatever segments the slide, since INGEST measures and does not know that.
    """
    return plan(*shape)


def block_statistics(
    pixels: np.ndarray, lattice: Lattice, ceiling: float | None = None
) -> dict[str, np.ndarray]:
    """Measure a channel in blocks of 32 x 32 px anchored at a lattice.

    Parameters
    ----------
    pixels : (height, width) ndarray or Scratch
        Raw values on the model's grid; read in strips.
    lattice : Lattice
        That of `block_lattice`.
    ceiling : float, optional
        The value at which a camera or a conversion cut the pixels off.

    Returns
    -------
    dict of (n, m) ndarray of float64
        ``n_pixels``, ``n_nonzero``, ``n_saturated`` (at the ceiling), ``total`` (sum), ``peak``
        and ``floor`` (largest and smallest mean of an 8 x 8 px cell), ``noise`` (standard
        deviation of pixel noise from the mean absolute difference of neighbours); peak, floor
        and noise are NaN without pixels.
    """
    rows, cols = lattice.rows, lattice.cols
    limit = np.inf if ceiling is None else ceiling - CEILING_TOLERANCE * abs(ceiling)
    n_cols = -(-(cols.before + cols.size) // BLOCK)
    rows_of_blocks = []
    for top in range(-rows.before, rows.size, BLOCK):
        strip = np.full((BLOCK, n_cols * BLOCK), np.nan)
        y0, y1 = max(top, 0), min(top + BLOCK, rows.size)
        if y0 < y1:
            across = slice(cols.before, cols.before + cols.size)
            strip[y0 - top : y1 - top, across] = pixels[y0:y1]
        rows_of_blocks.append(_block_row(strip, limit))
    return {name: np.stack([row[name] for row in rows_of_blocks]) for name in rows_of_blocks[0]}


def _block_row(strip: np.ndarray, limit: float) -> dict[str, np.ndarray]:
    """Measure one row of blocks, (32, 32 n) float64 with NaN outside the image.

    Pixels from `limit` up count as saturated.
    """
    blocks = strip.reshape(BLOCK, -1, BLOCK).swapaxes(0, 1)
    n_sub = BLOCK // SUBBLOCK
    cells = blocks.reshape(-1, n_sub, SUBBLOCK, n_sub, SUBBLOCK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks outside the image are all NaN
        means = np.nanmean(cells, axis=(2, 4))
        step = np.nanmean(np.abs(np.diff(blocks, axis=2)), axis=(1, 2))
        return {
            "n_pixels": np.isfinite(blocks).sum(axis=(1, 2), dtype=float),
            "n_nonzero": (np.nan_to_num(blocks) != 0).sum(axis=(1, 2), dtype=float),
            "n_saturated": (blocks >= limit).sum(axis=(1, 2), dtype=float),
            "total": np.nansum(blocks, axis=(1, 2)),
            "peak": np.nanmax(means, axis=(1, 2)),
            "floor": np.nanmin(means, axis=(1, 2)),
            # two independent pixels of deviation s differ by 2 s / sqrt(pi) in the mean
            "noise": step * np.sqrt(np.pi) / 2,
        }


def assess(
    patches: list[Patch],
    lattice: Lattice,
    channels: list[dict[str, np.ndarray]],
    constant: np.ndarray,
    rule: str,
    min_contrast: float,
) -> pd.DataFrame:
    """Decide for each patch whether it can hold cells, and say why where it cannot.

    Rule ``default``: a patch is skipped only where all that the network would see for it is
    constant; what the network makes of that is looked at once. Rule ``signal`` skips patches
    without structure too: those where the contrast of their 8 x 8 px means stays below
    `min_contrast` of the slide's own range and within what pixel noise alone brings. Camera
    offset, gain and bit depth cancel out. Rule ``reference`` is the one of the aegle pipeline:
    on the nuclear channel, fewer than 5 % of pixels above zero (empty) or a mean below 1.0
    (which it calls noisy). Rule ``none`` skips nothing.

    Parameters
    ----------
    patches : list of Patch
    lattice : Lattice
        That of `block_lattice`.
    channels : list of dict
        What `block_statistics` gives for the nuclear channel and, where there is one, the
        membrane channel.
    constant : (n,) ndarray of bool
        Whether all tiles of each patch are constant.
    rule : {'default', 'signal', 'reference', 'none'}
    min_contrast : float
        Fraction of the slide's range.

    Returns
    -------
    DataFrame
        One row a patch, in order: statistics, ``is_empty``, ``is_noisy``, ``is_informative``
        and ``reason`` (empty where informative).
    """
    names = ("nuclear", "membrane")[: len(channels)]
    limits = [_contrast_limit(blocks, min_contrast) for blocks in channels]
    rows = []
    for patch in patches:
        where = blocks_of(patch, lattice)
        nuclear = {name: values[where] for name, values in channels[0].items()}
        n_pixels = nuclear["n_pixels"].sum()
        nonzero = nuclear["n_nonzero"].sum() / n_pixels
        mean = nuclear["total"].sum() / n_pixels
        contrasts = [
            float(np.nanmax(blocks["peak"][where]) - np.nanmin(blocks["floor"][where]))
            for blocks in channels
        ]
        is_empty, is_noisy = nonzero < REFERENCE_MIN_NONZERO, mean < REFERENCE_MIN_MEAN
        if rule == "none":
            reason = ""
        elif rule == "reference":
            reason = "empty" if is_empty else "dark" if is_noisy else ""
        elif constant[patch.patch_id]:
            reason = "constant"
        elif rule == "signal":
            seen = any(c > limit for c, limit in zip(contrasts, limits, strict=True))
            reason = "" if seen else "no_signal"
        else:
            reason = ""
        rows.append(
            {
                "nuclear_nonzero_fraction": nonzero,
                "nuclear_mean": mean,
                **{f"{n}_contrast": c for n, c in zip(names, contrasts, strict=True)},
                **{f"{n}_contrast_limit": c for n, c in zip(names, limits, strict=True)},
                "is_empty": bool(is_empty),
                "is_noisy": bool(is_noisy),
                "is_informative": not reason,
                "reason": reason,
            }
        )
    return pd.DataFrame(rows)


def _contrast_limit(blocks: dict[str, np.ndarray], min_contrast: float) -> float:
    low = np.nanpercentile(blocks["floor"], 1)
    high = np.nanpercentile(blocks["peak"], 99)
    noise = blocks["noise"][blocks["noise"] > 0]
    background_noise = np.percentile(noise, 10) if noise.size else 0.0
    return float(max(min_contrast * (high - low), MIN_CONTRAST_IN_NOISE * background_noise))


def blocks_of(patch: Patch, lattice: Lattice) -> tuple[slice, slice]:
    """Return the rows and columns of `block_statistics` that a patch's core touches.

    The lattice is that of `block_lattice`.
    """
    spans = ((patch.y0, patch.y1, lattice.rows), (patch.x0, patch.x1, lattice.cols))
    return tuple(
        slice((start + axis.before) // BLOCK, -(-(stop + axis.before) // BLOCK))
        for start, stop, axis in spans
    )


def metadata(patches: list[Patch], grid: Grid, halo: int, quality: pd.DataFrame) -> pd.DataFrame:
    """Return the table of patches: where each lies in input and model pixels, and its quality.

    ``y0``, ``x0``, ``height`` and ``width`` are input pixels: those whose labels come from the
    patch's core.
    """
    rows, cols = grid.label_rows(), grid.label_cols()
    table = []
    for patch in patches:
        y0, y1 = np.searchsorted(rows, (patch.y0, patch.y1))
        x0, x1 = np.searchsorted(cols, (patch.x0, patch.x1))
        box = {"y0": y0, "x0": x0, "height": y1 - y0, "width": x1 - x0}
        core = {f"core_{k}_model_px": v for k, v in asdict(patch).items() if k[1:] in "01"}
        table.append({"patch_id": patch.patch_id, **box, **core, "halo_model_px": halo})
    return pd.concat([pd.DataFrame(table), quality], axis=1)
