"""Shapes and sums of objects against scikit-image's regionprops."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.measure import regionprops_table

from cellquilt.cells.object_shapes import Runs, pixel_sums

NAMES = {
    "area": "area",
    "centroid_y": "centroid-0",
    "centroid_x": "centroid-1",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "extent": "extent",
    "orientation": "orientation",
}


def runs_of(folder: Path, labels: np.ndarray, rows: int) -> Runs:
    runs = Runs(folder, int(labels.max(initial=0)))
    for y0 in range(0, len(labels), rows):
        runs.append(labels[y0 : y0 + rows].astype(np.uint32), y0)
    return runs


def expected_shapes(labels: np.ndarray) -> dict[str, np.ndarray]:
    properties = {name.partition("-")[0] for name in NAMES.values()}
    table = regionprops_table(labels, properties=sorted(properties))
    return {ours: table[theirs] for ours, theirs in NAMES.items()}


def check_shapes(labels: np.ndarray, folder: Path, rows: int) -> None:
    found = runs_of(folder, labels, rows).shapes()
    for name, values in expected_shapes(labels).items():
        off = found[name] - values
        if name == "orientation":
            # An axis has no direction: the same angle may be pi/2 and -pi/2.
            off = (off + np.pi / 2) % np.pi - np.pi / 2
            # Nor has a square one: the sign of what is 0 but for rounding decides.
            off = off[found["eccentricity"] > 1e-6]
        # What is a root of 0 in ours is one of 1e-16 there.
        np.testing.assert_allclose(off, 0, atol=1e-7, err_msg=name)


def confetti(seed: int) -> np.ndarray:
    """Return 400 small objects with gaps, in parts, overlapping each other."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((300, 301), np.int64)
    for label in range(1, 400):
        y, x = rng.integers(-4, 296, 2).clip(0)
        part = labels[y : y + rng.integers(1, 14), x : x + rng.integers(1, 14)]
        part[rng.random(part.shape) < rng.choice([0.1, 0.6, 1.0])] = label
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_shapes_of_objects_of_any_form(seed, rows, tmp_path):
    check_shapes(confetti(seed), tmp_path, rows)


def test_shapes_of_real_cells(shared_data, tmp_path):
    labels = tifffile.imread(shared_data / "codex_tile" / "mask_expert1.tif").squeeze()
    check_shapes(np.unique(labels, return_inverse=True)[1].reshape(labels.shape), tmp_path, 100)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 5)])
def test_an_image_that_is_one_object(shape, tmp_path):
    check_shapes(np.ones(shape, np.int64), tmp_path, 1)


def test_moments_of_a_huge_object_do_not_overflow(tmp_path):
    labels = np.zeros((9000, 3000), np.uint32)
    labels[10:8990, 7:2900] = 1
    found = runs_of(tmp_path, labels, 1000).shapes()
    # A rectangle's axis: 4 times the standard deviation of 0 ... n - 1.
    for name, n in {"major_axis": 8980, "minor_axis": 2893}.items():
        np.testing.assert_allclose(found[name], 4 * np.sqrt((n**2 - 1) / 12), rtol=1e-12)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", ">u2", "uint32", "int32", "float32", "float64"]
)
def test_sums_of_pixels_of_any_type(dtype, tmp_path):
    labels = confetti(1)
    rng = np.random.default_rng(2)
    pixels = (rng.random(labels.shape) * 200 - (100 if "u" not in dtype else 0)).astype(dtype)
    strips = [pixels[y0 : y0 + 40] for y0 in range(0, len(pixels), 40)]
    runs = runs_of(tmp_path, labels, 40)
    (sums,) = pixel_sums([runs], strips)
    expected = np.bincount(labels.ravel(), pixels.ravel().astype(np.float64))[1:]
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-10)
    assert sums.dtype.kind == ("f" if "f" in dtype else "i")


def test_sums_of_integers_are_exact(tmp_path):
    labels = np.ones((5, 70_000), np.uint32)
    pixels = np.full(labels.shape, 2**32 - 1, np.uint32)
    (sums,) = pixel_sums([runs_of(tmp_path, labels, 2)], [pixels[:2], pixels[2:4], pixels[4:]])
    assert sums.tolist() == [5 * 70_000 * (2**32 - 1)]


def test_the_strips_change_no_bit_of_a_sum_of_floats(tmp_path):
    labels = confetti(3)
    pixels = np.random.default_rng(4).lognormal(0, 8, labels.shape)
    found = []
    for rows in (1, 13, 300):
        strips = [pixels[y0 : y0 + rows] for y0 in range(0, len(pixels), rows)]
        found.append(pixel_sums([runs_of(tmp_path, labels, rows)], strips)[0])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_no_objects(tmp_path):
    runs = runs_of(tmp_path, np.zeros((10, 10), np.uint32), 4)
    assert all(len(values) == 0 for values in runs.shapes().values())
    strips = [np.ones((n, 10), np.uint16) for n in (4, 4, 2)]
    assert pixel_sums([runs], strips)[0].shape == (0,)
