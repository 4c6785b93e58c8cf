"""DRAW's results for a sample: its numbers, and images with the masks in the right place."""

import itertools
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib.image import imread
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.measure import approximate_polygon, find_contours
from support.steps import ingest_image
from support.tables import rows_of, write_table

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.images.label_image import write_label_image
from cellquilt.reports.crops import Crop, choose_crops, close_ups, shown, worst_matched
from cellquilt.reports.measures import OF_OBJECTS
from cellquilt.reports.outlines import outlines, simplified
from cellquilt.reports.sample_report import patch_states, read_cells, svg_path
from cellquilt.reports.slide_view import crop_lines, crop_signal, scale_bar, thumbnail
from cellquilt.reports.summary import headlines

HEIGHT, WIDTH = 300, 380
COUNTS = {
    "n_cells": 3,
    "n_nuclei": 3,
    "n_matched": 2,
    "matched_fraction": 0.5,
    "cell_matched_fraction": 2 / 3,
    "nucleus_matched_fraction": 2 / 3,
    "n_uncertified_cells": 0,
    "n_uncertified_nuclei": 0,
    "n_unproved_patches": 0,
}


def rectangles(*boxes):
    labels = np.zeros((HEIGHT, WIDTH), np.uint32)
    for label, (y0, y1, x0, x1) in enumerate(boxes, 1):
        labels[y0:y1, x0:x1] = label
    return labels


CELLS = [(30, 60, 40, 70), (60, 90, 40, 70), (120, 150, 90, 130)]
NUCLEI = [(38, 52, 48, 62), (70, 84, 45, 65), (200, 214, 300, 314)]
MATCHED = {"cell": rectangles(*CELLS[:2]), "nucleus": rectangles(*NUCLEI[:2])}
ORIGINAL = {
    "cell_original": rectangles(*CELLS),
    "nucleus_original": rectangles(*NUCLEI),
}
NOTHING = rectangles()


@pytest.fixture(scope="session")
def stores_by_kind(tissue_image, tmp_path_factory) -> dict[str, Path]:
    """Return INGEST's stores of one piece of tissue."""
    folder, piece = tmp_path_factory.mktemp("stores"), tissue_image[:HEIGHT, :WIDTH]
    return {
        "both": ingest_image(folder / "both", piece),
        "nuclear": ingest_image(folder / "nuclear", piece[..., :1]),
        "fine": ingest_image(folder / "fine", piece, mpp=0.3),
        "small": ingest_image(folder / "small", piece[:64, :64]),
    }


PATCHES = pd.DataFrame(
    {
        "x0": [0, 200, 0, 200],
        "y0": [0, 0, 160, 160],
        "width": [200, 180, 200, 180],
        "height": [160, 160, 140, 140],
        "is_informative": [True, True, False, False],
        "reason": [None, None, "constant", "no_signal"],
        "n_cells": [2, 1, 0, 0],
        "n_nuclei": [2, 1, 0, 0],
        "certified": [True, False, True, False],
    }
)
PROVENANCE = {"model": None, "steps": []}


