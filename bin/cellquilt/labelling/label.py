"""From the raw maps of a task, or its class probabilities, to the cells that its patches own."""

import itertools
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import zarr

from .. import provenance
from ..cli import Progress
from ..errors import DataError
from ..handoff import stores
from ..tiling.lattice import STRIDE, Lattice
from ..tiling.tasks import lattice_of, patches_of
from . import pixel_maps
from .certificate import Box, Cells, Maps, label_patch
from .watershed import NUCLEAR, WHOLE_CELL, Thresholds

log = logging.getLogger("cellquilt")

COMPARTMENTS = {"whole-cell": ("cell", 0, WHOLE_CELL), "nuclear": ("nucleus", 2, NUCLEAR)}

BLENDING_GAIN = 1.001  # the weights of overlapping tiles add up to 1.00024 at most


def compartments_of(compartment: str) -> list[str]:
    """Return the compartments that 'whole-cell', 'nuclear' or 'both' stands for."""
    return list(COMPARTMENTS) if compartment == "both" else [compartment]


def thresholds_of(maps: Path, compartment: str, given: dict[str, dict]) -> dict[str, Thresholds]:
    """Return the thresholds of each compartment: those given, else those of its segmenter.

    Parameters
    ----------
    maps : Path
        A task's store.
    compartment : {'whole-cell', 'nuclear', 'both'}
    given : dict
        Compartment to some thresholds by name.
    """
    with stores.read(maps) as task:
        trained = task.attrs.get("thresholds", {})
    found = {}
    for name in compartments_of(compartment):
        _, _, mesmers = COMPARTMENTS[name]
        found[name] = replace(mesmers, **{**trained.get(name, {}), **given.get(name, {})})
        if found[name].median % 2 == 0 or not 1 <= found[name].median <= pixel_maps.MAX_MEDIAN:
            raise DataError(
                f"--{name.replace('-', '_')}_median {found[name].median}: must be odd and at most "
                f"{pixel_maps.MAX_MEDIAN}, 1 for no filter."
            )
    return found


def label(maps: Path, thresholds: dict[str, Thresholds], labels: Path) -> None:
    """Label the patches of one task.

    Parameters
    ----------
    maps : Path
        A task's store, as SEGMENT or CLASSIFY wrote it.
    thresholds : dict
        Compartment ('whole-cell', 'nuclear') to its thresholds; only these are labelled.
    labels : Path
        Store to write: for every patch and compartment ``<patch_id>/<cell|nucleus>/labels``
        (h, w) uint32, the cells that the patch owns, ``origin`` (2,) int64, the row and column
        of the slide at which it starts, ``markers`` (n, 2) int64, rows and columns on the
        slide, and ``certified`` (n,) bool; all in model pixels. Its attribute ``blank_proved``
        tells whether no cell can lie in the patches that were skipped as constant.
    """
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        lattice, patches = lattice_of(attributes), patches_of(attributes)
        attributes["blank_proved"] = all(
            attributes["blank_interior_max"][compartment] * BLENDING_GAIN
            <= limits.interior_threshold
            for compartment, limits in thresholds.items()
        )
        attributes["provenance"] = [
            *attributes["provenance"],
            provenance.of_step("LABEL", **{k: asdict(v) for k, v in thresholds.items()}),
        ]
        progress = Progress("label: patches", len(patches))
        with stores.create(labels, attributes) as result:
            for patch in patches:
                core = (patch.y0, patch.y1, patch.x0, patch.x1)
                for compartment, limits in thresholds.items():
                    name, first_map, _ = COMPARTMENTS[compartment]
                    source = _maps_of(task, attributes, lattice, first_map, limits.median)
                    cells, halo = label_patch(source, core, attributes["halo"], limits)
                    if halo > attributes["halo"]:
                        _tell(patch.patch_id, name, halo, cells)
                    values = asdict(cells) | {"origin": np.array(cells.origin, np.int64)}
                    for array, content in values.items():
                        where = f"{patch.patch_id}/{name}/{array}"
                        stores.new_array(
                            result, where, content.shape, content.dtype, content.shape
                        )[:] = content
                progress.add(pixels=(patch.y1 - patch.y0) * (patch.x1 - patch.x0))


def _maps_of(
    task: zarr.Group, attributes: dict, lattice: Lattice, first_map: int, median: int
) -> Maps:
    """Return the maps of one compartment that a task has computed.

    Those of a pixel classifier are made of its probabilities, which takes some context.
    """
    top = attributes["tile_rows"][0] * STRIDE - lattice.rows.before
    left = attributes["tile_cols"][0] * STRIDE - lattice.cols.before
    tiles = {tuple(tile) for tile in attributes["tiles"]}

    def read(box: Box) -> tuple[np.ndarray, np.ndarray]:
        y0, y1, x0, x1 = box
        return task["maps"][first_map : first_map + 2, y0 - top : y1 - top, x0 - left : x1 - left]

    def covers(box: Box) -> bool:
        y0, y1, x0, x1 = box
        needed = itertools.product(lattice.rows.tiles_of(y0, y1), lattice.cols.tiles_of(x0, x1))
        return tiles.issuperset(needed)

    def read_filtered(box: Box) -> tuple[np.ndarray, np.ndarray]:
        outer = maps.around(box, pixel_maps.reach(median))
        found = pixel_maps.maps_of(*read(outer), median)
        inner = np.s_[box[0] - outer[0] : box[1] - outer[0], box[2] - outer[2] : box[3] - outer[2]]
        return found.maxima[inner], found.interior[inner]

    maps = Maps((lattice.rows.size, lattice.cols.size), read, covers)
    if attributes["segmenter"] == "mesmer":
        return maps
    # the cores of a task's tiles reach further than `covers` asks for, by more than that context
    return Maps(maps.shape, read_filtered, covers)


def _tell(patch_id: int, name: str, halo: int, cells: Cells) -> None:
    unproved = int((~cells.certified).sum())
    log.info(
        "label: patch %d: %s labels took a halo of %d px%s",
        patch_id,
        name,
        halo,
        f"; {unproved} are still without proof" if unproved else "",
    )
