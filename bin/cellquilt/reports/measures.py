"""What the report shows distributions of: how each is counted, named and drawn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A quantity that each object or patch of a sample has.

    Attributes
    ----------
    key : str
        Its name in report.json; of what objects have, also its column in the table of cells.
    width, limit : float
        Its values are counted in bins of this width from 0 to the limit, the same for all samples.
    title, unit : str
        What it is called, and what it is in; ``{objects}`` stands for cells or nuclei.
    what : str
        What is counted, in the plural.
    decimals : int
        Of a value that is shown.
    axis_limit : float, optional
        Where its axis ends; None where that follows from the samples.
    fewest : int
        Of fewer values no histogram is drawn.
    """

    key: str
    width: float
    limit: float
    title: str
    unit: str
    what: str
    decimals: int = 0
    axis_limit: float | None = None
    fewest: int = 1


OF_OBJECTS = (
    Measure("cell_area_um2", 5.0, 2000.0, "Cell area", "µm²", "cells"),
    Measure("nucleus_area_um2", 5.0, 2000.0, "Nucleus area", "µm²", "nuclei"),
    Measure(
        "nuclear_to_cell_ratio",
        width=0.02,
        limit=1.0,
        title="Nuclear-to-cell ratio",
        unit="area of nucleus / cell",
        what="matched cells",
        decimals=2,
        axis_limit=1.0,
    ),
    Measure(
        "mismatch",
        width=0.02,
        limit=1.0,
        title="Mismatch",
        unit="share of the nucleus outside its cell",
        what="matched cells",
        decimals=2,
        axis_limit=1.0,
    ),
)
DENSITY = Measure(
    "patch_density_per_mm2",
    width=250.0,
    limit=50_000.0,
    title="Density",
    unit="{objects} per mm² of a patch",
    what="patches",
    fewest=10,
)
# By key, in the order of the report.
MEASURES = {measure.key: measure for measure in (*OF_OBJECTS, DENSITY)}


def has_enough(sample: dict, measure: Measure) -> bool:
    """Return whether a sample has enough values of a measure for a histogram."""
    return sample["distributions"].get(measure.key, {"n": 0})["n"] >= measure.fewest
