"""Growing in windows against scikit-image on the whole label image."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import expand_labels
from support.labels import InMemory

from cellquilt.images import growing


class Marked(InMemory):
    def read(self, y0, y1):
        return super().read(y0, y1) > 0


def scattered(shape: tuple[int, int], density: float, seed: int) -> np.ndarray:
    """Return single pixels and small squares of many labels: most distances are ties."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    n = int(shape[0] * shape[1] * density)
    spots = zip(rng.integers(0, shape[0], n), rng.integers(0, shape[1], n), strict=True)
    for label, (y, x) in enumerate(spots, 1):
        side = rng.integers(1, 4)
        labels[y : y + side, x : x + side] = label
    return labels


@pytest.mark.parametrize("side", [7, 40, 1024])
@pytest.mark.parametrize("distance", [1, 1.5, 2.8284271, 5, 13.2])
@pytest.mark.parametrize("density", [0.001, 0.02, 0.2])
def test_windows_change_nothing(monkeypatch, side, distance, density):
    monkeypatch.setattr(growing, "SIDE", side)
    for seed, shape in enumerate([(120, 150), (1, 90), (90, 1), (33, 200)]):
        labels = scattered(shape, density, seed)
        found = np.concatenate(list(growing.grow(InMemory(labels), distance)))
        assert found.dtype == np.uint32
        assert np.array_equal(found, expand_labels(labels, distance))


def test_nothing_grows_from_nothing():
    labels = np.zeros((50, 60), np.uint32)
    assert not np.concatenate(list(growing.grow(InMemory(labels), 9))).any()


@pytest.mark.parametrize("side", [7, 1024])
@pytest.mark.parametrize("distance", [1, 4, 10.5])
def test_what_is_near_is_found(monkeypatch, side, distance):
    monkeypatch.setattr(growing, "SIDE", side)
    labels = scattered((120, 150), 0.02, 3)
    marked = np.zeros(labels.shape, bool)
    marked[55:75, 80:95] = marked[3, 5] = True
    near = np.unique(labels[distance_transform_edt(~marked) <= distance])
    found = growing.labels_near(InMemory(labels), Marked(marked), distance)
    assert found.tolist() == near[near > 0].tolist()
    assert 0 < len(found) < len(np.unique(labels)) - 1
