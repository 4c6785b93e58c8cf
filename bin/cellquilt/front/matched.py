"""Matching cells with nuclei, of arrays."""

import numpy as np
import pandas as pd

from ..cells.matching import certified, count, match, match_metrics, match_table, paint
from ..compartments import PLURALS
from ..errors import DataError
from .arrays import LabelArray
from .masks import Masks


def repair(
    cell: np.ndarray,
    nucleus: np.ndarray,
    image_mpp: float | None = None,
    uncertified: pd.DataFrame | None = None,
) -> Masks:
    """Match each cell with one nucleus, and trim the nucleus to its cell; as REPAIR does.

    Cells choose in the order of their labels, each the nucleus of which the smallest part lies
    outside of the cell's interior. The cells stay as they are.

    Parameters
    ----------
    cell, nucleus : (h, w) ndarray of integer
        Label images of all cells and all nuclei of one image, from any tool; 0 is background.
        Labels may have gaps.
    image_mpp : float, optional
        Pixel size (um). Without it ``matches`` has no columns in um.
    uncertified : DataFrame, optional
        See `Masks`.

    Returns
    -------
    Masks

    Raises
    ------
    DataError
        If an array is not (h, w) of integers from 0 to 2^32 - 1, or their shapes differ.

    References
    ----------
    Chen and Murphy, Mol Biol Cell 34(6), ar50, 2023, https://doi.org/10.1091/mbc.E22-08-0364.
    """
    cells, nuclei = LabelArray(cell, "cell"), LabelArray(nucleus, "nucleus")
    if cells.shape != nuclei.shape:
        raise DataError(
            f"cell is {cells.shape} px and nucleus {nuclei.shape} px; both must be masks of the"
            " same image."
        )
    matching = match(count(cells, nuclei))
    matched = np.zeros((2, *cells.shape), np.uint32)
    for rows, cell_strip, nucleus_strip in paint(matching, cells, nuclei):
        matched[0, rows], matched[1, rows] = cell_strip, nucleus_strip
    table = match_table(matching, image_mpp or 1.0)
    if image_mpp is None:
        table = table[[name for name in table if not name.endswith(("_um", "_um2"))]]
    known = {name: certified(table[f"{name}_label"], uncertified, name) for name in PLURALS}
    return Masks(
        matched[0],
        matched[1],
        np.where(matched[1] == 0, matched[0], np.uint32(0)),
        cells.labels,
        nuclei.labels,
        table.assign(**{f"{name}_certified": column for name, column in known.items()}),
        match_metrics(matching),
        uncertified,
    )
