"""The whole pipeline on real Nextflow, real TensorFlow and real Mesmer weights."""

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import anndata
import numpy as np
import ome_types
import pandas as pd
import pytest
import tifffile
from support.parsers import V1
from support.web import on_the_web

from cellquilt import __version__
from cellquilt.cells import cell_table

MASKS = [
    "cell",
    "cell_boundary",
    "cell_original",
    "cytoplasm",
    "nucleus",
    "nucleus_boundary",
    "nucleus_original",
]
SHEET = "sample,image,nuclear,membrane,image_mpp\n"


@pytest.fixture(scope="module")
def slides(bin_script, tmp_path_factory) -> Path:
    """Return a folder with a small tissue and an empty slide, each in a folder of its own."""
    folder = tmp_path_factory.mktemp("slides")
    for name, options in (("tissue", ["--seed", "3"]), ("blank", ["--empty"])):
        size = ["--height", "330", "--width", "700", "--outdir", folder / name]
        assert bin_script("generate", *size, *options).returncode == 0
    return folder


def files_of(outdir: Path, sample: str) -> dict[str, bytes]:
    masks = outdir / sample / "segmentation" / f"mesmer-{sample}"
    return {path.name.removesuffix(".ome.tif"): path.read_bytes() for path in masks.iterdir()}


