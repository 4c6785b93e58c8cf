"""Where the cells of a generated tissue lie and what shape they have.

Smooth random fields lay out epithelium, lymphoid follicles and stroma; seeds thrown without
crowding grow into touching, irregular cells with nuclei. Lengths are in pixels of 0.5 um.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import measure

from ..images.label_rows import boundaries

# What a pixel of the layout is; the rows of MIX.
NOTHING, EPITHELIUM, FOLLICLE, STROMA = range(4)


class Kind(NamedTuple):
    """A population of cells: geometry, and markers in photons a pixel at full expression."""

    radius: float  # of the circle of equal area
    elongation: float  # long over short axis
    crowding: float  # share of the radius that no other's may overlap
    reach: float  # how many radii it grows where nothing stops it
    nucleus: float  # nuclear radius over cell radius
    dapi: float
    cd45: float
    panck: float
    vimentin: float
    cycling: float  # share of cells that express Ki67


MATRIX, EPITHELIAL, LYMPHOCYTE, FIBROBLAST, MACROPHAGE, LONE_NUCLEUS = range(6)
KINDS = (
    Kind(13.0, 1.00, 0.70, 0.00, 0.00, 0, 0, 0, 0, 0.0),  # bare matrix: holds cells apart
    Kind(11.8, 1.35, 0.86, 1.70, 0.74, 190, 0, 210, 5, 0.20),
    Kind(8.0, 1.12, 0.80, 1.12, 0.86, 260, 190, 0, 25, 0.06),
    Kind(8.5, 2.60, 0.90, 1.08, 0.84, 200, 0, 0, 170, 0.02),
    Kind(11.0, 1.40, 0.88, 1.15, 0.70, 180, 110, 0, 80, 0.02),
    Kind(7.0, 1.30, 1.00, 1.00, 0.95, 210, 0, 0, 0, 0.0),  # a nucleus that lost its cell
)
BY_KIND = Kind(*np.array(KINDS, np.float32).T)  # each property as an array over kinds

LOBE_ORDERS = (2, 3, 5)

# How often a seed in each part of the layout is of each kind.
MIX = np.array(
    [
        [0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.01, 0.96, 0.02, 0.00, 0.01, 0.00],
        [0.08, 0.00, 0.86, 0.00, 0.06, 0.00],
        [0.40, 0.00, 0.13, 0.31, 0.12, 0.04],
    ]
)
ANUCLEATE_SHARE = 0.02  # cells whose nucleus lies outside the section


class Anatomy(NamedTuple):
    """A section of tissue before it is stained.

    Attributes
    ----------
    layout : (height, width) uint8
        `NOTHING`, `EPITHELIUM`, `FOLLICLE` or `STROMA`.
    cells : (height, width) uint32
        Whole cells 1 to n, each one 4-connected piece.
    nuclei : (height, width) uint32
        Nuclei: inside a cell with its label, without cell with a label above n.
    depth : (height, width) float32
        Thickness of the nucleus at each pixel, 1 at its centre.
    kind : (1 + number of labels,) int
        Index into `KINDS` of each label, background being `MATRIX`.
    """

    layout: np.ndarray
    cells: np.ndarray
    nuclei: np.ndarray
    depth: np.ndarray
    kind: np.ndarray


class Seeds(NamedTuple):
    """Where each seed lies, what it is, how large and which way it points (radians)."""

    y: np.ndarray
    x: np.ndarray
    kind: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


class Outline(NamedTuple):
    """A lobed ellipse, or one of them per row."""

    y: np.ndarray
    x: np.ndarray
    radius: np.ndarray
    elongation: np.ndarray
    angle: np.ndarray
    lobes: np.ndarray  # (..., 3) strength of the lobes of order 2, 3 and 5
    phases: np.ndarray  # (..., 3)


def section(rng: np.random.Generator, shape: tuple[int, int], right: int) -> Anatomy:
    """Return a section of `shape` that holds no tissue from column `right` on."""
    layout = _layout(rng, shape, right)
    seeds = _throw_seeds(rng, layout)
    labels, nuclei, depth = _grow(rng, seeds, shape, right)
    labels, nuclei, kind = _renumber(labels, nuclei, seeds.kind)
    cells = np.where(kind[labels] == LONE_NUCLEUS, np.uint32(0), labels)
    return Anatomy(layout, cells, nuclei, depth, kind)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Return Gaussian noise of unit variance, float32, smooth on a scale of `sigma` pixels."""
    # Smooth noise has no detail finer than sigma, so a coarser grid is enough for it.
    step = max(int(sigma / 2), 1)
    pad = math.ceil(4 * sigma / step)
    coarse = tuple(-(-n // step) + 2 * pad + 2 for n in shape)
    field = ndimage.gaussian_filter(rng.standard_normal(coarse).astype(np.float32), sigma / step)
    field /= field.std()
    return _enlarge(field[pad:-pad, pad:-pad], step, shape)


def _enlarge(coarse: np.ndarray, step: int, shape: tuple[int, int]) -> np.ndarray:
    """Return `coarse` interpolated linearly to `shape`, `step` pixels a sample.

    Pixel 0 is sample 0; one sample beyond the last pixel must be there.
    """
    for axis, n in enumerate(shape):
        at = np.arange(n, dtype=np.float32) / np.float32(step)
        low = at.astype(int)
        weight = (at - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        first = coarse.take(low, axis)
        coarse = first + weight * (coarse.take(low + 1, axis) - first)
    return coarse


def _layout(rng: np.random.Generator, shape: tuple[int, int], right: int) -> np.ndarray:
    """Return which part of the tissue each pixel is in; nothing from column `right` on."""
    glands, follicles = smooth_noise(rng, shape, 75), smooth_noise(rng, shape, 45)
    vessels, ragged = smooth_noise(rng, shape, 20), smooth_noise(rng, shape, 24)
    # Quantiles, so that even a small image has some of everything.
    stroma_from, gland_from, lumen_from = np.quantile(glands[::8, ::8], (0.46, 0.52, 0.97))
    layout = np.full(shape, STROMA, np.uint8)
    layout[follicles > np.quantile(follicles[::8, ::8], 0.55)] = FOLLICLE
    layout[glands > stroma_from] = STROMA  # a sheath of stroma round each gland
    layout[glands > gland_from] = EPITHELIUM
    edge = right - 20 - 14 * (ragged + 1).clip(0, 4)
    layout[(glands > lumen_from) | (vessels > 1.9) | (np.arange(shape[1]) >= edge)] = NOTHING
    return layout


def _throw_seeds(rng: np.random.Generator, layout: np.ndarray) -> Seeds:
    """Throw seeds of every kind; of two that crowd each other the first thrown stays."""
    height, width = layout.shape
    thrown = height * width // 40
    y, x = rng.uniform(0, height, thrown), rng.uniform(0, width, thrown)
    at = y.astype(int), x.astype(int)
    kind = (rng.random(thrown)[:, None] > MIX.cumsum(axis=1)[layout[at]]).sum(axis=1)
    # Fibroblasts stream along a common, slowly turning direction.
    stream = 1.5 * smooth_noise(rng, layout.shape, 60)[at] + rng.normal(0, 0.25, thrown)
    angle = np.where(kind == FIBROBLAST, stream, rng.uniform(0, math.pi, thrown))
    hit = np.flatnonzero(layout[at] != NOTHING)
    kind = kind[hit]
    radius = BY_KIND.radius[kind] * rng.lognormal(0, 0.10, len(hit))
    keep = _uncrowded(y[hit], x[hit], radius * BY_KIND.crowding[kind])
    keep = keep[kind[keep] != MATRIX]
    keep = keep[np.lexsort((x[hit[keep]], y[hit[keep]]))]
    hit = hit[keep]
    return Seeds(y[hit], x[hit], kind[keep], radius[keep], angle[hit])


def _uncrowded(y: np.ndarray, x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the indices left when, in order, each disc that overlaps a kept one is dropped."""
    if not len(y):
        return np.empty(0, int)
    points = np.column_stack([y, x])
    first, second = cKDTree(points).query_pairs(2 * radius.max(), output_type="ndarray").T
    apart = np.hypot(*(points[first] - points[second]).T)
    clash = apart < radius[first] + radius[second]
    first, second = first[clash], second[clash]
    kept, undecided = np.zeros(len(y), bool), np.ones(len(y), bool)
    while undecided.any():
        # Who has no undecided rival thrown earlier is kept; all such at once.
        wins = undecided.copy()
        wins[second] = False
        kept |= wins
        undecided &= ~wins
        undecided[second[wins[first]]] = False
        live = undecided[first] & undecided[second]
        first, second = first[live], second[live]
    return np.flatnonzero(kept)


def _grow(
    rng: np.random.Generator, seeds: Seeds, shape: tuple[int, int], right: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each pixel to the seed that is nearest in that seed's own warped, lobed metric.

    Columns from `right` on go to none.

    Returns
    -------
    labels, nuclei : (height, width) uint32
        1 + the index of the seed, in its cell and in its nucleus.
    depth : (height, width) float32
        Thickness of the nucleus at each pixel, 1 at its centre.
    """
    n = len(seeds.y)
    nucleus = BY_KIND.nucleus[seeds.kind]
    reach = np.where(seeds.kind == LONE_NUCLEUS, 1, BY_KIND.reach[seeds.kind])
    elongation = 1 + (BY_KIND.elongation[seeds.kind] - 1) * rng.uniform(0.4, 1.6, n)
    cell = Outline(seeds.y, seeds.x, seeds.radius, elongation, seeds.angle, *_lobes(rng, n, 0.20))
    off = 0.26 * (1 - nucleus) * seeds.radius  # the more cytoplasm, the more eccentric
    radius = np.where(rng.random(n) < ANUCLEATE_SHARE, 1e-3, nucleus * seeds.radius)
    inner = Outline(
        seeds.y + off * rng.standard_normal(n),
        seeds.x + off * rng.standard_normal(n),
        radius * rng.lognormal(0, 0.08, n),
        1 + 0.9 * (elongation - 1),
        seeds.angle + rng.normal(0, 0.3, n),
        *_lobes(rng, n, 0.10),
    )
    half = np.ceil(1.3 * reach * seeds.radius * np.sqrt(elongation)).astype(int) + 3

    warp = 1.1 * np.stack([smooth_noise(rng, shape, 3.5), smooth_noise(rng, shape, 3.5)])
    nearest = np.full(shape, np.inf, np.float32)
    nearest[:, right:] = 0
    labels, nuclei = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    depth = np.zeros(shape, np.float32)
    for i in range(n):
        top, left = max(int(seeds.y[i]) - half[i], 0), max(int(seeds.x[i]) - half[i], 0)
        window = np.s_[top : int(seeds.y[i]) + half[i] + 1, left : int(seeds.x[i]) + half[i] + 1]
        y, x = warp[:, *window]
        y = y + np.arange(top, top + y.shape[0], dtype=np.float32)[:, None]
        x = x + np.arange(left, left + x.shape[1], dtype=np.float32)
        within = _distance(y, x, Outline(*(column[i] for column in inner)))
        if seeds.kind[i] == LONE_NUCLEUS:
            distance = within
        else:
            distance = _distance(y, x, Outline(*(column[i] for column in cell)))
        won = (distance < reach[i]) & (distance < nearest[window])
        nearest[window][won] = distance[won]
        labels[window][won] = i + 1
        nuclei[window][won] = np.where(within < 1, i + 1, 0)[won]
        depth[window][won] = np.sqrt(1 - 0.6 * within.clip(0, 1) ** 2)[won]
    return labels, nuclei, depth


def _lobes(rng: np.random.Generator, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw strengths and phases of `n` outlines' lobes."""
    return (
        rng.normal(0, strength, (n, 3)) / np.array(LOBE_ORDERS),
        rng.uniform(0, 2 * math.pi, (n, 3)),
    )


def _distance(y: np.ndarray, x: np.ndarray, outline: Outline) -> np.ndarray:
    """Return distances from an outline's centre: 1 on the outline."""
    dy, dx = y - np.float32(outline.y), x - np.float32(outline.x)
    cos, sin = math.cos(outline.angle), math.sin(outline.angle)
    stretch = math.sqrt(outline.elongation)
    along, across = (dx * cos + dy * sin) / stretch, (dy * cos - dx * sin) * stretch
    azimuth = np.arctan2(across, along)
    radius = np.ones_like(azimuth)
    for order, lobe, phase in zip(LOBE_ORDERS, outline.lobes, outline.phases, strict=True):
        radius += np.float32(lobe) * np.cos(order * azimuth + np.float32(phase))
    return np.hypot(along, across) / (np.float32(outline.radius) * radius.clip(0.6, 1.3))


def _renumber(
    labels: np.ndarray, nuclei: np.ndarray, kind: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop scraps and number the rest without gaps, nuclei without cell last.

    Returns
    -------
    labels, nuclei : (height, width) uint32
        One connected piece for each label; `labels` still holds the lone nuclei.
    kind : (1 + number of labels,) int
        Index into `KINDS` of each label, background being matrix.
    """
    labels = _largest_pieces(labels, 60)
    own = (nuclei == labels) & (boundaries(labels) == 0)
    nuclei = _largest_pieces(np.where(own, nuclei, np.uint32(0)), 30)
    kind = np.append(MATRIX, kind)
    lone = kind == LONE_NUCLEUS
    used, with_nucleus = np.zeros(len(kind), bool), np.zeros(len(kind), bool)
    used[labels.ravel()] = True
    with_nucleus[nuclei.ravel()] = True
    used &= (kind != MATRIX) & (~lone | with_nucleus)
    order = np.concatenate([np.flatnonzero(used & ~lone), np.flatnonzero(used & lone)])
    new = np.zeros(len(kind), np.uint32)
    new[order] = np.arange(1, len(order) + 1)
    return new[labels], new[nuclei], np.append(MATRIX, kind[order])


def _largest_pieces(labels: np.ndarray, least: int) -> np.ndarray:
    """Keep of each label the largest 4-connected piece, where it has `least` pixels or more."""
    pieces = measure.label(labels, connectivity=1)
    size = np.bincount(pieces.ravel())
    owner = np.zeros(len(size), labels.dtype)
    owner[pieces.ravel()] = labels.ravel()
    size[(owner == 0) | (size < least)] = 0
    # The last piece written to a label wins, and the order is by size.
    order = np.argsort(size, kind="stable")
    largest = np.zeros(int(owner.max()) + 1, int)
    largest[owner[order]] = order
    keep = np.zeros(len(size), bool)
    keep[largest] = size[largest] > 0
    return np.where(keep[pieces], labels, np.uint32(0))
