"""A look before a run: all slides of a sheet, good and bad, and nothing else is touched."""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parsers import V1
from support.slides import names, pixels, write
from support.web import Web, on_the_web

MPP = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
SHEET = """sample,image,nuclear,membrane,image_mpp,z,donor
codex,{data}/codex_tile/codex_tile.ome.tif,nucleus,membrane,,,D1
two,{data}/reported/two_dna.ome.tif,DNA1;DNA2,CD45,,,D1
stack,{data}/reported/z3c2.ome.tif,DAPI,HLA,,,D2
projected,{data}/reported/z3c2.ome.tif,DAPI,CD45,,max,D2
aniso,{data}/reported/qpi_aniso.qptiff,DAPI,0,,,D3
torn,torn.ome.tif,DAPI,CD45,,,D3
gone,gone.ome.tif,DAPI,CD45,,,D4
size,small.ome.tif,DAPI,CD45,huge,,D4
far,{web}/far.ome.tif,DAPI,CD45,,,D4
lost,{web}/lost.ome.tif,DAPI,CD45,,,D4
"""


@pytest.fixture(scope="module")
def shared() -> Path:
    return Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[tuple[Path, Web]]:
    """Yield a folder that is on the web, and its server."""
    folder = tmp_path_factory.mktemp("slides")
    with on_the_web(folder) as server:
        yield folder, server


@pytest.fixture(scope="module")
def sheet(shared, web) -> Path:
    folder, server = web
    for name in ("torn", "small", "far"):
        image = pixels((2, 150, 110))
        write(folder / f"{name}.ome.tif", image, metadata=names("DAPI", "CD45") | MPP)
    torn = folder / "torn.ome.tif"
    torn.write_bytes(torn.read_bytes()[:3000])
    os.truncate(folder / "far.ome.tif", 20_000_000)
    (folder / "sheet.csv").write_text(SHEET.format(data=shared, web=server.address))
    return folder / "sheet.csv"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def checked(nextflow, sheet, tmp_path_factory):
    """Return the folder of a check into the folder of earlier results, and what it said."""
    folder = tmp_path_factory.mktemp("checked")
    earlier = folder / "results" / "codex" / "files.json"
    earlier.parent.mkdir(parents=True)
    earlier.write_text('{"files": ["sample.json"], "image": {"name": "other.tif"}, "run": "x"}')
    info = folder / "results" / "pipeline_info"
    info.mkdir()
    for name in ("execution_trace.txt", "files.json"):
        (info / name).write_text("earlier")
    before = tree(folder / "results")
    check = ["--mode", "check", "--input", sheet]
    done = nextflow(*check, folder=folder, accept=False, env=V1)
    after = tree(folder / "results")
    assert {"check.csv": after.pop("check.csv", None)}["check.csv"], done.stdout
    assert after == before
    return folder, done


def test_every_slide_has_its_row(checked):
    folder, _ = checked
    with (folder / "results" / "check.csv").open() as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    status = {sample: row["status"] for sample, row in rows.items()}
    good = dict.fromkeys(["codex", "two", "projected"], "ok")
    bad = dict.fromkeys(["stack", "aniso", "torn", "gone", "size", "lost"], "refused")
    assert status == good | bad | {"far": "not looked at"}
    assert rows["far"]["problems"].startswith("is at http://, and a check downloads no slide")
    assert rows["two"]["nuclear"] == "DNA1; DNA2"
    assert (rows["codex"]["height"], rows["codex"]["image_mpp"]) == ("1008", "0.37745")
    assert rows["projected"]["z"] == "max"
    assert all(float(rows[sample]["processor_s"]) > 5 for sample in good)
    assert "no membrane channel 'HLA'" in rows["stack"]["problems"]
    assert "holds 3 planes along Z" in rows["stack"]["problems"]
    assert "sheet.csv, row 8: image gone.ome.tif does not exist" in rows["gone"]["problems"]
    assert "image_mpp 'huge' is not a number" in rows["size"]["problems"]


def test_a_slide_on_the_web_is_not_downloaded(checked, web):
    """Only its first bytes, which may name other files of it. One that is not there is refused."""
    folder, _ = checked
    _, server = web
    assert server.sent["/far.ome.tif"] == 65_536 and server.requests["/far.ome.tif"] <= 3
    assert not list((folder / "work").glob("stage-*"))
    with (folder / "results" / "check.csv").open() as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    assert f"row 11: image {server.address}/lost.ome.tif does not" in rows["lost"]["problems"]


def test_the_run_ends_with_the_table_and_an_error(checked):
    _, done = checked
    assert done.returncode == 1
    said = done.stdout
    assert "10 slides: 3 can be segmented, 6 cannot, 1 not looked at" in said
    line = re.search(r"^codex +(.+)$", said, re.M)[1]
    assert re.split(" {2,}", line)[:4] == ["1344 x 1008", "uint16", "8", "nucleus"]
    assert "  torn: torn.ome.tif: " in said and "Plan of 3 slides: " in said
    assert "All of it is in results/check.csv" in said
    assert "6 of 10 slides cannot be segmented; results/check.csv has the reasons." in said
    assert said.index("Plan of 3 slides") < said.index("6 of 10 slides cannot")
    assert "licence" not in said and "MODEL" not in said and "No -profile" not in said


def test_a_sheet_without_problems_ends_well(nextflow, sheet, shared, tmp_path):
    lines = SHEET.format(data=shared, web="").splitlines()
    good = sheet.with_name("good.csv")
    good.write_text("\n".join([lines[0], *lines[1:3]]) + "\n")
    check = ["--mode", "check", "--input", good]
    done = nextflow(*check, folder=tmp_path, accept=False, env=V1)
    assert done.returncode == 0, done.stdout
    assert "2 slides: 2 can be segmented\n" in done.stdout
    assert [*tree(tmp_path / "results")] == ["check.csv"]
