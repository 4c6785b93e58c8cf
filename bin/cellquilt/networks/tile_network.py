"""Running a network over a stream of tiles: device, precision, batches, read-ahead."""

import copy
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..cli import cpu_count
from ..errors import DataError, reason
from . import gpu_lock, heads
from .batch_size import (
    MAX_BATCH,
    MIN_BATCH,
    fastest_batch,
    free_gpu_memory,
    largest_batch,
    within_limits,
)

log = logging.getLogger("cellquilt")

PRECISION_DEVICE = {"bfloat16": "cpu", "tf32": "gpu"}


@dataclass(frozen=True)
class Mode:
    """How the network is computed.

    ``bfloat16`` is TensorFlow's mixed precision of oneDNN, ``tf32`` that of NVIDIA's tensor
    cores; ``xla`` compiles the network, which changes the order of sums.
    """

    precision: str = "float32"
    xla: bool = False

    @property
    def exact(self) -> bool:
        """Whether the maps are within 1e-5 of deepcell's."""
        return self == Mode()

    def check(self, device: str) -> None:
        """Raise `DataError` if the mode is not one of the device."""
        needed = PRECISION_DEVICE.get(self.precision, device)
        if device != needed:
            raise DataError(
                f"--precision {self.precision} needs --device {needed}; leave it out on {device}."
            )
        if self.xla and self.precision == "bfloat16":
            raise DataError(
                "--xla and --precision bfloat16 cannot be combined: XLA would compute in float32."
            )

    def activate(self) -> None:
        """Have TensorFlow compute in this precision from now on."""
        half = self.precision == "bfloat16"
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": half})
        tf.config.experimental.enable_tensor_float_32_execution(self.precision == "tf32")


_selected: dict[str, str] = {}  # what `select_device` returned in this process, by device
_gpu: dict[str, str] = {}  # the UUID of the one that TensorFlow uses in this process, if known


def select_device(
    device: str,
    cpus: int,
    tasks_per_gpu: int = 1,
    gpu_locks: Path = gpu_lock.FOLDER,
    taken: gpu_lock.Held | None = None,
) -> str:
    """Make TensorFlow use the device that was asked for, deterministically.

    Of several GPUs it is one that is free, and this process's until it ends: another segmenter in
    the same process uses the same. Where none is free, this waits.

    Parameters
    ----------
    device : {'cpu', 'gpu'}
    cpus : int
        Number of threads; it does not change the result.
    tasks_per_gpu : int
    gpu_locks : Path
        Both as in `gpu_lock.take`.
    taken : Held, optional
        The GPU, where the process that started this one has taken it.

    Returns
    -------
    str
        What it is, for the log and the provenance.

    Raises
    ------
    DataError
        If a GPU was asked for and TensorFlow sees none, or runs in this process with other devices.
    """
    if device in _selected and taken is None:
        return _selected[device]
    _set_threads(cpus)
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        _see([])
        return _selected.setdefault(device, "cpu")
    if not gpus:
        raise DataError(
            "--device gpu was requested, but TensorFlow sees no GPU. Check the driver "
            "(nvidia-smi), the GPU image or wheel (tensorflow[and-cuda]) and the container's GPU "
            "option, or run with --device cpu."
        )
    taken = taken or gpu_lock.take(gpu_lock.read_uuids(), tasks_per_gpu, gpu_locks)
    gpu, _gpu["uuid"] = gpus[taken.index], taken.uuid
    _see([gpu])
    tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    name = str(tf.config.experimental.get_device_details(gpu).get("device_name", "gpu"))
    _selected[device] = name
    return name


