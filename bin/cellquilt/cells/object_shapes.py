"""Shape and intensities of a label image's objects.

The labels are read once, and kept as runs of pixels in a scratch file of a byte or two a pixel of
tissue. Shapes follow from the runs alone, and a channel takes one pass over them.
The definitions are those of scikit-image's `regionprops` (van der Walt et al., PeerJ 2:e453, 2014).
"""

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from cellquilt_kernels import regions

# Types of pixels that the kernel adds up as they are, and the type of their sums.
_SUMS = {
    np.dtype(kind): np.dtype(np.float64 if kind.startswith("f") else np.int64)
    for kind in ("uint8", "uint16", "uint32", "int32", "float32", "float64")
}


def _wider(dtype: np.dtype) -> type:
    """Return a type that the kernel adds up and that holds the values of another."""
    return np.int32 if np.can_cast(dtype, np.int32) else np.float64


def for_kernels(pixels: np.ndarray) -> np.ndarray:
    """Return pixels in an order and of a type that kernels take; values stay."""
    native = pixels.dtype.newbyteorder("=")
    return np.ascontiguousarray(pixels, native if native in _SUMS else _wider(native))


class Runs:
    """The runs of pixels of a label image's objects, on disk, strip by strip.

    The scratch file has no name and goes with the object.

    Parameters
    ----------
    folder : Path
        Where the file lies.
    n_objects : int
        The objects are labelled 1 to `n_objects`.
    is_described : bool
        Whether their shapes are asked for.

    Attributes
    ----------
    n_objects : int
    description : (n_objects, 11) ndarray of int64, or None
        See `cellquilt_kernels.regions.DESCRIPTION`.
    """

    def __init__(self, folder: Path, n_objects: int, is_described: bool = True):
        self.n_objects, shape = n_objects, (n_objects, len(regions.DESCRIPTION))
        self.description = np.zeros(shape, np.int64) if is_described else None
        self._convex: np.ndarray | None = None
        self._counts: list[int] = []
        self._file, name = tempfile.mkstemp(prefix=".runs-", dir=folder)
        weakref.finalize(self, os.close, self._file)
        os.unlink(name)

    def append(self, labels: np.ndarray, y0: int) -> None:
        """Take the image's next strip, (rows, width) uint32, whose first row is `y0`."""
        labels = np.ascontiguousarray(labels)
        runs = np.empty((regions.count(labels), 4), np.int32)
        regions.encode(labels, y0, runs)
        if self.description is not None:
            regions.describe(runs, self.description)
        self._counts.append(len(runs))
        left = memoryview(runs).cast("B") if runs.size else b""
        while left:
            left = left[os.write(self._file, left) :]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the runs of each strip, (n, 4) int32: row, first and next column, label."""
        offset = 0
        for n in self._counts:
            runs = np.empty((n, 4), np.int32)
            left = memoryview(runs).cast("B") if n else b""
            while left:
                got = os.preadv(self._file, [left], offset)
                left, offset = left[got:], offset + got
            yield runs

    def areas(self) -> np.ndarray:
        """Return the number of pixels of each object, (n_objects,) int64."""
        return np.ascontiguousarray(self.description[:, regions.DESCRIPTION.index("area")])

    def at_edge(self, shape: tuple[int, int]) -> np.ndarray:
        """Return which objects have a pixel at the edge of the image of that shape, (n,) bool."""
        found = dict(zip(regions.DESCRIPTION, self.description.T, strict=True))
        height, width = shape
        starts = (found["first_row"] == 0) | (found["left"] == 0)
        ends = (found["bottom"] == height) | (found["right"] == width)
        return (found["area"] > 0) & (starts | ends)

    def convex(self) -> np.ndarray:
        """Return the area of each object's convex hull (px), (n_objects,) int64."""
        if self._convex is None:
            bottom = self.description[:, regions.DESCRIPTION.index("bottom")]
            hulls = regions.Hulls(np.ascontiguousarray(bottom))
            self._convex = np.zeros(self.n_objects, np.int64)
            for runs in self:
                hulls.add(runs, self._convex)
        return self._convex

    def shapes(self, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return the shape of each object, or of some of them, a column of values each.

        Parameters
        ----------
        rows : slice
            Which objects; memory follows their number.

        Returns
        -------
        dict
            ``area`` (px), ``centroid_y``, ``centroid_x`` (px, from the centre of the image's first
            pixel), ``major_axis``, ``minor_axis`` (px, of the ellipse of the same second moments),
            ``eccentricity``, ``solidity`` (area by area of the convex hull), ``extent`` (area by
            area of the bounding box), ``orientation`` (rad, -pi/2 to pi/2, from the rows' axis
            to the major one, counter-clockwise).
        """
        found = dict(zip(regions.DESCRIPTION, self.description[rows].T, strict=True))
        area, convex = found["area"], self.convex()[rows]
        y, x = found["rows"] / area, found["columns"] / area
        yy = _scatter(area, found["rows_rows"], found["rows"], found["rows"])
        xx = _scatter(area, found["columns_columns"], found["columns"], found["columns"])
        xy = _scatter(area, found["rows_columns"], found["rows"], found["columns"])
        square = area.astype(np.float64) ** 2
        middle, half = (yy + xx) / 2 / square, np.hypot((yy - xx) / 2, xy) / square
        major, minor = middle + half, np.maximum(middle - half, 0)
        with np.errstate(invalid="ignore"):
            eccentricity = np.where(major > 0, np.sqrt(1 - minor / major), 0.0)
        box = (found["bottom"] - found["first_row"]) * (found["right"] - found["left"])
        return {
            "area": area,
            "centroid_y": found["first_row"] + y,
            "centroid_x": found["first_column"] + x,
            "major_axis": 4 * np.sqrt(major),
            "minor_axis": 4 * np.sqrt(minor),
            "eccentricity": eccentricity,
            "solidity": area / convex,
            "extent": area / box,
            "orientation": np.where(
                yy == xx,
                np.where(xy > 0, np.pi / 4, -np.pi / 4),
                0.5 * np.arctan2(2 * xy, yy - xx),
            ),
        }


def pixel_sums(all_runs: Sequence[Runs], strips: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return the sums of an image's pixels over the objects of several label images.

    Parameters
    ----------
    all_runs : sequence of Runs
        Of label images that were given in the same strips.
    strips : iterable of (rows, width) ndarray
        The image from the top down, in these strips, of one type.

    Returns
    -------
    list of (n_objects,) ndarray
        int64 for integers of up to 32 bits, and exact; else float64, whatever the strips. Where a
        pixel is not finite, the sum is not.
    """
    sums: list[np.ndarray] = []
    y0 = 0
    for *stretches, pixels in zip(*all_runs, strips, strict=True):
        pixels = for_kernels(pixels)
        if not sums:
            sums = [np.zeros(runs.n_objects, _SUMS[pixels.dtype]) for runs in all_runs]
        for runs, found in zip(stretches, sums, strict=True):
            regions.add_up(runs, pixels, y0, found)
        y0 += len(pixels)
    return sums


def _scatter(n: np.ndarray, products: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return n * sum(a b) - sum(a) sum(b): n^2 times the covariance, float64.

    In whole numbers, so that nothing cancels; in Python's, which do not overflow, where int64 may.
    """
    scatter = (n * products - a * b).astype(np.float64)
    for k in np.flatnonzero(n >= 1 << 15):
        scatter[k] = int(n[k]) * int(products[k]) - int(a[k]) * int(b[k])
    return scatter
