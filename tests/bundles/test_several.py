"""Several segmenters of one slide in a bundle: each has its own results, compared beside them."""

import csv
import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.segmentation import expand_labels
from support.steps import write_slide
from system.faults.runs import files_of

from cellquilt.cells.object_f1 import object_f1

NAMES = ["field-pixelcnn", "field-masks"]


@pytest.fixture(scope="module")
def given(tissue_image, tmp_path_factory) -> dict:
    """Return a slide as chain.py reads it, but for its segmenter."""
    folder = tmp_path_factory.mktemp("slide")
    path = write_slide(folder / "field.ome.tif", tissue_image[100:330, 300:520], 0.5)
    common = {"nuclear": "nuclear", "membrane": "membrane", "compartment": "both"}
    return {"images": [str(path)], "columns": {}} | common


@pytest.fixture(scope="module")
def chained(repo, bin_script):
    """Return a function that runs chain.py over slides in a folder that is made."""
    names = ("whole-cell", "nuclear")
    networks = [f"pixelcnn={repo / 'assets' / 'networks' / name}.keras" for name in names]
    settings = ["--networks", *networks, "--to_table", "--left", "left"]

    def run(folder, slides, *options) -> dict[str, bytes]:
        folder.mkdir(parents=True)
        done = bin_script("chain", *settings, *options, cwd=folder, input=json.dumps(slides))
        assert done.returncode == 0, done.stderr
        return files_of(folder) | {"said": done.stderr.encode()}

    return run


@pytest.fixture(scope="module")
def alone(chained, given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    return folder, chained(folder, [given | {"sample": "field", "segmenter": "pixelcnn"}])


@pytest.fixture(scope="module")
def several(chained, given, alone, tmp_path_factory):
    """Return the run of pixel classifiers beside masks that are theirs, changed here and there."""
    folder = tmp_path_factory.mktemp("several")
    masks = alone[0] / "field" / "segmentation" / "pixelcnn-field"
    own = {}
    for name in ("cell", "nucleus"):
        labels = tifffile.imread(masks / f"{name}_original.ome.tif")
        labels[labels % 5 == 0] = 0
        own[f"{name}_mask"] = str(folder / f"{name}.tif")
        grown = expand_labels(labels, 2) if name == "cell" else labels
        tifffile.imwrite(own[f"{name}_mask"], grown.astype(np.uint32))
    slides = [
        given | own | {"slide": "field", "sample": name, "segmenter": name.partition("-")[2]}
        for name in NAMES
    ]
    return folder / "run", chained(folder / "run", slides), slides


def test_each_has_the_results_that_it_has_alone(several, alone):
    """Under its own name, with one INGEST of the slide."""
    _, found, _ = several
    assert found["field/sample.json"] == alone[1]["field/sample.json"]
    assert found["said"].count(b"patches informative") == 1
    own = {path.replace("field-pixelcnn", "field") for path in found if "field-pixelcnn/" in path}
    assert own == {path for path in alone[1] if "field/" in path} - {"field/sample.json"}
    for path in ("matches.csv", "uncertified.csv", "patches_metadata.csv"):
        assert found[f"field-pixelcnn/{path}"] == alone[1][f"field/{path}"]
    for name in ("cell", "nucleus", "cytoplasm", "cell_original"):
        path = f"segmentation/pixelcnn-{{}}/{name}.ome.tif"
        own = found[f"field-pixelcnn/{path.format('field-pixelcnn')}"]
        assert own == alone[1][f"field/{path.format('field')}"]
    tables = [
        pd.read_parquet(folder / sample / "quantification" / f"{sample}.parquet")
        for folder, sample in ((several[0], NAMES[0]), (alone[0], "field"))
    ]
    pd.testing.assert_frame_equal(*tables)


def test_every_file_carries_its_segmenter(several):
    _, found, _ = several
    slides = {path.split("/")[0] for path in found if "/" in path} - {"_reports"}
    assert slides == {"field", *NAMES}
    assert {path for path in found if path.startswith("field/")} == {
        f"field/{name}" for name in ("sample.json", "comparison.html", "agreement.csv")
    }
    for name in NAMES:
        summary = json.loads(found[f"{name}/summary.json"])
        assert summary["sample"] == name and name in summary["segmentation"]
        report = json.loads(found[f"_reports/{name}/report.json"])
        assert (report["sample"], report["slide"]) == (name, "field")


def test_agreement_is_that_of_the_masks(several):
    folder, found, _ = several
    rows = list(csv.DictReader(found["field/agreement.csv"].decode().splitlines()))
    assert len(rows) == 2 * 5
    for first, second in combinations(NAMES, 2):
        for compartment in ("cell", "nucleus"):
            masks = [
                tifffile.imread(
                    folder
                    / name
                    / "segmentation"
                    / f"{name.partition('-')[2]}-{name}"
                    / f"{compartment}_original.ome.tif"
                )
                for name in (first, second)
            ]
            for iou in (0.5, 0.9):
                (row,) = [
                    r
                    for r in rows
                    if (r["first"], r["second"], r["compartment"], r["iou"])
                    == (first, second, compartment, str(iou))
                ]
                expected = object_f1(*masks, iou=iou)
                assert float(row["f1"]) == pytest.approx(expected["f1"], abs=1e-6)
                assert int(row["n_matched"]) == expected["n_true_positive"]
    assert 0.4 < float(rows[0]["f1"]) < 0.95


def test_the_page_has_counts_agreement_and_crops(several):
    _, found, _ = several
    page = found["field/comparison.html"].decode()
    counts = [json.loads(found[f"{name}/summary.json"]) for name in NAMES]
    for name, summary in zip(NAMES, counts, strict=True):
        assert f'href="../{name}/report.html"' in page
        assert f'<td class="n">{summary["n_cells"]:,}</td>' in page
    assert "pixel classifiers" in page and "own masks" in page
    assert page.count('class="result-1"') >= 1 and page.count('class="result-2"') >= 1
    assert "http" not in page.replace("http-equiv", "")


def test_a_result_that_is_refused_leaves_the_others(chained, several, tmp_path):
    _, found, slides = several
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((9, 9), np.uint16))
    wrong = slides[1] | {"cell_mask": str(tmp_path / "small.tif")}
    run = chained(tmp_path / "run", [slides[0], wrong], "--refusals", "_refused")
    assert [path for path in run if path.startswith("_refused/")] == [
        "_refused/ADOPT/field-masks.txt"
    ]
    assert run["field-pixelcnn/matches.csv"] == found["field-pixelcnn/matches.csv"]
    assert "field/comparison.html" not in run
