"""The objects of a slide as rows of a table, from the masks and matches that were made of it."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..compartments import option_of
from ..errors import DataError
from ..images.label_image import LabelReader
from ..images.label_rows import LabelRows, Overlaid, Relabelled, labels_of
from ..images.strips import strip_rows
from .matching import certified


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
    labels: Mapping[str, LabelRows]
    present: Mapping[str, np.ndarray]

    @property
    def compartment(self) -> str:
        """What was segmented: both, whole-cell or nuclear."""
        return option_of(self.labels)


# A column without values has no type in a CSV file; tables of all samples have the same ones.
_TYPES = {
    **dict.fromkeys(("cell_label", "nucleus_label"), "Int64"),
    **dict.fromkeys(("trimmed_px", "nucleus_area_before_px"), "Int64"),
    **dict.fromkeys(("mismatch", "retained_fraction"), "Float64"),
    **dict.fromkeys(("cell_certified", "nucleus_certified"), "boolean"),
    **dict.fromkeys(("status", "roi"), "string"),
}


def matched_objects(matches: pd.DataFrame, masks: Mapping[str, LabelRows]) -> Objects:
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
        return Relabelled(masks[mask], labels, numbers[chosen])

    n_matched = int(matched.sum())
    ids = matches["label"].astype("Int64").copy()
    ids[cell & ~matched] = n_matched + 1 + np.arange(int((cell & ~matched).sum()))
    kept = ("cell_label", "nucleus_label", "status", "mismatch", "trimmed_px")
    more = ("retained_fraction", "nucleus_area_before_px", "cell_certified", "nucleus_certified")
    names = ["cell_id", *kept, *more, "cell_area_px", "nucleus_area_px"]
    names += matches.columns.intersection(["roi"]).tolist()
    types = {name: kind for name, kind in _TYPES.items() if name in names}
    return Objects(
        matches.assign(cell_id=ids)[names].astype(types),
        {
            "cell": layer("cell_original", "cell_label", cell),
            # A matched nucleus is trimmed; one without a cell is as it was found.
            "nucleus": Overlaid(
                layer("nucleus", "label", matched),
                layer("nucleus_original", "nucleus_label", lone),
            ),
        },
        {"cell": cell, "nucleus": matched | lone},
    )


def single_objects(
    compartment: str,
    labels: LabelRows,
    uncertified: pd.DataFrame | None,
    regions: pd.DataFrame | None = None,
) -> Objects:
    """Return a row for each object of the only mask, by its label.

    Parameters
    ----------
    compartment : {'cell', 'nucleus'}
    labels : LabelRows
    uncertified : DataFrame or None
        STITCH's table of what is not certified; None if nothing is known of it.
    regions : DataFrame, optional
        STITCH's table of the region of each object.
    """
    found = np.zeros(0, np.uint32)
    for y0, y1 in strip_rows(labels.shape):
        found = np.union1d(found, labels_of(labels.read(y0, y1)))
    ids = pd.Series(found, dtype="Int64")
    rows = pd.DataFrame(
        {
            "cell_id": ids,
            f"{compartment}_label": ids,
            f"{compartment}_certified": certified(ids, uncertified, compartment),
        }
    )
    if regions is not None:
        rows["roi"] = ids.map(regions.set_index("label")["roi"]).astype("string")
    numbered = Relabelled(labels, found, np.arange(1, len(found) + 1))
    return Objects(rows, {compartment: numbered}, {compartment: np.ones(len(found), bool)})


def open_objects(
    files: ExitStack,
    masks: Mapping[str, Path],
    matches: pd.DataFrame | None,
    uncertified: pd.DataFrame | None,
    regions: pd.DataFrame | None = None,
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
    regions : DataFrame, optional
        regions.csv, where one was.

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
        return single_objects(needed[0], opened[needed[0]], uncertified, regions)
    return matched_objects(matches, opened)


def check_masks(objects: Objects, facts: dict) -> None:
    """Raise `DataError` if the masks are not of the size in INGEST's facts."""
    size = facts["image"]["height"], facts["image"]["width"]
    for name, labels in objects.labels.items():
        if labels.shape != size:
            raise DataError(
                f"{facts['sample']}: the {name} mask is {labels.shape} px and the image {size} px;"
                " give the masks of this sample."
            )
