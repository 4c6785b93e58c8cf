"""The pixel size of a slide, from its file or the user."""

import logging

import pytest
from support.slides import ome_xml, pixels, write

from cellquilt.errors import DataError
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.ome.tif"


def with_pixel_size(path, **sizes):
    attributes = " ".join(f'PhysicalSize{key}="{value}"' for key, value in sizes.items())
    return write(path, pixels((1, 20, 30)), ome_xml(1, (30, 20), attributes))


@pytest.mark.parametrize(
    ("sizes", "mpp"),
    [
        ({"X": 0.5, "Y": 0.5}, 0.5),
        ({"X": 0.5}, 0.5),
        ({"Y": 0.5}, 0.5),
        ({"X": 0.5, "Y": 0.504}, 0.5),
        ({"X": 324.99, "XUnit": "nm", "Y": 324.99, "YUnit": "nm"}, 0.32499),
        ({"X": 0.0005, "XUnit": "mm", "Y": 0.5}, 0.5),
        ({"X": 5e-5, "XUnit": "cm"}, 0.5),
        ({"X": 5e-7, "XUnit": "m"}, 0.5),
        ({"X": 5000, "XUnit": "Å"}, 0.5),
        ({"X": 2e-5, "XUnit": "in"}, 0.508),
        ({"X": 0.02, "XUnit": "thou"}, 0.508),
        ({"X": 0.00144, "XUnit": "pt"}, 0.508),
        ({"X": 0.5, "XUnit": "um"}, 0.5),
        ({"X": 0.5, "XUnit": "\N{GREEK SMALL LETTER MU}m"}, 0.5),
    ],
)
def test_pixel_size_of_the_file(path, sizes, mpp):
    with open_slide(with_pixel_size(path, **sizes)) as slide:
        assert resolve_image_mpp(slide, None) == (pytest.approx(mpp, rel=1e-9), "ome-xml")


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({}, "has no pixel size"),
        ({"X": 0, "Y": 0}, "has no pixel size"),
        ({"X": "unknown"}, "has no pixel size"),
        ({"X": 1, "XUnit": "pixel"}, "PhysicalSizeX is 1 'pixel', which is no length"),
        ({"X": 0.5, "Y": 2, "YUnit": "reference frame"}, "PhysicalSizeY is 2 'reference frame'"),
        ({"X": 0.5, "XUnit": "parsnips"}, "which is no length"),
        (
            {"X": 0.5, "Y": 0.51},
            r"X \(0.5 um\) and PhysicalSizeY \(0.51 um\) differ by more than 1",
        ),
        ({"X": 100, "Y": 100}, r"of its ome-xml, 100 um/px, is absurd \(not in 0.05 to 5\)"),
        ({"X": 0.5, "XUnit": "nm"}, "of its ome-xml, 0.0005 um/px, is absurd"),
    ],
)
def test_pixel_size_that_must_be_given(path, caplog, sizes, match):
    with open_slide(with_pixel_size(path, **sizes)) as slide:
        with pytest.raises(DataError, match=match) as caught:
            resolve_image_mpp(slide, None)
        assert str(caught.value).startswith(f"{path}: ")
        assert "give --image_mpp (um/px) or the samplesheet's image_mpp column" in str(caught.value)
        assert resolve_image_mpp(slide, 0.5) == (0.5, "parameter")


@pytest.mark.parametrize("absurd", [0.0, -0.5, 0.04, 5.1, 500.0, float("nan"), float("inf")])
def test_absurd_parameter(path, absurd):
    match = "pixel size given as parameter, .* is absurd"
    with (
        open_slide(with_pixel_size(path, X=0.5)) as slide,
        pytest.raises(DataError, match=match),
    ):
        resolve_image_mpp(slide, absurd)


def test_parameter_that_disagrees_with_the_file_is_used_with_a_warning(path, caplog):
    caplog.set_level(logging.WARNING, "cellquilt")
    with open_slide(with_pixel_size(path, X=0.5)) as slide:
        assert resolve_image_mpp(slide, 0.5049) == (0.5049, "parameter")
        assert not caplog.records
        assert resolve_image_mpp(slide, 0.65) == (0.65, "parameter")
    assert "image_mpp 0.65 is used, the file's own ome-xml has 0.5 um/px" in caplog.text
