"""The reader of a slide is selected by the file's content; a format is added with one row."""

import os
import subprocess
import sys

import numpy as np
import pytest
from support.slides import names, pixels, refused, write

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.slides import readers
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.selection import Selection, choose_planes
from cellquilt.slides.slide import Slide

# What no reader recognises


def test_missing_file(tmp_path):
    refused(tmp_path / "slide.ome.tif", "no such file; correct the path")


def test_folder(tmp_path):
    refused(tmp_path, r"cannot be read \(Is a directory\)")


def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "slide.ome.tif")
    refused(tmp_path / "slide.ome.tif", "not a file but a pipe or device")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty file; copy, download or export it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer: .*pull"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "HTML page.*download it again"),
        (b"<HTML><head></head></HTML>", "HTML page"),
        (b"\x89PNG\r\n\x1a\n", "not a TIFF; convert it to OME-TIFF"),
        (b"II", "not a TIFF"),
        (b"ZISRAWFILE" + bytes(90), r"it is Zeiss CZI: convert it, .* bfconvert slide\.ome\.tif "),
        (b"\xda\xce\xbe\x0a" + bytes(90), "it is Nikon ND2: convert it, for example by bfconvert"),
        (b"\x70\0\0\0" + bytes(90), "it is Leica LIF"),
    ],
)
def test_not_a_slide(tmp_path, content, match):
    (tmp_path / "slide.ome.tif").write_bytes(content)
    refused(tmp_path / "slide.ome.tif", match)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("a.czi", r"it is Zeiss CZI: .* bfconvert a\.czi a\.ome\.tif \(Bio-Formats\)"),
        (
            "a.mcd",
            r"imaging mass cytometry's raw data: .*steinbock .*panel\.csv as --markers",
        ),
        ("a.VSI", "it is Olympus or Evident VSI"),
    ],
)
def test_other_formats_are_named_with_a_converter(tmp_path, name, match):
    (tmp_path / name).write_bytes(b"anything else")
    refused(tmp_path / name, match)


# A new format


class FolderOfArrays(Slide):
    """A folder of ``pixels.npy`` (channels, z, height, width) and ``names.txt``."""

    @staticmethod
    def recognises(paths, head):
        return not head and (paths[0] / "pixels.npy").is_file()

    @classmethod
    def open(cls, paths, selection):
        (path,) = paths
        pixels = np.load(path / "pixels.npy", mmap_mode="r")
        zs, t = choose_planes(path, {"Z": pixels.shape[1], "T": 1}, selection)
        slide = cls(
            path,
            selection,
            size_bytes=(path / "pixels.npy").stat().st_size,
            shape=pixels.shape[2:],
            dtype=pixels.dtype,
            names=(path / "names.txt").read_text().split(";"),
            zs=zs,
            t=t,
            image_mpp=0.5,
        )
        slide.pixels = pixels
        return slide

    def close(self):
        del self.pixels

    def release(self, channel):
        pass

    def _read(self, channel, z, y0, y1, x0, x1):
        return self.pixels[channel, z, y0:y1, x0:x1].astype("uint16")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a slide in a folder, of two channels and planes, whose reader is in the table."""
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, FolderOfArrays))
    folder = tmp_path / "slide"
    folder.mkdir()
    np.save(folder / "pixels.npy", pixels((2, 2, 150, 110), ">u2"))
    (folder / "names.txt").write_text("DAPI;CD45\n")
    return folder


def test_a_reader_of_one_class_and_one_row_is_ingested_as_a_tiff_is(folder, tmp_path):
    data = np.load(folder / "pixels.npy")[:, 1]
    tiff = write(tmp_path / "slide.ome.tif", data, metadata=names("DAPI", "CD45"))
    found = {}
    for path, plane in ((folder, 1), (tiff, None)):
        store = tmp_path / f"{path.name}.zip"
        facts = ingest(Request("s", path, "DAPI", "CD45", 0.5, selection=Selection(z=plane)), store)
        with stores.read(store) as group:
            found[path] = facts, group["codes"][:], group["lut"][:]
    (ours, *arrays), (theirs, *expected) = found.values()
    assert np.unique(arrays[0]).size > 1000
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, other)
    own = {"name": "slide", "size_bytes": (folder / "pixels.npy").stat().st_size, "z": 1}
    assert ours["image"] == theirs["image"] | own
    assert ours["normalisation"] == theirs["normalisation"]


def test_what_all_readers_share_is_the_same_in_a_new_one(folder):
    with readers.open_slide(folder, Selection(z=0)) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "CD45"]
        assert (slide.selection.z, slide.selection.t, slide.dtype) == (0, 0, np.dtype("uint16"))
        assert slide.read(1, 20, 20).shape == (0, 110)
        assert slide.read(1, 20, 30).dtype.isnative
        with pytest.raises(ValueError, match="not in 150 x 110 px"):
            slide.read(0, 100, 151)
    refused(folder, r"holds 2 planes along Z, .*--z \(0 to 1, or --z max or mean")
    refused(folder, "no plane 1 along T; --t may be 0 to 0", z=0, t=1)


def test_the_slide_is_opened_again_at_the_plane_of_the_facts(folder, tmp_path):
    facts = ingest(Request("s", folder, "DAPI", selection=Selection(z=1)), tmp_path / "store.zip")
    with readers.reopen_slide(folder, facts) as slide:
        expected = np.load(folder / "pixels.npy")[1, 1]
        np.testing.assert_array_equal(slide.read(1, 0, 150), expected)
    facts["image"]["height"] = 151
    with pytest.raises(DataError, match="sample s was 151 x 110 px with 2 when"):
        readers.reopen_slide(folder, facts)


def test_what_a_format_needs_is_imported_when_it_is_opened(repo):
    code = "import sys; from cellquilt.slides import readers; print('ome_types' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=repo / "bin", capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
