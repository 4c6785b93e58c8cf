"""Running pixel classifiers over the tiles of a task: class probabilities of every pixel."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from .. import provenance
from ..cli import Progress
from ..errors import DataError
from ..handoff import stores
from ..labelling.label import COMPARTMENTS
from ..labelling.pixel_maps import interior_of
from ..networks.segment import run_distinct
from ..networks.tile_network import TileNetwork
from ..tiling.lattice import STRIDE
from ..tiling.pixel_grid import MODEL_MPP
from ..training.pixel_classes import CELL, EDGE, Box
from .architectures import CLASSES
from .network import PixelNetwork
from .windows import CoreRows, TileSource, reflected

N_MAPS = 2 * len(COMPARTMENTS)


class PixelClassifier:
    """Networks for the compartments of a slide, as one function of tiles.

    Parameters
    ----------
    networks : list of PixelNetwork
        The probabilities of those for one compartment are averaged.

    Attributes
    ----------
    networks : dict
        Compartment to its networks.
    radius : int
        How many pixels around its core a tile needs.
    n_channels : int
        How many input channels the networks see, nuclear first.
    """

    def __init__(self, networks: list[PixelNetwork]):
        self.networks: dict[str, list[PixelNetwork]] = {}
        for network in networks:
            self.networks.setdefault(network.card["compartment"], []).append(network)
        self.radius = max(network.architecture.radius for network in networks)
        self.n_channels = max(len(network.card["channels"]) for network in networks)

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
            Cell and edge of whole cells, then of nuclei; 0 without networks for them.
        """
        found = []
        for compartment in COMPARTMENTS:
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


def check(cards: dict[str, dict], compartments: Iterable[str], slide: dict) -> None:
    """Raise `DataError` where networks do not fit what is asked of a slide.

    Parameters
    ----------
    cards : dict
        File name of each network to its card.
    compartments : iterable of str
        What is to be segmented.
    slide : dict
        Facts of the slide.
    """
    for compartment in compartments:
        if not any(card["compartment"] == compartment for card in cards.values()):
            raise DataError(
                f"--models {','.join(cards)}: none is a network for --compartment {compartment}; "
                "add one, or segment the other compartment alone."
            )
    used = {name: card for name, card in cards.items() if card["compartment"] in compartments}
    for name, card in used.items():
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


def thresholds_of(cards: Iterable[dict]) -> dict[str, dict]:
    """Return, by compartment, the mean of the thresholds that its networks were trained to."""
    found: dict[str, list[dict]] = {}
    for card in cards:
        found.setdefault(card["compartment"], []).append(card["thresholds"])
    return {
        compartment: {
            name: _mean([thresholds[name] for thresholds in (first, *rest)]) for name in first
        }
        for compartment, (first, *rest) in found.items()
    }


def _mean(values: list[float]) -> float:
    """Return the mean; of whole numbers the middle one, so that an odd side stays odd."""
    if all(isinstance(value, int) for value in values):
        return sorted(values)[len(values) // 2]
    return float(np.mean(values))


def classify(
    pixels: Path, classifier: PixelClassifier, network: TileNetwork, device: str, maps: Path
) -> None:
    """Write the class probabilities of one task.

    Parameters
    ----------
    pixels : Path
        A task's store, as PATCH wrote it.
    classifier : PixelClassifier
    network : TileNetwork
        It, in batches.
    device : str
        What it runs on, for the provenance.
    maps : Path
        Store to write: ``maps`` (4, h, w) float32 over the padded lattice that the task's tiles
        span, as `PixelClassifier` gives them, 0 where none was computed. Attributes as those of
        SEGMENT's, and ``thresholds`` of the watershed by compartment.
    """
    cards = [n.card for networks in classifier.networks.values() for n in networks]
    with stores.read(pixels) as task:
        source = TileSource(task, classifier.radius, classifier.n_channels)
        attributes = dict(task.attrs)
        tiles = source.tiles()
        kinds = [tuple(pair) for pair in attributes.get("blank_codes", [])]
        blanks = dict(zip(kinds, network.run(map(source.constant, kinds)), strict=True))
        attributes |= {
            "segmenter": "pixelcnn",
            "blank_interior_max": {
                compartment: max((_interior(m, i) for m in blanks.values()), default=0.0)
                for i, compartment in enumerate(COMPARTMENTS)
            },
            "thresholds": thresholds_of(cards),
            "model": {"name": "pixelcnn", "networks": cards},
            "provenance": [
                *attributes["provenance"],
                provenance.of_step("CLASSIFY", device=device, batch_size=network.batch_size),
            ],
        }
        progress = Progress("classify: tiles", len(tiles))
        with stores.create(maps, attributes) as result:
            shape = (N_MAPS, source.height, source.width)
            chunks = (1, STRIDE, stores.CHUNK)
            rows = CoreRows(stores.new_array(result, "maps", shape, "float32", chunks))
            outputs = run_distinct(map(source.read, tiles), network, blanks)
            for tile, output in zip(tiles, outputs, strict=True):
                rows.add(*source.place(tile), np.moveaxis(output, -1, 0))
                progress.add(pixels=STRIDE * STRIDE)
            rows.close()


def _interior(maps: np.ndarray, compartment: int) -> float:
    """Return the largest interior of a compartment in (h, w, 4) probabilities."""
    return float(interior_of(maps[..., 2 * compartment], maps[..., 2 * compartment + 1]).max())


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
    box : tuple of int
        y0, y1, x0, x1.

    Returns
    -------
    (4, y1 - y0, x1 - x0) ndarray of float32
    """
    y0, y1, x0, x1 = box
    height, width = y1 - y0, x1 - x0
    corners = [(y, x) for y in range(0, height, STRIDE) for x in range(0, width, STRIDE)]

    def window(y: int, x: int) -> np.ndarray:
        rows, cols = (
            reflected(start - radius, start + STRIDE + radius, size)
            for start, size in zip((y0 + y, x0 + x), image.shape, strict=False)
        )
        return image[np.ix_(rows, cols)]

    result = np.zeros((N_MAPS, height, width), np.float32)
    outputs = network.run(window(*corner) for corner in corners)
    for (y, x), output in zip(corners, outputs, strict=True):
        target = result[:, y : y + STRIDE, x : x + STRIDE]
        target[:] = np.moveaxis(output, -1, 0)[:, : target.shape[1], : target.shape[2]]
    return result
