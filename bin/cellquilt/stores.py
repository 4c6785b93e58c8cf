"""The zarr archives in which pixels, maps and labels travel from step to step.

One zip file a store, since staging thousands of small chunk files is slow on object stores and
shared file systems. Written under a temporary name and renamed when complete, so that a store
that can be seen is whole.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

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
    partial = path.with_name(path.name + ".part")
    store = ZipStore(partial, mode="w")
    try:
        yield zarr.create_group(store, attributes=attributes)
    except BaseException:
        store.close()
        partial.unlink()
        raise
    store.close()
    os.replace(partial, path)


@contextmanager
def read(path: Path) -> Iterator[zarr.Group]:
    """Open a store for reading."""
    with ZipStore(path, mode="r") as store:
        yield zarr.open_group(store, mode="r")


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
