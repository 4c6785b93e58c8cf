"""GeoJSON of cells for QuPath: outlines, nuclei and measurements.

A FeatureCollection that QuPath opens by drag and drop, as other readers of GeoJSON do. Coordinates
are pixels of the full resolution from the corner of the first one, y downwards. A cell of several
4-connected parts is a MultiPolygon. Its region of interest is its classification; without regions
there is none: that is for those who look at the cells. Flags are measurements, 1 or 0, by which
QuPath colours, filters and selects. What does not apply (the nucleus of a cell that has none, a
mean over pixels that are not finite) is left out of the measurements. QuPath shows it as NaN; it
reads measurements as numbers, so that a text such as "NaN" among them is no way to say so.
"""

import json
import math
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from .. import outputs
from ..cells import flags
from ..cells.cell_table import Cells
from ..cells.measures import BOUNDARY
from ..compartments import MEASURED
from ..errors import DataError
from ..images.polygons import OBJECTS_AT_ONCE, OutlineReader, Outlines
from ..parallel import mapped, threaded

# Against 6, gzip level 1 saves a quarter to a third of the time for 15 to 35 % more bytes; 9 takes
# twice the time to save 1 %.
LEVEL = 6
DIGITS = 7  # significant ones of a measurement: within 5e-7 of the table, whose means are float32
_AT_ONCE = 1000  # features that are made text and compressed together
_FEW = 20_000  # cells whose text takes as long as starting processes for it
_GZIP = struct.pack("<HBBLBB", 0x8B1F, 8, 0, 0, 0, 255)  # no name, no time, of no system
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
# QuPath's names of what it measures itself, and for the sum and the percentile such names
MEASURES = {
    "mean": "Mean",
    "median": "Median",
    "std": "Std.Dev.",
    "p90": "Percentile 90",
    "max": "Max",
    "sum": "Sum",
}
COMPARTMENTS = {name: name.capitalize() for name in MEASURED} | {BOUNDARY: "Membrane"}


def write(cells: Cells, folder: Path, cpus: int = 1) -> Path:
    """Write the cells of a sample as ``geojson/<sample>.cells.geojson.gz``.

    Equal cells give equal files. Memory holds the table, the outlines of some cells and some 1,000
    features a processor.

    Parameters
    ----------
    cells : Cells
    folder : Path
        The sample's.
    cpus : int
        Processes that make the text of many cells; they do not change it.

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
    with outputs.whole(path) as part, open(part, "wb") as file:
        file.writelines(_gzipped(_packed_text(cells, cpus)))
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


@dataclass(frozen=True)
class _Batch:
    """Some cells, by ascending id, and all that their features say.

    Attributes
    ----------
    sample, segmenter, kind : str
        The last is QuPath's type of object.
    ids : (n,) int64
    statuses, classes : list of (str or None)
    outlines : list of Outlines
        Of the cells and, where they are there, of their nuclei.
    names : list of str
        Of the measurements.
    values : (n, m) float64
    """

    sample: str
    segmenter: str
    kind: str
    ids: np.ndarray
    statuses: list[str | None]
    classes: list[str | None]
    outlines: list[Outlines]
    names: list[str]
    values: np.ndarray


def _packed_text(cells: Cells, cpus: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the text of the file in parts, each with itself compressed by `_packed`."""
    processes = cpus if len(cells.rows) > _FEW else 1
    yield _packed(b'{"type":"FeatureCollection","features":[')
    before = b"\n"
    for text in mapped(_text, _batches(cells, cpus), processes):
        yield _packed(before)
        yield text
        before = b",\n"
    yield _packed(b"\n]}\n")


