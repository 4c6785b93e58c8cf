"""What a store of maps declares: for each compartment where its two maps lie, and how to use them.

LABEL reads this and nothing else of the segmenter that wrote the store.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from .pixel_maps import interior_of
from .thresholds import Thresholds

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
