"""Masks of one's own through all steps: what they are matched to, measured as, and told of."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.measure import regionprops_table
from skimage.segmentation import expand_labels
from support.steps import write_slide
from system.faults.runs import files_of

SHAPE = 200, 240
MPP = 0.5


@pytest.fixture(scope="module")
def field(tissue_image) -> np.ndarray:
    return tissue_image[100:300, 300:540]


@pytest.fixture(scope="module")
def slide(field, tmp_path_factory) -> dict:
    """Return a slide as chain.py reads it."""
    path = write_slide(tmp_path_factory.mktemp("slide") / "field.ome.tif", field, MPP)
    return {"sample": "field", "images": [str(path)], "nuclear": "nuclear", "columns": {"donor": 7}}


@pytest.fixture(scope="module")
def chained(bin_script):
    """Return a function that runs chain.py on a slide, by default one with masks of its own.

    It gives the files by path.
    """
    common = {"membrane": "membrane", "compartment": "both", "segmenter": "masks"}

    def run(folder, slide, *options, code=0) -> dict[str, bytes]:
        folder.mkdir(parents=True)
        given = json.dumps([common | slide])
        options = ["--to_table", "--left", "l.txt", *options]
        done = bin_script("chain", *options, cwd=folder, input=given)
        assert done.returncode == code, done.stderr
        return files_of(folder)

    return run


def box(labels, label, y, x, height, width):
    labels[y : y + height, x : x + width] = label


@pytest.fixture(scope="module")
def known() -> tuple[np.ndarray, np.ndarray]:
    """Return cells and nuclei with what tools leave: gaps in ids, shifts, holes, parts."""
    cells, nuclei = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    box(cells, 7, 10, 10, 20, 20)  # with its nucleus in the middle
    box(nuclei, 4, 15, 15, 10, 10)
    box(cells, 900_000_000, 10, 50, 20, 20)  # its nucleus is half outside
    box(nuclei, 9, 15, 64, 10, 10)
    box(cells, 12, 50, 10, 20, 20)  # without nucleus
    box(cells, 15, 50, 50, 20, 20)  # with a hole, over its nucleus
    box(cells, 0, 58, 58, 4, 4)
    box(nuclei, 2, 55, 55, 10, 10)
    box(cells, 21, 100, 10, 20, 20)  # in two parts, a nucleus in each
    box(cells, 21, 100, 40, 20, 20)
    box(nuclei, 30, 105, 15, 8, 8)
    box(nuclei, 31, 105, 45, 6, 6)
    box(nuclei, 4_000_000_000, 150, 150, 9, 9)  # without cell
    return cells, nuclei


@pytest.fixture(scope="module")
def adopted(chained, slide, known, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adopted")
    for name, labels in zip(("cell", "nucleus"), known, strict=True):
        tifffile.imwrite(folder / f"{name}.tif", labels, compression="zlib")
    masks = {f"{name}_mask": str(folder / f"{name}.tif") for name in ("cell", "nucleus")}
    return folder / "run", chained(folder / "run", slide | masks), masks


def test_matches_areas_ids_and_statuses_are_those_computed_by_hand(adopted):
    folder, _, _ = adopted
    table = pd.read_csv(folder / "field" / "matches.csv")
    columns = ["label", "cell_label", "nucleus_label", "status"]
    columns += ["cell_area_px", "nucleus_area_before_px", "nucleus_area_px", "trimmed_px"]
    found = table[columns].astype(object).where(table[columns].notna(), None).to_numpy().tolist()
    # Of the first nucleus nothing is trimmed; of the second one what is not inside its cell; of the
    # third one the hole and the pixels around it
    assert found == [
        [1, 7, 4, "matched", 400, 100, 100, 0],
        [None, 12, None, "no_nucleus", 400, None, None, None],
        [2, 15, 2, "matched", 384, 100, 68, 32],
        [3, 21, 30, "matched", 800, 64, 64, 0],
        [4, 900_000_000, 9, "matched", 400, 100, 50, 50],
        [None, None, 31, "extra_nucleus", None, 36, 36, None],
        [None, None, 4_000_000_000, "no_cell", None, 81, 81, None],
    ]
    assert table[["cell_certified", "nucleus_certified"]].isna().all(axis=None)


def test_masks_are_the_given_ones_and_the_matched_ones(adopted, known):
    folder, _, _ = adopted
    masks = folder / "field" / "segmentation" / "masks-field"
    for name, labels in zip(("cell", "nucleus"), known, strict=True):
        np.testing.assert_array_equal(tifffile.imread(masks / f"{name}_original.ome.tif"), labels)
    expected = np.zeros(SHAPE, np.uint32)
    for number, label in enumerate((7, 15, 21, 900_000_000), 1):
        expected[known[0] == label] = number
    np.testing.assert_array_equal(tifffile.imread(masks / "cell.ome.tif"), expected)


def test_every_cell_is_measured(adopted, known, field):
    folder, _, _ = adopted
    rows = pd.read_parquet(folder / "field" / "quantification" / "field.parquet")
    of_cells = rows[rows["cell_label"].notna()].set_index("cell_label")
    numbers = np.searchsorted([7, 12, 15, 21, 900_000_000], known[0]) + 1
    numbers[known[0] == 0] = 0
    expected = regionprops_table(numbers, field, properties=("area", "intensity_mean"))
    assert of_cells["cell_area_px"].tolist() == expected["area"].tolist()
    for k, channel in enumerate(("nuclear", "membrane")):
        found = of_cells[f"cell_mean_{channel}"]
        np.testing.assert_allclose(found, expected[f"intensity_mean-{k}"], rtol=1e-6)
    assert (rows["donor"] == 7).all() and not rows["flag_uncertified"].any()


def test_what_is_told_of_them(adopted):
    folder, files, masks = adopted
    counts = json.loads(files["field/stitch.json"])
    assert (counts["n_cells"], counts["n_nuclei"]) == (5, 6) and counts["notices"] == []
    assert "field/uncertified.csv" not in files
    patches = pd.read_csv(folder / "field" / "patches_metadata.csv")
    assert patches["n_cells"].sum() == 5 and patches["n_nuclei"].sum() == 6
    assert "certified" not in patches
    steps = {step["step"]: step for step in json.loads(files["field/provenance.json"])["steps"]}
    assert list(steps) == ["INGEST", "ADOPT"]
    content = (folder.parent / "cell.tif").read_bytes()
    given = {"name": "cell.tif", "sha256": hashlib.sha256(content).hexdigest()}
    assert steps["ADOPT"]["parameters"]["cell_mask"] == given
    summary = json.loads(files["field/summary.json"])
    assert summary["n_uncertified_cells"] is None and summary["n_unproved_patches"] is None
    page = files["field/report.html"].decode()
    assert "own masks" in page and "with masks of one's own" in page.replace("&#39;", "'")
    assert "<dt>tiling</dt>" not in page and "segmented, not all verified" not in page


@pytest.mark.parametrize(("compartment", "name"), [("whole-cell", "cell"), ("nuclear", "nucleus")])
def test_one_compartment(chained, slide, adopted, known, tmp_path, compartment, name):
    own = {f"{name}_mask": adopted[2][f"{name}_mask"], "compartment": compartment}
    files = chained(tmp_path / "run", slide | own)
    labels = known[("cell", "nucleus").index(name)]
    masks = tmp_path / "run" / "field" / "segmentation" / "masks-field"
    np.testing.assert_array_equal(tifffile.imread(masks / f"{name}.ome.tif"), labels)
    assert (masks / f"{name}_boundary.ome.tif").is_file() and "field/matches.csv" not in files
    rows = pd.read_parquet(tmp_path / "run" / "field" / "quantification" / "field.parquet")
    values, areas = np.unique(labels[labels > 0], return_counts=True)
    assert rows["cell_id"].tolist() == values.tolist()
    assert rows[f"{name}_area_px"].tolist() == areas.tolist()
    assert rows[f"{name}_certified"].isna().all()


def test_nuclei_that_are_grown(chained, slide, adopted, known, tmp_path):
    own = {"nucleus_mask": adopted[2]["nucleus_mask"], "membrane": ""}
    chained(tmp_path / "run", slide | own, "--expand_um", "2.2")
    masks = tmp_path / "run" / "field" / "segmentation" / "masks-field"
    cells = tifffile.imread(masks / "cell_original.ome.tif")
    np.testing.assert_array_equal(cells, expand_labels(known[1], 2.2 / MPP))
    matches = pd.read_csv(tmp_path / "run" / "field" / "matches.csv")
    assert (matches["cell_label"] == matches["nucleus_label"]).all() and len(matches) == 6


def test_regions_of_interest(chained, slide, adopted, tmp_path):
    """A cell lies in that of its centroid; the one in two parts lies between these."""
    square = [[0, 0], [36, 0], [36, 200], [0, 200], [0, 0]]
    region = tmp_path / "roi.geojson"
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [square]}))
    files = chained(tmp_path / "run", slide | adopted[2] | {"roi": str(region)})
    matches = pd.read_csv(tmp_path / "run" / "field" / "matches.csv")
    assert matches["cell_label"].tolist() == [7, 12, 21]
    assert set(matches["roi"]) == {"region 1"} and "field/regions.csv" in files


def test_masks_of_a_run_handed_in_give_its_tables(repo, chained, slide, field, tmp_path):
    """But for what is verified."""
    networks = [
        repo / "assets" / "networks" / f"{name}.keras" for name in ("whole-cell", "nuclear")
    ]
    chained(tmp_path / "first", slide | {"segmenter": "pixelcnn"}, "--networks", *networks)
    made = tmp_path / "first" / "field" / "segmentation" / "pixelcnn-field"
    own = {f"{n}_mask": str(made / f"{n}_original.ome.tif") for n in ("cell", "nucleus")}
    chained(tmp_path / "again", slide | own)
    proved = ["cell_certified", "nucleus_certified"]
    for path, read in {
        "matches.csv": pd.read_csv,
        "quantification/field.parquet": pd.read_parquet,
    }.items():
        tables = [read(tmp_path / run / "field" / path) for run in ("first", "again")]
        assert len(tables[0]) > 20 and tables[0][proved[0]].dropna().all()
        pd.testing.assert_frame_equal(*(table.drop(columns=proved) for table in tables))
    for name in ("cell", "nucleus", "cytoplasm", "cell_boundary"):
        again = tmp_path / "again" / "field" / "segmentation" / "masks-field" / f"{name}.ome.tif"
        assert again.read_bytes() == (made / f"{name}.ome.tif").read_bytes()


def told(chained, slide, folder, labels, name="cell") -> list[dict]:
    """Return the notices of a mask in summary.json."""
    folder.mkdir()
    tifffile.imwrite(folder / "m.tif", labels)
    own = {f"{name}_mask": str(folder / "m.tif"), "compartment": "whole-cell"}
    files = chained(folder / "run", slide | own)
    return json.loads(files["field/summary.json"])["notices"]


def test_masks_that_look_wrong_are_told_of(chained, slide, tmp_path):
    foreground = np.zeros(SHAPE, np.uint8)
    box(foreground, 255, 20, 20, 40, 40)
    box(foreground, 255, 80, 80, 40, 40)
    codes = {
        notice["code"]: notice["text"]
        for notice in told(chained, slide, tmp_path / "a", foreground)
    }
    assert "skimage.measure.label(mask > 0)" in codes["one_object"]
    assert "its labels reach 255, the largest that uint8 holds" in codes["labels_at_limit"]
    empty = told(chained, slide, tmp_path / "b", np.zeros(SHAPE, np.uint16))
    assert [notice for notice in empty if notice["code"] in codes] == []


def test_a_mask_that_is_refused_leaves_its_slide_alone(chained, slide, tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((20, 24), np.uint16))
    own = {"cell_mask": str(tmp_path / "m.tif"), "compartment": "whole-cell"}
    files = chained(tmp_path / "run", slide | own, "--refusals", "_refused")
    (refusal,) = [path for path in files if path.startswith("_refused/")]
    assert refusal == "_refused/ADOPT/field.txt"
    assert (
        "m.tif: the cell mask is 20 x 24 px and the slide 200 x 240 px" in files[refusal].decode()
    )
