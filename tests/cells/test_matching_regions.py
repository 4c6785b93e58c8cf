"""Matching of regions: the part of the whole slide's, and what can be relied on."""

import numpy as np
import pytest

from cellquilt.cells.contingency import Contingency, second_label
from cellquilt.cells.matching import match, unsure, within


def scene(rng, shape=(60, 60)):
    """Return cells and nuclei that overlap in chains, numbered from the top down."""

    def blobs(n, size):
        labels = np.zeros(shape, np.uint32)
        corners = sorted(tuple(rng.integers(0, shape[0] - size, 2)) for _ in range(n))
        for label, (y, x) in enumerate(corners, 1):
            height, width = rng.integers(3, size + 1, 2)
            part = labels[y : y + height, x : x + width]
            part[part == 0] = label
        return labels

    return blobs(45, 12), blobs(60, 8)


def matched(cells, nuclei):
    counted = Contingency()
    counted.add(cells, nuclei)
    return counted, match(counted)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_sure_does_not_depend_on_what_is_not_there(seed):
    rng = np.random.default_rng(seed)
    cells, nuclei = scene(rng)
    _, whole = matched(cells, nuclei)
    truth = dict(zip(whole.pair_cells.tolist(), whole.pair_nuclei.tolist(), strict=True))

    gone = rng.random(cells.max() + 1) < 0.15, rng.random(nuclei.max() + 1) < 0.15
    gone[0][0] = gone[1][0] = False
    lost_cell, lost_nucleus = gone[0][cells], gone[1][nuclei]
    incomplete = (
        np.unique(cells[lost_nucleus & ~lost_cell]),
        np.unique(nuclei[lost_cell & ~lost_nucleus]),
    )
    incomplete = tuple(labels[labels > 0].astype(np.uint64) for labels in incomplete)
    seen = np.where(lost_cell, 0, cells), np.where(lost_nucleus, 0, nuclei)
    counted, part = matched(*(labels.astype(np.uint32) for labels in seen))
    found = dict(zip(part.pair_cells.tolist(), part.pair_nuclei.tolist(), strict=True))

    doubtful_cells, doubtful_nuclei = (
        set(labels.tolist()) for labels in unsure(counted.tables()[1], part, *incomplete)
    )
    sure = set(part.cells.keys.tolist()) - doubtful_cells
    assert len(sure) > 5
    assert {one: found.get(one) for one in sure} == {one: truth.get(one) for one in sure}
    lone = set(part.nuclei.keys.tolist()) - set(found.values()) - doubtful_nuclei
    assert not lone & set(truth.values())


def test_nothing_is_in_doubt_where_all_is_there():
    counted, whole = matched(*scene(np.random.default_rng(1)))
    nothing = np.zeros(0, np.uint64)
    assert [len(labels) for labels in unsure(counted.tables()[1], whole, nothing, nothing)] == [
        0,
        0,
    ]


def test_a_nucleus_goes_with_its_cell():
    counted, whole = matched(*scene(np.random.default_rng(2)))
    inside = whole.cells.keys[::2]
    lone = np.setdiff1d(whole.nuclei.keys, whole.pair_nuclei)
    part = within(whole, inside, lone[:3])
    kept = np.isin(whole.pair_cells, inside)
    np.testing.assert_array_equal(part.pair_nuclei, whole.pair_nuclei[kept])
    np.testing.assert_array_equal(part.cells.keys, inside)
    expected = np.union1d(lone[:3], whole.pair_nuclei[kept])
    np.testing.assert_array_equal(part.nuclei.keys, expected)
    statuses = dict(zip(whole.cells.keys.tolist(), whole.cell_statuses(), strict=True))
    assert part.cell_statuses().tolist() == [statuses[one] for one in inside.tolist()]
    assert len(counted.tables()[0].keys) == len(np.unique(counted.tables()[0].keys))
    assert np.isin(second_label(counted.tables()[1].keys), whole.nuclei.keys).all()
