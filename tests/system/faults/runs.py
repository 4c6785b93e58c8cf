"""A run of the pipeline in a separate folder: started, awaited, and the files it left."""

import csv
import io
import os
import re
import signal
import subprocess
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from support.parsers import V2

REPO = Path(__file__).resolve().parents[3]
CONFIG = Path(__file__).with_name("small.config")
DEMO = ["-profile", "demo,local"]
MESMER = ["--accept_mesmer_license"]
EVERYTHING = "csv,h5ad,geojson,spatialdata,ome-zarr,hubmap,viewer"

# What tells times and memory, in files and in columns of tables; and the run, in its records
TIMED = {"pipeline_info", "report.html"}
RECORD = "files.json"


@dataclass(frozen=True)
class Run:
    """A folder that a pipeline runs in, and its options; `start` again to resume.

    The configuration is in place of the pipeline's own, and includes it. The syntax parser is that
    of Nextflow 26, unless it is told another; `starter` is a command that starts Nextflow.
    """

    folder: Path
    options: tuple[str | Path, ...]
    config: Path = CONFIG
    parser: dict[str, str] = field(default_factory=lambda: V2)
    starter: tuple[str, ...] = ()

    def start(self, *more: str) -> subprocess.Popen:
        """Start Nextflow, alone in its process group; what it says is added to the file log."""
        nextflow = [*self.starter, REPO / "tools" / "nextflow", "-C", self.config, "run", REPO]
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                [*nextflow, *self.options, *more, "-ansi-log", "false"],
                cwd=self.folder,
                env=os.environ | self.parser,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, *more: str) -> int:
        """Run to the end and return the exit code."""
        return self.start(*more).wait()

    @property
    def said(self) -> str:
        """All that Nextflow has said so far."""
        return (self.folder / "log").read_text()

    @property
    def work(self) -> Path:
        """The folder of the tasks."""
        return self.folder / "work"

    @property
    def results(self) -> Path:
        """The folder of what is published."""
        return self.folder / "results"

    @property
    def tasks(self) -> list[dict[str, str]]:
        """The rows of the trace: a row an attempt."""
        with (self.results / "pipeline_info" / "execution_trace.txt").open() as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def folder_of(self, task: dict[str, str]) -> Path:
        """Return the work folder of a row of the trace."""
        (found,) = self.work.glob(f"{task['hash']}*")
        return found

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Processor time of each step, the longest task of each."""
        found: dict[str, float] = {}
        for task in self.tasks:
            step = step_of(task["name"])
            busy = float(task["%cpu"].rstrip("%")) / 100
            found[step] = max(found.get(step, 0.0), busy * seconds_of(task["realtime"]))
        return found

    def published(self) -> dict[str, bytes]:
        """Return what is published, by path, but for what tells times."""
        return {
            path: content
            for path, content in files_of(self.results).items()
            if path.split("/")[0] not in TIMED and Path(path).name != RECORD
        }


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by path, also hidden ones, but not what links point to."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def content_of(path: str, content: bytes) -> object:
    """Return a file without the times that an archive has of its members."""
    if not path.endswith(".zip"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def step_of(task: str) -> str:
    """Return the step of a task's name, ``SEGMENT`` of ``SEGMENTATION:SEGMENT (demo:task-1)``."""
    return task.partition(" ")[0].rpartition(":")[2]


def seconds_of(text: str) -> float:
    """Return the seconds of a trace's ``1m 5s``, ``21.6s`` or ``230ms``."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|[hms])", text))


def running(folder: Path) -> dict[int, tuple[Path, str]]:
    """Return the processes that work in a task's folder below `folder`: folder, command line.

    A Killer asks many times a second, so that names of folders are compared as text.
    """
    found = {}
    head = f"{folder}/"
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{name}/cwd")
            if not where.startswith(head):
                continue
            parts = where.removeprefix(head).split("/")
            command = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if len(parts) >= 2 and command:
            found[int(name)] = folder.joinpath(*parts[:2]), command
    return found


def kill(pid: int) -> bool:
    """Kill a process with no chance to clean up; return whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
