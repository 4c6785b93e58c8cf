"""The ends of heads, against TensorFlow's layers and numbers that do not depend on a processor."""

import numpy as np
import pytest
import tensorflow as tf
from cellquilt_kernels.heads import upsampled_sums

from cellquilt.networks.heads import Ending, Heads, read_endings


def random_features(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def expected(features, kernel, bias):
    """Return what Keras gives for (N, h, w, c) features."""
    up = tf.keras.layers.UpSampling2D(2, interpolation="bilinear")(features)
    values = tf.nn.conv2d(tf.nn.relu(up), kernel.T[None, None], 1, "SAME") + bias
    if len(kernel) == 1:
        return tf.nn.relu(values)[..., 0].numpy()
    return (1 / (1 + tf.reduce_sum(tf.exp(values), -1))).numpy()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1, 16), (1, 5, 32), (7, 1, 16), (16, 24, 128)])
def test_maps_are_those_of_the_layers(shape, n):
    rng = np.random.default_rng(3)
    features, kernel = random_features(rng, 2, *shape), random_features(rng, n, shape[-1])
    ending = Ending(kernel / shape[-1], random_features(rng, n))
    found = [ending.map_of(tile) for tile in features]
    np.testing.assert_allclose(found, expected(features, ending.kernel, ending.bias), atol=2e-6)


def test_sums_are_added_in_sixteen_parts_on_every_processor():
    rng = np.random.default_rng(4)
    features, kernel = random_features(rng, 3, 4, 48), random_features(rng, 2, 48)
    found = np.empty((6, 8, 2), np.float32)
    upsampled_sums(features, kernel, found)
    three_quarters, quarter = np.float32(0.75), np.float32(0.25)

    def doubled(values):
        edge = np.pad(values, [(1, 1), *[(0, 0)] * (values.ndim - 1)], "edge")
        near, before, after = (part * w for part, w in (
            (values, three_quarters), (edge[:-2], quarter), (edge[2:], quarter)
        ))  # fmt: skip
        return np.stack([near + before, near + after], 1).reshape(-1, *values.shape[1:])

    up = np.maximum(doubled(doubled(features).swapaxes(0, 1)).swapaxes(0, 1), 0)
    parts = np.zeros((6, 8, 2, 16), np.float32)
    for c in range(0, 48, 16):
        parts += up[:, :, None, c : c + 16] * kernel[:, c : c + 16]
    sums = np.zeros((6, 8, 2), np.float32)
    for lane in range(16):
        sums += parts[..., lane]
    assert np.array_equal(found, sums)


@pytest.mark.parametrize(
    ("features", "kernel", "found"),
    [
        ((2, 2, 8), (1, 8), (4, 4, 1)),
        ((2, 2, 16), (3, 16), (4, 4, 3)),
        ((2, 2, 16), (1, 32), (4, 4, 1)),
        ((2, 2, 16), (1, 16), (4, 2, 1)),
        ((0, 2, 16), (1, 16), (0, 4, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(features, kernel, found):
    arrays = (np.zeros(shape, np.float32) for shape in (features, kernel, found))
    with pytest.raises(ValueError):
        upsampled_sums(*arrays)


def test_heads_give_the_maps_of_all_tiles_whatever_the_threads():
    rng = np.random.default_rng(5)
    named = {}
    for k, n in enumerate((1, 2, 2)):
        named |= {f"kernel_{k}": random_features(rng, 16, n), f"bias_{k}": random_features(rng, n)}
    endings = read_endings(named)
    features = [random_features(rng, 3, 4, 5, 16) for _ in endings]
    one, many = (Heads(endings, cpus).maps_of(features) for cpus in (1, 4))
    assert one.shape == (3, 8, 10, 3) and np.array_equal(one, many)
    for k, ending in enumerate(endings):
        for tile in range(3):
            assert np.array_equal(one[tile, ..., k], ending.map_of(features[k][tile]))
