"""Overhead of the pipeline: wall-clock time in which no step computes.

A step computes from the end of its imports to the end of its main; every script logs these times.
The rest is Nextflow, starting interpreters, importing, staging and publishing.
"""

import os
import subprocess
import time
from pathlib import Path

import fixtures
from bench import ROOT, WORKED, Bench, Row, WorkerError

PATCHES = "mosaic 6144", 768, 16  # 8 x 8 patches, 4 tasks


def rows(bench: Bench) -> list[Row]:
    slide, patch_size, patches_per_task = PATCHES
    late = fixtures.start_of_segment(bench)["import_s"]
    image = fixtures.slide(bench, slide, 0.5)
    given = ["--image", image, "--nuclear", "nuclear", "--membrane", "membrane"]
    given += ["--patch_size", patch_size, "--patches_per_task", patches_per_task]
    return [
        row_of(bench, "the demo", ["-profile", "demo,local"], late, None),
        row_of(bench, "64 patches, 6,144^2 px", ["-profile", "local", *given], late, 5),
    ]


def row_of(bench: Bench, what: str, options: list[object], late: float, bar) -> Row:
    """Run the pipeline and return the overhead's share of its wall clock; 20 % is 5x."""
    folder = bench.scratch / what.partition(",")[0].replace(" ", "-")
    folder.mkdir()
    command = [ROOT / "tools" / "nextflow", "run", ROOT, *options, "--accept_mesmer_license"]
    start = time.perf_counter()
    done = subprocess.run(
        [*map(str, command), "--outdir", "results", "-work-dir", "work"],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise WorkerError(f"nextflow run, {what}:\n" + "\n".join(done.stdout.splitlines()[-15:]))
    intervals = worked(folder / "work", late)
    work = covered(intervals)
    return Row(
        f"pipeline overhead, {what}",
        "its wall clock",
        wall - work,
        wall,
        None,
        f"no step computes in {(wall - work) / wall:.0%} of the wall-clock time "
        f"({len(intervals)} tasks; TensorFlow's import, {late:.1f} s per SEGMENT task, counts as "
        "overhead)" + ("; target: below 20 %" if bar else ""),
        bar,
    )


def worked(folder: Path, late: float) -> list[tuple[float, float]]:
    """Return from when to when each task worked, by its log."""
    intervals = []
    for log in sorted(folder.glob("*/*/.command.log")):
        for script, _, start, end in WORKED.findall(log.read_text()):
            first = float(start) + (late if script == "segment" else 0)
            intervals.append((min(first, float(end)), float(end)))
    return intervals


def covered(intervals: list[tuple[float, float]]) -> float:
    """Return how many seconds lie in at least one of the intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return total
