"""Fuzz the readers one after another for a limited time, and summarise the findings.

    python run.py [--minutes 10] [--reader NAME]... [--folder fuzz-findings] [--seed N]

Exits with 1 if anything was found. Each reader has a folder with the files that reproduce its
findings (``crash-``, ``timeout-`` and ``oom-`` if it ended the process), a text next to each, the
log, and ``corpus/``, from which the next run continues. Findings of an earlier run are tried first,
and removed if they are fixed. libFuzzer gets a new seed in each run, which is in the log.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TARGET = Path(__file__).with_name("target.py")
# Without their imports: this process has none of them to do
NAMES = re.findall(r'^    "([a-z-]+)": Reader\(', TARGET.with_name("readers.py").read_text(), re.M)
LEAST_SECONDS = 15  # left, for a process to be worth its start
MAX_STARTS = 20


@dataclass
class Tally:
    """What the processes of a reader did."""

    executions: int = 0
    coverage: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def add(self, code: int, log: str) -> None:
        self.ended.append(code)
        self.coverage += map(int, re.findall(r"^#\d+\s+\w+\s+cov: (\d+)", log, re.M))
        counts = re.findall(r"^stat::number_of_executed_units:\s+(\d+)", log, re.M)
        self.executions += int(counts[-1]) if counts else 0


def findings(folder: Path) -> list[Path]:
    """Return the files of a folder that show a finding."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix not in (".txt", ".log"))


def start(name: str, folder: Path, log: Path, *given: str | Path) -> tuple[int, str]:
    """Run the target to its end; return its exit code and what it said."""
    with log.open("ab") as stream:
        before = stream.tell()
        command = [sys.executable, TARGET, name, folder, *given]
        code = subprocess.run(command, stdout=stream, stderr=stream).returncode
    return code, log.read_bytes()[before:].decode(errors="replace")


def try_again(name: str, folder: Path, log: Path) -> None:
    """Try the findings of an earlier run, and keep those that are still there."""
    for path in findings(folder):
        content = path.read_bytes()
        path.unlink()
        path.with_suffix(".txt").unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            code, _ = start(name, folder, log, "-runs=1", file.name)
        if code and not path.exists():
            path.write_bytes(content)


def fuzz(name: str, folder: Path, minutes: float, seed: int) -> Tally:
    """Fuzz a reader, starting it anew where a finding ended it."""
    folder.mkdir(parents=True, exist_ok=True)
    log, tally = folder / "run.log", Tally()
    log.unlink(missing_ok=True)
    try_again(name, folder, log)
    end = time.monotonic() + 60 * minutes
    while len(tally.ended) < MAX_STARTS:
        seconds = int(end - time.monotonic())
        if tally.ended and seconds < LEAST_SECONDS:
            break
        flags = (f"-max_total_time={max(seconds, 1)}", f"-seed={seed + len(tally.ended)}")
        tally.add(*start(name, folder, log, *flags))
    return tally


def told(name: str, folder: Path, tally: Tally, seconds: float) -> str:
    """Return the summary of a reader."""
    covered = f"{tally.coverage[0]} -> {max(tally.coverage)}" if tally.coverage else "none"
    broken = sum(code != 0 for code in tally.ended)
    return (
        f"{name:14} {tally.executions:>9,} executions, {tally.executions / seconds:6.0f} a second,"
        f" coverage {covered}, {len(findings(folder))} findings"
        + (f", ended by {broken} of {len(tally.ended)} starts" if broken else "")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--reader", action="append", choices=NAMES, help="by default all")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--seed", type=int, default=int(time.time()) % (1 << 31))
    o = parser.parse_args()
    failed = []
    print(f"fuzz: seed {o.seed}, {o.minutes:g} min for each reader", flush=True)
    for name in o.reader or NAMES:
        folder, began = o.folder / name, time.monotonic()
        tally = fuzz(name, folder, o.minutes, o.seed)
        print(f"fuzz: {told(name, folder, tally, time.monotonic() - began)}", flush=True)
        if findings(folder) or any(tally.ended) or not tally.executions:
            failed.append(name)
            for path in findings(folder):
                print(f"fuzz:   {path}", flush=True)
    if failed:
        print(f"fuzz: findings in {', '.join(failed)}; see the texts and run.log beside them")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
