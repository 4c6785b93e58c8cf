"""Running a network over the tiles of a task: its maps, with what is to be known of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zarr

from .. import provenance
from ..cli import Progress
from ..handoff import stores
from ..labelling import map_store
from .batch_size import even
from .card import Card
from .distinct_tiles import run_distinct
from .precision_check import CHECKED_TILES, map_difference
from .task_tiles import BlendedTiles, TaskTiles
from .tile_network import TileNetwork


@dataclass(frozen=True)
class Segmenter:
    """What a task's maps say of the segmenter that computed them.

    Attributes
    ----------
    name : str
        As users give it.
    step : str
        Name of the step, for the provenance and the log.
    model : dict
        What its network is, for the provenance.
    n_maps : int
        How many maps the network gives of a tile.
    compartments : dict
        Compartment ('cell', 'nucleus') to where its maps are among these.
    """

    name: str
    step: str
    model: dict
    n_maps: int
    compartments: dict[str, map_store.CompartmentMaps]


def segment(
    pixels: Path,
    network: TileNetwork,
    layout: Callable[[zarr.Group], TaskTiles],
    segmenter: Segmenter,
    device: str,
    destination: map_store.Destination,
    max_map_difference: float | None = None,
) -> None:
    """Compute the maps of one task.

    Parameters
    ----------
    pixels : Path
        A task's store, as PATCH wrote it.
    network : TileNetwork
    layout : callable
        Takes the store and gives its tiles as the network sees them.
    segmenter : Segmenter
    device : str
        What the network runs on, for the provenance.
    destination : Destination
        What takes the maps.
    max_map_difference : float, optional
        See `precision_check.map_difference`; for a network that has a single precision, None.
    """
    with stores.read(pixels) as task:
        tiles = layout(task)
        wanted, attributes = tiles.tiles(), tiles.attributes
        parameters = _precision(network, tiles, max_map_difference)
        kinds = [tuple(pair) for pair in attributes.get("blank_codes", [])]
        size = even(len(wanted), network.batch_size)
        blanks = dict(zip(kinds, network.run(map(tiles.constant, kinds), size), strict=True))
        step = provenance.of_step(
            segmenter.step, device=device, batch_size=network.batch_size, **parameters
        )
        attributes |= {
            "segmenter": segmenter.name,
            "model": segmenter.model,
            "margin": tiles.margin,
            "compartments": map_store.declare(segmenter.compartments, blanks.values()),
            "provenance": [*attributes["provenance"], step],
        }
        progress = Progress(f"{segmenter.step.lower()}: tiles", len(wanted))
        shape = segmenter.n_maps, tiles.height, tiles.width
        with destination(attributes, shape) as rows:
            maps = tiles.collect(rows)
            outputs = run_distinct(map(tiles.read, wanted), network, blanks, size)
            for tile, output in zip(wanted, outputs, strict=True):
                maps.add(tile, output)
                progress.add(pixels=tiles.lattice.geometry.stride**2)
            maps.close()


def segment_by_card(
    pixels: Path,
    network: TileNetwork,
    card: Card,
    name: str,
    step: str,
    model: dict,
    device: str,
    destination: map_store.Destination,
    max_map_difference: float | None = None,
) -> None:
    """Compute the maps of one task, on tiles that are blended, by a network with a card.

    Parameters
    ----------
    pixels, network, device, destination, max_map_difference
        As for `segment`.
    card : Card
    name, step, model
        As of `Segmenter`.
    """
    layout = partial(BlendedTiles, geometry=card.geometry, n_channels=card.n_channels)
    segmenter = Segmenter(name, step, model, card.n_maps, card.compartments)
    segment(pixels, network, layout, segmenter, device, destination, max_map_difference)


def _precision(network: TileNetwork, tiles: TaskTiles, limit: float | None) -> dict:
    """Return what the provenance says of the network's precision, after checking it."""
    if limit is None:
        return {}
    wanted = tiles.tiles()
    some = wanted[:: -(-len(wanted) // CHECKED_TILES)]
    difference = map_difference(network, (tiles.read(tile)[1] for tile in some), limit)
    return {
        "precision": network.mode.precision,
        "xla": network.mode.xla,
        "map_difference": difference,
        "max_map_difference": None if difference is None else limit,
    }
