"""Flags of cells, counted again pixel by pixel, and the limits and patches that they depend on."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from support.steps import quantified, repaired

from cellquilt.cells import cell_table, flags
from cellquilt.errors import DataError
from cellquilt.handoff.step_files import read_patch_flags
from cellquilt.images.label_image import write_label_image
from cellquilt.synthetic.tissue import generate_tissue

LIMITS = {"max_mismatch": 0.3, "min_cell_um2": 50.0, "max_cell_um2": 250.0}
LIMITS |= {"min_nucleus_um2": 20.0, "max_nucleus_um2": 60.0}
MPP = 0.5


def patches_of(shape, n_rows, n_columns, **states) -> pd.DataFrame:
    """Return a grid of patches; the states name the numbers of those that have them."""
    rows, columns = (
        np.linspace(0, n, k + 1).astype(int)
        for n, k in zip(shape, (n_rows, n_columns), strict=True)
    )
    table = pd.DataFrame(
        [
            {"y0": y0, "x0": x0, "height": y1 - y0, "width": x1 - x0}
            for y0, y1 in zip(rows, rows[1:], strict=False)
            for x0, x1 in zip(columns, columns[1:], strict=False)
        ]
    )
    none = {name: table.index < 0 for name in ("out_of_focus", "saturated")}
    return table.assign(**none | {name: table.index.isin(of) for name, of in states.items()})


def measured(folder: Path, cells, nuclei=None, **options) -> pd.DataFrame:
    """QUANTIFY label images in a folder that is made; return the table's rows."""
    folder.mkdir(exist_ok=True)
    slide = folder / "slide.ome.tif"
    tifffile.imwrite(
        slide, np.ones((1, *cells.shape), np.uint8), ome=True, photometric="minisblack"
    )
    if nuclei is None:
        path = folder / "cell.ome.tif"
        write_label_image(path, cells.astype(np.uint32), MPP, "cell")
        return cell_table.read(quantified(folder / "s.parquet", slide, {"cell": path}, **options))
    masks, matches = repaired(folder / "masks", cells, nuclei, MPP)
    if "doubtful" in options:
        name, labels = options.pop("doubtful")
        certified = matches[f"{name}_certified"] & ~matches[f"{name}_label"].isin(labels)
        matches[f"{name}_certified"] = certified
    return cell_table.read(quantified(folder / "s.parquet", slide, masks, matches, MPP, **options))


def flagged(rows: pd.DataFrame, flag: str) -> list[int]:
    """Return the ids of cells that have a flag, as they are in a mask of cells alone."""
    return rows.loc[rows[f"flag_{flag}"], "cell_id"].tolist()


# Ten rows of twelve: cells at each edge and in each corner, and one that only nearly is
HAND = np.array(
    [
        [1, 1, 0, 0, 2, 2, 0, 0, 0, 0, 3, 3],
        [1, 1, 0, 0, 2, 2, 0, 0, 0, 0, 3, 3],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [4, 4, 0, 5, 5, 5, 5, 0, 0, 6, 6, 0],
        [4, 4, 0, 5, 5, 5, 5, 0, 0, 6, 6, 0],
        [0, 0, 0, 5, 5, 5, 5, 0, 0, 0, 0, 0],
        [0, 0, 0, 5, 5, 5, 5, 0, 0, 0, 7, 7],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [8, 0, 0, 0, 9, 9, 9, 0, 0, 10, 10, 0],
        [8, 0, 0, 0, 9, 9, 9, 0, 0, 10, 10, 10],
    ]
)


