"""The zarr archives in which pixels, maps and labels travel from step to step.

One zip file a store, since staging thousands of small chunk files is slow on object stores and
shared file systems. Written under a temporary name and renamed when complete, so that a store
that can be seen is whole.
"""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from .. import outputs
from ..errors import DataError, reason
from .step_files import check_facts

CHUNK = 768


@contextmanager
def create(path: Path, attributes: dict) -> Iterator[zarr.Group]:
    """Write a store; it appears at `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
    attributes : dict
        JSON-like facts about the contents; a zip store takes them at creation only.
    """
    with outputs.whole(path) as partial, ZipStore(partial, mode="w") as store:
        yield zarr.create_group(store, attributes=attributes)


@contextmanager
def read(path: Path) -> Iterator[zarr.Group]:
    """Open a store for reading.

    Raises
    ------
    DataError
        If it is not whole, also where that is found in the block.
    """
    if not path.exists():
        raise DataError(f"{path}: is not there any more. Run again with -resume.")
    try:
        with ZipStore(path, mode="r") as store:
            # of version 3 alone, since one of version 2 may ask for codecs that run code
            group = zarr.open_group(store, mode="r", zarr_format=3)
            if "facts" in group.attrs:
                check_facts(group.attrs["facts"], path, "INGEST", needs_image=True)
            yield group
    except Exception as error:  # zarr, its codecs and zipfile raise anything of damaged files
        if not _is_of_reading(error):
            raise
        raise DataError(
            f"{path.resolve()}: cut short or damaged after it was written ({reason(error)}). "
            "Delete this file and run again with -resume."
        ) from error


def _is_of_reading(error: Exception) -> bool:
    """Return whether zarr raised an error, and not for what the machine lacks.

    EINVAL is of a place that no file has; zarr's own errors have no number.
    """
    if isinstance(error, MemoryError | DataError):
        return False
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").startswith("zarr.") for frame, _ in frames)


def new_array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...]
) -> zarr.Array:
    """Create an array to be filled in whole chunks; chunks of zeros are not stored."""
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=tuple(max(min(c, s), 1) for c, s in zip(chunks, shape, strict=True)),
        compressors=BloscCodec(cname="lz4", shuffle="bitshuffle"),
        fill_value=0,
        config={"write_empty_chunks": False},
    )
