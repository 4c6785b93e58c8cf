"""Slides of one samplesheet, of which some are refused, run in bundles and step by step.

It takes minutes, so that tests share what it leaves; what they ask more, they ask on resume.
"""

import csv
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile
from system.faults.runs import Run

from cellquilt.synthetic.tissue import Tissue, generate_tissue

from .parsers import V1

SIDES = {"channel": 200, "first": 200, "large": 320, "later": 200, "nuclei": 200, "torn": 200}
# What each of the others refuses
REFUSED = {
    "channel": ("INGEST", "no nuclear channel 'HH3'"),
    "torn": ("INGEST", "torn.ome.tif"),
    "later": ("QUANTIFY", "later.ome.tif"),
}
GOOD = tuple(sample for sample in SIDES if sample not in REFUSED)
NUCLEI = ("nuclei", "later")  # which have no membrane
MAX_MPX = ("--bundle_max_mpx", "0.05")  # the large one has more
CHANNELS = ["DAPI", "CD45", "PanCK", "HLA"]

# With two slides a bundle, of all of them the task fails: of one each time as killed, of the others
# by a bug
FAILING = """
process {
    withName: 'CHAIN' {
        beforeScript = { metas*.id.contains('torn') ? 'exit 137' : 'exit 1' }
    }
}
"""


@dataclass(frozen=True)
class Cohort:
    """The folder of the slides and of two runs of them, which -resume goes on from."""

    folder: Path

    @property
    def bundled(self) -> Run:
        """The run in which all but the large one share a task."""
        return Run(self.folder / "bundled", ())

    @property
    def by_steps(self) -> Run:
        """The run in which all go step by step, since the tasks of their bundles failed."""
        return Run(self.folder / "by-steps", ())

    @cached_property
    def large(self) -> Tissue:
        """The tissue of the large slide, with its truth."""
        return _tissue("large")

    def write_sheet(self, folder: Path, samples: Iterable[str], **changes: str) -> Path:
        """Write the samplesheet of some of the slides, with what is changed of all of them."""
        rows = [_row(sample, self.folder) | changes for sample in samples]
        with (folder / "sheet.csv").open("w", newline="") as file:
            sheet = csv.DictWriter(file, rows[0])
            sheet.writeheader()
            sheet.writerows(rows)
        return folder / "sheet.csv"

    def resume_in(self, folder: Path) -> list[str | Path]:
        """Make a folder one that the runs are resumed in; return the options that do it."""
        shutil.copytree(self.folder / ".nextflow", folder / ".nextflow")
        return ["-work-dir", self.folder / "work", "-resume"]


def run_cohort(nextflow: Callable[..., subprocess.CompletedProcess], folder: Path) -> None:
    """Write the slides and run them, in bundles and then step by step.

    By the parser with which -resume sees other options.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
    folder.mkdir()
    for sample in SIDES:
        _write_slide(folder / f"{sample}.ome.tif", _tissue(sample).image[:3])
    _spoil_tile(folder / "later.ome.tif", CHANNELS.index("HLA"))
    torn = folder / "torn.ome.tif"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    cohort = Cohort(folder)
    cohort.write_sheet(folder, SIDES)
    (folder / "failing.config").write_text(FAILING)
    failing = ["-resume", "--bundle_slides", "2", "-c", "failing.config"]
    for run, options in ((cohort.bundled, MAX_MPX), (cohort.by_steps, failing)):
        given = ["--input", "sheet.csv", "--segmenter", "pixelcnn", *options]
        done = nextflow(*given, folder=folder, accept=False, env=V1)
        assert done.returncode == 1, done.stdout + done.stderr  # of those that are refused
        run.folder.mkdir()
        (run.folder / "log").write_text(done.stdout)
        (folder / "results").rename(run.results)


def _tissue(sample: str) -> Tissue:
    side = SIDES[sample]
    return generate_tissue(side, side, seed=list(SIDES).index(sample), empty_width=0)


def _row(sample: str, folder: Path) -> dict[str, str]:
    return {
        "sample": sample,
        "image": str(folder / f"{sample}.ome.tif"),
        "nuclear": "HH3" if sample == "channel" else "DAPI",
        "membrane": "" if sample in NUCLEI else "CD45;PanCK",
        "stage": "I",
    }


def _write_slide(path: Path, image: np.ndarray) -> None:
    """Write a slide in tiles, with its first channel once more as the last one."""
    metadata = {"axes": "CYX", "Channel": {"Name": CHANNELS}}
    metadata |= {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "minisblack"}
    image = np.concatenate([image, image[:1]])
    tifffile.imwrite(path, image, ome=True, metadata=metadata, **options)


def _spoil_tile(path: Path, channel: int) -> None:
    """Make a tile of a channel something that zlib cannot read."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[channel]
        start, n_bytes = page.dataoffsets[1], page.databytecounts[1]
    content = bytearray(path.read_bytes())
    content[start : start + n_bytes] = b"\x01" * n_bytes
    path.write_bytes(content)
