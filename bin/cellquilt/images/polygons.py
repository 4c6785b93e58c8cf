"""Label images as polygons: outlines along the edges of pixels, exact and valid."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from cellquilt_kernels.polygons import Tracer

from .label_rows import LabelRows, labels_of
from .strips import strip_rows

OBJECTS_AT_ONCE = 1 << 17  # objects that are traced together; their corners take about 100 MB
_POLYGONS_AT_ONCE = 1 << 16  # polygons whose coordinates are made float64 together


@dataclass(frozen=True)
class Outlines:
    """One polygon for each 4-connected part of each object, as ragged arrays.

    Rings are closed. Outer rings have a positive area by the shoelace formula, x to the right and
    y down, and holes a negative one.

    Attributes
    ----------
    labels : (n,) uint32
        Labels of the objects, ascending.
    points : (m, 2) int32
        x and y of the corners in pixels; the first pixel spans 0 to 1.
    rings : (r + 1,) int64
        Where in `points` each ring begins.
    polygons : (p + 1,) int64
        Where in `rings` each polygon begins; its first ring is the outer one.
    objects : (n + 1,) int64
        Where in `polygons` each object begins.
    """

    labels: np.ndarray
    points: np.ndarray
    rings: np.ndarray
    polygons: np.ndarray
    objects: np.ndarray

    def between(self, first: int, last: int) -> "Outlines":
        """Return the outlines of the objects whose labels are from `first` to `last`."""
        low, high = np.searchsorted(self.labels, (first, last + 1))
        objects = self.objects[low : high + 1]
        polygons = self.polygons[objects[0] : objects[-1] + 1]
        rings = self.rings[polygons[0] : polygons[-1] + 1]
        return Outlines(
            self.labels[low:high],
            self.points[rings[0] : rings[-1]],
            rings - rings[0],
            polygons - polygons[0],
            objects - objects[0],
        )

    def geometries(self) -> np.ndarray:
        """Return a Polygon for each object, or a MultiPolygon where it has several parts.

        Returns
        -------
        (n,) ndarray of shapely.Geometry
            In the order of `labels`. All are valid: parts of an object, and holes and their
            polygon, touch in points at most.
        """
        parts = np.empty(len(self.polygons) - 1, object)
        for first in range(0, len(parts), _POLYGONS_AT_ONCE):
            polygons = self.polygons[first : first + _POLYGONS_AT_ONCE + 1]
            rings = self.rings[polygons[0] : polygons[-1] + 1]
            parts[first : first + _POLYGONS_AT_ONCE] = shapely.from_ragged_array(
                shapely.GeometryType.POLYGON,
                self.points[rings[0] : rings[-1]].astype(np.float64),
                (rings - rings[0], polygons - polygons[0]),
            )
        geometries = parts[self.objects[:-1]]
        for k in np.flatnonzero(np.diff(self.objects) > 1):
            geometries[k] = shapely.MultiPolygon(parts[self.objects[k] : self.objects[k + 1]])
        return geometries


class OutlineReader:
    """Outlines of a label image, traced for some labels at a time, so that memory follows those.

    The image is read once for the rows that each label has, and then those rows of the labels
    that are asked for. So it is read twice where labels ascend from the top down, as the
    pipeline's do, and more often the less they do.

    Parameters
    ----------
    image : LabelRows
    rows : int, optional
        Height of a strip.

    Attributes
    ----------
    labels : (n,) uint32
        Labels of all objects, ascending.
    """

    def __init__(self, image: LabelRows, rows: int | None = None):
        self._image, self._rows = image, rows
        strips = [
            (labels_of(image.read(y0, y1)), y0, y1) for y0, y1 in strip_rows(image.shape, rows)
        ]
        labels = np.concatenate([present for present, *_ in strips])
        top, bottom = (
            np.repeat([strip[k] for strip in strips], [len(strip[0]) for strip in strips])
            for k in (1, 2)
        )
        order = np.argsort(labels, kind="stable")  # of a label, the strips from the top down
        self.labels, first = np.unique(labels[order], return_index=True)
        last = np.searchsorted(labels[order], self.labels, side="right") - 1
        self._top, self._bottom = top[order][first], bottom[order][last]

    def between(self, first: int, last: int) -> Outlines:
        """Return the outlines of the objects whose labels are from `first` to `last`.

        They are those that `trace` returns of the whole image.
        """
        low, high = np.searchsorted(self.labels, (first, last + 1))
        if low == high:
            return trace(_Between(self._image, 0, 0, first, last))
        y0, y1 = self._top[low:high].min(), self._bottom[low:high].max()
        outlines = trace(_Between(self._image, int(y0), int(y1), first, last), self._rows)
        outlines.points[:, 1] += y0
        return outlines

    def parts(self, at_once: int = OBJECTS_AT_ONCE) -> Iterator[Outlines]:
        """Yield the outlines of all objects, by ascending label, `at_once` objects together."""
        for first in range(0, len(self.labels), at_once):
            yield self.between(*self.labels[first : first + at_once][[0, -1]].tolist())


class _Between:
    """Rows `top` to `bottom` of a label image, without labels below `first` or above `last`."""

    def __init__(self, image: LabelRows, top: int, bottom: int, first: int, last: int):
        self._image, self._top = image, top
        self._first, self._span = np.uint32(first), np.uint32(last - first)
        self.shape: tuple[int, int] = bottom - top, image.shape[1]

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive) as (rows, width) uint32."""
        labels = self._image.read(self._top + y0, self._top + y1)
        # Smaller ones wrap around to larger differences
        return np.where(labels - self._first <= self._span, labels, 0)


def trace(labels: LabelRows, rows: int | None = None) -> Outlines:
    """Return the outlines of all objects of a label image.

    Exactly the pixels of an object lie within its outline. How the image was cut into strips does
    not change the result. Memory holds a strip and, while rings are linked, 24 bytes a corner.

    Parameters
    ----------
    labels : LabelRows
    rows : int, optional
        Height of a strip.

    Returns
    -------
    Outlines
    """
    tracer = Tracer(labels.shape[1])
    for y0, y1 in strip_rows(labels.shape, rows):
        tracer.add(np.ascontiguousarray(labels.read(y0, y1)))
    first, corners, part, label = tracer.rings().T
    # A part comes where its outer ring, which is its first one, comes.
    outer, of_part = np.unique(part, return_index=True)
    order = np.lexsort((of_part[np.searchsorted(outer, part)], label))
    label, part = label[order], part[order]
    rings = np.concatenate(([0], np.cumsum(corners[order] + 1)))
    points = np.empty((rings[-1], 2), np.int32)
    tracer.walk(np.ascontiguousarray(first[order]), points)
    polygons = np.flatnonzero(np.diff(part, prepend=-1))
    objects = np.flatnonzero(np.diff(label[polygons], prepend=0))
    return Outlines(
        label[polygons[objects]].astype(np.uint32),
        points,
        rings,
        np.append(polygons, len(part)),
        np.append(objects, len(polygons)),
    )
