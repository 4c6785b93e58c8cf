"""Which GPU a task takes, where others of the machine want one too: a lock per device.

The kernel frees a lock with the last process that holds it, however that ends. Containers share
the locks if the folder is mounted into them.
"""

import ctypes
import errno
import fcntl
import logging
import os
import random
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import DataError, reason

log = logging.getLogger("cellquilt")

FOLDER = Path("/tmp/cellquilt-gpu-locks")
POLL_S = 0.5
SAY_AGAIN_S = 300


@dataclass(frozen=True)
class Held:
    """A GPU that this process holds until it ends, or the ``with`` block of this does.

    A process that is forked from this one, without exec, holds it too.

    Attributes
    ----------
    index : int
        In CUDA's order, which is TensorFlow's.
    uuid : str
        As nvidia-smi writes it; empty where it is unknown, and the GPU not locked.
    files : tuple of int
        Descriptors of the locked files.
    """

    index: int
    uuid: str = ""
    files: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        """Return it, held."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the GPU for others."""
        for file in self.files:
            os.close(file)


def read_uuids() -> list[str]:
    """Return the UUIDs of the GPUs that CUDA sees, in its order; none where it cannot tell.

    An index means another GPU wherever CUDA_VISIBLE_DEVICES or a container hides some. Nothing is
    allocated on a GPU.
    https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        count, device = ctypes.c_int(), ctypes.c_int()
        _check(cuda.cuInit(0))
        _check(cuda.cuDeviceGetCount(ctypes.byref(count)))
        found = []
        for index in range(count.value):
            name = (ctypes.c_ubyte * 16)()
            _check(cuda.cuDeviceGet(ctypes.byref(device), index))
            # v2 tells the parts of a GPU apart (MIG)
            _check(cuda.cuDeviceGetUuid_v2(ctypes.byref(name), device))
            found.append(f"GPU-{uuid.UUID(bytes=bytes(name))}")
        return found
    except (OSError, AttributeError) as error:
        log.warning("gpu: the driver does not tell which GPU is which (%s)", reason(error))
        return []


def _check(status: int) -> None:
    if status:
        raise OSError(f"libcuda.so.1: error {status}")


def take(uuids: Sequence[str], tasks_per_gpu: int = 1, folder: Path = FOLDER) -> Held:
    """Take a GPU that is free, or wait for one.

    Parameters
    ----------
    uuids : sequence of str
        Of the GPUs to choose from, as of `read_uuids`; it is the process's order.
    tasks_per_gpu : int
        How many tasks may hold a GPU together, if each of them gives more than 1.
    folder : Path
        Of the locks, the same for all tasks of the machine; made where it is missing.

    Returns
    -------
    Held
        The first GPU, unlocked, where there can be no lock: then the log says why.

    Raises
    ------
    DataError
        If `tasks_per_gpu` is less than 1.
    """
    if tasks_per_gpu < 1:
        raise DataError(f"--tasks_per_gpu {tasks_per_gpu}: must be at least 1.")
    if not uuids:
        log.warning("gpu: the first one is used without a lock; other tasks may use it too")
        return Held(0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    among = f"{len(uuids)} seen" + (f" with CUDA_VISIBLE_DEVICES={visible}" if visible else "")
    start, said = time.monotonic(), None
    try:
        while (held := _try_all(uuids, tasks_per_gpu, folder)) is None:
            now = time.monotonic()
            if said is None or now - said >= SAY_AGAIN_S:
                said = now
                log.info("gpu: none is free (%s); has waited %.0f s", among, now - start)
            time.sleep(POLL_S * random.uniform(0.5, 1.5))  # so that none is always too late
    except OSError as error:
        log.warning("gpu: no lock in %s (%s); other tasks may use it too", folder, reason(error))
        held = Held(0, uuids[0])
    log.info("gpu: %s, number %d (%s)", held.uuid, held.index, among)
    return held


def _try_all(uuids: Sequence[str], tasks_per_gpu: int, folder: Path) -> Held | None:
    """Return the first GPU that is free, of those with the fewest tasks; None if all are taken.

    One whose lock fails is passed over.

    Raises
    ------
    OSError
        If all of them fail.
    """
    root = _open_folder(folder)
    failed = {}
    try:
        for slot in range(tasks_per_gpu):
            for index, name in enumerate(uuids):
                try:
                    files = _lock_slot(root, name, slot, shared=tasks_per_gpu > 1)
                except OSError as error:
                    failed[name] = error
                    continue
                if files:
                    return Held(index, name, files)
    finally:
        os.close(root)
    if len(failed) == len(uuids):
        raise failed[uuids[0]]
    return None


def _lock_slot(root: int, name: str, slot: int, shared: bool) -> tuple[int, ...]:
    """Lock a GPU, or a part of it that keeps out who does not share; () if others have it."""
    gpu = _lock(root, name, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if gpu is None:
        return ()
    if not shared:
        return (gpu,)
    part = None
    try:
        part = _lock(root, f"{name}.{slot}", fcntl.LOCK_EX)
    finally:
        if part is None:
            os.close(gpu)
    return () if part is None else (gpu, part)


def _lock(root: int, name: str, kind: int) -> int | None:
    """Lock a file of a folder and return its descriptor; None if others have it."""
    file = _open_file(root, name)
    locked = False
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        # what clears /tmp may have removed the file, and the next of that name is another lock
        there = os.stat(name, dir_fd=root, follow_symlinks=False)
        locked = os.path.samestat(os.fstat(file), there)
        os.utime(file)  # for it to be left, as a new one
    except (BlockingIOError, FileNotFoundError):
        pass
    finally:
        if not locked:
            os.close(file)
    return file if locked else None


def _open_folder(folder: Path) -> int:
    """Open a folder, in which all users may make files and remove their own."""
    with _no_umask(), suppress(OSError):  # it is there, or opening it tells why not
        os.mkdir(folder, 0o1777)
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _open_file(root: int, name: str) -> int:
    """Open a file that all users may lock; it may be another's, but no link and no pipe.

    Linux refuses another user's with O_CREAT (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    with _no_umask(), suppress(FileExistsError):
        return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=root)
    file = os.open(name, flags, dir_fd=root)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return file


@contextmanager
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)