@pytest.fixture
def script(repo, monkeypatch):
    """Return a function that runs the script in this process."""

    def run(folder, store, masks, outdir, counts=COUNTS, truth=(), rows=None, patches=PATCHES):
        images = {path.name.removesuffix(".ome.tif"): tifffile.imread(path) for path in masks}
        rows = rows_of(images, 0.5) if rows is None else rows
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "counts.json").write_text(json.dumps({"sample": "sample", **counts}))
        (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
        patches.to_csv(folder / "patches.csv", index=False)
        options = {
            "store": store,
            "table": write_table(folder / "sample.parquet", rows),
            "patches": folder / "patches.csv",
            "provenance": folder / "provenance.json",
            "counts": folder / "counts.json",
            "outdir": outdir,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        arguments += ["--masks", *masks, "--truth", *truth]
        monkeypatch.setattr(sys, "argv", ["draw.py", *map(str, arguments)])
        runpy.run_path(str(repo / "bin" / "draw.py"), run_name="__main__")

    return run


@pytest.fixture
def draw(script, stores_by_kind, tmp_path):
    """Return a function that draws label images; it returns the summary and the picture."""

    def run(masks, counts=COUNTS, truth=None, kind="both", name="sample", **inputs):
        folder, outdir = tmp_path / f"{name}-inputs", tmp_path / name
        files = {}
        for where, images in (("masks", masks), ("truth", truth or {})):
            (folder / where).mkdir(parents=True)
            files[where] = [folder / where / f"{what}.ome.tif" for what in images]
            for path, labels in zip(files[where], images.values(), strict=True):
                write_label_image(path, labels, 0.5, "labels")
        script(folder, stores_by_kind[kind], outdir=outdir, counts=counts, **files, **inputs)
        return json.loads((outdir / "summary.json").read_text()), outdir / "overlay.png"

    return run


def report_of(outdir: Path) -> dict:
    """Return what was drawn for the report of the run."""
    return json.loads((outdir / "report.json").read_text())


def pixels(path):
    """Return a picture as (h, w, 3) in [0, 1]."""
    return imread(path)[..., :3]


def test_summary_holds_counts_fractions_and_f1_of_all_that_was_found(draw):
    truth = {
        "cell_truth": rectangles(*CELLS),
        "nucleus_truth": rectangles(*NUCLEI[:1], (0, 9, 0, 9)),
    }
    summary, _ = draw(MATCHED | ORIGINAL, truth=truth)
    assert summary.pop("notices") == []
    assert summary == {
        "sample": "sample",
        "image": "slide.ome.tif",
        **COUNTS,
        "segmentation": "segmentation/mesmer-sample",
        "overlay": "overlay.png",
        "f1_cell": 1.0,
        "f1_nucleus": 2 * 1 / (3 + 2),
    }


def test_without_originals_f1_is_that_of_the_matched_masks(draw):
    summary, _ = draw(MATCHED, truth={"cell_truth": rectangles(*CELLS)})
    assert summary["f1_cell"] == 2 * 2 / (2 + 3)
    assert "f1_nucleus" not in summary


@pytest.mark.parametrize(
    ("mask", "count", "kind"), [("cell", "n_cells", "both"), ("nucleus", "n_nuclei", "nuclear")]
)
def test_single_compartment(draw, tmp_path, mask, count, kind):
    masks = {mask: MATCHED[mask], f"{mask}_boundary": NOTHING}
    patches = PATCHES.drop(columns={"n_cells", "n_nuclei"} - {count})
    summary, overlay = draw(masks, {count: 2}, kind=kind, patches=patches)
    assert {name: summary[name] for name in COUNTS} == dict.fromkeys(COUNTS) | {count: 2}
    picture = pixels(overlay)
    assert picture.shape[0] > 400
    # Without a membrane channel nothing in the thumbnail is more green than blue.
    height, width = picture.shape[:2]
    slide = picture[height // 4 : height // 2, width // 8 : width // 4]
    assert (slide[..., 1] > slide[..., 2] + 0.1).any() == (kind == "both")

    report = report_of(tmp_path / "sample")
    assert (report["objects"], report["n_by_status"]) == (count.removeprefix("n_"), None)
    assert set(report["distributions"]) == {f"{mask}_area_um2", "patch_density_per_mm2"}
    assert report["distributions"][f"{mask}_area_um2"]["n"] == 2
    assert report["density_per_mm2"] == pytest.approx(2 / (HEIGHT * WIDTH * 0.25e-6))
    assert report["pictures"]["close_ups"] == []
    assert all(set(crop["lines"]) == {mask} for crop in report["pictures"]["crops"])


def test_outlines_are_drawn_in_the_crops_and_only_there(draw):
    masks = MATCHED | ORIGINAL
    moved = masks | {"nucleus": np.roll(masks["nucleus"], 3, axis=1)}
    before, after = (
        pixels(draw(given, name=name)[1]) for name, given in (("before", masks), ("after", moved))
    )
    assert before.shape == after.shape
    height, width = before.shape[:2]
    assert 400 < height < 1300 and 800 < width < 1800
    different = np.abs(before - after).max(axis=-1) > 0.1
    assert different.any()
    thumbnail_edge = 24 + 1056 * WIDTH / HEIGHT
    assert np.flatnonzero(different.any(axis=0)).min() > min(thumbnail_edge, 24 + 1120)


def test_no_cells(draw, tmp_path):
    masks = dict.fromkeys([*MATCHED, *ORIGINAL], NOTHING)
    counts = dict.fromkeys(COUNTS) | {"n_cells": 0, "n_nuclei": 0, "n_matched": 0}
    summary, overlay = draw(masks, counts, truth={"cell_truth": NOTHING})
    assert (summary["n_cells"], summary["matched_fraction"], summary["f1_cell"]) == (0, None, None)
    # the slide without crops beside it
    assert pixels(overlay).shape[1] < 2 * 24 + 1120 + 16
    report = report_of(tmp_path / "sample")
    assert report["density_per_mm2"] == 0
    assert report["distributions"]["cell_area_um2"]["n"] == 0
    assert (report["pictures"]["crops"], report["pictures"]["close_ups"]) == ([], [])


def test_nuclei_are_shown_where_there_are_no_cells(draw, tmp_path):
    rows = rows_of({"nucleus": MATCHED["nucleus"]}, 0.5).drop(columns="cell_id")
    rows = rows.assign(cell_centroid_y_um=np.nan, cell_centroid_x_um=np.nan, cell_area_um2=np.nan)
    rows = rows.assign(cell_id=pd.NA, mismatch=np.nan, nuclear_to_cell_ratio=np.nan)
    masks = {"cell": NOTHING, "nucleus": NOTHING, "nucleus_original": MATCHED["nucleus"]}
    draw(masks, dict.fromkeys(COUNTS) | {"n_cells": 0, "n_nuclei": 2}, rows=rows)
    crops = report_of(tmp_path / "sample")["pictures"]["crops"]
    assert [crop["title"] for crop in crops] == ["densest", "worst matched"]
    assert [(crop["n_objects"], crop["objects"]) for crop in crops] == [(2, "nuclei")] * 2
    assert all(len(crop["lines"]["unmatched"]) > 20 for crop in crops)


def test_small_slide(draw):
    masks = {name: labels[:64, :64] for name, labels in MATCHED.items()}
    _, overlay = draw(masks, kind="small")
    height, width = pixels(overlay).shape[:2]
    assert 400 < height < 800 and 800 < width < 1200


def test_equal_input_gives_equal_files_without_a_trace_of_time_or_program(draw, tmp_path):
    first, second = (draw(MATCHED, name=name)[1].read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"tEXt" not in first and b"tIME" not in first and b"Matplotlib" not in first
    assert report_of(tmp_path / "a") == report_of(tmp_path / "b")


def test_what_was_drawn_before_in_a_process_does_not_change_a_sample(draw, bin_script, tmp_path):
    """CHAIN draws one sample after another."""
    draw(ORIGINAL | MATCHED, name="A", kind="fine")
    draw(MATCHED, name="B")
    arguments = [arg.replace(str(tmp_path / "B"), str(tmp_path / "alone")) for arg in sys.argv[1:]]
    (tmp_path / "B-inputs").rename(tmp_path / "alone-inputs")
    done = bin_script("draw", *arguments)
    assert done.returncode == 0, done.stderr
    for name in ("overlay.png", "summary.json", "report.json"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "B" / name).read_bytes()


def test_dollar_signs_in_a_name_start_no_formula(script, stores_by_kind, tmp_path):
    with stores.read(stores_by_kind["small"]) as source:
        facts = dict(source.attrs["facts"])
        facts["nuclear"] = [{"index": 0, "name": r"$\frac$"}]
        with stores.create(tmp_path / "odd.zip", {"facts": facts}) as copy:
            blocks = [f"blocks/{k}/{name}" for k in "01" for name in source[f"blocks/{k}"]]
            for name in ("codes", "lut", *blocks):
                array = source[name]
                stores.new_array(copy, name, array.shape, array.dtype, array.chunks)[:] = array[:]
    write_label_image(tmp_path / "nucleus.ome.tif", NOTHING[:64, :64], 0.5, "nucleus")
    script(
        tmp_path, tmp_path / "odd.zip", [tmp_path / "nucleus.ome.tif"], tmp_path, {"n_nuclei": 0}
    )
    assert pixels(tmp_path / "overlay.png").shape[0] > 256


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"cell": MATCHED["cell"][:, :-1]}, ["cell.ome.tif", "(300, 379)", "(300, 380)"]),
        ({"cytoplasm": MATCHED["cell"]}, ["sample", "cytoplasm", "cell.ome.tif"]),
    ],
)
def test_refuses_masks_that_are_not_of_the_slide_or_of_no_objects(draw, capsys, masks, words):
    with pytest.raises(SystemExit) as ended:
        draw(masks, rows=rows_of(MATCHED, 0.5))
    message = capsys.readouterr().err
    assert ended.value.code == 65
    assert all(word in message for word in words)
    assert message.count("\n") <= 2


