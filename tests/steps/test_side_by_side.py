"""Several segmenters of a slide in a run: what they share is done once, the results are apart."""

import csv
import json

import numpy as np
import pytest
import tifffile
from support.slides import pixels, write
from support.steps import write_slide
from system.faults.runs import files_of

from cellquilt.synthetic.tissue import generate_tissue

STEPS = ["--bundle_slides", "0"]
RECORDS = ("files.json",)


@pytest.fixture(scope="module")
def runs(nextflow, tmp_path_factory) -> dict[str, tuple[dict[str, bytes], str]]:
    """Return the results and the messages of three runs on a slide with a mask of its nuclei.

    First one segmenter by itself, then with -resume another one beside it, then both in a bundle.
    """
    folder = tmp_path_factory.mktemp("several")
    tissue = generate_tissue(200, 230, seed=3, empty_width=0)
    write_slide(folder / "slide.ome.tif", np.moveaxis(tissue.image[[0, 2]], 0, -1))
    tifffile.imwrite(folder / "cells.tif", tissue.cell_truth.astype(np.int32))
    tifffile.imwrite(
        folder / "nuclei.tif", tissue.nucleus_truth.astype(np.int64), compression="zlib"
    )
    header = ["sample", "image", "nuclear", "membrane", "cell_mask", "nucleus_mask"]
    row = ["a", "slide.ome.tif", "nuclear", "membrane", "cells.tif", "nuclei.tif"]
    (folder / "sheet.csv").write_text(f"{','.join(header)}\n{','.join(row)}\n")
    found = {}
    for name, options in {
        "alone": ["--segmenter", "pixelcnn", *STEPS],
        "steps": ["--segmenter", "pixelcnn,masks", *STEPS, "-resume"],
        "bundle": ["--segmenter", "pixelcnn,masks"],
    }.items():
        given = ["--input", "sheet.csv", "--formats", "csv", "--outdir", name, *options]
        done = nextflow(*given, folder=folder, accept=False)
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
    assert several["a-pixelcnn/matches.csv"] == alone["a/matches.csv"]
    folders = {path.split("/")[0] for path in several if "/" in path}
    assert folders == {"a", "a-pixelcnn", "a-masks", "multiqc", "pipeline_info"}
    assert {path for path in several if path.startswith("a/")} == {
        f"a/{name}" for name in ("sample.json", "comparison.html", "agreement.csv", "files.json")
    }
    names = {path.rpartition("/")[2] for path in several if path.startswith("a-masks/")}
    assert {"a-masks.parquet", "a-masks--masks_cell.csv", "report.html"} <= names
    assert "a-masks: " in runs["steps"][1] and "a-pixelcnn: " in runs["steps"][1]
    samples = list(csv.DictReader(several["samples.csv"].decode().splitlines()))
    assert [row["sample"] for row in samples] == ["a-masks", "a-pixelcnn"]
    assert 'href="a/comparison.html"' in several["report.html"].decode()


def test_a_bundle_gives_the_files_of_the_steps(runs):
    steps, bundle = (runs[name][0] for name in ("steps", "bundle"))
    kept = [path for path in steps if path.startswith("a") and not path.endswith(RECORDS)]
    assert sorted(kept) == sorted(p for p in bundle if p.startswith("a") and p in kept)
    assert [path for path in kept if steps[path] != bundle[path]] == []
    assert len(kept) > 40


def test_masks_of_ones_own_are_as_they_were_given(runs):
    counts = json.loads(runs["steps"][0]["a-masks/stitch.json"])
    tissue = generate_tissue(200, 230, seed=3, empty_width=0)
    assert counts["n_cells"] > 20
    assert counts["n_cells"] == len(np.unique(tissue.cell_truth)) - 1
    assert counts["n_nuclei"] == len(np.unique(tissue.nucleus_truth)) - 1


def test_rows_without_their_masks_are_refused_together(nextflow, tmp_path):
    """Before a task starts, also in a check, which looks at the masks' headers."""
    write(tmp_path / "i.ome.tif", pixels((1, 64, 64)))
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((32, 32), np.uint16))
    header = "sample,image,nuclear,membrane,cell_mask,nucleus_mask\n"
    rows = ["a,i.ome.tif,0,,,", "b,i.ome.tif,0,,x.tif,", "c,i.ome.tif,0,,m.tif,"]
    (tmp_path / "sheet.csv").write_text(header + "\n".join(rows) + "\n")
    given = ["--input", "sheet.csv", "--segmenter", "masks"]
    done = nextflow(*given, folder=tmp_path, accept=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Submitted process" not in said
    assert "row 2: --segmenter masks needs a mask of cells or of nuclei, and none is named" in said
    assert "row 3: cell_mask x.tif does not exist" in said
    done = nextflow(*given, "--mode", "check", folder=tmp_path, accept=False)
    said = done.stdout + done.stderr
    assert "the cell mask is 32 x 32 px and the slide 64 x 64 px; it was made at 0.5 times" in said
