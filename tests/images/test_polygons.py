"""Polygons against the pixels they outline: rasterised by shapely."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import shapely
import tifffile
from skimage.measure import regionprops
from support.labels import InMemory

from cellquilt.images import label_image
from cellquilt.images.polygons import OutlineReader, trace

MASKS = ("mask_expert1", "mask_expert2", "mask_DeepCell-0.9.0_membrane")


def drawn(text):
    """Return the label image of a drawing: digits are labels, dots background."""
    lines = text.split()
    return np.array([[0 if sign == "." else int(sign) for sign in line] for line in lines])


def spiral(side):
    """Return a square spiral of one pixel's width."""
    image, y, x, dy, dx = np.zeros((side, side), int), 0, 0, 0, 1
    image[0, 0], turned = 7, 0
    while turned < 2:
        ahead = y + dy, x + dx
        beyond = y + 2 * dy, x + 2 * dx
        inside = all(0 <= k < side for k in ahead)
        if inside and not (all(0 <= k < side for k in beyond) and image[beyond]):
            (y, x), turned = ahead, 0
            image[y, x] = 7
        else:
            dy, dx, turned = dx, -dy, turned + 1
    return image


HOSTILE = {
    "nothing": np.zeros((3, 4)),
    "one pixel": drawn("... .5. ..."),
    "only pixel": drawn("9"),
    "all of the image": np.full((5, 6), 3),
    "row": drawn("1122.1"),
    "column": drawn("1122.1").T,
    "hole": drawn("1111 1..1 1111"),
    "hole of another label": drawn("1111 1221 1111"),
    "islands in holes": drawn("1111111 1.....1 1.111.1 1.1.1.1 1.111.1 1.....1 1111111"),
    "parts touch in a point": drawn("11.. 11.. ..11 ..11"),
    "one part meets itself": drawn(".11 1.1 111"),
    "the other way": drawn("11. 1.1 111"),
    "hole opens only in a point": drawn("1111 1.11 11.. 11.1 1111"),
    "holes touch in a point": drawn("1111 1.11 11.1 1111"),
    "hole touches twice": drawn("..111 .1..1 1..1. 1.1.. 11..."),
    "part in a hole touches its edge": drawn("1111. 1..11 1.1.1 11..1 .1111"),
    "two labels meet in a point": drawn("12 21"),
    "checkerboard": np.indices((9, 8)).sum(0) % 2 + 1,
    "checkerboard with background": np.indices((8, 9)).sum(0) % 2,
    "spiral": spiral(25),
    "spiral and what is between": np.where(spiral(25), 7, 2**32 - 1),
    "frame": np.pad(np.zeros((4, 5)), 1, constant_values=4),
}


def noise(shape, n_labels, seed):
    return np.random.default_rng(seed).integers(0, n_labels, shape, endpoint=True)


CASES = HOSTILE | {
    f"noise of {n} labels, {shape}": noise(shape, n, n)
    for n in (1, 2, 3, 9)
    for shape in ((37, 53), (20, 1), (130, 9))
}


def rasterised(outlines, shape):
    """Return the label image that the polygons cover, each pixel by its centre."""
    image = np.zeros(shape, np.uint32)
    y, x = np.indices(shape) + 0.5
    for label, geometry in zip(outlines.labels, outlines.geometries(), strict=True):
        x0, y0, x1, y1 = map(int, geometry.bounds)
        inside = shapely.contains_xy(geometry, x[y0:y1, x0:x1], y[y0:y1, x0:x1])
        assert not image[y0:y1, x0:x1][inside].any(), "polygons overlap"
        image[y0:y1, x0:x1][inside] = label
    return image


def assert_equal(one, other):
    for field in fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def check(labels):
    labels = np.asarray(labels, np.uint32)
    outlines = trace(InMemory(labels))
    geometries = outlines.geometries()
    present, areas = np.unique(labels[labels > 0], return_counts=True)
    assert outlines.labels.dtype == np.uint32
    assert np.array_equal(outlines.labels, present)
    assert shapely.is_valid(geometries).all(), shapely.is_valid_reason(geometries)
    assert np.array_equal(shapely.area(geometries), areas)
    assert np.array_equal(rasterised(outlines, labels.shape), labels)
    return outlines


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
def test_polygons_are_valid_and_cover_exactly_their_pixels(labels):
    check(labels)