def test_headlines():
    facts = {"image": {"width": 12345, "height": 678}, "image_mpp": 0.37745}
    summary = {"sample": "s" * 40, **COUNTS, "n_cells": 2912, "f1_cell": 0.91234}
    name, size, counts = headlines(summary, facts)
    assert len(name) == 32 and name.endswith("…")
    assert size == "12,345 × 678 px,  0.3775 µm/px"
    assert counts == (
        "2,912 cells  ·  3 nuclei  ·  2 matched (66.7% of cells, 66.7% of nuclei)"
        "  ·  F1 against truth: 0.912 cells  ·  tiling verified"
    )


def test_headlines_say_what_is_not_proved():
    facts = {"image": {"width": 12345, "height": 678}, "image_mpp": 0.5}
    unproved = {"n_uncertified_cells": 1200, "n_unproved_patches": 3}
    counts = headlines({"sample": "s", **COUNTS, **unproved}, facts)[2]
    assert counts.endswith("  ·  tiling not verified: 1,200 cells, 3 patches skipped without proof")
    one = {"n_cells": 1, "n_nuclei": 1, "n_uncertified_cells": 1, "n_unproved_patches": 1}
    counts = headlines({"sample": "s", **COUNTS, **one}, facts)[2]
    assert counts.startswith("1 cell  ·  1 nucleus  ·  ")
    assert counts.endswith("  ·  tiling not verified: 1 cell, 1 patch skipped without proof")


