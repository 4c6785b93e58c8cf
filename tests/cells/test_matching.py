"""Cell-nucleus matching against a second implementation of its definition, with pixel sets."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.segmentation import find_boundaries
from support.labels import InMemory
from support.matching import assert_table, brute_force

from cellquilt.cells import matching
from cellquilt.cells.contingency import first_label
from cellquilt.cells.matching import count, match, match_metrics, match_table, paint
from cellquilt.errors import DataError
from cellquilt.handoff.step_files import STATUSES
from cellquilt.images.label_image import masks_folder, write_label_image

MPP = 0.37
SEEDS = range(60)
COMPARTMENTS = ["cell", "nucleus", "cytoplasm", "cell_boundary", "nucleus_boundary"]


def repair(cells, nuclei, rows=None):
    """Return the matched masks, the table and the metrics of the code under test."""
    images = InMemory(cells), InMemory(nuclei)
    matched = match(count(*images, rows))
    masks = np.zeros((2, *cells.shape), np.uint32)
    for where, cell, nucleus in paint(matched, *images, rows):
        masks[0, where], masks[1, where] = cell, nucleus
    return masks[0], masks[1], match_table(matched, MPP), match_metrics(matched)


def random_territories(rng, shape, n, covered):
    """Return n convex territories, many of them touching, with random labels up to 2^32 - 1."""
    points = rng.uniform(0, shape, (n, 2))
    grid = np.indices(shape).reshape(2, -1).T
    distance = np.linalg.norm(grid[:, None] - points, axis=2)
    reach = np.quantile(distance.min(axis=1), covered)
    labels = rng.choice(2**32 - 1, n, replace=False) + 1
    owner = np.where(distance.min(axis=1) <= reach, labels[distance.argmin(axis=1)], 0)
    return owner.reshape(shape).astype(np.uint32)


def conflict(seed):
    """Return masks in which cells compete for nuclei, nuclei for cells, and ties are common."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(60, 121, 2))
    n_cells, n_nuclei = rng.integers(20, 90, 2)
    cells = random_territories(rng, shape, n_cells, rng.uniform(0.4, 1))
    nuclei = random_territories(rng, shape, n_nuclei, rng.uniform(0.3, 0.9))
    for _ in range(40):
        y, x = rng.integers(0, shape)
        height, width = rng.integers(1, 4, 2)
        nuclei[y : y + height, x : x + width] = rng.integers(0, 2**32)
    cells[rng.random(shape) < 0.01] = 0
    return cells, nuclei


@pytest.fixture(scope="module")
def conflicts():
    return {seed: conflict(seed) for seed in SEEDS}


def assert_metrics(metrics, wanted):
    assert metrics.keys() == wanted.keys()
    for name, value in wanted.items():
        assert metrics[name] == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_brute_force(conflicts, seed):
    cells, nuclei = conflicts[seed]
    cell, nucleus, table, metrics = repair(cells, nuclei)
    want_cell, want_nucleus, want_rows, want_metrics = brute_force(cells, nuclei, MPP)
    np.testing.assert_array_equal(cell, want_cell)
    np.testing.assert_array_equal(nucleus, want_nucleus)
    assert_table(table, want_rows)
    assert_metrics(metrics, want_metrics)


def test_random_masks_are_full_of_conflicts(conflicts):
    seen = dict.fromkeys(STATUSES, 0)
    trimmed = 0
    for cells, nuclei in conflicts.values():
        *_, metrics = repair(cells, nuclei)
        trimmed += metrics["n_trimmed"]
        for status, n in metrics["n_by_status"].items():
            seen[status] += n
    assert min(seen.values()) >= 100 and trimmed >= 500, (seen, trimmed)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_strip_height_changes_nothing(conflicts, seed, rows):
    cells, nuclei = conflicts[seed]
    whole, strips = repair(cells, nuclei), repair(cells, nuclei, rows)
    np.testing.assert_array_equal(strips[:2], whole[:2])
    pd.testing.assert_frame_equal(strips[2], whole[2])
    assert strips[3] == whole[3]


@pytest.mark.parametrize("seed", range(10))
def test_labels_without_gaps_give_the_same_masks(conflicts, seed):
    cells, nuclei = conflicts[seed]
    ranks = [
        np.searchsorted(np.unique(np.append(image, 0)), image).astype(np.uint32)
        for image in (cells, nuclei)
    ]
    gaps, contiguous = repair(cells, nuclei), repair(*ranks)
    np.testing.assert_array_equal(contiguous[:2], gaps[:2])
    labels = ["cell_label", "nucleus_label"]
    pd.testing.assert_frame_equal(contiguous[2].drop(columns=labels), gaps[2].drop(columns=labels))
    assert contiguous[3] == gaps[3]


