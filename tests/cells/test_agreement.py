"""How far two segmentations agree: as `object_f1` says, and where."""

import numpy as np
import pytest
from skimage.draw import disk
from skimage.measure import regionprops
from support.labels import InMemory

from cellquilt.cells.agreement import THRESHOLDS, agreement
from cellquilt.cells.object_f1 import object_f1

SHAPE = 300, 420


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return disks, and the same shifted, split and left out."""
    rng = np.random.default_rng(1)
    first, second = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    for n in range(80):
        y, x = 20 + 33 * (n // 10), 20 + 40 * (n % 10)
        first[disk((y, x), 13, shape=SHAPE)] = 5 * n + 3
        if n % 7:
            dy, dx = rng.integers(-7, 8, 2)
            second[disk((y + dy, x + dx), 13, shape=SHAPE)] = 1000 - n
    return first, second


def test_scores_are_those_of_object_f1(pair):
    found = agreement(*map(InMemory, pair))
    for threshold in THRESHOLDS:
        expected = object_f1(*pair, iou=threshold)
        assert found.f1(threshold) == expected["f1"]
        assert found.n_matched[threshold] == expected["n_true_positive"]
    assert 0.2 < found.f1(0.5) < 1 and found.f1(0.9) < found.f1(0.5)
    assert found.mean_iou == pytest.approx(object_f1(*pair)["mean_iou"])


def test_places_are_centroids_and_half_of_the_matched_are_of_each(pair):
    found = agreement(*map(InMemory, pair))
    for labels, places in zip(pair, (found.first, found.second), strict=True):
        expected = [region.centroid for region in regionprops(labels.astype(int))]
        np.testing.assert_allclose(places, np.array(expected) + 0.5)
    assert found.first_matched.sum() == found.second_matched.sum() == found.n_matched[0.5]
    assert len(found.places) == len(found.is_matched)


def test_nothing_has_no_score():
    nothing = InMemory(np.zeros((5, 5), np.uint32))
    found = agreement(nothing, nothing)
    assert found.f1(0.5) is None and found.mean_iou is None and len(found.places) == 0
