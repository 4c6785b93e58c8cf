#!/usr/bin/env python3
"""REPAIR: match cells with nuclei, trim the nuclei and derive cytoplasm and boundaries."""

import pickle
from pathlib import Path

import numpy as np

from cellquilt import outputs
from cellquilt.cells.matching import certified, count, match, match_metrics, match_table, paint
from cellquilt.cli import SWITCH, Progress, log, parser, run
from cellquilt.errors import DataError
from cellquilt.handoff.step_files import read_facts, read_uncertified
from cellquilt.images.label_image import (
    LabelReader,
    boundaries,
    boundary_rows,
    masks_folder,
    write_label_strips,
)
from cellquilt.images.strips import Scratch, strip_rows


def main() -> None:
    """Read the two original masks and write the matched ones, the table and the metrics."""
    arguments = parser(__doc__)
    arguments.add_argument("--cell", type=Path, required=True, help="whole-cell label image")
    arguments.add_argument("--nucleus", type=Path, required=True, help="nuclear label image")
    arguments.add_argument("--facts", type=Path, required=True, help="sample.json of INGEST")
    arguments.add_argument("--uncertified", type=Path, help="uncertified.csv of STITCH")
    arguments.add_argument("--segmenter", default="mesmer", help="which made the maps")
    arguments.add_argument("--outdir", type=Path, required=True, help="folder of the sample")
    arguments.add_argument(
        "--export_pickle",
        **SWITCH,
        help="also write the two pickles; takes both masks into memory",
    )
    args = arguments.parse_args()
    facts = read_facts(args.facts)
    listed = None if args.uncertified is None else read_uncertified(args.uncertified)
    image_mpp = facts["image_mpp"]
    masks = masks_folder(args.outdir, facts["sample"], args.segmenter)
    masks.mkdir(parents=True, exist_ok=True)

    with LabelReader(args.cell) as cells, LabelReader(args.nucleus) as nuclei:
        if cells.shape != nuclei.shape:
            raise DataError(
                f"{args.cell} is {cells.shape} px and {args.nucleus} {nuclei.shape} px; "
                "both must be masks of the same image."
            )
        pixels = cells.shape[0] * cells.shape[1]
        progress = Progress("repair: passes over the slide", 7)
        matching = match(count(cells, nuclei))
        progress.add(pixels=pixels)
        cell, nucleus = (Scratch(Path(), cells.shape, np.uint32) for _ in range(2))
        for rows, cell_strip, nucleus_strip in paint(matching, cells, nuclei):
            cell[rows], nucleus[rows] = cell_strip, nucleus_strip
        progress.add(pixels=pixels)

        strips_of = {
            "cell": lambda y0, y1: cell[y0:y1],
            "nucleus": lambda y0, y1: nucleus[y0:y1],
            "cytoplasm": lambda y0, y1: cytoplasm(cell[y0:y1], nucleus[y0:y1]),
            "cell_boundary": lambda y0, y1: boundary_rows(cell, y0, y1),
            "nucleus_boundary": lambda y0, y1: boundary_rows(nucleus, y0, y1),
        }
        for name, strip in strips_of.items():
            strips = (strip(*rows) for rows in strip_rows(cells.shape))
            write_label_strips(masks / f"{name}.ome.tif", cells.shape, strips, image_mpp, name)
            progress.add(pixels=pixels)
        if args.export_pickle:
            export_pickles(args.outdir, cells, nuclei, cell, nucleus)

    table = match_table(matching, image_mpp)
    for name in ("cell", "nucleus"):
        table[f"{name}_certified"] = certified(table[f"{name}_label"], listed, name)
    outputs.write_csv(args.outdir / "matches.csv", table)
    metrics = match_metrics(matching)
    outputs.write_json(args.outdir / "repair_metrics.json", {"sample": facts["sample"], **metrics})
    log.info(
        "repair: %s: %d cells, %d nuclei, %d matched",
        facts["sample"],
        metrics["n_cells"],
        metrics["n_nuclei"],
        metrics["n_matched"],
    )


def cytoplasm(cell: np.ndarray, nucleus: np.ndarray) -> np.ndarray:
    """Return the cells without their nuclei."""
    return np.where(nucleus == 0, cell, 0)


def export_pickles(
    folder: Path,
    cells: LabelReader,
    nuclei: LabelReader,
    matched_cell: Scratch,
    matched_nucleus: Scratch,
) -> None:
    """Write the masks before and after repair as lists with one dict, the slide as one patch."""
    height = cells.shape[0]
    original = _with_boundaries(cells.read(0, height), nuclei.read(0, height))
    matched = _with_boundaries(matched_cell[:], matched_nucleus[:])
    matched["cytoplasm"] = cytoplasm(matched["cell"], matched["nucleus"])
    for name, masks in (("original", original), ("matched", matched)):
        path = folder / f"{name}_seg_res_batch.pickle"
        with outputs.whole(path) as partial, partial.open("wb") as file:
            pickle.dump([masks], file, protocol=4)


def _with_boundaries(cell: np.ndarray, nucleus: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "cell": cell,
        "nucleus": nucleus,
        "cell_boundary": boundaries(cell),
        "nucleus_boundary": boundaries(nucleus),
    }


if __name__ == "__main__":
    run(main)
