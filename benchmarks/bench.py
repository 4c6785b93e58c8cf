"""Tools of the benchmarks: workers in other environments, the pipeline's steps, rows."""

import json
import math
import os
import re
import resource
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("CELLQUILT_CACHE", Path.home() / ".cache" / "cellquilt"))
SHARED = ROOT.parent / "shared" / "data"
WORKED = re.compile(r"^(\w+): worked ([\d.]+) s from ([\d.]+) to ([\d.]+)", re.MULTILINE)
PEAK = re.compile(r"^(\w+): worked .* peak memory ([\d.]+) GB", re.MULTILINE)


class WorkerError(Exception):
    """A worker or a step that failed, with the end of what it said."""


@dataclass
class Row:
    """One line of the results; times in seconds, None where there is nothing to compare with."""

    work: str
    peer: str
    ours_s: float | None
    peer_s: float | None
    equal: bool | None
    note: str
    bar: float | None = None  # the target for the ratio

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        if self.ours_s is None or self.peer_s is None:
            return None
        return self.peer_s / self.ours_s


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a function of the subject, and the environment it runs in."""

    environment: str
    function: str
    options: dict = field(default_factory=dict)


class Bench:
    """The run of one subject.

    Parameters
    ----------
    subject : str
        Module whose functions the workers call.
    scratch : Path
        Empty folder of its own.
    """

    def __init__(self, subject: str, scratch: Path):
        self.subject, self.scratch = subject, scratch
        self._calls = 0

    def call(self, environment: str, function: str, *, subject: str = "", cpus=None, **options):
        """Run a function in an environment and return what it reports; see worker.py.

        Parameters
        ----------
        environment : {'runtime', 'export', 'deepcell', 'peers', 'dev'}
        function : str
        subject : str
            Module of the function, this run's own if not given.
        cpus : int, optional
            How many of the cores it may use; all if not given.
        **options
            What the function takes.
        """
        self._calls += 1
        stem = self.scratch / f"call-{self._calls:03d}"
        options = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
        stem.with_suffix(".in.json").write_text(json.dumps(options))
        command = [
            python_of(environment),
            ROOT / "benchmarks" / "worker.py",
            subject or self.subject,
            function,
            stem.with_suffix(".in.json"),
            stem.with_suffix(".out.json"),
        ]
        self._run(command, cpus)
        return json.loads(stem.with_suffix(".out.json").read_text())

    def interleave(self, rounds: int, cpus: int | None = None, **sides: Side) -> dict[str, dict]:
        """Run the sides one after another, `rounds` times over.

        Returns
        -------
        dict
            The report of each side's fastest round, by its ``seconds``.
        """
        best: dict[str, dict] = {}
        for _ in range(rounds):
            for name, side in sides.items():
                found = self.call(side.environment, side.function, cpus=cpus, **side.options)
                if name not in best or found["seconds"] < best[name]["seconds"]:
                    best[name] = found
        return best

    def step(self, script: str, *arguments: object, environment="runtime", cpus=None) -> dict:
        """Run a script of the pipeline.

        Returns
        -------
        dict
            ``seconds`` of its own work, ``wall_s`` with its start, ``cpu_s`` of all its processes,
            ``peak_gb``.
        """
        start, before = time.perf_counter(), processor_time()
        command = [python_of(environment), ROOT / "bin" / f"{script}.py", *arguments]
        said = self._run(command, cpus)
        wall = time.perf_counter() - start
        (_, worked, _, _), (_, peak) = WORKED.findall(said)[-1], PEAK.findall(said)[-1]
        cpu = processor_time() - before
        return {"seconds": float(worked), "wall_s": wall, "cpu_s": cpu, "peak_gb": float(peak)}

    def _run(self, command: list[object], cpus: int | None) -> str:
        cores = sorted(os.sched_getaffinity(0))[:cpus]
        done = subprocess.run(
            ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)],
            cwd=self.scratch,
            env=environment_of(len(cores)),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise WorkerError(f"{' '.join(map(str, command[1:4]))}:\n{tail}")
        return done.stderr


def processor_time() -> float:
    """Return the seconds of processor time of all processes that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment."""
    return CACHE / "envs" / environment / "bin" / "python"


def environment_of(n_cores: int) -> dict[str, str]:
    """Return the variables of a worker: nothing that changes the other tools' stock settings."""
    threads = {"OMP_NUM_THREADS": str(n_cores), "OPENBLAS_NUM_THREADS": str(n_cores)}
    settings = {
        "PYTHONPATH": f"{ROOT / 'bin'}:{ROOT / 'benchmarks'}",
        "PYTHONNOUSERSITE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    return os.environ | settings | (threads if n_cores == 1 else {})


def seconds(value: float | None) -> str:
    """Return a time to three digits, for a table."""
    if value is None or value == 0 or not math.isfinite(value):
        return ""
    return f"{value:.{max(2 - math.floor(math.log10(abs(value))), 0)}f}"
