"""Two LABEL tasks at a time on two cores against one at a time."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fixtures
from bench import Bench, Row

PATCH_SIZE, PATCHES_A_TASK = 1152, 8  # cuts the mosaic into 4 x 4 patches, two tasks


def rows(bench: Bench) -> list[Row]:
    if len(os.sched_getaffinity(0)) < 2:
        return [Row("2 tasks on 2 cores", "1 task", None, None, None, "not measured: one core")]
    maps = fixtures.maps(bench, "mosaic 4096", 0.5)
    folder = bench.scratch / "tasks"
    pixels = fixtures.patch(bench, maps / "normalised", folder, PATCH_SIZE, PATCHES_A_TASK)
    bench.call(
        "runtime", "cut_maps", subject="fixtures", folder=maps, pixels=[str(p) for p in pixels]
    )
    tasks = sorted(folder.glob("*.maps.zip"))[:2]
    single = min(label(bench, tasks, 1) for _ in range(2))
    double = min(label(bench, tasks, 2) for _ in range(2))
    return [
        Row(
            "LABEL, 2 tasks at a time on 2 cores",
            "1 task at a time",
            double,
            single,
            None,
            f"wall, start-up of both included; tasks of {PATCHES_A_TASK} patches",
            1.8,
        )
    ]


def label(bench: Bench, tasks: list[Path], at_a_time: int) -> float:
    """LABEL the tasks and return the seconds until the last is done."""
    start = time.perf_counter()
    with ThreadPoolExecutor(at_a_time) as pool:
        done = [
            pool.submit(bench.step, "label", "--maps", task, "--labels", f"{task}.labels")
            for task in tasks
        ]
        for each in done:
            each.result()
    return time.perf_counter() - start
