"""SHA-256 of input files: what sha256sum gives, of files and of folders."""

import json
import subprocess

import pytest
from support.steps import write_slide

from cellquilt.bundles.slide import Combining, slides_of
from cellquilt.slides.checksums import checksums_of
from cellquilt.slides.ingest import Request, ingest

FOLDER = "find -L . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"


def shell(command: str, folder) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    return done.stdout.split()[0]


@pytest.fixture
def folder(tmp_path):
    """Return a folder as an OME-Zarr is, with hidden files, odd names and links."""
    made = tmp_path / "slide.ome.zarr"
    for name in (".zattrs", "zarr.json", "0/c/0/1", "0/c/0/10", "0/c/0.1", "B/ä ö", "a/b"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name * 1000)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "chunk").write_text("chunk")
    (made / "linked").symlink_to(tmp_path / "elsewhere")
    (made / "a" / "back").symlink_to(made)
    return made


def test_digests_are_those_of_sha256sum(folder, repo):
    file = folder / "zarr.json"
    found, whole = checksums_of([file, folder])
    assert found == {"name": "zarr.json", "sha256": shell("sha256sum zarr.json", folder)}
    assert whole["sha256"] == shell(FOLDER, folder) and whole["n_files"] == 8
    assert f"```bash\n{FOLDER}\n```" in (repo / "docs" / "outputs.md").read_text()
    file.rename(file.with_name("other.json"))
    assert checksums_of([folder])[0]["sha256"] != whole["sha256"]


def test_ingest_has_them_where_they_are_asked_for(tissue_image, tmp_path, bin_script):
    image = write_slide(tmp_path / "slide.ome.tif", tissue_image[:64, :64])
    markers = tmp_path / "markers.csv"
    markers.write_text("marker_name\nDNA\nCD45\n")
    for asked in (False, True):
        arguments = ["--sample", "a", "--image", image, "--nuclear", "DNA", "--markers", markers]
        arguments += ["--outdir", tmp_path / str(asked), *(["--checksum=true"] if asked else [])]
        assert bin_script("ingest", *arguments).returncode == 0
    plain, facts = (
        json.loads((tmp_path / name / "sample.json").read_text()) for name in ("False", "True")
    )
    digests = [shell(f"sha256sum {name}", tmp_path) for name in (image.name, "markers.csv")]
    assert [file["sha256"] for file in facts.pop("inputs")] == digests
    assert facts == plain


def test_small_slides_that_share_a_task_have_them_too(tissue_image, tmp_path):
    image = write_slide(tmp_path / "slide.ome.tif", tissue_image[:64, :64])
    row = {"sample": "a", "images": [str(image)], "nuclear": "0"}
    (slide,) = slides_of(json.dumps([row]))
    assert slide.request(Combining()) == Request("a", [image], "0")
    facts = ingest(slide.request(Combining(checksum=True)), tmp_path / "store.zip")
    assert [file["name"] for file in facts["inputs"]] == [image.name]
