"""A small U-Net: of each pixel of a tile how deep in an object it is, and whether it is in one.

An encoder halves the tile at each level, a decoder doubles it again, and what the encoder had of a
level joins what the decoder has of it (Ronneberger et al., https://arxiv.org/abs/1505.04597).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from ..errors import DataError
from ..pixelcnn.network import digest, with_weights, write
from ..tiling.lattice import TILE
from ..tiling.pixel_grid import MODEL_MPP
from .architecture import n_weights
from .card import CHANNELS, FORMAT, MAPS, NORMALISATION, read_card


def build(filters: Sequence[int], side: int = TILE) -> tf.keras.Model:
    """Return an untrained network.

    Parameters
    ----------
    filters : sequence of int
        Of the two convolutions of each level, from the whole tile down.
    side : int
        Of a tile, in pixels; it can be halved at each level but the last.

    Returns
    -------
    Model
        From (n, side, side, 1) to (n, side, side, 2) scores: before a sigmoid, the distance to the
        object's border as a part of the object's largest, and whether there is an object.
    """
    layers = tf.keras.layers

    def convolved(values: tf.Tensor, filters: int) -> tf.Tensor:
        for _ in range(2):
            values = layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
            )(values)
        return values

    inputs = values = layers.Input((side, side, len(CHANNELS)))
    above = []
    for n in filters[:-1]:
        above.append(convolved(values, n))
        values = layers.MaxPool2D()(above[-1])
    values = convolved(values, filters[-1])
    for n in filters[-2::-1]:
        values = layers.Concatenate()([layers.UpSampling2D()(values), above.pop()])
        values = convolved(values, n)
    # float32 even where a training computes in another precision
    scores = layers.Conv2D(len(MAPS), 1, dtype="float32")(values)
    return tf.keras.Model(inputs, scores, name="unet")


@dataclass(frozen=True)
class TileMaps:
    """A trained network as a function of tiles.

    Attributes
    ----------
    model : Model
    card : dict
        See `card.read_card`.
    """

    model: tf.keras.Model
    card: dict
    tile_shape = (TILE, TILE, 2)

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        """Return the maps of tiles.

        Parameters
        ----------
        tiles : (n, 256, 256, c) tensor of float32
            Their first channel is the nuclear one.

        Returns
        -------
        (n, 256, 256, 2) tensor of float32
            Maxima and interior, see `maps_of`.
        """
        return maps_of(self.model(tiles[..., : len(CHANNELS)], training=False))


def maps_of(scores: tf.Tensor) -> tf.Tensor:
    """Return the maps that a network's scores stand for.

    The interior map is the probability of an object, half of it at its border and all of it in its
    middle: where objects touch there is no background, and they part along this valley.
    """
    distance, inside = tf.split(tf.sigmoid(scores), 2, axis=-1)
    return tf.concat([distance, inside * (1 + distance) / 2], axis=-1)


def save(path: Path, model: tf.keras.Model, filters: Sequence[int], card: dict) -> dict:
    """Write a trained model in Keras's format with its card inside, and return the whole card.

    Parameters
    ----------
    path : Path
        ``*.keras``
    model : Model
        As `build` gives it.
    filters : sequence of int
        Its own.
    card : dict
        What is to be said of it beside format, filters, input, maps and digest.
    """
    whole = {
        "format": FORMAT,
        "filters": list(filters),
        "channels": CHANNELS,
        "normalisation": NORMALISATION,
        "model_mpp": MODEL_MPP,
        "maps": MAPS,
        "n_parameters": n_weights(filters),
        "weights_sha256": digest(model.get_weights()),
        **card,
    }
    write(path, model, whole)
    return whole


def load(path: Path) -> TileMaps:
    """Return a network that `save` wrote, of which only its card and its arrays are read.

    Raises
    ------
    DataError
        If the file is not one, its weights are not those that its card names, or it was trained
        at another pixel size.
    """
    card = read_card(path)
    if card["model_mpp"] != MODEL_MPP:
        raise DataError(
            f"{path.name}: was trained at {card['model_mpp']} um/px, and slides are segmented at"
            f" {MODEL_MPP}; fetch it again."
        )
    filters = card["filters"]
    model = with_weights(path, card, n_weights(filters), lambda: build(filters))
    return TileMaps(model, card)
