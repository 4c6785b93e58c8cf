"""What the tasks of a run took, as Nextflow traced them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import DataError, reason

COLUMNS = ("step", "sample", "realtime_ms", "cpu_percent", "peak_rss_kb")
# In the order of the flow; what is not here comes after, by name.
ORDER = (
    *("GENERATE", "CHAIN", "INGEST", "PATCH", "SEGMENT", "CLASSIFY", "LABEL", "STITCH", "REPAIR"),
    *("QUANTIFY", "EXPORT", "EVALUATE", "DRAW"),
)


@dataclass(frozen=True)
class Step:
    """The tasks of a step.

    Attributes
    ----------
    name : str
    n_tasks : int
    seconds, longest : float
        Of all tasks together, and of the longest one.
    cpus : float
        Processors that were busy, on average over that time.
    mpx_per_s : float
        10^6 pixels of the slides it ran for, by `seconds`.
    peak_gb : float
        Largest resident memory of a task; 0 where it was not traced.
    """

    name: str
    n_tasks: int
    seconds: float
    longest: float
    cpus: float
    mpx_per_s: float
    peak_gb: float


def read(path: Path, mpx: Mapping[str, float]) -> list[Step]:
    """Return what each step took.

    Parameters
    ----------
    path : Path
        Table with tabs between `COLUMNS` and a row for each task. ``sample`` may be several, with
        ';' between them.
    mpx : dict
        10^6 pixels of each sample.

    Raises
    ------
    DataError
        If it is no such table.
    """
    try:
        tasks = pd.read_csv(
            path,
            sep="\t",
            dtype={"step": str, "sample": str},
            keep_default_na=False,  # a sample may be called NA
            na_values={name: [""] for name in COLUMNS[2:]},
        )
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as a table: {reason(error)}") from error
    if tuple(tasks.columns) != COLUMNS:
        raise DataError(f"{path}: must have the columns {', '.join(COLUMNS)}, with tabs between.")
    steps = [_step(str(name), rows, mpx) for name, rows in tasks.groupby("step")]
    order = {name: k for k, name in enumerate(ORDER)}
    return sorted(steps, key=lambda step: (order.get(step.name, len(order)), step.name))


def _step(name: str, tasks: pd.DataFrame, mpx: Mapping[str, float]) -> Step:
    seconds = tasks["realtime_ms"].fillna(0) / 1000
    total = float(seconds.sum())
    samples = {name for names in tasks["sample"] for name in names.split(";")}
    pixels = sum(mpx.get(sample, 0.0) for sample in samples)
    busy = float((seconds * tasks["cpu_percent"]).sum()) / 100
    return Step(
        name,
        len(tasks),
        total,
        float(seconds.max()),
        busy / total if total else 0.0,
        pixels / total if total else 0.0,
        float(tasks["peak_rss_kb"].fillna(0).max()) * 1024 / 1e9,
    )
