"""Cells grown from nuclei: which of them are proved, and what that proof is worth."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import expand_labels

from cellquilt.images.strips import Scratch
from cellquilt.labelling.grown_cells import grown_cells, without_neighbours
from cellquilt.labelling.stitch import Stitched

SHAPE = (200, 260)


def disks(n: int, seed: int) -> np.ndarray:
    """Return disks that do not overlap, labelled from 1."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for cy, cx in rng.uniform(0, SHAPE, (n, 2)):
        disk = (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(3, 7) ** 2
        if disk.any() and not labels[disk].any():
            labels[disk] = labels.max() + 1
    return labels


def stitched(folder, labels: np.ndarray, doubtful=(), unseen=()) -> Stitched:
    """Return nuclei as STITCH has them."""
    image = Scratch(folder, labels.shape, np.uint32)
    image[:] = labels
    ids = np.arange(1, labels.max() + 1)
    cells = pd.DataFrame({"label": ids, "certified": ~np.isin(ids, doubtful)})
    return Stitched(image, len(ids), cells, np.array(unseen, np.int64).reshape(-1, 2), 0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a step has its scratch space
    return tmp_path


@pytest.mark.parametrize("distance", [2.0, 6.4, 15.0])
def test_cells_are_the_nuclei_of_the_whole_slide_grown(here, distance):
    labels = disks(150, 1)
    cells = grown_cells(stitched(here, labels), distance)
    assert np.array_equal(cells.labels[:], expand_labels(labels, distance))
    assert cells.cells["certified"].all() and cells.n_labels == labels.max() > 50


@pytest.mark.parametrize("distance", [2.0, 6.4, 15.0])
def test_what_is_certified_does_not_depend_on_nuclei_that_are_not(here, distance):
    """Whether those are there, or others in their place."""
    labels = disks(150, 2)
    doubtful = [5, 40, 41]
    cells = grown_cells(stitched(here, labels, doubtful), distance)
    sure = cells.cells.loc[cells.cells["certified"], "label"]
    marked = np.isin(labels, doubtful)
    near = np.unique(labels[distance_transform_edt(~marked) <= 2 * distance])
    assert sorted(sure) == sorted(set(range(1, labels.max() + 1)) - set(near.tolist()))
    assert 10 < len(sure) <= labels.max() - 3
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 2, SHAPE, np.uint32) * (labels.max() + 1)
    for others in (np.zeros(SHAPE, np.uint32), noise):
        changed = expand_labels(np.where(marked, others, labels), distance)
        kept = (np.where(np.isin(image, sure), image, 0) for image in (cells.labels[:], changed))
        assert np.array_equal(*kept)


def test_cells_near_what_is_not_segmented_are_not_complete(here):
    """Within twice the distance of a patch outside of regions, or of a pixel of such a nucleus."""
    labels, distance = disks(150, 4), 6.0
    nuclei = stitched(here, labels, unseen=[(30, 40)])
    patches = [
        {"reason": "outside_roi", "y0": 150, "height": 50, "x0": 0, "width": 100},
        {"reason": "", "y0": 0, "height": 200, "x0": 100, "width": 160},
    ]
    marked = np.zeros(SHAPE, bool)
    marked[150:, :100] = marked[30, 40] = True
    near = np.unique(labels[distance_transform_edt(~marked) <= 2 * distance])
    found = without_neighbours(nuclei, pd.DataFrame(patches), distance)
    assert found.tolist() == near[near > 0].tolist()
    assert len(found) > 10
