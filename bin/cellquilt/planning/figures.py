"""What steps take for each pixel, tile and so on: measured figures, which a plan adds up."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ..errors import DataError, reason

_PATH = Path(__file__).with_name("figures.yaml")
BY_TILE = {"SEGMENT", "DETECT", "INFER"}  # whose networks a device runs tile by tile


@dataclass(frozen=True)
class Figures:
    """The figures of figures.yaml, which explains the units.

    Attributes
    ----------
    cells_per_model_mpx : float
    processor, memory, formats, work, results : dict of str to dict of str to float
        By step, format of EXPORT or kind of file, the seconds or GB by unit.
    tile_s, processor_tile_s : float
        On a device: seconds of it a tile, and of processors in place of the network's.
    source : str
        Whose the figures of the network are.
    """

    cells_per_model_mpx: float
    processor: Mapping[str, Mapping[str, float]]
    memory: Mapping[str, Mapping[str, float]]
    formats: Mapping[str, Mapping[str, float]]
    work: Mapping[str, Mapping[str, float]]
    results: Mapping[str, Mapping[str, float]]
    tile_s: float
    processor_tile_s: float
    source: str = "that come with Cellquilt"

    def start_s(self, step: str) -> float:
        """Return the processor time that a task takes to start."""
        return self.processor[step].get("task", 0.0)

    def processor_s(
        self, step: str, amounts: Mapping[str, float], on_device: bool = False
    ) -> float:
        """Return the processor time of a step but for the start of its tasks."""
        if on_device and step in BY_TILE:
            return amounts["tiles"] * self.processor_tile_s
        return _sum(self.processor[step], amounts)

    def format_s(self, name: str, amounts: Mapping[str, float]) -> float:
        """Return the processor time of a format of EXPORT."""
        return _sum(self.formats[name], amounts)

    def memory_gb(self, step: str, amounts: Mapping[str, float], n_tasks: int) -> float:
        """Return the memory of the largest of the equal tasks of a step."""
        return self.memory[step]["task"] + _sum(self.memory[step], amounts) / n_tasks

    def work_gb(self, kinds: Iterable[str], amounts: Mapping[str, float]) -> float:
        """Return how much the steps hand on to each other."""
        return sum(_sum(self.work[name], amounts) for name in kinds)

    def results_gb(self, formats: Iterable[str], amounts: Mapping[str, float]) -> float:
        """Return how much is published."""
        kinds = ["pages", "masks", "table", *formats]
        return sum(_sum(self.results[name], amounts) for name in kinds)


def read_figures(benchmark: Path | None = None) -> Figures:
    """Return the figures that come with Cellquilt, or those of the user's machine for the network.

    Parameters
    ----------
    benchmark : Path, optional
        recommendation.json of ``--mode benchmark``.

    Raises
    ------
    DataError
        If that is no such file, or has no measurement.
    """
    found = yaml.safe_load(_PATH.read_text())
    figures = Figures(
        found["cells_per_model_mpx"],
        found["processor_s"],
        found["memory_gb"],
        found["formats_s"],
        found["work_gb"],
        found["results_gb"],
        found["device"]["tile_s"],
        found["device"]["processor_tile_s"],
    )
    return _measured(figures, benchmark) if benchmark else figures


def _measured(figures: Figures, path: Path) -> Figures:
    """Return figures with a study's seconds a tile, start and memory of the network."""
    try:
        found = json.loads(path.read_text())
        best, where = found["recommended"], found["measured_on"][0]
        tile_s, start_s, memory_gb, cpus = (
            float(best[name])
            for name in ("seconds_per_tile", "start_s", "peak_memory_gb", "threads")
        )
        at_a_time = int(best["tasks"])
        device, name = str(where["device"]), str(where["device_name"] or where["processor"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{path}: has no measurement ({reason(error)}); give the recommendation.json that"
            " --mode benchmark writes"
        ) from error
    memory = {**figures.memory, "SEGMENT": {"task": memory_gb}}
    if device == "gpu":
        return replace(figures, tile_s=tile_s, memory=memory, source=f"measured on {name}")
    # Seconds of the clock, with so many processors busy
    rates = {"task": start_s, "tiles": tile_s * cpus * at_a_time}
    processor, source = {**figures.processor, "SEGMENT": rates}, str(where["processor"])
    return replace(figures, processor=processor, memory=memory, source=f"measured on {source}")


def _sum(rates: Mapping[str, float], amounts: Mapping[str, float]) -> float:
    return sum(rate * amounts[unit] for unit, rate in rates.items() if unit != "task")
