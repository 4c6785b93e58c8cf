"""Several segmenters of a slide in a run: what they share is done once, the results are apart."""

import csv
import json

import numpy as np
import pytest
import tifffile
from support.cohort import Cohort
from support.parameters import SEGMENT
from support.parsers import V1, V2
from support.slides import pixels, write
from system.faults.runs import RECORD, files_of


@pytest.fixture(scope="module")
def runs(nextflow, cohort: Cohort, tmp_path_factory) -> dict[str, tuple[dict[str, bytes], str]]:
    """Return the results and the messages of three runs on a slide with masks of its own.

    First one segmenter by itself, then with -resume another one beside it, then both in a bundle.
    """
    folder = tmp_path_factory.mktemp("several")
    cells, nuclei = cohort.large.cell_truth, cohort.large.nucleus_truth
    tifffile.imwrite(folder / "cells.tif", cells.astype(np.int32))
    tifffile.imwrite(folder / "nuclei.tif", nuclei.astype(np.int64), compression="zlib")
    masks = {"cell_mask": "cells.tif", "nucleus_mask": "nuclei.tif"}
    cohort.write_sheet(folder, ["large"], **masks)
    common = ["--input", "sheet.csv", "--formats", "csv", "--segmenter", "pixelcnn,masks"]
    found = {"alone": (files_of(cohort.bundled.results), cohort.bundled.said)}
    for name, options, parser in (
        ("steps", ["--bundle_slides", "0", *cohort.resume_in(folder)], V1),
        ("bundle", [], V2),
    ):
        given = [*common, "--outdir", name, *options]
        done = nextflow(*given, folder=folder, accept=False, env=parser)
        assert done.returncode == 0, done.stdout + done.stderr
        found[name] = files_of(folder / name), done.stdout
    return found


def test_a_segmenter_that_is_added_repeats_nothing_of_the_other(runs):
    _, said = runs["steps"]
    for step in ("INGEST", "PATCH", "MAPS:CLASSIFY", "LABEL"):
        assert f"Cached process > SEGMENTATION:MASKS:{step}" in said, step
        assert f"Submitted process > SEGMENTATION:MASKS:{step}" not in said, step
    assert said.count("MASKS:INGEST") == 1


def test_each_has_its_results_under_its_own_name(runs):
    alone, several = runs["alone"][0], runs["steps"][0]
    assert several["large-pixelcnn/matches.csv"] == alone["large/matches.csv"]
    folders = {path.split("/")[0] for path in several if "/" in path}
    assert folders == {"large", "large-pixelcnn", "large-masks", "multiqc", "pipeline_info"}
    names = ("sample.json", "comparison.html", "agreement.csv", "files.json")
    shared = {path for path in several if path.startswith("large/")}
    assert shared == {f"large/{name}" for name in names}
    names = {path.rpartition("/")[2] for path in several if path.startswith("large-masks/")}
    assert {"large-masks.parquet", "large-masks--masks_cell.csv", "report.html"} <= names
    assert "large-masks: " in runs["steps"][1] and "large-pixelcnn: " in runs["steps"][1]
    samples = list(csv.DictReader(several["samples.csv"].decode().splitlines()))
    assert [row["sample"] for row in samples] == ["large-masks", "large-pixelcnn"]
    assert 'href="large/comparison.html"' in several["report.html"].decode()


def test_a_bundle_gives_the_files_of_the_steps(runs):
    steps, bundle = (
        {path: content for path, content in runs[name][0].items() if path.startswith("large")}
        for name in ("steps", "bundle")
    )
    kept = [path for path in steps if not path.endswith(RECORD)]
    assert sorted(kept) == sorted(path for path in bundle if path in kept)
    assert [path for path in kept if steps[path] != bundle[path]] == []
    assert len(kept) > 40


def test_masks_of_ones_own_are_as_they_were_given(runs, cohort: Cohort):
    counts = json.loads(runs["steps"][0]["large-masks/stitch.json"])
    assert counts["n_cells"] > 20
    assert counts["n_cells"] == len(np.unique(cohort.large.cell_truth)) - 1
    assert counts["n_nuclei"] == len(np.unique(cohort.large.nucleus_truth)) - 1


def test_rows_without_their_masks_are_refused_together(nextflow, look, tmp_path):
    """Before a task starts, also in a check, which looks at the masks' headers."""
    write(tmp_path / "i.ome.tif", pixels((1, 64, 64)))
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((32, 32), np.uint16))
    header = "sample,image,nuclear,membrane,cell_mask,nucleus_mask\n"
    rows = ["a,i.ome.tif,0,,,", "b,i.ome.tif,0,,x.tif,", "c,i.ome.tif,0,,m.tif,"]
    (tmp_path / "sheet.csv").write_text(header + "\n".join(rows) + "\n")
    given = {"input": str(tmp_path / "sheet.csv"), "segmenter": "masks"}
    said = "\n".join(look(tmp_path, {"masks": SEGMENT | given})["masks"]["refused"])
    assert "row 2: --segmenter masks needs a mask of cells or of nuclei, and none is named" in said
    assert "row 3: cell_mask x.tif does not exist" in said
    options = ["--input", "sheet.csv", "--segmenter", "masks", "--mode", "check"]
    done = nextflow(*options, folder=tmp_path, accept=False)
    said = done.stdout + done.stderr
    assert "the cell mask is 32 x 32 px and the slide 64 x 64 px; it was made at 0.5 times" in said
