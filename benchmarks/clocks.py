"""Clocks, memory and arrays, shared by the workers of every environment (Python 3.10 or newer)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WALL = time.perf_counter  # for what runs on both cores, or waits
CPU = time.process_time  # for what runs in one thread: other processes do not disturb it


def best_of(
    function: Callable[[], Any], repeats: int, clock: Callable[[], float] = CPU
) -> tuple[float, Any]:
    """Return the shortest of `repeats` runs in seconds, and what the last one returned."""
    best, result = float("inf"), None
    for _ in range(repeats):
        del result
        result = None
        start = clock()
        result = function()
        best = min(best, clock() - start)
    return best, result


def peak_memory_gb() -> float:
    """Return this process's peak resident memory in GB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def bytes_read() -> int:
    """Return how many bytes this process has read from files so far, cached or not."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def compare_labels(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Compare two label images as partitions into cells, whatever the numbers.

    Returns
    -------
    dict
        ``n_theirs``, ``n_ours``, ``n_identical`` (cells with exactly the same pixels in both)
        and ``differing``, at most ten of the other cells of `theirs`: label, row, column.
    """
    ours, theirs = ours.ravel().astype(np.int64), theirs.astype(np.int64)
    width = theirs.shape[1]
    theirs = theirs.ravel()
    area_ours, area_theirs = np.bincount(ours), np.bincount(theirs)
    both = (ours > 0) & (theirs > 0)
    pairs, shared = np.unique(theirs[both] * len(area_ours) + ours[both], return_counts=True)
    their, our = np.divmod(pairs, len(area_ours))
    same = (shared == area_theirs[their]) & (shared == area_ours[our])
    present = np.flatnonzero(area_theirs[1:]) + 1
    differing = np.setdiff1d(present, their[same])
    first = [int(np.flatnonzero(theirs == label)[0]) for label in differing[:10]]
    return {
        "n_theirs": len(present),
        "n_ours": int(np.count_nonzero(area_ours[1:])),
        "n_identical": int(same.sum()),
        "differing": [
            [int(label), *map(int, divmod(pixel, width))]
            for label, pixel in zip(differing[:10], first, strict=True)
        ],
    }