def _gzipped(parts: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield a gzip file (RFC 1952) of one member, which readers in browsers insist on."""
    crc = size = 0
    yield _GZIP
    for text, packed in parts:
        crc, size = zlib.crc32(text, crc), size + len(text)
        yield packed
    yield zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
    yield struct.pack("<LL", crc, size % (1 << 32))


def _packed(text: bytes) -> tuple[bytes, bytes]:
    """Return a text, and itself compressed so that what follows can be appended."""
    packer = zlib.compressobj(LEVEL, wbits=-zlib.MAX_WBITS)
    return text, packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)


def _batches(cells: Cells, cpus: int) -> Iterator[_Batch]:
    """Yield the cells in parts."""
    ids = cells.rows["cell_id"].to_numpy(np.int64)
    statuses, classes = (_texts(cells, column) for column in ("status", "roi"))
    kind = "cell" if cells.compartment == "cell" else "detection"
    names, parts = _measurements(cells)
    for rows, outlines in _outlines(cells, ids, cpus):
        yield _Batch(
            cells.facts["sample"],
            cells.facts["segmenter"],
            kind,
            ids[rows],
            statuses[rows],
            classes[rows],
            outlines,
            names,
            np.hstack([part[rows] for part in parts]),
        )


def _outlines(cells: Cells, ids: np.ndarray, cpus: int) -> Iterator[tuple[slice, list[Outlines]]]:
    """Yield rows of the table, and the outlines of these cells and of their nuclei."""
    readers = threaded(OutlineReader, cells.masks.values(), cpus)  # the cells' comes first
    if not np.array_equal(readers[0].labels, ids):
        raise DataError(
            f"{cells.path}: its cells are not those of the masks; give the table and the masks of "
            "the same run."
        )
    for start in range(0, len(ids), OBJECTS_AT_ONCE):
        together = ids[start : start + OBJECTS_AT_ONCE]
        first, last = together[[0, -1]].tolist()
        layers = threaded(partial(OutlineReader.between, first=first, last=last), readers, cpus)
        for k in range(0, len(together), _AT_ONCE):
            ends = together[k : k + _AT_ONCE][[0, -1]]
            rows = slice(start + k, start + min(k + _AT_ONCE, len(together)))
            yield rows, [layer.between(*ends) for layer in layers]


def _texts(cells: Cells, column: str) -> list[str | None]:
    """Return a column of texts, None where one is missing or the column is."""
    values = cells.rows[column] if column in cells.rows else [None] * len(cells.rows)
    return [value if isinstance(value, str) else None for value in values]


def _text(batch: _Batch) -> tuple[bytes, bytes]:
    """Return the features of a batch as text, see `_packed`."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    return _packed(",\n".join(map(encode, _features(batch))).encode())


def _features(batch: _Batch) -> Iterator[dict]:
    """Yield a feature for each cell."""
    geometries = [list(_geometries(layer, batch.ids)) for layer in batch.outlines]
    values = significant(batch.values).tolist()
    said = zip(batch.ids.tolist(), batch.statuses, batch.classes, strict=True)
    for k, (cell, status, kind) in enumerate(said):
        metadata = {"label": str(cell), "sample": batch.sample}
        if status is not None:
            metadata["status"] = status
        geometry, *nucleus = (layer[k] for layer in geometries)
        named = zip(batch.names, values[k], strict=True)
        yield {
            "type": "Feature",
            "id": object_id(batch.sample, batch.segmenter, cell),
            "geometry": geometry,
            **({"nucleusGeometry": nucleus[0]} if any(nucleus) else {}),
            "properties": {
                "objectType": batch.kind,
                "name": str(cell),
                **({"classification": {"name": kind}} if kind is not None else {}),
                "measurements": {name: value for name, value in named if math.isfinite(value)},
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


def _measurements(cells: Cells) -> tuple[list[str], list[np.ndarray]]:
    """Return the names of the measurements, and their values in arrays of a row a cell."""
    columns = [column for column in MEASUREMENTS if column in cells.rows]
    names = [MEASUREMENTS[column] for column in columns]
    measured = [(compartment, "mean") for compartment in cells.compartments] + cells.more_measures
    names += [
        f"{channel}: {COMPARTMENTS[compartment]}: {MEASURES[measure]}"
        for compartment, measure in measured
        for channel in cells.channels
    ]
    shapes = cells.rows[columns].to_numpy(np.float64, na_value=np.nan)
    return names, [shapes, *(cells.means(*of) for of in measured)]
