"""The report of a sample: its numbers, and a picture that shows the masks where they are."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from matplotlib.image import imread
from steps import ingest_image

from cellquilt import stores
from cellquilt.label_image import write_label_image
from cellquilt.overlay import crop_lines, crop_signal, outlines, thumbnail
from cellquilt.report import Crop, choose_crops, headlines, object_centres

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


@pytest.fixture
def script(repo, monkeypatch):
    """Return a function that runs the script in this process."""

    def run(store, counts, masks, truth, outdir):
        arguments = ["--store", store, "--counts", counts, "--outdir", outdir]
        arguments += ["--masks", *masks, "--truth", *truth]
        monkeypatch.setattr(sys, "argv", ["report.py", *map(str, arguments)])
        runpy.run_path(str(repo / "bin" / "report.py"), run_name="__main__")

    return run


@pytest.fixture
def report(script, stores_by_kind, tmp_path):
    """Return a function that reports label images; it returns the summary and the picture."""

    def run(masks, counts=COUNTS, truth=None, kind="both", name="sample"):
        inputs, outdir = tmp_path / f"{name}-inputs", tmp_path / name
        files = {}
        for folder, images in (("masks", masks), ("truth", truth or {})):
            (inputs / folder).mkdir(parents=True)
            files[folder] = [inputs / folder / f"{what}.ome.tif" for what in images]
            for path, labels in zip(files[folder], images.values(), strict=True):
                write_label_image(path, labels, 0.5, "labels")
        (inputs / "counts.json").write_text(json.dumps({"sample": "sample", **counts}))
        script(stores_by_kind[kind], inputs / "counts.json", **files, outdir=outdir)
        return json.loads((outdir / "summary.json").read_text()), outdir / "overlay.png"

    return run


def pixels(path):
    """Return a picture as (h, w, 3) in [0, 1]."""
    return imread(path)[..., :3]


def test_summary_holds_counts_fractions_and_f1_of_all_that_was_found(report):
    truth = {
        "cell_truth": rectangles(*CELLS),
        "nucleus_truth": rectangles(*NUCLEI[:1], (0, 9, 0, 9)),
    }
    summary, _ = report(MATCHED | ORIGINAL, truth=truth)
    assert summary == {
        "sample": "sample",
        "image": "slide.ome.tif",
        **COUNTS,
        "segmentation": "segmentation/mesmer-sample",
        "overlay": "overlay.png",
        "f1_cell": 1.0,
        "f1_nucleus": 2 * 1 / (3 + 2),
    }


def test_without_originals_f1_is_that_of_the_matched_masks(report):
    summary, _ = report(MATCHED, truth={"cell_truth": rectangles(*CELLS)})
    assert summary["f1_cell"] == 2 * 2 / (2 + 3)
    assert "f1_nucleus" not in summary


@pytest.mark.parametrize(
    ("mask", "count", "kind"), [("cell", "n_cells", "both"), ("nucleus", "n_nuclei", "nuclear")]
)
def test_single_compartment(report, mask, count, kind):
    masks = {mask: MATCHED[mask], f"{mask}_boundary": NOTHING}
    summary, overlay = report(masks, {count: 2}, kind=kind)
    assert {name: summary[name] for name in COUNTS} == dict.fromkeys(COUNTS) | {count: 2}
    picture = pixels(overlay)
    assert picture.shape[0] > 400
    # Without a membrane channel nothing in the thumbnail is more green than blue.
    height, width = picture.shape[:2]
    slide = picture[height // 4 : height // 2, width // 8 : width // 4]
    assert (slide[..., 1] > slide[..., 2] + 0.1).any() == (kind == "both")


def test_outlines_are_drawn_in_the_crops_and_only_there(report):
    masks = MATCHED | ORIGINAL
    moved = masks | {"nucleus": np.roll(masks["nucleus"], 3, axis=1)}
    before, after = (
        pixels(report(given, name=name)[1]) for name, given in (("before", masks), ("after", moved))
    )
    assert before.shape == after.shape
    height, width = before.shape[:2]
    assert 400 < height < 1300 and 800 < width < 1800
    different = np.abs(before - after).max(axis=-1) > 0.1
    assert different.any()
    thumbnail_edge = 24 + 1056 * WIDTH / HEIGHT
    assert np.flatnonzero(different.any(axis=0)).min() > min(thumbnail_edge, 24 + 1120)


def test_no_cells(report):
    masks = dict.fromkeys([*MATCHED, *ORIGINAL], NOTHING)
    counts = dict.fromkeys(COUNTS) | {"n_cells": 0, "n_nuclei": 0, "n_matched": 0}
    summary, overlay = report(masks, counts, truth={"cell_truth": NOTHING})
    assert (summary["n_cells"], summary["matched_fraction"], summary["f1_cell"]) == (0, None, None)
    assert pixels(overlay).shape[1] < pixels(report(MATCHED, name="full")[1]).shape[1]


def test_nuclei_are_shown_where_there_are_no_cells(report):
    nuclei_alone, nothing = (
        pixels(report({"cell": NOTHING, "nucleus": nuclei}, name=name)[1])
        for name, nuclei in (("nuclei", MATCHED["nucleus"]), ("nothing", NOTHING))
    )
    assert nuclei_alone.shape[1] > nothing.shape[1]


def test_small_slide(report):
    masks = {name: labels[:64, :64] for name, labels in MATCHED.items()}
    _, overlay = report(masks, kind="small")
    height, width = pixels(overlay).shape[:2]
    assert 400 < height < 800 and 800 < width < 1200


def test_equal_input_gives_an_equal_file_without_a_trace_of_time_or_program(report):
    first, second = (report(MATCHED, name=name)[1].read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"tEXt" not in first and b"tIME" not in first and b"Matplotlib" not in first


def test_dollar_signs_in_a_name_start_no_formula(script, stores_by_kind, tmp_path):
    with stores.read(stores_by_kind["small"]) as source:
        facts = dict(source.attrs["facts"])
        facts["nuclear"] = {"index": 0, "name": r"$\frac$"}
        with stores.create(tmp_path / "odd.zip", {"facts": facts}) as copy:
            for name in ("codes", "lut"):
                array = source[name]
                stores.new_array(copy, name, array.shape, array.dtype, array.chunks)[:] = array[:]
    write_label_image(tmp_path / "nucleus.ome.tif", NOTHING[:64, :64], 0.5, "nucleus")
    (tmp_path / "counts.json").write_text('{"n_nuclei": 0}')
    masks = [tmp_path / "nucleus.ome.tif"]
    script(tmp_path / "odd.zip", tmp_path / "counts.json", masks, [], tmp_path)
    assert pixels(tmp_path / "overlay.png").shape[0] > 256


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"cell": MATCHED["cell"][:, :-1]}, ["cell.ome.tif", "(300, 379)", "(300, 380)"]),
        ({"cytoplasm": MATCHED["cell"]}, ["sample", "cytoplasm", "cell.ome.tif"]),
    ],
)
def test_refuses_masks_that_are_not_of_the_slide_or_of_no_objects(report, capsys, masks, words):
    with pytest.raises(SystemExit) as ended:
        report(masks)
    message = capsys.readouterr().err
    assert ended.value.code == 65
    assert all(word in message for word in words)
    assert message.count("\n") <= 2


def test_runs_by_itself_where_the_home_folder_cannot_be_written(repo, stores_by_kind, tmp_path):
    write_label_image(tmp_path / "cell.ome.tif", MATCHED["cell"], 0.5, "cell")
    (tmp_path / "counts.json").write_text('{"n_cells": 2}')
    command = [repo / "bin" / "report.py", "--store", stores_by_kind["both"]]
    command += ["--counts", tmp_path / "counts.json", "--outdir", tmp_path]
    command += ["--masks", tmp_path / "cell.ome.tif", "--truth"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"HOME": str(tmp_path / "cell.ome.tif"), "PATH": path}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    subprocess.run(command, check=True, env=environment)
    assert (tmp_path / "overlay.png").exists() and (tmp_path / "summary.json").exists()


def test_headlines():
    facts = {"image": {"width": 12345, "height": 678}, "image_mpp": 0.37745}
    summary = {"sample": "s" * 40, **COUNTS, "n_cells": 2912, "f1_cell": 0.91234}
    name, size, counts = headlines(summary, facts)
    assert len(name) == 32 and name.endswith("…")
    assert size == "12,345 × 678 px,  0.3775 µm/px"
    assert counts == (
        "2,912 cells  ·  3 nuclei  ·  2 matched (66.7% of cells, 66.7% of nuclei)"
        "  ·  F1 against truth: 0.912 cells  ·  all certified"
    )


def test_headlines_say_what_is_not_proved():
    facts = {"image": {"width": 12345, "height": 678}, "image_mpp": 0.5}
    unproved = {"n_uncertified_cells": 1200, "n_unproved_patches": 3}
    counts = headlines({"sample": "s", **COUNTS, **unproved}, facts)[2]
    assert counts.endswith("  ·  1,200 cells not certified, 3 patches skipped without proof")


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


def test_no_objects_no_crops():
    assert choose_crops(np.empty((0, 2)), (500.0, 500.0)) == []


@pytest.mark.parametrize("mpp", [0.25, 0.5, 2.0])
def test_centres_are_centroids_whatever_the_pyramid_level(tmp_path, mpp):
    labels = np.zeros((1500, 1200), np.uint32)
    labels[400:480, 640:720], labels[1000:1064, 64:192] = 7, 900
    write_label_image(tmp_path / "cell.ome.tif", labels, mpp, "cell")
    centres = object_centres(tmp_path / "cell.ome.tif", mpp) / mpp
    np.testing.assert_allclose(centres, [[440, 680], [1032, 128]], atol=4 / mpp)


def test_outlines_enclose_the_area_of_each_object():
    labels = rectangles(*CELLS) * 1000
    for smoothing in (0.01, 1.0):
        lines = list(outlines(labels, smoothing))
        assert len(lines) == len(CELLS)
        for line, (y0, y1, x0, x1) in zip(lines, CELLS, strict=True):
            y, x = line.T
            area = abs(np.sum(y[:-1] * x[1:] - y[1:] * x[:-1])) / 2
            assert area == pytest.approx((y1 - y0) * (x1 - x0), rel=0.01)
            np.testing.assert_allclose(line.mean(0), [(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2], atol=1)


def test_an_object_that_fills_its_image_has_an_outline():
    (line,) = outlines(np.full((20, 30), 5, np.uint32), 0.5)
    assert line.min() < 0 and np.ptp(line, axis=0) == pytest.approx([20, 30], abs=0.5)


@pytest.mark.parametrize("mpp", [0.3, 0.5, 1.0])
def test_lines_are_in_um_and_unmatched_objects_apart(tmp_path, mpp):
    masks = {}
    for name, labels in (MATCHED | ORIGINAL).items():
        masks[name] = tmp_path / f"{name}.ome.tif"
        write_label_image(masks[name], labels, mpp, name)
    lines = crop_lines(masks, Crop("", 20 * mpp, 30 * mpp, 140 * mpp, 3), mpp)
    assert {kind: len(found) for kind, found in lines.items()} == {
        "cell": 2,
        "nucleus": 2,
        "unmatched": 1,
    }
    x, y = lines["unmatched"][0].T / mpp
    expected = [120, 150, 90, 130]
    np.testing.assert_allclose([y.min(), y.max(), x.min(), x.max()], expected, atol=0.5)


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
    (tmp_path / "counts.json").write_text('{"n_cells": 2745}')
    cell, truth = (tmp_path / f"{name}.ome.tif" for name in masks)
    script(store, tmp_path / "counts.json", [cell], [truth], tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["f1_cell"] == pytest.approx(0.588, abs=0.002)
