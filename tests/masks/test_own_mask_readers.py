"""Masks as other tools write them: the same labels, or a refusal that says what to do."""

import gzip
import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from skimage.draw import disk
from support.zarrs import write_image, zipped

from cellquilt.errors import DataError
from cellquilt.images.label_image import write_label_image
from cellquilt.images.polygons import trace
from cellquilt.masks.readers import check_mask, open_mask

SHAPE = 130, 170


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Return cells with gaps between their ids, one with a hole and one in two parts."""
    found = np.zeros(SHAPE, np.uint32)
    for number, (y, x) in enumerate([(20, 20), (22, 52), (70, 40), (100, 140), (125, 165)], 1):
        found[disk((y, x), 14, shape=SHAPE)] = 3 * number
    found[disk((70, 40), 4)] = 0
    found[10:20, 120:140] = found[40:50, 100:110] = 100
    return found


def read(path, folder, compartment="cell", rows=33):
    """Return all labels, read in strips, and what the mask notes."""
    with open_mask(path, SHAPE, compartment, folder) as mask:
        assert mask.shape == SHAPE
        strips = [mask.read(y, y + rows) for y in range(0, SHAPE[0], rows)]
        around = mask.read(-3, 5)
        assert around.shape == (5, SHAPE[1]) and around.dtype == np.uint32
        return np.concatenate(strips), mask.notes


TYPES = ["uint8", "int16", "uint16", ">u2", "int32", "uint32", ">i4", "int64", "uint64"]
LAYOUTS = {
    "one strip": {},  # ImageJ's, and tifffile's own
    "strips": {"rowsperstrip": 9},
    "compressed": {"compression": "zlib"},
    "tiles": {"tile": (32, 48), "compression": "lzw"},
    "a page of its own axes": {"axes": True},
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_label_tiffs(labels, tmp_path, dtype, layout):
    options = dict(LAYOUTS[layout])
    image = labels[None, None] if options.pop("axes", False) else labels
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(tmp_path / "m.tif", image.astype(dtype), byteorder=order, **options)
    found, notes = read(tmp_path / "m.tif", tmp_path)
    np.testing.assert_array_equal(found, labels)
    assert notes == []


def test_what_steinbock_writes(labels, tmp_path):
    """Six axes, as an ImageJ hyperstack."""
    stack = labels.astype(np.uint16)[None, None, None, :, :, None]
    tifffile.imwrite(tmp_path / "m.tiff", stack, imagej=True)
    np.testing.assert_array_equal(read(tmp_path / "m.tiff", tmp_path)[0], labels)


def test_ids_up_to_the_largest(labels, tmp_path):
    large = np.where(labels == 100, np.uint32(2**32 - 1), labels)
    tifffile.imwrite(tmp_path / "m.tif", large.astype(np.uint64))
    np.testing.assert_array_equal(read(tmp_path / "m.tif", tmp_path)[0], large)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32", "int64"])
def test_labels_of_ome_zarr(labels, tmp_path, version, dtype):
    """Given as the labels, as the image that has them, as the group of labels, and in a zip."""
    image = zarr.create_group(tmp_path / "s.zarr", zarr_format=2 if version == "0.4" else 3)
    write_image(image, np.zeros((2, *SHAPE), np.uint16), version)
    group = image.create_group("labels")
    listed = {"labels": ["cells"]}
    group.attrs.update(listed if version == "0.4" else {"ome": {"version": version} | listed})
    own = group.create_group("cells")
    # Chunks of background are not there, as writers leave them out
    options = {"fill_value": 0, "config": {"write_empty_chunks": False}}
    write_image(own, labels.astype(dtype), version, "yx", levels=2, chunks=(32, 32), **options)
    kind = {"image-label": {"version": version}}
    attributes = dict(own.attrs)
    own.attrs.update(kind if version == "0.4" else {"ome": attributes["ome"] | kind})
    paths = [tmp_path / "s.zarr" / part for part in ("labels/cells", "", "labels")]
    paths.append(zipped(tmp_path / "s.zarr", tmp_path / "s.zarr.zip"))
    for path in paths:
        np.testing.assert_array_equal(read(path, tmp_path)[0], labels)
        check_mask(path, SHAPE, "cell")


def feature(geometry, **more) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": {}} | more


def polygon(*corners) -> dict:
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


def box(x0, y0, x1, y1) -> dict:
    return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def collection(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


class Rows:
    def __init__(self, labels):
        self.labels, self.shape = labels, labels.shape

    def read(self, y0, y1):
        return self.labels[max(y0, 0) : y1]


@pytest.mark.parametrize("kind", ["collection", "list", "gzip", "spaced"])
def test_outlines_give_the_pixels_that_they_were_traced_from(labels, tmp_path, kind):
    outlines = trace(Rows(labels))
    shapes = [geometry.__geo_interface__ for geometry in outlines.geometries()]
    features = [feature(shape, id=str(n)) for n, shape in enumerate(shapes)]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    if kind == "list":
        text = json.dumps(features)
    elif kind == "spaced":
        text = "\ufeff\n " + json.dumps(json.loads(text), indent=4).replace(",\n", " ,\n\n")
    path = tmp_path / "cells.geojson"
    path.write_bytes(gzip.compress(text.encode()) if kind == "gzip" else text.encode())
    found, notes = read(path, tmp_path)
    np.testing.assert_array_equal(
        found, np.searchsorted(outlines.labels, labels) * (labels > 0) + (labels > 0)
    )
    assert notes == []


def test_a_large_file_of_outlines_is_read_feature_by_feature(tmp_path):
    """Beyond what is read at a time, with features that end anywhere in it."""
    padding = "x" * 9_973
    features = [
        feature(box(x, y, x + 3, y + 3), properties={"note": padding})
        for y in range(0, 120, 4)
        for x in range(0, 160, 4)
    ]
    path = collection(tmp_path / "many.geojson", *features)
    assert path.stat().st_size > 10_000_000
    found, _ = read(path, tmp_path)
    assert found.max() == len(features) and (found[:3, :3] == 1).all()
    assert np.array_equal(np.unique(found, return_counts=True)[1][1:], [9] * len(features))


def test_what_qupath_exports(tmp_path):
    """Cells with their nuclei, an annotation around them, and a point."""
    cell = feature(
        box(10, 10, 30, 30),
        nucleusGeometry=box(15, 15, 25, 25),
        properties={"objectType": "cell"},
    )
    around = feature(box(0, 0, 170, 130), properties={"objectType": "annotation"})
    point = feature({"type": "Point", "coordinates": [5, 5]})
    path = collection(tmp_path / "qupath.geojson", around, cell, point)
    cells, notes = read(path, tmp_path)
    assert np.count_nonzero(cells) == 400 and cells[10, 10] == 1
    assert notes == [
        "1 features are no polygons and are left out",
        "1 annotations around objects are left out",
    ]
    nuclei, _ = read(path, tmp_path, "nucleus")
    assert np.count_nonzero(nuclei) == 100 and nuclei[15, 15] == 1 and not nuclei[14, 14]
    # Cells that a person drew are annotations; then these are taken
    drawn = collection(tmp_path / "drawn.geojson", around)
    assert read(drawn, tmp_path)[0].all()


def test_what_instanseg_saves(labels, tmp_path):
    """Nuclei and cells in one TIFF, and in one list of classified outlines."""
    nuclei = np.where(labels > 3, labels, 0)
    path = tmp_path / "field_instanseg_prediction.tiff"
    tifffile.imwrite(path, np.stack([nuclei, labels]).astype(np.int32))
    np.testing.assert_array_equal(read(path, tmp_path)[0], labels)
    np.testing.assert_array_equal(read(path, tmp_path, "nucleus")[0], nuclei)
    tifffile.imwrite(path, nuclei.astype(np.int32))  # by its networks for nuclei alone
    np.testing.assert_array_equal(read(path, tmp_path, "nucleus")[0], nuclei)
    named = {
        name: {"objectType": "detection", "classification": {"name": name}}
        for name in ("Nuclei", "Cells")
    }
    features = [
        feature(box(15, 15, 25, 25), properties=named["Nuclei"]),
        feature(box(10, 10, 30, 30), properties=named["Cells"]),
    ]
    path = tmp_path / "field_instanseg_prediction.geojson"
    path.write_text(json.dumps(features))
    assert [np.count_nonzero(read(path, tmp_path, of)[0]) for of in ("cell", "nucleus")] == [
        400,
        100,
    ]


def test_outlines_that_overlap_or_lie_outside(tmp_path):
    path = collection(
        tmp_path / "odd.geojson",
        feature(box(10, 10, 20, 20)),
        feature(box(15, 10, 25, 20)),
        feature(box(500, 10, 520, 20)),
        feature(box(165, 125, 200, 200)),
        feature(polygon((50, 50), (50.3, 50), (50, 50.3))),
    )
    found, notes = read(path, tmp_path)
    areas = dict(zip(*np.unique(found[found > 0], return_counts=True), strict=True))
    assert areas == {1: 100, 2: 50, 4: 25}
    assert notes == [
        "2 of 5 outlines have no pixel of the slide of their own",
        "outlines overlap, and 50 pixels stay with the first",
    ]


def refused(path, tmp_path) -> str:
    with pytest.raises(DataError) as error, open_mask(path, SHAPE, "cell", tmp_path) as mask:
        mask.read(0, SHAPE[0])
    return str(error.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(SHAPE, np.float32), "holds float32 of shape (130, 170); a label image is 2-D"),
        (np.zeros((*SHAPE, 3), np.uint8), "holds uint8 of shape (130, 170, 3); a label image"),
        (np.zeros((2, *SHAPE), np.int32), "one compartment a file"),
        (np.full(SHAPE, -1, np.int16), "labels must not be negative, and one is -1"),
        (np.full(SHAPE, 1 << 32, np.uint64), "labels must not exceed 4294967295"),
        (
            np.zeros((65, 85), np.uint16),
            "is 65 x 85 px and the slide 130 x 170 px; it was made at"
            " 0.5 times the slide's size: enlarge it without mixing labels, by skimage",
        ),
        (np.zeros((170, 130), np.uint16), "its rows are the slide's columns: transpose it"),
        (np.zeros((100, 170), np.uint16), "give the mask of this slide, not of a part of it"),
    ],
)
def test_refused_tiffs(tmp_path, array, message):
    tifffile.imwrite(tmp_path / "m.tif", array)
    assert message in refused(tmp_path / "m.tif", tmp_path)


def test_refused_files(labels, tmp_path):
    """Each with what to do."""
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "cp_masks.png")
    assert "is a PNG, which holds 65,535 labels" in refused(tmp_path / "cp_masks.png", tmp_path)
    np.save(tmp_path / "a_seg.npy", {"masks": labels}, allow_pickle=True)
    assert "np.load(file, allow_pickle=True)" in refused(tmp_path / "a_seg.npy", tmp_path)
    (tmp_path / "cells.csv").write_text("id,y,x\n1,2,3\n")
    assert "is no label TIFF, OME-Zarr or GeoJSON" in refused(tmp_path / "cells.csv", tmp_path)
    (tmp_path / "empty.tif").write_bytes(b"")
    assert "empty file" in refused(tmp_path / "empty.tif", tmp_path)
    assert "no such file" in refused(tmp_path / "none.tif", tmp_path)
    write_label_image(tmp_path / "cut.ome.tif", labels, 0.5, "cell")
    content = (tmp_path / "cut.ome.tif").read_bytes()
    (tmp_path / "cut.ome.tif").write_bytes(content[:1500])
    assert "cut.ome.tif: " in refused(tmp_path / "cut.ome.tif", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "FeatureCollection", "features": [{"type": "Feature"', "ends within feature 1"),
        ('{"type": "FeatureCollection", "features": []}', "has no polygon of a cell"),
        ('{"type": "Topology"}', "is no GeoJSON of features"),
        ("[1, 2]", "feature 1 is none"),
        ('[{"geometry": {"type": "Polygon", "coordinates": [["a"]]}}]', "outline 1 is no polygon"),
        ('[{"geometry": {"type": "Polygon", "coordinates": []}}]', "outline 1 is no polygon"),
        ('[{"geometry": {"type": "Polygon", "coordinates": [[[NaN, 1], [2, 3]]]}}]', "no polygon"),
        (
            '[{"geometry": {"type": "Polygon", "coordinates": [[[1e300, 1], [2, 3]]]}}]',
            "no polygon",
        ),
        ("[" * 100_000, "is no GeoJSON"),
        ("[\xff", "is no GeoJSON"),
        (json.dumps([feature(box(1000, 0, 1010, 9))]), "none of its 1 outlines has a pixel"),
    ],
)
def test_refused_geojson(tmp_path, text, message):
    path = tmp_path / "cells.geojson"
    path.write_bytes(text.encode("latin-1"))
    assert message in refused(path, tmp_path)


def test_refused_zarrs(tmp_path):
    image = zarr.create_group(tmp_path / "i.zarr", zarr_format=2)
    write_image(image, np.zeros((2, *SHAPE), np.uint16), "0.4")
    assert "has 2 channels; a mask has one" in refused(tmp_path / "i.zarr", tmp_path)
    labels = image.create_group("labels")
    labels.attrs["labels"] = ["cells", "nuclei"]
    message = refused(tmp_path / "i.zarr", tmp_path)
    assert "has several labels (cells, nuclei)" in message and "i.zarr/labels/cells" in message
    for name, dtype in {"cells": np.float32, "nuclei": np.int32}.items():
        write_image(labels.create_group(name), np.full(SHAPE, -1, dtype), "0.4", "yx")
    cells, nuclei = (tmp_path / "i.zarr" / "labels" / name for name in ("cells", "nuclei"))
    assert "holds float32; labels are integers" in refused(cells, tmp_path)
    assert "rows 0 on: labels must not be negative" in refused(nuclei, tmp_path)
    (tmp_path / "folder").mkdir()
    assert "holds no labels" in refused(tmp_path / "folder", tmp_path)