@pytest.mark.parametrize("seed", range(10))
def test_transposed_masks_give_transposed_results(conflicts, seed):
    cells, nuclei = conflicts[seed]
    cell, nucleus, table, metrics = repair(cells, nuclei)
    cell_t, nucleus_t, table_t, metrics_t = repair(cells.T.copy(), nuclei.T.copy())
    np.testing.assert_array_equal(cell_t, cell.T)
    np.testing.assert_array_equal(nucleus_t, nucleus.T)
    pd.testing.assert_series_equal(table_t["nucleus_label"], table["nucleus_label"])
    assert metrics_t == metrics


@pytest.mark.parametrize(
    ("n_cells", "n_nuclei", "fractions"),
    [(0, 0, (None, None, None)), (1, 0, (0.0, 0.0, None)), (0, 1, (0.0, None, 0.0))],
)
def test_empty_compartments(n_cells, n_nuclei, fractions):
    cells, nuclei = np.zeros((2, 20, 30), np.uint32)
    cells[2:8, 2:8] = 7 * n_cells
    nuclei[3:7, 3:7] = 9 * n_nuclei
    cell, nucleus, table, metrics = repair(cells, nuclei)
    assert not cell.any() and not nucleus.any()
    assert len(table) == n_cells + n_nuclei
    assert (metrics["n_cells"], metrics["n_nuclei"], metrics["n_matched"]) == (n_cells, n_nuclei, 0)
    found = [metrics[f"{name}matched_fraction"] for name in ("", "cell_", "nucleus_")]
    assert tuple(found) == fractions
    assert metrics["mean_mismatch"] is None and metrics["mean_retained_fraction"] is None


def test_image_edge_is_no_boundary():
    cells = np.full((6, 6), 5, np.uint32)
    nuclei = np.zeros_like(cells)
    nuclei[0:2, 0:2] = 3
    _, nucleus, table, _ = repair(cells, nuclei)
    np.testing.assert_array_equal(nucleus, (nuclei == 3).astype(np.uint32))
    assert table["trimmed_px"].tolist() == [0]


@pytest.mark.parametrize(("small", "large"), [(8, 9), (9, 8)])
def test_equal_mismatch_goes_to_the_lower_label(small, large):
    cells = np.zeros((12, 12), np.uint32)
    cells[1:11, 1:11] = 4
    nuclei = np.zeros_like(cells)
    nuclei[1:3, 4] = small  # 1 of 2 px inside
    nuclei[9:11, 4:6] = large  # 2 of 4 px inside
    _, _, table, _ = repair(cells, nuclei)
    assert table["nucleus_label"].tolist() == [8, 9]
    assert table["status"].tolist() == ["matched", "extra_nucleus"]
    assert table["mismatch"][0] == 0.5


def test_first_cell_takes_the_nucleus_it_shares():
    cells = np.zeros((9, 20), np.uint32)
    cells[1:8, 1:10], cells[1:8, 10:19] = 2, 1
    nuclei = np.zeros_like(cells)
    nuclei[3:6, 4:13] = 6  # 5 columns inside cell 2, 2 inside cell 1
    cell, nucleus, table, _ = repair(cells, nuclei)
    assert table["status"].tolist() == ["matched", "nucleus_taken"]
    np.testing.assert_array_equal(cell > 0, cells == 1)
    assert table["nucleus_area_px"][0] == (nucleus == 1).sum() == 6


def test_nucleus_on_the_membrane_alone_is_rejected():
    cells = np.zeros((8, 8), np.uint32)
    cells[1:7, 1:7] = 1
    nuclei = np.zeros_like(cells)
    nuclei[0:2, 2:5] = 1
    _, _, table, _ = repair(cells, nuclei)
    assert table["status"].tolist() == ["no_nucleus", "extra_nucleus"]


def test_a_policy_of_another_name_chooses_among_the_same_pairs(conflicts, monkeypatch):
    def largest_cell(candidates, cells, nuclei):
        """Choose one pair, of the largest cell with a candidate."""
        area = cells.area[cells.rows_of(first_label(candidates.keys))]
        return np.sort(np.argsort(area, kind="stable")[-1:])

    monkeypatch.setitem(matching.POLICIES, "largest cell", largest_cell)
    cells, nuclei = conflicts[0]
    counted = count(InMemory(cells), InMemory(nuclei))
    one, default = match(counted, "largest cell"), match(counted)
    assert len(one.pair_cells) == 1 < len(default.pair_cells)
    assert one.candidate_cells.tolist() == default.candidate_cells.tolist()
    (cell,) = one.pair_cells
    areas = dict(zip(one.cells.keys.tolist(), one.cells.area.tolist(), strict=True))
    assert areas[int(cell)] == max(areas[label] for label in one.candidate_cells.tolist())
    table, metrics = match_table(one, MPP), match_metrics(one)
    assert (table["status"] == "matched").sum() == metrics["n_matched"] == 1
    assert table["cell_label"][table["status"] == "matched"].tolist() == [cell]


