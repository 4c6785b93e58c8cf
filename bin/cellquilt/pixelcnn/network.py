"""Pixel classifiers: as Keras networks of one field, and as the same weights over whole images.

Over an image, a pool of stride 2 becomes one of stride 1 whose window is dilated, and all that
follows is dilated by as much: every pixel then gets what the network makes of the field around
it, without a convolution being computed twice (Giusti et al., ICIP 2013,
https://arxiv.org/abs/1302.1700; Li et al., https://arxiv.org/abs/1412.4526).
"""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from .. import outputs
from ..errors import DataError, reason
from .architectures import CLASSES, Architecture, from_table
from .card import CARD, FORMAT, UNREADABLE, read_card


@dataclass(frozen=True)
class PixelNetwork:
    """A trained network and what is known of it.

    Attributes
    ----------
    architecture : Architecture
    card : dict
        See `pixel_card`.
    weights : list of (kernel, bias)
        Of its layers with weights; kernels (k, k, c_in, c_out), biases (c_out,), float32.
    """

    architecture: Architecture
    card: dict
    weights: list[tuple[np.ndarray, np.ndarray]]

    def dense(self, images: tf.Tensor) -> tf.Tensor:
        """Return the class probabilities of every pixel that has its whole field.

        Parameters
        ----------
        images : (n, h, w, c) tensor of float32

        Returns
        -------
        (n, h - field + 1, w - field + 1, 3) tensor of float32
            In the order of `CLASSES`.
        """
        values, dilation, weights = images, 1, iter(self.weights)
        last = len(self.architecture.layers) - 1
        for number, layer in enumerate(self.architecture.layers):
            if layer.kind == "pool":
                values = _pool(values, layer.size, dilation)
                dilation *= layer.size
                continue
            kernel, bias = next(weights)
            step = dilation if layer.size > 1 else 1
            values = tf.nn.conv2d(values, kernel, 1, "VALID", dilations=step) + bias
            if number < last:
                values = tf.nn.relu(values)
        return tf.nn.softmax(values)


def _pool(values: tf.Tensor, size: int, dilation: int) -> tf.Tensor:
    """Return the maximum of `size` x `size` pixels that lie `dilation` px apart, at every pixel."""
    reach = (size - 1) * dilation
    for axis in (1, 2):
        length = values.shape[axis] - reach
        starts = range(0, reach + 1, dilation)
        values = _maximum([_slice(values, axis, start, length) for start in starts])
    return values


def _slice(values: tf.Tensor, axis: int, start: int, length: int) -> tf.Tensor:
    part = slice(start, start + length)
    return values[:, part] if axis == 1 else values[:, :, part]


def _maximum(parts: list[tf.Tensor]) -> tf.Tensor:
    result = parts[0]
    for part in parts[1:]:
        result = tf.maximum(result, part)
    return result


def build(architecture: Architecture, n_channels: int, seed: int) -> tf.keras.Model:
    """Return an untrained network of one field.

    Parameters
    ----------
    architecture : Architecture
    n_channels : int
        Input channels.
    seed : int
        Of the initial weights (He et al., https://arxiv.org/abs/1502.01852).

    Returns
    -------
    Model
        From (n, field, field, c) to (n, 3) class scores, before softmax.
    """
    seeds = iter(np.random.SeedSequence(seed).generate_state(len(architecture.layers)))
    model = tf.keras.Sequential(name="pixel_classifier")
    model.add(tf.keras.Input((architecture.field, architecture.field, n_channels)))
    for layer in architecture.layers:
        if layer.kind == "pool":
            model.add(tf.keras.layers.MaxPooling2D(layer.size))
            continue
        last = layer is architecture.layers[-1]
        model.add(
            # a dense layer is a convolution of 1 x 1, since the field is one pixel by then
            tf.keras.layers.Conv2D(
                layer.filters,
                layer.size,
                activation=None if last else "relu",
                kernel_initializer=tf.keras.initializers.HeUniform(int(next(seeds))),
            )
        )
    model.add(tf.keras.layers.Flatten())
    return model


