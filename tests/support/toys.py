"""Small networks with a card whose maps depend on all of a tile, its borders included."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from .cards import card


class Toy(tf.Module):
    """Maps of what is bright, blurred with zeros around the tile: another tile, other maps.

    Parameters
    ----------
    side : int
        Of a tile.
    n_channels : int
    kind : {'maxima_interior', 'class_probabilities'}
        Of the maps: maxima and interior; or the probabilities of neither, a cell and its edge.
    """

    def __init__(self, side: int, n_channels: int = 1, kind: str = "maxima_interior"):
        super().__init__()
        y, x = np.mgrid[-7:8, -7:8]
        blur = np.exp(-(y**2 + x**2) / (2 * 2.5**2))
        weights = np.tile((blur / blur.sum() / n_channels)[..., None, None], (1, 1, n_channels, 1))
        self.kernel, self.kind = tf.Variable(weights, dtype=tf.float32), kind
        spec = tf.TensorSpec((None, side, side, n_channels), tf.float32, name="tiles")
        self.serve = tf.function(self._maps, input_signature=[spec])

    def _maps(self, tiles):
        blurred = tf.nn.conv2d(tiles, self.kernel, 1, "SAME")
        if self.kind == "maxima_interior":
            maps = [blurred, tf.sigmoid(20 * (blurred - 0.35))]
        else:
            scores = [0 * blurred, 20 * (blurred - 0.4), 4 - 20 * tf.abs(blurred - 0.35)]
            maps = [tf.nn.softmax(tf.concat(scores, -1))]
        return {"maps": tf.concat(maps, -1)}


def write_toy(folder: Path, module: tf.Module | None = None, **changes) -> Path:
    """Save a network and its card; return the folder."""
    said = card(**changes)
    module = module or Toy(said["tile"], len(said["channels"]))
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    (folder / "card.json").write_text(json.dumps(said))
    return folder
