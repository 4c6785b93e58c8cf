"""A mask of polygons, such as QuPath's cells and detections, as rows of labels."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from skimage.draw import polygon

from ..errors import DataError
from .features import features
from .frames import part_of

_GZIP = b"\x1f\x8b"
_AREAS = ("Polygon", "MultiPolygon")  # compared, and not hashed: a type may be a list
# QuPath's types of what is drawn around cells, and is taken only where there is nothing else
_AROUND = ("annotation", "tile", "tma_core", "root")
# Classes of outlines in files that have both compartments, as InstanSeg's
_CLASSES = {"cells": "cell", "cell": "cell", "nuclei": "nucleus", "nucleus": "nucleus"}
_LARGEST = 1 << 31  # px, of a coordinate


def is_geojson(head: bytes) -> bool:
    """Return whether a file begins as JSON or gzip does."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["} or head[:2] == _GZIP


class OutlineMask:
    """Polygons that become pixels, as `readers.OwnMask`; a context manager.

    Rectangles of `frames` are no objects.

    An object has the pixels whose centres lie within its outline. Where two overlap, the first one
    in the file has them. It is drawn when it is opened, into a file that has no name.

    Parameters
    ----------
    path, shape, compartment, scratch
        See `readers.open_mask`.

    Raises
    ------
    DataError
        If the file is no GeoJSON of polygons, or none lies on the slide.
    """

    dtype = None

    def __init__(self, path: Path, shape: tuple[int, int], compartment: str, scratch: Path):
        self.shape, self.notes = shape, []
        self._path, self._counts = path, Counter()
        with tempfile.TemporaryFile(prefix=".scratch-", dir=scratch) as file:
            os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * 4)
            self._pixels = np.memmap(file, np.uint32, "r+", shape=shape)
        own = self._objects(compartment, is_around=False)
        first = next(own, None)
        if first is None:
            own = self._objects(compartment, is_around=True)
            first = next(own, None)
        if first is None:
            raise DataError(
                f"{path}: has no polygon of a {compartment}; export cells or detections as GeoJSON"
                " from QuPath, or give a label image."
            )
        n_drawn = 0
        for label, geometry in enumerate(chain([first], own), 1):
            n_drawn += self._draw(geometry, label)
        if not n_drawn:
            raise DataError(
                f"{path}: none of its {label:,} outlines has a pixel of the slide, of {shape[0]} x"
                f" {shape[1]} px; corners count in pixels of full resolution."
            )
        self._note(label, label - n_drawn)

    def __enter__(self) -> "OutlineMask":
        """Return the mask."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the pixels."""
        del self._pixels

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        return np.array(self._pixels[max(y0, 0) : max(y1, 0)])

    def _objects(self, compartment: str, is_around: bool) -> Iterator[dict]:
        """Yield the polygons of objects, or of what is drawn around them."""
        self._counts.clear()
        for feature in features(self._path):
            properties = feature.get("properties")
            properties = properties if isinstance(properties, dict) else {}
            kind, geometry = properties.get("objectType"), feature.get("geometry")
            own = _compartment_of(properties)
            if compartment == "nucleus" and isinstance(feature.get("nucleusGeometry"), dict):
                own, geometry = compartment, feature["nucleusGeometry"]
            if own not in (None, compartment) or part_of(properties):
                continue
            if not isinstance(geometry, dict) or geometry.get("type") not in _AREAS:
                self._counts["no polygon"] += 1
            elif (kind in _AROUND) != is_around:
                self._counts["around"] += 1
            else:
                yield geometry

    def _draw(self, geometry: dict, label: int) -> bool:
        """Give free pixels to an object; return whether it has any."""
        parts = geometry.get("coordinates")
        try:
            parts = parts if geometry["type"] == "MultiPolygon" else [parts]
            drawn = [self._draw_part([_ring(ring) for ring in part], label) for part in parts]
        except (TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"{self._path}: outline {label:,} is no polygon of numbers; export it again."
            ) from error
        return any(drawn)

    def _draw_part(self, rings: list[np.ndarray], label: int) -> bool:
        low = np.floor(rings[0].min(axis=0)).astype(int)
        high = np.ceil(rings[0].max(axis=0)).astype(int)
        (left, top), (right, bottom) = np.maximum(low, 0), np.minimum(high, self.shape[::-1])
        if left >= right or top >= bottom:
            return False
        inside = np.zeros((bottom - top, right - left), bool)
        for ring in rings:  # of which the first is the outer one, and others are holes
            filled = np.zeros_like(inside)
            filled[polygon(ring[:, 1] - 0.5 - top, ring[:, 0] - 0.5 - left, inside.shape)] = True
            inside ^= filled
        window = self._pixels[top:bottom, left:right]
        free = inside & (window == 0)
        self._counts["taken"] += int(np.count_nonzero(inside & (window != 0) & (window != label)))
        window[free] = label
        return bool(free.any())

    def _note(self, n: int, n_lost: int) -> None:
        if n_lost:
            self.notes.append(
                f"{n_lost:,} of {n:,} outlines have no pixel of the slide of their own"
            )
        if pixels := self._counts["taken"]:
            self.notes.append(f"outlines overlap, and {pixels:,} pixels stay with the first")
        if left_out := self._counts["no polygon"]:
            self.notes.append(f"{left_out:,} features are no polygons and are left out")
        if around := self._counts["around"]:
            self.notes.append(f"{around:,} annotations around objects are left out")


def _compartment_of(properties: dict) -> str | None:
    """Return the compartment that an outline is classified as; None where it is as neither."""
    kind = properties.get("classification")
    name = kind.get("name") if isinstance(kind, dict) else None
    return _CLASSES.get(name.lower()) if isinstance(name, str) else None


def _ring(corners: list) -> np.ndarray:
    """Return a ring, (n, 2) x and y; ValueError if it is none."""
    found = np.array(corners, np.float64)[:, :2]
    if found.shape[1] != 2 or not (np.abs(found) < _LARGEST).all():
        raise ValueError("corners")
    return found
