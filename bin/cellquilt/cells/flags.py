"""Flags: cells that an analysis may leave out, which keep their rows and ids.

Each flag is a column of truth values in the table of cells, and ``is_flagged`` says which rows have
any. Some need no parameter; the others are there where their limit is given.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..compartments import PLURALS
from ..errors import DataError
from ..handoff.step_files import PATCH_FLAGS


@dataclass(frozen=True)
class Limit:
    """What a parameter of the pipeline flags.

    Attributes
    ----------
    flag : str
    column : str
        Of the table of cells.
    beyond : callable
        Takes the column's values and the limit, and returns which of them are flagged.
    largest : float
        That the limit may be; the smallest is 0.
    """

    flag: str
    column: str
    beyond: Callable[[np.ndarray, float], np.ndarray]
    largest: float = math.inf


# By parameter; a value that is missing is NaN, which is beyond no limit
LIMITS = {
    "max_mismatch": Limit("mismatch", "mismatch", np.greater, 1.0),
    "min_cell_um2": Limit("small_cell", "cell_area_um2", np.less),
    "max_cell_um2": Limit("large_cell", "cell_area_um2", np.greater),
    "min_nucleus_um2": Limit("small_nucleus", "nucleus_area_um2", np.less),
    "max_nucleus_um2": Limit("large_nucleus", "nucleus_area_um2", np.greater),
}
FLAGS = ("edge", *PATCH_FLAGS, "uncertified", *(limit.flag for limit in LIMITS.values()))
ANY = "is_flagged"


def column_of(flag: str) -> str:
    """Return the column of a flag in the table of cells."""
    return f"flag_{flag}"


COLUMNS = (*map(column_of, FLAGS), ANY)


def check_limits(limits: Mapping[str, float]) -> None:
    """Raise `DataError` if a limit, by parameter, cannot be, or no cell can be within two."""
    for parameter, value in limits.items():
        largest = LIMITS[parameter].largest
        if not (0 <= value <= largest and value < math.inf):
            wanted = "at least 0" if largest == math.inf else f"from 0 to {largest:g}"
            raise DataError(f"--{parameter} {value:g}: must be a number of {wanted}.")
    for name in PLURALS:
        low, high = (limits.get(f"{end}_{name}_um2") for end in ("min", "max"))
        if low is not None and high is not None and low > high:
            raise DataError(
                f"--min_{name}_um2 {low:g} is above --max_{name}_um2 {high:g}, so that every "
                f"{name} would be flagged; correct one of them."
            )


def applying(limits: Mapping[str, float], rows: pd.DataFrame) -> dict[str, float]:
    """Return the limits of columns that are there: of what was segmented."""
    return {name: limits[name] for name in LIMITS if name in limits and LIMITS[name].column in rows}


def add_flags(
    rows: pd.DataFrame,
    at_edge: np.ndarray,
    patches: pd.DataFrame | None,
    limits: Mapping[str, float],
) -> pd.DataFrame:
    """Return the rows of the table of cells with their flags.

    Parameters
    ----------
    rows : DataFrame
        With areas, centroids, mismatch and certificates.
    at_edge : (n,) bool
        Which of them have a pixel in the slide's first or last row or column.
    patches : DataFrame or None
        See `handoff.step_files.read_patch_flags`. A cell belongs to the patch in which the pixel
        nearest to its centroid lies, and a nucleus without a cell to that of its own centroid.
    limits : dict
        From `applying`.

    Returns
    -------
    DataFrame
        With a column of bool for each flag, and ``is_flagged``. What is not known, such as the
        certificate of masks that were made elsewhere, is not flagged.
    """
    found = {"edge": at_edge, **_of_patches(rows, patches), "uncertified": _uncertified(rows)}
    for parameter, value in limits.items():
        limit = LIMITS[parameter]
        values = rows[limit.column].to_numpy("float64", na_value=np.nan)
        found[limit.flag] = limit.beyond(values, value)
    columns = {column_of(flag): values for flag, values in found.items()}
    return rows.assign(**columns, **{ANY: np.logical_or.reduce(list(found.values()))})


def _of_patches(rows: pd.DataFrame, patches: pd.DataFrame | None) -> dict[str, np.ndarray]:
    if patches is None or patches.empty:
        return {name: np.zeros(len(rows), bool) for name in PATCH_FLAGS}
    places = []
    for axis in "yx":
        starts = np.unique(patches[f"{axis}0"])
        patch = np.searchsorted(starts, _pixels(rows, axis), side="right") - 1
        places.append(np.maximum(patch, 0))
    in_order = patches.sort_values(["y0", "x0"])
    grid = patches["y0"].nunique(), patches["x0"].nunique()
    return {name: in_order[name].to_numpy().reshape(grid)[*places] for name in PATCH_FLAGS}


def _pixels(rows: pd.DataFrame, axis: str) -> np.ndarray:
    """Return the row or column of the pixel that is nearest to each centroid."""
    centroids = [
        rows[column].to_numpy("float64", na_value=np.nan)
        for name in PLURALS
        if (column := f"{name}_centroid_{axis}_px") in rows
    ]
    first, last = centroids[0], centroids[-1]
    return np.floor(np.where(np.isnan(first), last, first) + 0.5)


def _uncertified(rows: pd.DataFrame) -> np.ndarray:
    found = np.zeros(len(rows), bool)
    for name in PLURALS:
        if (column := f"{name}_certified") in rows:
            found |= ~rows[column].fillna(True).to_numpy(bool)
    return found


def counts(rows: pd.DataFrame, facts: dict, path: Path) -> dict:
    """Return how many cells have each flag, and the limits that were given.

    Parameters
    ----------
    rows : DataFrame
        Of the table at `path`; nuclei without a cell are not counted.
    facts : dict
        The table's, see `cell_table.Cells`.
    path : Path

    Returns
    -------
    dict
        ``n_flagged`` cells with any flag, ``flags``, the number of cells by flag, and
        ``flag_limits`` by parameter. Nothing of a table that has no flags.

    Raises
    ------
    DataError
        If a flag or a limit is damaged.
    """
    if ANY not in rows:
        return {}
    limits = facts.get("flag_limits", {})
    if not isinstance(limits, dict) or not all(
        name in LIMITS and isinstance(value, int | float) for name, value in limits.items()
    ):
        raise DataError(f"{path}: its limits of flags are damaged; give the one of QUANTIFY.")
    check_columns(rows, path)
    of_cells = rows[rows["cell_id"].notna()]
    by_flag = {flag: column_of(flag) for flag in FLAGS if column_of(flag) in rows}
    return {
        "n_flagged": int(of_cells[ANY].sum()),
        "flags": {flag: int(of_cells[column].sum()) for flag, column in by_flag.items()},
        "flag_limits": limits,
    }


def check_columns(rows: pd.DataFrame, path: Path) -> None:
    """Raise `DataError` if a flag in rows of the table at `path` is no truth value, or missing."""
    for name in COLUMNS:
        if name in rows and (rows[name].dtype != pd.BooleanDtype() or rows[name].isna().any()):
            raise DataError(f"{path}: {name} is not all true or false; give the one of QUANTIFY.")
