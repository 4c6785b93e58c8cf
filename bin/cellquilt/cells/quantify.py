"""Per-cell measurements over all channels of a slide.

Memory holds a strip of the slide and some hundred bytes a cell, whatever the number of channels and
the slide's size: label images and means wait on disk, and shapes follow from sums when rows are
written. Each channel is decoded once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from .. import provenance
from ..cli import Progress
from ..errors import DataError
from ..images.strips import STRIP_PIXELS, Scratch, strip_rows
from ..parallel import ahead, threaded
from ..slides.channel_content import ChannelContent, notices_of_others
from ..slides.notice import Notice
from ..slides.slide import Slide, listed
from . import cell_table, flags
from .cell_table import intensity_column, unique_names
from .markers import Chords, Marker, SampledRows
from .measures import BOUNDARY, MEAN, NAMES, ONLY_MEAN, Asked, Gathered, ring_reach, ring_rows
from .object_shapes import Runs, pixel_sums
from .objects import Objects

_BATCH = 1 << 16  # rows that are written at once
_OF_CHANNEL = 6  # values of a channel in a row above which fewer rows are
# Of INGEST's facts of the image: what it takes to read the same pixels again
_OF_IMAGE = ("name", "height", "width", "z", "t", "scene", "channels_axis", "named_by")
_LENGTHS = ("major_axis", "minor_axis")
_NUMBERS = ("eccentricity", "solidity", "extent")
_PLACES = ("centroid_y_px", "centroid_x_px")


def quantify(
    slide: Slide,
    objects: Objects,
    facts: dict,
    segmenter: str,
    steps: list[dict],
    table: Path,
    pixels: int = STRIP_PIXELS,
    own: Mapping[str, str | float | None] | None = None,
    patches: pd.DataFrame | None = None,
    limits: Mapping[str, float] | None = None,
    cpus: int = 1,
    asked: Asked = ONLY_MEAN,
) -> None:
    """Measure the objects and write their table, see `cell_table`.

    Parameters
    ----------
    slide : Slide
        All of its channels are measured.
    objects : Objects
    facts : dict
        INGEST's, of the slide.
    segmenter : str
        Which made the maps.
    steps : list of dict
        The provenance so far.
    table : Path
        Parquet file. Scratch files lie beside it.
    pixels : int
        Of a strip, about; it changes nothing.
    own : dict, optional
        The user's columns, see `cell_table.read_columns`; all rows get their values.
    patches : DataFrame, optional
        Those of the slide, whose states flag their cells; see `flags.add_flags`.
    limits : dict, optional
        By parameter, beyond which cells are flagged; see `flags.LIMITS`.
    cpus : int
        With two, a strip is read while the one before is measured; it changes nothing.
    asked : Asked
        What is measured of each channel.

    Raises
    ------
    DataError
        If pixels cannot be decoded, the masks are not those that the rows are of, or an own
        column has the name of another.
    """
    names = unique_names([channel.name for channel in slide.channels])
    shape = slide.height, slide.width
    strips = list(strip_rows(shape, pixels=pixels))
    progress = Progress("quantify: channels", 1 + len(names))
    sampled = {name: SampledRows(shape) for name in objects.labels}
    compartments = asked.compartments(tuple(objects.labels))
    asked = Asked(asked.measures, BOUNDARY in compartments)
    reach = ring_reach(facts["image_mpp"]) if asked.boundary else None
    described = asked.measures != (MEAN,)
    runs = _runs(objects, strips, table.parent, sampled, cpus, described, reach)
    chords = Chords({name: rows.pixels() for name, rows in sampled.items()}, facts["image_mpp"])
    threaded(lambda name: runs[name].convex(), objects.present, cpus)
    shapes = _Shapes(objects, runs, facts["image_mpp"])
    base = objects.rows.drop(columns=shapes.names, errors="ignore")
    rows = base.assign(**shapes.known())
    _check_areas(objects, rows, facts["sample"])
    at_edge = np.logical_or.reduce([runs[name].at_edge(shape) for name in objects.present])
    limits = flags.applying(limits or {}, rows)
    flagged = flags.add_flags(rows, at_edge, patches, limits)
    flagged = flagged[[name for name in flags.COLUMNS if name in flagged]]
    areas = {
        name.removesuffix("_area_px"): rows[name].to_numpy("float64", na_value=np.nan)
        for name in rows
        if name.endswith("_area_px")
    }
    if asked.boundary:
        areas[BOUNDARY] = runs[BOUNDARY].areas().astype(np.float64)
    del rows
    progress.add(pixels=shape[0] * shape[1])

    columns = [
        intensity_column(part, name, measure)
        for part in compartments
        for measure in asked.measures
        for name in names
    ]
    own = own or {}
    if clash := sorted(set(own) & {*base, *shapes.names, *columns, *flags.COLUMNS}):
        raise DataError(
            f"{facts['sample']}: column {clash[0]:.99} is one of the table of cells; rename yours."
        )
    of_channel = len(compartments) * len(asked.measures)
    batch = min(_BATCH * _OF_CHANNEL // of_channel, _BATCH)
    values = _Columns(table.parent, len(columns), len(base), batch)
    place = {column: number for number, column in enumerate(columns)}
    contents = [ChannelContent() for _ in names]
    not_finite, markers = [], []
    for k, name in enumerate(names):
        marker = Marker(shape)
        more = _more_measures(runs, asked)
        rows_of = ahead((slide.read(k, y0, y1) for y0, y1 in strips), cpus)
        seen_by = [contents[k], marker, *more.values()]
        sums = _channel_sums(_seen(rows_of, strips, seen_by), runs)
        slide.release(k)
        for compartment, measure, found in _found(more, compartments, asked):
            there = areas[compartment] > 0
            values.put(
                place[intensity_column(compartment, name, measure)], np.where(there, found, np.nan)
            )
        for compartment in sums:
            area = areas[compartment]
            area = np.where(area > 0, area, np.nan)  # a nucleus may fill its cell, at the edges
            mean = sums[compartment] / area
            values.put(place[intensity_column(compartment, name)], mean)
            if odd := np.count_nonzero(~np.isfinite(mean) & ~np.isnan(area)):
                stated = f"{k} ('{slide.channels[k].name:.99}', {odd} means of the {compartment})"
                not_finite.append(stated)
            if compartment == compartments[0]:
                about = marker.describe(chords, mean.astype(np.float32), len(names))
                _, saturated = contents[k].ceiling() or (None, 0.0)
                markers.append({"name": name, "saturated": saturated, **about})
        progress.add(pixels=shape[0] * shape[1])
    channels = [
        {"index": channel.index, "name": channel.name, "column": name}
        for channel, name in zip(slide.channels, names, strict=True)
    ]
    known = {
        "sample": facts["sample"],
        "segmenter": segmenter,
        "compartment": objects.compartment,
        "image": {key: facts["image"][key] for key in _OF_IMAGE if key in facts["image"]},
        "image_mpp": facts["image_mpp"],
        "provenance": [*steps, provenance.of_step("QUANTIFY", **limits, **asked.stated())],
        "channels": channels,
        "notices": [asdict(notice) for notice in _notices(slide, contents, not_finite, facts)],
        "columns": dict(own),
        "flag_limits": limits,
        **asked.stated(),
    }
    _write(table, base, shapes, flagged, own, columns, values, known, markers)


def _runs(
    objects: Objects,
    strips: list[tuple[int, int]],
    folder: Path,
    sampled: Mapping[str, SampledRows],
    cpus: int,
    described: bool,
    reach: np.ndarray | None,
) -> dict[str, Runs]:
    """Return the runs of the compartments; those of ``outer`` are of cells without their nuclei.

    These have no description unless it is wanted. There is a boundary if `reach` is given.
    """
    names = [*objects.labels, "outer"] if len(objects.labels) == 2 else [*objects.labels]
    names += [] if reach is None else [BOUNDARY]
    runs = {name: Runs(folder, len(objects.rows), described or name != "outer") for name in names}

    def labels_of(rows: tuple[int, int]) -> dict[str, np.ndarray]:
        labels = {name: of.read(*rows) for name, of in objects.labels.items()}
        for name, strip in labels.items():
            sampled[name].add(strip, rows[0])
        if "outer" in runs:
            inside = labels["cell"] == labels["nucleus"]
            labels["outer"] = np.where(inside, 0, labels["cell"])
        if reach is not None:
            labels[BOUNDARY] = ring_rows(objects.labels["cell"], *rows, reach)
        return labels

    for (y0, _), labels in zip(strips, ahead(map(labels_of, strips), cpus), strict=True):
        for name, strip in labels.items():
            runs[name].append(strip, y0)
    return runs


def _channel_sums(pixels: Iterator[np.ndarray], runs: Mapping[str, Runs]) -> dict[str, np.ndarray]:
    """Return the sums of a channel, given in strips, over the compartments of each row."""
    if "outer" not in runs:
        name = next(iter(runs))
        return {name: pixel_sums([runs[name]], pixels)[0]}
    inner, outer = pixel_sums([runs["nucleus"], runs["outer"]], pixels)
    # Added, not subtracted: a value out of all bounds in the nucleus leaves the cytoplasm alone.
    return {"cell": inner + outer, "nucleus": inner, "cytoplasm": outer}


def _more_measures(runs: Mapping[str, Runs], asked: Asked) -> dict[str, Gathered]:
    """Return what gathers a channel's pixels for more than the means of the compartments."""
    more = {}
    if asked.measures != (MEAN,):
        first = "nucleus" if "outer" in runs else next(iter(runs))
        more[first] = Gathered(runs[first], runs.get("outer"), asked)
    if BOUNDARY in runs:
        more[BOUNDARY] = Gathered(runs[BOUNDARY], None, asked)
    return more


