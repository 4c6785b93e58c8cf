"""TIFFs that are not slides, or incomplete, give an error with the remedy."""

import logging

import numpy as np
import pytest
import tifffile
from support.slides import LAYOUTS, forget_tiles, names, ome_xml, pixels, refused, write

from cellquilt.errors import DataError
from cellquilt.slides.readers import open_slide


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.ome.tif"


# Not wholly there


@pytest.mark.parametrize("content", [b"II*\0", b"II*\0\xff\xff\0\0"])
def test_header_alone(path, content):
    path.write_bytes(content)
    refused(path, "truncated or damaged")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.9, 0.999])
def test_truncated(path, layout, part):
    write(path, pixels(), **LAYOUTS[layout])
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    refused(path, "truncated")


def test_truncated_by_a_byte(tmp_path):
    path = tmp_path / "plain.tif"  # its pixels come last
    tifffile.imwrite(path, pixels((64, 64)))
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, rf"truncated: its pixels go on to byte {size:,}, it ends at {size - 1:,}; copy")


def test_flipped_bytes_are_found_when_they_are_read(path):
    write(path, pixels(), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[1].dataoffsets[2]
    content = bytearray(path.read_bytes())
    content[offset + 30 : offset + 60] = bytes(30)
    path.write_bytes(content)
    with open_slide(path) as slide:
        slide.read(1, 0, 64)
        with pytest.raises(DataError, match=f"{path.name}: truncated or damaged .*again"):
            slide.read(1, 60, 70)


def test_no_pixels(path):
    write(path, pixels((1, 64, 64)), metadata={"axes": "CYX"})
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["ImageWidth"].overwrite(0)
    refused(path, "64 x 0 px, without pixels")


def test_harmless_tag_does_not_matter(path):
    """tifffile warns of an unknown value of a tag that no pixel depends on."""
    data = pixels((1, 64, 64))
    write(path, data)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["ResolutionUnit"].overwrite(77)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 64), data[0])


def test_logging_of_tifffile_is_left_as_it_was(path, monkeypatch):
    logger = logging.getLogger("tifffile")
    monkeypatch.setattr(logger, "propagate", True)
    before = logger.level, logger.propagate, list(logger.handlers)
    path.write_bytes(b"II*\0\xff\xff\0\0")
    refused(path, "truncated")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_page_that_was_never_written(path):
    write(path, pixels((1, 128, 128)), tile=(64, 64), compression="zlib")
    forget_tiles(path, {0, 1, 2, 3})
    refused(path, "page 0 has no pixels; copy, download or export it again")


# Images that cannot be segmented


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("ome", [True, False])
def test_rgb(path, planarconfig, ome):
    data = pixels((40, 50, 3), "uint8")
    if planarconfig == "separate":
        data = data.transpose(2, 0, 1)
    tifffile.imwrite(path, data, ome=ome, photometric="rgb", planarconfig=planarconfig)
    refused(path, r"3 samples per pixel \(RGB brightfield.*\); Cellquilt needs one greyscale page")


def test_rgb_although_the_xml_says_three_channels(path):
    data = pixels((150, 110, 3), "uint8")
    write(path, data, ome_xml(3), photometric="rgb")
    refused(path, "3 samples per pixel")


def test_thumbnail_and_label_are_not_the_slide(path):
    data = pixels()
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels((100, 300, 3), "uint8"), photometric="rgb", metadata={"Name": "macro"})
        tif.write(data[:, :30, :30], photometric="minisblack", metadata={"axes": "CYX"})
        tif.write(data, photometric="minisblack", metadata={"axes": "CYX"} | names("a", "b", "c"))
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["a", "b", "c"]
        np.testing.assert_array_equal(slide.read(0, 0, 150), data[0])


def test_several_images_of_like_size(path):
    with tifffile.TiffWriter(path, ome=True) as tif:
        for height in (150, 140):
            tif.write(pixels((2, height, 110)), photometric="minisblack", metadata={"axes": "CYX"})
    refused(
        path,
        r"several images and none is clearly the slide; choose one with --scene:"
        r" 0 \(Image0\): 150 x 110 px, 1 \(Image1\): 140 x 110 px",
    )


@pytest.mark.parametrize("dtype", ["complex64", "bool", "uint64", "int64"])
def test_pixels_that_are_no_intensities(tmp_path, dtype):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, np.zeros((20, 30), dtype))
    refused(
        path, f"pixels are of type {dtype}; Cellquilt reads integers of 8 to 32 bits and floats"
    )


def test_unknown_compression(path):
    write(path, pixels(), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            page.tags["Compression"].overwrite(60666)
    refused(path, "compression 60666 cannot be read .*bfconvert -compression zlib")


def test_volumetric_pages(tmp_path):
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, pixels((16, 32, 32), "uint8"), volumetric=True, tile=(16, 16, 16))
    refused(path, "its pages are volumes; Cellquilt needs one greyscale page per channel")


def test_small_images(path):
    data = pixels((2, 1, 3))
    write(path, data)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(1, 0, 1), data[1])
