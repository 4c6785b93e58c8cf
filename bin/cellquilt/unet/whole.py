"""The maps of an image that is in memory, from the tiles that DETECT would see."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ..tiling.lattice import STRIDE, TILE, Blender, plan
from .card import MAPS


def function_of(maps: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return maps of tiles as a function that is compiled for one tile of one channel."""
    signature = [tf.TensorSpec((1, TILE, TILE, 1))]
    return tf.function(lambda tiles: maps(tiles), input_signature=signature)


def maps_over(function: Callable[[tf.Tensor], tf.Tensor], pixels: np.ndarray) -> np.ndarray:
    """Return the maps of a normalised image, (2, h, w) float32, from blended tiles.

    Parameters
    ----------
    function : callable
        See `function_of`.
    pixels : (h, w) ndarray of float32
    """
    lattice = plan(*pixels.shape)
    rows, columns = (axis.source(0, axis.padded) for axis in (lattice.rows, lattice.cols))
    padded = pixels[np.ix_(rows, columns)]
    padded[rows < 0], padded[:, columns < 0] = 0, 0
    spans = range(lattice.rows.n_tiles), range(lattice.cols.n_tiles)
    blender, bands = Blender(lattice, *spans, len(MAPS)), []
    for row in spans[0]:
        for column in spans[1]:
            y, x = row * STRIDE, column * STRIDE
            tile = padded[y : y + TILE, x : x + TILE]
            blender.add(row, column, function(tf.constant(tile[None, ..., None])).numpy()[0])
        bands.append(blender.flush()[1])
    top, left = lattice.rows.before, lattice.cols.before
    height, width = pixels.shape
    return np.concatenate(bands, axis=1)[:, top : top + height, left : left + width]