def test_crops_are_the_densest_square_and_a_median_one_apart_from_it():
    rng = np.random.default_rng(3)
    sparse = rng.uniform(0, 1, (400, 2)) * (1000, 2000)
    dense = rng.uniform(0, 1, (300, 2)) * 100 + (700, 300)
    extent = (1000.0, 2000.0)
    densest, typical = choose_crops(np.concatenate([sparse, dense]), extent)
    assert (densest.y, densest.x, densest.side) == (700, 300, 100)
    assert densest.n_objects >= 300
    assert 1 <= typical.n_objects <= 3
    assert max(abs(typical.y - densest.y), abs(typical.x - densest.x)) >= 100
    for crop in (densest, typical):
        assert 0 <= crop.y <= extent[0] - 100 and 0 <= crop.x <= extent[1] - 100


@pytest.mark.parametrize("extent", [(32.0, 32.0), (100.0, 130.0), (33.3, 1000.0), (250.1, 99.0)])
def test_crops_stay_inside_slides_of_any_size(extent):
    centres = np.random.default_rng(1).uniform(0, 1, (50, 2)) * extent
    crops = choose_crops(centres, extent)
    assert 1 <= len(crops) <= 2
    for crop in crops:
        assert crop.side == min(100, *extent)
        assert 0 <= crop.y <= extent[0] - crop.side and 0 <= crop.x <= extent[1] - crop.side
        assert crop.n_objects > 0


