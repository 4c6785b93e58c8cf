"""Match every cell with one nucleus and make the two consistent.

With the interior of a cell being its pixels that are not on its inner boundary,

    mismatch(i, j) = |nucleus j outside the interior of cell i| / |nucleus j|

and the candidates are the pairs of a mismatch below 1. A policy chooses among them, see `POLICIES`.
The nucleus is trimmed to the interior of its cell, the cell stays as it is, and the cytoplasm is
the cell without its nucleus.

All of it follows from one joint histogram of the two label images, so the pixels are needed
only twice, strip by strip: to count, and to paint.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heapify, heappop, heappush

import numpy as np
import pandas as pd
from cellquilt_kernels import counting

from ..errors import DataError
from ..handoff.step_files import STATUSES
from ..images.label_rows import LabelRows
from ..images.strips import strip_rows
from ..parallel import ahead
from .contingency import Contingency, Table, first_label, second_label
from .object_f1 import ratio


@dataclass(frozen=True)
class Matching:
    """Which cell and nucleus belong together; the k-th pair (from 0) is labelled k + 1.

    Attributes
    ----------
    cells, nuclei : Table
        All objects before repair, keyed by label.
    pair_cells, pair_nuclei : (M,) uint64
        Labels before repair of the pairs, ascending in the cell's.
    trimmed : (M, 3) int64
        Number of pixels, sum of rows and sum of columns of each pair's nucleus after trimming.
    candidate_cells : uint64
        Labels of the cells with a nucleus of mismatch below 1, taken or not; ascending.
    touching_nuclei : uint64
        Labels of the nuclei that share a pixel with a cell; ascending.
    """

    cells: Table
    nuclei: Table
    pair_cells: np.ndarray
    pair_nuclei: np.ndarray
    trimmed: np.ndarray
    candidate_cells: np.ndarray
    touching_nuclei: np.ndarray

    @property
    def areas_before(self) -> np.ndarray:
        """Pixels of each pair's nucleus before trimming, int64."""
        return self.nuclei.area[self.nuclei.rows_of(self.pair_nuclei)]

    def cell_statuses(self) -> np.ndarray:
        """Return the status of each cell.

        ``matched``, ``nucleus_taken`` (other cells took all its candidates) or ``no_nucleus``
        (it had none).
        """
        keys = self.cells.keys
        status = np.where(np.isin(keys, self.candidate_cells), "nucleus_taken", "no_nucleus")
        return np.where(np.isin(keys, self.pair_cells), "matched", status)

    def lone_nuclei(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows in `nuclei` of those in no pair, and the status of each.

        ``extra_nucleus`` shares pixels with a cell, ``no_cell`` with none.
        """
        rows = np.flatnonzero(~np.isin(self.nuclei.keys, self.pair_nuclei))
        touching = np.isin(self.nuclei.keys[rows], self.touching_nuclei)
        return rows, np.where(touching, "extra_nucleus", "no_cell")


def count(
    cells: LabelRows, nuclei: LabelRows, rows: int | None = None, cpus: int = 1
) -> Contingency:
    """Return the joint histogram of cells and nuclei.

    Parameters
    ----------
    cells, nuclei : LabelRows
        Label images of the same shape.
    rows : int, optional
        Height of the strips; it does not change the result.
    cpus : int
        With two, a strip is read while the one before is counted.
    """
    contingency = Contingency()
    for y0, cell, nucleus, above, below in ahead(_strips(cells, nuclei, rows), cpus):
        contingency.add(cell, nucleus, y0, above, below)
    return contingency


def reference(candidates: Table, cells: Table, nuclei: Table) -> np.ndarray:
    """Choose as CellSegmentationEvaluator does, on any positive labels.

    Cells choose in ascending order of their labels, each the nucleus of smallest mismatch that is
    not yet taken; the lowest label wins a tie.

    Parameters
    ----------
    candidates : Table
        By pair of a cell and a nucleus, the nucleus's pixels in the cell's interior, at least one.
    cells, nuclei : Table
        By label, all objects before repair.

    Returns
    -------
    (M,) int64
        Rows of `candidates`, ascending. No cell and no nucleus is in two of them.

    References
    ----------
    Chen and Murphy, Mol Biol Cell 34(6), ar50, 2023, https://doi.org/10.1091/mbc.E22-08-0364.
    """
    cell = first_label(candidates.keys)
    nucleus = nuclei.rows_of(second_label(candidates.keys))
    # The smallest mismatch is the largest share of the nucleus inside
    area = np.ascontiguousarray(nuclei.area)
    taken, chosen = np.zeros(len(area), np.uint8), np.empty(len(cell), np.int64)
    n_chosen = counting.choose(cell, nucleus, candidates.sums, area, taken, chosen)
    return chosen[:n_chosen]


# How pairs are chosen, by name; each function takes and returns what `reference` does.
POLICIES: dict[str, Callable[[Table, Table, Table], np.ndarray]] = {"reference": reference}


def match(contingency: Contingency, policy: str = "reference") -> Matching:
    """Return the pairs that a policy chooses from the joint histogram of `count`.

    Parameters
    ----------
    contingency : Contingency
        Of cells and nuclei.
    policy : str
        One of `POLICIES`.

    Raises
    ------
    DataError
        If there is no such policy.
    """
    if policy not in POLICIES:
        raise DataError(
            f"there is no policy {policy!r} to match cells and nuclei by; policies are"
            f" {', '.join(POLICIES)}."
        )
    pairs, candidates = contingency.tables()
    cell, nucleus = first_label(pairs.keys), second_label(pairs.keys)
    cells, nuclei = pairs.by(cell), pairs.by(nucleus)
    chosen = POLICIES[policy](candidates, cells, nuclei)
    candidate_cell = first_label(candidates.keys)
    return Matching(
        cells=cells,
        nuclei=nuclei,
        pair_cells=candidate_cell[chosen],
        pair_nuclei=second_label(candidates.keys[chosen]),
        trimmed=candidates.sums[chosen],
        candidate_cells=_distinct(candidate_cell),
        touching_nuclei=_distinct(np.sort(nucleus[(cell != 0) & (nucleus != 0)])),
    )


def _distinct(labels: np.ndarray) -> np.ndarray:
    """Return the distinct ones of ascending labels above 0; many times faster than np.unique."""
    return labels[np.diff(labels, prepend=np.uint64(0)) != 0]


def within(matching: Matching, inside_cells: np.ndarray, inside_nuclei: np.ndarray) -> Matching:
    """Return the part of a matching that belongs to regions.

    A cell belongs there by itself, and its nucleus goes with it; a nucleus without a cell belongs
    there by itself too.

    Parameters
    ----------
    matching : Matching
        Of all objects.
    inside_cells, inside_nuclei : (n,) uint64
        Labels before repair of the objects whose markers lie in a region.
    """
    kept = np.isin(matching.pair_cells, inside_cells)
    nuclei = matching.nuclei.keys
    lone = np.isin(nuclei, inside_nuclei) & ~np.isin(nuclei, matching.pair_nuclei)
    return replace(
        matching,
        cells=matching.cells.only(np.isin(matching.cells.keys, inside_cells)),
        nuclei=matching.nuclei.only(lone | np.isin(nuclei, matching.pair_nuclei[kept])),
        pair_cells=matching.pair_cells[kept],
        pair_nuclei=matching.pair_nuclei[kept],
        trimmed=matching.trimmed[kept],
    )


def unsure(
    candidates: Table, matching: Matching, cells: np.ndarray, nuclei: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `reference` might choose otherwise if some objects were there that are not.

    Of a cell that overlaps with what is not there, an unknown nucleus may be the choice; such a
    nucleus may be taken. From there on doubt goes to what cells of higher labels may find taken,
    and ends where a cell's choice is free for certain, and all better ones taken for certain.

    Parameters
    ----------
    candidates : Table
        As of `reference`.
    matching : Matching
        Of all objects that are there.
    cells, nuclei : (n,) uint64
        Labels of those that share a pixel with one that is not there.

    Returns
    -------
    cells, nuclei : (m,) uint64
        Labels of the cells whose choice, and of the nuclei whose cell, may be another one.
    """
    cell, nucleus = first_label(candidates.keys), second_label(candidates.keys)
    area = matching.nuclei.area[matching.nuclei.rows_of(nucleus)]
    order = np.argsort(nucleus, kind="stable")
    sorted_nuclei = nucleus[order]
    taken_by = dict(zip(matching.pair_nuclei.tolist(), matching.pair_cells.tolist(), strict=True))

    def ranked(one: int) -> list[int]:
        """Return the candidates of a cell, the best one first."""
        rows = range(*np.searchsorted(cell, np.uint64([one, one + 1])).tolist())
        share = {k: Fraction(int(candidates.area[k]), int(area[k])) for k in rows}
        return nucleus[sorted(rows, key=lambda k: -share[k])].tolist()

    def rivals(one: int) -> list[int]:
        """Return the cells that have a nucleus among their candidates."""
        first, last = np.searchsorted(sorted_nuclei, np.uint64([one, one + 1]))
        return cell[order[first:last]].tolist()

    incomplete, found = set(cells.tolist()), set()
    maybe_taken = set(nuclei.tolist())
    waiting = [*incomplete, *(rival for one in maybe_taken for rival in rivals(one))]
    heapify(waiting)
    while waiting:
        one = heappop(waiting)
        if one in found:
            continue
        is_open, reached = one in incomplete, []
        for candidate in ranked(one):
            if candidate in maybe_taken:
                is_open = True
            elif taken_by.get(candidate, one) >= one:
                reached.append(candidate)
                break  # free for certain
        if is_open:
            found.add(one)
            for candidate in reached:
                maybe_taken.add(candidate)
                for rival in rivals(candidate):
                    if rival > one:
                        heappush(waiting, rival)
    return tuple(np.array(sorted(labels), np.uint64) for labels in (found, maybe_taken))


def paint(
    matching: Matching, cells: LabelRows, nuclei: LabelRows, rows: int | None = None, cpus: int = 1
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield the matched masks strip by strip.

    Yields
    ------
    slice
        The rows of the strip.
    cell, nucleus : (rows, width) uint32
        The matched cells and their trimmed nuclei, with the pairs' new labels.
    """
    cell_order = counting.Index(matching.pair_cells)
    nucleus_order = counting.Index(matching.pair_nuclei)
    for y0, cell_strip, nucleus_strip, above, below in ahead(_strips(cells, nuclei, rows), cpus):
        cell, nucleus = np.empty_like(cell_strip), np.empty_like(cell_strip)
        counting.paint(
            cell_order, nucleus_order, cell_strip, nucleus_strip, above, below, cell, nucleus
        )
        yield slice(y0, y0 + len(cell)), cell, nucleus


def _strips(
    cells: LabelRows, nuclei: LabelRows, rows: int | None
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]]:
    """Yield y0, the strips of cells and nuclei, and the rows of cells next to the strip."""
    height = cells.shape[0]
    for y0, y1 in strip_rows(cells.shape, rows):
        block = np.ascontiguousarray(cells.read(max(y0 - 1, 0), y1 + 1))
        above = block[0] if y0 > 0 else None
        below = block[-1] if y1 < height else None
        first = min(y0, 1)
        nucleus = np.ascontiguousarray(nuclei.read(y0, y1))
        yield y0, block[first : first + y1 - y0], nucleus, above, below


def match_table(matching: Matching, image_mpp: float) -> pd.DataFrame:
    """Return one row for each cell, by label, then one for each nucleus without a cell.

    Areas and centroids are those after repair; an object that is in no pair is described as it
    is in the original mask. Centroids count from the centre of the first pixel. Columns that
    do not apply are missing values.

    Parameters
    ----------
    matching : Matching
        From `match`.
    image_mpp : float
        Pixel size in um.
    """
    lone, lone_status = matching.lone_nuclei()
    n_cells = len(matching.cells.keys)
    paired = matching.cells.rows_of(matching.pair_cells)
    with_cell = np.arange(n_cells)
    with_nucleus = np.concatenate([paired, n_cells + np.arange(len(lone))])

    def column(rows: np.ndarray, *values: np.ndarray) -> np.ndarray:
        full = np.full((n_cells + len(lone), *values[0].shape[1:]), np.nan)
        full[rows] = np.concatenate(values)
        return full

    label = column(paired, np.arange(1, len(paired) + 1))
    cell = column(with_cell, matching.cells.sums)
    nucleus = column(with_nucleus, matching.trimmed, matching.nuclei.sums[lone])
    before = column(with_nucleus, matching.areas_before, matching.nuclei.area[lone])
    trimmed = np.where(np.isnan(label), np.nan, before - nucleus[:, 0])
    return pd.DataFrame(
        {
            "label": _integers(label),
            "cell_label": _integers(column(with_cell, matching.cells.keys)),
            "nucleus_label": _integers(
                column(with_nucleus, matching.pair_nuclei, matching.nuclei.keys[lone])
            ),
            "status": np.concatenate([matching.cell_statuses(), lone_status]),
            "mismatch": (trimmed / before).round(6),
            "trimmed_px": _integers(trimmed),
            "retained_fraction": (1 - trimmed / before).round(6),
            "cell_area_px": _integers(cell[:, 0]),
            "nucleus_area_px": _integers(nucleus[:, 0]),
            "nucleus_area_before_px": _integers(before),
            "cytoplasm_area_px": _integers(cell[:, 0] - nucleus[:, 0]),
            "cell_area_um2": (cell[:, 0] * image_mpp**2).round(4),
            "nucleus_area_um2": (nucleus[:, 0] * image_mpp**2).round(4),
            **_centroids("cell", cell, image_mpp),
            **_centroids("nucleus", nucleus, image_mpp),
        }
    )


def _integers(values: np.ndarray) -> pd.api.extensions.ExtensionArray:
    return pd.array(values, "Float64").astype("Int64")


def _centroids(name: str, sums: np.ndarray, image_mpp: float) -> dict[str, np.ndarray]:
    y, x = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    return {
        f"{name}_centroid_y_px": y.round(4),
        f"{name}_centroid_x_px": x.round(4),
        f"{name}_centroid_y_um": (y * image_mpp).round(4),
        f"{name}_centroid_x_um": (x * image_mpp).round(4),
    }


def certified(labels: pd.Series, uncertified: pd.DataFrame | None, compartment: str) -> pd.Series:
    """Return whether objects are certified; missing where there is none, or nothing is known.

    Parameters
    ----------
    labels : Series of Int64
        Labels before repair.
    uncertified : DataFrame or None
        STITCH's table of what is not certified, with columns ``compartment`` and ``label``.
    compartment : {'cell', 'nucleus'}
    """
    if uncertified is None:
        return pd.Series(pd.NA, labels.index, dtype="boolean")
    doubtful = uncertified["label"][uncertified["compartment"] == compartment]
    return (~labels.isin(doubtful)).astype("boolean").where(labels.notna())


def match_metrics(matching: Matching) -> dict[str, object]:
    """Return the counts and fractions of a matching; None where a fraction is undefined.

    With M pairs, c cells and n nuclei: matched_fraction = M / (c + n - M),
    cell_matched_fraction = M / c, nucleus_matched_fraction = M / n.
    """
    n_cells, n_nuclei = len(matching.cells.keys), len(matching.nuclei.keys)
    n_matched = len(matching.pair_cells)
    before, after = matching.areas_before, matching.trimmed[:, 0]
    statuses = np.concatenate([matching.cell_statuses(), matching.lone_nuclei()[1]])

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if values.size else None

    return {
        "n_cells": n_cells,
        "n_nuclei": n_nuclei,
        "n_matched": n_matched,
        "matched_fraction": ratio(n_matched, n_cells + n_nuclei - n_matched),
        "cell_matched_fraction": ratio(n_matched, n_cells),
        "nucleus_matched_fraction": ratio(n_matched, n_nuclei),
        "mean_mismatch": mean((before - after) / before),
        "mean_retained_fraction": mean(after / before),
        "n_trimmed": int((after < before).sum()),
        "trimmed_px": int((before - after).sum()),
        "n_by_status": {status: int((statuses == status).sum()) for status in STATUSES},
    }
