"""The stub of EXPORT writes what is asked for, small but valid: others may read it."""

import json
import re
import subprocess
import sys

import zarr

GIVEN = ["--cells", "matched", "--export_image", "DAPI;CD45"]  # beside the formats, as EXPORT is


def stub(repo, folder, formats: str) -> set[str]:
    command = [sys.executable, repo / "bin" / "stub.py", "export", "--samples", "a", "b"]
    given = ["--segmenter", "pixelcnn", "--formats", formats, *GIVEN]
    subprocess.run([*command, *given], cwd=folder, check=True)
    return {path.relative_to(folder / "b").as_posix() for path in (folder / "b").rglob("*")}


def test_only_what_is_asked_for_is_written(repo, tmp_path):
    found = stub(repo, tmp_path, "csv")
    assert {path for path in found if "." in path} == {
        *("quantification/b--pixelcnn_cell.csv", "markers.csv", "qc/params.yml"),
    }


def test_the_viewer_and_the_view_of_vitessce_are_whole(repo, tmp_path):
    found = stub(repo, tmp_path, "h5ad,ome-zarr,viewer")
    assert {"anndata/b.h5ad", "viewer/index.html", "viewer/tiles/0/0-0-0.js"} <= found
    text = (tmp_path / "b" / "viewer" / "slide.js").read_text()
    facts = json.loads(re.fullmatch(r"cellquilt\.show\((.*)\);\n", text)[1])
    assert (facts["sample"], facts["width"]) == ("b", 64)
    assert sum(block[0] for block in facts["cells"]["blocks"]) == 2
    view = json.loads((tmp_path / "b" / "vitessce.json").read_text())
    for file in view["datasets"][0]["files"]:
        assert zarr.open_group(tmp_path / "b" / file["url"], mode="r").attrs
