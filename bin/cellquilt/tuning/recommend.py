"""What the rows of the batching study add up to: a table, and the fastest choice that fits."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

CHOICE = ("patch_size", "patches_per_task", "batch_size", "tasks")
RESULT = (
    "threads",
    "slide_mpx_per_s",
    "slide_s",
    "seconds_per_tile",
    "start_s",
    "tiles_per_mpx",
    "tile_redundancy",
    "peak_memory_gb",
    "device_memory_gb",
)
WHERE = ("device", "device_name", "processor", "precision", "xla")
GRID = (
    "patch_size",
    "patches_per_task",
    "slide_patches",
    "slide_tasks",
    "slide_tiles",
    "slide_mpx",
    "tiles_per_mpx",
    "tile_redundancy",
)
EQUALLY_FAST = 0.03  # what less than this separates is decided by memory


def read_rows(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the measurements as one table, smallest slide first, then by what was chosen.

    Adds ``slide_s``, the time that the whole slide takes: all its tiles as fast as those that
    were measured, and the start-up of its tasks, which a pipeline pays for each. Start-up depends
    on nothing but how many tasks start together, so its median over all such measurements counts.
    And ``slide_mpx_per_s``, the size of the slide in model pixels over that time.
    """
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    table = table.sort_values(["slide_mpx", "image", *CHOICE], ignore_index=True)
    start_s = table.groupby("tasks")["start_s"].transform("median")
    rounds = -(-table["slide_tasks"] // table["tasks"])
    table["slide_s"] = table["seconds_per_tile"] * table["slide_tiles"] + start_s * rounds
    table["slide_mpx_per_s"] = table["slide_mpx"] / table["slide_s"]
    return table


def refusals(table: pd.DataFrame, memory_gb: float | None) -> pd.Series:
    """Return why each measurement is no candidate, or "" where it is one.

    Parameters
    ----------
    table : DataFrame
        From `read_rows`.
    memory_gb : float or None
        What the tasks that run at the same time may take together; by default the memory of the
        machine that they were measured on.
    """
    limit = table["machine_memory_gb"] if memory_gb is None else memory_gb
    reasons = pd.Series("", table.index)
    reasons[table["tasks"] * table["peak_memory_gb"] > limit] = "more memory than there is"
    lowered = table["batch_size_used"] < table["batch_size"]
    reasons[lowered] = "smaller batches ran: the device's memory ran out, or above 255"
    return reasons.mask(table["seconds"].isna(), "a process was killed: memory ran out")


def fastest(candidates: pd.DataFrame) -> pd.Series:
    """Return the measurement of least slide time.

    Among those that are slower by less than 3 %, which is within what measurements differ by, the
    one of least memory (of all tasks that run at the same time) is taken.
    """
    near = candidates[candidates["slide_s"] <= candidates["slide_s"].min() * (1 + EQUALLY_FAST)]
    return near.loc[(near["tasks"] * near["peak_memory_gb"]).idxmin()]


def recommend(table: pd.DataFrame, memory_gb: float | None) -> dict:
    """Return the contents of recommendation.json.

    Parameters
    ----------
    table : DataFrame
        From `read_rows`.
    memory_gb : float or None
        As for `refusals`.

    Returns
    -------
    dict
        ``recommended``, the fastest choice for the largest slide, with ``command``, the pipeline's
        options for it, and ``tasks_at_a_time``, the lines of configuration that let so many
        tasks run; both None where nothing could be measured. ``by_image``, the fastest of each
        slide; ``tile_grid``, what cutting costs; ``not_candidates``, what was left out and why.
    """
    reasons = refusals(table, memory_gb)
    candidates = table[reasons == ""]
    by_image = [fastest(rows) for _, rows in candidates.groupby("image", sort=False)]
    choices = _records(pd.DataFrame(by_image, columns=["image", *CHOICE, *RESULT]))
    best = choices[-1] if choices else None
    return {
        "recommended": best,
        "command": best and command(best, table.iloc[0]),
        "tasks_at_a_time": best and tasks_at_a_time(best),
        "memory_gb": float(table["machine_memory_gb"].min() if memory_gb is None else memory_gb),
        "measured_on": _records(table[[*WHERE]].drop_duplicates()),
        "n_measurements": len(table),
        "by_image": choices,
        "tile_grid": _records(table[["image", *GRID]].drop_duplicates()),
        "not_candidates": _records(table[["image", *CHOICE]].assign(reason=reasons)[reasons != ""]),
    }


def _records(table: pd.DataFrame) -> list[dict]:
    """Return rows as JSON takes them, None for what is missing."""
    objects = table.convert_dtypes().astype(object)
    return objects.where(objects.notna(), None).to_dict("records")


def command(best: dict, where: pd.Series) -> str:
    """Return the options of the pipeline for a choice that was measured in one mode."""
    options = [f"--{name} {best[name]}" for name in CHOICE[:3]]
    options += [f"--precision {where['precision']}"] * (where["precision"] != "float32")
    options += ["--xla"] * bool(where["xla"])
    return " ".join(["nextflow run .", f"--device {where['device']}", *options])


def tasks_at_a_time(best: dict) -> str:
    """Return the configuration, for a file given by -c, that lets so many tasks run at a time."""
    limits = f"cpus = {best['threads']}; maxForks = {best['tasks']}"
    return f"process {{ withName: 'SEGMENT' {{ {limits} }} }}"
