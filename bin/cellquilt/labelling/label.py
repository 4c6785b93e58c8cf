"""From the maps of a task to the cells of its patches: those whose markers lie in their cores."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import zarr

from .. import provenance
from ..cli import Progress
from ..compartments import OPTIONS, option_of, parameter_of
from ..errors import DataError
from ..handoff import stores
from ..tiling.patches import Patch
from ..tiling.task_store import patches_of
from . import pixel_maps
from .certificate import Cells, label_patch
from .map_store import declared
from .task_maps import maps_of
from .thresholds import Thresholds

log = logging.getLogger("cellquilt")

BLENDING_GAIN = 1.001  # the weights of overlapping tiles add up to 1.00024 at most


@dataclass(frozen=True)
class Wanted:
    """What is to be labelled, and how.

    Attributes
    ----------
    compartments : tuple of str
        'cell', 'nucleus' or both.
    thresholds : dict
        Compartment to some thresholds by name; the others are those of the segmenter.
    """

    compartments: tuple[str, ...]
    thresholds: Mapping[str, dict]

    def of(self, attributes: dict) -> dict[str, Thresholds]:
        """Return the thresholds of each compartment, for a task whose maps say this of themselves.

        Raises
        ------
        DataError
            If there are no maps of a compartment, or the median filter's side is impossible.
        """
        there, found = declared(attributes), {}
        for name in self.compartments:
            if name not in there:
                raise DataError(
                    f"task {attributes['task']}: there are maps of {option_of(there)} only, and "
                    f"none for --compartment {option_of([name])}; segment that compartment, too."
                )
            found[name] = replace(there[name].thresholds, **self.thresholds.get(name, {}))
            if found[name].median % 2 == 0 or not 1 <= found[name].median <= pixel_maps.MAX_MEDIAN:
                raise DataError(
                    f"--{parameter_of(name)}_median {found[name].median}: must be odd and at most "
                    f"{pixel_maps.MAX_MEDIAN}, 1 for no filter."
                )
        return found


def label(maps: Path, wanted: Wanted, labels: Path) -> None:
    """Label the patches of one task.

    Parameters
    ----------
    maps : Path
        A task's store, see `map_store`.
    wanted : Wanted
    labels : Path
        Store to write, see `LabelStore`.
    """
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        there, halo = declared(attributes), attributes["halo"]
        thresholds = wanted.of(attributes)
        sources = {
            name: maps_of(task["maps"], attributes, there[name], limits.median)
            for name, limits in thresholds.items()
        }
        with LabelStore.create(labels, attributes, thresholds) as result:
            for patch in patches_of(attributes):
                for name, limits in thresholds.items():
                    result.add(patch, name, *label_patch(sources[name], patch.core, halo, limits))


class LabelStore:
    """A store of labels, of which every patch is written once.

    Of each patch and compartment there are ``<patch_id>/<cell|nucleus>/labels`` (h, w) uint32,
    the cells of the patch, ``origin`` (2,) int64, the row and column of the slide at which it
    starts, ``markers`` (n, 2) int64, rows and columns on the slide, ``certified`` (n,) bool and
    ``unseen`` (m, 2) int64, see `certificate.Cells`; all in model pixels. The attribute
    ``blank_proved`` is whether no cell can lie in the patches that were skipped as constant.

    Parameters
    ----------
    group : Group
    halo : int
        That patches take at first.
    progress : Progress
        Of the task's patches.
    n_compartments : int
    """

    def __init__(self, group: zarr.Group, halo: int, progress: Progress, n_compartments: int):
        self._group, self._halo, self._progress = group, halo, progress
        self._n_compartments, self._n_added = n_compartments, 0

    @classmethod
    @contextmanager
    def create(
        cls, path: Path, attributes: dict, thresholds: Mapping[str, Thresholds]
    ) -> Iterator["LabelStore"]:
        """Write a store; it appears at `path` when the block ends without an error.

        Parameters
        ----------
        path : Path
        attributes : dict
            Of the maps.
        thresholds : dict
            Compartment to what it is labelled with.
        """
        there = declared(attributes)
        used = {
            option: asdict(thresholds[name])
            for option, name in OPTIONS.items()
            if name in thresholds
        }
        added = {
            "blank_proved": all(
                there[name].blank_interior_max * BLENDING_GAIN <= limits.interior_threshold
                for name, limits in thresholds.items()
            ),
            "provenance": [*attributes["provenance"], provenance.of_step("LABEL", **used)],
        }
        progress = Progress("label: patches", len(attributes["patches"]))
        with stores.create(path, attributes | added) as group:
            yield cls(group, attributes["halo"], progress, len(thresholds))

    def add(self, patch: Patch, name: str, cells: Cells, halo: int) -> None:
        """Write the cells of a patch, and say where they took more halo than others."""
        if halo > self._halo:
            unproved = int((~cells.certified).sum())
            log.info(
                "label: patch %d: %s labels took a halo of %d px%s",
                patch.patch_id,
                name,
                halo,
                f"; {unproved} are still without proof" if unproved else "",
            )
        values = asdict(cells) | {"origin": np.array(cells.origin, np.int64)}
        for array, content in values.items():
            where = f"{patch.patch_id}/{name}/{array}"
            stores.new_array(self._group, where, content.shape, content.dtype, content.shape)[:] = (
                content
            )
        self._n_added += 1
        if self._n_added % self._n_compartments == 0:
            self._progress.add(pixels=(patch.y1 - patch.y0) * (patch.x1 - patch.x0))
