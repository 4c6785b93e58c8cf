"""Measuring cells over all channels, of arrays."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ..cells import cell_table
from ..cells import quantify as step
from ..cells.objects import Objects, check_masks, matched_objects, single_objects
from .arrays import ArraySlide, LabelArray
from .masks import Masks


def quantify(
    image: np.ndarray,
    image_mpp: float,
    masks: Masks | np.ndarray,
    channels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Measure shape and mean intensities of every cell, nucleus and cytoplasm; as QUANTIFY does.

    Parameters
    ----------
    image : (c, h, w) or (h, w) array
        Integers of 8 to 32 bits or floats. Anything with ``shape`` and ``dtype`` that gives arrays
        of windows, such as a memory map; each channel is read once, in strips of rows.
    image_mpp : float
        Pixel size (um).
    masks : Masks, or (h, w) ndarray of integer
        Of `repair`, `segment` or `read_results`; or one label image, whose objects are cells.
    channels : sequence of str, optional
        Their names; by default ``Channel 0`` and so on.

    Returns
    -------
    DataFrame
        A row for each cell, and then for each nucleus without one. Columns, units and missing
        values are those of ``quantification/<sample>.parquet`` of a run, see docs/outputs.md.

    Raises
    ------
    DataError
        If the masks do not have the image's size, the names are not as many as the channels, or
        the image is none that Cellquilt measures.
    """
    slide = ArraySlide(image, image_mpp, channels)
    objects = _objects_of(masks)
    size = {"name": "image", "height": slide.height, "width": slide.width}
    facts = {"sample": "image", "image": size, "image_mpp": image_mpp}
    check_masks(objects, facts)
    with TemporaryDirectory(prefix="cellquilt-") as folder:
        table = Path(folder) / "cells.parquet"
        step.quantify(slide, objects, facts, "front", [], table)
        return cell_table.read(table)


def _objects_of(masks: Masks | np.ndarray) -> Objects:
    if not isinstance(masks, Masks):
        return single_objects("cell", LabelArray(masks, "masks"), None)
    if masks.matches is None:
        name = "nucleus" if masks.cell is None else "cell"
        labels = LabelArray(getattr(masks, name), name)
        return single_objects(name, labels, masks.uncertified)
    names = ("cell_original", "nucleus", "nucleus_original")
    arrays = {name: LabelArray(getattr(masks, name), name) for name in names}
    return matched_objects(masks.matches, arrays)
