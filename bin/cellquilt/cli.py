"""How every script in bin/ starts, reports progress and ends."""

import argparse
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .errors import DataError

EXIT_DATA_ERROR = 65

log = logging.getLogger("cellquilt")


def parser(description: str) -> argparse.ArgumentParser:
    """Return an argument parser that shows defaults and refuses abbreviations."""
    return argparse.ArgumentParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def run(main: Callable[[], None]) -> None:
    """Run a script's ``main`` with logging set up and data errors told in a line.

    Raises
    ------
    SystemExit
        With code 65 where ``main`` raised `DataError`.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    start = time.time()
    try:
        main()
    except DataError as error:
        print(f"ERROR: {_printable(str(error))}", file=sys.stderr)
        sys.exit(EXIT_DATA_ERROR)
    end = time.time()
    log.info(
        "%s: worked %.2f s from %.2f to %.2f, peak memory %.2f GB",
        Path(sys.argv[0]).stem,
        end - start,
        start,
        end,
        peak_memory_gb(),
    )


def _printable(text: str) -> str:
    """Return `text` with what a terminal would not show, or would obey, written as escapes."""
    shown = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
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
