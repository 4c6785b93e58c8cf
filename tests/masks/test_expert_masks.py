"""An expert's cells of real tissue, and nuclei of them, with what other tools leave in masks."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage as ndi
from support.matching import assert_table, brute_force
from support.steps import write_slide

from cellquilt.handoff.step_files import STATUSES

MPP = 0.37745
SHIFT = 4, -3


def changed(expert: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cells and nuclei: gaps in ids, shifted, missing and torn nuclei, holes, parts."""
    number = expert.astype(np.int64)
    cells = np.where(number % 13 == 0, number + (number > 0), number)  # two neighbours as one cell
    same = ndi.minimum_filter(number, 5) == ndi.maximum_filter(number, 5)
    nuclei = np.where(same & (number % 11 > 0), number, 0)
    moved = np.roll(np.where(number % 5 == 0, nuclei, 0), SHIFT, axis=(0, 1))
    nuclei = np.where(moved > 0, moved, np.where(number % 5 == 0, 0, nuclei))
    y, x = np.indices(number.shape)
    holes = (number % 7 == 0) & (y % 9 < 2) & (x % 9 < 2)
    nuclei[(number % 17 == 0) & (x % 8 < 2)] = 0
    cells[holes] = 0
    return (3 * cells).astype(np.uint16), np.where(nuclei > 0, 70_000 + 11 * nuclei, 0)


@pytest.fixture(scope="module")
def tissue(shared_data) -> tuple[np.ndarray, np.ndarray]:
    """Return (h, w, 2) pixels of a part of the CODEX tile, and the expert's cells."""
    folder, part = shared_data / "codex_tile", (slice(200, 700), slice(300, 900))
    image = tifffile.imread(folder / "codex_tile.ome.tif")[[0, 2]]
    expert = tifffile.imread(folder / "mask_expert1.tif").squeeze()
    return np.moveaxis(image, 0, -1)[part], expert[part]


def test_matches_areas_ids_and_statuses_are_those_of_the_definition(bin_script, tissue, tmp_path):
    image, expert = tissue
    cells, nuclei = changed(expert)
    slide = {"sample": "s", "nuclear": "nuclear", "membrane": "membrane", "compartment": "both"}
    slide["images"] = [str(write_slide(tmp_path / "s.ome.tif", image, MPP))]
    slide["segmenter"] = "masks"
    for name, labels in (("cell", cells), ("nucleus", nuclei.astype(np.int32))):
        slide[f"{name}_mask"] = str(tmp_path / f"{name}.tif")
        tifffile.imwrite(slide[f"{name}_mask"], labels, compression="zlib")
    options = ["--to_table", "--left", "l.txt"]
    done = bin_script("chain", *options, cwd=tmp_path, input=json.dumps([slide]))
    assert done.returncode == 0, done.stderr
    cell, nucleus, rows, metrics = brute_force(cells.astype(np.uint32), nuclei, MPP)
    table = pd.read_csv(tmp_path / "s" / "matches.csv")
    plain = [name for name in table if not name.endswith("_certified")]
    assert_table(table[plain], rows)
    assert all(metrics["n_by_status"][status] > 0 for status in STATUSES)
    masks = tmp_path / "s" / "segmentation" / "masks-s"
    np.testing.assert_array_equal(tifffile.imread(masks / "cell.ome.tif"), cell)
    np.testing.assert_array_equal(tifffile.imread(masks / "nucleus.ome.tif"), nucleus)
