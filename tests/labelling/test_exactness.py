"""Whole slides in patches against the real deepcell on the whole image: input, maps, labels."""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.steps import (
    ingest_image,
    label_slide,
    network_input,
    plan_store,
    replan,
    segment_tasks,
    windows,
)

from cellquilt.cells.object_f1 import object_f1
from cellquilt.tiling.lattice import TILE

PATCHES_PER_TASK = {384: 2, 576: 3, 1536: 16}  # by patch size
PATCH_SIZES = list(PATCHES_PER_TASK)
# For these the network runs over each task; for the others the maps of the whole slide are cut
BY_NETWORK = {
    "generated tissue": PATCH_SIZES,
    "codex tile": [576, 1536],
    "codex tile, own pixel size": [1536],
}
WHOLE = 1_000_000
MAP_TOLERANCE = 1e-5


@dataclass
class Run:
    """What the pipeline made of a slide, by patch size, beside what Mesmer.predict made of it."""

    theirs: dict[str, np.ndarray]
    input: np.ndarray
    maps: dict[int, list[Path]]
    labels: dict[int, np.ndarray]
    labels_of_their_maps: dict[int, np.ndarray] = field(default_factory=dict)


@pytest.fixture(scope="module")
def run_of(mesmer_slides, mesmer_predictions, network, tmp_path_factory):
    """Return a function that runs the pipeline on a slide, once."""

    @functools.cache
    def run_of(name):
        if name not in mesmer_slides:
            pytest.skip("no real data beside the repository")
        folder = tmp_path_factory.mktemp("slide")
        store = ingest_image(folder / "ingest", *mesmer_slides[name])
        maps = {}
        for size in BY_NETWORK[name]:
            n_patches = PATCHES_PER_TASK[size]
            _, pixels = plan_store(store, folder / f"{size}", size, patches_per_task=n_patches)
            maps[size] = segment_tasks(pixels, network)
        (whole,) = maps[1536]
        labels = {
            size: label_slide(maps.get(size) or [replan(whole, size)], folder / f"{size}-labels")
            for size in PATCH_SIZES
        }
        return Run(mesmer_predictions[name], network_input(store), maps, labels)

    return run_of


@pytest.fixture(params=BY_NETWORK)
def run(request, run_of):
    return run_of(request.param)


def test_the_network_sees_what_deepcells_sees(run):
    assert np.array_equal(run.input, run.theirs["normalised"])


def test_maps_are_deepcells(run):
    for tasks in run.maps.values():
        covered = np.zeros(run.input.shape[:2], bool)
        for maps in tasks:
            for where, ours in windows(maps):
                assert np.abs(ours - run.theirs["maps"][where]).max() <= MAP_TOLERANCE
                covered[where] = True
        assert covered.all()


@pytest.mark.parametrize("name", [name for name, sizes in BY_NETWORK.items() if len(sizes) > 1])
def test_maps_do_not_depend_on_patches_and_tasks(run_of, name):
    run = run_of(name)
    whole = np.zeros_like(run.theirs["maps"])
    for maps in run.maps[1536]:
        for where, ours in windows(maps):
            whole[where] = ours
    for patch_size in BY_NETWORK[name]:
        for maps in run.maps[patch_size]:
            for where, ours in windows(maps):
                assert np.array_equal(ours, whole[where])


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_labels_are_deepcells_to_the_number(run, patch_size):
    assert run.labels[patch_size].max() > 500
    assert np.array_equal(run.labels[patch_size], run.theirs["labels"])


@pytest.mark.parametrize(
    ("mask", "bar"), [("mask_DeepCell-0.9.0_membrane.tif", 0.91), ("mask_expert1.tif", 0.59)]
)
def test_cells_of_the_codex_tile_agree_with_published_masks(run_of, shared_data, mask, bar):
    cells = run_of("codex tile").labels[1536][..., 0]
    truth = tifffile.imread(shared_data / "codex_tile" / mask)
    assert object_f1(cells, truth)["f1"] >= bar


