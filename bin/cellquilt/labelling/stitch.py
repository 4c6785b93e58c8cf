"""From the cells of every patch to whole-slide label images.

Each cell belongs to one patch, whose core its marker lies in, so nothing has to be merged: cells
are numbered in raster order of their markers and painted where they lie, from the top of the
slide down.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from ..cli import Progress
from ..compartments import PLURALS
from ..errors import SlideError
from ..handoff import stores
from ..images.strips import Scratch, strip_rows
from ..tiling.pixel_grid import Grid
from ..tiling.regions import Regions


@dataclass(frozen=True)
class Stitched:
    """One compartment of a slide.

    Attributes
    ----------
    labels : Scratch of uint32
        (height, width) on the input's grid.
    n_labels : int
        How many cells it shows.
    cells : DataFrame
        One row a cell, by label: ``label``, ``y_px`` and ``x_px`` (its marker on the input's
        grid), ``patch_id`` and ``certified``; with regions also ``roi``, the region of its
        marker, empty for none.
    unseen : (m, 2) ndarray of int64
        Pixels of the input's grid, rows and columns, that cells of patches which are not labelled
        have, or may have; see `certificate.Cells`.
    n_disputed_px : int
        Model pixels that two patches' cells both claimed; 0 where the halo was wide enough.
        They stay with the patch whose labels begin higher up, or with the first of a row.
    """

    labels: Scratch
    n_labels: int
    cells: pd.DataFrame
    unseen: np.ndarray
    n_disputed_px: int


@dataclass(frozen=True)
class _Patch:
    """Where a patch's labels are: in a store, and from which model pixel on."""

    path: Path
    patch_id: int
    y: int
    x: int


def stitch(
    paths: list[Path],
    name: str,
    grid: Grid,
    scratch: Path,
    regions: Regions | None = None,
    inside_only: bool = False,
) -> Stitched:
    """Put the cells of all patches into one label image.

    Parameters
    ----------
    paths : list of Path
        Label stores of a slide, in any order; may be empty.
    name : {'cell', 'nucleus'}
    grid : Grid
        Of the slide.
    scratch : Path
        Folder for the image.
    regions : Regions, optional
        Of the slide.
    inside_only : bool
        Leave out cells whose marker lies in no region.

    Returns
    -------
    Stitched
        Labels are 1 ... n in raster order of the markers, as deepcell numbers them.
    """
    rows, cols = grid.label_rows(), grid.label_cols()
    patches, cells, unseen = _read_cells(paths, name)
    cells["y_px"] = np.minimum(np.searchsorted(rows, cells["y"]), grid.height - 1)
    cells["x_px"] = np.minimum(np.searchsorted(cols, cells["x"]), grid.width - 1)
    if regions is not None:
        cells["roi"] = regions.names_at(cells["y_px"].to_numpy(), cells["x_px"].to_numpy())
    _number(cells, cells["roi"] != "" if inside_only else None)
    numbers = {patch_id: own.to_numpy() for patch_id, own in cells.groupby("patch_id")["label"]}
    painter = _Painter(patches, numbers, name, grid.model_shape[1])
    labels = Scratch(scratch, (grid.height, grid.width), np.uint32)
    seen = np.zeros(len(cells) + 1, bool)
    for top, band in painter.bands():
        first, last = np.searchsorted(rows, (top, top + len(band)))
        for y0, y1 in strip_rows((last - first, grid.width)):
            strip = band[rows[first + y0 : first + y1] - top]
            strip = strip[:, cols] if grid.resized else strip
            starts = np.ones(strip.shape, bool)
            np.not_equal(strip[:, 1:], strip[:, :-1], out=starts[:, 1:])
            seen[strip[starts]] = True
            labels[first + y0 : first + y1] = strip
    kept = ["label", "y_px", "x_px", "patch_id", "certified", *cells.columns.intersection(["roi"])]
    cells = cells.loc[cells["label"] > 0, kept].sort_values("label")
    n_labels = int(np.count_nonzero(seen[1:]))
    unseen = _on_input(unseen, rows, cols)
    return Stitched(labels, n_labels, cells, unseen, painter.n_disputed_px)


