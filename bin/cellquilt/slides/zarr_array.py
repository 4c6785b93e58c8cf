"""The array of a Zarr, opened for zarr only after all that it asks for was checked.

Arrays of Zarr 2 are described to zarr as ones of Zarr 3, so that there is one list of codecs. Those
that decompress are imagecodecs', which give no more bytes than a chunk has, whatever they claim.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import UnsupportedOperation
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec
from zarr.codecs.numcodecs import Delta, Shuffle
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import StorePath

from ..errors import DataError, reason
from ..images import tiff_limits
from .slide import check_type
from .zarr_files import ZarrFiles
from .zarr_metadata import ZarrImage

_DECOMPRESS: dict[str, Callable[..., bytes]] = {
    "blosc": imagecodecs.blosc_decode,
    "zstd": imagecodecs.zstd_decode,
    "gzip": imagecodecs.gzip_decode,
    "zlib": imagecodecs.zlib_decode,
    "lz4": lambda data, out: imagecodecs.lz4_decode(data, out=out, header=True),
    "bz2": imagecodecs.bz2_decode,
    "lzma": imagecodecs.lzma_decode,
}
_SLACK_BYTES = 64  # of a checksum within
_READ_TOGETHER = 1 << 25  # bytes of neighbouring chunks of a shard, beside one
_CONCURRENCY = 8  # chunks read and decoded at a time,
_DECODED_TOGETHER = 1 << 28  # of so many bytes at most, or one
_MAX_CHUNKS_PER_SHARD = 1 << 20
_MAX_PLANES = 1 << 16
_MIN_CHUNK_PIXELS = 1 << 12  # where there are so many chunks a plane; a file each takes for ever
_REWRITE = "write it again, for example by ome-zarr-py or bioformats2raw, in chunks of 1024 x 1024"


@dataclass(frozen=True)
class _Decompress(BytesBytesCodec):
    """A compression, for reading alone."""

    is_fixed_size = False
    name: str

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        most = math.prod(chunk_spec.shape) * chunk_spec.dtype.item_size + _SLACK_BYTES
        decode, encoded = _DECOMPRESS[self.name], chunk_data.as_numpy_array()
        decoded = await asyncio.to_thread(decode, encoded, out=most)
        return chunk_spec.prototype.buffer.from_bytes(decoded)

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        raise UnsupportedOperation("a Zarr is only read here")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        raise UnsupportedOperation("a Zarr is only read here")


class _Store(Store):
    """The files of a Zarr for zarr, which reads them alone.

    Parameters
    ----------
    files : ZarrFiles
    most_whole, most : int
        Bytes that a file may have which is read whole, and a part of one.
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, files: ZarrFiles, most_whole: int, most: int):
        super().__init__(read_only=True)
        self._files, self._most_whole, self._most = files, most_whole, most

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        where = (self._most, 0, None)
        if byte_range is None:
            where = (self._most_whole, 0, None)
        elif isinstance(byte_range, RangeByteRequest):
            where = (self._most, byte_range.start, byte_range.end)
        elif isinstance(byte_range, SuffixByteRequest):
            where = (self._most, -byte_range.suffix, None)
        content = await asyncio.to_thread(self._files.read, key, *where)
        return None if content is None else prototype.buffer.from_bytes(content)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _not_here(self, *_: Any) -> Any:
        raise UnsupportedOperation("a Zarr is only read here")

    exists = get_partial_values = set = delete = list = list_prefix = list_dir = _not_here


