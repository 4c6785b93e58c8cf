"""Cellquilt's modules and subworkflow in another pipeline: tests/steps/outsider.

The project is assembled as docs/reuse.md describes, runs without this pipeline's configuration, and
must give the same results as this pipeline.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tifffile
from support.parsers import V1, V2
from support.several import Done, Nextflow
from system.faults.scenes import whole_run

from cellquilt.cells import cell_table
from cellquilt.handoff.step_files import (
    read_facts,
    read_matches,
    read_patch_flags,
    read_provenance,
    read_uncertified,
)
from cellquilt.mesmer.card import FORMAT

SEGMENTERS = ("mesmer", "pixelcnn")
MASKS = ["cell", "cell_boundary", "cell_original", "cytoplasm"]
MASKS += ["nucleus", "nucleus_boundary", "nucleus_original"]


@pytest.fixture(scope="module")
def project(repo, tmp_path_factory) -> Path:
    """Return the folder of the other pipeline, with a copy of what it uses of this one."""
    folder = tmp_path_factory.mktemp("outsider") / "project"
    shutil.copytree(repo / "tests" / "steps" / "outsider", folder)
    text = (folder / "main.nf").read_text()
    (folder / "main.nf").write_text(text.replace("'../../../", "'./cellquilt/"))
    for part in ("modules", "subworkflows"):
        shutil.copytree(repo / part, folder / "cellquilt" / part)
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(repo / "bin", folder / "bin", ignore=unneeded)
    return folder


@pytest.fixture(scope="module")
def slide(bin_script, tmp_path_factory) -> Path:
    """Return a tissue of about 60 cells."""
    folder = tmp_path_factory.mktemp("slide")
    size = ["--height", "256", "--width", "300", "--seed", "3", "--empty_width", "0"]
    assert bin_script("generate", *size, "--outdir", folder).returncode == 0
    return folder / "tissue.ome.tif"


@pytest.fixture(scope="module")
def reuse(repo, project, slide, cache, tmp_path_factory) -> Iterator[Callable[..., Done]]:
    """Return a function that runs the other pipeline in a folder."""
    environment = cache / "envs" / "runtime" / "bin"
    path = f"{environment}{os.pathsep}{os.environ['PATH']}"
    inputs = ["--models", cache / "models" / f"format-{FORMAT}-wheel"]
    inputs += ["--networks", repo / "assets" / "networks" / "*.keras"]

    with Nextflow(tmp_path_factory.mktemp("nextflow"), PATH=path) as nextflow:

        def run(folder: Path, *options, script: str = "main.nf", of=slide, env: dict = V1) -> Done:
            given = [*inputs, *options, "--slide", of]
            return nextflow.run("run", project / script, *given, folder=folder, **env)

        yield run


def masks_of(folder: Path, sample: str, segmenter: str) -> dict[str, bytes]:
    masks = folder / sample / "segmentation" / f"{segmenter}-{sample}"
    return {path.name.removesuffix(".ome.tif"): path.read_bytes() for path in masks.iterdir()}


@pytest.fixture(scope="module")
def own(of_all_workers) -> dict[str, Path]:
    """Return the results of this pipeline on its tissue, by segmenter."""
    return {name: whole_run(name, of_all_workers).results / "demo" for name in SEGMENTERS}


@pytest.fixture(scope="module")
def found(reuse, own, tmp_path_factory) -> Path:
    """Run the other pipeline; return its results."""
    folder = tmp_path_factory.mktemp("reuse")
    masks = own["mesmer"] / "segmentation" / "mesmer-demo" / "*_original.ome.tif"
    done = reuse(folder, "--own_masks", masks, of=own["mesmer"] / "tissue.ome.tif")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "found"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample", "segmenter"),
    [("by_mesmer", "mesmer"), ("by_networks", "pixelcnn"), ("shared", "pixelcnn")],
)
def test_the_subworkflow_finds_what_this_pipeline_finds(found, own, sample, segmenter):
    theirs = masks_of(found, sample, segmenter)
    ours = masks_of(own[segmenter].parent, "demo", segmenter)
    assert sorted(theirs) == MASKS and theirs == ours
    assert (found / sample / "matches.csv").read_bytes() == (
        own[segmenter] / "matches.csv"
    ).read_bytes()
    table = cell_table.read(found / sample / "quantification" / f"{sample}.parquet")
    assert set(table.pop("patient")) == {7}  # theirs
    assert table.equals(cell_table.read(own[segmenter] / "quantification" / "demo.parquet"))


@pytest.mark.slow
def test_a_slide_of_nuclei_alone_goes_beside_others(found):
    masks = masks_of(found, "nuclei", "pixelcnn")
    assert sorted(masks) == ["nucleus", "nucleus_boundary"]
    table = cell_table.read(found / "nuclei" / "quantification" / "nuclei.parquet")
    folder = found / "nuclei" / "segmentation" / "pixelcnn-nuclei"
    assert len(table) == tifffile.imread(folder / "nucleus.ome.tif").max() > 20


@pytest.mark.slow
def test_masks_of_another_program_are_repaired_as_our_own(found, own):
    """The certificates alone are not known of them."""
    theirs = masks_of(found, "own", "cellpose")
    ours = masks_of(own["mesmer"].parent, "demo", "mesmer")
    assert theirs == {name: ours[name] for name in ours if not name.endswith("_original")}


@pytest.mark.slow
def test_versions_come_without_doing_anything(found):
    lines = (found / "versions.txt").read_text().splitlines()
    steps = {line.partition(":")[0] for line in lines}
    assert steps == {
        *("CHAIN", "INGEST", "PATCH", "SEGMENT", "CLASSIFY", "LABEL", "STITCH", "REPAIR"),
        "QUANTIFY",
    }
    assert all(": cellquilt: cellquilt 0." in line and "python 3." in line for line in lines)


def test_it_runs_as_stub_in_the_syntax_of_nextflow_26(reuse, slide, tmp_path):
    done = reuse(tmp_path, "--own_masks", slide, "-stub", env=V2)
    assert done.returncode == 0, done.stdout + done.stderr
    found = tmp_path / "found"
    assert sorted(masks_of(found, "by_mesmer", "mesmer")) == MASKS
    assert sorted(masks_of(found, "shared", "pixelcnn")) == MASKS
    assert sorted(masks_of(found, "nuclei", "pixelcnn")) == ["nucleus", "nucleus_boundary"]


def test_stubs_of_what_is_handed_over_can_be_read(repo, tmp_path):
    """So that a stub run can be followed by real steps, as when one of them is tried out."""
    for step in ("ingest", "stitch", "repair"):
        command = [sys.executable, repo / "bin" / "stub.py", step, "--sample", "a"]
        subprocess.run([*command, "--outdir", tmp_path], cwd=tmp_path, check=True)
    assert read_facts(tmp_path / "sample.json", needs_image=True)["sample"] == "a"
    assert [step["step"] for step in read_provenance(tmp_path / "provenance.json")["steps"]] == [
        "STITCH"
    ]
    assert read_uncertified(tmp_path / "uncertified.csv").empty
    assert len(read_patch_flags(tmp_path / "patches_metadata.csv")) == 1
    assert set(read_matches(tmp_path / "matches.csv")["status"]) == {"matched"}


@pytest.mark.parametrize(
    ("written", "wrong", "message"),
    [
        ("compartment: 'both', ", "", "meta.compartment is 'null'; give 'whole-cell',"),
        (
            "segmenter: 'pixelcnn'",
            "segmenter: 'x'",
            "meta.segmenter is 'x', and networks are given for: mesmer, pixelcnn; correct it",
        ),
    ],
)
def test_meta_that_cannot_be_is_refused_at_once(reuse, project, tmp_path, written, wrong, message):
    text = (project / "main.nf").read_text()
    assert written in text
    changed = project / f"{tmp_path.name}.nf"
    changed.write_text(text.replace(written, wrong))
    done = reuse(tmp_path, "-stub", script=changed.name, env=V2)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "SEGMENT_SLIDES:PATCH" not in done.stdout
