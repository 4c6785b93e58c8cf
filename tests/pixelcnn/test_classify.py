"""CLASSIFY: a slide's probabilities do not depend on how it is cut, and neither do its masks."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from support.steps import BOTH, ingest_image, network_input, plan_store, with_blanks

from cellquilt.compartments import OPTIONS, PLURALS
from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.labelling import task_maps
from cellquilt.labelling.label import Wanted, label
from cellquilt.labelling.map_store import CLASS_PROBABILITIES, declared, stored
from cellquilt.labelling.pixel_maps import maps_of, reach
from cellquilt.labelling.stitch import stitch
from cellquilt.networks.tile_network import TileNetwork
from cellquilt.pixelcnn.architectures import from_table
from cellquilt.pixelcnn.card import mean_thresholds, read_card
from cellquilt.pixelcnn.classify import PLANES, PixelClassifier, check, classify_box
from cellquilt.pixelcnn.network import build, load, save
from cellquilt.pixelcnn.windows import reflected
from cellquilt.segmenters.pixelcnn import segment_task
from cellquilt.tiling.box import Box
from cellquilt.tiling.patches import SMOOTHING_REACH
from cellquilt.tiling.task_store import grid_of, lattice_of, origin_of, patches_of
from cellquilt.training.scores import label_region

WHOLE = 1_000_000  # a patch size that no slide exceeds
MEDIAN = 5
THRESHOLDS = {
    "maxima_threshold": 0.02,
    "interior_threshold": 0.5,
    "interior_smooth": 1.0,
    "small_objects_threshold": 15,
    "fill_holes_threshold": 15,
    "radius": 2,
    "median": MEDIAN,
}
# patch, channels, compartment, seed: three radii, and two networks for one compartment
NETWORKS = {
    "a.keras": (15, ["nuclear", "membrane"], "whole-cell", 1),
    "b.keras": (23, ["nuclear"], "whole-cell", 2),
    "c.keras": (7, ["nuclear"], "nuclear", 3),
}


def write_network(path, patch, channels, compartment, seed):
    """Write a network of random weights that takes what is bright for a cell."""
    layers = [
        {"conv": 4, "filters": 6},
        {"pool": 2},
        {"conv": (patch - 3) // 2, "filters": 6},
        {"dense": 8},
    ]
    architecture = from_table("small", {"patch": patch, "layers": layers}, "a test")
    model = build(architecture, len(channels), seed)
    kernel, *others, last, bias = model.get_weights()
    model.set_weights([np.abs(kernel), *others, last, bias])
    patches = np.zeros((2, patch, patch, len(channels)), np.float32)
    patches[1] = 0.7
    dark, bright = model(patches).numpy()
    # 8 apart where all is bright, as likely where it is half as bright
    order = np.argsort(bright - dark)[[0, 2, 1]]
    slope = ((bright - dark) * (8 / np.ptp(bright - dark)))[order]
    last = last[..., order] * (8 / np.ptp(bright - dark))
    model.set_weights([np.abs(kernel), *others, last, -0.5 * slope])
    card = {"compartment": compartment, "channels": channels, "model_mpp": 0.5}
    save(path, model, architecture, card | {"thresholds": THRESHOLDS})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for name, about in NETWORKS.items():
        write_network(folder / name, *about)
    return [folder / name for name in NETWORKS]


@pytest.fixture(scope="module")
def classifier(files):
    return PixelClassifier([load(path) for path in files])


@pytest.fixture(scope="module")
def network(classifier):
    return TileNetwork(classifier, classifier.tile_shape, 4)


def run(classifier, network, tasks):
    """CLASSIFY tasks; return their stores."""
    maps = [path.with_name(path.name.replace("pixels", "maps")) for path in tasks]
    for source, target in zip(tasks, maps, strict=True):
        segment_task(source, classifier, network, "cpu", stored(target))
    return maps


def whole(classifier, network, store):
    """Return what the networks make of a slide that is in memory."""
    image = network_input(store)[..., : classifier.n_channels]
    return classify_box(
        network, classifier.radius, image, Box(0, image.shape[0], 0, image.shape[1])
    )


def assembled(maps, shape, margin):
    """Return the probabilities of patches and `margin` px around them, where all tasks agree."""
    result = np.full((4, *shape), np.nan, np.float32)
    for path in maps:
        with stores.read(path) as task:
            attributes = dict(task.attrs)
            lattice = lattice_of(attributes)
            top, left = origin_of(attributes)
            for patch in patches_of(attributes):
                y0, y1, x0, x1 = patch.core.grown(margin, lattice.shape)
                found = task["maps"][:, y0 - top : y1 - top, x0 - left : x1 - left]
                known = result[:, y0:y1, x0:x1]
                assert ((known == found) | np.isnan(known)).all()
                result[:, y0:y1, x0:x1] = found
    return result


def read_by_label(maps, shape):
    """Return the probabilities of all pixels, all of those compared that LABEL may read."""
    return assembled(maps, shape, 96 + SMOOTHING_REACH + reach(MEDIAN))


@pytest.mark.parametrize(
    "shape",
    [
        (448, 640),  # the lattice begins and ends with the slide
        (385, 384),  # and 32 px before it and 31 or 32 beyond it
        (383, 450),
        (100, 600),  # narrower than a tile, its core wider
        (600, 230),  # narrower than a tile, and wider than its core
        (60, 73),
        (9, 11),  # smaller than a network's radius
        (300, 2),
    ],
)
def test_every_pixel_has_the_probabilities_of_the_whole_image(
    classifier, network, tissue_image, tmp_path, shape
):
    image = tissue_image[: shape[0], 40 : 40 + shape[1]]
    assert image.shape[:2] == shape
    store = ingest_image(tmp_path / "ingest", image)
    expected = whole(classifier, network, store)
    _, tasks = plan_store(store, tmp_path / "tasks", 384, 96, 2, "none")
    found = read_by_label(run(classifier, network, tasks), shape)
    assert np.abs(found - expected).max() <= 1e-6
    assert found[:2].sum(axis=0).min() > 0 and found[2:].sum(axis=0).min() > 0
    if min(shape) >= 60:
        assert np.ptp(expected, axis=(1, 2)).min() > 0.1


def test_whole_image_is_what_each_network_makes_of_each_patch(files, classifier, network):
    image = np.random.default_rng(0).random((40, 51, 2), np.float32)
    box = Box(3, 40, 10, 51)
    found = classify_box(network, classifier.radius, image, box)
    expected = np.zeros((4, *image.shape[:2]), np.float32)
    for path, (patch, channels, compartment, _) in zip(files, NETWORKS.values(), strict=True):
        around = ((patch // 2,) * 2, (patch // 2,) * 2, (0, 0))
        padded = np.pad(image[..., : len(channels)], around, "reflect")
        places = list(np.ndindex(*image.shape[:2]))
        patches = np.stack([padded[y : y + patch, x : x + patch] for y, x in places])
        model = tf.keras.models.load_model(path)
        scores = tf.nn.softmax(model(patches)).numpy().reshape(*image.shape[:2], 3)
        n_networks = sum(other[2] == compartment for other in NETWORKS.values())
        expected[[*PLANES[OPTIONS[compartment]]]] += (
            np.moveaxis(scores[..., 1:], -1, 0) / n_networks
        )
    assert np.ptp(expected, axis=(1, 2)).min() > 0.1
    assert np.abs(found - expected[:, 3:40, 10:51]).max() <= 1e-5


@pytest.fixture(scope="module")
def slide(tissue_image, tmp_path_factory):
    return ingest_image(tmp_path_factory.mktemp("slide") / "ingest", tissue_image[:520])


@pytest.fixture(scope="module")
def reference(slide, classifier, network, tmp_path_factory):
    """Return the probabilities of the slide from one patch."""
    _, tasks = plan_store(slide, tmp_path_factory.mktemp("one") / "tasks", WHOLE)
    maps = run(classifier, network, tasks)
    return read_by_label(maps, (520, 700))


CUTS = [(192, 1), (192, 5), (384, 2)]


@pytest.fixture(scope="module")
def cut(slide, classifier, tmp_path_factory):
    """Return the maps of the slide's tasks by patch size and patches a task."""
    found = {}
    for number, (patch_size, patches_per_task) in enumerate(CUTS):
        folder = tmp_path_factory.mktemp("cut") / "tasks"
        _, tasks = plan_store(slide, folder, patch_size, 96, patches_per_task)
        network = TileNetwork(classifier, classifier.tile_shape, (2, 4)[number % 2])
        found[patch_size, patches_per_task] = run(classifier, network, tasks)
    return found


