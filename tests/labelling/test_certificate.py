"""Certification: a certified cell is the same in every image that can surround its window."""

from dataclasses import replace

import numpy as np
import pytest
from support.maps import crowded_maps

from cellquilt.labelling.certificate import Maps, label_patch
from cellquilt.labelling.watershed import label_cells, smooth, smooth_reach
from cellquilt.segmenters.mesmer import THRESHOLDS
from cellquilt.tiling.box import Box

SHAPE = (420, 460)
CORE = Box(150, 270, 170, 300)


@pytest.fixture(scope="module")
def real_maps(mesmer_predictions):
    """Return Mesmer's maps of a generated tissue, whole-cell and nuclear, each (2, H, W)."""
    maps = np.moveaxis(mesmer_predictions["generated tissue"]["maps"], -1, 0)
    return np.ascontiguousarray(maps[:2, 100:520, 80:540]), np.ascontiguousarray(
        maps[2:, 100:520, 80:540]
    )


def whole_image(maps, thresholds):
    maxima, interior = maps
    return label_cells(maxima, smooth(interior, thresholds), thresholds)


def part(maps, thresholds, core=CORE, halo=48, most=10_000):
    """Label a core, with maps of at most `most` px around it."""
    shape = maps.shape[1:]
    reach = most + smooth_reach(thresholds)
    there = core.grown(reach, shape)

    def covers(box):
        return all((box[i] - there[i]) * (1, -1)[i % 2] >= 0 for i in range(4))

    def read(box):
        assert covers(box)
        return maps[:, box[0] : box[1], box[2] : box[3]]

    return label_patch(Maps(shape, read, covers), core, halo, thresholds)


def assert_same_cells(cells, whole, markers, which):
    """Assert that the cells `which` have the pixels that they have in the whole image."""
    numbers = {tuple(marker): number for number, marker in enumerate(markers.tolist(), start=1)}
    chosen = [tuple(marker) for marker in cells.markers[which].tolist()]
    number_of = np.zeros(len(cells.markers) + 1, np.int64)
    number_of[1:][which] = [numbers[marker] for marker in chosen]
    ours = number_of[cells.labels]
    y, x = cells.origin
    theirs = whole[y : y + ours.shape[0], x : x + ours.shape[1]]
    wanted = number_of[1:][which]
    areas, shared, all_of_it = (
        np.bincount(labels.ravel(), minlength=len(markers) + 1)[wanted]
        for labels in (ours, np.where(ours == theirs, ours, 0), whole)
    )
    assert (areas > 0).all()
    assert np.array_equal(areas, shared) and np.array_equal(areas, all_of_it)


CASES = {
    "crowded": (lambda real: crowded_maps(1), THRESHOLDS["cell"]),
    "ties": (lambda real: crowded_maps(2, levels=20), THRESHOLDS["cell"]),
    "coarse ties": (lambda real: crowded_maps(3, levels=6), THRESHOLDS["nucleus"]),
    "one mask": (
        lambda real: crowded_maps(4) * np.float32([[[1]], [[0.5]]]) + np.float32([[[0]], [[0.4]]]),
        replace(THRESHOLDS["cell"], interior_threshold=0.3),
    ),
    "large holes": (
        lambda real: crowded_maps(5),
        replace(THRESHOLDS["nucleus"], fill_holes_threshold=200),
    ),
    "no smoothing": (lambda real: crowded_maps(6), replace(THRESHOLDS["cell"], interior_smooth=0)),
    "Mesmer's cells": (lambda real: real[0], THRESHOLDS["cell"]),
    "Mesmer's nuclei": (lambda real: real[1], THRESHOLDS["nucleus"]),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, real_maps):
    """Return maps, thresholds, and labels and markers of the whole image."""
    make, thresholds = CASES[request.param]
    maps = make(real_maps)
    return maps, thresholds, *whole_image(maps, thresholds)


@pytest.mark.parametrize("halo", [8, 24, 48, 72])
def test_certified_cells_are_those_of_the_whole_image(case, halo):
    maps, thresholds, whole, markers = case
    cells, used = part(maps, thresholds, halo=halo, most=halo)
    assert used == halo
    assert_same_cells(cells, whole, markers, cells.certified)


@pytest.mark.parametrize(
    ("which", "thresholds"), [(0, THRESHOLDS["cell"]), (1, THRESHOLDS["nucleus"])]
)
def test_mesmers_cells_are_certified_at_the_default_halo(real_maps, which, thresholds):
    cells, _ = part(real_maps[which], thresholds, halo=96, most=96)
    assert cells.certified.all() and len(cells.markers) > 20