def _on_input(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return for model pixels, (m, 2), one of the input's that shows each; without those of none.

    All of the input's that show a model pixel have one label.
    """
    y, x = np.searchsorted(rows, pixels[:, 0]), np.searchsorted(cols, pixels[:, 1])
    there = (y < len(rows)) & (x < len(cols))
    there[there] = (rows[y[there]] == pixels[there, 0]) & (cols[x[there]] == pixels[there, 1])
    return np.column_stack([y, x])[there]


def _number(cells: pd.DataFrame, wanted: pd.Series | None) -> None:
    """Add ``label``: from 1 in raster order of the markers, 0 for those that are not wanted."""
    order = np.lexsort((cells["x"], cells["y"]))
    if wanted is not None:
        order = order[wanted.to_numpy()[order]]
    labels = np.zeros(len(cells), np.uint32)
    labels[order] = np.arange(1, len(order) + 1)
    cells["label"] = labels


def _read_cells(paths: list[Path], name: str) -> tuple[list[_Patch], pd.DataFrame, np.ndarray]:
    """Return the patches from the top down, and the cells of each in the order it numbers them.

    The cells' columns are ``y`` and ``x`` (markers, model pixels), ``patch_id`` and ``certified``.
    The last are the pixels, rows and columns, of the cells that are not there; see `Stitched`.
    """
    patches, parts, unseen = [], [], [np.zeros((0, 2), np.int64)]
    for path in paths:
        with stores.read(path) as store:
            for patch in store.attrs["patches"]:
                patch_id = patch["patch_id"]
                own = store[f"{patch_id}/{name}"]
                y, x = own["origin"][:].tolist()
                patches.append(_Patch(path, patch_id, y, x))
                markers, certified = own["markers"][:], own["certified"][:]
                columns = {"y": markers[:, 0], "x": markers[:, 1], "patch_id": patch_id}
                parts.append(pd.DataFrame(columns | {"certified": certified}))
                unseen.append(own["unseen"][:])
    columns = {"y": "int64", "x": "int64", "patch_id": "int64", "certified": "bool"}
    nothing = pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in columns.items()})
    cells = pd.concat(parts, ignore_index=True) if parts else nothing
    patches.sort(key=lambda patch: (patch.y, patch.patch_id))
    return patches, cells, np.concatenate(unseen)


class _Painter:
    """Paints patches, given from the top down, into a band as wide as the slide that moves down.

    Attributes
    ----------
    n_disputed_px : int
        See `Stitched`; complete when `bands` has ended.
    """

    def __init__(
        self, patches: list[_Patch], numbers: dict[int, np.ndarray], name: str, width: int
    ):
        self.n_disputed_px = 0
        self._patches, self._numbers, self._name, self._width = patches, numbers, name, width

    def bands(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first row and the rows of successive parts of the image, in model pixels.

        What is left out holds no cell.
        """
        progress = Progress(f"stitch: {self._name} patches", len(self._patches))
        top, band = 0, np.zeros((0, self._width), np.uint32)
        for y, row in groupby(self._patches, key=lambda patch: patch.y):
            finished = min(y - top, len(band))
            if finished:
                yield top, band[:finished]
            top, band = y, band[finished:]
            for path, patches in groupby(row, key=lambda patch: patch.path):
                with stores.read(path) as store:
                    for patch in patches:
                        local = store[f"{patch.patch_id}/{self._name}/labels"][:]
                        if len(band) < len(local):
                            more = np.zeros((len(local) - len(band), self._width), band.dtype)
                            band = np.concatenate([band, more])
                        self._paint(band[: len(local)], patch, local)
                        progress.add(pixels=local.size)
        if len(band):
            yield top, band

    def _paint(self, rows: np.ndarray, patch: _Patch, local: np.ndarray) -> None:
        target = rows[:, patch.x : patch.x + local.shape[1]]
        numbers = self._numbers.get(patch.patch_id, np.zeros(0, np.uint32))
        own = np.append(np.uint32(0), numbers)[local]
        taken = target > 0
        disputed = int(np.count_nonzero(own[taken]))
        if disputed:
            self.n_disputed_px += disputed
            own[taken] = 0
        target |= own


def refuse_missing(sample: str, paths: list[Path], table: pd.DataFrame) -> None:
    """Refuse to stitch a slide some of whose patches are not there.

    Parameters
    ----------
    sample : str
    paths : list of Path
        Label stores of the slide.
    table : DataFrame
        Of PATCH.

    Raises
    ------
    SlideError
        If an informative patch is in no store.
    """
    there: set[int] = set()
    for path in paths:
        with stores.read(path) as store:
            there |= {patch["patch_id"] for patch in store.attrs["patches"]}
    expected = set(table.loc[table["is_informative"], "patch_id"])
    if missing := sorted(expected - there):
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise SlideError(
            f"{sample}: the labels of {len(missing)} of {len(expected)} patches did not come"
            f" (patch_id {some}), since a task of SEGMENT or LABEL failed; masks without them would"
            " be partial. Correct what that task says, and run again with -resume."
        )


def blank_proved(paths: list[Path]) -> bool:
    """Return whether LABEL proved that no cell can lie in a constant part of the slide."""
    proved = []
    for path in paths:
        with stores.read(path) as store:
            proved.append(store.attrs["blank_proved"])
    return bool(proved) and all(proved)


def add_counts(table: pd.DataFrame, cells: dict[str, pd.DataFrame], blank: bool) -> pd.DataFrame:
    """Return the table of patches with what was found in each, and whether it is proved.

    Parameters
    ----------
    table : DataFrame
        Of PATCH.
    cells : dict of DataFrame
        Compartment ('cell', 'nucleus') to `Stitched.cells`.
    blank : bool
        Whether constant patches are proved to hold no cell; see `blank_proved`.

    Returns
    -------
    DataFrame
        With ``n_<compartment>`` and ``n_uncertified_<compartment>``, 0 for skipped patches, and
        ``certified``: False where one of the patch's cells is not certified, or where the patch
        was skipped without proof that it has none; of those outside of regions none is needed.
    """
    ids = table["patch_id"]
    asked = table["reason"] != "outside_roi"
    certified = table["is_informative"] | ~asked | (blank & (table["reason"] == "constant"))
    for name, found in cells.items():
        doubtful = found[~found["certified"]]
        for prefix, some in (("n_", found), ("n_uncertified_", doubtful)):
            counts = some["patch_id"].value_counts()
            column = ids.map(counts).fillna(0).astype(int)
            table = table.assign(**{prefix + PLURALS[name]: column})
        certified &= ~ids.isin(doubtful["patch_id"])
    return table.assign(certified=certified)


def uncertified(cells: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the cells that are not certified, by compartment and label; see `Stitched.cells`."""
    parts = [
        found[~found["certified"]].drop(columns="certified").assign(compartment=name)
        for name, found in cells.items()
    ]
    return pd.concat(parts)[["compartment", "label", "y_px", "x_px", "patch_id"]]