def _set_threads(cpus: int) -> None:
    """Set TensorFlow's threads; where a program runs it already, they stay as they are."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(cpus)
        # some layers take one thread only, so that those of Mesmer's four heads run side by side
        tf.config.threading.set_inter_op_parallelism_threads(cpus)
    except RuntimeError:
        log.info("network: TensorFlow runs in this program already, with threads of its own")


def _see(gpus: list) -> None:
    """Make TensorFlow use these GPUs and no others."""
    try:
        tf.config.set_visible_devices(gpus, "GPU")
    except RuntimeError as error:
        raise DataError(
            "TensorFlow runs in this program already, with other devices; segment first, or in a"
            " program of its own."
        ) from error


type Function = Callable[[tf.Tensor], tf.Tensor | list[tf.Tensor]]


class TileNetwork:
    """A network that maps tiles of one size to maps.

    Parameters
    ----------
    function : callable
        Takes (N, h, w, c) float32 tiles and gives their (N, h', w', n) maps.
    tile_shape : tuple of int
        h, w and c.
    batch_size : int
        Between 2 and 255; halved, for good, whenever the device runs out of memory.
    mode : Mode
        By default float32.
    """

    def __init__(
        self,
        function: Function,
        tile_shape: tuple[int, int, int],
        batch_size: int,
        mode: Mode = Mode(),
    ):
        self._function, self._tile_shape = function, tuple(tile_shape)
        self._compiled = {}
        self.mode = mode
        self.batch_size = within_limits(batch_size)
        if self.batch_size != batch_size:
            log.info("network: batch size %d set to %d", batch_size, self.batch_size)

    def exact(self) -> "TileNetwork":
        """Return the same network in float32, without XLA."""
        other = copy.copy(self)
        other._compiled, other.mode = {}, Mode()
        return other

    def run(
        self, tiles: Iterable[np.ndarray], batch_size: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield the maps of each tile, in order.

        Batches are always full (the last is filled up with zeros), so that one graph serves
        all; while the device computes, the next is read, and whoever takes the maps works on the
        last. A tile's maps do not depend on the others in its batch, nor on its size.

        Parameters
        ----------
        tiles : iterable of (h, w, c) ndarray of float32
        batch_size : int, optional
            Smaller than the network's own, for few tiles; see `batch_size.even`.

        Yields
        ------
        (h, w, n) ndarray of float32
        """
        self.mode.activate()
        tiles, size = iter(tiles), batch_size or self.batch_size
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as device:
            ahead = reader.submit(self._take, tiles, size)
            maps = None
            while batch := ahead.result():
                ahead = reader.submit(self._take, tiles, min(size, self.batch_size))
                last, maps = maps, device.submit(self._run_batch, batch, size)
                if last:
                    yield from last.result()
            if maps:
                yield from maps.result()

    def throughput(self, batch_size: int) -> float:
        """Return how many tiles a second it computes in batches of this size.

        Raises
        ------
        MemoryError
            If the device cannot hold the batch.
        """
        self.mode.activate()
        batch = np.zeros((batch_size, *self._tile_shape), np.float32)
        try:
            self._call(batch)
            start = time.perf_counter()
            self._call(batch)
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"no room for {batch_size} tiles") from error
        return batch_size / (time.perf_counter() - start)

    @staticmethod
    def _take(tiles: Iterator[np.ndarray], size: int) -> list[np.ndarray]:
        return list(itertools.islice(tiles, size))

    def _call(self, batch: np.ndarray) -> np.ndarray:
        return self._compile(self._function, batch.shape)(tf.constant(batch)).numpy()

    def _compile(self, function: Function, shape: tuple[int, ...]) -> Function:
        """Return the graph that is compiled for batches of this very shape."""
        if shape not in self._compiled:
            signature = [tf.TensorSpec(shape, tf.float32)]
            # without autograph, which would write files to rewrite Python that needs none of it
            compiled = tf.function(function, signature, autograph=False, jit_compile=self.mode.xla)
            self._compiled[shape] = compiled.get_concrete_function()
        return self._compiled[shape]

    def _run_batch(self, batch: list[np.ndarray], size: int) -> list[np.ndarray]:
        start, found = 0, []
        while start < len(batch):
            size = min(size, self.batch_size)
            part = batch[start : start + size]
            filled = np.zeros((size, *part[0].shape), np.float32)
            filled[: len(part)] = part
            try:
                maps = self._call(filled)
            except tf.errors.ResourceExhaustedError as error:
                if size <= MIN_BATCH:
                    raise MemoryError(
                        f"the device's memory does not hold a batch of {MIN_BATCH} tiles"
                    ) from error
                self.batch_size = max(size // 2, MIN_BATCH)
                log.warning("network: out of device memory; batch size now %d", self.batch_size)
                continue
            found.extend(maps[: len(part)])
            start += len(part)
        return found


class SavedNetwork(TileNetwork):
    """A SavedModel whose ``serving_default`` takes tiles and gives their maps, and nothing else.

    Parameters
    ----------
    folder : Path
    batch_size, mode
        See `TileNetwork`.
    tile_shape : tuple of int, optional
        Height, width and channels of a tile, where the network leaves any of them open.
    n_maps : int, optional
        How many of its maps are given, the first ones; by default all.
    shown : str, optional
        Names the network in messages; by default the folder does.

    Attributes
    ----------
    takes, gives : tuple of (int or None)
        Shapes of a tile and of its maps as the network states them, None where it leaves one open.

    Raises
    ------
    DataError
        If the folder holds no SavedModel, or one of something else.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int,
        mode: Mode = Mode(),
        tile_shape: tuple[int, int, int] | None = None,
        n_maps: int | None = None,
        shown: str = "",
    ):
        shown = shown or folder.name
        try:
            self._model = tf.saved_model.load(str(folder))  # the signature does not keep it alive
        except OSError as error:
            raise DataError(f"{shown}: not a SavedModel ({reason(error)}).") from error
        if "serving_default" not in self._model.signatures:
            raise DataError(f"{shown}: has no signature serving_default; save it with one.")
        serve = self._model.signatures["serving_default"]
        taken, self.takes = _only("takes", serve.structured_input_signature[1], shown)
        given, self.gives = _only("gives", serve.structured_outputs, shown)

        def maps_of(tiles: tf.Tensor) -> tf.Tensor:
            maps = serve(**{taken: tiles})[given]
            return maps if n_maps is None else maps[..., :n_maps]

        super().__init__(maps_of, tile_shape or self.takes, batch_size, mode)


def _only(what: str, specs: dict, shown: str) -> tuple[str, tuple[int | None, ...]]:
    """Return the name of a signature's one tensor, and its shape without that of the batch."""
    if len(specs) != 1:
        raise DataError(
            f"{shown}: its serving_default {what} {', '.join(sorted(specs)) or 'nothing'}; it"
            " must take tiles and give maps, one tensor each."
        )
    ((name, spec),) = specs.items()
    if spec.dtype != tf.float32 or spec.shape.rank != 4:
        raise DataError(
            f"{shown}: what its serving_default {what} is {spec.dtype.name} of {spec.shape};"
            " it must be float32 of (batch, height, width, channels)."
        )
    return name, tuple(spec.shape)[1:]


class Network(SavedNetwork):
    """Mesmer's SavedModel, as MODEL wrote it.

    On processors, where it also gives its ``features`` and ``endings``, `heads.Heads` makes the
    maps of them: in two thirds of the time, with the same numbers but for their last digits.

    Parameters
    ----------
    folder, batch_size, mode
        See `SavedNetwork`.
    """

    def __init__(self, folder: Path, batch_size: int, mode: Mode = Mode()):
        super().__init__(folder, batch_size, mode)
        self._heads = None
        if "features" in self._model.signatures and not tf.config.get_visible_devices("GPU"):
            cpus = tf.config.threading.get_intra_op_parallelism_threads()
            named = self._model.signatures["endings"]()
            endings = heads.read_endings({name: part.numpy() for name, part in named.items()})
            self._heads = heads.Heads(endings, cpus or cpu_count())

    def _call(self, batch: np.ndarray) -> np.ndarray:
        if self._heads is None or self.mode.xla:
            return super()._call(batch)
        features = self._compile(self._features, batch.shape)(tf.constant(batch))
        return self._heads.maps_of([np.asarray(memoryview(part)) for part in features])

    def _features(self, tiles: tf.Tensor) -> list[tf.Tensor]:
        named = self._model.signatures["features"](tiles=tiles)
        return [named[f"features_{k}"] for k in range(len(named))]


def choose_batch_size(network: TileNetwork, device: str, limit: int = MAX_BATCH) -> None:
    """Give the network the fastest batch size, to `limit`, that fits the device's free memory."""
    largest = largest_batch(device, free_gpu_memory(_gpu["uuid"]) if device == "gpu" else None)
    network.batch_size = fastest_batch(min(largest, limit), network.throughput)
