"""A slide that cannot be used is refused, and named everywhere; the others of its run go on."""

import csv
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.parsers import V1
from system.faults.runs import files_of

NETWORKS = ["whole-cell.keras", "nuclear.keras"]
GOOD = ("one", "two")
# What each refuses, by the sample
REFUSED = {
    "channel": ("INGEST", "no nuclear channel 'HH3'"),
    "torn": ("INGEST", "torn.ome.tif"),
    "later": ("QUANTIFY", "later.ome.tif"),
}


def tiled(path: Path, image: np.ndarray, channels: list[str]) -> Path:
    metadata = {"axes": "CYX", "Channel": {"Name": channels}}
    metadata |= {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, **options)
    return path


def spoil_tile(path: Path, channel: int) -> None:
    """Make a tile of a channel something that zlib cannot read."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[channel]
        start, n_bytes = page.dataoffsets[1], page.databytecounts[1]
    content = bytearray(path.read_bytes())
    content[start : start + n_bytes] = b"\x01" * n_bytes
    path.write_bytes(content)


@pytest.fixture(scope="module")
def slides(repo, tmp_path_factory) -> Path:
    """Return a folder of slides and their sheet: two that are good, three that are not."""
    folder = tmp_path_factory.mktemp("slides")
    size = ["--height", "330", "--width", "700", "--seed", "3"]
    command = [sys.executable, repo / "bin" / "generate.py", *size, "--outdir", folder]
    subprocess.run(command, check=True, capture_output=True)
    tissue = tifffile.imread(folder / "tissue.ome.tif")
    with tifffile.TiffFile(folder / "tissue.ome.tif") as tif:
        channels = re.findall(r'<Channel[^>]* Name="([^"]+)"', tif.ome_metadata)
    names = [*channels, "HLA"]
    image = np.concatenate([tissue, tissue[:1]])
    for k, name in enumerate([*GOOD, *REFUSED]):
        tiled(folder / f"{name}.ome.tif", np.roll(image, 40 * k, axis=2)[:, :300, :300], names)
    torn = folder / "torn.ome.tif"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    spoil_tile(folder / "later.ome.tif", len(channels))
    write_sheet(folder, {"channel": "HH3"})
    return folder


def write_sheet(folder: Path, nuclear: dict[str, str], names=(*GOOD, *REFUSED)) -> Path:
    sheet = folder / "sheet.csv"
    rows = [f"{n},{n}.ome.tif,{nuclear.get(n, 'DAPI')},CD45;PanCK" for n in names]
    sheet.write_text("\n".join(["sample,image,nuclear,membrane", *rows]) + "\n")
    return sheet


@pytest.fixture(scope="module")
def run(repo, nextflow):
    """Return a function that segments the slides of a sheet with the networks in assets/."""
    networks = ",".join(str(repo / "assets" / "networks" / name) for name in NETWORKS)
    options = ["--segmenter", "pixelcnn", "--models", networks, "--formats", "csv"]

    def start(folder: Path, *more, env: dict | None = None):
        return nextflow(*options, *more, folder=folder, accept=False, env=env)

    return start


@pytest.fixture(scope="module")
def five(run, slides, tmp_path_factory):
    """Return the folder of the run of all, and what it said."""
    folder = tmp_path_factory.mktemp("five")
    return folder, run(folder, "--input", slides / "sheet.csv")


def lines_of(said: str) -> dict[tuple[str, str], str]:
    """Return the list of refused slides that ends a run."""
    found = re.findall(r"^ +(\w+), ([A-Z]+): (.+)$", said, re.M)
    return {(sample, step): message for sample, step, message in found}


def test_the_others_are_published_as_if_alone(five, run, slides, tmp_path):
    """Alone is step by step."""
    folder, done = five
    assert done.returncode == 1, done.stdout
    sheet = write_sheet(slides, {}, GOOD[1:2])
    alone = run(tmp_path, "--input", sheet, "--bundle_slides", "0")
    write_sheet(slides, {"channel": "HH3"})
    assert alone.returncode == 0, alone.stdout
    expected, found = (files_of(path / "results" / "two") for path in (tmp_path, folder))
    records = [json.loads(files.pop("files.json")) for files in (expected, found)]
    assert len(found) > 12 and found == expected
    assert records[0]["files"] == records[1]["files"]
    assert len(files_of(folder / "results" / "one")) == len(found) + 1


def test_each_refused_slide_is_named_with_its_reason(five):
    """On the console, in the report, and in MultiQC's tables."""
    folder, done = five
    listed = lines_of(done.stdout)
    assert {sample: step for sample, step in listed} == {k: v[0] for k, v in REFUSED.items()}
    page = (folder / "results" / "report.html").read_text()
    table = folder / "results" / "multiqc" / "cellquilt_refused_mqc.json"
    data = json.loads(table.read_text())["data"]
    assert "2 samples, segmented with" in page and "3 refused" in page
    for sample, (step, text) in REFUSED.items():
        message = listed[sample, step]
        assert text in message
        shown = {key: html.unescape(value) for key, value in data[sample].items()}
        assert shown == {"step": step, "message": message}
        assert f"<b>{sample}, {step}</b>" in page
    assert "3 slides were refused" in done.stdout


def test_on_resume_the_bundle_of_a_corrected_slide_is_run(five, run, slides):
    folder, _ = five
    sheet = write_sheet(slides, {}, (*GOOD, "channel"))
    done = run(folder, "--input", sheet, "-resume")
    write_sheet(slides, {"channel": "HH3"})
    assert done.returncode == 0, done.stdout
    submitted = re.findall(r"Submitted process > (?:\w+:)*(\w+)", done.stdout)
    assert sorted(submitted) == ["CHAIN", "EXPORT", "REPORT"]
    assert (folder / "results" / "channel" / "summary.json").exists()
    assert "refused" not in (folder / "results" / "report.html").read_text()


def test_fail_fast_ends_the_run(run, slides, tmp_path):
    done = run(tmp_path, "--input", slides / "sheet.csv", "--fail_fast")
    assert done.returncode == 1
    assert "terminated with an error exit status (65)" in done.stdout
    assert not list(tmp_path.glob("results/*/summary.json"))


def test_masks_are_refused_where_a_task_of_a_slide_failed(run, slides, tmp_path):
    """The user lets tasks fail; what did not come is neither an empty nor a partial mask."""
    sheet = write_sheet(slides, {}, GOOD[:2])
    config = tmp_path / "ignore.config"
    fails = "[[ '${pixels}' != task-00001* || '${meta.id}' != one ]]"
    config.write_text(
        "process { withName: 'CLASSIFY' {\n  beforeScript = {"
        f' "export PATH=${{params.environments}}/runtime/bin:\\$PATH; {fails}" }}\n'
        "  errorStrategy = 'ignore'\n} }\n"
    )
    patches = ["--patch_size", "192", "--patches_per_task", "2", "--compartment", "nuclear"]
    patches += ["--bundle_slides", "0"]
    done = run(tmp_path, "--input", sheet, "-c", config, *patches, env=V1)
    write_sheet(slides, {"channel": "HH3"})
    assert done.returncode == 1, done.stdout
    assert re.search(r"one, STITCH: one: the labels of 2 of 4 patches did not come", done.stdout)
    assert not (tmp_path / "results" / "one" / "segmentation").exists()
    with open(tmp_path / "results" / "two" / "patches_metadata.csv") as file:
        assert len(list(csv.DictReader(file))) >= 4
