"""What is derived from label images row by row: the same as from the whole image."""

import numpy as np
import pytest
from skimage.segmentation import find_boundaries
from support.labels import InMemory

from cellquilt.images.label_rows import (
    Overlaid,
    Relabelled,
    boundaries,
    boundary_rows,
    labels_of,
)
from cellquilt.images.strips import Scratch, strip_rows


def noise(shape, largest, seed=0):
    """Return random labels in blocks of 3 x 4 px, and some pixels of background between."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, largest, (shape[0] // 3 + 1, shape[1] // 4 + 1), np.uint32)
    labels = np.kron(blocks, np.ones((3, 4), np.uint32))[: shape[0], : shape[1]]
    labels[rng.random(shape) < 0.1] = 0
    return labels


def strips(rows, height):
    return np.concatenate([rows(y0, min(y0 + height, 50)) for y0 in range(0, 50, height)])


@pytest.mark.parametrize("shape", [(50, 60), (1, 60), (60, 1), (1, 1)])
def test_boundaries_are_scikit_images(tmp_path, shape):
    labels = noise(shape, 2**32 - 1)
    expected = labels * find_boundaries(labels, connectivity=1, mode="inner")
    np.testing.assert_array_equal(boundaries(labels), expected)
    scratch = Scratch(tmp_path, shape, np.uint32)
    scratch[:] = labels
    for read in (InMemory(labels), scratch):
        for rows in (1, 9):
            found = [boundary_rows(read, y0, y1) for y0, y1 in strip_rows(shape, rows)]
            np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("height", [1, 7, 50])
@pytest.mark.parametrize("largest", [12, 2**32 - 1])
def test_relabelled(height, largest):
    """Whether the largest label is small enough for a table, or is searched for."""
    labels = noise((50, 60), 12)
    labels[labels == 11] = largest
    old, new = np.array([9, largest, 2, 5]), np.array([1, 4, 2**32 - 1, 3])
    changed = Relabelled(InMemory(labels), old, new)
    expected = np.zeros_like(labels)
    for before, after in zip(old, new, strict=True):
        expected[labels == before] = after
    assert changed.shape == labels.shape
    assert set(np.unique(expected)) == {0, 1, 3, 4, 2**32 - 1}
    np.testing.assert_array_equal(strips(changed.read, height), expected)
    assert changed.read(-1, 3).dtype == np.uint32 and len(changed.read(-1, 3)) == 3


def test_relabelled_by_nothing_is_background():
    nothing = np.array([], np.int64)
    labels = InMemory(noise((50, 60), 12))
    assert not Relabelled(labels, nothing, nothing).read(0, 50).any()


@pytest.mark.parametrize("shape", [(50, 60), (1, 60), (60, 1), (0, 5)])
def test_labels_of_a_strip(shape):
    labels = noise(shape, 2**32 - 1)
    np.testing.assert_array_equal(labels_of(labels), np.unique(labels[labels > 0]))


@pytest.mark.parametrize("height", [1, 7, 50])
def test_overlaid(height):
    upper, lower = noise((50, 60), 3), noise((50, 60), 9, seed=1)
    both = Overlaid(InMemory(upper), InMemory(lower))
    expected = np.where(upper > 0, upper, lower)
    assert ((upper == 0) & (lower > 0)).any() and both.shape == upper.shape
    np.testing.assert_array_equal(strips(both.read, height), expected)
    assert both.read(-1, 3).dtype == np.uint32 and len(both.read(-1, 3)) == 3
