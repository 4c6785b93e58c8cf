"""The pixel size of a slide, from its file or the user."""

import numpy as np
import pytest
import tifffile
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
def test_pixel_size_that_must_be_given(path, sizes, match):
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


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"X": 0.5}, "the file's own ome-xml has 0.5 um/px"),
        ({"X": 1e6}, "the file's own ome-xml has 1e+06 um/px"),
        ({"X": 0.65, "Y": 1.3}, "PhysicalSizeX (0.65 um) and PhysicalSizeY (1.3 um) differ by"),
    ],
)
def test_parameter_that_contradicts_the_file_is_used_with_a_notice(path, sizes, text):
    with open_slide(with_pixel_size(path, **sizes)) as slide:
        del slide.notices[:]
        assert resolve_image_mpp(slide, 0.65) == (0.65, "parameter")
    (notice,) = slide.notices
    assert notice.code == "pixel_size_contradicts_file"
    assert notice.text.startswith(f"slide.ome.tif: image_mpp 0.65 is used, {text}")


@pytest.mark.parametrize("sizes", [{"X": 0.5}, {}, {"X": 1, "XUnit": "pixel"}])
def test_parameter_that_agrees_or_is_alone_needs_no_notice(path, sizes):
    with open_slide(with_pixel_size(path, **sizes)) as slide:
        del slide.notices[:]
        assert resolve_image_mpp(slide, 0.5049) == (0.5049, "parameter")
    assert slide.notices == []


# Resolution tags


def imagej(path, unit, per_unit=2.0, **metadata):
    """Write a stack as ImageJ does, with `per_unit` pixels along X and Y."""
    x, y = np.broadcast_to(per_unit, 2)
    given = metadata | {"axes": "CYX"} | ({} if unit is None else {"unit": unit})
    options = {"resolution": (x, y), "resolutionunit": "NONE", "metadata": given}
    tifffile.imwrite(path, pixels((2, 20, 30)), imagej=True, **options)
    return path


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [
        *((unit, 2) for unit in ("micron", "microns", "um", "Micrometers", "\\u00B5m")),
        *[("nm", 0.002), ("nanometer", 0.002), ("mm", 2000), ("cm", 20000), ("m", 2e6)],
        *[("inch", 50800), ("inches", 50800)],
    ],
)
def test_pixel_size_of_imagej_is_in_its_own_unit(tmp_path, unit, per_unit):
    with open_slide(imagej(tmp_path / "a.tif", unit, per_unit)) as slide:
        assert resolve_image_mpp(slide, None) == (pytest.approx(0.5, rel=1e-4), "imagej")
        assert "pixel_size_from_resolution" not in {notice.code for notice in slide.notices}


@pytest.mark.parametrize(
    ("unit", "per_unit", "metadata", "match"),
    [
        (None, 2, {}, "has no pixel size"),
        ("pixel", 2, {}, "pixel size along X is 0.5 'pixel', which is no length"),
        (
            "micron",
            (2, 1),
            {},
            r"pixel size along X \(0.5 um\) and pixel size along Y \(1 um\) dif",
        ),
        ("micron", 2, {"yunit": "mm"}, r"pixel size along Y \(500 um\) differ by more than 1 %"),
        ("mm", 2, {}, "of its imagej, 500 um/px, is absurd"),
    ],
)
def test_pixel_size_of_imagej_that_must_be_given(tmp_path, unit, per_unit, metadata, match):
    with (
        open_slide(imagej(tmp_path / "a.tif", unit, per_unit, **metadata)) as slide,
        pytest.raises(DataError, match=match),
    ):
        resolve_image_mpp(slide, None)


QPTIFF = "<PerkinElmer-QPI-ImageDescription><Name>DAPI</Name></PerkinElmer-QPI-ImageDescription>"


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((20000, 20000), "CENTIMETER", (0.5, "qptiff")),
        ((50800, 50800), "INCH", (0.5, "qptiff")),
        ((10000, 20000), "CENTIMETER", r"pixel size along X \(1 um\) .* differ by more than 1 %"),
        ((1, 1), "NONE", "has no pixel size"),
        ((20000, 20000), "NONE", "has no pixel size"),
        ((1, 1), "CENTIMETER", "of its qptiff, 10000 um/px, is absurd"),
    ],
)
def test_pixel_size_of_qptiff(tmp_path, resolution, unit, expected):
    path, software = tmp_path / "a.qptiff", "PerkinElmer-QPI"
    options = {"description": QPTIFF, "software": software, "metadata": None}
    grid = {"resolution": resolution, "resolutionunit": unit}
    tifffile.imwrite(path, pixels((20, 30)), **grid, **options)
    with open_slide(path) as slide:
        if isinstance(expected, str):
            with pytest.raises(DataError, match=expected):
                resolve_image_mpp(slide, None)
        else:
            assert resolve_image_mpp(slide, None) == (pytest.approx(expected[0]), expected[1])


def test_resolution_of_a_plain_tiff_is_used_with_a_notice_unless_it_is_of_a_print(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((20, 30)), resolution=(25600, 25600), resolutionunit="CENTIMETER")
    with open_slide(path) as slide:
        assert resolve_image_mpp(slide, None) == (pytest.approx(0.390625), "tiff")
    assert [notice.code for notice in slide.notices] == ["pixel_size_from_resolution"]
    tifffile.imwrite(path, pixels((20, 30)), resolution=(300, 300), resolutionunit="INCH")
    with open_slide(path) as slide, pytest.raises(DataError, match="has no pixel size"):
        resolve_image_mpp(slide, None)
