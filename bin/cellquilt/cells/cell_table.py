"""The table of a sample's cells: QUANTIFY writes it, exports and reports read it.

A Parquet file with a row for each cell and, after those, for each nucleus without a cell. What the
rows are of (sample, channels, pixel size, provenance) is in the file's metadata, so that it can
travel alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .. import outputs
from ..compartments import CHOICES, MEASURED, segmented
from ..errors import DataError, reason
from ..handoff.step_files import check_facts, check_labels, check_name, check_sample
from ..images.label_image import LabelReader
from ..images.label_rows import LabelRows, Relabelled
from . import flags
from .markers import N_BARS
from .measures import MEAN, NAMES, Asked

FACTS = b"cellquilt"
MARKERS = b"cellquilt_markers"
_LARGEST = 1e300  # of a number of the markers
# Cells with a nucleus, of these those without flags, or also those without a nucleus; nuclei
# without a cell are in the table alone.
WHICH = ("matched", "unflagged", "all")


def intensity_column(compartment: str, channel: str, measure: str = MEAN) -> str:
    """Return the column of a channel's mean, or another measure, in a compartment."""
    return f"{compartment}_{measure}_{channel}"


def asked_of(facts: dict) -> Asked | None:
    """Return what was measured of each channel, from a table's facts; None if they are damaged."""
    names, boundary = facts.get("measures", [MEAN]), facts.get("boundary_um", False)
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not known or MEAN not in names or not set(names) <= set(NAMES):
        return None
    return Asked(tuple(name for name in NAMES if name in names), bool(boundary))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the channels' names, the second and later ones of a name with a number appended.

    >>> unique_names(["CD4", "CD8", "CD4", "CD4_2"])
    ['CD4', 'CD8', 'CD4_3', 'CD4_2']
    """
    taken, unique = set(names), []
    for name in names:
        number = 2
        new = name
        while new in unique or (new != name and new in taken):
            new, number = f"{name}_{number}", number + 1
        unique.append(new)
    return unique


def write(
    path: Path,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    facts: dict,
    markers: Sequence[dict] = (),
) -> None:
    """Write a table as its rows arrive; it appears under its name when it is complete.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        Successive rows, of the schema.
    schema : pyarrow.Schema
    facts : dict
        What can be written as JSON; see `Cells.facts`.
    markers : sequence of dict
        Of each channel, likewise; see `read_markers`.
    """
    schema = schema.with_metadata({FACTS: json.dumps(facts)})
    with (
        outputs.whole(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=["status"]) as file,
    ):
        for table in tables:
            file.write_table(table.cast(schema))
        # Here and not in the schema, of which the file has a second copy
        file.add_key_value_metadata({MARKERS: json.dumps(markers, separators=(",", ":"))})


def read_facts(path: Path) -> dict:
    """Return what the rows of a table are of, see `Cells.facts`.

    Raises
    ------
    DataError
        If the file is not a table of QUANTIFY's.
    """
    with _parquet(path):
        metadata = pq.read_schema(path).metadata or {}
    if FACTS not in metadata:
        raise DataError(f"{path}: is not a table of cells; give the .parquet that QUANTIFY writes.")
    try:
        facts = json.loads(metadata[FACTS])
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its metadata are damaged; give the one of QUANTIFY.") from error
    known = check_sample(facts, path, "QUANTIFY")
    check_name("segmenter", known, path, "QUANTIFY")
    return known


def read_markers(path: Path) -> list[dict]:
    """Return what a table has of its channels, for the report.

    Returns
    -------
    list of dict
        Of each channel in the slide's order: its unique ``name``; ``saturated``, the fraction of
        its non-zero pixels that have its largest value where that is reached as often as a camera
        does that saturates, else 0; and what `markers.Marker.describe` returns. Empty where
        another program wrote the table.

    Raises
    ------
    DataError
        If they are damaged.
    """
    with _parquet(path):
        metadata = pq.read_metadata(path).metadata or {}
    try:
        markers = json.loads(metadata.get(MARKERS, b"[]"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: its markers are damaged; give the one of QUANTIFY.") from error
    if not isinstance(markers, list) or not all(_is_marker(marker) for marker in markers):
        raise DataError(f"{path}: its markers are damaged; give the one of QUANTIFY.")
    return markers


def _is_marker(value: object) -> bool:
    """Return whether `value` has what `read_markers` says."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    numbers = [value.get(name) for name in ("background", "nuclear_contrast", "membrane_contrast")]
    picture, means = value.get("picture"), value.get("means")
    return (
        _are_numbers([value.get("saturated"), *(n for n in numbers if n is not None)])
        and isinstance(picture, dict)
        and str(picture.get("src")).startswith("data:image/")
        and all(type(picture.get(side)) is int for side in ("height", "width"))
        and (means is None or _is_distribution(means))
    )


