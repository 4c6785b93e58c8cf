"""Distributions of a sample: counts in bins that are the same for all samples, and quantiles."""

import numpy as np
import pandas as pd

from ..compartments import PLURALS
from .measures import DENSITY, OF_OBJECTS, Measure

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def count(values: np.ndarray, measure: Measure) -> dict:
    """Return the distribution of values.

    Parameters
    ----------
    values : (n,) ndarray of float
        Not negative; NaN is left out.
    measure : Measure

    Returns
    -------
    dict
        ``n``; ``width`` of a bin; ``counts`` of the bins from 0 to the last one with any;
        ``n_beyond``, the values above the limit; ``quantiles`` by their share, such as "0.5", empty
        without values.
    """
    values = values[~np.isnan(values)]
    n_bins = round(measure.limit / measure.width)
    counts = np.histogram(values, n_bins, (0, measure.limit))[0]
    quantiles = np.quantile(values, QUANTILES).tolist() if len(values) else []
    return {
        "n": len(values),
        "width": measure.width,
        "counts": np.trim_zeros(counts, "b").tolist(),
        "n_beyond": int((values > measure.limit).sum()),
        "quantiles": dict(zip(map(str, QUANTILES), quantiles, strict=False)),
    }


def distributions(rows: pd.DataFrame, patches: pd.DataFrame, image_mpp: float) -> dict[str, dict]:
    """Return the distributions of a sample by their keys, as far as they apply.

    Parameters
    ----------
    rows : DataFrame
        Of the table of cells: cells and nuclei with and without a partner.
    patches : DataFrame
        patches_metadata.csv, of which the informative ones count.
    image_mpp : float
        Pixel size in um.
    """
    found = {
        measure.key: count(rows[measure.key].to_numpy(np.float64, na_value=np.nan), measure)
        for measure in OF_OBJECTS
        if measure.key in rows
    }
    segmented = patches[patches["is_informative"]]
    mm2 = segmented["height"] * segmented["width"] * image_mpp**2 / 1e6
    found[DENSITY.key] = count((segmented[counted(patches)] / mm2).to_numpy(np.float64), DENSITY)
    return found


def counted(patches: pd.DataFrame) -> str:
    """Return the column of patches_metadata.csv that counts cells or, without cells, nuclei."""
    return next(f"n_{objects}" for objects in PLURALS.values() if f"n_{objects}" in patches)
