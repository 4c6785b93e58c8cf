"""A network with a card runs on its own lattice: cells are those of the whole image's maps."""

import itertools
import json

import numpy as np
import pytest
from support.cards import NUCLEI, THRESHOLDS, card
from support.steps import ingest_image, network_input, plan_store
from support.toys import Toy, write_toy

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.labelling.arriving import labelled
from cellquilt.labelling.label import Wanted, label
from cellquilt.labelling.map_store import stored
from cellquilt.labelling.pixel_maps import maps_of
from cellquilt.labelling.stitch import stitch
from cellquilt.labelling.watershed import label_cells, smooth
from cellquilt.networks import saved_network
from cellquilt.networks.card import card_of
from cellquilt.segmenters import described
from cellquilt.segmenters.network import CardNetwork
from cellquilt.tiling.lattice import plan
from cellquilt.tiling.task_store import grid_of, lattice_of

PROBABILITIES = {
    "kind": "class_probabilities",
    "maps": [1, 2],
    "thresholds": THRESHOLDS | {"interior_threshold": 0.5, "median": 5},
}
# Of a network: what its card says, and the compartment
KINDS = {
    "nuclei on tiles of 320 px": ({}, "nuclear"),
    "half of a tile shared": ({"tile": 192, "stride": 96}, "nuclear"),
    "little shared, cells": (
        {
            "tile": 160,
            "stride": 144,
            "channels": ["nuclear", "membrane"],
            "outputs": {"whole-cell": NUCLEI["nuclear"]},
        },
        "whole-cell",
    ),
    "probabilities, close tiles": (
        {"tile": 96, "stride": 64, "outputs": {"nuclear": PROBABILITIES}},
        "nuclear",
    ),
}
# Patch size, halo, patches a task; tiles at a time; and whether LABEL has a task of its own
CUTS = [((192, 96, 1), 2, True), ((240, 32, 5), 4, False), ((100_000, 96, 1), 3, False)]


@pytest.fixture(scope="module")
def slide(tissue_image, tmp_path_factory):
    """Return the store of a slide with cells, and bare glass to their right."""
    return ingest_image(tmp_path_factory.mktemp("slide") / "ingest", tissue_image[:450, 60:600])


@pytest.fixture(scope="module", params=KINDS)
def toy(request, tmp_path_factory):
    """Return a network that is saved, its card, and the compartment that it segments."""
    changes, compartment = KINDS[request.param]
    said = card(**changes)
    kind = said["outputs"][compartment]["kind"]
    folder = tmp_path_factory.mktemp("toy") / "net"
    write_toy(folder, Toy(said["tile"], len(said["channels"]), kind), **changes)
    return folder, card_of(said, "toy"), compartment


def blended(folder, card, image):
    """Return the maps of a whole image, (h, w, n) float32, by deepcell's arithmetic, by itself."""
    network = saved_network.load(folder, card, "toy", 2)
    tile, stride = card.geometry.tile, card.geometry.stride
    lattice = plan(*image.shape[:2], card.geometry)
    axes = (lattice.rows, lattice.cols)
    before = [axis.before for axis in axes]
    after = [axis.padded - axis.before - axis.size for axis in axes]
    padded = np.pad(image, [*zip(before, after, strict=True), (0, 0)])
    ramp = (2 * np.arange(tile - stride) + 1) / (2 * (tile - stride))
    ramp = np.where(ramp < 0.5, 2 * ramp**2, 1 - 2 * (1 - ramp) ** 2)
    ramp /= ramp[-1]
    total = np.zeros((*padded.shape[:2], card.n_maps))
    places = list(itertools.product(*(range(axis.n_tiles) for axis in axes)))
    corners = [(row * stride, col * stride) for row, col in places]
    tiles = [padded[y : y + tile, x : x + tile] for y, x in corners]
    for place, (y, x), maps in zip(places, corners, network.run(tiles), strict=True):
        weights = [np.ones(tile) for _ in axes]
        for values, index, axis in zip(weights, place, axes, strict=True):
            if index:
                values[: tile - stride] = ramp
            if index < axis.n_tiles - 1:
                values[stride:] = ramp[::-1]
        total[y : y + tile, x : x + tile] += maps * np.outer(*weights)[..., None]
    (y, x), (height, width) = before, image.shape[:2]
    return total[y : y + height, x : x + width].astype(np.float32)


