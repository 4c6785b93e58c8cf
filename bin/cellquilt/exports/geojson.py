"""GeoJSON of cells for QuPath: outlines, nuclei and measurements.

A FeatureCollection that QuPath opens by drag and drop, as other readers of GeoJSON do. Coordinates
are pixels of the full resolution from the corner of the first one, y downwards. A cell of several
4-connected parts is a MultiPolygon. No classification is set: that is for those who look at the
cells. Flags are measurements, 1 or 0, by which QuPath colours, filters and selects. What does
not apply (the nucleus of a cell that has none, a mean over pixels that are not finite) is left out
of the measurements. QuPath shows it as NaN; it reads measurements as numbers, so that a text such
as "NaN" among them is no way to say so.
"""

import gzip
import json
import math
import uuid
from collections.abc import Iterator
from itertools import batched, pairwise, repeat
from pathlib import Path

import numpy as np

from .. import outputs
from ..cells import flags
from ..cells.cell_table import Cells
from ..compartments import MEASURED
from ..errors import DataError
from ..images.polygons import Outlines, trace

# Against 6, gzip level 1 saves a quarter to a third of the time for 15 to 35 % more bytes; 9 takes
# twice the time to save 1 %.
LEVEL = 6
DIGITS = 7  # significant ones of a measurement: within 5e-7 of the table, whose means are float32
_AT_ONCE = 1000  # features that are made text and compressed together
# QuPath's own names where it has the quantity, names in its manner otherwise.
_SHAPE = {
    "area_um2": "Area µm^2",
    "major_axis_um": "Major axis µm",
    "minor_axis_um": "Minor axis µm",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "extent": "Extent",
    "orientation_rad": "Orientation rad",
}
MEASUREMENTS = {
    f"{compartment}_{column}": f"{compartment.capitalize()}: {name}"
    for compartment in MEASURED
    for column, name in _SHAPE.items()
} | {
    "nuclear_to_cell_ratio": "Nucleus/Cell area ratio",
    "mismatch": "Nucleus: Mismatch",
    flags.ANY: "Flagged",
    **{
        flags.column_of(flag): f"Flag: {flag.replace('_', ' ').capitalize()}"
        for flag in flags.FLAGS
    },
}


def write(cells: Cells, folder: Path) -> Path:
    """Write the cells of a sample as ``geojson/<sample>.cells.geojson.gz``.

    Equal cells give equal files. Memory holds the outlines, the table and 1,000 features.

    Parameters
    ----------
    cells : Cells
    folder : Path
        The sample's.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If the masks and the table are not of the same cells.
    """
    path = folder / "geojson" / f"{cells.facts['sample']}.cells.geojson.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        outputs.whole(path) as partial,
        open(partial, "wb") as file,
        gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed,
    ):
        packed.write(b'{"type":"FeatureCollection","features":[')
        before = "\n"
        for features in batched(_features(cells), _AT_ONCE, strict=False):
            packed.write((before + ",\n".join(map(_text, features))).encode())
            before = ",\n"
        packed.write(b"\n]}\n")
    return path


def object_id(sample: str, segmenter: str, cell_id: int) -> str:
    """Return the UUID of a cell, the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"cellquilt/{sample}/{segmenter}/{cell_id}"))


def significant(values: np.ndarray) -> np.ndarray:
    """Return float64 values rounded to `DIGITS` significant digits."""
    # Zero has no logarithm, and beyond these limits the power of ten is not finite.
    size = np.clip(np.abs(values), 1e-280, 1e280)
    scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(size)))
    return np.rint(values * scale) / scale


def _text(feature: dict) -> str:
    return json.dumps(feature, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _features(cells: Cells) -> Iterator[dict]:
    """Yield a feature for each cell, by ascending id."""
    sample, segmenter = cells.facts["sample"], cells.facts["segmenter"]
    ids = cells.rows["cell_id"].to_numpy(np.int64)
    statuses = cells.rows["status"].tolist() if "status" in cells.rows else repeat(None)
    outlines = {name: trace(mask) for name, mask in cells.masks.items()}
    if not np.array_equal(outlines[cells.compartment].labels, ids):
        raise DataError(
            f"{cells.path}: its cells are not those of the masks; give the table and the masks of "
            "the same run."
        )
    geometries = _geometries(outlines.pop(cells.compartment), ids)
    nuclei = _geometries(outlines["nucleus"], ids) if outlines else repeat(None)
    for cell, status, geometry, nucleus, measurements in zip(
        ids.tolist(), statuses, geometries, nuclei, _measurements(cells), strict=False
    ):
        metadata = {"label": str(cell), "sample": sample}
        if isinstance(status, str):
            metadata["status"] = status
        yield {
            "type": "Feature",
            "id": object_id(sample, segmenter, cell),
            "geometry": geometry,
            **({"nucleusGeometry": nucleus} if nucleus else {}),
            "properties": {
                "objectType": "cell" if cells.compartment == "cell" else "detection",
                "name": str(cell),
                "measurements": measurements,
                "metadata": metadata,
            },
        }


def _geometries(outlines: Outlines, ids: np.ndarray) -> Iterator[dict | None]:
    """Yield the GeoJSON geometry of each label, None where it has no pixels."""
    places = np.searchsorted(outlines.labels, ids)
    found = np.isin(ids, outlines.labels)
    for k, there in zip(places.tolist(), found.tolist(), strict=True):
        yield _geometry(outlines, k) if there else None


def _geometry(outlines: Outlines, k: int) -> dict:
    polygons = outlines.polygons[outlines.objects[k] : outlines.objects[k + 1] + 1]
    coordinates = [
        [
            outlines.points[start:end].tolist()
            for start, end in pairwise(outlines.rings[first : last + 1].tolist())
        ]
        for first, last in pairwise(polygons.tolist())
    ]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _measurements(cells: Cells) -> Iterator[dict[str, float]]:
    """Yield the measurements of each cell by name, those that are finite."""
    columns = [column for column in MEASUREMENTS if column in cells.rows]
    names = [MEASUREMENTS[column] for column in columns]
    names += [
        f"{channel}: {compartment.capitalize()}: Mean"
        for compartment in cells.compartments
        for channel in cells.channels
    ]
    shapes = cells.rows[columns].to_numpy(np.float64, na_value=np.nan)
    means = [cells.means(compartment) for compartment in cells.compartments]
    for first in range(0, len(shapes), _AT_ONCE):
        parts = [part[first : first + _AT_ONCE] for part in (shapes, *means)]
        for values in significant(np.hstack(parts)).tolist():
            named = zip(names, values, strict=True)
            yield {name: value for name, value in named if math.isfinite(value)}