@pytest.mark.parametrize("extent", [(380.5, 507.3), (640.0, 230.1), (99.5, 731.7)])
def test_no_square_holds_more_than_the_densest(extent):
    """Also where the last squares are moved back to the edge of the slide."""
    rng = np.random.default_rng(8)
    for lean in (0.2, 0.5, 2):  # to the far corner, and from it
        centres = rng.uniform(0, 1, (400, 2)) ** lean * extent
        densest, *others = choose_crops(centres, extent)
        steps = [np.append(np.arange(0, n - densest.side, 50), n - densest.side) for n in extent]
        counts = [
            ((centres >= corner) & (centres < np.add(corner, densest.side))).all(axis=1).sum()
            for corner in itertools.product(*steps)
        ]
        assert densest.n_objects == max(counts)
        assert all(crop.n_objects < max(counts) for crop in others)


def test_no_objects_no_crops():
    assert choose_crops(np.empty((0, 2)), (500.0, 500.0)) == []


def test_outlines_enclose_the_area_of_each_object():
    labels = rectangles(*CELLS) * 1000
    for smoothing in (0.01, 1.0):
        lines = list(outlines(labels, smoothing))
        assert len(lines) == len(CELLS)
        for line, (y0, y1, x0, x1) in zip(lines, CELLS, strict=True):
            x, y = line.T
            area = abs(np.sum(y[:-1] * x[1:] - y[1:] * x[:-1])) / 2
            assert area == pytest.approx((y1 - y0) * (x1 - x0), rel=0.01)
            np.testing.assert_allclose(line.mean(0), [(x0 + x1) / 2, (y0 + y1) / 2], atol=1)
            assert (line[0] == line[-1]).all()


def test_an_object_that_fills_its_image_has_an_outline():
    (line,) = outlines(np.full((20, 30), 5, np.uint32), 0.5)
    assert np.ptp(line, axis=0) == pytest.approx([30, 20], abs=0.5)
    np.testing.assert_allclose(line.min(axis=0), 0, atol=0.3)


@pytest.mark.parametrize("smoothing", [0.01, 1.3])
def test_outlines_are_those_of_scikit_image(smoothing):
    """And of scipy's filter, for cells that touch each other."""
    seeds = np.random.default_rng(4).uniform(0, 1, (40, 2)) * (120, 150)
    away, nearest = cKDTree(seeds).query(np.moveaxis(np.indices((120, 150)), 0, -1))
    labels = np.where(away < 12, nearest + 1, 0)
    expected = [
        ndi.gaussian_filter1d(line[:-1] - 0.5, smoothing, axis=0, mode="wrap")[:, ::-1]
        for n in range(1, labels.max() + 1)
        for line in find_contours(np.pad(labels == n, 1), 0.5)
    ]
    found = [line[:-1] for line in outlines(labels, smoothing)]
    assert len(expected) == len(found) >= 40

    def shape(line: np.ndarray) -> list[list[float]]:
        return sorted(np.round(line, 6).tolist())

    np.testing.assert_allclose(
        np.concatenate(sorted(map(shape, found))), np.concatenate(sorted(map(shape, expected)))
    )


def test_outlines_outside_the_box_are_left_out():
    box = np.array([60, 61]), np.array([80, 119])
    (line,) = outlines(rectangles(*CELLS), 1.0, box)
    assert line[:, 1].min() == pytest.approx(60, abs=0.5)
    assert outlines(rectangles(*CELLS), 1.0, (np.array([0, 0]), np.array([9, 9]))) == []


def test_simplified_lines_are_those_of_scikit_image():
    rng = np.random.default_rng(6)
    steps = [rng.normal(size=(n, 2)).cumsum(axis=0) for n in (2, 3, 50, 400)]
    lines = [*steps, np.full((5, 2), 3.0), np.append(steps[2], steps[2][:1], axis=0)]
    for tolerance in (0.01, 0.5, 3.0):
        for line, found in zip(lines, simplified(lines, tolerance), strict=True):
            np.testing.assert_array_equal(found, approximate_polygon(line, tolerance))
    assert simplified([], 1.0) == []


