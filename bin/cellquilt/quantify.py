"""Per-cell measurements over all channels of a slide.

Memory holds a strip of the slide and some hundred bytes a cell, whatever the number of channels and
the slide's size: label images and means wait on disk. Each channel is decoded once.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from . import cell_table
from .cell_table import Relabelled, intensity_column, new_labels, unique_names
from .cli import Progress
from .errors import DataError
from .label_image import LabelReader
from .regions import Runs, pixel_sums
from .repair import certified
from .slide import Slide
from .strips import STRIP_PIXELS, Scratch, strip_rows

log = logging.getLogger("cellquilt")

_BATCH = 1 << 16  # rows that are written at once
_LENGTHS = ("major_axis", "minor_axis")
_NUMBERS = ("eccentricity", "solidity", "extent")


@dataclass(frozen=True)
class Objects:
    """The objects of a slide and where they are.

    Attributes
    ----------
    rows : DataFrame
        What is known of them before they are measured; index from 0. Areas, where they are
        there, are compared with those of the masks.
    labels : dict
        For ``cell`` and ``nucleus``, as far as there are, the rows of a label image whose values
        are the numbers of `rows`, from 1.
    present : dict
        Of the same, which of the rows have one; (n,) bool.
    """

    rows: pd.DataFrame
    labels: Mapping[str, "_Labels"]
    present: Mapping[str, np.ndarray]

    @property
    def compartment(self) -> str:
        """What was segmented: both, whole-cell or nuclear."""
        if len(self.labels) == 2:
            return "both"
        return "whole-cell" if "cell" in self.labels else "nuclear"


class _Labels:
    """The matched nuclei and, where these are not, the original ones that have no cell."""

    def __init__(self, *layers: Relabelled):
        self._layers = layers
        self.shape = layers[0].shape

    def read(self, y0: int, y1: int) -> np.ndarray:
        strip = self._layers[0].read(y0, y1)
        for layer in self._layers[1:]:
            strip = np.where(strip == 0, layer.read(y0, y1), strip)
        return strip


def matched_objects(matches: pd.DataFrame, masks: Mapping[str, LabelReader]) -> Objects:
    """Return a row for each cell and then each nucleus without one, as in REPAIR's table.

    Parameters
    ----------
    matches : DataFrame
        matches.csv.
    masks : dict
        ``cell_original``, ``nucleus`` and ``nucleus_original``.
    """
    numbers = np.arange(1, len(matches) + 1)
    matched = (matches["status"] == "matched").to_numpy()
    cell = matches["cell_label"].notna().to_numpy()
    lone = ~cell

    def layer(mask: str, column: str, chosen: np.ndarray) -> Relabelled:
        labels = matches.loc[chosen, column].to_numpy("int64")
        return Relabelled(masks[mask], new_labels(labels, numbers[chosen]))

    n_matched = int(matched.sum())
    ids = matches["label"].astype("Int64").copy()
    ids[cell & ~matched] = n_matched + 1 + np.arange(int((cell & ~matched).sum()))
    kept = ("cell_label", "nucleus_label", "status", "mismatch", "trimmed_px")
    more = ("retained_fraction", "nucleus_area_before_px", "cell_certified", "nucleus_certified")
    names = ["cell_id", *kept, *more, "cell_area_px", "nucleus_area_px"]
    return Objects(
        matches.assign(cell_id=ids)[names],
        {
            "cell": _Labels(layer("cell_original", "cell_label", cell)),
            "nucleus": _Labels(
                layer("nucleus", "label", matched),
                layer("nucleus_original", "nucleus_label", lone),
            ),
        },
        {"cell": cell, "nucleus": matched | lone},
    )


def single_objects(
    compartment: str, labels: LabelReader, uncertified: pd.DataFrame | None
) -> Objects:
    """Return a row for each object of the only mask, by its label.

    Parameters
    ----------
    compartment : {'cell', 'nucleus'}
    labels : LabelReader
    uncertified : DataFrame or None
        STITCH's table of what is not certified; None if nothing is known of it.
    """
    there = np.zeros(1, bool)
    for y0, y1 in strip_rows(labels.shape):
        strip = labels.read(y0, y1)
        there = np.pad(there, (0, max(int(strip.max(initial=0)) + 1 - len(there), 0)))
        there[strip] = True
    found = np.flatnonzero(there[1:]) + 1
    ids = pd.Series(found, dtype="Int64")
    rows = pd.DataFrame(
        {
            "cell_id": ids,
            f"{compartment}_label": ids,
            f"{compartment}_certified": certified(ids, uncertified, compartment),
        }
    )
    numbered = Relabelled(labels, new_labels(found, np.arange(1, len(found) + 1)))
    return Objects(rows, {compartment: _Labels(numbered)}, {compartment: np.ones(len(found), bool)})


def open_objects(
    files: ExitStack,
    masks: Mapping[str, Path],
    matches: pd.DataFrame | None,
    uncertified: pd.DataFrame | None,
) -> Objects:
    """Return a sample's objects, from what STITCH and REPAIR wrote.

    Parameters
    ----------
    files : ExitStack
        Closes the masks.
    masks : dict
        Label images by name.
    matches : DataFrame or None
        matches.csv, where both compartments were segmented.
    uncertified : DataFrame or None
        uncertified.csv, where one was.

    Raises
    ------
    DataError
        If a mask is missing.
    """
    needed = ("cell_original", "nucleus", "nucleus_original")
    if matches is None:
        needed = tuple(name for name in ("cell", "nucleus") if name in masks)[:1] or ("cell",)
    for name in needed:
        if name not in masks:
            raise DataError(f"{name}.ome.tif is not among the masks; give it, too.")
    opened = {name: files.enter_context(LabelReader(masks[name])) for name in needed}
    if matches is None:
        return single_objects(needed[0], opened[needed[0]], uncertified)
    return matched_objects(matches, opened)


def check_slide(slide: Slide, facts: dict, objects: Objects) -> None:
    """Raise `DataError` if slide or masks are not those of INGEST's facts."""
    image = facts["image"]
    size = image["height"], image["width"]
    if (slide.height, slide.width) != size or [c.name for c in slide.channels] != image["channels"]:
        raise DataError(
            f"{slide.path}: is {slide.height} x {slide.width} px with {len(slide.channels)} "
            f"channels, and sample {facts['sample']} was {size[0]} x {size[1]} px with "
            f"{len(image['channels'])} when it was segmented; give the same image."
        )
    for name, labels in objects.labels.items():
        if labels.shape != size:
            raise DataError(
                f"{facts['sample']}: the {name} mask is {labels.shape} px and the image {size} px;"
                " give the masks of this sample."
            )


