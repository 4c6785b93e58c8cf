"""Architectures of pixel classifiers: their layers, sizes checked before anything runs."""

import re
import reprlib
from dataclasses import dataclass

from ..errors import DataError

NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"
CLASSES = ("other", "cell", "edge")
OTHER, CELL, EDGE = range(len(CLASSES))
MAX_FIELD = 65  # what lies around a task's pixels is 32 px wide
MAX_FILTERS = 4096  # a tile of the network would not fit most memories
_MAX_QUOTED = 200  # characters of a file's content in a message
_REPR = reprlib.Repr(maxlevel=3)


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    kind : {'conv', 'pool', 'dense'}
    size : int
        Side of the convolution or pool in pixels; 1 of a dense layer.
    filters : int
        Output channels; 0 of a pool, which keeps those that it gets.
    """

    kind: str
    size: int
    filters: int = 0


@dataclass(frozen=True)
class Architecture:
    """A network that takes the field around a pixel to the scores of its three classes.

    Attributes
    ----------
    name : str
    field : int
        Side of the field in pixels, odd: ``patch`` in files.
    layers : tuple of Layer
        The layer of the class scores included.
    """

    name: str
    field: int
    layers: tuple[Layer, ...]

    @property
    def radius(self) -> int:
        """How many pixels around a pixel its classes depend on."""
        return self.field // 2

    def as_table(self) -> dict:
        """Return the architecture in the form of the YAML file, without its name."""
        table = [
            {layer.kind: layer.filters}
            if layer.kind == "dense"
            else {layer.kind: layer.size} | ({"filters": layer.filters} if layer.filters else {})
            for layer in self.layers[:-1]
        ]
        return {"patch": self.field, "layers": table}

    def n_parameters(self, n_channels: int) -> int:
        """Return how many weights and biases a network of `n_channels` input channels has."""
        return sum(weights + layer.filters for layer, weights, _ in self._costs(n_channels))

    def flops_a_patch(self, n_channels: int) -> int:
        """Return the floating-point operations of one field: two a multiplication and addition."""
        return sum(2 * weights * side**2 for _, weights, side in self._costs(n_channels))

    def flops_a_pixel(self, n_channels: int) -> int:
        """Return those of one pixel where the network runs over the whole image at once."""
        return sum(2 * weights for _, weights, _ in self._costs(n_channels))

    def _costs(self, n_channels: int) -> list[tuple[Layer, int, int]]:
        """Return each layer with weights, their number, and the side of its map of a field."""
        found, side = [], self.field
        for layer in self.layers:
            side = _after(side, layer)
            if layer.filters:
                found.append((layer, layer.size**2 * n_channels * layer.filters, side))
                n_channels = layer.filters
        return found


def from_table(name: str, entry: dict, source: str) -> Architecture:
    """Return the architecture that an entry of the table describes.

    Parameters
    ----------
    name : str
    entry : dict
        ``patch`` and ``layers``, see training/architectures.yaml.
    source : str
        What the table is called in an error.

    Raises
    ------
    DataError
        If the entry is of another form, or its layers do not take the field to 1 x 1 px.
    """
    where = f"{source}, architecture {_quoted(name)}"
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise DataError(f"{where}: a name has letters, digits, '-' and '_' only.")
    if not isinstance(entry, dict) or set(entry) != {"patch", "layers"}:
        raise DataError(f"{where}: must have 'patch' and 'layers', and nothing else.")
    patch, rows = entry["patch"], entry["layers"]
    if not _is_count(patch) or patch % 2 == 0 or patch > MAX_FIELD:
        raise DataError(
            f"{where}: a patch of {_quoted(patch)} px cannot be used; its side must be odd, so "
            f"that one pixel is in the middle, and at most {MAX_FIELD}."
        )
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{where}: 'layers' must be a list.")
    layers = tuple(_layer(row, f"{where}, layer {i + 1}") for i, row in enumerate(rows))
    side, dense = patch, False
    for number, layer in enumerate(layers, start=1):
        if dense and layer.kind != "dense":
            raise DataError(f"{where}, layer {number}: only dense layers follow a dense layer.")
        if layer.kind == "dense" and side != 1:
            break
        if layer.kind == "pool" and side % layer.size:
            raise DataError(
                f"{where}, layer {number}: a pool of {layer.size} leaves a rest of the "
                f"{side} x {side} px that reach it; change the sizes before it."
            )
        if _after(side, layer) < 1:
            raise DataError(
                f"{where}, layer {number}: {layer.kind} {layer.size} is larger than the "
                f"{side} x {side} px that reach it."
            )
        side, dense = _after(side, layer), layer.kind == "dense"
    if side != 1:
        raise DataError(
            f"{where}: its layers take a patch of {patch} px to {side} x {side} px and not to "
            f"1 x 1; {'add a convolution of ' + str(side) if side > 1 else 'change a size'}, or "
            "change patch."
        )
    return Architecture(name, patch, (*layers, Layer("dense", 1, len(CLASSES))))


def _layer(row: object, where: str) -> Layer:
    if isinstance(row, dict) and all(_is_count(value) for value in row.values()):
        if set(row) == {"conv", "filters"}:
            return Layer("conv", row["conv"], row["filters"])
        if set(row) == {"pool"}:
            return Layer("pool", row["pool"])
        if set(row) == {"dense"}:
            return Layer("dense", 1, row["dense"])
    raise DataError(
        f"{where}: {_quoted(row)} is none of {{conv: size, filters: number}}, {{pool: size}} and "
        f"{{dense: number}}, with whole numbers from 1 to {MAX_FILTERS}."
    )


def _quoted(value: object) -> str:
    """Return what a file has in a place, cut: aliases of YAML make it longer than any memory."""
    try:
        return (value if isinstance(value, str) else _REPR.repr(value))[:_MAX_QUOTED]
    except ValueError:  # of a whole number of thousands of digits
        return "a number too long to be shown"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_FILTERS


def _after(side: int, layer: Layer) -> int:
    """Return the side of a map of `side` px after a layer."""
    return side // layer.size if layer.kind == "pool" else side - layer.size + 1
