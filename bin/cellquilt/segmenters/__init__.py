"""The segmenters: which there are, and which module of this room runs each on a task."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..compartments import segmented
from ..networks.precision_check import MAX_MAP_DIFFERENCE

# The name that a user gives, and what people read. `segment(request)` of the module of that name
# writes a task's maps.
SEGMENTERS = {
    "mesmer": "Mesmer",
    "pixelcnn": "pixel classifiers",
}
DEFAULT = "mesmer"


@dataclass(frozen=True)
class Request:
    """What is asked of a segmenter for one task.

    Attributes
    ----------
    pixels : Path
        The task's store, as PATCH wrote it.
    networks : list of Path
    compartment : {'whole-cell', 'nuclear', 'both'}
    maps : Path
        Store to write, see `labelling.map_store`.
    device : {'cpu', 'gpu'}
    cpus : int
        Threads.
    batch_size : int, optional
        Tiles at a time; by default what is fastest in the free memory of the device.
    precision : {'float32', 'bfloat16', 'tf32'}
    xla : bool
    max_map_difference : float
        All three as in `networks.precision_check`.
    """

    pixels: Path
    networks: list[Path]
    compartment: str
    maps: Path
    device: str
    cpus: int
    batch_size: int | None = None
    precision: str = "float32"
    xla: bool = False
    max_map_difference: float = MAX_MAP_DIFFERENCE

    @property
    def compartments(self) -> tuple[str, ...]:
        """The compartments that are asked for: 'cell', 'nucleus' or both."""
        return segmented(self.compartment)


def title_of(name: str) -> str:
    """Return what people read of a segmenter; of one that is not Cellquilt's, its name."""
    return SEGMENTERS.get(name, name)


def runner(name: str) -> Callable[[Request], None]:
    """Return what runs a segmenter on a task; its libraries are imported here and not before."""
    return import_module(f".{name}", __name__).segment
