"""Training a U-Net, from nothing or further, and keeping its best state."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..cli import peak_memory_gb
from ..errors import DataError
from ..unet.network import build
from .fit import EVALUATIONS, Point, Trained
from .unet_patches import Batches
from .unet_recipe import GAP, KEEP, SIDE, Rates, Schedule

log = logging.getLogger("cellquilt")

VALIDATION_BATCHES = 3  # the same for every network, so that curves compare


@dataclass(frozen=True)
class UNetPoint(Point):
    """A point of a learning curve; cross-entropy and accuracy are of inside and outside."""

    train_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Judged:
    """How far a network's maps of patches are from what they should be."""

    loss: float
    cross_entropy: float
    accuracy: float


def loss_of(scores: tf.Tensor, depth: tf.Tensor, gaps: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of inside and outside, and the squared error of the depth."""
    inside = tf.cast(depth > 0, tf.float32)
    rim = tf.cast((depth > 0) & (depth < 0.35), tf.float32)  # where outlines are decided
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(inside, scores[..., 1:])
    error = (tf.sigmoid(scores[..., :1]) - depth) ** 2
    entropy *= 1 + rim + GAP * gaps
    error *= 1 + inside + GAP * gaps
    return tf.reduce_mean(entropy) + 4 * tf.reduce_mean(error)


class Training:
    """A network in training, whose state can be kept.

    Parameters
    ----------
    filters : sequence of int
    seed : int
        Of the initial weights.
    start : list of ndarray, optional
        Weights of a network that is trained further.
    """

    def __init__(self, filters: Sequence[int], seed: int, start: list[np.ndarray] | None = None):
        tf.config.experimental.enable_op_determinism()
        # Half the memory traffic; on processors with AMX a third of the time
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
        tf.keras.utils.set_random_seed(seed)
        self.model = build(filters, SIDE)
        tf.keras.mixed_precision.set_global_policy("float32")
        if start is not None:
            self.model.set_weights(start)
        self.step = 0
        self._variables = self.model.trainable_variables
        self._optimizer = tf.keras.optimizers.Adam(0.0, global_clipnorm=1.0)
        self._optimizer.build(self._variables)
        self._rate = tf.Variable(0.0)
        self.mean = [variable.numpy() for variable in self._variables]

    def keep(self, path: Path) -> None:
        """Write the state to an ``.npz``."""
        state = [*self._variables, *self._optimizer.variables]
        arrays = {f"v{k}": variable.numpy() for k, variable in enumerate(state)}
        arrays |= {f"a{k}": array for k, array in enumerate(self.mean)}
        np.savez(path, step=self.step, **arrays)

    def resume(self, path: Path) -> None:
        """Take a state that was kept."""
        with np.load(path) as kept:
            self.step = int(kept["step"])
            for k, variable in enumerate([*self._variables, *self._optimizer.variables]):
                variable.assign(kept[f"v{k}"])
            self.mean = [kept[f"a{k}"] for k in range(len(self.mean))]

    def steps(self, batches: Batches, schedule: Rates) -> Iterator[tuple[float, float]]:
        """Do steps until the schedule ends; yield the loss and the cross-entropy of each."""
        while self.step < schedule.steps:
            step = self.step
            self._rate.assign(schedule.rate_at(step))
            loss, entropy = self._learn(*map(tf.constant, batches.of(step)))
            self.step += 1
            keep = min(KEEP, self.step / (self.step + 9))
            for mean, variable in zip(self.mean, self._variables, strict=True):
                mean *= keep
                mean += (1 - keep) * variable.numpy()
            yield float(loss), float(entropy)

    def judge(self, patches: Sequence[tuple[np.ndarray, ...]]) -> Judged:
        """Return what the mean of the weights makes of batches of `Batches`."""
        own = [variable.numpy() for variable in self._variables]
        self._assign(self.mean)
        found = [self._compare(*map(tf.constant, batch)) for batch in patches]
        self._assign(own)
        return Judged(*np.mean(found, axis=0).tolist())

    def _assign(self, weights: list[np.ndarray]) -> None:
        for variable, array in zip(self._variables, weights, strict=True):
            variable.assign(array)

    @tf.function
    def _learn(self, pixels, depth, gaps):
        with tf.GradientTape() as tape:
            scores = self.model(pixels, training=True)
            loss = loss_of(scores, depth, gaps)
        self._optimizer.learning_rate.assign(self._rate)
        gradients = tape.gradient(loss, self._variables)
        self._optimizer.apply(gradients, self._variables)
        return loss, _cross_entropy(scores, depth)

    @tf.function
    def _compare(self, pixels, depth, gaps):
        scores = self.model(pixels, training=False)
        right = tf.cast((scores[..., 1:] > 0) == (depth > 0), tf.float32)
        loss = loss_of(scores, depth, gaps)
        return loss, _cross_entropy(scores, depth), tf.reduce_mean(right)


def _cross_entropy(scores: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    inside = tf.cast(depth > 0, tf.float32)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(inside, scores[..., 1:])
    return tf.reduce_mean(losses)


def train(
    name: str,
    filters: Sequence[int],
    learning: Batches,
    validation: Batches,
    schedule: Schedule,
    seed: int,
    start: list[np.ndarray] | None = None,
) -> Trained:
    """Train a network; of all its states, the one of smallest loss on validation is kept.

    Equal arguments give equal weights on one kind of CPU with one number of threads.

    Parameters
    ----------
    name : str
        Of the network, for the log.
    filters : sequence of int
    learning, validation : Batches
    schedule : Schedule
    seed : int
        Of initial weights.
    start : list of ndarray, optional
        Weights of a network that is trained further: the first of the states.
    """
    training = Training(filters, seed, start)
    held_out = [validation.of(number) for number in range(VALIDATION_BATCHES)]
    every = max(schedule.steps // EVALUATIONS, 1)
    begun, curve, losses = time.perf_counter(), [], []
    best, best_weights = None, training.mean
    if start is not None:
        best = _point(0, [], training.judge(held_out))
        best_weights, curve = [array.copy() for array in training.mean], [best]
    for loss in training.steps(learning, schedule):
        losses.append(loss)
        if training.step % every and training.step != schedule.steps:
            continue
        point = _point(training.step, losses, training.judge(held_out))
        if not np.isfinite(point.validation_loss):
            raise DataError(
                f"--learning_rate {schedule.learning_rate}: training diverged; lower it."
            )
        curve.append(point)
        losses = []
        _log_progress(name, point, schedule.steps, time.perf_counter() - begun)
        if best is None or point.validation_loss < best.validation_loss:
            best, best_weights = point, [array.copy() for array in training.mean]
        elif point.step - best.step >= schedule.patience * every:
            log.info("train: no better in %d evaluations, stopped", schedule.patience)
            break
    model = build(filters)
    model.set_weights(best_weights)
    return Trained(model, best.step, curve, time.perf_counter() - begun)


def _point(step: int, losses: list[tuple[float, float]], judged: Judged) -> UNetPoint:
    loss, entropy = np.mean(losses, axis=0).tolist() if losses else (np.nan, np.nan)
    return UNetPoint(step, entropy, judged.cross_entropy, judged.accuracy, loss, judged.loss)


def _log_progress(name: str, point: UNetPoint, steps: int, seconds: float) -> None:
    log.info(
        "train: %s: step %d/%d, loss %.3f, on validation %.3f, %.2f s a step, peak memory %.1f GB",
        *(name, point.step, steps, point.train_loss, point.validation_loss),
        *(seconds / point.step, peak_memory_gb()),
    )
