"""Rectangles around what a person labelled, among the annotations that QuPath exports."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..tiling.box import Box
from .features import features

# QuPath's class of a rectangle to what it is for: as its extensions for StarDist and Cellpose have
# them, and the class that QuPath offers for regions
CLASSES = {"training": "train", "region*": "train", "validation": "validation", "test": "test"}


_MOST = 1000


@dataclass(frozen=True)
class Frame:
    """A rectangle in which every object is labelled.

    Attributes
    ----------
    part : {'train', 'validation', 'test'}
    box : Box
        In pixels of the slide.
    """

    part: str
    box: Box


def part_of(properties: Mapping) -> str | None:
    """Return what an annotation is for if it is of a class of `CLASSES`; None for another."""
    if properties.get("objectType") != "annotation":
        return None
    kind = properties.get("classification")
    name = kind.get("name") if isinstance(kind, dict) else None
    return CLASSES.get(name.strip().lower()) if isinstance(name, str) else None


def read_frames(path: Path, shape: tuple[int, int]) -> list[Frame]:
    """Return the rectangles in a GeoJSON file, in their order.

    Parameters
    ----------
    path : Path
    shape : (int, int)
        Height and width of the slide (px), to which they are cut.

    Raises
    ------
    DataError
        If one is no upright rectangle or lies outside of the slide, or two overlap.
    """
    found: list[Frame] = []
    for feature in features(path):
        properties = feature.get("properties")
        part = part_of(properties) if isinstance(properties, dict) else None
        if part is None:
            continue
        name = f"{path.name}: rectangle {len(found) + 1}, of class {_class_of(properties)},"
        y0, y1, x0, x1 = _bounds(feature.get("geometry"), name)
        box = Box(max(y0, 0), min(y1, shape[0]), max(x0, 0), min(x1, shape[1]))
        if min(box.shape) < 1:
            raise DataError(
                f"{name} lies outside of the slide, of {shape[0]} x {shape[1]} px; corners count in"
                " pixels of full resolution."
            )
        found.append(Frame(part, box))
    if len(found) > _MOST:
        raise DataError(
            f"{path.name}: has {len(found):,} rectangles, and may have {_MOST:,}; draw fewer and"
            " larger ones."
        )
    for (first, one), (second, other) in combinations(enumerate(found, 1), 2):
        if _overlap(one.box, other.box):
            raise DataError(
                f"{path.name}: rectangles {first} and {second} overlap, and what is learnt must not"
                " be tested; draw them apart."
            )
    return found


def _class_of(properties: Mapping) -> str:
    return properties["classification"]["name"].strip()


def _bounds(geometry: object, name: str) -> tuple[int, int, int, int]:
    try:
        (ring,) = geometry["coordinates"]
        corners = np.array(ring, np.float64)[:, :2]
        xs, ys = (np.unique(corners[:, axis]) for axis in (0, 1))
        if geometry["type"] != "Polygon" or len(xs) != 2 or len(ys) != 2 or len(corners) > 5:
            raise ValueError("corners")
        return int(round(ys[0])), int(round(ys[1])), int(round(xs[0])), int(round(xs[1]))
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataError(
            f"{name} is no upright rectangle; draw it with QuPath's rectangle tool."
        ) from error


def _overlap(one: Box, other: Box) -> bool:
    return max(one.y0, other.y0) < min(one.y1, other.y1) and max(one.x0, other.x0) < min(
        one.x1, other.x1
    )
