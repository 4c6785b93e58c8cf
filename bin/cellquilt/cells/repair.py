"""The masks, the table and the metrics of a sample whose cells and nuclei are matched."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd

from .. import outputs
from ..cli import Progress
from ..compartments import PLURALS
from ..errors import DataError
from ..images.label_image import LabelReader, masks_folder, write_label_strips
from ..images.label_rows import LabelRows, boundaries, boundary_rows
from ..images.strips import Scratch, strip_rows
from ..parallel import threaded
from .matching import (
    Matching,
    certified,
    count,
    match,
    match_metrics,
    match_table,
    paint,
    unsure,
    within,
)

_PASSES = 7  # to count, to paint, and to write each of the five masks


def repair(
    cell: Path,
    nucleus: Path,
    facts: dict,
    uncertified: pd.DataFrame | None,
    segmenter: str,
    outdir: Path,
    export_pickle: bool = False,
    cpus: int = 1,
    regions: pd.DataFrame | None = None,
) -> dict:
    """Match a sample's cells and nuclei; write masks, ``matches.csv`` and ``repair_metrics.json``.

    The masks are ``cell``, ``nucleus``, ``cytoplasm``, ``cell_boundary`` and ``nucleus_boundary``,
    in `cellquilt.images.label_image.masks_folder`. Memory holds a strip of the slide and the
    table; matched cells and nuclei wait in `outdir`, 8 bytes a pixel.

    Parameters
    ----------
    cell, nucleus : Path
        Label images of all that was found.
    facts : dict
        INGEST's, of which ``sample`` and ``image_mpp`` (um) are needed.
    uncertified : DataFrame or None
        STITCH's table of what is not certified; None if nothing is known of it.
    segmenter : str
        Which made the maps; it is in the name of the masks' folder.
    outdir : Path
        Folder of the sample.
    export_pickle : bool
        Also write the masks before and after repair as pickles, which takes them into memory.
    cpus : int
        With two, a strip is read while the one before is worked on. So many masks are written
        at a time.
    regions : DataFrame, optional
        STITCH's table of the region of each object. All objects are matched, and what lies in a
        region is kept; ``roi`` of the table says which. A match that might be another one if all
        of the slide were segmented is not certified.

    Returns
    -------
    dict
        Contents of ``repair_metrics.json``: ``sample`` and those of `match_metrics`.

    Raises
    ------
    DataError
        If a label image cannot be read, or the two are not of one shape.
    """
    masks = masks_folder(outdir, facts["sample"], segmenter)
    masks.mkdir(parents=True, exist_ok=True)
    with LabelReader(cell) as cells, LabelReader(nucleus) as nuclei:
        if cells.shape != nuclei.shape:
            raise DataError(
                f"{cell} is {cells.shape} px and {nucleus} {nuclei.shape} px; "
                "both must be masks of the same image."
            )
        progress = Progress("repair: passes over the slide", _PASSES)
        counted = count(cells, nuclei, cpus=cpus)
        everything = matching = match(counted)
        if regions is not None:
            matching = within(matching, *_labels_of(regions, regions["roi"].notna()))
        progress.add(pixels=cells.shape[0] * cells.shape[1])
        matched = _painted(matching, cells, nuclei, outdir, cpus)
        progress.add(pixels=cells.shape[0] * cells.shape[1])
        _write_masks(masks, *matched, facts["image_mpp"], progress, cpus)
        if export_pickle:
            _write_pickles(outdir, (cells, nuclei), matched)

    table = match_table(matching, facts["image_mpp"])
    for name in PLURALS:
        table[f"{name}_certified"] = certified(table[f"{name}_label"], uncertified, name)
    if regions is not None:
        _, candidates = counted.tables()
        incomplete = _labels_of(regions, ~regions["is_complete"])
        _add_regions(table, regions, unsure(candidates, everything, *incomplete))
    outputs.write_csv(outdir / "matches.csv", table)
    metrics = {"sample": facts["sample"], **match_metrics(matching)}
    outputs.write_json(outdir / "repair_metrics.json", metrics)
    return metrics


def _labels_of(regions: pd.DataFrame, chosen: pd.Series) -> tuple[np.ndarray, ...]:
    """Return the labels of the chosen cells and nuclei, uint64."""
    return tuple(
        regions.loc[chosen & (regions["compartment"] == name), "label"].to_numpy(np.uint64)
        for name in PLURALS
    )


def _add_regions(
    table: pd.DataFrame, regions: pd.DataFrame, doubtful: tuple[np.ndarray, ...]
) -> None:
    """Add ``roi`` to the table of matches; certify no objects whose match is in doubt."""
    roi = pd.Series(pd.NA, table.index, dtype="string")
    for name, labels in zip(PLURALS, doubtful, strict=True):
        own = regions[regions["compartment"] == name].set_index("label")["roi"]
        roi = roi.fillna(table[f"{name}_label"].map(own).astype("string"))
        table[f"{name}_certified"] &= ~table[f"{name}_label"].isin(labels).astype("boolean")
    table["roi"] = roi


def _painted(
    matching: Matching, cells: LabelRows, nuclei: LabelRows, folder: Path, cpus: int
) -> tuple[Scratch, Scratch]:
    """Return the matched cells and their trimmed nuclei, which lie in a folder."""
    cell, nucleus = (Scratch(folder, cells.shape, np.uint32) for _ in range(2))
    for rows, cell_strip, nucleus_strip in paint(matching, cells, nuclei, cpus=cpus):
        cell[rows], nucleus[rows] = cell_strip, nucleus_strip
    return cell, nucleus


def _write_masks(
    folder: Path,
    cell: LabelRows,
    nucleus: LabelRows,
    image_mpp: float,
    progress: Progress,
    cpus: int,
) -> None:
    """Write the matched masks and what follows from them, in a pass each."""
    rows_of = {
        "cell": cell.read,
        "nucleus": nucleus.read,
        "cytoplasm": lambda y0, y1: _cytoplasm(cell.read(y0, y1), nucleus.read(y0, y1)),
        "cell_boundary": lambda y0, y1: boundary_rows(cell, y0, y1),
        "nucleus_boundary": lambda y0, y1: boundary_rows(nucleus, y0, y1),
    }
    threads = max(cpus // len(rows_of), 1)

    def write(name: str) -> None:
        strips = (rows_of[name](y0, y1) for y0, y1 in strip_rows(cell.shape))
        path = folder / f"{name}.ome.tif"
        write_label_strips(path, cell.shape, strips, image_mpp, name, threads)

    for _ in threaded(write, rows_of, cpus):
        progress.add(pixels=cell.shape[0] * cell.shape[1])


def _cytoplasm(cell: np.ndarray, nucleus: np.ndarray) -> np.ndarray:
    """Return the cells without their nuclei."""
    return np.where(nucleus == 0, cell, 0)


def _write_pickles(
    folder: Path, original: tuple[LabelRows, LabelRows], matched: tuple[LabelRows, LabelRows]
) -> None:
    """Write cells and nuclei before and after repair, each as a list with one dict of arrays.

    It is the form of an earlier system, with the slide as its only patch.
    """
    for name, pair in (("original", original), ("matched", matched)):
        cell, nucleus = (labels.read(0, labels.shape[0]) for labels in pair)
        masks = {
            "cell": cell,
            "nucleus": nucleus,
            "cell_boundary": boundaries(cell),
            "nucleus_boundary": boundaries(nucleus),
        }
        if pair is matched:
            masks["cytoplasm"] = _cytoplasm(cell, nucleus)
        with (
            outputs.whole(folder / f"{name}_seg_res_batch.pickle") as partial,
            partial.open("wb") as file,
        ):
            pickle.dump([masks], file, protocol=4)
