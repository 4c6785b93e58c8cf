"""Nextflow's own time and memory in runs of many small slides: stub runs of the whole pipeline.

The processor time is that of the Java process alone, without its tasks, which are its children.
"""

import csv
import os
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, Bench, Row, WorkerError

N_ROWS = (1, 500, 2000)
JOBS, MEMORY_GB, CPU_S, GROWTH = 60, 1.5, 180, 4.5  # at most, and of 2,000 rows by that of 500


@dataclass(frozen=True)
class Run:
    """What a run of the pipeline took: jobs, and of Nextflow itself seconds and GB."""

    jobs: int
    cpu_s: float
    peak_gb: float
    wall_s: float


def rows(bench: Bench) -> list[Row]:
    image = bench.scratch / "slide.ome.tif"
    bench.call("runtime", "write_slide", path=image)
    one, some, many = (run(bench.scratch / f"rows-{n}", n, image) for n in N_ROWS)
    growth = (many.cpu_s - one.cpu_s) / (some.cpu_s - one.cpu_s)
    return [
        Row(
            f"Nextflow's own time, {N_ROWS[1]} rows",
            "3 minutes",
            some.cpu_s,
            CPU_S,
            some.jobs <= JOBS and some.peak_gb < MEMORY_GB,
            f"processor time; equal: {some.jobs} jobs, at most {JOBS}, and {some.peak_gb:.2f} GB "
            f"resident, below {MEMORY_GB}; {some.wall_s:.0f} s wall clock with the stubs",
            1,
        ),
        Row(
            f"Nextflow's own time, {N_ROWS[2]} rows",
            f"{GROWTH} times that of {N_ROWS[1]}",
            many.cpu_s,
            GROWTH * some.cpu_s,
            None,
            f"{many.cpu_s / some.cpu_s:.2f} times, {growth:.2f} times without the "
            f"{one.cpu_s:.1f} s of one row; {many.jobs} jobs, {many.peak_gb:.2f} GB, "
            f"{many.wall_s:.0f} s wall clock with the stubs",
            1,
        ),
    ]


def run(folder: Path, n_rows: int, image: Path) -> Run:
    """Run the pipeline as stub on a samplesheet whose rows name links to an image."""
    write_sheet(folder, n_rows, image)
    given = ["-stub", "-profile", "local", "--segmenter", "pixelcnn", "--input", "sheet.csv"]
    start = time.perf_counter()
    nextflow = subprocess.Popen(
        [ROOT / "tools" / "nextflow", "run", ROOT, *given],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=(folder / "said.txt").open("w"),
        stderr=subprocess.STDOUT,
    )
    peak_gb = 0.0
    while os.waitid(os.P_PID, nextflow.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        peak_gb = max(peak_gb, peak_memory_gb(nextflow.pid))
        time.sleep(0.2)
    wall_s, cpu_s = time.perf_counter() - start, cpu_seconds(nextflow.pid)
    if nextflow.wait():
        said = (folder / "said.txt").read_text().splitlines()
        raise WorkerError(f"nextflow run, {n_rows} rows:\n" + "\n".join(said[-15:]))
    trace = folder / "results" / "pipeline_info" / "execution_trace.txt"
    return Run(len(trace.read_text().splitlines()) - 1, cpu_s, peak_gb, wall_s)


def write_sheet(folder: Path, n_rows: int, image: Path) -> None:
    """Write ``sheet.csv`` of cores of tissue microarrays, 20 a patient, and their images."""
    (folder / "images").mkdir(parents=True)
    chosen = random.Random(0)
    with (folder / "sheet.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["sample", "image", "nuclear", "membrane", "cohort", "age", "treatment"])
        for index in range(n_rows):
            sample = f"patient{index // 20 + 1:03d}_core-{index % 20 + 1:02d}"
            (folder / "images" / f"{sample}.ome.tif").hardlink_to(image)
            own = chosen.choice("AB"), chosen.randint(20, 90), chosen.choice(["none", "drug"])
            table.writerow([sample, f"images/{sample}.ome.tif", "DAPI", "CD45;PanCK", *own])


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process without its children, also once it has ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_gb(pid: int) -> float:
    """Return the peak resident memory of a running process in GB, 0 once it has ended."""
    peak = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()
    return int(peak[0]) * 1024 / 1e9 if peak else 0.0


def write_slide(path: str) -> None:
    """Worker: write an OME-TIFF of 64 x 64 px with the channels that the samplesheets name."""
    import numpy as np
    import tifffile

    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45", "PanCK"]}}
    pixels = np.zeros((3, 64, 64), np.uint16)
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)
