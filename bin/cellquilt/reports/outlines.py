"""Outlines of the objects of a label image as smooth closed lines, for pictures."""

import numpy as np
from cellquilt_kernels.polygons import Tracer


def outlines(
    labels: np.ndarray,
    smoothing: float,
    box: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Return closed outlines, (n, 2) x and y in pixels, of which the first one spans 0 to 1.

    They run through the middles of the pixels' sides, so that neighbours share theirs.

    Parameters
    ----------
    labels : (h, w) ndarray of integers
        Label image, 0 is background.
    smoothing : float
        Sigma of a Gaussian along the outlines, in their points, one for each side of a pixel.
    box : (2,) ndarray and (2,) ndarray, optional
        First and last x and y of what is shown; outlines outside of it are left out.
    """
    tracer = Tracer(labels.shape[1])
    tracer.add(np.ascontiguousarray(labels, np.uint32))
    first, n_corners, *_ = np.ascontiguousarray(tracer.rings().T)
    if box is not None and len(first):
        corners, starts = _corners(tracer, first, n_corners)
        seen = (np.maximum.reduceat(corners, starts) >= box[0]).all(axis=1)
        seen &= (np.minimum.reduceat(corners, starts) <= box[1]).all(axis=1)
        first, n_corners = first[seen], n_corners[seen]
    if not len(first):
        return []
    corners, starts = _corners(tracer, first, n_corners)
    sides = np.diff(corners, axis=0, append=0)
    lengths = np.abs(sides).sum(axis=1)
    lengths[starts + n_corners] = 0  # from the end of an outline to the next one
    middles = np.repeat(corners, lengths, axis=0) + np.repeat(np.sign(sides), lengths, axis=0) * (
        _ranks(lengths)[:, None] + 0.5
    )

    sizes = np.add.reduceat(lengths, starts)
    rank, size = _ranks(sizes + 1), np.repeat(sizes, sizes + 1)
    start = np.repeat(np.cumsum(sizes) - sizes, sizes + 1)
    reach = int(4 * smoothing + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / smoothing) ** 2)
    points = np.zeros((len(rank), 2))
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        points += weight * middles[start + (rank + offset) % size]
    return np.split(points, np.cumsum(sizes + 1)[:-1])


def _corners(
    tracer: Tracer, first: np.ndarray, n_corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of closed rings, one ring after another, and where each starts."""
    ends = np.cumsum(n_corners + 1)
    corners = np.empty((ends[-1], 2), np.int32)
    tracer.walk(first, corners)
    return corners, ends - n_corners - 1


def simplified(lines: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Return lines with as few of their points as Douglas and Peucker's algorithm keeps.

    All lines are taken apart at once: scikit-image's `approximate_polygon`, a line at a time in
    Python, takes 30 times as long.

    Parameters
    ----------
    lines : list of (n, 2) ndarray
        Of two points at least.
    tolerance : float
        How far from a line that is returned a point may be that is left out.
    """
    if not lines:
        return []
    points = np.concatenate(lines) @ (1, 1j)
    ends = np.cumsum([len(line) for line in lines])
    first, last = np.append(0, ends[:-1]), ends - 1
    kept = np.zeros(len(points), bool)
    kept[first] = kept[last] = True
    while (longer := last - first > 1).any():
        first, last = first[longer], last[longer]
        n_inner = last - first - 1
        chord = np.repeat(np.arange(len(first)), n_inner)
        place = first[chord] + 1 + _ranks(n_inner)
        # With the chord as unit; that of a closed line is a point.
        length = points[last] - points[first]
        ahead = points[place] - points[first][chord]
        unit = np.where(length == 0, np.inf, length)[chord]
        distance = np.abs(ahead - np.clip((ahead / unit).real, 0, 1) * length[chord])
        largest = np.maximum.reduceat(distance, np.cumsum(n_inner) - n_inner)
        farthest = np.flatnonzero(distance == largest[chord])
        farthest = farthest[np.diff(chord[farthest], prepend=-1) > 0]
        split = largest > tolerance
        middle = place[farthest[split]]
        kept[middle] = True
        first, last = np.append(first[split], middle), np.append(middle, last[split])
    return [line[keep] for line, keep in zip(lines, np.split(kept, ends[:-1]), strict=True)]


def _ranks(sizes: np.ndarray) -> np.ndarray:
    """Return 0 to n - 1 for each size n, one after another."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
