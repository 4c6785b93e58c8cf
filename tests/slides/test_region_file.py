"""Regions of interest as users give them: what is read, what is said of it, what is refused."""

import json

import numpy as np
import pytest
import tifffile

from cellquilt.errors import DataError
from cellquilt.slides.region_file import read_regions

SHAPE = (100, 200)


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(name, *rings, kind="Polygon", **properties):
    coordinates = [list(ring) for ring in rings]
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation"} | ({"name": name} if name else {}) | properties,
    }


def write(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "regions.geojson"


def labelled(regions):
    """Return the index of the region of each pixel."""
    y, x = (axis.ravel() for axis in np.mgrid[: SHAPE[0], : SHAPE[1]])
    return regions.at(y, x).reshape(SHAPE)


def test_a_pixel_belongs_to_the_first_region_that_its_centre_lies_in(path):
    hole = square(30, 30, 10)[::-1]
    write(path, feature("tumour", square(20, 20, 40), hole), feature("stroma", square(50, 50, 30)))
    regions, notes = read_regions(path, SHAPE)
    assert regions.names == ("tumour", "stroma")
    expected = np.full(SHAPE, -1)
    expected[50:80, 50:80] = 1
    expected[20:60, 20:60] = 0
    expected[30:40, 30:40] = -1
    np.testing.assert_array_equal(labelled(regions), expected)
    assert notes == ["regions overlap, and the first one counts: tumour and stroma"]
    facts = regions.facts(0.5)
    assert [region["um2"] for region in facts] == [1500 / 4, 800 / 4]


def test_names_are_those_of_the_objects_or_else_of_their_classes(path):
    of_class = {"classification": {"name": "Tumor"}}
    write(
        path,
        feature("A-1", square(0, 0, 10), **of_class),
        feature("", square(20, 0, 10), **of_class),
        feature("", square(60, 0, 10), **of_class),
        feature("", square(90, 0, 10)),
        feature(" B\n\x07 2 ", square(110, 0, 10), classification=None),
    )
    regions, notes = read_regions(path, SHAPE)
    assert regions.names == ("A-1", "Tumor", "region 4", "B 2")
    found = labelled(regions)
    assert [found[5, x] for x in (5, 25, 65, 95, 115)] == [0, 1, 1, 2, 3]
    assert notes == []


@pytest.mark.parametrize("form", ["feature", "geometry", "list"])
def test_other_tops_of_a_file(path, form):
    one = feature("a", square(0, 0, 10))
    tops = {"feature": one, "geometry": one["geometry"], "list": [one]}
    path.write_text("\ufeff" + json.dumps(tops[form]))
    regions, _ = read_regions(path, SHAPE)
    assert len(regions.names) == 1
    assert labelled(regions)[9, 9] == 0


def test_what_is_corrected_or_left_out_is_said(path):
    bow_tie = [[0, 0], [20, 20], [20, 0], [0, 20], [0, 0]]
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}
    away, cut = feature("away", square(500, 0, 10)), feature("cut", square(190, 90, 30))
    write(path, feature("bow", bow_tie), away, cut, point)
    regions, notes = read_regions(path, SHAPE)
    assert regions.names == ("bow", "cut")
    assert notes == [
        "outlines of bow cross themselves and were corrected",
        "1 features are no polygons and are ignored",
        "outside of the slide, and left out: away",
        "reaching beyond the slide, and cut off there: cut",
    ]


def test_a_label_image_has_its_numbers_as_names(tmp_path):
    labels = np.zeros(SHAPE, np.uint16)
    labels[10:30, 10:50], labels[5:9, 180:] = 7, 3
    labels[40, 40] = 7  # in two parts
    labels[15:18, 15:18] = 0
    path = tmp_path / "regions.tif"
    tifffile.imwrite(path, labels)
    regions, notes = read_regions(path, SHAPE)
    assert (regions.names, notes) == (("3", "7"), [])
    expected = np.select([labels == 3, labels == 7], [0, 1], -1)
    np.testing.assert_array_equal(labelled(regions), expected)
    with pytest.raises(DataError, match=r"is 100 x 200 px and the slide 99 x 200 px; regions need"):
        read_regions(path, (99, 200))


NAN = feature("a", [[0, 0], [float("nan"), 1], [1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is no GeoJSON"),
        ("{", "is no GeoJSON"),
        ("[" * 100_000, "is no GeoJSON"),
        ('{"type": "FeatureCollection"}', "is no GeoJSON of features"),
        ('{"type": "FeatureCollection", "features": [1]}', "is no GeoJSON of features"),
        ('{"type": {}}', "is no GeoJSON of features"),
        ('{"type": "Feature", "geometry": {"type": []}}', "it has no region"),
        ('{"type": "FeatureCollection", "features": []}', "it has no region, of 100 x 200 px"),
        (json.dumps(feature("far", square(999, 0, 9))), "none of its regions lies on the slide"),
        (json.dumps(feature("a", [[0, 0], [1, 1]])), "region 'a' is no polygon"),
        (json.dumps(feature("a", "xy")), "region 'a' is no polygon"),
        (json.dumps(NAN), "region 'a' (has corners that are not finite|is no polygon)"),
    ],
)
def test_other_files_are_refused(path, text, match):
    path.write_text(text)
    with pytest.raises(DataError, match=rf"regions\.geojson: .*{match}"):
        read_regions(path, SHAPE)


def test_outlines_of_cells_are_refused(path, monkeypatch):
    cells = [feature(f"{k}", square(k % 190, k // 190, 1)) for k in range(10_001)]
    with pytest.raises(DataError, match="has 10,001 regions, which looks like cells"):
        read_regions(write(path, *cells), SHAPE)
    with path.open("ab") as file:
        file.truncate(65_000_000)
    with pytest.raises(DataError, match="has more than 64 MB, .* without cells and detections"):
        read_regions(path, SHAPE)
