"""The same pixels give the same normalised store and the same table, in whatever files they are.

PATCH to STITCH read the store alone, so that the masks are the same, too; QUANTIFY reads the slide.
"""

from contextlib import ExitStack
from functools import cache

import numpy as np
import pandas as pd
import pytest
import tifffile
from support.slides import names, pixels, write, write_channels, write_set
from support.zarrs import write_zarr, zipped
from zarr.codecs import BytesCodec

from cellquilt.cells import cell_table
from cellquilt.cells.objects import open_objects
from cellquilt.cells.quantify import quantify
from cellquilt.handoff import stores
from cellquilt.images import label_image
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide, reopen_slide
from cellquilt.slides.selection import Selection

PANEL = ["CD45", "DAPI", "PanCK"]
ORDERED = {"<": BytesCodec(endian="little"), ">": BytesCodec(endian="big")}
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


def one_of_a_stack(path, data, **order):
    """The planes are the second of three along z, of an OME-TIFF in another order."""
    stack = np.stack([data // 2, data, data // 3])
    path = path.with_suffix(".ome.tif")
    metadata = {"axes": "ZCYX"} | names(*PANEL)
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata=metadata, **order)
    return path, Selection(z=1)


def one_of_two_images(path, data, **order):
    path = path.with_suffix(".ome.tif")
    with tifffile.TiffWriter(path, ome=True, **order) as tif:
        for name, planes in {"label": data[:, :90, :70], "slide": data}.items():
            metadata = {"axes": "CYX", "Name": name} | names(*PANEL)
            tif.write(planes, photometric="minisblack", metadata=metadata)
    return path, Selection(scene="slide")


def images_to_stack(path, data, **order):
    """Channels that Fiji took for slices."""
    metadata = {"axes": "ZYX", "Labels": PANEL}
    tifffile.imwrite(path, data, imagej=True, metadata=metadata, **order)
    return path, Selection(channels_axis="Z")


def zarr_04(path, data, byteorder):
    return write_zarr(path, data.astype(data.dtype.newbyteorder(byteorder)), names=PANEL, levels=2)


def zarr_04_nested_zip(path, data, byteorder):
    write_zarr(path, data.astype(data.dtype.newbyteorder(byteorder)), names=PANEL)
    return zipped(path, path.with_suffix(".zarr.zip"), "slide.zarr/")


def zarr_05(path, data, byteorder):
    return write_zarr(path, data, "0.5", names=PANEL, levels=2, serializer=ORDERED[byteorder])


def zarr_05_shards_zip(path, data, byteorder):
    options = {"chunks": (1, 1, 32, 48), "shards": (3, 1, 96, 96)}
    options["serializer"] = ORDERED[byteorder]
    write_zarr(path, data[:, None], "0.5", "czyx", names=PANEL, **options)
    return zipped(path, path.with_suffix(".zip"))


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Return the mask of some cells, of pixels that no marker says anything of."""
    labels = np.zeros((150, 110), np.uint32)
    labels.reshape(15, 10, 11, 10)[:, 1:9, :, 2:8] = np.arange(1, 166).reshape(15, 1, 11, 1)
    path = tmp_path_factory.mktemp("masks") / "cell.ome.tif"
    label_image.write_label_image(path, labels, 0.4, "cell")
    return {"cell": path}


def ingested(image, selection, masks, store):
    """Return the statistics and arrays of a slide's store, and the table of cells in it."""
    request = Request("s", image, "DAPI", "CD45;PanCK", 0.4, selection=selection)
    facts, table = ingest(request, store), store.with_suffix(".parquet")
    with reopen_slide(image, facts) as slide, ExitStack() as files:
        quantify(slide, open_objects(files, masks, None, None), facts, "mesmer", [], table)
    with stores.read(store) as group:
        arrays = group["codes"][:], group["lut"][:]
    return facts["normalisation"], arrays, cell_table.read(table)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, masks):
    """Return what is made of a type's pixels in one file of one layout."""

    @cache
    def of(dtype):
        path = tmp_path_factory.mktemp("expected") / "slide"
        found = ome_tiff(path, pixels(dtype=dtype))
        return ingested(found, Selection(), masks, path.with_suffix(".store.zip"))

    return of


LAYOUTS = [
    *(folder, files, companion, member, ome_tiff, pyramid, imagej, pages),
    *(one_of_a_stack, one_of_two_images, images_to_stack),
    *(zarr_04, zarr_04_nested_zip, zarr_05, zarr_05_shards_zip),
]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(tmp_path, expected, masks, layout, dtype, byteorder):
    if layout in (imagej, images_to_stack) and dtype == "uint32":
        pytest.skip("ImageJ has no such type")
    data = pixels(dtype=dtype)
    image = layout(tmp_path / "slide", data, byteorder=byteorder)
    image, selection = image if isinstance(image, tuple) else (image, Selection())
    with open_slide(image, selection) as slide:
        assert [channel.name for channel in slide.channels] == PANEL
        rows = [slide.read(c, y, min(y + 41, 150)) for c in range(3) for y in range(0, 150, 41)]
        np.testing.assert_array_equal(np.concatenate(rows), data.reshape(-1, 110))
    found = ingested(image, selection, masks, tmp_path / "store.zip")
    normalisation, (codes, lut), table = found
    of_one, (codes_of_one, lut_of_one), table_of_one = expected(dtype)
    assert normalisation == of_one and np.unique(codes).size > 100
    np.testing.assert_array_equal(codes, codes_of_one)
    np.testing.assert_array_equal(lut, lut_of_one)
    pd.testing.assert_frame_equal(table, table_of_one, check_exact=True)
    assert len(table) == 165 and table["cell_mean_PanCK"].nunique() > 100
