"""The sizes of a U-Net, known and checked without TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import DataError
from ..tiling.lattice import STRIDE, TILE
from .card import CHANNELS, MAPS, MAX_FILTERS, MAX_LEVELS, are_filters

START = "nuclei"  # what may be trained further: the network of --segmenter nuclei


@dataclass(frozen=True)
class UNet:
    """A network that takes a tile to two maps of its nuclei.

    Attributes
    ----------
    name : str
    filters : tuple of int
        Of each level, from the whole tile down.
    has_start : bool
        Whether it is trained further from the network of ``--segmenter nuclei``.
    radius : int
        How many pixels around a part of an image are seen with it, when the part is judged.
    """

    name: str
    filters: tuple[int, ...]
    has_start: bool
    radius = 32

    @property
    def n_parameters(self) -> int:
        """How many weights and biases it has."""
        return n_weights(self.filters)

    @property
    def flops_a_patch(self) -> int:
        """Floating-point operations of a tile: two a multiplication and addition."""
        sides = [TILE >> level for level in range(len(self.filters))]
        every = list(zip(_down(self.filters), sides, strict=True))
        every += list(zip(_up(self.filters), sides, strict=False))
        pairs = sum((n_in + n) * n * 9 * side**2 for (n_in, n), side in every)
        return 2 * (pairs + self.filters[0] * len(MAPS) * TILE**2)

    @property
    def flops_a_pixel(self) -> int:
        """Those of a pixel of a slide, whose tiles overlap."""
        return round(self.flops_a_patch / STRIDE**2)


def n_weights(filters: Sequence[int]) -> int:
    """Return how many weights and biases a network has."""
    every = _down(filters) + _up(filters)
    convolutions = sum((9 * n_in + 1) * n + (9 * n + 1) * n for n_in, n in every)
    return convolutions + (filters[0] + 1) * len(MAPS)


def _down(filters: Sequence[int]) -> list[tuple[int, int]]:
    """Return how many maps go into each level of the encoder, and its filters."""
    return list(zip((len(CHANNELS), *filters), filters, strict=False))


def _up(filters: Sequence[int]) -> list[tuple[int, int]]:
    """Return the same of the decoder."""
    return [(below + n, n) for n, below in pairwise(filters)]


def from_table(name: str, entry: dict, source: str) -> UNet:
    """Return the network that an entry of the table of architectures describes.

    Parameters
    ----------
    name : str
    entry : dict
        ``filters``, and ``start`` where it is trained further.
    source : str
        What the table is called in an error.

    Raises
    ------
    DataError
        If the entry is of another form.
    """
    where = f"{source}, architecture {name}"
    if not set(entry) <= {"filters", "start"} or entry.get("start", START) != START:
        raise DataError(
            f"{where}: a U-Net has 'filters' and, to be trained further, 'start: {START}', and"
            " nothing else."
        )
    if not are_filters(entry["filters"]):
        raise DataError(
            f"{where}: 'filters' must be a list of 2 to {MAX_LEVELS} whole numbers from 1 to"
            f" {MAX_FILTERS}."
        )
    return UNet(name, tuple(entry["filters"]), "start" in entry)
