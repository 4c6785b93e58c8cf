"""The masks of an image, and what is known of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Masks:
    """The cells of an image as label images: 0 is background, any other value one object.

    Each array is (h, w) uint32 on the image's own pixels, or None where there is no such mask.

    Attributes
    ----------
    cell, nucleus, cytoplasm : ndarray or None
        Matched cells, their nuclei and what is left of the cells: one cell has the same id in all
        three, from 1 without gaps. Where cells or nuclei alone were segmented, all of them.
    cell_original, nucleus_original : ndarray or None
        All cells and nuclei before they were matched.
    matches : DataFrame or None
        A row for each cell and each nucleus without one, as in ``matches.csv`` of a run.
    metrics : dict or None
        Counts and fractions of the matching, as in ``repair_metrics.json`` of a run.
    uncertified : DataFrame or None
        ``compartment`` and ``label`` (before matching) of the objects that are not proved to be
        those of the whole image at once; None where nothing is known of that.
    """

    cell: np.ndarray | None = None
    nucleus: np.ndarray | None = None
    cytoplasm: np.ndarray | None = None
    cell_original: np.ndarray | None = None
    nucleus_original: np.ndarray | None = None
    matches: pd.DataFrame | None = None
    metrics: dict | None = None
    uncertified: pd.DataFrame | None = None