def test_probabilities_do_not_depend_on_patches_tasks_and_batches(reference, cut):
    assert not np.isnan(reference).any()
    for choice, maps in cut.items():
        found = read_by_label(maps, reference.shape[1:])
        assert np.array_equal(found, reference), choice


def masks_of(maps, folder):
    """LABEL with the networks' own thresholds and STITCH; return cells and nuclei."""
    folder.mkdir()
    with stores.read(maps[0]) as task:
        thresholds = BOTH.of(dict(task.attrs))
    labels = [folder / path.name.replace("maps", "labels") for path in maps]
    for source, target in zip(maps, labels, strict=True):
        label(source, BOTH, target)
        with stores.read(target) as task:
            grid = grid_of(dict(task.attrs))
    masks = [stitch(labels, name, grid, folder) for name in PLURALS]
    assert [mask.n_disputed_px for mask in masks] == [0, 0]
    return [mask.labels[:] for mask in masks], thresholds


def test_label_reads_the_maps_of_the_whole_image_up_to_the_last_pixel_there_is(reference, cut):
    expected = maps_of(*reference[2:], MEDIAN)
    sizes = set()
    for path in cut[192, 1]:
        with stores.read(path) as task:
            attributes = dict(task.attrs)
            maps = task_maps.maps_of(
                task["maps"], attributes, declared(attributes)["nucleus"], MEDIAN
            )
            (patch,) = patches_of(attributes)
            largest = halo = 96
            while halo := maps.next_halo(patch.core, halo, 4):
                largest = halo + 4
            for margin in (0, 50, largest):
                y0, y1, x0, x1 = box = patch.core.grown(margin, maps.shape)
                assert maps.covers(box)
                maxima, interior = maps.read(box)
                assert np.array_equal(maxima, expected.maxima[y0:y1, x0:x1])
                assert np.array_equal(interior, expected.interior[y0:y1, x0:x1])
            sizes.add(largest)
    assert min(sizes) > 104  # further than the halo, since tiles are whole


