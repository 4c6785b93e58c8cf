"""Save networks with hostile content: python hostile_model.py FOLDER (deepcell environment).

Writes ``code``, with a layer of Python code, and ``graph``, whose graph writes a file; each would
create a file in FOLDER.
"""

import sys
from pathlib import Path

import tensorflow as tf

folder = Path(sys.argv[1])
ran = str(folder / "ran")


def touch(values):
    open(ran, "w").close()
    return values


class Writer(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 256, 256, 2))])
    def __call__(self, values):
        tf.io.write_file(ran, "x")
        return values


inputs = tf.keras.Input((256, 256, 2))
outputs = tf.keras.layers.Conv2D(1, 1)(tf.keras.layers.Lambda(touch)(inputs))
tf.keras.Model(inputs, [outputs] * 4).save(folder / "code")
tf.saved_model.save(Writer(), str(folder / "graph"))
Path(ran).unlink()
