"""The compiled labelling kernels against scikit-image, and for equal input in other forms."""

import heapq
import itertools

import numpy as np
import pytest
from cellquilt_kernels import flood, holes, peaks
from scipy import ndimage as ndi
from skimage.measure import euler_number, label, regionprops
from skimage.morphology import disk, h_maxima
from skimage.segmentation import watershed

from cellquilt.labelling.watershed import CLOSED, find_maxima, maxima_by_reconstruction

OPEN_SIDES = list(itertools.product([False, True], repeat=4))


def smooth_noise(rng, shape):
    return ndi.gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 4))


IMAGES = {
    "smooth": smooth_noise,
    "noise": lambda rng, shape: rng.random(shape),
    "few levels": lambda rng, shape: rng.integers(0, 5, shape) / 8,
    "plateaus": lambda rng, shape: np.round(smooth_noise(rng, shape) * 20) / 20,
    "clipped": lambda rng, shape: np.clip(smooth_noise(rng, shape), 0, 0.1),
    "large values": lambda rng, shape: 1e6 * smooth_noise(rng, shape),
    "nearly flat": lambda rng, shape: 0.5 + 1e-7 * rng.integers(0, 5, shape),
    "constant": lambda rng, shape: np.full(shape, 0.25),
    "ramp": lambda rng, shape: np.add.outer(np.arange(shape[0]), np.zeros(shape[1])) / 50,
}
SHAPES = [(60, 70), (1, 50), (50, 1), (3, 4), (1, 1)]


def image_of(kind, seed, shape=SHAPES[0]):
    return IMAGES[kind](np.random.default_rng(seed), shape).astype(np.float32)


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("h", [0.01, 0.1, 0.6])
@pytest.mark.parametrize("kind", IMAGES)
def test_h_maxima_are_scikit_images(kind, h, radius):
    for seed, shape in enumerate(SHAPES):
        image = image_of(kind, seed, shape)
        ours = peaks.h_maxima(image, h, radius, CLOSED)
        assert np.array_equal(ours, h_maxima(image, h, disk(radius)))
        assert np.array_equal(ours, maxima_by_reconstruction(image, h, radius, CLOSED))


@pytest.mark.parametrize("kind", IMAGES)
def test_what_a_window_knows_of_its_h_maxima_is_one_thing_in_two_ways(kind):
    for seed, sides in enumerate(OPEN_SIDES):
        image = image_of(kind, seed)
        ours = peaks.h_maxima(image, 0.1, 2, sides)
        assert np.array_equal(ours, maxima_by_reconstruction(image, 0.1, 2, sides))


def test_long_paths_through_noise_are_left_to_the_reconstruction():
    rng = np.random.default_rng(0)
    image = (0.5 + 0.05 * rng.random((200, 200))).astype(np.float32)
    image[0, 0], image[-1, -1] = 0, 1
    assert peaks.h_maxima(image, 0.1, 2, CLOSED, 0) is None
    assert np.array_equal(find_maxima(image, 0.1, 2, CLOSED), h_maxima(image, 0.1, disk(2)))


@pytest.mark.parametrize("seed", range(4))
def test_peaks_are_numbered_as_by_scikit_image(seed):
    maxima = (np.random.default_rng(seed).random((60, 70)) < 0.1 * (seed + 1)).astype(np.uint8)
    labels, first, certain = peaks.label_peaks(maxima, CLOSED)
    assert np.array_equal(labels, label(maxima))
    assert certain.all()
    _, index = np.unique(labels[labels > 0], return_index=True)
    assert np.array_equal(first, np.argwhere(labels > 0)[index])


def test_a_peak_is_uncertain_by_one_pixel_or_at_an_open_side():
    maxima = np.zeros((9, 9), np.uint8)
    maxima[0, 0] = maxima[3, 3] = maxima[8, 4] = 1
    maxima[4, 4] = 2
    maxima[6, 7] = 1
    _, first, certain = peaks.label_peaks(maxima, (True, False, False, False))
    assert first.tolist() == [[0, 0], [3, 3], [6, 7], [8, 4]]
    assert certain.tolist() == [False, False, True, True]


def markers_of(rng, shape, n=25):
    markers = np.zeros(shape, np.int32)
    where = rng.choice(markers.size, min(n, markers.size), replace=False)
    markers.ravel()[np.sort(where)] = np.arange(1, where.size + 1)
    return markers


def flood_closed(image, markers, threshold):
    certain = np.ones(markers.max(), np.uint8)
    return flood.watershed(image, markers, threshold, certain, CLOSED)


@pytest.mark.parametrize("kind", ["smooth", "noise", "large values"])
@pytest.mark.parametrize("threshold", [-1e9, 0, 0.3])
def test_watershed_is_scikit_images_where_heights_differ(kind, threshold):
    for seed, shape in enumerate(SHAPES):
        rng = np.random.default_rng(seed)
        image, markers = image_of(kind, seed, shape), markers_of(rng, shape)
        labels, areas, touched = flood_closed(image, markers, threshold)
        theirs = watershed(-image, markers, mask=image > np.float32(threshold))
        assert np.array_equal(labels, theirs)
        assert np.array_equal(areas[1:], np.bincount(theirs.ravel(), minlength=len(areas))[1:])
        assert not touched.any()