def network_of(model: tf.keras.Model, architecture: Architecture, card: dict) -> PixelNetwork:
    """Return the network whose weights a Keras model of one field holds."""
    arrays = model.get_weights()
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    return PixelNetwork(architecture, card, pairs)


def digest(weights: list[np.ndarray]) -> str:
    """Return the SHA-256 of a model's weights, in order."""
    state = hashlib.sha256()
    for array in weights:
        state.update(np.ascontiguousarray(array, "<f4"))
    return state.hexdigest()


def save(path: Path, model: tf.keras.Model, architecture: Architecture, card: dict) -> dict:
    """Write a model in Keras's format with its card inside, and return the whole card.

    Parameters
    ----------
    path : Path
        ``*.keras``
    model : Model
        As `build` gives it.
    architecture : Architecture
    card : dict
        What is to be said of it beside format, architecture, classes and digest.
    """
    whole = {
        "format": FORMAT,
        "architecture": architecture.name,
        **architecture.as_table(),
        "classes": list(CLASSES),
        "weights_sha256": digest(model.get_weights()),
        **card,
    }
    write(path, model, whole)
    return whole


def write(path: Path, model: tf.keras.Model, card: dict) -> None:
    """Write a model in Keras's format with a card inside."""
    with outputs.whole(path) as partial:
        model.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(zipfile.ZipInfo(CARD), json.dumps(card, indent=2) + "\n")


def _n_weights(architecture: Architecture, n_channels: int) -> int:
    total = 0
    for layer in architecture.layers:
        if layer.kind != "pool":
            total += (layer.size**2 * n_channels + 1) * layer.filters
            n_channels = layer.filters
    return total


def _check_weights(path: Path, expected: int) -> None:
    """Raise ValueError if the weights are not about so many bytes, before they take memory.

    They are unpacked once to see that they can be: HDF5, which unpacks them again, may print a
    traceback where they cannot.
    """
    with zipfile.ZipFile(path) as archive:
        weights = archive.getinfo("model.weights.h5")
        if not expected <= weights.file_size <= 2 * expected + (1 << 20):
            raise ValueError(f"{weights.file_size:,} bytes, and not the {expected:,} of its layers")
        archive.read(weights)


def load(path: Path) -> PixelNetwork:
    """Return a network that `save` wrote.

    Only its card and its arrays are read: the network is built again, so that nothing which a
    file may describe is ever run.

    Raises
    ------
    DataError
        If the file is not one, or its weights are not those that its card names.
    """
    card = read_card(path)
    table = {key: card[key] for key in ("patch", "layers")}
    architecture = from_table(card["architecture"], table, path.name)
    n_channels = len(card["channels"])
    n_weights = _n_weights(architecture, n_channels)
    model = with_weights(path, card, n_weights, lambda: build(architecture, n_channels, seed=0))
    return network_of(model, architecture, card)


def with_weights(
    path: Path, card: dict, n_weights: int, build: Callable[[], tf.keras.Model]
) -> tf.keras.Model:
    """Return a network that is built here, with the arrays of a file and nothing else of it.

    Parameters
    ----------
    path : Path
    card : dict
        The file's own.
    n_weights : int
        How many numbers the network has.
    build : callable
        Builds it; called once the file's arrays are known to be of that size.

    Raises
    ------
    DataError
        If the file's weights are not the network's, or not those that its card names.
    """
    try:
        _check_weights(path, 4 * n_weights)
        model = build()
        model.load_weights(path)
    except UNREADABLE as error:
        refused = [line for line in str(error).splitlines() if "ot allowed" in line]
        raise DataError(
            f"{path.name}: its weights cannot be read, or are not of the architecture that its "
            f"card names; train it again, or fetch it again. ({reason([*refused, error][0])})"
        ) from error
    if digest(model.get_weights()) != card["weights_sha256"]:
        raise DataError(
            f"{path.name}: its weights are not those that its card names; fetch it again."
        )
    return model
