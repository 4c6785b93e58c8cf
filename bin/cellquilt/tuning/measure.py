"""One measurement of the batching study: a slide's tasks, segmented several at a time."""

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..handoff import stores
from ..mesmer import model_archive
from ..networks import gpu_lock
from ..tiling.task_store import grid_of

log = logging.getLogger("cellquilt")

MEASURED = (
    "device_name",
    "batch_size_used",
    "tiles",
    "mpx",
    "start_s",
    "seconds",
    "read_s",
    "network_s",
    "blend_s",
    "seconds_per_tile",
    "mpx_per_s",
    "peak_memory_gb",
    "device_memory_gb",
)

_shared: dict = {}  # of a process that segments: what it shares with the others


@dataclass(frozen=True)
class Task:
    """What a task's store says of it; pixels are model pixels."""

    pixels: Path
    tiles: frozenset[tuple[int, int]]
    n_patches: int
    core_px: int
    slide_px: int


@dataclass(frozen=True)
class Setting:
    """How the tasks are to be segmented.

    Attributes
    ----------
    model : Path
        What MODEL wrote.
    device : {'cpu', 'gpu'}
    cpus : int
        Processors that the tasks which run at the same time share.
    batch_size : int
        Tiles at a time.
    tasks : int
        How many run at the same time, each in a separate process.
    precision : {'float32', 'bfloat16', 'tf32'}
    xla : bool
        Both as in `network.Mode`.
    max_map_difference : float
        See `gate.map_difference`.
    gpu_locks : Path
        See `gpu_lock.take`.
    """

    model: Path
    device: str
    cpus: int
    batch_size: int
    tasks: int
    precision: str
    xla: bool
    max_map_difference: float
    gpu_locks: Path = gpu_lock.FOLDER

    @property
    def threads(self) -> int:
        """Processors of a task."""
        return max(self.cpus // self.tasks, 1)


def read_task(pixels: Path) -> Task:
    """Return what a store of PATCH says of its task."""
    with stores.read(pixels) as group:
        attributes = dict(group.attrs)
    patches = attributes["patches"]
    core_px = sum((p["y1"] - p["y0"]) * (p["x1"] - p["x0"]) for p in patches)
    tiles = frozenset((row, col) for row, col in attributes["tiles"])
    height, width = grid_of(attributes).model_shape
    return Task(pixels, tiles, len(patches), core_px, height * width)


def measure(pixels: list[Path], setting: Setting, max_tiles: int) -> dict:
    """Segment tasks of a slide and return what it took.

    The largest tasks come first, whole ones, until they hold `max_tiles` tiles or there are no
    more; never fewer than run at the same time. All processes start on them together, once each
    has loaded the network and computed a first batch.

    Parameters
    ----------
    pixels : list of Path
        Stores of all tasks of a slide, as PATCH wrote them.
    setting : Setting
    max_tiles : int

    Returns
    -------
    dict
        One row of the study's table; its columns are described in docs/outputs.md. What could
        not be measured, since a process was killed, is None.

    Raises
    ------
    DataError
        If the slide has fewer tasks than are to run at the same time.
    """
    slide = sorted(map(read_task, pixels), key=lambda task: (-len(task.tiles), task.pixels.name))
    if len(slide) < setting.tasks:
        raise DataError(
            f"{setting.tasks} tasks cannot run at the same time, the slide has {len(slide)}; "
            "give fewer --tasks, or smaller tasks."
        )
    n_tiles = sum(len(task.tiles) for task in slide)
    slide_mpx = slide[0].slide_px / 1e6
    row = {
        "batch_size": setting.batch_size,
        "tasks": setting.tasks,
        "threads": setting.threads,
        "device": setting.device,
        "precision": setting.precision,
        "xla": setting.xla,
        "processor": processor(),
        "machine_memory_gb": machine_memory_gb(),
        "slide_patches": sum(task.n_patches for task in slide),
        "slide_tasks": len(slide),
        "slide_tiles": n_tiles,
        "slide_mpx": slide_mpx,
        "tiles_per_mpx": n_tiles / slide_mpx,
        "tile_redundancy": n_tiles / len(frozenset().union(*(task.tiles for task in slide))),
    }
    chosen = list(choose(slide, setting.tasks, max_tiles))
    try:
        return row | _summed(_run(chosen, setting), chosen)
    except BrokenProcessPool:
        log.warning("measure: a process was killed; most often the memory did not suffice")
        return row | dict.fromkeys(MEASURED)


def _summed(found: list[dict], tasks: list[Task]) -> dict:
    """Return what the processes that segmented `tasks` found, as one."""
    tiles, mpx = sum(len(task.tiles) for task in tasks), sum(task.core_px for task in tasks) / 1e6
    seconds = max(one["ended"] for one in found) - min(one["started"] for one in found)
    of_devices = [one["device_memory_gb"] for one in found if one["device_memory_gb"] is not None]
    return {
        "device_name": found[0]["device_name"],
        "batch_size_used": min(one["batch_size_used"] for one in found),
        "tiles": tiles,
        "mpx": mpx,
        "start_s": max(one["start_s"] for one in found),
        "seconds": seconds,
        "read_s": sum(one["read_s"] for one in found),
        "network_s": sum(one["network_s"] for one in found),
        "blend_s": sum(one["blend_s"] for one in found),
        "seconds_per_tile": seconds / tiles,
        "mpx_per_s": mpx / seconds,
        "peak_memory_gb": max(one["peak_memory_gb"] for one in found),
        "device_memory_gb": max(of_devices, default=None),
    }


def choose(slide: list[Task], at_least: int, max_tiles: int) -> Iterator[Task]:
    """Yield tasks in order until `max_tiles` tiles are reached, and at least that many."""
    tiles = 0
    for number, task in enumerate(slide):
        if number >= at_least and tiles >= max_tiles:
            return
        tiles += len(task.tiles)
        yield task


def _run(tasks: list[Task], setting: Setting) -> list[dict]:
    """Segment tasks in new processes, each taking the next one that is left."""
    # A forked process would share memory with this one, and TensorFlow survives no fork
    context = multiprocessing.get_context("spawn")
    shared = {"next": context.Value("i", 0), "ready": context.Barrier(setting.tasks)}
    # one for all of them, and for no other task
    on_gpu, locks = setting.device == "gpu", setting.gpu_locks
    with (
        gpu_lock.take(gpu_lock.read_uuids(), folder=locks) if on_gpu else nullcontext() as gpu,
        model_archive.unpacked(setting.model) as model,
        ProcessPoolExecutor(setting.tasks, context, _share, (shared,)) as pool,
    ):
        stores = [task.pixels for task in tasks]
        running = [
            pool.submit(_segment, stores, setting, *model, gpu, time.monotonic())
            for _ in range(setting.tasks)
        ]
        return [one.result() for one in running]


def _share(shared: dict) -> None:
    _shared.update(shared)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process with the one that started it, which cannot see to it when it is killed.

    It would wait for work for ever, and the task with it, whose output it holds open.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


def _segment(
    stores: list[Path],
    setting: Setting,
    folder: Path,
    card: dict,
    gpu: gpu_lock.Held | None,
    spawned: float,
) -> dict:
    """Load the network, wait for the other processes, segment tasks until none is left."""
    from ..networks.tile_network import Mode, select_device
    from .timed_network import load, segment_timed

    mode = Mode(setting.precision, setting.xla)
    mode.check(setting.device)
    name = select_device(setting.device, setting.threads, taken=gpu)
    network = load(folder, setting.batch_size, mode)
    start_s = time.monotonic() - spawned
    _shared["ready"].wait()
    found = segment_timed(_left(stores), network, name, card, setting.max_map_difference)
    return found | {"start_s": start_s, "device_name": name}


def _left(stores: list[Path]) -> Iterator[Path]:
    while True:
        with _shared["next"].get_lock():
            number = _shared["next"].value
            _shared["next"].value += 1
        if number >= len(stores):
            return
        yield stores[number]


def processor() -> str:
    """Return the name of the machine's processor, as Linux has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def machine_memory_gb() -> float:
    """Return the memory of the machine in GB, or what a control group leaves of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(limit)
        if path.exists() and (text := path.read_text().strip()).isdigit():
            memory = min(memory, int(text))
    return memory / 1e9