def test_names_the_policies_that_there_are(conflicts):
    counted = count(*map(InMemory, conflicts[0]))
    with pytest.raises(DataError, match="no policy 'greedy' .*; policies are reference"):
        match(counted, "greedy")


def test_real_pairs_of_cytokit(shared_data):
    folder = shared_data / "cytokit_pair"
    cells = tifffile.imread(folder / "cells.tif").astype(np.uint32)
    nuclei = tifffile.imread(folder / "nuclei.tif").astype(np.uint32)
    cell, _, table, metrics = repair(cells, nuclei)
    pairs = table[table["status"] == "matched"]
    assert len(pairs) == cell.max() == 24
    assert pairs["cell_label"].tolist() == pairs["nucleus_label"].tolist()
    assert metrics["n_by_status"] == {**dict.fromkeys(STATUSES, 0), "matched": 24, "no_nucleus": 4}


@pytest.fixture
def run_script(bin_script, tmp_path):
    def run(cells, nuclei):
        write_label_image(tmp_path / "c.ome.tif", cells, MPP, "cell")
        write_label_image(tmp_path / "n.ome.tif", nuclei, MPP, "nucleus")
        (tmp_path / "sample.json").write_text(json.dumps({"sample": "s1", "image_mpp": MPP}))
        options = ["--cell", "c.ome.tif", "--nucleus", "n.ome.tif", "--facts", "sample.json"]
        return bin_script("repair", *options, "--outdir", "out", "--export_pickle", cwd=tmp_path)

    return run


def test_script_writes_masks_table_metrics_and_pickles(run_script, tmp_path):
    cells, nuclei = conflict(3)
    done = run_script(cells, nuclei)
    assert done.returncode == 0, done.stderr
    want_cell, want_nucleus, want_rows, want_metrics = brute_force(cells, nuclei, MPP)
    want = {
        "cell": want_cell,
        "nucleus": want_nucleus,
        "cytoplasm": np.where(want_nucleus == 0, want_cell, 0),
        "cell_boundary": want_cell * find_boundaries(want_cell, connectivity=1, mode="inner"),
        "nucleus_boundary": want_nucleus
        * find_boundaries(want_nucleus, connectivity=1, mode="inner"),
    }
    masks = masks_folder(tmp_path / "out", "s1", "mesmer")
    assert sorted(p.name for p in masks.iterdir()) == sorted(
        f"{name}.ome.tif" for name in COMPARTMENTS
    )
    for name in COMPARTMENTS:
        found = tifffile.imread(masks / f"{name}.ome.tif")
        np.testing.assert_array_equal(found, want[name], err_msg=name)
    table = pd.read_csv(tmp_path / "out" / "matches.csv")
    assert_table(table.drop(columns=["cell_certified", "nucleus_certified"]), want_rows)
    metrics = json.loads((tmp_path / "out" / "repair_metrics.json").read_text())
    assert metrics.pop("sample") == "s1"
    assert_metrics(metrics, want_metrics)

    [original] = pickle.loads((tmp_path / "out/original_seg_res_batch.pickle").read_bytes())
    [matched] = pickle.loads((tmp_path / "out/matched_seg_res_batch.pickle").read_bytes())
    assert sorted(matched) == sorted(COMPARTMENTS)
    for name in COMPARTMENTS:
        assert type(matched[name]) is np.ndarray and matched[name].dtype == np.uint32
        np.testing.assert_array_equal(matched[name], want[name], err_msg=name)
    assert sorted(original) == sorted(set(COMPARTMENTS) - {"cytoplasm"})
    np.testing.assert_array_equal(original["cell"], cells)
    np.testing.assert_array_equal(
        original["nucleus_boundary"],
        nuclei * find_boundaries(nuclei, connectivity=1, mode="inner"),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["c.ome.tif", "n.ome.tif", "out", "sample.json"]
    ), "scratch is left behind"


def test_script_on_empty_masks(run_script, tmp_path):
    empty = np.zeros((300, 200), np.uint32)
    assert run_script(empty, empty).returncode == 0
    assert len(pd.read_csv(tmp_path / "out" / "matches.csv")) == 0
    for name in COMPARTMENTS:
        found = tifffile.imread(masks_folder(tmp_path / "out", "s1", "mesmer") / f"{name}.ome.tif")
        assert found.shape == empty.shape and not found.any()


def test_script_refuses_masks_of_different_images(run_script):
    done = run_script(np.zeros((30, 20), np.uint32), np.zeros((30, 21), np.uint32))
    assert done.returncode == 65
    assert done.stderr.strip().splitlines()[-1] == (
        "ERROR: c.ome.tif is (30, 20) px and n.ome.tif (30, 21) px; "
        "both must be masks of the same image."
    )
