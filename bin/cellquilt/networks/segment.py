"""Running a network over the tiles of a task: a store of maps, with what is to be known of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zarr

from .. import provenance
from ..cli import Progress
from ..handoff import stores
from ..labelling import map_store
from ..tiling.lattice import STRIDE
from .batch_size import even
from .distinct_tiles import run_distinct
from .precision_check import CHECKED_TILES, map_difference
from .task_tiles import TaskTiles, new_map_array
from .tile_network import TileNetwork


@dataclass(frozen=True)
class Segmenter:
    """What a store of maps says of the segmenter that wrote it.

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
    maps: Path,
    max_map_difference: float | None = None,
) -> None:
    """Write the maps of one task.

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
    maps : Path
        Store to write: ``maps`` (n, h, w) float32 over the padded lattice that the task's tiles
        span, 0 where no tile was computed, and attributes, see `map_store`.
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
            "compartments": map_store.declare(segmenter.compartments, blanks.values()),
            "provenance": [*attributes["provenance"], step],
        }
        progress = Progress(f"{segmenter.step.lower()}: tiles", len(wanted))
        with stores.create(maps, attributes) as result:
            rows = tiles.collect(new_map_array(result, segmenter.n_maps, tiles))
            outputs = run_distinct(map(tiles.read, wanted), network, blanks, size)
            for tile, output in zip(wanted, outputs, strict=True):
                rows.add(tile, output)
                progress.add(pixels=STRIDE * STRIDE)
            rows.close()


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
