"""The ends of a network's heads, computed on processors outside of TensorFlow.

There the last upsampling, activation and 1 x 1 convolution are three passes over 128 channels of
every pixel, the first of them on one thread. Here they are one, on all threads.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
from cellquilt_kernels.heads import upsampled_sums


@dataclass(frozen=True)
class Ending:
    """The end of one head, which makes a map from its features.

    Attributes
    ----------
    kernel : (n, c) float32
        Of the last convolution, which gives n values a pixel: with one the map is what of it is
        positive, with two 1 / (1 + exp + exp), the second of a softmax's three classes.
    bias : (n,) float32
    """

    kernel: np.ndarray
    bias: np.ndarray

    def map_of(self, features: np.ndarray) -> np.ndarray:
        """Return the (2 h, 2 w) map of (h, w, c) features, both float32."""
        height, width, _ = features.shape
        values = np.empty((2 * height, 2 * width, len(self.kernel)), np.float32)
        upsampled_sums(features, self.kernel, values)
        values += self.bias
        if len(self.kernel) == 1:
            return np.maximum(values[..., 0], 0)
        np.exp(values, out=values)
        return 1 / (1 + (values[..., 0] + values[..., 1]))


def read_endings(named: Mapping[str, np.ndarray]) -> list[Ending]:
    """Return the endings that a SavedModel's signature ``endings`` gives, one a head."""
    endings = []
    for k in count():
        if f"kernel_{k}" not in named:
            return endings
        kernel = np.ascontiguousarray(named[f"kernel_{k}"].T)
        endings.append(Ending(kernel, named[f"bias_{k}"]))


class Heads:
    """All heads of a network.

    Parameters
    ----------
    endings : list of Ending
    cpus : int
        Threads.
    """

    def __init__(self, endings: Sequence[Ending], cpus: int):
        self._endings, self._threads = endings, ThreadPoolExecutor(cpus)

    def maps_of(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Return the (N, 2 h, 2 w, n) maps of n heads' (N, h, w, c) features, all float32."""
        n_tiles, height, width, _ = features[0].shape
        maps = np.empty((n_tiles, 2 * height, 2 * width, len(features)), np.float32)

        def write(tile: int, head: int) -> None:
            maps[tile, ..., head] = self._endings[head].map_of(features[head][tile])

        where = np.ndindex(n_tiles, len(features))
        list(self._threads.map(lambda place: write(*place), where))
        return maps
