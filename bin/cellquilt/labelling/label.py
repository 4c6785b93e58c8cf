"""From the maps of a task to the cells of its patches: those whose markers lie in their cores."""

import itertools
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import zarr

from .. import provenance
from ..cli import Progress
from ..compartments import OPTIONS, option_of, parameter_of
from ..errors import DataError
from ..handoff import stores
from ..tiling.box import Box
from ..tiling.task_store import lattice_of, origin_of, patches_of
from . import pixel_maps
from .certificate import Cells, Maps, label_patch
from .map_store import MAXIMA_INTERIOR, CompartmentMaps, declared
from .thresholds import Thresholds

log = logging.getLogger("cellquilt")

BLENDING_GAIN = 1.001  # the weights of overlapping tiles add up to 1.00024 at most


def thresholds_of(
    maps: Path, compartments: tuple[str, ...], given: dict[str, dict]
) -> dict[str, Thresholds]:
    """Return the thresholds of each compartment: those given, else those of its segmenter.

    Parameters
    ----------
    maps : Path
        A task's store.
    compartments : tuple of str
        What is to be labelled: 'cell', 'nucleus' or both.
    given : dict
        Compartment to some thresholds by name.

    Raises
    ------
    DataError
        If the store has no maps of a compartment, or the median filter's side is impossible.
    """
    with stores.read(maps) as task:
        there = declared(dict(task.attrs))
    found = {}
    for name in compartments:
        if name not in there:
            raise DataError(
                f"{maps.name}: holds maps of {option_of(there)} only, and none for --compartment "
                f"{option_of([name])}; segment that compartment, too."
            )
        found[name] = replace(there[name].thresholds, **given.get(name, {}))
        if found[name].median % 2 == 0 or not 1 <= found[name].median <= pixel_maps.MAX_MEDIAN:
            raise DataError(
                f"--{parameter_of(name)}_median {found[name].median}: must be odd and at most "
                f"{pixel_maps.MAX_MEDIAN}, 1 for no filter."
            )
    return found


def label(maps: Path, thresholds: dict[str, Thresholds], labels: Path) -> None:
    """Label the patches of one task.

    Parameters
    ----------
    maps : Path
        A task's store, see `map_store`.
    thresholds : dict
        Compartment ('cell', 'nucleus') to its thresholds; only these are labelled.
    labels : Path
        Store to write: for every patch and compartment ``<patch_id>/<cell|nucleus>/labels``
        (h, w) uint32, the cells of the patch, ``origin`` (2,) int64, the row and column
        of the slide at which it starts, ``markers`` (n, 2) int64, rows and columns on the
        slide, and ``certified`` (n,) bool; all in model pixels. Its attribute ``blank_proved``
        is whether no cell can lie in the patches that were skipped as constant.
    """
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        patches, there = patches_of(attributes), declared(attributes)
        sources = {
            name: _maps_of(task, attributes, there[name], limits.median)
            for name, limits in thresholds.items()
        }
        attributes["blank_proved"] = all(
            there[name].blank_interior_max * BLENDING_GAIN <= limits.interior_threshold
            for name, limits in thresholds.items()
        )
        used = {
            option: asdict(thresholds[name])
            for option, name in OPTIONS.items()
            if name in thresholds
        }
        attributes["provenance"] = [
            *attributes["provenance"],
            provenance.of_step("LABEL", **used),
        ]
        progress = Progress("label: patches", len(patches))
        with stores.create(labels, attributes) as result:
            for patch in patches:
                for name, limits in thresholds.items():
                    cells, halo = label_patch(sources[name], patch.core, attributes["halo"], limits)
                    if halo > attributes["halo"]:
                        _log_halo(patch.patch_id, name, halo, cells)
                    values = asdict(cells) | {"origin": np.array(cells.origin, np.int64)}
                    for array, content in values.items():
                        where = f"{patch.patch_id}/{name}/{array}"
                        stores.new_array(
                            result, where, content.shape, content.dtype, content.shape
                        )[:] = content
                progress.add(pixels=(patch.y1 - patch.y0) * (patch.x1 - patch.x0))


def _maps_of(task: zarr.Group, attributes: dict, maps: CompartmentMaps, median: int) -> Maps:
    """Return the maps of one compartment that a task has computed.

    Those of class probabilities are computed as they are read, which takes some context.
    """
    lattice = lattice_of(attributes)
    top, left = origin_of(attributes)
    array, tiles = task["maps"], {tuple(tile) for tile in attributes["tiles"]}

    def read(box: Box) -> tuple[np.ndarray, np.ndarray]:
        y0, y1, x0, x1 = box
        window = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        first, second = (array[plane, *window] for plane in maps.planes)
        return first, second

    def covers(box: Box) -> bool:
        y0, y1, x0, x1 = box
        needed = itertools.product(lattice.rows.tiles_of(y0, y1), lattice.cols.tiles_of(x0, x1))
        return tiles.issuperset(needed)

    def read_filtered(box: Box) -> tuple[np.ndarray, np.ndarray]:
        outer = box.grown(pixel_maps.reach(median), lattice.shape)
        found = pixel_maps.maps_of(*read(outer), median)
        inner = box.within(outer)
        return inner.crop(found.maxima), inner.crop(found.interior)

    if maps.kind == MAXIMA_INTERIOR:
        return Maps(lattice.shape, read, covers)
    # the cores of a task's tiles reach further than `covers` asks for, by more than that context
    return Maps(lattice.shape, read_filtered, covers)


def _log_halo(patch_id: int, name: str, halo: int, cells: Cells) -> None:
    unproved = int((~cells.certified).sum())
    log.info(
        "label: patch %d: %s labels took a halo of %d px%s",
        patch_id,
        name,
        halo,
        f"; {unproved} are still without proof" if unproved else "",
    )
