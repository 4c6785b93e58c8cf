"""The same pixels give the same normalised store, in whatever files they are."""

from functools import cache

import numpy as np
import pytest
import tifffile
from support.slides import names, pixels, write, write_channels, write_set

from cellquilt.handoff import stores
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection

PANEL = ["CD45", "DAPI", "PanCK"]
TILES = {"tile": (64, 48), "compression": "zlib"}


def folder(path, data, **order):
    write_channels(path, data, PANEL, **order)
    return path


def files(path, data, **order):
    return write_channels(path, data, PANEL, ".ome.tif", **order, **TILES)


def companion(path, data, **order):
    return write_set(path, data, companion=True, channels=PANEL, **order)[-1]


def member(path, data, **order):
    return write_set(path, data, channels=PANEL, **order, **TILES)[1]


def ome_tiff(path, data, **order):
    return write(path.with_suffix(".ome.tif"), data, metadata=names(*PANEL), **order)


def pyramid(path, data, **order):
    path = path.with_suffix(".ome.tif")
    with tifffile.TiffWriter(path, ome=True, bigtiff=True, **order) as tif:
        options = TILES | {"photometric": "minisblack"}
        tif.write(data, subifds=1, metadata={"axes": "CYX"} | names(*PANEL), **options)
        tif.write(data[:, ::2, ::2], subfiletype=1, metadata=None, **options)
    return path


def imagej(path, data, **order):
    metadata = {"axes": "CYX", "Labels": PANEL}
    tifffile.imwrite(path, data, imagej=True, metadata=metadata, **order)
    return path


def pages(path, data, **order):
    with tifffile.TiffWriter(path, **order) as tif:
        for plane, name in zip(data, PANEL, strict=True):
            tif.write(plane, metadata=None, extratags=[(285, "s", 0, name, True)])
    return path


def ingested(image, store):
    request = Request("s", image, "DAPI", "CD45;PanCK", 0.4, selection=Selection(z=0, t=0))
    facts = ingest(request, store)
    with stores.read(store) as group:
        return facts["normalisation"], group["codes"][:], group["lut"][:]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what is ingested of a type's pixels in one file of one layout."""

    @cache
    def of(dtype):
        path = tmp_path_factory.mktemp("expected") / "slide"
        return ingested(ome_tiff(path, pixels(dtype=dtype)), path.with_suffix(".zip"))

    return of


LAYOUTS = [folder, files, companion, member, ome_tiff, pyramid, imagej, pages]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(tmp_path, expected, layout, dtype, byteorder):
    if layout is imagej and dtype == "uint32":
        pytest.skip("ImageJ has no such type")
    data = pixels(dtype=dtype)
    image = layout(tmp_path / "slide", data, byteorder=byteorder)
    with open_slide(image) as slide:
        assert [channel.name for channel in slide.channels] == PANEL
        rows = [slide.read(c, y, min(y + 41, 150)) for c in range(3) for y in range(0, 150, 41)]
        np.testing.assert_array_equal(np.concatenate(rows), data.reshape(-1, 110))
    normalisation, codes, lut = ingested(image, tmp_path / "store.zip")
    of_one, codes_of_one, lut_of_one = expected(dtype)
    assert normalisation == of_one and np.unique(codes).size > 100
    np.testing.assert_array_equal(codes, codes_of_one)
    np.testing.assert_array_equal(lut, lut_of_one)
