"""Pixel classifiers as one function of tiles: class probabilities of every pixel."""

import numpy as np
import tensorflow as tf

from ..compartments import OPTIONS, option_of
from ..errors import DataError
from ..networks.tile_network import TileNetwork
from ..tiling.box import Box
from ..tiling.lattice import STRIDE
from ..tiling.pixel_grid import MODEL_MPP
from .architectures import CELL, CLASSES, EDGE
from .network import PixelNetwork
from .windows import reflected

# Which two of a classifier's maps are cell and edge of a compartment
PLANES = {name: (2 * number, 2 * number + 1) for number, name in enumerate(OPTIONS.values())}
N_MAPS = 2 * len(PLANES)


class PixelClassifier:
    """Networks for the compartments of a slide, as one function of tiles.

    Parameters
    ----------
    networks : list of PixelNetwork
        The probabilities of those for one compartment are averaged.

    Attributes
    ----------
    networks : dict
        Compartment ('cell', 'nucleus') to its networks.
    radius : int
        How many pixels around its core a tile needs.
    n_channels : int
        How many input channels the networks see, nuclear first.
    """

    def __init__(self, networks: list[PixelNetwork]):
        self.networks: dict[str, list[PixelNetwork]] = {}
        for network in networks:
            self.networks.setdefault(OPTIONS[network.card["compartment"]], []).append(network)
        self.radius = max(network.architecture.radius for network in networks)
        self.n_channels = max(len(network.card["channels"]) for network in networks)

    @property
    def cards(self) -> list[dict]:
        """The cards of all networks, by compartment."""
        return [network.card for networks in self.networks.values() for network in networks]

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what `__call__` takes."""
        side = STRIDE + 2 * self.radius
        return side, side, self.n_channels

    @property
    def max_batch(self) -> int:
        """Largest batch whose layers TensorFlow can count in 31 bits."""
        every = [network.architecture for some in self.networks.values() for network in some]
        widest = max(layer.filters for architecture in every for layer in architecture.layers)
        return (2**31 - 1) // (self.tile_shape[0] * self.tile_shape[1] * widest)

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        """Return the probabilities of the core of each tile.

        Parameters
        ----------
        tiles : (n, 192 + 2 radius, 192 + 2 radius, c) tensor of float32

        Returns
        -------
        (n, 192, 192, 4) tensor of float32
            Cell and edge of each compartment, see `PLANES`; 0 without networks for it.
        """
        found = []
        for compartment in PLANES:
            networks = self.networks.get(compartment, [])
            parts = [self._of_network(network, tiles) for network in networks]
            empty = tf.zeros((tiles.shape[0], STRIDE, STRIDE, 2))
            found.append(tf.add_n(parts) / len(parts) if parts else empty)
        return tf.concat(found, axis=-1)

    def _of_network(self, network: PixelNetwork, tiles: tf.Tensor) -> tf.Tensor:
        rest = self.radius - network.architecture.radius
        inner = slice(rest, tiles.shape[1] - rest)
        seen = tiles[:, inner, inner, : len(network.card["channels"])]
        return tf.gather(network.dense(seen), [CELL, EDGE], axis=-1)


def check(cards: dict[str, dict], compartments: tuple[str, ...], slide: dict) -> None:
    """Raise `DataError` where networks do not fit what is asked of a slide.

    Parameters
    ----------
    cards : dict
        File name of each network to its card.
    compartments : tuple of str
        What is to be segmented: 'cell', 'nucleus' or both.
    slide : dict
        Facts of the slide.
    """
    for compartment in compartments:
        option = option_of([compartment])
        if not any(card["compartment"] == option for card in cards.values()):
            raise DataError(
                f"--models {','.join(cards)}: none is a network for --compartment {option}; "
                "add one, or segment the other compartment alone."
            )
    for name, card in cards.items():
        if OPTIONS[card["compartment"]] not in compartments:
            continue
        if "membrane" in card["channels"] and not slide["membrane"]:
            raise DataError(
                f"{name}: needs a membrane channel, and the slide {slide['image']['name']} is "
                "given without; name one with --membrane."
            )
        if card["model_mpp"] != MODEL_MPP:
            raise DataError(
                f"{name}: was trained at {card['model_mpp']} um/px, and slides are segmented at "
                f"{MODEL_MPP}; train it again."
            )
        if list(card["classes"]) != list(CLASSES):
            raise DataError(f"{name}: its classes are not {', '.join(CLASSES)}; train it again.")


def classify_box(network: TileNetwork, radius: int, image: np.ndarray, box: Box) -> np.ndarray:
    """Return the probabilities of a box of an image that is in memory.

    Parameters
    ----------
    network : TileNetwork
        A `PixelClassifier` in batches.
    radius : int
        Its own.
    image : (h, w, c) ndarray of float32
        Reflected at its edges.
    box : Box

    Returns
    -------
    (4, h, w) ndarray of float32
    """
    height, width = box.shape
    corners = [(y, x) for y in range(0, height, STRIDE) for x in range(0, width, STRIDE)]

    def window(y: int, x: int) -> np.ndarray:
        rows, cols = (
            reflected(start - radius, start + STRIDE + radius, size)
            for start, size in zip((box.y0 + y, box.x0 + x), image.shape, strict=False)
        )
        return image[np.ix_(rows, cols)]

    result = np.zeros((N_MAPS, height, width), np.float32)
    outputs = network.run(window(*corner) for corner in corners)
    for (y, x), output in zip(corners, outputs, strict=True):
        target = result[:, y : y + STRIDE, x : x + STRIDE]
        target[:] = np.moveaxis(output, -1, 0)[:, : target.shape[1], : target.shape[2]]
    return result