@pytest.mark.parametrize("mpp", [0.3, 0.5, 1.0])
def test_lines_are_in_um_and_unmatched_objects_apart(tmp_path, mpp):
    masks = {}
    for name, labels in (MATCHED | ORIGINAL).items():
        masks[name] = tmp_path / f"{name}.ome.tif"
        write_label_image(masks[name], labels, mpp, name)
    crop = Crop("", 20 * mpp, 30 * mpp, 140 * mpp, 3)
    corner = Crop("", 0.0, 0.0, 20 * mpp, 0)
    of_crops = crop_lines(masks, [crop, corner], mpp)
    assert of_crops[corner.square] == {"cell": [], "nucleus": [], "unmatched": [], "untrimmed": []}
    lines = of_crops[crop.square]
    assert {kind: len(found) for kind, found in lines.items()} == {
        "cell": 2,
        "nucleus": 2,
        "unmatched": 1,
        "untrimmed": 0,
    }
    x, y = lines["unmatched"][0].T / mpp
    expected = [120, 150, 90, 130]
    np.testing.assert_allclose([y.min(), y.max(), x.min(), x.max()], expected, atol=0.5)
    known = {name: np.unique(ORIGINAL[f"{name}_original"]) for name in ("cell", "nucleus")}
    assert len(crop_lines(masks, [crop], mpp, known)[crop.square]["unmatched"]) == 1
    outside = {name: labels[:0] for name, labels in known.items()}
    of_regions = crop_lines(masks, [crop], mpp, outside)[crop.square]
    assert of_regions["unmatched"] == [] and len(of_regions["cell"]) == 2


def test_signal_of_a_crop_lies_where_the_slide_has_it(stores_by_kind):
    with stores.read(stores_by_kind["fine"]) as group:
        codes, lut = group["codes"], group["lut"][:]
        extent = HEIGHT * 0.3, WIDTH * 0.3
        signal, bounds = crop_signal(codes, lut, Crop("", 20, 30, 40, 0), extent)
        left, right, bottom, top = bounds
        assert left <= 30 and right >= 70 and top <= 20 and bottom >= 60
        assert right - left < 42 and bottom - top < 42
        um = extent[0] / codes.shape[1]
        y, x = round(top / um), round(left / um)
        part = codes[:, y : y + len(signal), x : x + signal.shape[1]]
        for channel in range(2):
            np.testing.assert_array_equal(signal[..., channel], lut[channel][part[channel]])


