"""Kill -9 of tasks at random moments of a run."""

import os
import random
import re
import threading
import time
from pathlib import Path

from .runs import kill, running, step_of

WHAT = ("program", "task", "wrapper")
NEVER = (float("inf"), "")


class Killer(threading.Thread):
    """Kills the first attempts of every task; a context manager, from start to end of a run.

    The moment is a share of the processor time that the step usually takes, which depends less on
    what else runs than its duration does; early in the first attempt and anywhere in the last.
    A program that ends before its moment is killed while its versions are asked for, since there
    is no further attempt. What is killed is the program alone, all processes of the task, or
    Nextflow's wrapper alone, so that the program goes on as an orphan.
    Moments and kinds follow from the seed; what the task was doing then does not.

    Parameters
    ----------
    work : Path
        Folder of the tasks.
    seconds : dict
        Processor time that each step usually takes.
    times : dict
        How often each task of a step is killed.
    seed : int
    """

    def __init__(self, work: Path, seconds: dict[str, float], times: dict[str, int], seed: int):
        super().__init__(daemon=True)
        self.work, self.seconds, self.times, self.seed = work, seconds, times, seed
        self.folders: dict[str, list[Path]] = {}
        self._due: dict[Path, tuple[float, str]] = {}
        self._over = threading.Event()

    def __enter__(self) -> "Killer":
        """Begin to watch."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Watch and kill until told to end."""
        while not self._over.is_set():
            found: dict[Path, dict[int, str]] = {}
            for pid, (folder, command) in running(self.work).items():
                found.setdefault(folder, {})[pid] = command
            for folder, processes in found.items():
                self._plan(folder)
                moment, what = self._due[folder]
                if moment < NEVER[0] and (
                    has_ended(processes) or sum(map(processor_seconds, processes)) >= moment
                ):
                    self._due[folder] = NEVER
                    for pid in chosen(processes, what):
                        kill(pid)
            time.sleep(0.1)

    def _plan(self, folder: Path) -> None:
        if folder in self._due:
            return
        head = (folder / ".command.run").read_text()
        name = re.search(r"^### name: '(.+)'$", head, re.MULTILINE)[1]
        attempts = self.folders.setdefault(name, [])
        attempts.append(folder)
        self._due[folder] = NEVER
        step = step_of(name)
        times = self.times.get(step, 0)
        if len(attempts) <= times:
            dice = random.Random(f"{self.seed} {name} {len(attempts)}")
            share = dice.uniform(0, 0.9 * len(attempts) / times)
            self._due[folder] = share * self.seconds[step], dice.choice(WHAT)


def chosen(processes: dict[int, str], what: str) -> list[int]:
    """Return those of a task's processes that are killed; all where the one wanted is not there.

    All too where the program has ended and its versions are asked for: if that alone fails,
    Nextflow ends the run, whatever the errorStrategy.
    """
    if has_ended(processes):
        return list(processes)
    names = {"program": r"\S*python3? ", "wrapper": r".*\.command\.run", "task": "(?!)"}
    # the oldest, whose children are the others
    found = sorted(pid for pid, command in processes.items() if re.match(names[what], command))
    return found[:1] or list(processes)


def has_ended(processes: dict[int, str]) -> bool:
    """Return whether a task's program has ended, so that its versions are asked for."""
    return any("versions.py" in command for command in processes.values())


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
