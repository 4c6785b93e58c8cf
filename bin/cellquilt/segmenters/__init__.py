"""The segmenters: which there are, and which module of this room runs each on a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from ..errors import DataError
from ..labelling.map_store import Destination
from ..networks import gpu_lock
from ..networks.precision_check import MAX_MAP_DIFFERENCE
from ..pixelcnn.card import UNREADABLE, card_in
from ..unet.card import FORMAT

# The name that a user gives, and what people read. `load(settings)` of the module of that name
# returns what computes the maps of tasks, and `described(model)` what a paper says of it.
SEGMENTERS = {
    "mesmer": "Mesmer",
    "nuclei": "the network for nuclei",
    "pixelcnn": "pixel classifiers",
    "network": "network with a card",
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

    def refuse_precision(self) -> None:
        """Raise `DataError` where a precision is asked for that Mesmer alone has."""
        if self.precision != "float32" or self.xla:
            raise DataError("--precision and --xla are for --segmenter mesmer; leave them out.")

    def take_device(self) -> str:
        """Take what networks are to run on, and return its name, for the provenance."""
        from ..networks.tile_network import select_device

        return select_device(self.device, self.cpus, self.tasks_per_gpu, self.gpu_locks)


def trained_for(network: Path) -> str:
    """Return which segmenter takes a ``.keras`` file of ``--mode train``, by its card.

    What is no such file goes to pixel classifiers, which say what is wrong with it.
    """
    try:
        card = card_in(network)
    except UNREADABLE:
        return "pixelcnn"
    is_unet = isinstance(card, dict) and card.get("format") == FORMAT
    return "nuclei" if is_unet else "pixelcnn"


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


# What a paper says of all networks that see a slide as Mesmer does, and whose maps LABEL labels
NORMALISED = (
    "These images were normalised over the whole slide as Mesmer's software does [@mesmer], each"
    " by itself: clipped at the 99.9th percentile of its non-zero pixels, rescaled to the range"
    " from 0 to 1, and equalised by contrast-limited adaptive histogram equalisation [@clahe] with"
    " a kernel of 128 px."
)
WATERSHED = (
    "Objects were grown from the peaks of the network's maps by a marker-controlled watershed,"
    " that of Mesmer's software"
)


@dataclass(frozen=True)
class Described:
    """What a paper says of a segmenter and its model.

    A reference is ``[@key]`` in a text, or ``[@key,key]``, of those in `reports.references`.

    Attributes
    ----------
    network : str
        Continues "Segmentation was by".
    networks : dict
        Option of ``--compartment`` to what its networks are, where each has its own.
    normalised : str
        A sentence on what the network sees; empty where it sees the channels as they are.
    labelled : str
        Begins a sentence on how maps became objects, which ends with the thresholds.
    thresholds : dict
        Option of ``--compartment`` to the defaults of its thresholds by name.
    licences : tuple of str
        Sentences on who may use what.
    """

    network: str
    networks: Mapping[str, str] = field(default_factory=dict)
    normalised: str = ""
    labelled: str = ""
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    licences: tuple[str, ...] = ()


def described(name: str, model: Mapping) -> Described:
    """Return what a paper says of a segmenter.

    Parameters
    ----------
    name : str
        One that is not Cellquilt's is called by its name alone.
    model : dict
        As in provenance.json.
    """
    if name not in SEGMENTERS:
        return Described(given(name))
    return import_module(f".{name}", __name__).described(model)


def given(text: object) -> str:
    """Return a text that others gave on one line of at most 200 characters, without references."""
    return " ".join(str(text).split()).replace("[@", "[ @")[:200]