def _is_distribution(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    counts, quartiles, cofactor = (value.get(k) for k in ("counts", "quartiles", "cofactor"))
    if not (isinstance(counts, list) and isinstance(quartiles, list) and len(counts) == N_BARS):
        return False
    axis = [value.get("low"), *quartiles, value.get("high")]
    if len(axis) != 5 or not _are_numbers([value.get("n"), *counts, *axis]) or axis != sorted(axis):
        return False
    # So that places on an axis are numbers too
    return cofactor is None or (_are_numbers([cofactor]) and cofactor * 1e6 > axis[-1] - axis[0])


def _are_numbers(values: Iterable[object]) -> bool:
    return all(type(value) in (int, float) and abs(value) < _LARGEST for value in values)


def read_columns(text: str) -> dict[str, str | float | None]:
    """Return the columns that a user has for a sample, from a JSON object of name and value.

    None stands for a number that is not known, and "" for such a text.

    Raises
    ------
    DataError
        If it is none, or a value is neither text nor a number.
    """
    try:
        columns = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"--columns: is no JSON ({reason(error)}).") from error
    if not _are_columns(columns):
        raise DataError("--columns: must be an object with names and, of each, a text or a number.")
    return columns


def own_columns(facts: dict, path: Path) -> dict[str, str | float | None]:
    """Return the user's columns from the facts of the table at `path`, see `read_columns`.

    Raises
    ------
    DataError
        If they are damaged.
    """
    columns = facts.get("columns", {})
    if not _are_columns(columns):
        raise DataError(f"{path}: its columns of the user's are damaged; give the one of QUANTIFY.")
    return columns


def _are_columns(value: object) -> bool:
    """Return whether `value` has a text or a 64-bit number, or None, by name."""
    return isinstance(value, dict) and all(
        part is None
        or isinstance(part, (str, float))
        or (isinstance(part, int) and not isinstance(part, bool) and abs(part) < 1 << 63)
        for part in value.values()
    )


def scalar(value: str | float | None) -> pa.Scalar:
    """Return a value of `read_columns` as a table has it: string, int64 or float64."""
    if isinstance(value, str):
        return pa.scalar(value or None, pa.string())
    return pa.scalar(value, pa.int64() if isinstance(value, int) else pa.float64())


def read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a table's rows, all columns or some; columns that may miss values are nullable."""
    read_facts(path)
    with _parquet(path):
        table = pq.read_table(path, columns=columns)
        # pandas' own metadata, which are not ours, would rename columns
        return table.to_pandas(types_mapper=_NULLABLE.get, ignore_metadata=True)


