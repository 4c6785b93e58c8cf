"""How every script in bin/ starts, reports progress and ends."""

import argparse
import errno
import logging
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import outputs
from .errors import DataError, reason

EXIT_DATA_ERROR = 65  # these are in sysexits.h; the pipeline retries neither
EXIT_IO_ERROR = 74
EXIT_MEMORY = 137  # as of a task that the kernel or a scheduler killed: tried again with more

log = logging.getLogger("cellquilt")


def parser(description: str, **settings: bool) -> argparse.ArgumentParser:
    """Return an argument parser that shows defaults and refuses abbreviations.

    Its option ``--refusal`` is for `run`.
    """
    found = argparse.ArgumentParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        **settings,
    )
    found.add_argument(
        "--refusal",
        type=Path,
        help="file for the reason why a slide is refused, which is then no failure",
    )
    return found


def add_cpus(args: argparse.ArgumentParser) -> None:
    """Add the option ``--cpus``: how many processors a script uses, by default all it may."""
    args.add_argument("--cpus", type=int, default=cpu_count(), help="processors to use")


def add_sample(args: argparse.ArgumentParser) -> None:
    """Add the option ``--sample``: what the results are called, of several of a slide."""
    args.add_argument("--sample", help="name of the results; that of the slide if not given")


def add_refusals(args: argparse.ArgumentParser) -> None:
    """Add the option ``--refusals`` of a script that takes several slides, for `refused_by`."""
    args.add_argument(
        "--refusals", type=Path, help="folder for the reasons why slides are refused, by step"
    )


@contextmanager
def refused_by(step: str, sample: str, refusals: Path | None) -> Iterator[None]:
    """Take a `DataError` in the block for a reason why a step refuses a slide.

    It goes to ``<refusals>/<step>/<sample>.txt``; without such a folder it is raised.
    """
    try:
        yield
    except DataError as error:
        if refusals is None:
            raise
        write_refusal(refusals / step / f"{sample}.txt", error)


def boolean(text: str) -> bool:
    """Return the truth that ``true`` or ``false`` stands for, as Nextflow writes it.

    Raises
    ------
    argparse.ArgumentTypeError
        Of any other text.
    """
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text == "true"


# Settings of an option that is false where it is missing, and true without a value
SWITCH = {"type": boolean, "nargs": "?", "const": True, "default": False}


def run(main: Callable[[], None], refused: type[DataError] = DataError) -> None:
    """Run a script's ``main`` with logging set up, and report in a line what a user can fix.

    Parameters
    ----------
    main : callable
    refused : type
        Of the errors that are about one slide. With ``--refusal FILE`` on the command line their
        message goes to that file, and the script ends with code 0: the other slides of a run are
        to go on. Without it they are errors as any other.

    Raises
    ------
    SystemExit
        With code 65 where ``main`` raised `DataError`, 74 where a disk is full or fails, and 137
        where memory did not suffice.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    start = time.time()
    try:
        main()
    except DataError as error:
        asked, _ = parser("", add_help=False).parse_known_args()
        if asked.refusal is None or not isinstance(error, refused):
            _end(str(error), EXIT_DATA_ERROR)
        write_refusal(asked.refusal, error)
    except (MemoryError, OSError) as error:
        ending = _of_the_machine(error)
        if ending is None:
            raise
        _end(*ending)
    end = time.time()
    log.info(
        "%s: worked %.2f s from %.2f to %.2f, peak memory %.2f GB",
        Path(sys.argv[0]).stem,
        end - start,
        start,
        end,
        peak_memory_gb(),
    )


def write_refusal(path: Path, error: DataError) -> None:
    """Write why a slide is refused to a file, whose folder is made, and to the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    outputs.write_text(path, printable(str(error)) + "\n")
    log.warning("refused: %s", printable(str(error)))


def _end(message: str, code: int) -> None:
    print(f"ERROR: {printable(message)}", file=sys.stderr)
    sys.exit(code)


def _of_the_machine(error: MemoryError | OSError) -> tuple[str, int] | None:
    """Return what to say of a lack of memory or disk, and the exit code; None of other errors."""
    found = reason(error, 300)
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        return (
            f"not enough memory, with {peak_memory_gb():.1f} GB in use ({found}). The task is"
            " tried again with more; if that does not do, raise its memory in a file given by -c.",
            EXIT_MEMORY,
        )
    if error.errno in outputs.FULL:
        return (
            f"the disk is full ({found}): {_room(Path.cwd())}. Make room, or give another"
            " -work-dir, and run again with -resume.",
            EXIT_IO_ERROR,
        )
    if error.errno == errno.EIO:
        return (
            f"the disk, or the network that it is on, fails ({found}). Run again with -resume;"
            " if the error stays, fetch the file again or have the disk checked.",
            EXIT_IO_ERROR,
        )
    return None


def _room(task: Path) -> str:
    """Return how much room is left where a task writes: its folder, and that of temporary files."""
    folders = dict.fromkeys([task.resolve(), Path(tempfile.gettempdir()).resolve()])
    free = {folder: shutil.disk_usage(folder).free / 1e6 for folder in folders}
    return ", ".join(f"{megabytes:.1f} MB free in {folder}" for folder, megabytes in free.items())


def printable(text: str) -> str:
    """Return `text` with what a terminal would not show, or would obey, written as escapes.

    Files go by the names that the user knows, without the folder that the pipeline stages them in.
    """
    named = re.sub(r"(?<![\w./-])_[a-z]+/(?:\d+/)?(?=\w)", "", text)
    shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in named)
    return "".join(shown)


class Progress:
    """Log done/total, Mpx/s and peak memory, at most once in `interval` seconds and at the end.

    Parameters
    ----------
    what : str
        The verb and its unit, such as ``"segment: tiles"``.
    total : int
        How many units there are.
    interval : float
        Seconds between two lines.
    """

    def __init__(self, what: str, total: int, interval: float = 10.0):
        self.what, self.total, self.interval = what, total, interval
        self.done, self.pixels = 0, 0
        self.start = self.last = time.monotonic()

    def add(self, units: int = 1, pixels: int = 0) -> None:
        """Count `units` done, and the `pixels` they held."""
        self.done += units
        self.pixels += pixels
        now = time.monotonic()
        if self.done >= self.total or now - self.last >= self.interval:
            self.last = now
            elapsed = max(now - self.start, 1e-9)
            log.info(
                "%s %d/%d, %.2f Mpx/s, peak memory %.1f GB",
                self.what,
                self.done,
                self.total,
                self.pixels / 1e6 / elapsed,
                peak_memory_gb(),
            )


def peak_memory_gb() -> float:
    """Return this process's peak resident memory in GB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def cpu_count() -> int:
    """Return how many CPUs this process may use (respects a cgroup or scheduler's mask)."""
    return len(os.sched_getaffinity(0))
