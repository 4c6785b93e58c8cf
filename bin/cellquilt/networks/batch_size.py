"""How many tiles the network takes at a time: what fits the device, and what is fastest."""

import logging
import shutil
import subprocess
from collections.abc import Callable

log = logging.getLogger("cellquilt")

MAX_BATCH = 255  # a 128-channel tensor of 256 x 256 px reaches 2^31 elements at 256
MIN_BATCH = 2  # oneDNN computes a batch of one in another order, 1e-6 away from all others
CPU_BATCH = 4  # larger ones are slower on CPU: 0.17 s a tile at 2 to 6, 0.28 at 12 (2 cores)
FIRST_PROBE = 8
GPU_GB_FIXED = 1.5
GPU_GB_A_TILE = 0.25
# Batches of few tiles have one of these sizes, since a graph is compiled for each size
SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
WORTHWHILE = 1.03  # gain in throughput below which a batch of twice the size is not taken


def within_limits(batch_size: int) -> int:
    """Return the batch size nearest to `batch_size` that the network can take."""
    return min(max(batch_size, MIN_BATCH), MAX_BATCH)


def limit_of(tile: int) -> int:
    """Return the largest batch of tiles of this side, in pixels.

    >>> limit_of(256), limit_of(512), limit_of(64)
    (255, 63, 255)
    """
    return within_limits(MAX_BATCH * 256**2 // tile**2)


def even(n_tiles: int, batch_size: int) -> int:
    """Return the size of batches for so many tiles that leaves few places empty.

    >>> even(9, 4), even(9, 64), even(400, 64)
    (3, 12, 64)

    Parameters
    ----------
    n_tiles : int
    batch_size : int
        The largest to take.
    """
    n_batches = max(-(-n_tiles // batch_size), 1)
    wanted = -(-n_tiles // n_batches)
    return min((size for size in SIZES if wanted <= size <= batch_size), default=batch_size)


def free_gpu_memory(uuid: str = "") -> float | None:
    """Return the free memory of a GPU in GB, by default the first; None where it is unknown."""
    if shutil.which("nvidia-smi") is None:
        log.warning("network: nvidia-smi not found, free GPU memory unknown; batches of 16")
        return None
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    query += [f"--id={uuid}"] * bool(uuid)
    said = subprocess.run(query, capture_output=True, text=True)
    try:
        return float(said.stdout.splitlines()[0]) * 2**20 / 1e9
    except (IndexError, ValueError):  # nvidia-smi knows no part of a GPU (MIG) by its UUID
        log.warning("network: nvidia-smi tells no free GPU memory; batches of 16")
        return None


def largest_batch(device: str, free_gb: float | None) -> int:
    """Return the largest batch to try.

    Parameters
    ----------
    device : {'cpu', 'gpu'}
    free_gb : float or None
        Free memory of the GPU in GB.
    """
    if device == "cpu":
        return CPU_BATCH
    if free_gb is None:
        return 16
    return within_limits(int((free_gb - GPU_GB_FIXED) / GPU_GB_A_TILE))


def fastest_batch(largest: int, throughput: Callable[[int], float]) -> int:
    """Return the batch size to run with: doubled as long as that gains 3 %.

    Parameters
    ----------
    largest : int
        The largest batch to try; one of up to 8 is taken untried.
    throughput : callable
        Given a batch size, tiles a second; raises MemoryError where the batch does not fit.

    Returns
    -------
    int
        The fastest that was tried; half of the first where that did not fit.
    """
    taken, best, batch_size = within_limits(min(FIRST_PROBE, largest)), 0.0, FIRST_PROBE
    while taken < largest:
        try:
            speed = throughput(batch_size)
        except MemoryError:
            log.warning("network: a batch of %d tiles does not fit the device", batch_size)
            return taken if best else within_limits(batch_size // 2)
        log.info("network: %.1f tiles/s in batches of %d", speed, batch_size)
        if speed < best * WORTHWHILE:
            break
        taken, best, batch_size = batch_size, speed, min(2 * batch_size, largest)
    return taken
