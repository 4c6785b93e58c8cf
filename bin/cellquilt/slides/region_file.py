"""Regions of interest as a user gives them: QuPath's polygons in GeoJSON, or a label image."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely

from ..errors import DataError, reason
from ..images.label_image import LabelReader
from ..images.polygons import trace
from ..tiling.regions import Regions

_MAX_BYTES = 64_000_000
_MAX_REGIONS, _MAX_CORNERS = 10_000, 1_000_000
_MAX_NAME = 99
_GRID = 1e-3  # px, to which corners are rounded
_AREAS = ("Polygon", "MultiPolygon")  # compared, and not hashed: a type may be a list
_REMEDY = "export the annotations of the slide as GeoJSON from QuPath, or give a label image"


def read_regions(path: Path, shape: tuple[int, int]) -> tuple[Regions, list[str]]:
    """Return the regions of a file, and what a person should know of them.

    Parameters
    ----------
    path : Path
        GeoJSON whose features are Polygons or MultiPolygons with a ``name``, else the name of
        their ``classification``; those of one name are one region. Or a label image of the
        slide's size, whose labels are the names.
    shape : (int, int)
        Height and width of the slide (px).

    Raises
    ------
    DataError
        Not such a file, no region in it, none that lies on the slide, or outlines that are those
        of cells rather than of regions.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); correct --roi.") from error
    notes: list[str] = []
    named = _traced(path, shape) if head[:2] in {b"II", b"MM"} else _named(path, notes)
    if len(named) > _MAX_REGIONS:
        raise DataError(
            f"{path}: has {len(named):,} regions, which looks like cells; {_REMEDY} of regions."
        )
    slide = shapely.box(0, 0, shape[1], shape[0])
    areas = {name: shapely.set_precision(area & slide, _GRID) for name, area in named.items()}
    outside = [name for name, area in areas.items() if not area.area]
    if len(outside) == len(areas):
        what = "none of its regions lies on the slide" if areas else "it has no region"
        raise DataError(
            f"{path}: {what}, of {shape[0]} x {shape[1]} px; {_REMEDY}, in pixels of full"
            " resolution."
        )
    corners = sum(shapely.get_num_coordinates(area) for area in areas.values())
    if corners > _MAX_CORNERS:
        raise DataError(
            f"{path}: its outlines have {corners:,} corners, and may have {_MAX_CORNERS:,};"
            " simplify them."
        )
    notes += _notes(named, areas, outside)
    kept = {name: area for name, area in areas.items() if area.area}
    return Regions(tuple(kept), np.array(list(kept.values()))), notes


def _traced(path: Path, shape: tuple[int, int]) -> dict[str, shapely.Geometry]:
    """Return the outlines of a label image along the edges of pixels."""
    with LabelReader(path) as labels:
        if labels.shape != shape:
            size = f"{labels.shape[0]} x {labels.shape[1]}"
            raise DataError(
                f"{path}: is {size} px and the slide {shape[0]} x {shape[1]} px; regions need a"
                " label image of the slide's size."
            )
        outlines = trace(labels)
    names = map(str, outlines.labels.tolist())
    return dict(zip(names, outlines.geometries().tolist(), strict=True))


def _named(path: Path, notes: list[str]) -> dict[str, shapely.Geometry]:
    """Return the polygons of a GeoJSON file by name; add to the notes what had to be done."""
    given: dict[str, list[shapely.Geometry]] = {}
    ignored, repaired = 0, []
    for number, feature in enumerate(_features(path), 1):
        geometry = feature.get("geometry")
        if not isinstance(geometry, dict) or geometry.get("type") not in _AREAS:
            ignored += 1
            continue
        name = _name_of(feature) or f"region {number}"
        area = _geometry(geometry, path, name)
        if not area.is_valid:
            repaired.append(name)
            area = shapely.make_valid(area, method="structure")
        given.setdefault(name, []).append(area)
    if repaired:
        notes.append(f"outlines of {_listed(repaired)} cross themselves and were corrected")
    if ignored:
        notes.append(f"{ignored} features are no polygons and are ignored")
    return {name: shapely.union_all(parts) for name, parts in given.items()}


def _features(path: Path) -> Iterator[dict]:
    """Yield the features of a GeoJSON file, whatever is at its top."""
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(
            f"{path}: has more than {_MAX_BYTES // 1_000_000} MB, which no outlines of regions"
            " take; export the annotations alone, without cells and detections."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no GeoJSON ({reason(error)}); {_REMEDY}.") from error
    if isinstance(found, dict) and found.get("type") == "FeatureCollection":
        found = found.get("features")
    elif isinstance(found, dict) and found.get("type") in _AREAS:
        found = {"type": "Feature", "geometry": found}
    for feature in found if isinstance(found, list) else [found]:
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise DataError(f"{path}: is no GeoJSON of features; {_REMEDY}.")
        yield feature


def _name_of(feature: dict) -> str:
    """Return the name of a feature, else that of its class; empty without."""
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    kind = properties.get("classification")
    for name in (properties.get("name"), kind.get("name") if isinstance(kind, dict) else kind):
        if isinstance(name, str | int) and str(name).strip():
            printable = "".join(c if c.isprintable() else " " for c in str(name))
            return " ".join(printable.split())[:_MAX_NAME]
    return ""


def _geometry(geometry: dict, path: Path, name: str) -> shapely.Geometry:
    try:
        found = shapely.force_2d(shapely.from_geojson(json.dumps(geometry)))
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise DataError(
            f"{path}: region '{name}' is no polygon ({reason(error)}); {_REMEDY}."
        ) from error
    if not np.isfinite(shapely.get_coordinates(found)).all():
        raise DataError(f"{path}: region '{name}' has corners that are not finite; {_REMEDY}.")
    return found


def _notes(
    given: Mapping[str, shapely.Geometry],
    areas: Mapping[str, shapely.Geometry],
    outside: Sequence[str],
) -> Iterator[str]:
    """Yield how regions lie on the slide and to each other."""
    if outside:
        yield f"outside of the slide, and left out: {_listed(outside)}"
    cut = [
        name for name, area in areas.items() if area.area and area.area < 0.999 * given[name].area
    ]
    if cut:
        yield f"reaching beyond the slide, and cut off there: {_listed(cut)}"
    names, shapes = list(areas), list(areas.values())
    found = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    pairs = [
        f"{names[one]} and {names[other]}"
        for one, other in sorted(found.T.tolist())
        if one < other and (shapes[one] & shapes[other]).area
    ]
    if pairs:
        yield f"regions overlap, and the first one counts: {_listed(pairs)}"


def _listed(items: Iterable[str], most: int = 5) -> str:
    items = list(items)
    return ", ".join([*items[:most], *["..."] * (len(items) > most)])
