"""Labelling patches while the network still computes, as soon as their rows of maps are there.

Maps stay in memory that the labelling processes share, and only labels leave a task. The rows
that no patch needs any more are given back, so that a task of any height takes as much memory as
a few rows of patches. The order in which patches are labelled changes none of them.
"""

import itertools
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

from ..tiling.box import Box
from ..tiling.lattice import TILE
from ..tiling.patches import Patch
from ..tiling.task_store import lattice_of, origin_of, patches_of
from .certificate import MAX_HALO, Cells, label_window
from .label import LabelStore, Wanted
from .map_store import Destination, MapArray, declared
from .task_maps import maps_of
from .thresholds import Thresholds
from .watershed import smooth_reach

Shape = tuple[int, int, int]


def labelled(path: Path, wanted: Wanted, n_processes: int) -> Destination:
    """Return what labels the patches of a task from its maps, which are kept nowhere.

    Parameters
    ----------
    path : Path
        Store of labels to write, see `LabelStore`.
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
        thresholds = wanted.of(attributes)
        task = attributes, thresholds
        with (
            closing(_SharedRows(shape)) as rows,
            LabelStore.create(path, attributes, thresholds) as labels,
            _workers(rows, *task, n_processes) as pool,
        ):
            maps = ArrivingMaps(rows, *task, labels, pool)
            try:
                yield maps
                maps.close()
            except BrokenProcessPool as error:
                raise MemoryError("a labelling process was killed") from error

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


class ArrivingMaps:
    """Takes the maps of a task in rows, and has each patch labelled once its rows are there.

    Parameters
    ----------
    rows : _SharedRows
    attributes : dict
        Of the maps.
    thresholds : dict
        Compartment ('cell', 'nucleus') to its thresholds; only these are labelled.
    labels : LabelStore
    pool : Executor
        Of `_workers`.
    """

    def __init__(
        self,
        rows: "_SharedRows",
        attributes: dict,
        thresholds: dict[str, Thresholds],
        labels: LabelStore,
        pool: Executor,
    ):
        self.shape = rows.array.shape
        self._rows, self._labels, self._pool = rows, labels, pool
        self._top, self._image = origin_of(attributes)[0], lattice_of(attributes).shape
        self._arrived = 0
        self._running: dict[Future, _Job] = {}
        self._waiting: list[_Job] = []
        maps, first = Windows(rows.array, attributes, thresholds).maps, attributes["halo"]
        self._around = {
            name: maps[name].context + smooth_reach(limits) for name, limits in thresholds.items()
        }
        tallest = spanned = 0
        for patch in patches_of(attributes):
            tallest = max(tallest, patch.y1 - patch.y0)
            for name in thresholds:
                start, stop = self._read(patch, name, max(MAX_HALO, first))
                spanned = max(spanned, stop - start)
                needed = self._read(patch, name, first)[1]
                self._waiting.append(_Job(patch, name, first, needed, start))
        # one window of the largest halo and, while that is labelled, the next row of patches
        self._most_rows = spanned + tallest + TILE

    def write(self, start: int, rows: np.ndarray) -> None:
        """Take the next rows, (n, m, w) float32; waits while too many rows are still needed."""
        stop = start + rows.shape[1]
        while self._running and stop - self._first_needed() > self._most_rows:
            self._take(wait_for_one=True)
        self._rows.array[:, start:stop] = rows
        self._arrived = stop
        self._submit()
        self._take(wait_for_one=False)

    def close(self) -> None:
        """Wait for all labels; no more rows come."""
        self._arrived = self.shape[1]
        self._submit()
        while self._running:
            self._take(wait_for_one=True)

    def _read(self, patch: Patch, name: str, halo: int) -> tuple[int, int]:
        """Return the rows of the task's maps that labelling within a halo reads."""
        box = patch.core.grown(halo + self._around[name], self._image)
        return max(box.y0 - self._top, 0), min(box.y1 - self._top, self.shape[1])

    def _first_needed(self) -> int:
        jobs = itertools.chain(self._waiting, self._running.values())
        return min((job.kept_from for job in jobs), default=self._arrived)

    def _submit(self) -> None:
        ready = [job for job in self._waiting if job.needed <= self._arrived]
        self._waiting = [job for job in self._waiting if job.needed > self._arrived]
        for job in ready:
            self._running[self._pool.submit(_label, job.name, job.patch.core, job.halo)] = job

    def _take(self, wait_for_one: bool) -> None:
        """Write the labels that are ready, and give back the rows that were kept for them."""
        done, _ = wait(self._running, None if wait_for_one else 0, return_when=FIRST_COMPLETED)
        for future in done:
            job, found = self._running.pop(future), future.result()
            if isinstance(found, Cells):
                self._labels.add(job.patch, job.name, found, job.halo)
            else:
                job.halo, job.needed = found, self._read(job.patch, job.name, found)[1]
                self._waiting.append(job)
        if done:
            self._submit()
            self._rows.give_back(self._first_needed())


