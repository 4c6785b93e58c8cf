"""The segmenters: which there are, and which module of this room runs each on a task."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from ..labelling.map_store import Destination
from ..networks import gpu_lock
from ..networks.precision_check import MAX_MAP_DIFFERENCE

# The name that a user gives, and what people read. `load(settings)` of the module of that name
# returns what computes the maps of tasks.
SEGMENTERS = {
    "mesmer": "Mesmer",
    "pixelcnn": "pixel classifiers",
}
OWN = "masks"  # of another tool, in the place of a segmenter's
CHOICES = (*SEGMENTERS, OWN)
DEFAULT = "mesmer"


@dataclass(frozen=True)
class Settings:
    """How a segmenter is to run, whatever the task.

    Attributes
    ----------
    networks : list of Path
    device : {'cpu', 'gpu'}
    cpus : int
        Threads.
    batch_size : int, optional
        Tiles at a time; by default what is fastest in the free memory of the device.
    precision : {'float32', 'bfloat16', 'tf32'}
    xla : bool
    max_map_difference : float
        All three as in `networks.precision_check`.
    tasks_per_gpu : int
    gpu_locks : Path
        Both as in `networks.gpu_lock.take`.
    """

    networks: list[Path]
    device: str
    cpus: int
    batch_size: int | None = None
    precision: str = "float32"
    xla: bool = False
    max_map_difference: float = MAX_MAP_DIFFERENCE
    tasks_per_gpu: int = 1
    gpu_locks: Path = gpu_lock.FOLDER


class Runner(Protocol):
    """A segmenter that is loaded."""

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        """Compute the maps of a task.

        Parameters
        ----------
        pixels : Path
            The task's store, as PATCH wrote it.
        compartment : {'whole-cell', 'nuclear', 'both'}
        destination : Destination
            What takes the maps.
        """


def title_of(name: str) -> str:
    """Return what people read of a segmenter; of one that is not Cellquilt's, its name."""
    return SEGMENTERS.get(name, "own masks" if name == OWN else name)


def load(name: str, settings: Settings) -> Runner:
    """Return a segmenter, loaded; its libraries are imported here and not before.

    Raises
    ------
    DataError
        If its networks are none of its own, or cannot run as asked.
    """
    return import_module(f".{name}", __name__).load(settings)