def cells_of(maps, compartment):
    """Return the cells of a whole image's two maps by the watershed, (h, w) uint32."""
    limits = compartment.thresholds
    first, second = np.moveaxis(maps[..., compartment.planes], -1, 0)
    if compartment.kind == "class_probabilities":
        found = maps_of(first, second, limits.median)
        first, second = found.maxima, found.interior
    return label_cells(first, smooth(second, limits), limits)[0]


@pytest.fixture(scope="module")
def expected(toy, slide):
    """Return the cells of the slide from its maps as a whole."""
    folder, card, _ = toy
    (compartment,) = card.compartments.values()
    image = network_input(slide)[..., : card.n_channels]
    return cells_of(blended(folder, card, image), compartment)


def segmented(toy, slide, folder, cut, batch_size, stores_maps):
    """Do the steps from PATCH to STITCH; return what STITCH gives."""
    network, card, option = toy
    (name,) = card.compartments
    _, tasks = plan_store(slide, folder / "tasks", *cut, "none", tiles=card.geometry)
    loaded = saved_network.load(network, card, "toy", batch_size)
    runner = CardNetwork(loaded, "cpu", card, saved_network.model_of({}, network))
    wanted, labels = Wanted((name,), {}), []
    for pixels in tasks:
        labels.append(folder / pixels.name.replace("pixels", "labels"))
        if stores_maps:
            maps = folder / pixels.name.replace("pixels", "maps")
            runner.segment(pixels, option, stored(maps))
            label(maps, wanted, labels[-1])
        else:
            runner.segment(pixels, option, labelled(labels[-1], wanted, 0))
    with stores.read(labels[0]) as task:
        grid = grid_of(dict(task.attrs))
        assert lattice_of(dict(task.attrs)).geometry == card.geometry
    return stitch(labels, name, grid, folder)


def test_cells_are_those_of_the_whole_image_however_it_is_cut(toy, slide, expected, tmp_path):
    assert expected.max() > 100
    for number, (cut, *how) in enumerate(CUTS):
        found = segmented(toy, slide, tmp_path / str(number), cut, *how)
        assert np.array_equal(found.labels[:], expected), cut
        assert found.n_disputed_px == 0
        # of small tiles there may be too few around a patch for the smallest halo
        assert found.cells["certified"].mean() > (0.9 if cut[1] == 32 else 0.9999), cut


def test_a_task_that_was_cut_for_other_tiles_is_refused(toy, slide, tmp_path):
    network, card, option = toy
    _, (pixels,) = plan_store(slide, tmp_path / "tasks", 100_000)
    runner = CardNetwork(saved_network.load(network, card, "toy", 2), "cpu", card, {})
    with pytest.raises(DataError, match=r"was cut for tiles of 256 px every 192 px, .* --tile"):
        runner.segment(pixels, option, stored(tmp_path / "maps.zip"))


def test_what_a_paper_says_is_of_the_card(toy):
    folder, card, _ = toy
    model = saved_network.model_of(json.loads((folder / "card.json").read_text()), folder)
    found = described("network", model)
    assert f"tiles of {card.geometry.tile} px every {card.geometry.stride} px" in found.network
    assert model["saved_model_sha256"] in found.network
    assert found.licences == ("The network toy has this licence: MIT.",)
    (limits,) = found.thresholds.values()
    assert limits.items() >= THRESHOLDS.items() - {("interior_threshold", 0.4)}
