"""A slide that cannot be used is refused, and named everywhere; the others of its run go on."""

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.cohort import GOOD, MAX_MPX, REFUSED, SIDES, Cohort
from support.parsers import V1
from system.faults.runs import RECORD, files_of

from cellquilt.synthetic.tissue import CHANNELS

NETWORKS = ["whole-cell.keras", "nuclear.keras"]


@pytest.fixture(scope="module")
def corrected(nextflow, cohort: Cohort, tmp_path_factory):
    """Resume the run without those that it refused, but one that is corrected.

    Return the results and what the run said.
    """
    folder = tmp_path_factory.mktemp("corrected")
    sheet = cohort.write_sheet(folder, [*GOOD, "channel"], nuclear="DAPI")
    options = ["--input", sheet, "--segmenter", "pixelcnn", *MAX_MPX, *cohort.resume_in(folder)]
    done = nextflow(*options, folder=folder, accept=False, env=V1)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results", done.stdout


def lines_of(said: str) -> dict[tuple[str, str], str]:
    """Return the list of refused slides that ends a run."""
    found = re.findall(r"^ +(\w+), ([A-Z]+): (.+)$", said, re.M)
    return {(sample, step): message for sample, step, message in found}


def test_the_others_are_published_as_if_none_was_refused(cohort, corrected):
    """In a bundle; that it gives what a slide's steps give by themselves is in test_bundles."""
    for sample in GOOD:
        found, expected = (
            files_of(results / sample) for results in (cohort.bundled.results, corrected[0])
        )
        records = [json.loads(files.pop(RECORD)) for files in (expected, found)]
        assert len(found) > 12 and found == expected
        assert records[0]["files"] == records[1]["files"]


def test_each_refused_slide_is_named_with_its_reason(cohort):
    """On the console, in the report, and in MultiQC's tables."""
    said, results = cohort.bundled.said, cohort.bundled.results
    listed = lines_of(said)
    assert {sample: step for sample, step in listed} == {k: v[0] for k, v in REFUSED.items()}
    page = (results / "report.html").read_text()
    table = results / "multiqc" / "cellquilt_refused_mqc.json"
    data = json.loads(table.read_text())["data"]
    assert "3 samples, segmented with" in page and "3 refused" in page
    for sample, (step, text) in REFUSED.items():
        message = listed[sample, step]
        assert text in message
        shown = {key: html.unescape(value) for key, value in data[sample].items()}
        assert shown == {"step": step, "message": message}
        assert f"<b>{sample}, {step}</b>" in page
    assert "3 slides were refused" in said


def test_on_resume_the_bundle_of_a_corrected_slide_is_run(corrected):
    results, said = corrected
    submitted = re.findall(r"Submitted process > (?:\w+:)*(\w+)", said)
    assert sorted(submitted) == ["CHAIN", "EXPORT", "REPORT"]
    assert (results / "channel" / "summary.json").exists()
    assert "refused" not in (results / "report.html").read_text()


def test_fail_fast_ends_the_run(nextflow, cohort, tmp_path):
    sheet = cohort.write_sheet(tmp_path, SIDES)
    given = ["--input", sheet, "--segmenter", "pixelcnn", "--fail_fast"]
    done = nextflow(*given, folder=tmp_path, accept=False)
    assert done.returncode == 1
    assert "terminated with an error exit status (65)" in done.stdout
    assert not list(tmp_path.glob("results/*/summary.json"))


@pytest.fixture(scope="module")
def slides(bin_script, tmp_path_factory) -> Path:
    """Return a folder of two slides that are good, and their sheet."""
    folder = tmp_path_factory.mktemp("slides")
    size = ["--height", "330", "--width", "700", "--seed", "3"]
    assert bin_script("generate", *size, "--outdir", folder).returncode == 0
    image = tifffile.imread(folder / "tissue.ome.tif")
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    metadata |= {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    rows = ["sample,image,nuclear,membrane"]
    for k, name in enumerate(("one", "two")):
        options = {"ome": True, "metadata": metadata, "photometric": "minisblack"}
        part = np.roll(image, 40 * k, axis=2)[:, :300, :300]
        tifffile.imwrite(folder / f"{name}.ome.tif", part, tile=(128, 128), **options)
        rows.append(f"{name},{name}.ome.tif,DAPI,CD45;PanCK")
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_masks_are_refused_where_a_task_of_a_slide_failed(nextflow, repo, slides, tmp_path):
    """The user lets tasks fail; what did not come is neither an empty nor a partial mask."""
    config = tmp_path / "ignore.config"
    fails = "[[ '${pixels}' != task-00001* || '${meta.id}' != one ]]"
    config.write_text(
        "process { withName: 'CLASSIFY' {\n  beforeScript = {"
        f' "export PATH=${{params.environments}}/runtime/bin:\\$PATH; {fails}" }}\n'
        "  errorStrategy = 'ignore'\n} }\n"
    )
    patches = ["--patch_size", "192", "--patches_per_task", "2", "--compartment", "nuclear"]
    patches += ["--bundle_slides", "0"]
    networks = ",".join(str(repo / "assets" / "networks" / name) for name in NETWORKS)
    options = ["--segmenter", "pixelcnn", "--models", networks, "--formats", "csv", *patches]
    given = ["--input", slides / "sheet.csv", "-c", config, *options]
    done = nextflow(*given, folder=tmp_path, accept=False, env=V1)
    assert done.returncode == 1, done.stdout
    assert re.search(r"one, STITCH: one: the labels of 2 of 4 patches did not come", done.stdout)
    assert not (tmp_path / "results" / "one" / "segmentation").exists()
    with open(tmp_path / "results" / "two" / "patches_metadata.csv") as file:
        assert len(list(csv.DictReader(file))) >= 4
