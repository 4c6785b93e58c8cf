"""From patches to whole slides: numbering, seams, the input pixel grid, uncertified objects."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from cellquilt.handoff import stores
from cellquilt.images.label_image import masks_folder
from cellquilt.labelling.stitch import add_counts, blank_proved, stitch, uncertified
from cellquilt.tiling.pixel_grid import Grid

SHAPE = (150, 170)  # model pixels
CORE, HALO = 40, 12
NAMES = ["cell", "nucleus"]


def disks(seed):
    """Return disks apart from each other, (150, 170) uint32, in raster order of first pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for label, (cy, cx) in enumerate(rng.uniform(0, SHAPE, (250, 2)), start=1):
        disk = (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(1.5, 6) ** 2
        if disk.any() and not labels[disk].any():
            labels[disk] = label
    ids, first, rank = np.unique(labels, return_index=True, return_inverse=True)
    order = np.zeros(len(ids), np.uint32)
    order[np.argsort(first[ids > 0]) + 1] = np.arange(1, len(ids))
    return order[rank].reshape(SHAPE)


def patches():
    """Yield the patches of the slide and the window of each: core and halo, cut anyhow."""
    rng = np.random.default_rng(3)
    height, width = SHAPE
    for patch_id, (y0, x0) in enumerate(
        (y, x) for y in range(0, height, CORE) for x in range(0, width, CORE)
    ):
        core = {"y0": y0, "y1": min(y0 + CORE, height), "x0": x0, "x1": min(x0 + CORE, width)}
        above, below, left, right = rng.integers(HALO, HALO + 9, 4)
        window = np.s_[
            max(y0 - above, 0) : core["y1"] + below, max(x0 - left, 0) : core["x1"] + right
        ]
        yield {"patch_id": patch_id} | core, window


def write_stores(folder, slides, n_tasks, doubtful=(), change=lambda patch_id, labels: labels):
    """Write what LABEL would; whole-slide labels in `doubtful` are not certified."""
    folder.mkdir(exist_ok=True)
    tasks = [[] for _ in range(n_tasks)]
    for patch, window in patches():
        tasks[patch["patch_id"] * 7 % n_tasks].append((patch, window))
    paths = []
    for number, members in enumerate(tasks):
        attributes = {"patches": [patch for patch, _ in members], "halo": HALO}
        attributes |= {"blank_proved": True, "provenance": [], "model": None}
        paths.append(folder / f"task-{number:05d}.labels.zip")
        with stores.create(paths[-1], attributes) as store:
            for patch, window in members:
                for name, slide in slides.items():
                    local, markers = slide[window], []
                    ids, first = np.unique(slide, return_index=True)
                    own = np.zeros(len(ids), np.uint32)
                    for label, (y, x) in enumerate(zip(*np.divmod(first, SHAPE[1]), strict=True)):
                        in_core = patch["y0"] <= y < patch["y1"] and patch["x0"] <= x < patch["x1"]
                        if label and in_core:
                            markers.append((y, x))
                            own[label] = len(markers)
                    certified = [i for i in np.flatnonzero(own) if i not in doubtful]
                    arrays = {
                        "labels": change(patch["patch_id"], own[local]),
                        "origin": np.array([window[0].start, window[1].start]),
                        "markers": np.array(markers, np.int64).reshape(-1, 2),
                        "certified": np.isin(np.flatnonzero(own), certified),
                        "unseen": np.zeros((0, 2), np.int64),
                    }
                    for array, values in arrays.items():
                        where = f"{patch['patch_id']}/{name}/{array}"
                        stores.new_array(store, where, values.shape, values.dtype, values.shape)[
                            :
                        ] = values
    return paths


@pytest.mark.parametrize("grid", [Grid(*SHAPE, 0.5), Grid(250, 284, 0.3), Grid(75, 85, 1.0)])
def test_patches_come_back_as_the_slide(tmp_path, grid):
    slide = disks(1)
    assert grid.model_shape == SHAPE
    paths = write_stores(tmp_path, {"cell": slide}, 3)
    found = stitch(paths[::-1], "cell", grid, tmp_path)
    expected = slide[np.ix_(grid.label_rows(), grid.label_cols())]
    assert np.array_equal(found.labels[:], expected)
    assert found.n_labels == len(np.unique(expected)) - 1 > 60
    assert found.n_disputed_px == 0
    assert found.cells["label"].tolist() == list(range(1, slide.max() + 1))
    marked = expected[found.cells["y_px"], found.cells["x_px"]]
    # larger pixels do not show every marker
    assert (marked == found.cells["label"]).mean() > (0.3 if grid.image_mpp > 0.5 else 0.999)


def test_a_slide_without_patches_is_empty(tmp_path):
    grid = Grid(*SHAPE, 0.5)
    found = stitch([], "cell", grid, tmp_path)
    assert not found.labels[:].any()
    assert (found.n_labels, len(found.cells), found.n_disputed_px) == (0, 0, 0)
    assert not blank_proved([])


def test_a_patch_may_hold_no_cell(tmp_path):
    lonely = np.zeros(SHAPE, np.uint32)
    lonely[5:9, 5:9] = 1
    found = stitch(write_stores(tmp_path, {"cell": lonely}, 3), "cell", Grid(*SHAPE, 0.5), tmp_path)
    assert np.array_equal(found.labels[:], lonely)
    assert found.cells["patch_id"].tolist() == [0]


def test_skipped_patches_stay_empty(tmp_path):
    slide = disks(2)
    skipped = {0, 1, 2, 3, 4, 12}
    here = [patch["patch_id"] for patch, _ in patches()]
    boxes = [np.s_[p["y0"] : p["y1"], p["x0"] : p["x1"]] for p, _ in patches()]
    for patch_id in skipped:
        slide[boxes[here.index(patch_id)]] = 0
    _, rank = np.unique(slide, return_inverse=True)
    slide = rank.reshape(SHAPE).astype(np.uint32)
    paths = write_stores(tmp_path, {"cell": slide}, 20)
    kept = []
    for path in paths:
        with stores.read(path) as store:
            if store.attrs["patches"][0]["patch_id"] not in skipped:
                kept.append(path)
    assert len(kept) == 14
    found = stitch(kept, "cell", Grid(*SHAPE, 0.5), tmp_path)
    owners = {
        int(slide[y, x]) for y, x in zip(found.cells["y_px"], found.cells["x_px"], strict=True)
    }
    assert np.array_equal(found.labels[:] > 0, np.isin(slide, list(owners)))


@pytest.mark.parametrize("n_tasks", [2, 5])
def test_disputed_pixels_are_counted_and_do_not_depend_on_tasks(tmp_path, n_tasks):
    """Patch 7 claims all of its window for its first cell."""
    slide = disks(1)

    def greedy(patch_id, labels):
        return np.maximum(labels, 1) if patch_id == 7 else labels

    paths = write_stores(tmp_path, {"cell": slide}, n_tasks, change=greedy)
    found = stitch(paths, "cell", Grid(*SHAPE, 0.5), tmp_path)
    window = dict((patch["patch_id"], window) for patch, window in patches())[7]
    owner = np.append(7, found.cells["patch_id"])[slide]
    assert found.n_disputed_px == (owner != 7)[window].sum() > 0
    assert type(found.n_disputed_px) is int  # so that it can be told in JSON
    reference = write_stores(tmp_path / "one", {"cell": slide}, 1, change=greedy)
    again = stitch(reference, "cell", Grid(*SHAPE, 0.5), tmp_path)
    assert np.array_equal(found.labels[:], again.labels[:])
    assert found.n_labels == again.n_labels <= len(found.cells)


def test_counts_and_certificates_of_patches(tmp_path):
    slides = {name: disks(seed) for seed, name in enumerate(NAMES)}
    paths = write_stores(tmp_path, slides, 3, doubtful={5, 9, 60})
    grid = Grid(*SHAPE, 0.5)
    cells = {name: stitch(paths, name, grid, tmp_path).cells for name in NAMES}
    listed = uncertified(cells)
    assert listed["compartment"].tolist() == ["cell"] * 3 + ["nucleus"] * 3
    assert listed["label"].tolist() == [5, 9, 60] * 2
    for row in listed.itertuples():
        assert slides[row.compartment][row.y_px, row.x_px] == row.label

    ids = [patch["patch_id"] for patch, _ in patches()]
    reasons = {20: "constant", 21: "no_signal"}
    table = pd.DataFrame({"patch_id": [*ids, *reasons]})
    table["reason"] = table["patch_id"].map(reasons).fillna("")
    table["is_informative"] = table["reason"] == ""
    assert blank_proved(paths)
    for blank in (True, False):
        done = add_counts(table, cells, blank).set_index("patch_id")
        for name, objects in (("cell", "cells"), ("nucleus", "nuclei")):
            assert done[f"n_{objects}"].sum() == slides[name].max()
            counts = listed[listed["compartment"] == name]["patch_id"].value_counts()
            wanted = [counts.get(patch_id, 0) for patch_id in done.index]
            assert done[f"n_uncertified_{objects}"].tolist() == wanted
        assert set(done.index[~done["certified"]]) == {*listed["patch_id"], 21} | (
            set() if blank else {20}
        )
    single = add_counts(table, {"nucleus": cells["nucleus"]}, True)
    assert "n_uncertified_cells" not in single and "n_cells" not in single


@pytest.fixture
def run(bin_script, tmp_path):
    """Return a function that runs a script in the folder of the test."""
    facts = {"sample": "s1", "image_mpp": 0.5, "provenance": []}
    facts["image"] = {"name": "s1", "height": SHAPE[0], "width": SHAPE[1], "channels": []}
    (tmp_path / "sample.json").write_text(json.dumps(facts))
    table = pd.DataFrame([patch for patch, _ in patches()]).assign(is_informative=True, reason="")
    table.to_csv(tmp_path / "patches.csv", index=False)

    def run(script, *arguments):
        common = ["--facts", "sample.json", "--outdir", "out"]
        done = bin_script(script, *common, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def test_what_is_not_certified_is_told_and_follows_to_the_matches(run, tmp_path):
    slides = {"cell": disks(0), "nucleus": np.where(disks(0) % 3, disks(0), 0)}
    _, rank = np.unique(slides["nucleus"], return_inverse=True)
    slides["nucleus"] = rank.reshape(SHAPE).astype(np.uint32)
    labels = write_stores(tmp_path, slides, 3, doubtful={5, 9, 60})
    log = run("stitch", "--patches", "patches.csv", "--labels", *labels)
    assert "3 cells and 3 nuclei are not proved to be those of the whole slide" in log
    assert "raise --halo" in log
    counts = json.loads((tmp_path / "out" / "stitch.json").read_text())
    assert (counts["n_uncertified_cells"], counts["n_uncertified_nuclei"]) == (3, 3)
    assert (counts["n_unproved_patches"], counts["cell_disputed_px"]) == (0, 0)

    masks = masks_folder(tmp_path / "out", "s1", "mesmer")
    both = [f"--{name}={masks / f'{name}_original.ome.tif'}" for name in NAMES]
    run("repair", *both, "--uncertified", "out/uncertified.csv")
    matches = pd.read_csv(tmp_path / "out" / "matches.csv")
    for name in NAMES:
        here = matches[f"{name}_label"].notna()
        assert matches.loc[here, f"{name}_certified"].isin([True, False]).all()
        assert not matches.loc[~here, f"{name}_certified"].notna().any()
        doubtful = matches.loc[matches[f"{name}_certified"] == False, f"{name}_label"]  # noqa: E712
        assert sorted(doubtful) == [5, 9, 60]
    run("repair", *both)
    unknown = pd.read_csv(tmp_path / "out" / "matches.csv")
    assert unknown[["cell_certified", "nucleus_certified"]].isna().all(axis=None)


def test_processors_change_no_file(run, tmp_path):
    slides = {"cell": disks(0), "nucleus": np.where(disks(1), disks(0), 0)}
    slides["nucleus"] = np.unique(slides["nucleus"], return_inverse=True)[1].astype(np.uint32)
    labels = write_stores(tmp_path, slides, 3)
    masks = masks_folder(tmp_path / "out", "s1", "mesmer")
    both = [f"--{name}={masks / f'{name}_original.ome.tif'}" for name in NAMES]
    found = []
    for cpus in (1, 2, 12):
        run("stitch", "--patches", "patches.csv", "--labels", *labels, "--cpus", str(cpus))
        run("repair", *both, "--cpus", str(cpus))
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert len(files) == 2 + 5 + 4 + 2
        found.append({path.name: path.read_bytes() for path in files})
    assert found[0] == found[1] == found[2]


def test_all_certified_says_nothing(run, tmp_path):
    labels = write_stores(tmp_path, {"cell": disks(0)}, 3)
    log = run(
        "stitch", "--patches", "patches.csv", "--compartment", "whole-cell", "--labels", *labels
    )
    assert "--halo" not in log
    assert len(pd.read_csv(tmp_path / "out" / "uncertified.csv")) == 0
    counts = json.loads((tmp_path / "out" / "stitch.json").read_text())
    assert counts["n_uncertified_cells"] == 0 and "n_uncertified_nuclei" not in counts
    mask = tifffile.imread(masks_folder(tmp_path / "out", "s1", "mesmer") / "cell.ome.tif")
    assert np.array_equal(mask, disks(0))
