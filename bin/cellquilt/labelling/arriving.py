"""Labelling patches while the network still computes, as soon as their rows of maps are there.

Maps stay in memory that the labelling processes share, and only labels leave a task. Rows that
no patch needs any more make place for others, so that a task of any height takes as much memory
as a few rows of patches. The order in which patches are labelled changes none of them.
"""

import itertools
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..parallel import spawned
from ..tiling.box import Box
from ..tiling.patches import Patch
from ..tiling.task_store import lattice_of, origin_of, patches_of
from .certificate import MAX_HALO, Cells, label_window
from .label import LabelStore, Wanted
from .map_store import Destination, MapArray, declared
from .recent_rows import RecentRows, Shape, shared_rows
from .task_maps import context_of, maps_of
from .thresholds import Thresholds
from .watershed import smooth_reach


def labelled(labels: Path, wanted: Wanted, n_processes: int) -> Destination:
    """Return what labels the patches of a task from its maps, which are kept nowhere.

    Parameters
    ----------
    labels : Path
        Store to write, see `LabelStore`.
    wanted : Wanted
    n_processes : int
        That label, beside this one; 0 to label in this one.

    Raises
    ------
    MemoryError
        While it takes maps: where a process was killed, most often for lack of memory.
    """

    @contextmanager
    def opened(attributes: dict, shape: Shape) -> Iterator[ArrivingMaps]:
        plan = _Plan(attributes, wanted.of(attributes), shape[1])
        with (
            shared_rows(shape, plan.most_rows) as (rows, path),
            LabelStore.create(labels, attributes, plan.thresholds) as store,
            _workers(n_processes, path, rows, plan) as pool,
        ):
            maps = ArrivingMaps(rows, plan, store, pool)
            yield maps
            maps.close()

    return opened


@dataclass
class _Job:
    """The cells or nuclei of a patch, yet to be labelled.

    Attributes
    ----------
    patch : Patch
    name : {'cell', 'nucleus'}
    halo : int
        To be tried next.
    needed : int
        Rows of the task's maps that have to be there for it.
    kept_from : int
        The first row that is kept for it, in case its proof takes the largest halo.
    """

    patch: Patch
    name: str
    halo: int
    needed: int
    kept_from: int


class _Plan:
    """What is to be labelled of a task, and how many rows of its maps that takes at a time.

    Parameters
    ----------
    attributes : dict
        Of the maps.
    thresholds : dict
        Compartment ('cell', 'nucleus') to its thresholds; only these are labelled.
    height : int
        Of the maps.

    Attributes
    ----------
    jobs : list of _Job
    stride : int
        From a row of tiles to the next one, in pixels.
    most_rows : int
        A window of the largest halo and, while that is labelled, the next row of patches.
    """

    def __init__(self, attributes: dict, thresholds: dict[str, Thresholds], height: int):
        self.attributes, self.thresholds, self._height = attributes, thresholds, height
        lattice = lattice_of(attributes)
        self._top, self._image = origin_of(attributes)[0], lattice.shape
        self.stride = lattice.geometry.stride
        there, first = declared(attributes), attributes["halo"]
        self._around = {
            name: context_of(there[name], limits.median) + smooth_reach(limits)
            for name, limits in thresholds.items()
        }
        self.jobs, tallest, spanned = [], 0, 0
        for patch in patches_of(attributes):
            tallest = max(tallest, patch.y1 - patch.y0)
            for name in thresholds:
                start, stop = self.rows_of(patch, name, max(MAX_HALO, first))
                spanned = max(spanned, stop - start)
                needed = self.rows_of(patch, name, first)[1]
                self.jobs.append(_Job(patch, name, first, needed, start))
        self.most_rows = min(spanned + tallest + lattice.geometry.tile, height)

    def rows_of(self, patch: Patch, name: str, halo: int) -> tuple[int, int]:
        """Return the rows of the task's maps that labelling within a halo reads."""
        box = patch.core.grown(halo + self._around[name], self._image)
        return max(box.y0 - self._top, 0), min(box.y1 - self._top, self._height)


