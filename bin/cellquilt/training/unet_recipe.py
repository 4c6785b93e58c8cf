"""How U-Nets for nuclei are trained: every number of the recipe, for users' images and for ours."""

from dataclasses import dataclass
from itertools import product
from typing import Protocol

from ..labelling.thresholds import Thresholds

SIDE, BATCH = 160, 12  # of patches, px; patches a step
KEEP = 0.998  # of the running mean of the weights, which is what is written
GAP = 2.0  # weight in the loss, besides 1, of what is close to two nuclei
IOUS = (0.5, 0.75)  # at which objects are compared, to choose thresholds

# What thresholds are chosen from
_CHOICES = {
    "maxima_threshold": (0.2, 0.3, 0.4, 0.45, 0.5),  # higher ones merge crowded nuclei
    "interior_threshold": (0.25, 0.3),
    "radius": (1, 2),
}
_FIXED = {
    "interior_smooth": 0.0,
    "small_objects_threshold": 15,
    "fill_holes_threshold": 15,
}
CANDIDATES = [
    Thresholds(**dict(zip(_CHOICES, values, strict=True)), **_FIXED)
    for values in product(*_CHOICES.values())
]


class Rates(Protocol):
    """How many steps there are, and how fast each learns."""

    steps: int

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""


@dataclass(frozen=True)
class Schedule:
    """How long a network is trained, and how fast.

    Attributes
    ----------
    steps : int
        At most, of `BATCH` patches each.
    learning_rate : float
        Of Adam, once it has risen.
    patience : int
        Evaluations without a smaller loss on validation, after which training stops.
    warm_up : int
        First steps, at a rising rate.
    decay : int
        Last steps, at a falling rate.
    augment : {'none', 'flip', 'full'}
        See `VARIATIONS`.
    """

    steps: int = 2000
    learning_rate: float = 2e-3
    patience: int = 10
    warm_up: int = 100
    decay: int = 0
    augment: str = "flip"

    def rate_at(self, step: int) -> float:
        """Return the rate of a step, counted from 0."""
        falling = (self.steps - step) / max(self.decay, 1)
        return self.learning_rate * min((step + 1) / self.warm_up, 1, falling)


NEW = Schedule()
FURTHER = Schedule(steps=400, learning_rate=5e-4, warm_up=20)  # of a network that has learnt before


@dataclass(frozen=True)
class Variation:
    """How a patch differs from what is in the image.

    Attributes
    ----------
    is_turned : bool
        Whether it is turned and mirrored.
    has_contrast : bool
        Whether contrast, brightness and noise change.
    scale : float
        By how much at most it is enlarged, or made smaller.
    focus : float
        Share of the patches that lie around a nucleus; others lie anywhere.
    """

    is_turned: bool = False
    has_contrast: bool = False
    scale: float = 1.0
    focus: float = 0.75


# By --augment
VARIATIONS = {
    "none": Variation(),
    "flip": Variation(is_turned=True, scale=1.25),
    "full": Variation(is_turned=True, has_contrast=True, scale=1.25),
}
