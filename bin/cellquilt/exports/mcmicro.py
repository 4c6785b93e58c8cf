"""The table in MCMICRO's layout, as scimap, cylinter and spatialdata-io read it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from .. import outputs
from ..cells import cell_table
from ..cells.cell_table import Cells, unique_names

# Column of the file, and what it is in the table of cells, after the compartment's name.
BEFORE = {"CellID": "cell_id"}
AFTER = {
    "X_centroid": "centroid_x_px",
    "Y_centroid": "centroid_y_px",
    "Area": "area_px",
    "MajorAxisLength": "major_axis_px",
    "MinorAxisLength": "minor_axis_px",
    "Eccentricity": "eccentricity",
    "Solidity": "solidity",
    "Extent": "extent",
    "Orientation": "orientation_rad",
}


def write(cells: Cells, folder: Path, _cpus: int = 1) -> Path:
    """Write ``quantification/<sample>--<segmenter>_<compartment>.csv`` and what belongs to it.

    That is ``markers.csv`` and, since spatialdata-io asks for it, ``qc/params.yml``. Readers take
    all between ``CellID`` and ``X_centroid`` for markers. A marker that is called like one of the
    layout's own columns gets a number, as the second of two channels of a name does. The user's
    columns follow the layout's, and then other measures of the cell than the mean, named as MCQuant
    names them. Lengths are in input pixels; a mean that is not finite is empty.

    Parameters
    ----------
    cells : Cells
    folder : Path
        The sample's.

    Returns
    -------
    Path
        The table of cells.
    """
    of, facts = cells.compartment, cells.facts
    columns = {name: cells.rows[column] for name, column in BEFORE.items()}
    own = cell_table.own_columns(facts, cells.path)
    markers, given = marker_names(cells, list(own))
    columns |= zip(markers, _finite(cells.means(of)), strict=True)
    columns |= {name: cells.rows[f"{of}_{column}"] for name, column in AFTER.items()}
    constants = [pa.repeat(cell_table.scalar(value), len(cells.rows)) for value in own.values()]
    columns |= zip(given, constants, strict=True)
    for compartment, measure in cells.more_measures:
        if compartment == of:
            names = [f"{marker}_intensity_{measure}" for marker in markers]
            names = unique_names([*columns, *names])[len(columns) :]
            columns |= zip(names, _finite(cells.means(of, measure)), strict=True)
    path = folder / "quantification" / f"{facts['sample']}--{facts['segmenter']}_{of}.csv"
    _write_csv(path, columns)

    # The table of channels does not say in which cycle of staining each was recorded.
    numbers = np.arange(1, len(markers) + 1)
    named = {"channel_number": numbers, "cycle_number": numbers * 0 + 1, "marker_name": markers}
    _write_csv(folder / "markers.csv", named)
    (folder / "qc").mkdir(exist_ok=True)
    outputs.write_text(folder / "qc" / "params.yml", "workflow:\n  tma: false\n")
    return path


def _finite(values: np.ndarray) -> list[pa.Array]:
    """Return the columns of (cells, channels) values as the table has them, so in few digits."""
    # NaN is written as "nan", and a missing value as nothing
    columns = values.astype(np.float32).T
    return [pa.array(column, mask=~np.isfinite(column)) for column in columns]


def marker_names(cells: Cells, own: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of markers and of the user's columns in the file, all different."""
    layout = [*BEFORE, *AFTER]
    names = unique_names([*layout, *cells.channels, *own])[len(layout) :]
    return names[: len(cells.channels)], names[len(cells.channels) :]


def _write_csv(path: Path, columns: dict) -> None:
    header = io.StringIO()
    # pyarrow quotes all names, this only those that need it
    csv.writer(header, lineterminator="\n").writerow(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with outputs.whole(path) as partial, open(partial, "wb") as file:
        file.write(header.getvalue().encode())
        pa.csv.write_csv(pa.table(columns), file, pa.csv.WriteOptions(include_header=False))
