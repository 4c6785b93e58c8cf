"""Work on several processors: strips read ahead by a thread, and processes that end with a task.

Most of what the package does to pixels releases Python's lock (decoding, compression, the kernels
and numpy's larger operations), so that threads suffice; text is made by processes.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()


def ahead(items: Iterable[Item], cpus: int) -> Iterator[Item]:
    """Yield `items`; where there are two processors, a thread makes the next one meanwhile."""
    if cpus < 2:
        yield from items
        return
    source = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, source, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, source, _END)
            yield item


def threaded(function: Callable[[Item], Result], items: Iterable[Item], cpus: int) -> list[Result]:
    """Return what a function gives for each item, in their order, with `cpus` threads."""
    with ThreadPoolExecutor(cpus) as threads:
        return list(threads.map(function, items))


@contextmanager
def spawned(
    n_processes: int, start: Callable[..., None] | None = None, given: tuple = ()
) -> Iterator[ProcessPoolExecutor]:
    """Start processes that end with this one, however that ends.

    They are spawned, since TensorFlow does not survive a fork.

    Parameters
    ----------
    n_processes : int
    start : callable, optional
        Which each process calls first, with the arguments `given`.

    Raises
    ------
    MemoryError
        Where a process was killed, most often for lack of memory.
    """
    pool = ProcessPoolExecutor(n_processes, get_context("spawn"), _start, (start, *given))
    try:
        for _ in range(n_processes):
            pool.submit(os.getpid)  # so that they start now, while this process goes on
        yield pool
    except BrokenProcessPool as error:
        raise MemoryError("a process of the task was killed") from error
    finally:
        pool.shutdown(cancel_futures=True)


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], n_processes: int
) -> Iterator[Result]:
    """Yield what a function gives for each item, in their order, from spawned processes.

    Items are taken as they are needed, two a process ahead. With one processor all is done here.
    """
    if n_processes < 2:
        yield from map(function, items)
        return
    source = iter(items)
    with spawned(n_processes) as pool:
        coming = deque(pool.submit(function, item) for item in islice(source, 2 * n_processes))
        while coming:
            result = coming.popleft().result()
            coming.extend(pool.submit(function, item) for item in islice(source, 1))
            yield result


def _start(start: Callable[..., None] | None, *given: object) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start:
        start(*given)


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)
