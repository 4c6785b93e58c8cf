"""Label images as polygons: outlines along the edges of pixels, exact and valid."""

from dataclasses import dataclass

import numpy as np
import shapely
from cellquilt_kernels.polygons import Tracer

from .label_rows import LabelRows
from .strips import strip_rows

_AT_ONCE = 1 << 16  # polygons whose coordinates are made float64 together


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
        for first in range(0, len(parts), _AT_ONCE):
            polygons = self.polygons[first : first + _AT_ONCE + 1]
            rings = self.rings[polygons[0] : polygons[-1] + 1]
            parts[first : first + _AT_ONCE] = shapely.from_ragged_array(
                shapely.GeometryType.POLYGON,
                self.points[rings[0] : rings[-1]].astype(np.float64),
                (rings - rings[0], polygons - polygons[0]),
            )
        geometries = parts[self.objects[:-1]]
        for k in np.flatnonzero(np.diff(self.objects) > 1):
            geometries[k] = shapely.MultiPolygon(parts[self.objects[k] : self.objects[k + 1]])
        return geometries


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