def _rows(path: Path, facts: dict, both: bool) -> pd.DataFrame:
    """Return a table without its intensities, after checking that it has what exports need."""
    channels = facts.get("channels")
    if facts.get("compartment") not in CHOICES or not _are_channels(channels):
        raise DataError(f"{path}: lacks compartment or channels; give the one of QUANTIFY.")
    asked = asked_of(facts)
    if asked is None:
        raise DataError(f"{path}: its list of measures is damaged; give the one of QUANTIFY.")
    intensities = {
        intensity_column(compartment, channel["column"], measure)
        for compartment in asked.compartments(segmented(facts["compartment"]))
        for measure in asked.measures
        for channel in channels
    }
    schema = pq.read_schema(path)
    names = schema.names
    needed = {"cell_id", *(("status", "cell_label") if both else ())}
    missing = sorted((needed | intensities) - set(names))
    if missing or len(set(names)) < len(names):
        problem = f"has no column {missing[0]:.99}" if missing else "has two columns of one name"
        raise DataError(f"{path}: {problem}; give the .parquet that QUANTIFY writes.")
    for name in sorted(needed - {"status"}):
        # Before pandas has it, whose comparisons of other types raise anything
        if not pa.types.is_integer(schema.field(name).type):
            raise DataError(f"{path}: {name} is not all whole numbers; give the one of QUANTIFY.")
    if both and schema.field("status").type not in (pa.string(), pa.large_string(), pa.null()):
        raise DataError(f"{path}: status is not text; give the one that QUANTIFY writes.")
    rows = read(path, [name for name in names if name not in intensities])
    check_labels(rows, tuple(sorted(needed - {"status"})), path, "QUANTIFY")
    if rows["cell_id"].dropna().duplicated().any():
        raise DataError(f"{path}: a cell_id is there twice; give the one that QUANTIFY writes.")
    if both and rows.loc[rows["cell_id"].notna(), "cell_label"].isna().any():
        raise DataError(f"{path}: a cell has no label; give the one that QUANTIFY writes.")
    if both and rows["status"].isna().any():
        raise DataError(f"{path}: a cell has no status; give the one that QUANTIFY writes.")
    flags.check_columns(rows, path)
    return rows


def _are_channels(value: object) -> bool:
    """Return whether `value` is a list of channels whose columns differ."""
    if not isinstance(value, list) or not all(isinstance(channel, dict) for channel in value):
        return False
    columns = [channel.get("column") for channel in value]
    return all(isinstance(name, str) for name in columns) and len(set(columns)) == len(columns)


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises while `path` is read into `DataError`."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:  # the last of names, and of dates
        raise DataError(f"{path}: cannot be read as Parquet: {reason(error)}") from error


_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


@dataclass(frozen=True)
class Cells:
    """The cells of an export, by ascending id, and their masks.

    Attributes
    ----------
    rows : DataFrame
        Their rows of the table with all columns but the intensities; index from 0. In
        ``cell_id`` (int64, unique, from 1 up) is the pixel value of each in `masks`.
    facts : dict
        ``sample``, ``segmenter``, ``compartment`` (both, whole-cell or nuclear), ``image`` (name,
        height, width, and which plane of the file), ``image_mpp`` (um/px), ``channels`` (of each
        the ``index``, the ``name`` as in the slide, and the unique ``column``), ``columns`` (the
        user's own, each with the value that all rows have), ``flag_limits`` (see `flags.LIMITS`),
        ``provenance`` (a list of steps); and, unless only means were measured, ``measures`` and
        ``boundary_um``, see `asked_of`.
    masks : dict
        ``cell`` and ``nucleus``, as far as they are there: label images whose values are
        ``cell_id``.
    path : Path
        The table.
    order : (n,) int64
        Where in the table the rows are.
    """

    rows: pd.DataFrame
    facts: dict
    masks: Mapping[str, LabelRows]
    path: Path
    order: np.ndarray

    @property
    def compartment(self) -> str:
        """The compartment that stands for a cell: ``cell``, or ``nucleus`` where no cells are."""
        return next(iter(self.masks))

    @property
    def compartments(self) -> tuple[str, ...]:
        """The compartments that were measured, the one that stands for a cell first."""
        return MEASURED if len(self.masks) == 2 else (self.compartment,)

    @property
    def channels(self) -> list[str]:
        """Unique names of the channels, in the slide's order."""
        return [channel["column"] for channel in self.facts["channels"]]

    @property
    def more_measures(self) -> list[tuple[str, str]]:
        """Compartment and measure of what was measured besides the means of `compartments`."""
        asked = asked_of(self.facts) or Asked()
        return [
            (compartment, measure)
            for compartment in asked.compartments(tuple(self.masks))
            for measure in asked.measures
            if measure != MEAN or compartment not in self.compartments
        ]

    def means(self, compartment: str, measure: str = MEAN) -> np.ndarray:
        """Return the mean intensities in a compartment, (cells, channels) float32.

        NaN where a cell has no such compartment, or where a pixel of it is not finite. Likewise of
        another measure.
        """
        columns = [intensity_column(compartment, channel, measure) for channel in self.channels]
        means = np.empty((len(self.rows), len(columns)), np.float32)
        with _parquet(self.path):
            table = pq.read_table(self.path, columns=columns)
            for k, column in enumerate(columns):
                means[:, k] = table[column].take(self.order).cast(pa.float32()).to_numpy()
        return means

    def background(self) -> np.ndarray | None:
        """Return the background of each of `channels`, NaN where there is none; see `read_markers`.

        None where another program wrote the table.
        """
        known = {marker["name"]: marker["background"] for marker in read_markers(self.path)}
        if not set(self.channels) <= set(known):
            return None
        return np.array([known[channel] for channel in self.channels], np.float64)