def fifo_watershed(image, markers, mask):
    """Flood by the definition: highest first, and of equals the one that came first."""
    labels, count = np.where(mask, markers, 0), itertools.count()
    queue = [(-image[y, x], next(count), y, x) for y, x in np.argwhere(labels).tolist()]
    heapq.heapify(queue)
    while queue:
        _, _, y, x = heapq.heappop(queue)
        for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            inside = 0 <= v < image.shape[0] and 0 <= u < image.shape[1]
            if inside and mask[v, u] and not labels[v, u]:
                labels[v, u] = labels[y, x]
                heapq.heappush(queue, (-image[v, u], next(count), v, u))
    return labels


@pytest.mark.parametrize("kind", IMAGES)
def test_among_equal_heights_the_first_comes_first(kind):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        image, markers = image_of(kind, seed), markers_of(rng, SHAPES[0])
        labels, _, _ = flood_closed(image, markers, 0.1)
        assert np.array_equal(labels, fifo_watershed(image, markers, image > np.float32(0.1)))


# Heights of one bin, hundreds of pixels, that differ in the last one, two or three bytes
CROWDED_BINS = {"one byte": 2e-9, "two bytes": 3e-6, "three bytes": 6e-4}


@pytest.mark.parametrize("spread", CROWDED_BINS)
def test_pixels_of_a_crowded_bin_are_flooded_by_height_and_arrival(spread):
    """One pixel far above the others makes bins so wide that all others share a few."""
    rng = np.random.default_rng(8)
    shape = (75, 90)
    image = 0.05 + CROWDED_BINS[spread] * rng.integers(0, 1000, shape)
    image[40, 50] = 1e6
    image, markers = image.astype(np.float32), markers_of(rng, shape, 60)
    assert np.unique(image).size < image.size / 2  # with ties
    labels, _, _ = flood_closed(image, markers, 0)
    assert np.array_equal(labels, fifo_watershed(image, markers, image > 0))


def flood_with_unknown(image, markers, threshold, certain, sides):
    """Flood by the definition, from UNKNOWN before all others."""
    first, mask = np.zeros(image.shape, bool), image > np.float32(threshold)
    for opened, edge in zip(sides, (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]), strict=True):
        first[edge] |= opened
    first |= np.isin(markers, np.flatnonzero(certain == 0) + 1)
    first &= mask
    n = int(markers.max())
    raised = np.where(first, np.float32(2 * np.abs(image).max() + 1), image)
    labels = fifo_watershed(raised, np.where(first, n + 1, markers), mask)
    labels[labels == n + 1] = -1
    beside = ndi.binary_dilation(labels < 0)
    return labels, np.isin(np.arange(n + 1), np.unique(labels[beside & (labels > 0)]))


@pytest.mark.parametrize("kind", IMAGES)
def test_windows_of_several_blocks_with_open_sides(kind):
    """Shapes around the 16 x 32 px of a block, less the frame of 1 px."""
    for seed, shape in enumerate([(14, 30), (15, 31), (16, 32), (30, 62), (47, 95), (1, 200)]):
        rng = np.random.default_rng(seed)
        image, markers = image_of(kind, seed, shape), markers_of(rng, shape)
        certain = (rng.random(markers.max()) < 0.9).astype(np.uint8)
        sides = OPEN_SIDES[(5 * seed + 3) % 16]
        labels, areas, touched = flood.watershed(image, markers, 0.1, certain, sides)
        theirs, beside = flood_with_unknown(image, markers, 0.1, certain, sides)
        assert np.array_equal(labels, theirs)
        assert np.array_equal(touched, beside)
        counts = np.bincount(labels[labels > 0], minlength=len(areas))
        assert np.array_equal(areas[1:], counts[1:])


def test_zeros_of_either_sign_are_of_one_height():
    image = np.float32([[0.0, -0.0, 0.0, -0.0, 0.0]])
    markers = np.int32([[1, 0, 0, 0, 2]])
    labels, _, _ = flood_closed(image, markers, -1)
    assert labels.tolist() == [[1, 1, 1, 2, 2]]


def test_unknown_floods_first_and_marks_whom_it_touches():
    image = np.full((1, 9), 0.5, np.float32)
    image[0, 7] = 0  # a gap
    markers = np.int32([[0, 0, 0, 1, 0, 2, 0, 0, 3]])
    sides = (False, False, True, False)
    labels, areas, touched = flood.watershed(image, markers, 0.1, np.ones(3, np.uint8), sides)
    assert labels.tolist() == [[-1, -1, 1, 1, 1, 2, 2, 0, 3]]
    assert areas.tolist() == [0, 3, 2, 1]
    assert touched.tolist() == [False, True, False, False]


@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_those_of_regionprops(shape, density):
    rng = np.random.default_rng(3)
    for _ in range(5):
        labels = label(rng.random(shape) < density).astype(np.int32)
        labels[rng.random(shape) < 0.1] = 0
        euler, boxes = holes.outlines(labels, int(labels.max()) + 1)
        for cell in regionprops(labels):
            assert euler[cell.label] == cell.euler_number == euler_number(cell.image)
            y0, x0, y1, x1 = cell.bbox
            assert boxes[cell.label].tolist() == [y0, y1, x0, x1]
        absent = np.setdiff1d(np.arange(1, len(boxes)), labels)
        assert (boxes[absent, 0] > boxes[absent, 1]).all()