class Windows:
    """The windows of a task's patches.

    Parameters
    ----------
    array : (n, h, w) ndarray of float32
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


class _SharedRows:
    """Maps in memory that other processes can map, too; what was not written takes none."""

    def __init__(self, shape: Shape):
        n, height, width = shape
        self._row_bytes = 4 * n * width
        file = os.memfd_create("maps")
        os.ftruncate(file, max(height * self._row_bytes, 1))
        self.path = f"/proc/{os.getpid()}/fd/{file}"
        self._memory, self.array = _mapped(file, shape)
        self._file, self._given_back = file, 0

    def give_back(self, first_needed: int) -> None:
        """Free the memory of the rows before one."""
        stop = first_needed * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > self._given_back:
            self._memory.madvise(mmap.MADV_REMOVE, self._given_back, stop - self._given_back)
            self._given_back = stop

    def close(self) -> None:
        """Have the memory freed, once nobody maps it."""
        os.close(self._file)


def _mapped(file: int, shape: Shape) -> tuple[mmap.mmap, np.ndarray]:
    """Return a file of maps in memory, and the maps (n, h, w) in it; a row is in one place."""
    n, height, width = shape
    memory = mmap.mmap(file, os.fstat(file).st_size)
    values = np.frombuffer(memory, np.float32, n * height * width)
    return memory, values.reshape(height, n, width).transpose(1, 0, 2)


_windows: Windows  # of a labelling process


@contextmanager
def _workers(
    rows: _SharedRows, attributes: dict, thresholds: dict[str, Thresholds], n_processes: int
) -> Iterator[Executor]:
    """Start what labels: processes that are spawned, since TensorFlow does not survive a fork."""
    if not n_processes:
        yield _Here(Windows(rows.array, attributes, thresholds))
        return
    started = rows.path, rows.array.shape, attributes, thresholds
    pool = ProcessPoolExecutor(n_processes, get_context("spawn"), _start, started)
    try:
        for _ in range(n_processes):
            pool.submit(os.getpid)  # so that it starts now, while the network computes
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Labels in this process, at once."""

    def __init__(self, windows: Windows):
        self._windows = windows

    def submit(self, _function, name: str, core: Box, halo: int) -> Future:
        future = Future()
        future.set_result(self._windows.label(name, core, halo))
        return future


def _start(path: str, shape: Shape, attributes: dict, thresholds: dict[str, Thresholds]) -> None:
    """Make a process ready to label; it ends with the one that started it, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(5)  # whoever feeds the device goes first
    global _windows
    file = os.open(path, os.O_RDWR)
    _, array = _mapped(file, shape)
    os.close(file)
    _windows = Windows(array, attributes, thresholds)


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)


def _label(name: str, core: Box, halo: int) -> Cells | int:
    return _windows.label(name, core, halo)
