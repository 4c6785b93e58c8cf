"""What is measured of a channel's pixels besides their mean, and where: see `parse`."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cellquilt_kernels import measures as kernel

from ..compartments import MEASURED
from ..errors import DataError
from ..images.label_rows import LabelRows
from .object_shapes import Runs, for_kernels

MEAN = "mean"  # always measured: reports, flags and AnnData's X are of it
NAMES = kernel.MEASURES
BOUNDARY = "boundary"
BOUNDARY_UM = 1.0
_RANKED = frozenset({"median", "p90"})


@dataclass(frozen=True)
class Asked:
    """What is measured of each channel.

    Attributes
    ----------
    measures : tuple of str
        Of `NAMES`, in that order; the mean is among them.
    boundary : bool
        Whether also of the ring inside the outline of cells.
    """

    measures: tuple[str, ...] = (MEAN,)
    boundary: bool = False

    def compartments(self, segmented: Sequence[str]) -> tuple[str, ...]:
        """Return what is measured where these compartments were segmented."""
        measured = MEASURED if len(segmented) == 2 else tuple(segmented)
        return (*measured, BOUNDARY) if self.boundary and "cell" in segmented else measured

    def stated(self) -> dict:
        """Return what a table or a step says of it: nothing of the mean alone."""
        if self == Asked():
            return {}
        return {"measures": list(self.measures), "boundary_um": self.boundary and BOUNDARY_UM}


ONLY_MEAN = Asked()


def parse(text: str) -> Asked:
    """Return what a comma-separated list asks for, in any order; the mean need not be in it.

    Raises
    ------
    DataError
        If there is no such measure.
    """
    known = (*NAMES, BOUNDARY)
    wanted = {name.strip() for name in text.split(",")}
    for name in sorted(wanted - set(known)):
        near = difflib.get_close_matches(name, known, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise DataError(
            f"--measures {text}: there is no measure {name!r}{meant}; there are {', '.join(known)}."
        )
    measures = tuple(name for name in NAMES if name == MEAN or name in wanted)
    return Asked(measures, BOUNDARY in wanted)


def ring_reach(image_mpp: float) -> np.ndarray:
    """Return which pixels count as near in `ring_rows`.

    Parameters
    ----------
    image_mpp : float
        Pixel size (um).

    Returns
    -------
    (n,) int32
        How many columns to either side, in a pixel's own row and in each next one: those whose
        centres are within `BOUNDARY_UM`, and at least the upper, lower, left and right neighbour.
    """
    radius = max(BOUNDARY_UM / image_mpp, 1.0) + 1e-9
    steps = np.arange(int(radius) + 1, dtype=np.float64)
    return np.floor(np.sqrt(radius**2 - steps**2)).astype(np.int32)


def ring_rows(labels: LabelRows, y0: int, y1: int, reach: np.ndarray) -> np.ndarray:
    """Return rows of the ring: the pixels of objects near which a pixel has another value.

    What lies beyond the image's edge is unknown, and makes no ring.

    Parameters
    ----------
    labels : LabelRows
    y0, y1 : int
    reach : (n,) int32
        From `ring_reach`.

    Returns
    -------
    (y1 - y0, width) uint32
        The object on its ring, 0 elsewhere.
    """
    above = min(y0, len(reach) - 1)
    rows = np.ascontiguousarray(labels.read(y0 - above, y1 + len(reach) - 1))
    found = np.empty((y1 - y0, rows.shape[1]), np.uint32)
    kernel.ring(rows, above, reach, found)
    return found


class Gathered:
    """A channel's measures of objects that have two parts, while its rows come from the top down.

    Memory holds the pixels of those objects that the rows at hand belong to.

    Parameters
    ----------
    first : Runs
        Of the one part, with a description.
    second : Runs or None
        Of the other, likewise; None of objects in one piece.
    asked : Asked

    Attributes
    ----------
    found : (3, len(NAMES), n_objects) ndarray of float32
        `NAMES` of the first part, of the second and of both; NaN of what has no pixels.
    """

    def __init__(self, first: Runs, second: Runs | None, asked: Asked):
        ranked = not _RANKED.isdisjoint(asked.measures)
        areas = first.areas()
        of_second = np.zeros_like(areas) if second is None else second.areas()
        self._pixels = kernel.Gathered(areas, of_second, ranked)
        self._strips = [iter(runs) for runs in (first, second) if runs is not None]
        self.found = np.full((3, len(NAMES), len(areas)), np.nan, np.float32)

    def add(self, rows: np.ndarray, y0: int) -> None:
        """Take the next of the strips that the runs are of, (rows, width), from row `y0` on."""
        rows = for_kernels(rows)
        for part, strips in enumerate(self._strips):
            self._pixels.add(next(strips), bool(part), rows, y0, self.found)
