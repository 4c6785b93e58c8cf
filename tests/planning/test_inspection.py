"""What is understood of a slide by its headers, and what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.slides import names, pixels, write

from cellquilt.errors import DataError
from cellquilt.planning.inspection import inspect
from cellquilt.slides.ingest import Request
from cellquilt.slides.selection import Selection

MPP = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}


def inspected(path, nuclear="DAPI", membrane="", mpp=None, **selection):
    request = Request("a", [path], nuclear, membrane, mpp, selection=Selection(**selection))
    return inspect("a", lambda: request)


@pytest.fixture
def slide(tmp_path):
    metadata = names("DAPI", "CD45", "PanCK") | MPP
    return write(tmp_path / "slide.ome.tif", pixels(), metadata=metadata)


def stack(path: Path, shape=(3, 2, 40, 50), **metadata):
    metadata = {"axes": "ZCYX", **names("DAPI", "CD45"), **metadata}
    tifffile.imwrite(path, np.zeros(shape, np.uint16), ome=True, metadata=metadata)
    return path


def test_what_a_slide_is(slide):
    found = inspected(slide, "dapi", "CD45;2")
    assert (found.status, found.problems, found.notices) == ("ok", [], [])
    assert (found.image, found.files, found.size_bytes) == (slide.name, 1, slide.stat().st_size)
    assert (found.height, found.width, found.dtype) == (150, 110, "uint16")
    assert found.channels == ("DAPI", "CD45", "PanCK")
    assert (found.nuclear, found.membrane) == (("DAPI",), ("CD45", "PanCK"))
    assert (found.image_mpp, found.image_mpp_source) == (0.5, "ome-xml")
    assert (found.z, found.t, found.scene) == (0, 0, None)
    work = found.work("both", "b")
    assert (work.n_channels, work.n_read, work.n_compartments) == (3, 3, 2)


def test_notices_are_no_problems(slide):
    found = inspected(slide, mpp=0.7)
    codes = [notice.code for notice in found.notices]
    assert codes == ["no_membrane_channel", "pixel_size_contradicts_file"]
    assert found.status == "ok" and found.image_mpp == 0.7


def test_all_problems_of_a_slide_are_told(tmp_path):
    """Plane, channels and pixel size do not depend on each other."""
    path = stack(tmp_path / "z.ome.tif", PhysicalSizeX=0.5, PhysicalSizeY=1.0)
    found = inspected(path, "HH3", "CD4")
    plane, nuclear, membrane, size = found.problems
    assert "holds 3 planes along Z" in plane and "no nuclear channel 'HH3'" in nuclear
    assert "no membrane channel 'CD4'" in membrane and "differ by more than 1 %" in size
    assert all("z.ome.tif: " in problem for problem in found.problems)
    assert (found.z, found.width, found.channels) == (None, 50, ("DAPI", "CD45"))
    assert len(inspected(path, z=7, mpp=0.5).problems) == 1


def test_planes_that_may_be_the_channels_are_not_taken_for_one(tmp_path):
    path = stack(tmp_path / "z.tif", (3, 1, 40, 50), **names("DAPI"))
    (problem,) = inspected(path, "HH3").problems
    assert "holds 3 planes along Z" in problem


def test_a_slide_that_cannot_be_read_has_one_problem(tmp_path, slide):
    slide.write_bytes(slide.read_bytes()[:2000])
    torn, missing = inspected(slide), inspected(tmp_path / "none.tif")
    assert len(torn.problems) == 1 and torn.height is None
    assert missing.problems == [f"{tmp_path}/none.tif: no such file; correct the path of the image"]


def test_a_shared_channel_and_a_size_of_nothing(slide):
    shared, nothing = inspected(slide, "0", "DAPI"), inspected(slide, mpp=0.05)
    assert "is given as nuclear and as membrane" in shared.problems[0]
    assert nothing.status == "ok"
    tiny = write(slide.with_name("tiny.ome.tif"), pixels((1, 5, 5)), metadata=names("DAPI") | MPP)
    assert "too small to be segmented" in inspected(tiny, mpp=0.05).problems[0]


def test_channels_to_export_that_are_none_are_a_problem(slide):
    def shown(spec):
        return inspect("a", lambda: Request("a", [slide], "DAPI"), shown=spec)

    assert shown("all").status == shown("CD45;0").status == "ok"
    assert "no export_image channel 'CD4'; give --export_image a" in shown("CD4").problems[0]


def test_names_that_cannot_be_read_are_a_problem():
    def refuse():
        raise DataError("_slides/3/markers.csv: has no names")

    assert inspect("a", refuse).problems == ["markers.csv: has no names"]


def test_what_nobody_expected_does_not_stop_the_others(slide, monkeypatch):
    monkeypatch.setattr("cellquilt.planning.inspection.open_slide", lambda *_: 1 / 0)
    assert inspected(slide).problems == ["slide.ome.tif: cannot be read (division by zero)"]