def quantify(
    slide: Slide,
    objects: Objects,
    facts: dict,
    table: Path,
    pixels: int = STRIP_PIXELS,
) -> None:
    """Measure the objects and write their table, see `cell_table`.

    Parameters
    ----------
    slide : Slide
        All of its channels are measured.
    objects : Objects
    facts : dict
        Of the slide and the run, see `cell_table.Cells`; ``channels`` is added.
    table : Path
        Parquet file. Scratch files lie beside it.
    pixels : int
        Of a strip, about; it changes nothing.

    Raises
    ------
    DataError
        If pixels cannot be decoded, or the masks are not those that the rows are of.
    """
    names = unique_names([channel.name for channel in slide.channels])
    shape = slide.height, slide.width
    strips = list(strip_rows(shape, pixels=pixels))
    progress = Progress("quantify: channels", 1 + len(names))
    runs = _runs(objects, strips, table.parent)
    measured = _measured(objects, runs, facts["image_mpp"])
    _check_areas(objects, measured, facts["sample"])
    rows = objects.rows.drop(columns=list(measured), errors="ignore").assign(**measured)
    progress.add(pixels=shape[0] * shape[1])

    compartments = cell_table.COMPARTMENTS if len(objects.labels) == 2 else tuple(objects.labels)
    columns = [intensity_column(part, name) for part in compartments for name in names]
    means = _Columns(table.parent, len(columns), len(rows))
    for k, name in enumerate(names):
        sums = _channel_sums(slide, k, strips, runs)
        for compartment in compartments:
            area = rows[f"{compartment}_area_px"].to_numpy("float64", na_value=np.nan)
            mean = sums[compartment] / area
            means.put(columns.index(intensity_column(compartment, name)), mean)
            if odd := np.count_nonzero(~np.isfinite(mean) & ~np.isnan(area)):
                log.warning(
                    "%s: channel %d ('%s') has pixels that are not finite, so %d means over "
                    "the %s are neither",
                    *(slide.path, k, slide.channels[k].name, odd, compartment),
                )
        progress.add(pixels=shape[0] * shape[1])
    channels = [
        {"index": channel.index, "name": channel.name, "column": name}
        for channel, name in zip(slide.channels, names, strict=True)
    ]
    _write(table, rows, columns, means, facts | {"channels": channels})