@pytest.fixture(scope="module")
def sheet_run(nextflow, slides, tmp_path_factory):
    """Run three slides at once: both compartments, nuclei only, and one without any tissue."""
    folder = tmp_path_factory.mktemp("sheet")
    # relative paths count from the samplesheet
    (slides / "sheet.csv").write_text(
        SHEET
        + "tissue,tissue/tissue.ome.tif,dapi,CD45;2,\n"
        + "nuclei,tissue/tissue.ome.tif,0,,0.45\n"
        + "blank,blank/tissue.ome.tif,DAPI,PanCK,\n"
    )
    done = nextflow(
        *("--input", slides / "sheet.csv", "--export_pickle", "--patch_qc", "signal"), folder=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done, folder / "results"


def test_every_result_is_published(sheet_run):
    _, outdir = sheet_run
    assert sorted(files_of(outdir, "tissue")) == MASKS
    assert {path.name for path in (outdir / "tissue").iterdir()} == {
        "anndata",
        "files.json",
        "geojson",
        "markers.csv",
        "matches.csv",
        "matched_seg_res_batch.pickle",
        "original_seg_res_batch.pickle",
        "overlay.png",
        "patches_metadata.csv",
        "provenance.json",
        "qc",
        "quantification",
        "repair_metrics.json",
        "report.html",
        "sample.json",
        "segmentation",
        "stitch.json",
        "summary.json",
        "uncertified.csv",
    }
    of_the_run = {path.name for path in outdir.iterdir()} - {"tissue", "nuclei", "blank"}
    assert of_the_run == {"methods.txt", "multiqc", "pipeline_info", "report.html", "samples.csv"}


def test_the_text_for_a_paper_is_true_of_the_run(sheet_run):
    outdir = sheet_run[1]
    text = (outdir / "methods.txt").read_text()
    provenance = json.loads((outdir / "tissue" / "provenance.json").read_text())
    model, limits = provenance["model"], provenance["steps"][3]["parameters"]["nuclear"]
    assert f"weights of {model['weights']} (SHA-256 {model['weights_sha256']})" in text
    assert f"deepcell {model['software']['deepcell']}" in text and "non-commercial" in text
    assert f"for nuclei maxima threshold {limits['maxima_threshold']:g}, interior" in text
    assert "in blank and tissue whole cells and nuclei were segmented; in nuclei nuclei" in text
    assert "No patch of blank could hold cells" in text
    assert "0.45 µm (given for the run) in nuclei" in text


@pytest.mark.parametrize("sample", ["tissue", "nuclei", "blank"])
def test_formats_have_the_cells_of_the_masks(sheet_run, sample):
    folder = sheet_run[1] / sample
    main = "nucleus" if sample == "nuclei" else "cell"
    labels = tifffile.imread(folder / "segmentation" / f"mesmer-{sample}" / f"{main}.ome.tif")
    ids = [str(label) for label in np.unique(labels) if label]
    assert len(ids) > 100 or sample == "blank"
    with (folder / "quantification" / f"{sample}--mesmer_{main}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["CellID"] for row in rows] == ids
    table = anndata.read_h5ad(folder / "anndata" / f"{sample}.h5ad")
    assert table.obs_names.tolist() == [f"{sample}_{label}" for label in ids]
    assert table.var_names.tolist()[:3] == ["DAPI", "CD45", "PanCK"]
    with gzip.open(folder / "geojson" / f"{sample}.cells.geojson.gz") as file:
        features = json.load(file)["features"]
    assert [feature["properties"]["metadata"]["label"] for feature in features] == ids


def test_the_report_shows_every_sample_and_task(sheet_run):
    page = (sheet_run[1] / "report.html").read_text()
    for sample in ("tissue", "nuclei", "blank"):
        summary = json.loads((sheet_run[1] / sample / "summary.json").read_text())
        assert f">{sample}<" in page and f">{summary['n_nuclei']}<" in page
    for step in ("CHAIN", "EXPORT"):
        assert f">{step}<" in page
    ((year, command),) = re.findall(r"Started on (\d{4})-.*?<br><code>(.*?)</code>", page)
    assert int(year) >= 2026 and "nextflow" in command and "--input" in command
    for sample in ("tissue", "nuclei", "blank"):
        alone = (sheet_run[1] / sample / "report.html").read_text()
        assert "Started on" not in alone and "--input" not in alone
        links = re.findall(r'<a href="([^"#]+)"', alone)
        assert len(links) > 6
        assert [link for link in links if not (sheet_run[1] / sample / link).exists()] == []


def test_multiqc_shows_the_versions_of_each_process(sheet_run, readers, tmp_path):
    _, outdir = sheet_run
    readers("multiqc", "--strict", "--no-ansi", "-o", tmp_path, outdir)
    table = tmp_path / "multiqc_data" / "multiqc_software_versions.txt"
    versions = pd.read_csv(table, sep="\t", index_col=0, dtype=str)
    assert {"CHAIN", "EXPORT", "REPORT"} <= set(versions.index)
    assert (versions["cellquilt"] == __version__).all()
    assert {"python", "numpy", "tifffile"} <= set(versions)
    cell = f"<tr><td>CHAIN</td><td>cellquilt</td><td><samp>{__version__}</samp></td></tr>"
    assert cell in (tmp_path / "multiqc_report.html").read_text()


def test_one_id_per_cell_over_all_three_masks(sheet_run):
    folder = sheet_run[1] / "tissue" / "segmentation" / "mesmer-tissue"
    cell, nucleus, cytoplasm = (
        tifffile.imread(folder / f"{name}.ome.tif") for name in ("cell", "nucleus", "cytoplasm")
    )
    ids = set(np.unique(cell)) - {0}
    assert len(ids) > 100
    assert ids == set(np.unique(nucleus)) - {0} == set(range(1, len(ids) + 1))
    np.testing.assert_array_equal(np.where(nucleus > 0, nucleus, cytoplasm), cell)
    metrics = json.loads((sheet_run[1] / "tissue" / "repair_metrics.json").read_text())
    assert metrics["n_matched"] == len(ids)
    with (sheet_run[1] / "tissue" / "matches.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(row["status"] == "matched" for row in rows) == len(ids)
    with (sheet_run[1] / "tissue" / "patches_metadata.csv").open() as file:
        assert sum(int(row["n_cells"]) for row in csv.DictReader(file)) == metrics["n_cells"]


def test_masks_carry_size_and_name_for_other_readers(sheet_run):
    folder = sheet_run[1] / "nuclei" / "segmentation" / "mesmer-nuclei"
    image = ome_types.from_tiff(folder / "nucleus.ome.tif").images[0]
    assert (image.pixels.size_x, image.pixels.size_y) == (700, 330)
    assert image.pixels.physical_size_x == pytest.approx(0.45)
    assert image.pixels.physical_size_x_unit.value == "µm"
    assert image.pixels.channels[0].name == "nucleus"


def test_without_membrane_only_nuclei_are_segmented_and_that_is_said(sheet_run):
    done, outdir = sheet_run
    assert sorted(files_of(outdir, "nuclei")) == ["nucleus", "nucleus_boundary"]
    assert "row 3: no membrane channel is named: nuclear segmentation only" in done.stdout
    assert json.loads((outdir / "nuclei" / "summary.json").read_text())["n_nuclei"] > 100


def test_slide_without_tissue_gives_valid_empty_masks(sheet_run):
    _, outdir = sheet_run
    for name in MASKS:
        path = outdir / "blank" / "segmentation" / "mesmer-blank" / f"{name}.ome.tif"
        mask = tifffile.imread(path)
        assert mask.shape == (330, 700) and not mask.any()
        assert ome_types.from_tiff(path).images[0].pixels.physical_size_x == 0.5
    metrics = json.loads((outdir / "blank" / "repair_metrics.json").read_text())
    assert metrics["n_cells"] == 0 and metrics["matched_fraction"] is None
    assert "blank: no cells were found; its masks are empty" in sheet_run[0].stdout
    with (outdir / "blank" / "patches_metadata.csv").open() as file:
        assert {row["reason"] for row in csv.DictReader(file)} == {"no_signal"}


def test_the_end_of_the_run_sums_up_every_sample(sheet_run):
    done, outdir = sheet_run
    summary = done.stdout[done.stdout.index("Cellquilt is done") :]
    for sample in ("tissue", "nuclei", "blank"):
        counts = json.loads((outdir / sample / "summary.json").read_text())
        assert f"  {sample}: " in summary
        assert f"{counts['n_nuclei']} nuclei" in summary
    assert "non-commercial academic use only" in done.stdout


def test_provenance_names_model_parameters_and_versions(sheet_run, repo):
    facts = json.loads((sheet_run[1] / "tissue" / "provenance.json").read_text())
    steps = {step["step"]: step for step in facts["steps"]}
    assert list(steps) == ["INGEST", "PATCH", "SEGMENT", "LABEL", "STITCH"]
    assert facts["model"]["weights_sha256"].startswith("7a7a262aa72db045")
    assert steps["SEGMENT"]["parameters"]["device"] == "cpu"
    assert steps["LABEL"]["parameters"]["nuclear"]["maxima_threshold"] == 0.1
    assert all(step["cellquilt"] == __version__ for step in steps.values())
    assert f"version         = '{__version__}'" in (repo / "nextflow.config").read_text()


@pytest.fixture(scope="module")
def one_slide(slides) -> list:
    image = slides / "tissue" / "tissue.ome.tif"
    return ["--image", image, "--sample", "tissue", "--nuclear", "0", "--membrane", "CD45;PanCK"]


def test_same_masks_with_other_batches_patches_tasks_weights_and_string_parameters(
    nextflow, slides, one_slide, sheet_run, mesmer_weights, tmp_path
):
    """Step by step, beside a bundle, labels and maps made by one task, of the slide on the web.

    The weights are a file. As in Nextflow 26, all parameters come as strings.
    """
    with on_the_web(slides) as web:
        options = [f"{web.address}/tissue/tissue.ome.tif", *one_slide[2:]]
        done = nextflow(
            *("--image", *options, "--bundle_slides", "0", "--keep_maps", "false"),
            *("--batch_size", "3", "--patch_size", "192", "--patches_per_task", "4"),
            *("--export_pickle", "false", "--outdir", "out", "--mesmer_model", mesmer_weights),
            folder=tmp_path,
            env={"NXF_DISABLE_PARAMS_TYPE_DETECTION": "1"},
        )
        assert web.requests.keys() == {"/tissue/tissue.ome.tif"}
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Submitted process > SEGMENTATION:MODEL" in done.stdout
    assert done.stdout.count("Submitted process > SEGMENTATION:MASKS:MAPS:SEGMENT") > 1
    assert "SEGMENTATION:MASKS:LABEL" not in done.stdout
    assert files_of(tmp_path / "out", "tissue") == files_of(sheet_run[1], "tissue")
    assert not list((tmp_path / "out").rglob("*.pickle"))
    tables = [
        cell_table.read(outdir / "tissue" / "quantification" / "tissue.parquet")
        for outdir in (tmp_path / "out", sheet_run[1])
    ]
    pd.testing.assert_frame_equal(*tables)


def test_killed_run_resumes_to_the_same_masks_and_other_thresholds_need_no_network(
    repo, nextflow, environments, one_slide, sheet_run, tmp_path
):
    """A run of whole cells alone: without REPAIR, and the same cells as beside nuclei."""
    command = [repo / "tools" / "nextflow", "run", repo, "-profile", "local"]
    command += ["--environments", environments, *one_slide]
    options = ["--accept_mesmer_license", "--bundle_slides", "0", "--compartment", "whole-cell"]
    options += ["--patch_size", "192", "--patches_per_task", "4"]
    log = tmp_path / "log"
    with log.open("w") as out:
        first = subprocess.Popen(
            [*command, *options, "-ansi-log", "false"],
            cwd=tmp_path,
            stdout=out,
            start_new_session=True,
        )
        while first.poll() is None and "process > SEGMENTATION:MASKS:LABEL" not in log.read_text():
            time.sleep(0.1)
    assert first.poll() is None, log.read_text()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = nextflow(*one_slide, *options[1:], "-resume", folder=tmp_path, env=V1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Cached process > SEGMENTATION:MASKS:INGEST" in done.stdout
    before = files_of(tmp_path / "results", "tissue")
    assert sorted(before) == ["cell", "cell_boundary"]
    masks = "tissue/segmentation/mesmer-tissue"
    cell = tifffile.imread(tmp_path / "results" / masks / "cell.ome.tif")
    expected = tifffile.imread(sheet_run[1] / masks / "cell_original.ome.tif")
    np.testing.assert_array_equal(cell, expected)
    assert not (tmp_path / "results" / "tissue" / "repair_metrics.json").exists()
    given = ["--whole_cell_interior_threshold", "0.4"]
    done = nextflow(*one_slide, *options[1:], *given, "-resume", folder=tmp_path, env=V1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Submitted process > SEGMENTATION:MASKS:MAPS" not in done.stdout
    assert "Submitted process > SEGMENTATION:MASKS:LABEL" in done.stdout
    found = files_of(tmp_path / "results", "tissue")
    assert found.keys() == before.keys() and found != before


def test_stub_run_writes_valid_masks_and_resume_publishes_anew_what_is_half(nextflow, tmp_path):
    """As after Nextflow was killed while it copied, or after a run with other parameters."""
    published = []
    for more in ((), ("-resume",)):
        done = nextflow("--demo", "-stub", *more, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("Cached process" in done.stdout) == bool(more)
        told = "-resume with NXF_SYNTAX_PARSER=v2: Nextflow 25.04.4 does not see that thresholds or"
        assert (told in done.stdout) == bool(more)
        if more:  # the date is in no other task
            again = re.findall(r"Submitted process > (\S+)", done.stdout)
            assert again == ["SEGMENTATION:REPORT"]
        masks = tmp_path / "results" / "demo" / "segmentation" / "mesmer-demo"
        assert sorted(path.name.removesuffix(".ome.tif") for path in masks.iterdir()) == MASKS
        assert all(tifffile.imread(path).max() == 2 for path in masks.iterdir())
        files = [path for path in (tmp_path / "results" / "demo").rglob("*") if path.is_file()]
        files.remove(tmp_path / "results" / "demo" / "files.json")  # names the run
        assert len(files) > 15
        published.append({path: path.read_bytes() for path in files})
        for path in files:
            path.write_bytes(path.read_bytes()[:10])
    before, after = published
    assert before == after


def test_wrong_parameters_are_refused_at_once(nextflow):
    """All of them, before any task; each kind is in test_options.py."""
    wrong = ["--patchsize", "9", "--patch_size", "big", "--halo", "8", "--image_mpp", "50"]
    wrong += ["--compartment", "all", "--demo", "maybe", "--batch_size", "many"]
    done = nextflow(*wrong, "--formats", "csv,tiff")
    assert done.returncode != 0
    for message in (
        "--patchsize: unknown parameter. Did you mean --patch_size?",
        "--patch_size big: must be a whole number. Side of a patch",
        "--halo 8: must be at least 32",
        "--image_mpp 50: must be at most 5",
        "--compartment all: must be one of whole-cell, nuclear, both",
        "--demo maybe: must be true or false",
        "--batch_size many: must be of the form auto",
        "--formats csv,tiff: must be of the form (none|(csv|h5ad|geojson",
    ):
        assert message in done.stdout
    assert "Submitted process" not in done.stdout


def test_a_wrong_samplesheet_is_refused_at_once(nextflow, tmp_path):
    rows = "a,x.tif,0,,\nb,sheet.csv,,,\nc d,sheet.csv,0,,small\nb,sheet.csv,0,,\n"
    (tmp_path / "sheet.csv").write_text(SHEET + rows)
    done = nextflow("--input", "sheet.csv", "--compartment", "whole-cell", folder=tmp_path)
    assert done.returncode != 0
    for message in (
        "sheet.csv, row 2: image x.tif does not exist; check the path",
        "sheet.csv, row 3: no nuclear channel is named",
        "sheet.csv, row 4: sample 'c d': a sample name has letters",
        "sheet.csv, row 4: image_mpp 'small' is not a number",
        "sheet.csv: sample b occurs 2 times (rows 3, 5); every row needs a unique name",
        "sheet.csv, row 5: no membrane channel is named, without which whole cells",
    ):
        assert message in done.stdout
    assert "Submitted process" not in done.stdout


def test_licence_must_be_accepted_before_anything_starts(nextflow):
    done = nextflow("--demo", accept=False)
    assert done.returncode != 0
    assert "add --accept_mesmer_license" in done.stdout
    assert "Submitted process" not in done.stdout
