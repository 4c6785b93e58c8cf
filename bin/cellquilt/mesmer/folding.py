"""Mesmer's Keras network with the same output and less work: what is linear is put together.

Runs in the deepcell environment (Python 3.10, TensorFlow 2.8). Everything is folded in float64
and rounded once, so that the folded network is no further from the exact result than the
original: on the CODEX tile it is 2.4e-6 from the network computed in float64, and deepcell 4.8e-6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tensorflow.keras import activations

from ..errors import DataError

ROUNDING = 2.0**-22  # a batch normalisation this close to doing nothing does nothing


@dataclass
class Step:
    """One layer of the network, by the names of the layers it takes.

    ``kernel`` (h, w, in, out) and ``bias``, (out,) or (1, height, width, out), are float64, and
    None where the layer is no convolution.
    """

    layer: tf.keras.layers.Layer
    inputs: list[str]
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None

    def is_a(self, kind: str) -> bool:
        """Whether the layer's class has this name."""
        return type(self.layer).__name__ == kind

    @property
    def linear(self) -> bool:
        """Whether it is a convolution and nothing more."""
        return self.kernel is not None and self.layer.activation is activations.linear


class FoldedNetwork(tf.Module):
    """A Keras network of four heads, folded; of each head the one map that is used.

    - Batch normalisations become part of the convolutions before them.
    - The first convolution, 1 x 1 over the pixels and their location, becomes part of the next.
    - A 1 x 1 convolution after a bilinear upsampling is done before it, on a quarter of the
      pixels: the weights of the upsampling sum to 1, so the two commute.
    - Of the three classes of a softmax, the second alone is computed.

    Its heads end alike: features, a bilinear upsampling, what of it is positive, and a 1 x 1
    convolution. What is after the features takes a third of a processor's time for a hundredth of
    the operations, so that `features` and `endings` serve those who do it themselves.

    Parameters
    ----------
    model : tf.keras.Model
        Mesmer's network, a flat graph of layers.

    Raises
    ------
    DataError
        If a layer with weights is neither a convolution nor a batch normalisation after one, or a
        head does not end as Mesmer's.
    """

    def __init__(self, model: tf.keras.Model):
        super().__init__()
        self._input = model.layers[0].name
        self._outputs = [_source(tensor) for tensor in model.outputs]
        steps = _read(model)
        _fold_norms(steps)
        _fold_location(steps, self._input)
        _upsample_last(steps)
        for name in self._outputs:
            _keep_second_class(steps, name)
        self._order = _needed(steps, self._outputs)
        self._steps = {name: steps[name] for name in self._order}
        self._endings = [_ending(steps, name) for name in self._outputs]
        for name, step in self._steps.items():
            if step.kernel is None and step.layer.weights:
                kind = type(step.layer).__name__
                raise DataError(f"not Mesmer's network (layer {name!r} is a {kind} with weights).")
        self._weights = [
            tf.Variable(array.astype(np.float32), trainable=False)
            for step in self._steps.values()
            if step.kernel is not None
            for array in (step.kernel, step.bias)
        ]

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        """Return the (N, 256, 256, 4) maps of (N, 256, 256, 2) tiles, both float32."""
        return tf.concat(self._values(tiles, self._outputs), axis=-1)

    def features(self, tiles: tf.Tensor) -> list[tf.Tensor]:
        """Return each head's (N, 128, 128, 128) features of (N, 256, 256, 2) tiles, float32."""
        return self._values(tiles, [features for features, _ in self._endings])

    def endings(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the last convolution of each head: kernel (128, n) and bias (n,), float64.

        With one value a pixel the map is what of it is positive, with two 1 / (1 + exp + exp).
        """
        convolutions = [self._steps[name] for _, name in self._endings]
        return [(step.kernel[0, 0], step.bias) for step in convolutions]

    def _values(self, tiles: tf.Tensor, wanted: list[str]) -> list[tf.Tensor]:
        """Return what the steps of these names give."""
        values, weights = {self._input: tiles}, iter(self._weights)
        variables = {
            name: (next(weights), next(weights))
            for name in self._order
            if self._steps[name].kernel is not None
        }
        for name in _needed(self._steps, wanted):
            step = self._steps[name]
            inputs = [values[source] for source in step.inputs]
            with tf.name_scope(name):
                if step.kernel is not None:
                    values[name] = _convolve(step, inputs[0], *variables[name])
                elif step.is_a("Softmax"):
                    values[name] = 1 / (1 + tf.reduce_sum(tf.exp(inputs[0]), -1, keepdims=True))
                else:
                    values[name] = step.layer(inputs if len(inputs) > 1 else inputs[0])
        return [values[name] for name in wanted]


def _source(tensor: tf.Tensor) -> str:
    """Return the name of the layer that a Keras tensor comes from."""
    return tensor._keras_history.layer.name


def _read(model: tf.keras.Model) -> dict[str, Step]:
    """Return the layers of a network, each after those that it takes."""
    steps = {}
    for layer in model.layers[1:]:
        step = Step(layer, [_source(tensor) for tensor in tf.nest.flatten(layer.input)])
        if step.is_a("Conv2D"):
            kernel, *bias = (array.astype(np.float64) for array in layer.get_weights())
            step.kernel, step.bias = kernel, bias[0] if bias else np.zeros(kernel.shape[-1])
        steps[layer.name] = step
    return steps


def _alone(steps: dict[str, Step], name: str, kind: str) -> bool:
    """Whether a step is of a kind, and a single other one takes it."""
    takers = [step for step in steps.values() if name in step.inputs]
    return name in steps and steps[name].is_a(kind) and len(takers) == 1


def _redirect(steps: dict[str, Step], old: str, new: str) -> None:
    """Have every step that takes `old` take `new`."""
    for step in steps.values():
        step.inputs = [new if name == old else name for name in step.inputs]


def _fold_norms(steps: dict[str, Step]) -> None:
    for name in [name for name, step in steps.items() if step.is_a("BatchNormalization")]:
        norm, (before,) = steps[name].layer, steps[name].inputs
        if not (_alone(steps, before, "Conv2D") and steps[before].linear):
            continue  # refused later, as a layer with weights
        mean = norm.moving_mean.numpy().astype(np.float64)
        scale = 1 / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)
        shift = norm.beta.numpy() if norm.center else np.zeros(mean.size)
        if norm.scale:
            scale = scale * norm.gamma.numpy()
        if not (mean.any() or shift.any()) and np.abs(scale - 1).max() <= ROUNDING:
            scale = np.ones(mean.size)
        convolution = steps[before]
        convolution.kernel = convolution.kernel * scale
        convolution.bias = (convolution.bias - mean) * scale + shift
        _redirect(steps, name, before)
        del steps[name]


def _fold_location(steps: dict[str, Step], network_input: str) -> None:
    """Make the first convolution part of the second, where both are as in Mesmer's network.

    The location of a pixel in its tile is constant, so what it adds becomes a map of biases.
    """
    first = next(name for name, step in steps.items() if step.kernel is not None)
    pad = next((name for name, step in steps.items() if first in step.inputs), "")
    second = next((name for name, step in steps.items() if pad in step.inputs), "")
    (joined,) = steps[first].inputs
    if not (
        _alone(steps, first, "Conv2D")
        and _alone(steps, pad, "ZeroPadding2D")
        and _alone(steps, joined, "Concatenate")
        and steps[first].linear
        and steps[first].kernel.shape[:2] == (1, 1)
        and steps[second].kernel is not None
        and steps[joined].inputs[0] == network_input
        and steps[steps[joined].inputs[1]].is_a("Location2D")
    ):
        return
    location = steps[steps[joined].inputs[1]].layer
    zeros = tf.zeros((1, *location.input_shape[1:]))
    mixing, n_channels = steps[first].kernel[0, 0], zeros.shape[-1]
    constant = location(zeros).numpy() @ mixing[n_channels:] + steps[first].bias
    margins = [(0, 0), *steps[pad].layer.padding, (0, 0)]
    target = steps[second]
    strides, padding = target.layer.strides, target.layer.padding.upper()
    constant = tf.nn.conv2d(np.pad(constant, margins), target.kernel, strides, padding).numpy()
    target.bias = constant + target.bias
    target.kernel = np.einsum("hwmo,im->hwio", target.kernel, mixing[:n_channels])
    steps[pad].inputs = [network_input]


def _upsample_last(steps: dict[str, Step]) -> None:
    """Do 1 x 1 convolutions before the bilinear upsamplings that they follow."""
    for name in list(steps):
        step, up = steps[name], steps[name].inputs[0]
        if (
            step.linear
            and step.kernel.shape[:2] == (1, 1)
            and step.layer.strides == (1, 1)
            and _alone(steps, up, "UpSampling2D")
            and steps[up].layer.interpolation == "bilinear"
        ):
            step.inputs = steps[up].inputs
            _redirect(steps, name, up)
            steps[up].inputs = [name]


def _keep_second_class(steps: dict[str, Step], name: str) -> None:
    """Have the convolution before a softmax give how far the other classes are above the second.

    exp(b) / (exp(a) + exp(b) + exp(c)) = 1 / (1 + exp(a - b) + exp(c - b)).
    """
    if steps[name].is_a("Softmax"):
        before = steps[steps[name].inputs[0]]
        before.kernel = np.delete(before.kernel - before.kernel[..., 1:2], 1, axis=-1)
        before.bias = np.delete(before.bias - before.bias[1], 1)


def _ending(steps: dict[str, Step], output: str) -> tuple[str, str]:
    """Return the names of the features and of the last convolution of a head."""
    last = steps[output].inputs[0]
    positive = steps[last].inputs[0]
    up = steps.get(positive, steps[last]).inputs[0]
    if not (
        (steps[output].is_a("Softmax") or _is_relu(steps[output]))
        and steps[last].linear
        and steps[last].kernel.shape[:2] == (1, 1)
        and _is_relu(steps[positive])
        and steps[up].is_a("UpSampling2D")
        and steps[up].layer.interpolation == "bilinear"
        and steps[up].layer.size == (2, 2)
    ):
        raise DataError(f"not Mesmer's network (layer {output!r} ends no head of its kind).")
    return steps[up].inputs[0], last


def _is_relu(step: Step) -> bool:
    return step.is_a("Activation") and step.layer.activation is activations.relu


def _needed(steps: dict[str, Step], outputs: list[str]) -> list[str]:
    """Return the names of the steps that the outputs need, each after those that it takes."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in steps and name not in order:
            for source in steps[name].inputs:
                visit(source)
            order[name] = None

    for name in outputs:
        visit(name)
    return list(order)


def _convolve(step: Step, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    layer = step.layer
    y = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
    y = tf.nn.bias_add(y, bias) if len(bias.shape) == 1 else y + bias
    return layer.activation(y)
