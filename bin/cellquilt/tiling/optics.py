"""What the microscope made of each patch: whether it is in focus, and whether it is saturated."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import zarr

from .lattice import Lattice
from .patches import Patch, blocks_of
from .pixel_grid import MODEL_MPP

# Limits, and how they were found, are in docs/quality.md.
OUT_OF_FOCUS = 0.46
SATURATED = 0.02
# Rows and columns that are looked at; neighbouring ones say the same.
EVERY = 4
# Structure over all differences below which there is nothing to be in focus
LEAST_STRUCTURE = 0.05


def assess_optics(
    patches: Sequence[Patch],
    lattice: Lattice,
    codes: zarr.Array,
    channels: Sequence[dict[str, np.ndarray]],
    image_mpp: float,
) -> pd.DataFrame:
    """Return focus and saturation of each patch.

    Parameters
    ----------
    patches : list of Patch
    lattice : Lattice
        That of `patches.block_lattice`.
    codes : (2, height, width) array of uint16
        Of the slide; the nuclear channel is read patch by patch.
    channels : list of dict
        What `patches.block_statistics` gives for the nuclear channel and, where there is one, the
        membrane channel.
    image_mpp : float
        Pixel size of the input, um.

    Returns
    -------
    DataFrame
        One row a patch, in order: ``focus``, see there; ``saturated_fraction``, of the pixels
        that are not zero, the larger one of the channels; ``out_of_focus`` and ``saturated``.
    """
    unit = max(image_mpp / MODEL_MPP, 1.0)  # interpolation blurs what is enlarged
    rows = []
    for patch in patches:
        sharp = focus(codes[0, patch.y0 : patch.y1, patch.x0 : patch.x1], unit)
        where = blocks_of(patch, lattice)
        saturated = max(
            blocks["n_saturated"][where].sum() / max(blocks["n_nonzero"][where].sum(), 1)
            for blocks in channels
        )
        rows.append(
            {
                "focus": sharp,
                "saturated_fraction": saturated,
                "out_of_focus": bool(sharp < OUT_OF_FOCUS),
                "saturated": bool(saturated >= SATURATED),
            }
        )
    return pd.DataFrame(rows)


def focus(codes: np.ndarray, unit: float = 1.0) -> float:
    """Return how steeply an image changes over a pixel, against how it does over several.

    With C(k) the autocovariance at a distance of k pixels along rows and columns, it is

        (C(a) - C(b)) / (b - a) / ((C(c) - C(d)) / (d - c))

    with a, b, c, d = 1, 2, 4, 8 units, rounded. Edges make C fall at once, and blur only beyond
    its own width. The numerator is Vollath's F4, which pixel noise does not change, since that is
    in C(0) alone; the denominator takes the contrast, and how much there is to see, out of it.

    Parameters
    ----------
    codes : (height, width) ndarray
        Of the nuclear channel.
    unit : float
        Pixels to one of the input's, where these are larger than the model's; else 1.

    Returns
    -------
    float
        About 0.8 in focus, 0.4 blurred by a gaussian of 1.5 um; NaN without structure.

    References
    ----------
    Vollath, J Microsc 147(3), 279, 1987, https://doi.org/10.1111/j.1365-2818.1987.tb02839.x.
    """
    lags = [round(n * unit) for n in (1, 2, 4, 8)]
    if min(codes.shape) <= lags[-1]:
        return float("nan")
    lines = codes[::EVERY].astype(np.float32), codes[:, ::EVERY].T.astype(np.float32)

    def differences(distance: int) -> float:
        """Return the mean square difference, 2 (C(0) - C(k)) of a stationary image."""
        squares = [(part[:, distance:] - part[:, :-distance]) ** 2 for part in lines]
        return float(np.mean([part.mean(dtype=np.float64) for part in squares]))

    found = [differences(lag) for lag in lags]
    if found[3] - found[2] <= LEAST_STRUCTURE * found[3]:
        return float("nan")
    near, far = ((found[k + 1] - found[k]) / (lags[k + 1] - lags[k]) for k in (0, 2))
    return near / far
