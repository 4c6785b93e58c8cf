"""A Slurm cluster of three nodes on this machine, with all its files in one folder.

A Slurm installed on the machine is not touched: ports, sockets, key and state are the test's.
"""

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

NODES = ("one", "two", "three")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
TEMPLATE = Path(__file__).with_name("slurm.conf")


class Unavailable(Exception):
    """Slurm is not here, or does not start here."""


class Job(NamedTuple):
    """A line of squeue: an element of an array has an ID like 8_1."""

    id: str
    state: str
    node: str
    name: str


class Cluster:
    """Munge, the controller and the nodes' daemons, in a folder.

    Parameters
    ----------
    folder : Path
        Where all of it is kept.

    Attributes
    ----------
    environment : dict of str to str
        What a program needs in order to find this cluster.
    """

    def __init__(self, folder: Path):
        missing = [program for program in PROGRAMS if not shutil.which(program, path=PATH)]
        if missing:
            raise Unavailable(f"no {', '.join(missing)} here; tests/packages.sh installs Slurm")
        self._folder = folder
        self._config = folder / "slurm.conf"
        self._daemons: dict[str, psutil.Popen] = {}
        self.environment = os.environ | {"SLURM_CONF": str(self._config), "PATH": PATH}

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop)
            self._start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        for name in ("state", *(f"spool/{node}" for node in NODES)):
            (self._folder / name).mkdir(parents=True)
        key = self._folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        host = socket.gethostname().partition(".")[0]
        facts = {"host": host, "user": getpass.getuser(), "folder": self._folder}
        ports = dict(zip(("control", *NODES), free_ports(1 + len(NODES)), strict=True))
        self._config.write_text(TEMPLATE.read_text().format(**facts, **ports))
        version = subprocess.check_output(["sbatch", "--version"], env=self.environment, text=True)
        year, month = re.search(r"(\d+)\.(\d+)", version).groups()
        if (int(year), int(month)) >= (23, 11):  # which wants cgroups otherwise, and older ones not
            (self._folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")

        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        files |= {"seed-file": "seed"}
        options = [f"--{name}={self._folder}/munge.{end}" for name, end in files.items()]
        # It wants a folder that all may enter, which one of pytest's is not: --force
        self._daemon("munged", "--foreground", "--force", *options)
        self._wait((self._folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self._wait(lambda: all(self.state(node) == "idle" for node in NODES))

    def _daemon(self, program: str, *arguments: str, name: str | None = None) -> None:
        with (self._folder / f"{name or program}.log").open("a") as log:
            self._daemons[name or program] = psutil.Popen(
                [shutil.which(program, path=PATH), *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not ready():
            dead = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                names = dead or self._daemons
                logs = [(self._folder / f"{name}.log").read_text()[-1000:] for name in names]
                raise Unavailable(f"Slurm does not start: {', '.join(names)}\n" + "\n".join(logs))
            time.sleep(0.2)

    def _stop(self) -> None:
        """End all that belongs to the cluster, jobs and what submits them too."""
        daemons = list(self._daemons.values())
        for daemon in daemons:
            with contextlib.suppress(psutil.NoSuchProcess):
                daemon.terminate()
        psutil.wait_procs(daemons, timeout=5)
        kill([*daemons, *self._processes(lambda _: True)])

    def _processes(self, wanted: Callable[[dict[str, str]], bool]) -> Iterator[psutil.Process]:
        """Give the processes that were started for this cluster, chosen by their environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found = process.environ()
                if found.get("SLURM_CONF") == str(self._config) and wanted(found):
                    yield process

    def start_node(self, node: str) -> None:
        """Start the daemon of a node, as when its machine is switched on."""
        self._daemon("slurmd", "-D", "-N", node, name=node)

    def lose_node(self, node: str) -> None:
        """End all processes of a node at once, as when its machine is switched off."""
        kill([self._daemons.pop(node)])
        jobs = list(self._processes(lambda found: found.get("SLURMD_NODENAME") == node))
        # What watches a job would tell the controller of its end: that goes first
        watchers = {watcher for process in jobs if (watcher := watcher_of(process))}
        assert watchers, f"no job runs on {node}"
        kill(list(watchers))
        kill(jobs)

    def ask(self, program: str, *arguments: str) -> str:
        """Run one of Slurm's programs, and return what it prints."""
        done = subprocess.run(
            [program, *arguments], env=self.environment, capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def state(self, node: str) -> str:
        """Return the state of a node, as idle, mixed, draining, drained or down."""
        return self.ask("sinfo", "--noheader", "--nodes", node, "--format=%T").rstrip("*")

    def jobs(self, states: str = "running") -> list[Job]:
        """Return the jobs in a state, or with ``all`` those that have ended too."""
        options = ["--noheader", "--array", f"--states={states}", "--format=%i|%t|%N|%j"]
        return [Job(*line.split("|", 3)) for line in self.ask("squeue", *options).splitlines()]


def watcher_of(process: psutil.Process) -> psutil.Process | None:
    """Return the parent of a job's first process; none of others, and of those that have ended.

    A task's short commands do at any time.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = process.parent()
        if parent and parent.name().startswith("slurmstepd"):
            return parent
    return None


def kill(processes: list[psutil.Process]) -> None:
    """End processes without giving them time for anything, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def free_ports(number: int) -> list[int]:
    """Return ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
