"""The maps of a compartment that a task has computed, read where its patches need them."""

import itertools

import numpy as np

from ..tiling.box import Box
from ..tiling.task_store import lattice_of, origin_of
from . import pixel_maps
from .certificate import Maps
from .map_store import MAXIMA_INTERIOR, CompartmentMaps, MapArray


def maps_of(array: MapArray, attributes: dict, maps: CompartmentMaps, median: int) -> Maps:
    """Return the maps of one compartment of a task.

    Those of class probabilities are computed as they are read, which takes some context.

    Parameters
    ----------
    array : MapArray
        The task's maps; read as they are needed.
    attributes : dict
        Of the task's store.
    maps : CompartmentMaps
        Which of them are the compartment's.
    median : int
        Side of the median filter of class probabilities.
    """
    lattice = lattice_of(attributes)
    top, left = origin_of(attributes)
    tiles = {tuple(tile) for tile in attributes["tiles"]}

    context = context_of(maps, median)
    # what the filters need beyond the pixels around a box that are final with it
    beyond = max(context - attributes.get("margin", 0), 0)

    def read(box: Box) -> tuple[np.ndarray, np.ndarray]:
        y0, y1, x0, x1 = box
        window = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        first, second = (array[plane, *window] for plane in maps.planes)
        return first, second

    def covers(box: Box) -> bool:
        y0, y1, x0, x1 = box.grown(beyond, lattice.shape)
        needed = itertools.product(lattice.rows.tiles_of(y0, y1), lattice.cols.tiles_of(x0, x1))
        return tiles.issuperset(needed)

    unseen = [Box(*core) for core in attributes.get("unseen", ())]

    def read_filtered(box: Box) -> tuple[np.ndarray, np.ndarray]:
        outer = box.grown(context, lattice.shape)
        found = pixel_maps.maps_of(*read(outer), median)
        inner = box.within(outer)
        return inner.crop(found.maxima), inner.crop(found.interior)

    reading = read if maps.kind == MAXIMA_INTERIOR else read_filtered
    return Maps(lattice.shape, reading, covers, unseen)


def context_of(maps: CompartmentMaps, median: int) -> int:
    """Return how many pixels around a box are looked at to read its maps."""
    return 0 if maps.kind == MAXIMA_INTERIOR else pixel_maps.reach(median)