def _runs(objects: Objects, strips: list[tuple[int, int]], folder: Path) -> dict[str, Runs]:
    """Return the runs of the compartments; those of ``outer`` are of cells without their nuclei."""
    names = [*objects.labels, "outer"] if len(objects.labels) == 2 else [*objects.labels]
    runs = {name: Runs(folder, len(objects.rows)) for name in names}
    for y0, y1 in strips:
        labels = {name: of.read(y0, y1) for name, of in objects.labels.items()}
        if "outer" in runs:
            inside = labels["cell"] == labels["nucleus"]
            labels["outer"] = np.where(inside, 0, labels["cell"])
        for name, strip in labels.items():
            runs[name].append(strip, y0)
    return runs


def _channel_sums(
    slide: Slide, channel: int, strips: list[tuple[int, int]], runs: Mapping[str, Runs]
) -> dict[str, np.ndarray]:
    """Return the sums of a channel over the compartments of each row."""
    pixels = (slide.read(channel, y0, y1) for y0, y1 in strips)
    if "outer" not in runs:
        (name,) = runs
        return {name: pixel_sums([runs[name]], pixels)[0]}
    inner, outer = pixel_sums([runs["nucleus"], runs["outer"]], pixels)
    # Added, not subtracted: a value out of all bounds in the nucleus leaves the cytoplasm alone.
    return {"cell": inner + outer, "nucleus": inner, "cytoplasm": outer}


def _measured(objects: Objects, runs: Mapping[str, Runs], mpp: float) -> dict[str, pd.Series]:
    """Return the columns of areas and shapes."""
    columns: dict[str, np.ndarray] = {}
    for name, there in objects.present.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            shapes = runs[name].shapes()
        shapes = {key: np.where(there, values, np.nan) for key, values in shapes.items()}
        columns |= {f"{name}_area_px": shapes["area"], f"{name}_area_um2": shapes["area"] * mpp**2}
        for axis in "yx":
            columns[f"{name}_centroid_{axis}_px"] = shapes[f"centroid_{axis}"]
            columns[f"{name}_centroid_{axis}_um"] = shapes[f"centroid_{axis}"] * mpp
        for key in _LENGTHS:
            columns[f"{name}_{key}_px"] = shapes[key]
            columns[f"{name}_{key}_um"] = shapes[key] * mpp
        columns |= {f"{name}_{key}": shapes[key] for key in _NUMBERS}
        columns[f"{name}_orientation_rad"] = shapes["orientation"]
    if len(objects.present) == 2:
        paired = objects.present["cell"] & objects.present["nucleus"]
        cell, nucleus = columns["cell_area_px"], columns["nucleus_area_px"]
        columns["cytoplasm_area_px"] = np.where(paired, cell - nucleus, np.nan)
        columns["cytoplasm_area_um2"] = columns["cytoplasm_area_px"] * mpp**2
        columns["nuclear_to_cell_ratio"] = np.where(paired, nucleus / cell, np.nan)
    whole = {name for name in columns if name.endswith("area_px")}
    return {
        name: pd.Series(pd.array(values, "Float64").astype("Int64") if name in whole else values)
        for name, values in columns.items()
    }


def _check_areas(objects: Objects, measured: Mapping[str, pd.Series], sample: str) -> None:
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

    def __init__(self, folder: Path, n_columns: int, n_rows: int):
        self.n_rows, self._batches = n_rows, max(-(-n_rows // _BATCH), 1)
        shape = n_columns * self._batches, min(max(n_rows, 1), _BATCH)
        self._file = Scratch(folder, shape, np.float32)

    def put(self, column: int, values: np.ndarray) -> None:
        padded = np.zeros(self._batches * self._file.shape[1], np.float32)
        padded[: self.n_rows] = values
        rows = slice(column * self._batches, (column + 1) * self._batches)
        self._file[rows] = padded.reshape(self._batches, -1)

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield successive rows, and their values as (columns, rows)."""
        for batch in range(self._batches):
            rows = slice(batch * _BATCH, min((batch + 1) * _BATCH, self.n_rows))
            yield rows, self._file[batch :: self._batches][:, : rows.stop - rows.start]


def _write(
    path: Path, rows: pd.DataFrame, columns: list[str], means: _Columns, facts: dict
) -> None:
    """Write rows and means as they are read back."""
    known = pa.Schema.from_pandas(rows, preserve_index=False).remove_metadata()
    schema = pa.schema([*known, *(pa.field(name, pa.float32()) for name in columns)])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch, values in means:
            table = pa.RecordBatch.from_pandas(rows.iloc[batch], schema=known, preserve_index=False)
            yield pa.RecordBatch.from_arrays(
                [*table.columns, *(pa.array(column, from_pandas=True) for column in values)],
                schema=schema,
            )

    cell_table.write(path, batches(), schema, facts)