def _found(
    more: Mapping[str, Gathered], compartments: Sequence[str], asked: Asked
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield compartment, measure and values of what `_more_measures` gathered, but for means."""
    for name, gathered in more.items():
        parts = {name: 0}
        if name == "nucleus" and "cell" in compartments:
            parts = {"nucleus": 0, "cytoplasm": 1, "cell": 2}
        for compartment, part in parts.items():
            for measure in asked.measures:
                if measure != MEAN or compartment == BOUNDARY:
                    yield compartment, measure, gathered.found[part, NAMES.index(measure)]


def _seen(
    pixels: Iterator[np.ndarray],
    strips: list[tuple[int, int]],
    seen_by: Sequence[ChannelContent | Marker | Gathered],
) -> Iterator[np.ndarray]:
    for (y0, _), rows in zip(strips, pixels, strict=True):
        for one in seen_by:
            one.add(rows, y0)
        yield rows


def _notices(
    slide: Slide, contents: Sequence[ChannelContent], not_finite: list[str], facts: dict
) -> Iterator[Notice]:
    """Yield what is to be known of the channels, but for what INGEST said of its own."""
    segmented = [*facts.get("nuclear", []), *facts.get("membrane", [])]
    said = {channel.get("index") for channel in segmented}
    counted = zip(slide.channels, contents, strict=True)
    others = [(channel, content) for channel, content in counted if channel.index not in said]
    yield from notices_of_others(others, facts["image"]["name"])
    if not_finite:
        yield Notice(
            "pixels_not_finite",
            f"{facts['image']['name']}: pixels that are not finite, so that means are missing or"
            f" infinite, in channel {listed(not_finite)}; replace such pixels.",
        )


class _Shapes:
    """The columns of areas and shapes, computed for as many rows at a time as are asked for.

    Attributes
    ----------
    names : list of str
        All of them, in their order in the table.
    """

    def __init__(self, objects: Objects, runs: Mapping[str, Runs], mpp: float):
        self._objects, self._runs, self._mpp = objects, runs, mpp
        self.names = list(self.of(slice(0, 0)))

    def known(self) -> dict[str, pd.api.extensions.ExtensionArray | np.ndarray]:
        """Return those columns of all rows that flags and means depend on: areas and places."""
        names = [name for name in self.names if "_area_" in name or name.endswith(_PLACES)]
        parts = [self.of(rows) for rows in _batches(len(self._objects.rows), _BATCH)]
        columns = {name: [pd.Series(part[name]) for part in parts] for name in names}
        return {name: pd.concat(of, ignore_index=True).array for name, of in columns.items()}

    def of(self, rows: slice) -> dict[str, pd.api.extensions.ExtensionArray | np.ndarray]:
        """Return the columns for some rows."""
        columns: dict[str, np.ndarray] = {}
        mpp, present = self._mpp, {k: there[rows] for k, there in self._objects.present.items()}
        for name, there in present.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                shapes = self._runs[name].shapes(rows)
            shapes = {key: np.where(there, values, np.nan) for key, values in shapes.items()}
            area = shapes["area"]
            columns |= {f"{name}_area_px": area, f"{name}_area_um2": area * mpp**2}
            for axis in "yx":
                columns[f"{name}_centroid_{axis}_px"] = shapes[f"centroid_{axis}"]
                columns[f"{name}_centroid_{axis}_um"] = shapes[f"centroid_{axis}"] * mpp
            for key in _LENGTHS:
                columns[f"{name}_{key}_px"] = shapes[key]
                columns[f"{name}_{key}_um"] = shapes[key] * mpp
            columns |= {f"{name}_{key}": shapes[key] for key in _NUMBERS}
            columns[f"{name}_orientation_rad"] = shapes["orientation"]
        if len(present) == 2:
            paired = present["cell"] & present["nucleus"]
            cell, nucleus = columns["cell_area_px"], columns["nucleus_area_px"]
            columns["cytoplasm_area_px"] = np.where(paired, cell - nucleus, np.nan)
            columns["cytoplasm_area_um2"] = columns["cytoplasm_area_px"] * mpp**2
            columns["nuclear_to_cell_ratio"] = np.where(paired, nucleus / cell, np.nan)
        whole = {name for name in columns if name.endswith("area_px")}
        return {
            name: pd.array(values, "Float64").astype("Int64") if name in whole else values
            for name, values in columns.items()
        }


def _check_areas(objects: Objects, measured: pd.DataFrame, sample: str) -> None:
    """Raise `DataError` where the masks do not have the objects of the rows."""
    for name, there in objects.present.items():
        column = f"{name}_area_px"
        found = measured[column].to_numpy("float64", na_value=np.nan)
        expected = objects.rows[column].to_numpy("float64") if column in objects.rows else found
        wrong = there & ((found != expected) | (found == 0))
        if wrong.any():
            row = objects.rows.iloc[int(wrong.argmax())]
            raise DataError(
                f"{sample}: {name} {row[f'{name}_label']} has {found[wrong][0]:.0f} px in the mask "
                f"and {expected[wrong][0]:.0f} in the table of matches; give the masks and "
                "matches.csv of one run of REPAIR."
            )


class _Columns:
    """Columns of float32 on disk, written one by one and read in batches of rows."""

    def __init__(self, folder: Path, n_columns: int, n_rows: int, batch: int):
        self.n_rows, self._batch = n_rows, batch
        self._batches = len(_batches(n_rows, batch))
        shape = n_columns * self._batches, min(max(n_rows, 1), batch)
        self._file = Scratch(folder, shape, np.float32)

    def put(self, column: int, values: np.ndarray) -> None:
        padded = np.zeros(self._batches * self._file.shape[1], np.float32)
        padded[: self.n_rows] = values
        rows = slice(column * self._batches, (column + 1) * self._batches)
        self._file[rows] = padded.reshape(self._batches, -1)

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield successive rows, and their values as (columns, rows)."""
        for batch, rows in enumerate(_batches(self.n_rows, self._batch)):
            yield rows, self._file[batch :: self._batches][:, : rows.stop - rows.start]


def _batches(n_rows: int, batch: int) -> list[slice]:
    """Return the rows of each batch; one without rows where there are none."""
    starts = range(0, max(n_rows, 1), batch)
    return [slice(start, min(start + batch, n_rows)) for start in starts]


def _write(
    path: Path,
    base: pd.DataFrame,
    shapes: _Shapes,
    flagged: pd.DataFrame,
    own: Mapping[str, str | float | None],
    columns: list[str],
    values: _Columns,
    facts: dict,
    markers: list[dict],
) -> None:
    """Write rows with their shapes and flags, the user's columns, and values as they are read."""

    def rows_of(batch: slice) -> pd.DataFrame:
        own_flags = {name: flagged[name].to_numpy()[batch] for name in flagged}
        return base.iloc[batch].assign(**shapes.of(batch), **own_flags)

    # A column of text has its type from all of its rows
    fields = [*pa.Schema.from_pandas(base, preserve_index=False)]
    fields += [*pa.Schema.from_pandas(rows_of(slice(0, 0)), preserve_index=False)][len(fields) :]
    known = pa.schema(fields)
    given = {name: cell_table.scalar(value) for name, value in own.items()}
    more = [pa.field(name, value.type) for name, value in given.items()]
    more += [pa.field(name, pa.float32()) for name in columns]
    schema = pa.schema([*known, *more])

    def tables() -> Iterator[pa.Table]:
        for batch, found in values:
            table = pa.Table.from_pandas(rows_of(batch), schema=known, preserve_index=False)
            constant = [pa.repeat(value, len(table)) for value in given.values()]
            measured = [pa.array(column, from_pandas=True) for column in found]
            yield pa.Table.from_arrays([*table.columns, *constant, *measured], schema=schema)

    cell_table.write(path, tables(), schema, facts, markers)