class ArrivingMaps:
    """Takes the maps of a task in rows, and has each patch labelled once its rows are there.

    Parameters
    ----------
    rows : RecentRows
    plan : _Plan
    labels : LabelStore
    pool : Executor
        Of `_workers`.
    """

    def __init__(self, rows: RecentRows, plan: _Plan, labels: LabelStore, pool: Executor):
        self.shape = rows.shape
        self._rows, self._plan, self._labels, self._pool = rows, plan, labels, pool
        self._arrived = 0
        self._waiting = plan.jobs
        self._running: dict[Future, _Job] = {}

    def write(self, start: int, rows: np.ndarray) -> None:
        """Take the next rows, (n, m, w) float32; waits while those in their place are needed."""
        step = self._plan.stride
        for part in range(0, rows.shape[1], step):
            self._write(start + part, rows[:, part : part + step])

    def _write(self, start: int, rows: np.ndarray) -> None:
        stop = start + rows.shape[1]
        while stop - self._first_needed() > self._plan.most_rows:
            if not self._running:
                raise RuntimeError(f"no room for row {stop} of the maps: this is a bug")
            self._take(wait_for_one=True)
        self._rows.write(start, rows)
        self._arrived = stop
        self._submit()
        self._take(wait_for_one=False)

    def close(self) -> None:
        """Wait for all labels; no more rows come."""
        self._arrived = self.shape[1]
        self._submit()
        while self._running:
            self._take(wait_for_one=True)

    def _first_needed(self) -> int:
        jobs = itertools.chain(self._waiting, self._running.values())
        return min((job.kept_from for job in jobs), default=self._arrived)

    def _submit(self) -> None:
        ready = [job for job in self._waiting if job.needed <= self._arrived]
        self._waiting = [job for job in self._waiting if job.needed > self._arrived]
        for job in ready:
            self._running[self._pool.submit(_label, job.name, job.patch.core, job.halo)] = job

    def _take(self, wait_for_one: bool) -> None:
        """Write the labels that are ready; what is not proved yet is to be tried again."""
        done, _ = wait(self._running, None if wait_for_one else 0, return_when=FIRST_COMPLETED)
        for future in done:
            job, found = self._running.pop(future), future.result()
            if isinstance(found, Cells):
                self._labels.add(job.patch, job.name, found, job.halo)
            else:
                job.halo, job.needed = found, self._plan.rows_of(job.patch, job.name, found)[1]
                self._waiting.append(job)
        if done:
            self._submit()


class Windows:
    """The windows of a task's patches.

    Parameters
    ----------
    array : MapArray
        The task's maps.
    attributes : dict
        Of the maps.
    thresholds : dict
        Compartment to its thresholds.
    """

    def __init__(self, array: MapArray, attributes: dict, thresholds: dict[str, Thresholds]):
        there = declared(attributes)
        self.maps = {
            name: maps_of(array, attributes, there[name], limits.median)
            for name, limits in thresholds.items()
        }
        self._thresholds = thresholds

    def label(self, name: str, core: Box, halo: int) -> Cells | int:
        """Label a patch, see `certificate.label_window`."""
        return label_window(self.maps[name], core, halo, self._thresholds[name])


_windows: Windows  # of a labelling process


@contextmanager
def _workers(n_processes: int, path: str, rows: RecentRows, plan: "_Plan") -> Iterator[Executor]:
    """Start what labels."""
    if not n_processes:
        yield _Here(Windows(rows, plan.attributes, plan.thresholds))
        return
    given = path, rows.shape, plan.most_rows, plan.attributes, plan.thresholds
    with spawned(n_processes, _start, given) as pool:
        yield pool


class _Here(Executor):
    """Labels in this process, at once."""

    def __init__(self, windows: Windows):
        self._windows = windows

    def submit(self, _function, name: str, core: Box, halo: int) -> Future:
        future = Future()
        future.set_result(self._windows.label(name, core, halo))
        return future


def _start(
    path: str, shape: Shape, capacity: int, attributes: dict, thresholds: dict[str, Thresholds]
) -> None:
    """Make a process ready to label."""
    os.nice(5)  # whoever feeds the device goes first
    global _windows
    with open(path, "r+b") as file:
        rows = RecentRows(mmap.mmap(file.fileno(), 0), shape, capacity)
    _windows = Windows(rows, attributes, thresholds)


def _label(name: str, core: Box, halo: int) -> Cells | int:
    return _windows.label(name, core, halo)
