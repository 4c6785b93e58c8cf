"""What the tasks of a run took, as Nextflow traced them, beside what they were planned to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import DataError, reason
from ..planning.figures import Figures
from ..planning.plan import Plan, Settings, Work, plan_run, total
from ..tiling.lattice import DEFAULT, Geometry
from ..tiling.regions import Regions

COLUMNS = ("step", "sample", "realtime_ms", "cpu_percent", "peak_rss_kb")
# In the order of the flow; what is not here comes after, by name.
ORDER = (
    *("GENERATE", "CHAIN", "INGEST", "PATCH"),
    *("SEGMENT", "DETECT", "CLASSIFY", "INFER", "LABEL"),
    *("STITCH", "ADOPT", "REPAIR", "QUANTIFY", "EXPORT", "EVALUATE", "DRAW", "CONTRAST"),
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
    planned_s : float or None
        Processor time in the plan of the slides that were segmented, of a step that has any.
    """

    name: str
    n_tasks: int
    seconds: float
    longest: float
    cpus: float
    mpx_per_s: float
    peak_gb: float
    planned_s: float | None = None

    @property
    def processor_s(self) -> float:
        """Processor time of all tasks together, in seconds."""
        return self.seconds * self.cpus


def read(path: Path) -> pd.DataFrame:
    """Return the tasks of a run.

    Parameters
    ----------
    path : Path
        Table with tabs between `COLUMNS` and a row for each task. ``sample`` may be several, with
        ';' between them.

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
    return tasks


def planned(
    samples: Sequence[dict], tasks: pd.DataFrame, settings: Settings, figures: Figures
) -> Plan:
    """Return the plan of the slides that were segmented.

    Parameters
    ----------
    samples : sequence of dict
        Contents of report.json, or `index.entry` of them.
    tasks : DataFrame
        See `read`; it tells which slides shared a task.
    settings : Settings
    figures : Figures
    """
    alone = set(tasks.loc[tasks["step"] == "INGEST", "sample"])
    bundles = {
        sample: names
        for names in tasks.loc[tasks["step"] == "CHAIN", "sample"]
        for sample in names.split(";")
        if sample not in alone
    }
    works = [_work(s, bundles.get(s.get("slide") or s["sample"])) for s in samples]
    return total(plan_run(works, settings, figures))


def _work(sample: dict, bundle: str | None) -> Work:
    image = sample["image"]
    tiles = sample.get("tiles")
    single = "nuclear" if sample["summary"]["n_cells"] is None else "whole-cell"
    return Work(
        image["height"],
        image["width"],
        image["mpp"],
        len(image["channels"]),
        len(image["nuclear"]) + len(image["membrane"]),
        single if sample["n_by_status"] is None else "both",
        bundle,
        Regions.of(sample),
        "nuclear" if sample.get("expand_um") else None,
        sample["segmenter"],
        sample.get("slide"),
        Geometry(*tiles) if tiles else DEFAULT,
    )


def steps(tasks: pd.DataFrame, mpx: Mapping[str, float], plan: Plan) -> list[Step]:
    """Return what each step took.

    Parameters
    ----------
    tasks : DataFrame
        See `read`.
    mpx : dict
        10^6 pixels of each sample.
    plan : Plan
        See `planned`.
    """
    found = [_step(str(name), rows, mpx, plan) for name, rows in tasks.groupby("step")]
    order = {name: k for k, name in enumerate(ORDER)}
    return sorted(found, key=lambda step: (order.get(step.name, len(order)), step.name))


def _step(name: str, tasks: pd.DataFrame, mpx: Mapping[str, float], plan: Plan) -> Step:
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
        plan.steps[name].processor_s if name in plan.steps else None,
    )
