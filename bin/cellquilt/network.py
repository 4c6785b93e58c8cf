"""Running a SavedModel over a stream of tiles: device, batch size, read-ahead."""

import itertools
import logging
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from .errors import DataError

log = logging.getLogger("cellquilt")

MAX_BATCH = 255  # a 128-channel tensor of 256 x 256 px reaches 2^31 elements at 256
MIN_BATCH = 2  # oneDNN computes a batch of one in another order, 1e-6 away from all others
CPU_BATCH = 4  # larger ones are slower on CPU: 0.17 s a tile at 2 to 6, 0.28 at 12 (2 cores)
GPU_GB_FIXED = 1.5
GPU_GB_A_TILE = 0.25


def select_device(device: str, cpus: int) -> str:
    """Make TensorFlow use the device that was asked for, deterministically.

    Parameters
    ----------
    device : {'cpu', 'gpu'}
    cpus : int
        Number of threads; it does not change the result.

    Returns
    -------
    str
        What it is, for the log and the provenance.

    Raises
    ------
    DataError
        If a GPU was asked for and TensorFlow sees none.
    """
    tf.config.threading.set_intra_op_parallelism_threads(cpus)
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return "cpu"
    if not gpus:
        raise DataError(
            "--device gpu was asked for, but TensorFlow sees no GPU. Check the driver "
            "(nvidia-smi), the GPU image or wheel (tensorflow[and-cuda]) and the container's GPU "
            "option, or run with --device cpu."
        )
    tf.config.set_visible_devices(gpus[0], "GPU")
    tf.config.experimental.set_memory_growth(gpus[0], True)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    tf.config.experimental.enable_op_determinism()
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu"))


def auto_batch_size(device: str) -> int:
    """Return a batch size that fits the free memory of the device, at most 255."""
    if device == "cpu":
        return CPU_BATCH
    if shutil.which("nvidia-smi") is None:
        log.warning("segment: nvidia-smi not found, free GPU memory unknown; batches of 16")
        return 16
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    free_mib = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    free_gb = float(free_mib.splitlines()[0]) * 2**20 / 1e9
    fitting = int((free_gb - GPU_GB_FIXED) / GPU_GB_A_TILE)
    return max(MIN_BATCH, min(MAX_BATCH, fitting))


class Network:
    """A SavedModel that maps tiles to maps.

    Parameters
    ----------
    folder : Path
        SavedModel whose ``serving_default`` takes ``tiles`` (N, h, w, c) and gives ``maps``.
    batch_size : int
        Between 2 and 255; halved, for good, whenever the device runs out of memory.
    """

    def __init__(self, folder: Path, batch_size: int):
        try:
            self._model = tf.saved_model.load(str(folder))
        except OSError as error:
            raise DataError(f"{folder.name}: not a SavedModel ({error}).") from error
        self._call = self._model.signatures["serving_default"]
        self.batch_size = min(max(batch_size, MIN_BATCH), MAX_BATCH)
        if self.batch_size != batch_size:
            log.info("segment: batch size %d set to %d", batch_size, self.batch_size)

    def run(self, tiles: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the maps of each tile, in order.

        Batches are always full (the last is filled up with zeros), so that one graph serves
        all; the next is read while the device computes.

        Parameters
        ----------
        tiles : iterable of (h, w, c) ndarray of float32

        Yields
        ------
        (h, w, n) ndarray of float32
        """
        tiles = iter(tiles)
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._take, tiles)
            while batch := ahead.result():
                ahead = reader.submit(self._take, tiles)
                yield from self._run_batch(batch)

    def _take(self, tiles: Iterator[np.ndarray]) -> list[np.ndarray]:
        return list(itertools.islice(tiles, self.batch_size))

    def _run_batch(self, batch: list[np.ndarray]) -> Iterator[np.ndarray]:
        start = 0
        while start < len(batch):
            part = batch[start : start + self.batch_size]
            filled = np.zeros((self.batch_size, *part[0].shape), np.float32)
            filled[: len(part)] = part
            try:
                maps = self._call(tiles=tf.constant(filled))["maps"].numpy()
            except tf.errors.ResourceExhaustedError as error:
                if self.batch_size == MIN_BATCH:
                    raise MemoryError(
                        f"the device's memory does not hold a batch of {MIN_BATCH} tiles"
                    ) from error
                self.batch_size = max(self.batch_size // 2, MIN_BATCH)
                log.warning("segment: out of device memory; batch size now %d", self.batch_size)
                continue
            yield from maps[: len(part)]
            start += len(part)
