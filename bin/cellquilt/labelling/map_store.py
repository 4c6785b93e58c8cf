"""What a task's maps declare: for each compartment where its two maps lie, and how to use them.

Labelling reads this and nothing else of the segmenter that computed them. They go to a store, or
to whatever else takes rows of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import zarr

from ..handoff import stores
from ..tiling.task_store import geometry_of
from .pixel_maps import interior_of
from .thresholds import Thresholds


class MapArray(Protocol):
    """Maps (n, h, w) float32, of which windows can be read."""

    def __getitem__(self, where: tuple[int, slice, slice]) -> np.ndarray:
        """Return a window (h, w) of a map."""


class MapRows(Protocol):
    """Takes the maps of a task, in rows from its first to its last.

    Attributes
    ----------
    shape : tuple of int
        Number, height and width of the maps.
    """

    shape: tuple[int, int, int]

    def write(self, start: int, rows: np.ndarray) -> None:
        """Take the next rows, (n, m, w) float32, of which `start` is the first."""


# Opens what takes the maps of a task: given the attributes of its store, and their shape
type Destination = Callable[[dict, tuple[int, int, int]], AbstractContextManager[MapRows]]

# The two maps of a compartment: the height of a cell's maximum and the probability of its
# interior, as Mesmer's; or the probabilities of the classes cell and edge, as a pixel classifier's.
MAXIMA_INTERIOR = "maxima_interior"
CLASS_PROBABILITIES = "class_probabilities"


@dataclass(frozen=True)
class CompartmentMaps:
    """The maps of one compartment.

    Attributes
    ----------
    kind : {'maxima_interior', 'class_probabilities'}
    planes : (int, int)
        Which two planes of the store's array ``maps`` they are.
    thresholds : Thresholds
        Of the watershed, where a user gives none.
    blank_interior_max : float
        The largest interior value of the constant tiles that PATCH skipped, 0 without any.
    """

    kind: str
    planes: tuple[int, int]
    thresholds: Thresholds
    blank_interior_max: float = 0.0

    def interior(self, maps: np.ndarray) -> np.ndarray:
        """Return the interior map, (h, w), of maps (h, w, n)."""
        first, second = (maps[..., plane] for plane in self.planes)
        return second if self.kind == MAXIMA_INTERIOR else interior_of(first, second)


def declare(
    compartments: Mapping[str, CompartmentMaps], blanks: Iterable[np.ndarray]
) -> dict[str, dict]:
    """Return the attribute ``compartments`` of a store of maps.

    Parameters
    ----------
    compartments : dict
        Compartment ('cell', 'nucleus') to its maps.
    blanks : iterable of (h, w, n) ndarray of float32
        What the network makes of the constant tiles that PATCH skipped.
    """
    blanks = list(blanks)
    found = {}
    for name, maps in compartments.items():
        highest = max((float(maps.interior(blank).max()) for blank in blanks), default=0.0)
        found[name] = asdict(replace(maps, blank_interior_max=highest))
    return found


def declared(attributes: dict) -> dict[str, CompartmentMaps]:
    """Return the maps that a store declares in its attributes, by compartment."""
    return {
        name: CompartmentMaps(
            maps["kind"],
            tuple(maps["planes"]),
            Thresholds(**maps["thresholds"]),
            maps["blank_interior_max"],
        )
        for name, maps in attributes["compartments"].items()
    }


def stored(path: Path) -> Destination:
    """Return what writes the maps of a task to a store.

    It has the array ``maps`` (n, h, w) float32 over the padded lattice that the task's tiles
    span, 0 where no tile was computed.
    """

    @contextmanager
    def opened(attributes: dict, shape: tuple[int, int, int]) -> Iterator[_StoredRows]:
        with stores.create(path, attributes) as group:
            chunks = (
                1,
                geometry_of(attributes).stride,
                stores.CHUNK,
            )  # rows come in bands of that height
            yield _StoredRows(stores.new_array(group, "maps", shape, "float32", chunks))

    return opened


class _StoredRows:
    def __init__(self, array: zarr.Array):
        self.shape, self._array = array.shape, array

    def write(self, start: int, rows: np.ndarray) -> None:
        self._array[:, start : start + rows.shape[1]] = rows
