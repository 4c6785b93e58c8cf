"""Timing of segmentation: the part of a measurement that runs in a separate process."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf

from ..cli import peak_memory_gb
from ..labelling.map_store import stored
from ..networks.tile_network import Mode, Network
from ..segmenters.mesmer import segment_task
from ..tiling.lattice import TILE


class TimedNetwork(Network):
    """A network that counts the seconds it reads, and those that its user waits for it.

    Reading is done ahead, so most of its seconds pass while the device computes.
    """

    def __init__(self, folder: Path, batch_size: int, mode: Mode):
        super().__init__(folder, batch_size, mode)
        self.reset()

    def reset(self) -> None:
        """Count from 0."""
        self.read_s, self.network_s = 0.0, 0.0

    def run(
        self, tiles: Iterable[np.ndarray], batch_size: int | None = None
    ) -> Iterator[np.ndarray]:
        """Do what `Network.run` does, and count."""
        outputs = super().run(self._reading(tiles), batch_size)
        while True:
            start = time.monotonic()
            maps = next(outputs, None)
            self.network_s += time.monotonic() - start
            if maps is None:
                return
            yield maps

    def _reading(self, tiles: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        source = iter(tiles)
        while True:
            start = time.monotonic()
            tile = next(source, None)
            self.read_s += time.monotonic() - start
            if tile is None:
                return
            yield tile


def load(model: Path, batch_size: int, mode: Mode) -> TimedNetwork:
    """Return a network that has computed its first batch, after which all take the same time."""
    network = TimedNetwork(model, batch_size, mode)
    list(network.run([np.zeros((TILE, TILE, 2), np.float32)] * network.batch_size))
    network.reset()
    return network


def segment_timed(
    tasks: Iterable[Path],
    network: TimedNetwork,
    device: str,
    card: dict,
    max_map_difference: float,
) -> dict:
    """Segment tasks one after the other, and return when, how long and in how much memory.

    Parameters
    ----------
    tasks : iterable of Path
        Stores of pixels, as PATCH wrote them.
    network : TimedNetwork
    device : str
        What it runs on.
    card : dict
        What the SavedModel is.
    max_map_difference : float
        See `gate.map_difference`.

    Returns
    -------
    dict
        ``started`` and ``ended`` by the machine's monotonic clock; seconds of reading
        (``read_s``), of waiting for the network (``network_s``) and of the rest, blending and
        writing (``blend_s``); peak memory of this process and, where TensorFlow reports it, of the
        GPU, in GB; ``batch_size_used``, smaller than asked where the device's memory ran out.
    """
    started = time.monotonic()
    with TemporaryDirectory(dir=".") as folder:
        for pixels in tasks:
            maps = Path(folder) / "maps.zip"
            segment_task(pixels, network, device, card, stored(maps), max_map_difference)
            maps.unlink()
    ended = time.monotonic()
    gpu = tf.config.get_visible_devices("GPU")
    return {
        "started": started,
        "ended": ended,
        "read_s": network.read_s,
        "network_s": network.network_s,
        "blend_s": ended - started - network.network_s,
        "peak_memory_gb": peak_memory_gb(),
        "device_memory_gb": (
            tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9 if gpu else None
        ),
        "batch_size_used": network.batch_size,
    }