@pytest.mark.parametrize("ratio", [1, 2, 3, 9])
def test_thumbnail_is_the_average_in_place(tmp_path, ratio):
    codes = np.zeros((2, 900, 1700), np.uint16)
    codes[0, 450:, :850], codes[1] = 1000, 500
    lut = np.tile(np.linspace(0, 1, 16384, dtype=np.float32), (2, 1))
    with stores.create(tmp_path / "s.zip", {}) as group:
        array = stores.new_array(group, "codes", codes.shape, "uint16", (1, 256, 256))
        array[:] = codes
    with stores.read(tmp_path / "s.zip") as group:
        small = thumbnail(group["codes"], lut, (900 // ratio, 1700 // ratio))
    height, width = small.shape[:2]
    assert 900 // ratio <= height < 2 * (900 // ratio)
    assert 1700 // ratio <= width < 2 * (1700 // ratio)
    assert small[3 * height // 4, width // 4] == pytest.approx([lut[0, 1000], lut[1, 500]])
    assert small[height // 4, width // 4] == pytest.approx([0, lut[1, 500]])
    assert small[..., 0].mean() == pytest.approx(lut[0, 1000] / 4, rel=0.02)


def test_real_tile_with_its_published_mask(script, shared_data, codex_image, tmp_path):
    folder = shared_data / "codex_tile"
    masks = {"cell": "mask_DeepCell-0.9.0_membrane.tif", "cell_truth": "mask_expert1.tif"}
    for name, file in masks.items():
        labels = tifffile.imread(folder / file).astype(np.uint32)
        write_label_image(tmp_path / f"{name}.ome.tif", labels, 0.37745, name)
    store = ingest_image(tmp_path / "slide", codex_image, mpp=0.37745)
    cell, truth = (tmp_path / f"{name}.ome.tif" for name in masks)
    rows = rows_of({"cell": tifffile.imread(cell)}, 0.37745)
    script(tmp_path, store, [cell], tmp_path, {"n_cells": 2745}, [truth], rows)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["f1_cell"] == pytest.approx(0.588, abs=0.002)

    report = json.loads((tmp_path / "report.json").read_text())
    assert (tmp_path / "report.json").stat().st_size < 1e6
    areas = np.bincount(tifffile.imread(cell).ravel())[1:] * 0.37745**2
    area = report["distributions"]["cell_area_um2"]
    assert (area["n"], sum(area["counts"])) == (2745, 2745)
    assert area["quantiles"]["0.5"] == pytest.approx(np.median(areas[areas > 0]))
    assert report["density_per_mm2"] == pytest.approx(2745 / (1008 * 1344 * 0.37745**2 / 1e6))


def test_report_holds_what_the_inputs_say(draw, tmp_path):
    truth = {"cell_truth": rectangles(*CELLS)}
    statuses = {"n_by_status": {"matched": 2, "no_nucleus": 1, "no_cell": 1}}
    counts = COUNTS | statuses | {"segmenter": "pixelcnn", "cell_disputed_px": 3}
    summary, _ = draw(MATCHED | ORIGINAL, counts, truth)
    report = report_of(tmp_path / "sample")
    assert report["summary"] == summary
    assert (report["sample"], report["segmenter"], report["objects"]) == (
        "sample",
        "pixelcnn",
        "cells",
    )
    assert (report["n_by_status"], report["n_disputed_px"]) == (statuses["n_by_status"], 3)
    assert report["provenance"] == PROVENANCE
    assert report["density_per_mm2"] == pytest.approx(3 / (HEIGHT * WIDTH * 0.25e-6))
    image = report["image"]
    assert (image["height"], image["width"], image["mpp"]) == (HEIGHT, WIDTH, 0.5)
    assert (image["nuclear"], image["membrane"]) == (["nuclear"], ["membrane"])

    rows = rows_of(MATCHED | ORIGINAL, 0.5)
    for measure in OF_OBJECTS:
        values = rows[measure.key].dropna()
        found = report["distributions"][measure.key]
        bins = np.floor(values / measure.width + 1e-9).astype(int)
        assert found["n"] == len(values) > 0
        np.testing.assert_array_equal(found["counts"], np.bincount(bins)[: len(found["counts"])])
        assert found["quantiles"]["0.5"] == pytest.approx(values.median())
    density = report["distributions"]["patch_density_per_mm2"]
    per_patch = 2 / (200 * 160 * 0.25e-6), 1 / (180 * 160 * 0.25e-6)
    assert density["n"] == 2
    assert density["quantiles"]["0.5"] == pytest.approx(np.mean(per_patch))

    crops = report["pictures"]["crops"] + report["pictures"]["close_ups"]
    assert all(crop["src"].startswith("data:image/webp;base64,") for crop in crops)
    assert all("".join(crop["lines"].values()).startswith("M") for crop in crops)


def test_flags_of_the_table_are_counted(draw, tmp_path):
    rows = rows_of(MATCHED | ORIGINAL, 0.5)
    assert "n_flagged" not in draw(MATCHED | ORIGINAL, name="plain", rows=rows)[0]
    edge = rows["cell_id"].isin([1, 3]) | (rows["status"] == "no_cell")
    rows = rows.assign(flag_edge=edge, flag_saturated=False, is_flagged=edge)
    summary, _ = draw(MATCHED | ORIGINAL, rows=rows)
    assert (summary["n_flagged"], summary["flag_limits"]) == (2, {})
    assert summary["flags"] == {"edge": 2, "saturated": 0}
    report = report_of(tmp_path / "sample")
    assert report["summary"] == summary
    assert "at the edge of the slide" in (tmp_path / "sample" / "report.html").read_text()


def test_refuses_the_table_of_another_sample(stores_by_kind, tmp_path):
    table = write_table(tmp_path / "other.parquet", rows_of(MATCHED, 0.5), "other")
    with pytest.raises(DataError, match="is of other; give the table of sample"):
        read_cells(table, "sample")


def test_patches_by_state():
    states = patch_states(PATCHES)
    areas = {"segmented": 200 * 160, "uncertified": 180 * 160, "empty": 200 * 140}
    expected = dict.fromkeys([*areas, "skipped"], 1) | {"own": 0, "outside": 0}
    assert {name: state["n"] for name, state in states.items()} == expected
    for name, area in areas.items():
        assert states[name]["area_fraction"] == pytest.approx(area / (HEIGHT * WIDTH))
    assert states["segmented"]["n_objects"] == 2
    assert states["empty"]["reasons"] == {"constant": 1}
    assert states["skipped"]["reasons"] == {"no_signal": 1}
    assert states["skipped"]["path"] == "M200 160h180v140h-180z"


def test_objects_lie_half_a_pixel_further_than_their_centroids():
    rows = rows_of(MATCHED, 0.5)
    compartment, places = shown(rows, 0.5)
    assert compartment == "cell"
    np.testing.assert_allclose(places, [[22.5, 27.5], [37.5, 27.5]])
    compartment, places = shown(rows.drop(columns=rows.filter(like="cell_c")), 0.5)
    assert (compartment, len(places)) == ("nucleus", 2)


def objects_at(places: np.ndarray, mismatch: np.ndarray) -> pd.DataFrame:
    places = {f"cell_centroid_{axis}_um": places[:, k] for k, axis in enumerate("yx")}
    return pd.DataFrame(
        {"cell_id": np.arange(1, len(mismatch) + 1), **places, "mismatch": mismatch}
    )


def test_the_worst_matched_square_has_the_largest_mean_and_enough_objects():
    rng = np.random.default_rng(5)
    places = rng.uniform(0, 1000, (800, 2))
    mismatch = rng.uniform(0, 0.1, 800)
    bad = ((places >= (300, 500)) & (places < (400, 600))).all(axis=1)
    mismatch[bad] = 0.6
    alone = ((places >= (700, 700)) & (places < (900, 900))).all(axis=1)
    rows = objects_at(places[~alone], mismatch[~alone])
    # one object by itself that is worse, and no square around it
    rows = pd.concat([rows, objects_at(np.array([[800.0, 800.0]]), np.array([np.nan]))])
    (worst,) = worst_matched(rows, (1000.0, 1000.0), 0.0)
    assert (worst.y, worst.x) == (300, 500)
    assert worst.n_objects == bad.sum()


def test_no_worst_square_where_all_agrees_or_one_compartment_was_segmented():
    rows = objects_at(np.array([[5.0, 5.0]]), np.array([0.0]))
    assert worst_matched(rows, (200.0, 200.0), 0.5) == []
    assert close_ups(rows, (200.0, 200.0), 0.5, 6) == []
    assert worst_matched(rows.drop(columns="mismatch"), (200.0, 200.0), 0.5) == []


def test_close_ups_show_the_largest_mismatches_inside_the_slide():
    places = np.array([[1.0, 1.0], [50.0, 50.0], [99.0, 99.0], [20.0, 80.0]])
    rows = objects_at(places, np.array([0.3, np.nan, 0.9, 0.1]))
    crops = close_ups(rows, (100.0, 100.0), 0.5, 2)
    assert [crop.title for crop in crops] == ["cell 3: 90.0%", "cell 1: 30.0%"]
    assert [(crop.y, crop.x) for crop in crops] == [(68, 68), (0, 0)]


def test_svg_paths_are_closed_relative_and_within_the_crop():
    crop = Crop("", 10, 20, 100, 1)
    square = np.array([[30, 20], [35, 20], [35, 25], [30, 25], [30, 20]], float)
    point = np.full((5, 2), 40.0)
    path = svg_path(simplified([square, point], 0.05), crop)
    assert path == "M200 200l100 0 0 100 -100 0zM400 600z"


@pytest.mark.parametrize(("width", "bar"), [(100, (20, "20 µm")), (9000, (2000, "2 mm"))])
def test_scale_bars_are_round_and_at_most_a_quarter(width, bar):
    assert scale_bar(width) == bar
