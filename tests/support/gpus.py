"""Pretended GPUs: a CUDA driver that lists some, and tasks that hold one for a while.

A task runs where there is nothing but Python, so it can run in a container, too.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

DRIVER = r"""
#include <stdlib.h>
#include <string.h>
static int seen[16], n;
int cuInit(unsigned flags) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    for (n = 0; visible ? *visible != 0 : n < GPUS; n++) {
        seen[n] = visible ? (int)strtol(visible, (char **)&visible, 10) : n;
        if (visible && *visible == ',') visible++;
    }
    return 0;
}
int cuDeviceGetCount(int *count) { *count = n; return 0; }
int cuDeviceGet(int *device, int index) { *device = seen[index]; return 0; }
int cuDeviceGetUuid_v2(char *uuid, int device) {
    memset(uuid, 0, 16);
    uuid[15] = device;
    return 0;
}
"""
# Folder of the locks, tasks_per_gpu, seconds, and a file for what it held, from when, until when
TASK = """
import logging, sys, time
from pathlib import Path
from cellquilt.networks import gpu_lock

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
with gpu_lock.take(gpu_lock.read_uuids(), int(sys.argv[2]), Path(sys.argv[1])) as held:
    start = time.monotonic()
    print(held.uuid, flush=True)
    time.sleep(float(sys.argv[3]))
    end = time.monotonic()
open(sys.argv[4], "w").write(f"{held.uuid} {start} {end}")
"""
FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-{number:012}" for number in range(2))


class Held(NamedTuple):
    """Which GPU a task had, and from when until when, in s of the machine's clock."""

    uuid: str
    start: float
    end: float


class Machine:
    """A machine with two pretended GPUs, in a folder.

    Attributes
    ----------
    folder : Path
        All that a container needs, at the same path in it.
    locks : Path
    environment : dict
        Of every task.
    """

    def __init__(self, folder: Path, repo: Path):
        if shutil.which("cc") is None:
            pytest.skip("no C compiler here for the pretended driver")
        self.folder, self.locks = folder, folder / "locks"
        package = folder / "bin" / "cellquilt"
        (package / "networks").mkdir(parents=True)
        for name in ("__init__.py", "errors.py", "networks/__init__.py", "networks/gpu_lock.py"):
            shutil.copy(repo / "bin" / "cellquilt" / name, package / name)
        (folder / "driver.c").write_text(DRIVER)
        build = ["cc", "-shared", "-fPIC", "-DGPUS=2", "-o", "libcuda.so.1", "driver.c"]
        subprocess.run(build, cwd=folder, check=True)
        (folder / "task.py").write_text(TASK)
        (folder / "held").mkdir()
        self.environment = {
            "PYTHONPATH": f"{folder / 'bin'}",
            "LD_LIBRARY_PATH": f"{folder}",
        }

    def command(self, name: str, seconds: float = 0.5, tasks_per_gpu: int = 1) -> list[str]:
        """Return the arguments, for Python, of a task that holds a GPU."""
        own = f"{self.locks}", f"{tasks_per_gpu}", f"{seconds}"
        return [f"{self.folder}/task.py", *own, f"{self.folder}/held/{name}"]

    def start(self, *arguments: str | float, visible: str | None = None) -> subprocess.Popen:
        """Start a task, see `command`, of those GPUs that CUDA_VISIBLE_DEVICES names."""
        own = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
        return subprocess.Popen(
            [sys.executable, *self.command(*arguments)],
            env=os.environ | self.environment | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def held(self) -> list[Held]:
        """Return what the tasks had that came to their end."""
        found = (path.read_text().split() for path in (self.folder / "held").iterdir())
        return [Held(uuid, float(start), float(end)) for uuid, start, end in found]


def most_at_once(tasks: list[Held]) -> int:
    """Return how many tasks were there together, at most."""
    return max(sum(task.start <= one.start < task.end for task in tasks) for one in tasks)