@pytest.mark.parametrize("choice", CUTS[::2])
def test_masks_of_patches_are_those_of_the_whole_image(reference, cut, tmp_path, choice):
    found, thresholds = masks_of(cut[choice], tmp_path / "labels")
    assert thresholds["nucleus"].interior_threshold == THRESHOLDS["interior_threshold"]
    for mask, compartment in zip(found, PLURALS, strict=True):
        expected = label_region(reference[[*PLANES[compartment]]], thresholds[compartment])
        assert expected.max() > 100
        assert np.array_equal(mask, expected)


def test_given_thresholds_go_before_those_of_the_networks(cut):
    given = {"cell": {"interior_threshold": 0.9}}
    with stores.read(cut[384, 2][0]) as task:
        found = Wanted(tuple(PLURALS), given).of(dict(task.attrs))
    assert found["cell"].interior_threshold == 0.9
    assert found["cell"].interior_smooth == THRESHOLDS["interior_smooth"]
    assert found["nucleus"].interior_threshold == THRESHOLDS["interior_threshold"]


def test_a_tasks_store_says_what_made_it(cut):
    with stores.read(cut[384, 2][0]) as task:
        attributes = dict(task.attrs)
    assert attributes["segmenter"] == "pixelcnn"
    assert [card["compartment"] for card in attributes["model"]["networks"]] == [
        about[2] for about in NETWORKS.values()
    ]
    assert attributes["provenance"][-1]["step"] == "CLASSIFY"
    there = declared(attributes)
    assert {name: maps.planes for name, maps in there.items()} == PLANES
    assert {maps.kind for maps in there.values()} == {CLASS_PROBABILITIES}


def test_skipped_blank_tiles_leave_their_largest_interior_value(
    slide, classifier, network, tmp_path
):
    _, (task,) = plan_store(slide, tmp_path / "tasks", WHOLE)
    pairs = [[0, 0], [16000, 9000]]
    pixels, lut = with_blanks(task, tmp_path / "blank.pixels.zip", pairs)
    (maps,) = run(classifier, network, [pixels])
    tiles = [np.full(classifier.tile_shape, lut[[0, 1], pair], np.float32) for pair in pairs]
    cell, edge = np.moveaxis(list(network.run(tiles)), -1, 0).reshape(2, 2, -1).swapaxes(0, 1)
    interior = (cell + edge / 2).max(axis=1)
    with stores.read(maps) as result:
        there = declared(dict(result.attrs))
    found = {name: maps.blank_interior_max for name, maps in there.items()}
    assert found == pytest.approx(dict(zip(PLURALS, interior, strict=True)))
    assert interior.min() > 0.3