def whole_maps(store, folder, network):
    """Return the task that a slide as one patch is, and its maps."""
    _, pixels = plan_store(store, folder, WHOLE)
    (maps,) = segment_tasks(pixels, network)
    ((_, values),) = windows(maps)
    return maps, values


def test_an_image_smaller_than_a_tile_is_deepcells(
    tissue_image, mesmer_predictions, network, tmp_path
):
    theirs = mesmer_predictions["small"]
    store = ingest_image(tmp_path / "ingest", tissue_image[:100, :180])
    maps, values = whole_maps(store, tmp_path / "task", network)
    assert np.array_equal(network_input(store), theirs["normalised"])
    assert np.abs(values - theirs["maps"]).max() <= MAP_TOLERANCE
    labels = label_slide([maps], tmp_path / "labels")
    assert labels.max() > 10
    assert np.array_equal(labels, theirs["labels"])


def test_an_image_narrower_than_a_tile_is_padded_on_that_side_alone(
    tissue_image, mesmer_predictions, network, tmp_path
):
    theirs = mesmer_predictions["narrow"]
    store = ingest_image(tmp_path / "ingest", tissue_image[:, :180])
    _, values = whole_maps(store, tmp_path / "task", network)
    left = (TILE - 180) // 2
    inside = np.s_[:, left : left + 180]
    assert np.array_equal(network_input(store), theirs["normalised"][inside])
    assert np.abs(values - theirs["maps"][inside]).max() <= MAP_TOLERANCE


@pytest.fixture(scope="module")
def mosaic(codex_image, mesmer_weights, deepcell, network, tmp_path_factory):
    """A slide of two of the largest patches, through the network once; labels by patch size."""
    image = np.tile(codex_image, (1, 2, 1))[:800, :1700]
    case = {"image": image, "image_mpp": 0.5, "weights": str(mesmer_weights)}
    folder = tmp_path_factory.mktemp("mosaic")
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(deepcell, "predict", {"mosaic": case})
        store = ingest_image(folder / "ingest", image)
        maps, _ = whole_maps(store, folder / "task", network)
        labels = {
            size: label_slide([replan(maps, size)], folder / f"{size}") for size in PATCH_SIZES
        }
        run = Run(theirs.result()["mosaic"], network_input(store), {WHOLE: [maps]}, labels)
    run.labels_of_their_maps |= {
        size: label_slide([replan(maps, size, run.theirs["maps"])], folder / f"{size}-theirs")
        for size in PATCH_SIZES
    }
    return run


def test_the_network_sees_what_deepcells_sees_of_a_mosaic(mosaic):
    assert np.array_equal(mosaic.input, mosaic.theirs["normalised"])


def test_maps_of_a_mosaic_are_deepcells(mosaic):
    ((_, values),) = windows(mosaic.maps[WHOLE][0])
    assert np.abs(values - mosaic.theirs["maps"]).max() <= MAP_TOLERANCE


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_labels_of_deepcells_own_maps_are_deepcells_to_the_number(mosaic, patch_size):
    assert mosaic.labels_of_their_maps[patch_size].max() > 2500
    assert np.array_equal(mosaic.labels_of_their_maps[patch_size], mosaic.theirs["labels"])


@pytest.mark.parametrize("compartment", [0, 1])
def test_of_a_mosaics_labels_rounding_of_the_maps_moves_but_single_pixels(mosaic, compartment):
    ours, theirs = (
        labels[..., compartment] for labels in (mosaic.labels[1536], mosaic.theirs["labels"])
    )
    moved = ours != theirs
    touched = np.union1d(ours[moved], theirs[moved])
    assert ours.max() == theirs.max() > 2500
    assert touched.size <= 0.001 * theirs.max()
    assert moved.sum() <= 2 * touched.size


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_labels_of_a_mosaic_do_not_depend_on_patches(mosaic, patch_size):
    assert np.array_equal(mosaic.labels[patch_size], mosaic.labels[1536])