@dataclass(frozen=True)
class OpenArray:
    """An array that can be read.

    Attributes
    ----------
    pixels : zarr.Array
    dtype : numpy.dtype
    stored : tuple of int
        Shape of what has a file of its own: a chunk, or a shard of several.
    keys : str
        Regular expression of the files' keys, with a group for the number along each axis.
    concurrency : int
        Chunks to be decoded at a time.
    """

    pixels: zarr.Array
    dtype: np.dtype
    stored: tuple[int, ...]
    keys: str
    concurrency: int

    @property
    def files_a_plane(self) -> int:
        """Number of files along Y and X."""
        sides = zip(self.pixels.shape[-2:], self.stored[-2:], strict=True)
        return math.prod(-(-length // side) for length, side in sides)

    def chunks_of(self, plane: tuple[int, ...]) -> tuple[int, ...]:
        """Return the numbers that the files of a plane have along all axes but the last two."""
        return tuple(n // side for n, side in zip(plane, self.stored[:-2], strict=True))

    def written(self, keys: Iterable[str]) -> Counter[tuple[int, ...]]:
        """Return how many files there are by `chunks_of`, of the keys within the array."""
        found = (re.fullmatch(self.keys, key) for key in keys)
        return Counter(tuple(map(int, each.groups()[:-2])) for each in found if each)


def open_array(
    files: ZarrFiles,
    image: ZarrImage,
    n_bytes: int,
    check_type: Callable[[np.dtype | str, Path], None] = check_type,
) -> OpenArray:
    """Open the array of an image.

    Parameters
    ----------
    files : ZarrFiles
    image : ZarrImage
    n_bytes : int
        Of all its files, or as many as were counted.
    check_type : callable
        Refuses a type of pixel that is none; see `slide.check_type`.

    Raises
    ------
    DataError
        An array that zarr cannot read, or that asks for more memory or time than any slide does.
    """
    try:
        return _opened(files, image, n_bytes, check_type)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # zarr raises anything of metadata that are wrong
        raise DataError(
            f"{files.path}: its array {image.key:.99} cannot be read ({reason(error)}); {_REWRITE}"
        ) from error


def _opened(
    files: ZarrFiles, image: ZarrImage, n_bytes: int, check_type: Callable[..., None]
) -> OpenArray:
    array = _as_version_3(image.array)
    dtype = _dtype(array["data_type"])
    check_type(dtype, files.path)
    _check_size(files, image, dtype, n_bytes)
    if array["chunk_grid"]["name"] != "regular":
        raise ValueError("chunks of several sizes")
    stored = _shape(array["chunk_grid"]["configuration"]["chunk_shape"], image.shape)
    codecs = _codecs(array["codecs"], dtype, stored)
    chunk = codecs[0].chunk_shape if isinstance(codecs[0], ShardingCodec) else stored
    _check_chunks(files, image, dtype, chunk)
    n_chunk, n_stored = (math.prod(shape) * dtype.itemsize for shape in (chunk, stored))
    store = _Store(
        files,
        min(2 * n_stored, tiff_limits.MAX_ROW_BYTES) + _READ_TOGETHER,
        2 * n_chunk + _READ_TOGETHER,
    )
    metadata = ArrayV3Metadata.from_dict(array | {"codecs": codecs})
    # Of a shard, what is between the chunks that are needed is not read
    config = {"sharding_coalesce_max_gap_bytes": 0}
    return OpenArray(
        pixels=zarr.Array(zarr.AsyncArray(metadata, StorePath(store, image.key), config)),
        dtype=dtype,
        stored=stored,
        keys=re.sub(r"\b0\b", r"(\\d+)", re.escape(metadata.encode_chunk_key((0,) * len(stored)))),
        concurrency=max(1, min(_CONCURRENCY, _DECODED_TOGETHER // n_chunk)),
    )


def _as_version_3(array: dict) -> dict:
    """Return the metadata of an array as those of Zarr 3, without what is not needed."""
    if array.get("zarr_format") != 2:
        left_out = ("attributes", "dimension_names")
        return {key: value for key, value in array.items() if key not in left_out}
    dtype = str(array["dtype"])
    endian = "big" if dtype.startswith(">") else "little"
    codecs = [{"name": "bytes", "configuration": {"endian": endian}}]
    if array.get("order") == "F":
        order = {"order": [*reversed(range(len(array["shape"])))]}
        codecs.insert(0, {"name": "transpose", "configuration": order})
    for given in [*(array.get("filters") or []), array.get("compressor")]:
        if given is not None:
            at = len(codecs) - 1 if given["id"] == "delta" else len(codecs)
            codecs.insert(at, {"name": f"numcodecs.{given['id']}", "configuration": given})
    fill = array.get("fill_value")
    if isinstance(fill, float) and fill.is_integer():
        fill = int(fill)  # which some write for integers, too
    separator = array.get("dimension_separator", ".")
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": array["shape"],
        "data_type": np.dtype(dtype).name
        if re.fullmatch(r"[<>|][a-zA-Z]\d{0,3}", dtype)
        else dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": array["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": separator}},
        "fill_value": 0 if fill is None else fill,
        "codecs": codecs,
    }


def _dtype(name: Any) -> np.dtype | str:
    """Return a type of pixel of Zarr 3; a str if numpy has none of it."""
    known = isinstance(name, str) and re.fullmatch(r"(u?int|float|complex)\d{1,3}|bool", name)
    try:
        return np.dtype(name) if known else str(name)
    except TypeError:
        return str(name)


def _shape(given: Any, of: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(given)
    if len(shape) != len(of) or not all(type(n) is int and 0 < n < 1 << 63 for n in shape):
        raise ValueError(f"chunks of {shape!s:.99}")
    return shape


def _codecs(
    given: list, dtype: np.dtype, shape: tuple[int, ...], within: bool = False
) -> list[Codec]:
    """Return the codecs of a chunk or shard of a shape; ValueError for any that is not known."""
    found: list[Codec] = []
    own_type = {None, dtype.name, *(f"{order}{dtype.str[1:]}" for order in ("<", ">", "|", ""))}
    for each in given:
        name, configuration = each["name"], each.get("configuration") or {}
        plain = name.removeprefix("numcodecs.")
        if plain in _DECOMPRESS:
            found.append(_Decompress(plain))
        elif name in ("bytes", "endian"):
            found.append(BytesCodec(endian=configuration.get("endian", "little")))
        elif name == "crc32c":
            found.append(Crc32cCodec())
        elif name == "transpose":
            found.append(TransposeCodec(order=configuration["order"]))
        elif plain == "shuffle":
            (size,) = _shape([configuration.get("elementsize", dtype.itemsize)], (1,))
            found.append(Shuffle(elementsize=min(size, 8)))
        elif plain == "delta" and {configuration["dtype"], configuration.get("astype")} <= own_type:
            found.append(Delta(dtype=dtype.str))
        elif name == "sharding_indexed" and len(given) == 1 and not within:
            found.append(_sharding(configuration, dtype, shape))
        else:
            raise ValueError(f"codec {name:.99}")
    return found


def _sharding(configuration: dict, dtype: np.dtype, shape: tuple[int, ...]) -> ShardingCodec:
    inner = _shape(configuration["chunk_shape"], shape)
    if math.prod(-(-a // b) for a, b in zip(shape, inner, strict=True)) > _MAX_CHUNKS_PER_SHARD:
        raise ValueError(f"shards of more than {_MAX_CHUNKS_PER_SHARD:,} chunks")
    index = configuration.get("index_codecs", [{"name": "bytes"}, {"name": "crc32c"}])
    if [each["name"] for each in index] not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError("codecs of an index of shards")
    return ShardingCodec(
        chunk_shape=inner,
        codecs=_codecs(configuration["codecs"], dtype, inner, within=True),
        index_codecs=_codecs(index, dtype, inner),
        index_location=configuration.get("index_location", "end"),
    )


def _check_size(files: ZarrFiles, image: ZarrImage, dtype: np.dtype, n_bytes: int) -> None:
    """Refuse a slide that is larger than any, or than its files can hold."""
    n_planes = math.prod(image.shape[:-2])
    tiff_limits.check_plausible(
        image.height, image.width, dtype.itemsize, n_planes, files.path, n_bytes
    )
    if n_planes > _MAX_PLANES:
        raise DataError(
            f"{files.path}: has {n_planes:,} planes, more than the {_MAX_PLANES:,} that are read;"
            " write those that are needed to a separate file"
        )


def _check_chunks(
    files: ZarrFiles, image: ZarrImage, dtype: np.dtype, chunk: tuple[int, ...]
) -> None:
    """Refuse chunks that need too much memory, or so many that reading them does not end."""
    height, width = chunk[-2:]
    across, down = -(-image.width // width), -(-image.height // height)
    n_bytes = max(math.prod(chunk), height * across * width) * dtype.itemsize
    if n_bytes > tiff_limits.MAX_ROW_BYTES:
        problem = f"too large: {n_bytes:,} bytes are decoded at a time"
    elif height * width < _MIN_CHUNK_PIXELS < across * down:
        problem = f"too small: {across * down:,} chunks a plane"
    else:
        return
    raise DataError(
        f"{files.path}: its chunks of {' x '.join(map(str, chunk))} are {problem}; {_REWRITE}"
    )
