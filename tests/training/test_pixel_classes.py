"""From label images to classes, and labels and images that nothing can be learnt from."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi
from support.steps import ingest_image, write_slide

from cellquilt.errors import DataError
from cellquilt.images.label_image import write_label_image
from cellquilt.tiling.pixel_grid import Grid
from cellquilt.training.examples import Source, read_examples
from cellquilt.training.pixel_classes import CELL, EDGE, OTHER, classes_of, on_model_grid, split

SHAPE = (300, 420)
RADIUS = 15


def two_squares(gap, shape=(60, 80)):
    """Return two squares of 30 px beside each other, `gap` px apart."""
    labels = np.zeros(shape, np.uint32)
    labels[10:40, 5:35] = 7
    labels[10:40, 35 + gap : 65 + gap] = 3
    return labels


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 9])
def test_band_between_touching_cells_has_the_width_asked_for(width):
    """It lies on both cells alike, so that an odd width is one less."""
    edge = classes_of(two_squares(0), width) == EDGE
    half = width // 2
    assert (edge[15:35].sum(axis=1) == 2 * half).all()
    assert edge[15:35, 35 - half : 35 + half].all()
    assert edge.any(axis=0).sum() == 2 * half


@pytest.mark.parametrize(("gap", "width"), [(1, 2), (1, 3), (2, 4), (3, 5), (3, 4)])
def test_a_narrow_gap_is_edge(gap, width):
    classes = classes_of(two_squares(gap), width)
    middle = classes[25, 35 : 35 + gap]
    within = [max(i, gap + 1 - i) <= width / 2 for i in range(1, gap + 1)]
    assert ((middle == EDGE) == within).all()
    assert any(within)


def test_a_wide_gap_and_a_cell_alone_have_no_edge():
    labels = two_squares(4)
    assert not (classes_of(labels, 3) == EDGE).any()
    labels[:, 37:] = 0
    classes = classes_of(labels, 9)
    assert np.array_equal(classes == CELL, labels > 0)
    assert np.array_equal(classes == OTHER, labels == 0)


def test_classes_are_those_that_the_definition_gives():
    """Against the definition, pixel by pixel, on a mosaic of touching and apart cells."""
    rng = np.random.default_rng(2)
    labels = np.kron(rng.integers(0, 6, (9, 11)), np.ones((4, 5), int)).astype(np.uint32)
    for width in (2, 3, 5):
        expected = np.where(labels > 0, CELL, OTHER)
        y, x = np.indices(labels.shape)
        for at in np.ndindex(labels.shape):
            near = (y - at[0]) ** 2 + (x - at[1]) ** 2 <= (width / 2) ** 2
            if len(set(labels[near]) - {0}) > 1:
                expected[at] = EDGE
        assert np.array_equal(classes_of(labels, width), expected)


def test_other_numbers_give_the_same_classes():
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(0, 6, (9, 11)), np.ones((4, 5), int)).astype(np.uint32)
    numbers = np.array([0, 2**32 - 1, 70_000, 1, 65_536, 256], np.uint32)
    assert np.array_equal(classes_of(numbers[labels], 3), classes_of(labels, 3))


def pixels_of(shape, box, around=0):
    """Return where a box and `around` px more lie, (h, w) bool."""
    y0, y1, x0, x1 = box
    inside = np.zeros(shape, bool)
    inside[max(y0 - around, 0) : y1 + around, max(x0 - around, 0) : x1 + around] = True
    return inside


@pytest.mark.parametrize("held_out", [0.2, 0.3, 0])
@pytest.mark.parametrize("shape", [(1000, 300), (300, 1001), (700, 700)])
def test_patches_of_a_part_see_nothing_of_another_and_parts_cover_the_rest(shape, held_out):
    labels = squares(8, 11, shape)
    labels[:, : shape[1] // 4] = 0  # bare glass
    regions = split(labels, held_out, RADIUS, "labels")
    boxes = [box for box in (regions.train, regions.validation, regions.test) if box]
    assert len(boxes) == (3 if held_out else 2)
    for box in boxes:
        seen = pixels_of(shape, box, RADIUS)
        for other in boxes:
            assert other is box or not (seen & pixels_of(shape, other)).any()
    covered = sum(pixels_of(shape, box).astype(int) for box in boxes)
    assert covered.max() == 1
    assert (covered == 0).sum() == RADIUS * (len(boxes) - 1) * min(shape)
    n_labelled = np.count_nonzero(labels)
    if held_out:
        y0, y1, x0, x1 = regions.test
        assert np.count_nonzero(labels[y0:y1, x0:x1]) / n_labelled == pytest.approx(
            held_out, abs=0.02
        )


def test_an_image_too_small_to_be_cut_is_refused():
    split(squares(8, 11, (100, 800)), 0.2, RADIUS, "labels")
    with pytest.raises(DataError, match=r"^labels: an image of 100 x 200 px is too small to be "):
        split(squares(8, 11, (100, 200)), 0.2, RADIUS, "labels")


def test_labels_on_the_models_grid():
    labels = np.arange(12 * 10, dtype=np.uint32).reshape(12, 10)
    assert np.array_equal(on_model_grid(labels, Grid(12, 10, 0.5)), labels)
    halved = on_model_grid(labels, Grid(12, 10, 0.25))
    assert halved.shape == (6, 5)
    # each of a pixel's own four, and always the same one of them
    assert np.array_equal(halved, labels[1::2, 1::2])
    doubled = on_model_grid(labels, Grid(12, 10, 1.0))
    assert np.array_equal(doubled, labels.repeat(2, axis=0).repeat(2, axis=1))
    assert on_model_grid(labels, Grid(12, 10, 0.37745)).shape == Grid(12, 10, 0.37745).model_shape


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("classes")


@pytest.fixture(scope="module")
def image(tissue_image):
    return tissue_image[: SHAPE[0], : SHAPE[1]]


@pytest.fixture(scope="module")
def store(folder, image):
    return ingest_image(folder / "ingested", image)


def squares(side, step, shape=SHAPE):
    """Return squares of `side` px, one every `step` px."""
    cells = np.zeros(shape, bool)
    for y in range(4, shape[0] - side, step):
        for x in range(4, shape[1] - side, step):
            cells[y : y + side, x : x + side] = True
    labels, _ = ndi.label(cells)
    return labels.astype(np.uint32)


def touching(shape=SHAPE):
    """Return cells of 12 px that touch in pairs, with background between the pairs."""
    labels = np.zeros(shape, np.uint32)
    number = 0
    for y in range(4, shape[0] - 12, 20):
        for x in range(4, shape[1] - 24, 32):
            labels[y : y + 12, x : x + 12], labels[y : y + 12, x + 12 : x + 24] = (
                number + 1,
                number + 2,
            )
            number += 2
    return labels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32"])
def test_labels_of_any_type_and_numbering_give_the_same_example(store, folder, dtype):
    labels = touching()
    labels[labels > 250] -= 250  # fits one byte; no two neighbours share a number
    path = folder / f"{dtype}.tif"
    tifffile.imwrite(path, labels.astype(dtype))
    write_label_image(folder / "large.ome.tif", touching() * 1000, 0.5, "cell")
    (found,), (expected,) = (
        read_examples([Source(store, p)], "whole-cell", 2, 3, 0.3, RADIUS)
        for p in (path, folder / "large.ome.tif")
    )
    assert set(np.unique(found.classes)) == {OTHER, CELL, EDGE}
    assert np.array_equal(found.classes, expected.classes)
    assert np.array_equal(found.image, expected.image) and found.image.shape == (*SHAPE, 2)
    assert found.image.dtype == np.float32 and 0 <= found.image.min() < found.image.max() <= 1
    assert found.regions == expected.regions


def refused(done):
    """Return the error of a script that was refused."""
    assert done.returncode == 65, done.stderr
    assert "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return said


APART_AT_THE_RIGHT = np.where(np.arange(SHAPE[1]) < 150, touching(), squares(8, 16))
HALVES = np.broadcast_to(np.where(np.arange(SHAPE[1]) < 210, 1, 2), SHAPE)
BAD = {
    "labels of another size": (
        touching()[:-1],
        r"labels.tif: is 299 x 420 px and the image slide.ome.tif 300 x 420 px; give the labels",
    ),
    "no background": (HALVES, r"labels.tif of .*: has no background: .* Set what is no"),
    "no two cells near each other": (
        squares(8, 16),
        r"--labels: the part for training has no pixel of class 'edge': .* a larger width takes",
    ),
    "no two cells near each other in one part": (
        APART_AT_THE_RIGHT,
        r"--labels: the part for validation has no pixel of class 'edge': no two cells come within",
    ),
    "one cell only": (touching() > 0, r"of slide.ome.tif: holds one cell only; .* Number"),
    "no cell": (touching() * 0, r"of slide.ome.tif: holds no cell; every cell needs a unique"),
    "labels of floats": (
        touching().astype(np.float32),
        r"labels.tif: holds float32 of shape \(300, 420\); a label image is 2-D and of integers",
    ),
    "negative labels": (touching().astype(np.int32) - 5, r"labels.tif: .*must not be negative"),
    "an image too small": (None, r"of slide.ome.tif: an image of 300 x 420 px is too small"),
}


@pytest.mark.parametrize("name", BAD)
def test_training_refuses_what_cannot_be_learnt_from(bin_script, store, tmp_path, name):
    labels, message = BAD[name]
    path = tmp_path / "labels.tif"
    labels = touching() if labels is None else labels
    integers = labels.dtype.kind in "bui" and labels.min() >= 0
    tifffile.imwrite(path, labels.astype(np.uint32) if integers else labels)
    held_out = 0.3 if name != "an image too small" else 0.1
    said = refused(bin_script(
        "train", "--name", "net", "--stores", store, "--labels", path, "--compartment",
        "whole-cell", "--architecture", "compact", "--steps", 1, "--held_out", held_out, "--outdir",
        tmp_path / "out",
    ))  # fmt: skip
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said)
    assert len(said) < 400
    assert not (tmp_path / "out").exists()


def test_not_a_number_in_the_image_is_refused_before_training(bin_script, image, tmp_path):
    pixels = image.astype(np.float32)
    pixels[123, 45, 0] = np.nan
    slide = write_slide(tmp_path / "slide.ome.tif", pixels)
    said = refused(bin_script(
        "ingest", "--sample", "sample", "--image", slide, "--nuclear", "nuclear",
        "--membrane", "membrane", "--outdir", tmp_path / "out",
    ))  # fmt: skip
    assert "slide.ome.tif" in said and "nuclear" in said and "123" in said
