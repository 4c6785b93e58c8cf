"""Training a pixel classifier, and keeping its best state."""

import logging
import time
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from ..cli import peak_memory_gb
from ..errors import DataError
from ..pixelcnn.architectures import Architecture
from ..pixelcnn.network import build
from .examples import Fields, augmented

log = logging.getLogger("cellquilt")

EVALUATIONS = 40  # over all steps; patience is counted in them
VALIDATION_FIELDS = 1536
VALIDATION_SEED = 1_000_003  # the same fields for every network, so that curves compare


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    steps : int
        At most; one batch each.
    patience : int
        Evaluations without a smaller cross-entropy on validation, after which training stops.
    batch_size : int
        Fields a step, drawn uniformly over the classes.
    learning_rate : float
        Of ADAM (Kingma and Ba, https://arxiv.org/abs/1412.6980).
    augment : {'none', 'flip', 'full'}
        See `examples.augmented`.
    """

    steps: int = 4000
    patience: int = 10
    batch_size: int = 256
    learning_rate: float = 1e-4
    augment: str = "flip"


@dataclass(frozen=True)
class Point:
    """One point of a learning curve, on classes that are equally frequent."""

    step: int
    train_cross_entropy: float
    validation_cross_entropy: float
    validation_accuracy: float


@dataclass(frozen=True)
class Trained:
    """A network as it was best on validation, and how it came there."""

    model: tf.keras.Model
    best_step: int
    curve: list[Point]
    seconds: float


def train(
    architecture: Architecture,
    training: Fields,
    validation: Fields,
    n_channels: int,
    schedule: Schedule,
    seed: int,
) -> Trained:
    """Train a network from scratch.

    Equal arguments give equal weights on one kind of CPU with one number of threads.

    Parameters
    ----------
    architecture : Architecture
    training, validation : Fields
    n_channels : int
    schedule : Schedule
    seed : int
        Of initial weights, fields and augmentation.
    """
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)
    model = build(architecture, n_channels, seed)
    step_of = _compiled_step(model, schedule.learning_rate, training.side, n_channels)
    rng = np.random.Generator(np.random.PCG64(seed))
    fixed = np.random.Generator(np.random.PCG64(VALIDATION_SEED))
    held_out = validation.draw(fixed, VALIDATION_FIELDS)

    every = max(schedule.steps // EVALUATIONS, 1)
    start, curve, losses = time.perf_counter(), [], []
    best, best_weights = None, model.get_weights()
    for step in range(1, schedule.steps + 1):
        fields, classes = training.draw(rng, schedule.batch_size)
        losses.append(float(step_of(augmented(fields, rng, schedule.augment), classes)))
        if step % every and step != schedule.steps:
            continue
        point = Point(step, float(np.mean(losses)), *_evaluate(model, *held_out))
        if not np.isfinite(point.validation_cross_entropy):
            raise DataError(
                f"--learning_rate {schedule.learning_rate}: training diverged; lower it."
            )
        curve.append(point)
        losses = []
        _log_progress(architecture.name, seed, point, schedule.steps, time.perf_counter() - start)
        if best is None or point.validation_cross_entropy < best.validation_cross_entropy:
            best, best_weights = point, model.get_weights()
        elif point.step - best.step >= schedule.patience * every:
            log.info("train: no better in %d evaluations, stopped", schedule.patience)
            break
    model.set_weights(best_weights)
    return Trained(model, best.step, curve, time.perf_counter() - start)


def _compiled_step(model: tf.keras.Model, learning_rate: float, side: int, n_channels: int):
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    fields = tf.TensorSpec((None, side, side, n_channels), tf.float32)

    @tf.function(input_signature=[fields, tf.TensorSpec((None,), tf.int32)])
    def step(fields, classes):
        with tf.GradientTape() as tape:
            loss = _cross_entropy(model(fields, training=True), classes)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return step


def _cross_entropy(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, scores)
    return tf.reduce_mean(losses)


def _evaluate(
    model: tf.keras.Model, fields: np.ndarray, classes: np.ndarray
) -> tuple[float, float]:
    """Return cross-entropy and accuracy."""
    parts = np.array_split(fields, max(len(fields) // 512, 1))
    scores = np.concatenate([model(part, training=False).numpy() for part in parts])
    accuracy = (scores.argmax(axis=1) == classes).mean()
    return float(_cross_entropy(scores, classes)), float(accuracy)


def _log_progress(name: str, seed: int, point: Point, steps: int, seconds: float) -> None:
    log.info(
        "train: %s, seed %d: step %d/%d, cross-entropy %.3f, on validation %.3f, "
        "accuracy %.3f, %.1f steps/s, peak memory %.1f GB",
        *(name, seed, point.step, steps, point.train_cross_entropy),
        *(point.validation_cross_entropy, point.validation_accuracy),
        *(point.step / seconds, peak_memory_gb()),
    )


def as_rows(curve: list[Point]) -> list[dict]:
    """Return a learning curve as rows of a table."""
    return [asdict(point) for point in curve]