@contextmanager
def open_cells(table: Path, masks: Mapping[str, Path], which: str = "matched") -> Iterator[Cells]:
    """Open a sample's table and masks for exports.

    Parameters
    ----------
    table : Path
        Parquet file of QUANTIFY.
    masks : dict
        Label images by name: of both compartments ``cell`` and ``nucleus`` and, for all cells,
        ``cell_original``; of one compartment, its mask.
    which : {'matched', 'unflagged', 'all'}
        Of both compartments: cells with a nucleus, of these those without flags, or those without
        a nucleus too. Of one: all objects, or those without flags.

    Yields
    ------
    Cells

    Raises
    ------
    DataError
        If a mask is missing, or is not of this sample, or unflagged cells are wanted of a table
        without flags.
    """
    facts = check_facts(read_facts(table), table, "QUANTIFY", needs_image=True)
    both = facts.get("compartment") == "both"
    rows = _rows(table, facts, both)
    chosen = rows["cell_id"].notna()
    if both and which != "all":
        chosen &= rows["status"] == "matched"
    if which == "unflagged":
        if flags.ANY not in rows:
            raise DataError(f"{table}: has no flags; QUANTIFY it again, or give --cells matched.")
        chosen &= ~rows[flags.ANY]
    order = np.flatnonzero(chosen)
    order = order[np.argsort(rows["cell_id"].to_numpy("int64", na_value=0)[order], kind="stable")]
    rows = rows.iloc[order].reset_index(drop=True).astype({"cell_id": "int64"})

    with ExitStack() as files:

        def mask(name: str) -> LabelRows:
            if name not in masks:
                raise DataError(f"{facts['sample']}: {name}.ome.tif is missing; give it, too.")
            labels = files.enter_context(LabelReader(masks[name]))
            size = facts["image"]["height"], facts["image"]["width"]
            if labels.shape != size:
                raise DataError(
                    f"{masks[name]}: is {labels.shape} px and the image of {facts['sample']} "
                    f"{size} px; give the masks of this sample."
                )
            if which != "unflagged":
                return labels
            kept = rows["cell_id"].to_numpy()
            return Relabelled(labels, kept, kept)

        if not both:
            (compartment,) = segmented(facts["compartment"])
            opened: dict[str, LabelRows] = {compartment: mask(compartment)}
        elif which != "all":
            opened = {"cell": mask("cell"), "nucleus": mask("nucleus")}
        else:
            ids = rows["cell_label"].to_numpy(), rows["cell_id"].to_numpy()
            cells = Relabelled(mask("cell_original"), *ids)
            opened = {"cell": cells, "nucleus": mask("nucleus")}
        yield Cells(rows, facts, opened, table, order)