@pytest.mark.parametrize("seed", range(3))
def test_certified_cells_are_those_of_any_image_around_the_window(case, seed):
    maps, thresholds, *_ = case
    cells, _ = part(maps, thresholds, halo=40, most=40)
    y0, y1, x0, x1 = CORE.grown(40 + smooth_reach(thresholds), SHAPE)
    worlds = [
        crowded_maps(100 + seed),
        crowded_maps(200 + seed, levels=4),
        np.full_like(maps, seed / 2),
        maps[:, ::-1, ::-1],
        maps[:, :, ::-1] * np.float32(1 + seed),
    ]
    for world in worlds:
        other = world.copy()
        other[:, y0:y1, x0:x1] = maps[:, y0:y1, x0:x1]
        whole, markers = whole_image(other, thresholds)
        assert_same_cells(cells, whole, markers, cells.certified)


def test_the_halo_grows_until_every_cell_is_certified(case):
    maps, thresholds, whole, markers = case
    cells, halo = part(maps, thresholds, halo=4)
    assert 4 < halo <= max(SHAPE)
    assert cells.certified.all() and len(cells.markers) > 20
    assert_same_cells(cells, whole, markers, cells.certified)


def test_patches_share_the_image_out(case):
    maps, thresholds, whole, markers = case
    numbers = {tuple(marker): number for number, marker in enumerate(markers.tolist(), start=1)}
    together = np.zeros_like(whole)
    for rows in ((0, 130), (130, 140), (140, SHAPE[0])):
        for cols in ((0, 200), (200, SHAPE[1])):
            cells, _ = part(maps, thresholds, core=Box(*rows, *cols))
            assert cells.certified.all()
            y, x = cells.origin
            target = together[y : y + cells.labels.shape[0], x : x + cells.labels.shape[1]]
            for number, marker in enumerate(cells.markers.tolist(), start=1):
                assert rows[0] <= marker[0] < rows[1] and cols[0] <= marker[1] < cols[1]
                assert not target[cells.labels == number].any()
                target[cells.labels == number] = numbers[tuple(marker)]
    assert np.array_equal(together, whole)


def test_a_cell_that_maps_do_not_suffice_for_is_kept_and_flagged():
    maps = np.zeros((2, *SHAPE), np.float32)
    maps[1, 200:220] = 0.9  # a band from edge to edge, its peaks outside the window
    maps[0, 210, 60] = maps[0, 210, 240] = 1
    cells, halo = part(maps, THRESHOLDS["cell"], halo=30, most=50)
    assert halo == 50
    assert cells.certified.tolist() == [False]
    assert cells.markers.tolist() == [[210, 240]]
    whole, markers = whole_image(maps, THRESHOLDS["cell"])
    cells, halo = part(maps, THRESHOLDS["cell"], halo=30)
    assert cells.certified.tolist() == [True]
    assert_same_cells(cells, whole, markers, cells.certified)


def test_a_peak_that_may_not_be_one_is_flagged():
    maps = np.zeros((2, *SHAPE), np.float32)
    maps[1, 190:230, 215:250] = 0.9
    maps[0, 210, 0:240] = 0.45  # a ridge from a peak to a higher one far away
    maps[0, 210, 235], maps[0, 210, 2] = 0.5, 1
    inside, _ = part(maps, THRESHOLDS["cell"], halo=30, most=50)
    assert inside.certified.tolist() == [False]
    proved, _ = part(maps, THRESHOLDS["cell"], halo=30)
    whole, _ = whole_image(maps, THRESHOLDS["cell"])
    assert len(proved.markers) == whole.max() == 0


def test_a_neighbour_without_proof_that_could_fill_a_corner_takes_the_proof_away():
    """A cell whose box's corner holds the neighbour's tip fills it, whoever lies there."""
    thresholds = replace(THRESHOLDS["cell"], interior_smooth=0)
    maps = np.zeros((2, *SHAPE), np.float32)
    maps[0, 200, 230] = 1
    maps[1, 195:206, 225:236] = 0.5
    alone, _ = part(maps, thresholds, halo=30, most=30)
    assert alone.certified.tolist() == [True]
    maps[1, 208:212, :] = 0.5  # near it, and out of the window on both sides
    beside, _ = part(maps, thresholds, halo=30, most=30)
    assert beside.certified.tolist() == [False]


@pytest.mark.parametrize("gap", [1, 5, 13, 14, 15, 16, 30])
@pytest.mark.parametrize("shift", [0, 7, 15])
@pytest.mark.parametrize("turns", range(4))
def test_a_neighbour_without_proof_endangers_up_to_the_size_of_a_hole(gap, shift, turns):
    thresholds = replace(THRESHOLDS["cell"], interior_smooth=0)
    assert thresholds.fill_holes_threshold == 15
    maps = np.zeros((2, 420, 420), np.float32)
    row = 200 + shift
    maps[0, row, row] = 1
    maps[1, row - 5 : row + 6, row - 5 : row + 6] = 0.5
    maps[1, row + 6 + gap, :] = 0.5  # out of the window on both sides
    maps = np.ascontiguousarray(np.rot90(maps, turns, axes=(1, 2)))
    cells, _ = part(maps, thresholds, core=Box(150, 270, 150, 270), halo=40, most=40)
    assert cells.certified.tolist() == [gap >= 15]