def test_a_mask_made_by_hand(tmp_path):
    patches = patches_of(HAND.shape, 2, 2, out_of_focus=[0], saturated=[2, 3])
    limits = {"min_cell_um2": 1.0, "max_cell_um2": 1.5}
    rows = measured(tmp_path, HAND, patches=patches, limits=limits)
    assert flagged(rows, "edge") == [1, 2, 3, 4, 7, 8, 9, 10]
    # 4 px are 1 um2, which is neither below the one nor above; 6 px are the other
    assert flagged(rows, "small_cell") == [7, 8]
    assert flagged(rows, "large_cell") == [5]
    # rows 0 to 4 and 5 to 9, columns 0 to 5 and 6 to 11: the centroid of 5 is (4.5, 4.5), whose
    # nearest pixel is taken to be (5, 5)
    assert flagged(rows, "out_of_focus") == [1, 2, 4]
    assert flagged(rows, "saturated") == [5, 7, 8, 9, 10]
    assert flagged(rows, "uncertified") == []
    assert rows.loc[~rows["is_flagged"], "cell_id"].tolist() == [6]
    assert all(rows[name].dtype == "boolean" for name in rows if name in flags.COLUMNS)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Return the masks of a generated tissue, its patches, and the rows of its table."""
    folder = tmp_path_factory.mktemp("tissue")
    made = generate_tissue(320, 410, seed=11, empty_width=60)
    patches = patches_of(made.cell_truth.shape, 3, 4, out_of_focus=[1, 6], saturated=[6, 11])
    options = {"patches": patches, "limits": LIMITS, "doubtful": ("nucleus", [3, 40, 41])}
    nuclei = np.roll(made.nucleus_truth, 3, axis=1)  # so that some lie outside their cells
    rows = measured(folder, made.cell_truth, nuclei, **options)
    return made.cell_truth, nuclei, patches, folder, rows


def test_every_flag_of_a_tissue_by_brute_force(tissue):
    cells, nuclei, patches, folder, rows = tissue
    trimmed = tifffile.imread(folder / "masks/segmentation/mesmer-sample/nucleus.ome.tif")
    edge = np.ones(cells.shape, bool)
    edge[1:-1, 1:-1] = False
    seen = {name: set() for name in flags.COLUMNS}
    for row in rows.itertuples():
        has_cell, is_matched = not pd.isna(row.cell_label), row.status == "matched"
        cell = cells == row.cell_label if has_cell else np.zeros(cells.shape, bool)
        nucleus = nuclei == row.nucleus_label if not has_cell else trimmed == row.cell_id
        nucleus &= is_matched or not has_cell
        y, x = (np.floor(at.mean() + 0.5) for at in np.nonzero(cell if has_cell else nucleus))
        inside = (patches["y0"] <= y) & (y < patches["y0"] + patches["height"])
        inside &= (patches["x0"] <= x) & (x < patches["x0"] + patches["width"])
        (patch,) = patches[inside].to_dict("records")
        areas = {"cell": cell.sum() * MPP**2, "nucleus": nucleus.sum() * MPP**2}
        expected = {
            "flag_edge": bool((edge & (cell | nucleus)).any()),
            "flag_out_of_focus": patch["out_of_focus"],
            "flag_saturated": patch["saturated"],
            "flag_uncertified": str(row.nucleus_label) in ("3", "40", "41"),
            "flag_mismatch": is_matched and row.mismatch > LIMITS["max_mismatch"],
        }
        for name, area in areas.items():
            expected[f"flag_small_{name}"] = 0 < area < LIMITS[f"min_{name}_um2"]
            expected[f"flag_large_{name}"] = area > LIMITS[f"max_{name}_um2"]
        expected["is_flagged"] = any(expected.values())
        for name, value in expected.items():
            assert getattr(row, name) == value, (name, row.cell_label, row.nucleus_label)
            seen[name].add(bool(value))
    assert set(seen) == {name for name in rows if name in flags.COLUMNS} == set(flags.COLUMNS)
    assert {name for name, values in seen.items() if values != {True, False}} == set()


def test_a_flag_without_a_limit_is_not_there(tissue, tmp_path):
    cells, nuclei, *_ = tissue
    rows = measured(tmp_path / "none", cells, nuclei)
    free = ["flag_edge", "flag_out_of_focus", "flag_saturated", "flag_uncertified", "is_flagged"]
    assert [name for name in rows if name in flags.COLUMNS] == free
    assert rows["is_flagged"].equals(rows["flag_edge"])
    rows = measured(tmp_path / "alone", cells, limits=LIMITS)
    limited = ["flag_small_cell", "flag_large_cell"]
    assert [name for name in rows if name in flags.COLUMNS] == [*free[:-1], *limited, "is_flagged"]
    facts = cell_table.read_facts(tmp_path / "alone" / "s.parquet")
    used = {"min_cell_um2": 50, "max_cell_um2": 250}
    assert facts["flag_limits"] == facts["provenance"][-1]["parameters"] == used


def test_ids_and_measurements_are_those_without_flags(tissue, tmp_path):
    cells, nuclei, _, folder, rows = tissue
    plain = measured(tmp_path / "plain", cells, nuclei)
    common = [name for name in plain if name not in (*flags.COLUMNS, "nucleus_certified")]
    pd.testing.assert_frame_equal(rows[common], plain[common])
    for pixels in (410, 410 * 7):
        again = measured(
            tmp_path / str(pixels), cells, nuclei, limits=LIMITS, pixels=pixels, patches=tissue[2]
        )
        same = [name for name in rows if "certified" not in name and name != "is_flagged"]
        pd.testing.assert_frame_equal(again[same], rows[same])


def test_counts_are_of_cells(tissue):
    *_, folder, rows = tissue
    path = folder / "s.parquet"
    facts = cell_table.read_facts(path)
    found = flags.counts(rows, facts, path)
    cells = rows[rows["cell_label"].notna()]
    assert len(cells) < len(rows)
    assert found["n_flagged"] == cells["is_flagged"].sum()
    assert found["flags"] == {flag: cells[f"flag_{flag}"].sum() for flag in flags.FLAGS}
    assert found["flag_limits"] == LIMITS
    json.dumps(found)
    assert flags.counts(rows.drop(columns="is_flagged"), facts, path) == {}
    with pytest.raises(DataError, match="limits of flags are damaged"):
        flags.counts(rows, facts | {"flag_limits": {"halo": 1}}, path)
    with pytest.raises(DataError, match="flag_edge is not all true or false"):
        flags.counts(rows.assign(flag_edge=1), facts, path)


def test_a_users_column_cannot_have_the_name_of_a_flag(tmp_path):
    for name in flags.COLUMNS:
        with pytest.raises(DataError, match=f"column {name} is one of the table of cells"):
            measured(tmp_path, HAND, own={name: 1})


def test_what_is_not_known_is_not_flagged(tmp_path):
    rows = measured(tmp_path, HAND)
    assert rows["cell_certified"].isna().all() and not rows["flag_uncertified"].any()
    assert (
        len(measured(tmp_path, 0 * HAND, limits=LIMITS, patches=patches_of(HAND.shape, 1, 1))) == 0
    )


WRONG = [
    ({"max_mismatch": 1.5}, "--max_mismatch 1.5: must be a number of from 0 to 1."),
    ({"min_cell_um2": -1.0}, "--min_cell_um2 -1: must be a number of at least 0."),
    ({"max_nucleus_um2": float("nan")}, "--max_nucleus_um2 nan: must be a number of at least 0."),
    ({"max_cell_um2": float("inf")}, "--max_cell_um2 inf: must be a number of at least 0."),
    (
        {"min_cell_um2": 50.0, "max_cell_um2": 20.0},
        "--min_cell_um2 50 is above --max_cell_um2 20, so that every cell would be flagged",
    ),
    ({"min_nucleus_um2": 9.5, "max_nucleus_um2": 9.0}, "--min_nucleus_um2 9.5 is above"),
]


@pytest.mark.parametrize(("limits", "said"), WRONG)
def test_limits_that_cannot_be_are_refused(limits, said):
    with pytest.raises(DataError, match=re.escape(said)):
        flags.check_limits(limits)


def test_limits_may_be_at_their_ends():
    flags.check_limits({"max_mismatch": 0, "min_cell_um2": 0, "max_cell_um2": 0})
    flags.check_limits({"max_mismatch": 1, "min_nucleus_um2": 7, "max_nucleus_um2": 7})


@pytest.mark.parametrize("script", ["quantify", "chain"])
def test_scripts_refuse_limits_before_they_read_anything(bin_script, tmp_path, script):
    needed = {
        "quantify": ["--image", "--facts", "--provenance", "--uncertified", "--masks", "--outdir"],
        "chain": ["--networks", "--left"],
    }
    given = [part for option in needed[script] for part in (option, "none")]
    done = bin_script(script, *given, "--max_mismatch", "2", cwd=tmp_path, input="[]")
    assert done.returncode == 65
    assert done.stderr.endswith("ERROR: --max_mismatch 2: must be a number of from 0 to 1.\n")


GRID = "y0,x0,height,width,out_of_focus,saturated\n"
TWO = "0,0,9,9,True,False\n0,9,9,9,False,False\n"


def test_tables_of_patches(tmp_path):
    path = tmp_path / "patches_metadata.csv"
    for text, expected in (
        (GRID + TWO, [[True, False], [False, False]]),
        ("y0,x0,height,width\n0,0,9,9\n0,9,9,9\n", [[False] * 2] * 2),
        (GRID + TWO + "9,0,0,9,True,True\n", [[True, False], [False, False]]),  # has no pixels
        (GRID + "0,0,9,9,True,\n0,9,9,9,,\n", [[True, False], [False, False]]),
        (GRID, []),
    ):
        path.write_text(text)
        assert read_patch_flags(path)[["out_of_focus", "saturated"]].to_numpy().tolist() == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patch_id\n0\n", "has no column height"),
        (GRID + TWO.replace("9,9,True", "9,half,True"), "width is not all whole numbers"),
        (GRID + TWO + "9,9,9,9,True,True\n", "its patches are no grid of rows and columns"),
        (GRID + TWO[: len(TWO) // 2] * 2, "its patches are no grid of rows and columns"),
        (GRID + TWO.replace("False", "perhaps"), "is not all true or false; give"),
        (GRID + TWO.replace("True", "7"), "out_of_focus is not all true or false; give"),
    ],
)
def test_tables_that_are_none_of_patches_are_refused(tmp_path, text, said):
    path = tmp_path / "patches_metadata.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"patches_metadata.csv: .*{said}"):
        read_patch_flags(path)


def test_rows_of_the_file_are_not_null(tissue):
    *_, folder, _ = tissue
    table = pq.read_table(folder / "s.parquet", columns=list(flags.COLUMNS))
    assert all(column.null_count == 0 for column in table.columns)
    assert {str(kind) for kind in table.schema.types} == {"bool"}