def test_the_same_pixels_in_eight_or_sixteen_bits_give_the_same(classifier, network, tmp_path):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (130, 170, 2))
    found = [
        whole(classifier, network, ingest_image(tmp_path / dtype, image.astype(dtype)))
        for dtype in ("uint8", "uint16")
    ]
    assert np.array_equal(*found)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_reflection_is_numpys(size):
    before, after = 70, 90
    expected = np.pad(np.arange(size), (before, after), "reflect")
    assert np.array_equal(reflected(-before, size + after, size), expected)


def test_thresholds_are_the_mean_of_the_networks_of_a_compartment(files):
    cards = [read_card(path) for path in files]
    cards[1]["thresholds"] = THRESHOLDS | {"interior_threshold": 0.3, "radius": 4}
    found = mean_thresholds(cards[:2])
    assert found == THRESHOLDS | {"interior_threshold": 0.4, "radius": 4}
    assert mean_thresholds(cards[2:]) == THRESHOLDS
    cards[1]["thresholds"] = THRESHOLDS | {"median": 3}
    assert mean_thresholds(cards[:2])["median"] in (3, 5), "a side stays odd"


SLIDE = {"membrane": [{"index": 1, "name": "membrane"}], "image": {"name": "slide.ome.tif"}}


def test_networks_that_do_not_fit_are_refused(files):
    cards = {path.name: read_card(path) for path in files}
    a, b, c = files
    check(cards, tuple(PLURALS), SLIDE)
    check({b.name: cards[b.name]}, ("cell",), SLIDE | {"membrane": []})
    refusals = [
        (
            {b.name: cards[b.name]},
            ("cell", "nucleus"),
            SLIDE,
            r"^--models b.keras: none is a network for --compartment nuclear; add one",
        ),
        (
            cards,
            ("cell",),
            SLIDE | {"membrane": []},
            r"^a.keras: needs a membrane channel, and the slide slide.ome.tif is given without; ",
        ),
        (
            {c.name: cards[c.name] | {"model_mpp": 0.25}},
            ("nucleus",),
            SLIDE,
            r"^c.keras: was trained at 0.25 um/px, and slides are segmented at 0.5; train it",
        ),
        (
            {c.name: cards[c.name] | {"classes": ["cell", "other", "edge"]}},
            ("nucleus",),
            SLIDE,
            r"^c.keras: its classes are not other, cell, edge; train it again",
        ),
    ]
    for found, compartments, slide, message in refusals:
        with pytest.raises(DataError, match=message):
            check(found, compartments, slide)


def test_the_script_takes_the_networks_of_the_compartment_asked_for(
    bin_script, files, tissue_image, tmp_path
):
    store = ingest_image(tmp_path / "ingest", tissue_image[:100, :120, :1])
    _, (pixels,) = plan_store(store, tmp_path / "tasks")

    def script(compartment, *models):
        given = ["--segmenter", "pixelcnn", "--pixels", pixels, "--networks", *models]
        given += ["--compartment", compartment, "--batch_size", "2"]
        return bin_script("segment", *given, "--maps", tmp_path / f"{compartment}.maps.zip")

    # a.keras is for whole cells and needs a membrane channel, which this slide has not
    done = script("nuclear", *files)
    assert done.returncode == 0, done.stderr
    nuclear = PixelClassifier([load(files[-1])])
    expected = whole(nuclear, TileNetwork(nuclear, nuclear.tile_shape, 2), store)
    found = assembled([Path(tmp_path / "nuclear.maps.zip")], (100, 120), 0)
    assert np.abs(found - expected).max() <= 1e-6
    assert not found[:2].any() and found[2].min() > 0
    done = script("both", *files)
    assert done.returncode == 65 and "Traceback" not in done.stderr
    assert "ERROR: a.keras: needs a membrane channel" in done.stderr
    assert not (tmp_path / "both.maps.zip").exists()
