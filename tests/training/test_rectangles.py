"""Labels that QuPath exports: objects as polygons, and rectangles outside of which none count."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from support.steps import ingest_image

from cellquilt.errors import DataError
from cellquilt.tiling.box import Box
from cellquilt.training.examples import AROUND, Fields, Source, check_parts, read_examples
from cellquilt.training.pixel_classes import split
from cellquilt.training.rectangles import assigned

SHAPE = 300, 500
PAIRS = [(y, x) for y in range(10, 280, 24) for x in range(10, 460, 34)]


def ring(x0, y0, x1, y1) -> dict:
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {"type": "Polygon", "coordinates": [corners]}


def feature(geometry: dict, kind: str = "detection", name: str | None = None) -> dict:
    properties = {"objectType": kind}
    if name:
        properties["classification"] = {"name": name, "color": [1, 2, 3]}
    return {"type": "Feature", "id": "a", "geometry": geometry, "properties": properties}


def pairs(kind: str = "detection") -> list[dict]:
    """Return squares of 10 px that touch in pairs."""
    return [feature(ring(x + at, y, x + at + 10, y + 10), kind) for y, x in PAIRS for at in (0, 10)]


def rectangle(part: str, x0: int, y0: int, x1: int, y1: int) -> dict:
    return feature(ring(x0, y0, x1, y1), "annotation", part)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 999, (*SHAPE, 1)).astype(np.uint16)
    return ingest_image(tmp_path_factory.mktemp("rectangles") / "ingest", image)


def written(path, *features):
    collection = {"type": "FeatureCollection", "features": list(features)}
    path.write_text(json.dumps(collection))
    return path


def read(store, *paths, part="train", radius=8, held_out=0.2, edge_width=3):
    sources = [Source(store, path, part) for path in paths]
    return read_examples(sources, "nuclear", 1, edge_width, held_out, radius)


def boxes(example) -> dict[str, Box]:
    """Return the parts of an example, in pixels of the slide."""
    regions = vars(example.regions)
    y, x = (example.window.y0, example.window.x0) if example.window else (0, 0)
    return {
        part: Box(box.y0 + y, box.y1 + y, box.x0 + x, box.x1 + x)
        for part, box in regions.items()
        if box
    }


def test_polygons_are_the_labels_of_a_whole_image(store, tmp_path):
    (example,) = read(store, written(tmp_path / "all.geojson", *pairs()))
    assert len(np.unique(example.labels)) == 1 + 2 * len(PAIRS)
    y, x = PAIRS[0]
    assert (example.labels[y : y + 10, x : x + 10] == 1).all() and not example.labels[y - 1].any()
    assert example.window is None and set(boxes(example)) == {"train", "validation", "test"}
    packed = tmp_path / "all.geojson.gz"
    packed.write_bytes(gzip.compress((tmp_path / "all.geojson").read_bytes()))
    assert np.array_equal(read(store, packed)[0].labels, example.labels)


@pytest.mark.parametrize("kind", ["detection", "annotation"])
def test_rectangles_are_what_their_classes_say_and_no_objects(store, tmp_path, kind):
    drawn = [
        rectangle("Training", 5, 5, 165, 295),
        rectangle("Validation", 200, 5, 320, 295),
        rectangle("Test", 350, 5, 490, 150),
    ]
    examples = read(store, written(tmp_path / "drawn.geojson", *drawn, *pairs(kind)))
    assert [boxes(example) for example in examples] == [
        {"train": Box(5, 295, 5, 165)},
        {"validation": Box(5, 295, 200, 320)},
        {"test": Box(5, 150, 350, 490)},
    ]
    assert examples[0].window == Box(0, 300, 0, 165 + AROUND)
    (whole,) = read(store, written(tmp_path / "all.geojson", *pairs(kind)))
    for example in examples:
        assert np.array_equal(example.labels > 0, example.window.crop(whole.labels) > 0)
        assert np.array_equal(example.image, example.window.crop(whole.image))
    check_parts(examples, 3)


def test_nothing_outside_of_the_rectangles_is_learnt(store, tmp_path):
    # objects outside of it are not labelled: they would be learnt as background
    inside = [one for one in pairs() if one["geometry"]["coordinates"][0][2][0] <= 200]
    drawn = [rectangle("Region*", 0, 0, 100, 300), rectangle("Validation", 110, 0, 200, 300)]
    path = written(tmp_path / "part.geojson", *drawn, *inside)
    examples = read(store, path, held_out=0)
    assert boxes(examples[0])["train"] == Box(0, 300, 0, 100)
    # every pixel shows its column
    columns = np.broadcast_to(np.arange(500, dtype=np.float32), SHAPE)
    examples = [replace(e, image=e.window.crop(columns)[..., None]) for e in examples]
    for part, first, last in (("train", 0, 99), ("validation", 110, 199)):
        fields, _ = Fields(examples, part, 8).draw(np.random.default_rng(1), 2000)
        seen = fields[:, 8, 8, 0]
        assert (seen.min(), seen.max()) == (first, last)
        assert fields.max() > last, "though what is around it is seen"


def test_an_image_for_the_test_is_tested_in_its_rectangles(store, tmp_path):
    drawn = [rectangle("Region*", 5, 5, 165, 295), rectangle("Training", 200, 5, 320, 295)]
    examples = read(store, written(tmp_path / "a.geojson", *drawn, *pairs()), part="test")
    assert [set(boxes(example)) for example in examples] == [{"test"}, {"test"}]


def test_one_rectangle_is_cut_as_an_image_is(store, tmp_path):
    drawn = rectangle("region*", 20, 10, 480, 290)
    (example,) = read(store, written(tmp_path / "a.geojson", drawn, *pairs()))
    found = boxes(example)
    parts = [found[part] for part in ("train", "validation", "test")]
    assert [(box.y0, box.y1) for box in parts] == [(10, 290)] * 3
    assert parts[0].x0 == 20 and parts[-1].x1 == 480
    assert all(one.x1 + 8 <= other.x0 for one, other in zip(parts, parts[1:], strict=False))


@pytest.mark.parametrize(
    ("parts", "held_out", "expected"),
    [
        (["train"] * 5, 0.2, ["train", "train", "train", "validation", "test"]),
        (["train"] * 3, 0.2, ["train", "validation", "test"]),
        (["train"] * 2, 0.2, ["cut", "cut"]),
        (["train"] * 2, 0, ["train", "validation"]),
        (["train", "validation"], 0.2, ["cut", "validation"]),
        (["train", "train", "validation"], 0.2, ["train", "test", "validation"]),
        (["train", "validation"], 0, ["train", "validation"]),
        ([], 0.2, []),
    ],
)
def test_what_no_class_says_is_chosen(parts, held_out, expected):
    assert assigned(parts, [100] * len(parts), held_out) == expected


def test_a_rectangle_of_background_is_learnt_and_a_larger_share_takes_more_of_them():
    assert assigned(["train"] * 4, [9, 9, 9, 0], 0.2) == ["train", "validation", "test", "train"]
    assert assigned(["train"] * 6, [9] * 6, 0.5) == [
        *["train"] * 1,
        *["validation"] * 2,
        *["test"] * 3,
    ]


def test_without_validation_an_image_is_cut_in_two():
    labels = np.ones((40, 400), np.uint32)
    found = split(labels, 0.25, 10, "a", has_validation=False)
    assert found.validation is None
    assert found.train.x1 + 10 == found.test.x0 and found.test.x1 == 400


ROUND = {"type": "Polygon", "coordinates": [[[0, 0], [40, 20], [40, 40], [0, 40], [0, 0]]]}
REFUSED = {
    "objects beside": (
        [rectangle("Training", 0, 0, 100, 8), rectangle("Region*", 0, 290, 90, 300), *pairs()],
        r"of slide.ome.tif: none of its 2 rectangles contains an object; draw objects inside",
    ),
    "nothing but rectangles": (
        [rectangle("Training", 0, 0, 100, 80)],
        r"has no polygon of a nucleus; export cells or detections as GeoJSON from QuPath",
    ),
    "objects outside of the image": (
        [feature(ring(x, 900, x + 10, 910)) for x in range(0, 90, 20)],
        r"none of its 5 outlines has a pixel of the slide, of 300 x 500 px",
    ),
    "a rectangle outside of the image": (
        [rectangle("Training", 600, 0, 700, 80), *pairs()],
        r"^a.geojson: rectangle 1, of class Training, lies outside of the slide, of 300 x 500 px",
    ),
    "a rectangle that is none": (
        [feature(ROUND, "annotation", "Validation"), *pairs()],
        r"^a.geojson: rectangle 1, of class Validation, is no upright rectangle; draw it with",
    ),
    "a rectangle without corners": (
        [feature({"type": "Polygon"}, "annotation", "Test"), *pairs()],
        r"rectangle 1, of class Test, is no upright rectangle",
    ),
    "rectangles that overlap": (
        [rectangle("Training", 0, 0, 100, 80), rectangle("Test", 90, 60, 200, 80), *pairs()],
        r"^a.geojson: rectangles 1 and 2 overlap",
    ),
    "one that is too small to be cut": (
        [rectangle("Training", 0, 0, 100, 80), *pairs()],
        r"a.geojson of slide.ome.tif, rectangle 1: an image of 80 x 100 px is too small to be cut",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(store, tmp_path, case):
    features, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        read(store, written(tmp_path / "a.geojson", *features))


def test_the_script_reads_them(bin_script, store, tmp_path):
    path = written(tmp_path / "a.geojson", rectangle("Training", 0, 0, 100, 8), *pairs())
    options = ["--name", "a", "--stores", store, "--labels", path, "--compartment", "nuclear"]
    done = bin_script("train", *options, "--outdir", tmp_path, cwd=tmp_path)
    assert done.returncode == 65 and "Traceback" not in done.stderr
    assert "none of its 1 rectangles contains an object" in done.stderr
