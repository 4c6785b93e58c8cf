"""Joint histogram, matching and writing of labels against numpy, scikit-image and plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from cellquilt_kernels import counting
from skimage.segmentation import find_boundaries

SHAPES = [(1, 1), (1, 40), (40, 1), (2, 3), (37, 53), (64, 130)]


def blobs(shape, seed, largest=2**32 - 1, fill=0.8):
    """Return a label image of small rectangles over one another, labels up to `largest`."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.uint32)
    for _ in range(max(3, image.size // 40)):
        y, x = rng.integers(0, shape)
        height, width = rng.integers(1, 10, 2)
        label = rng.integers(1, largest, endpoint=True) if rng.random() < fill else 0
        image[y : y + height, x : x + width] = label
    return image


def interior(labels):
    return ~find_boundaries(labels, connectivity=1, mode="inner")


def counted(first, second, rows=None):
    """Return {(label, label): sums} of the kernel, the image cut into strips of `rows`."""
    histogram = counting.JointHistogram()
    height = len(first)
    for y0 in range(0, height, rows or height):
        y1 = min(y0 + (rows or height), height)
        above = first[y0 - 1] if y0 else None
        below = first[y1] if y1 < height else None
        histogram.add(first[y0:y1], second[y0:y1], y0, above, below)
    keys = np.empty(len(histogram), np.uint64)
    sums = np.empty((len(histogram), 6), np.int64)
    histogram.read(keys, sums)
    pairs = [(key >> 32, key % 2**32) for key in keys.tolist()]
    return dict(zip(pairs, sums.tolist(), strict=True))


def sums_by_pair(first, second):
    """Return the same, pixel by pixel."""
    inside = interior(first) & (first != 0) & (second != 0)
    found = {}
    for y, x in np.argwhere((first != 0) | (second != 0)).tolist():
        sums = found.setdefault((int(first[y, x]), int(second[y, x])), [0] * 6)
        for k, value in enumerate((1, y, x)):
            sums[k] += value
            sums[3 + k] += value * int(inside[y, x])
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_joint_histogram_in_strips(shape, seed):
    first, second = blobs(shape, seed), blobs(shape, seed + 100, largest=9)
    expected = sums_by_pair(first, second)
    for rows in (None, 1, 2, 7):
        assert counted(first, second, rows) == expected


def test_joint_histogram_of_more_pairs_than_it_starts_with():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2**32, (150, 150), np.uint32)
    second = rng.integers(0, 2, (150, 150), np.uint32) * np.uint32(2**32 - 1)
    assert counted(first, second) == sums_by_pair(first, second)


def test_one_object_everywhere_has_no_boundary():
    full = np.full((5, 6), 2**32 - 1, np.uint32)
    assert counted(full, full, 2) == {(2**32 - 1, 2**32 - 1): [30, 60, 75, 30, 60, 75]}


def test_sums_do_not_overflow_far_down_a_slide():
    histogram = counting.JointHistogram()
    row = np.ones((1, 70_000), np.uint32)
    histogram.add(row, row, 2**32)
    keys, sums = np.empty(1, np.uint64), np.empty((1, 6), np.int64)
    histogram.read(keys, sums)
    assert sums[0].tolist() == 2 * [70_000, 70_000 * 2**32, 70_000 * 69_999 // 2]


def test_nothing_is_counted_in_an_empty_strip():
    assert counted(np.zeros((0, 4), np.uint32), np.zeros((0, 4), np.uint32), rows=1) == {}


def test_a_strip_that_does_not_fit_is_refused():
    labels = np.ones((3, 4), np.uint32)
    histogram = counting.JointHistogram()
    with pytest.raises(ValueError):
        histogram.add(labels, labels[:, :3].copy(), 0)
    with pytest.raises(ValueError):
        histogram.add(labels, labels, 0, labels[0, :3])
    index = counting.Index()
    with pytest.raises(ValueError):
        counting.paint(index, index, labels, labels, None, None, labels.copy(), labels[:2].copy())


def chosen(first, second, shared, area):
    out = np.empty(len(first), np.int64)
    taken = np.zeros(len(area), np.uint8)
    n = counting.choose(
        np.array(first, np.uint64),
        np.array(second, np.int64),
        np.array(shared, np.int64).reshape(-1, 1),
        np.array(area, np.int64),
        taken,
        out,
    )
    assert np.flatnonzero(taken).tolist() == sorted(second[k] for k in out[:n])
    return out[:n].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_choice_is_the_definitions(seed):
    rng = np.random.default_rng(seed)
    area = rng.integers(1, 9, 12)
    pairs = sorted({tuple(pair) for pair in rng.integers(0, 12, (40, 2)).tolist()})
    first, second = [label + 1 for label, _ in pairs], [number for _, number in pairs]
    shared = [int(rng.integers(1, area[number], endpoint=True)) for number in second]
    expected, used = [], set()
    for label in sorted(set(first)):
        free = [k for k in range(len(pairs)) if first[k] == label and second[k] not in used]
        if free:
            best = min(free, key=lambda k: (1 - Fraction(shared[k], int(area[second[k]])), k))
            expected.append(best)
            used.add(second[best])
    assert chosen(first, second, shared, area) == expected


def test_choice_compares_counts_that_floats_cannot_tell_apart():
    area = [2**62 - 1, 2**62 - 2]
    assert chosen([1, 1], [0, 1], [2**62 - 2, 2**62 - 3], area) == [0]
    assert chosen([1, 1], [1, 0], [2**62 - 3, 2**62 - 2], area) == [1]


def test_no_pairs_no_choice():
    assert chosen([], [], [], []) == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_paint_in_strips(shape, seed):
    rng = np.random.default_rng(seed)
    first, second = blobs(shape, seed), blobs(shape, seed + 50)
    labels = [np.unique(image[image != 0]) for image in (first, second)]
    n = min(len(each) for each in labels)
    orders = [rng.permutation(each)[:n].astype(np.uint64) for each in labels]
    new = [
        sum((image == label) * np.uint32(k + 1) for k, label in enumerate(order))
        + np.zeros(shape, np.uint32)
        for image, order in zip((first, second), orders, strict=True)
    ]
    expected = new[0], np.where((new[0] == new[1]) & interior(first), new[0], 0)
    indices = [counting.Index(order) for order in orders]
    for rows in (1, 3, shape[0]):
        painted = np.full((2, *shape), 99, np.uint32)
        for y0 in range(0, shape[0], rows):
            y1 = min(y0 + rows, shape[0])
            above = first[y0 - 1] if y0 else None
            below = first[y1] if y1 < shape[0] else None
            strips = first[y0:y1], second[y0:y1]
            counting.paint(*indices, *strips, above, below, *painted[:, y0:y1])
        np.testing.assert_array_equal(painted, expected)