@pytest.mark.parametrize("mask", MASKS)
def test_real_masks(shared_data, mask):
    labels = tifffile.imread(shared_data / "codex_tile" / f"{mask}.tif")
    outlines = check(labels)
    assert len(outlines.labels) > 1000


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
def test_strips_of_any_height_give_the_same(labels):
    whole = trace(InMemory(labels), len(labels))
    for rows in (1, 7, 64):
        assert_equal(trace(InMemory(labels), rows), whole)


def test_strips_of_a_real_label_image(shared_data, tmp_path):
    labels = tifffile.imread(shared_data / "codex_tile" / f"{MASKS[0]}.tif").astype(np.uint32)
    path = tmp_path / "cell.ome.tif"
    label_image.write_label_image(path, labels, 0.5, "cell")
    with label_image.LabelReader(path) as reader:
        for rows in (1, 7, 64):
            assert_equal(trace(reader, rows), trace(InMemory(labels)))


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
def test_outlines_of_some_labels_are_those_of_the_whole_image(labels):
    whole = trace(InMemory(labels))
    for rows in (1, 7, None):
        reader = OutlineReader(InMemory(labels), rows)
        assert np.array_equal(reader.labels, whole.labels)
        for at_once in (1, 3):
            # From one part's first label to the next one's, so that labels between are there, too
            firsts = [0, *whole.labels[at_once::at_once].tolist(), 2**32]
            for first, beyond in pairwise(firsts):
                assert_equal(reader.between(first, beyond - 1), whole.between(first, beyond - 1))
            parts = [part.geometries() for part in reader.parts(at_once)]
            assert np.array_equal(np.concatenate([np.empty(0, object), *parts]), whole.geometries())


def test_some_labels_of_a_large_image_read_its_rows_once_more(shared_data):
    labels = tifffile.imread(shared_data / "codex_tile" / f"{MASKS[0]}.tif")
    found = regionprops(labels)
    top_down = np.zeros(labels.max() + 1, np.uint32)
    top_down[[cell.label for cell in found]] = (
        np.argsort(np.argsort([cell.bbox[0] for cell in found])) + 1
    )
    read = []

    class Counted(InMemory):
        def read(self, y0, y1):
            read.append(y1 - y0)
            return super().read(y0, y1)

    reader = OutlineReader(Counted(top_down[labels]), 8)
    assert sum(read) == len(labels)
    assert sum(len(part.labels) for part in reader.parts(500)) == len(found)
    assert sum(read) < 3 * len(labels)


@pytest.mark.parametrize("labels", CASES.values(), ids=CASES)
def test_rings_are_closed_oriented_and_have_corners_only(labels):
    outlines = trace(InMemory(labels))
    outer = np.isin(np.arange(len(outlines.rings) - 1), outlines.polygons[:-1])
    for k, is_outer in enumerate(outer):
        ring = outlines.points[outlines.rings[k] : outlines.rings[k + 1]]
        assert np.array_equal(ring[0], ring[-1])
        # RFC 7946: counterclockwise outside, clockwise inside, by the sign of the area.
        assert shapely.is_ccw(shapely.LinearRing(ring)) == is_outer
        along_x = np.diff(ring[:, 1]) == 0
        along_y = np.diff(ring[:, 0]) == 0
        assert np.all(along_x != along_y), "each edge is along an axis, none is empty"
        assert np.all(along_x != np.roll(along_x, 1)), "each point is a corner"


def test_holes_and_parts_are_where_they_belong():
    outlines = trace(InMemory(HOSTILE["islands in holes"]))
    (geometry,) = outlines.geometries()
    assert [len(part.interiors) for part in geometry.geoms] == [1, 1]
    assert [part.bounds for part in geometry.geoms] == [(0, 0, 7, 7), (2, 2, 5, 5)]


def test_four_connected_parts():
    kinds = {name: trace(InMemory(labels)).geometries() for name, labels in HOSTILE.items()}
    (touching,), (met,) = kinds["parts touch in a point"], kinds["one part meets itself"]
    assert touching.geom_type == "MultiPolygon" and len(touching.geoms) == 2
    assert met.geom_type == "Polygon" and len(met.interiors) == 1
    (holes,) = kinds["holes touch in a point"]
    assert holes.geom_type == "Polygon" and len(holes.interiors) == 2


def test_more_polygons_than_are_made_at_once(monkeypatch):
    monkeypatch.setattr("cellquilt.images.polygons._POLYGONS_AT_ONCE", 5)
    check(noise((40, 40), 60, 1))


def test_strip_of_another_width():
    class Ragged(InMemory):
        def read(self, y0, y1):
            return np.zeros((y1 - y0, 3), np.uint32)

    with pytest.raises(ValueError, match="3 px wide, not 4"):
        trace(Ragged(np.zeros((2, 4))))
