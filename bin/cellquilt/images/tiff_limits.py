"""What the tiles of a TIFF may ask for: a few bytes can ask for all the memory there is."""

import math
import struct
from pathlib import Path

import tifffile

from ..errors import DataError

MAX_SIDE = 1 << 20  # px; half a metre at 0.5 um/px
MAX_ROW_BYTES = 1 << 30  # of the tiles or strips side by side, which are decoded together
# A file of blank tiles is some thousand times smaller than its pixels, one of any tissue ten times.
MAX_RATIO, SMALL_BYTES = 10_000, 1 << 32

_MAX_PAGES = 1 << 16

_COMPRESSION = tifffile.COMPRESSION
_JPEG = {_COMPRESSION.JPEG, _COMPRESSION.OJPEG}
_JPEG_2000 = {33003, 33004, 33005, _COMPRESSION.JPEG2000}
# Those that give no more than the size of a tile, whatever their bytes say
LOSSLESS = {
    *(_COMPRESSION.NONE, _COMPRESSION.LZW, _COMPRESSION.ADOBE_DEFLATE, _COMPRESSION.DEFLATE),
    *(_COMPRESSION.PACKBITS, _COMPRESSION.LZMA, _COMPRESSION.ZSTD, _COMPRESSION.ZSTD_DEPRECATED),
}
_TILED = "bfconvert -tilex 512 -tiley 512 -compression zlib (Bio-Formats)"


def check_pages(tif: tifffile.TiffFile, path: Path) -> None:
    """Raise `DataError` if a file has too many pages.

    To be called before the pages are looked at: tifffile finds a ring of pages where it counts
    them, and follows it for ever where it was not made to.
    """
    if len(tif.pages) > _MAX_PAGES:
        raise DataError(
            f"{path}: has {len(tif.pages):,} pages, more than the {_MAX_PAGES:,} that are read;"
            " write those that are needed to a separate file"
        )


def check_extent(page: tifffile.TiffPage, path: Path) -> None:
    """Raise `DataError` if a row of tiles is more than memory should hold at a time."""
    height, width = page.chunks[-2:]
    if math.prod(page.chunks) * page.chunked[-1] * page.dtype.itemsize > MAX_ROW_BYTES:
        raise DataError(
            f"{path}: its tiles or strips of {height} x {width} px, as wide as the image together,"
            f" are more than the {MAX_ROW_BYTES >> 30} GiB that are decoded at a time; write it in"
            f" small tiles, for example by {_TILED}"
        )


def check_plausible(
    height: int, width: int, itemsize: int, n_planes: int, path: Path, size: int
) -> None:
    """Raise `DataError` if an image is larger than any slide, or than a file can hold pixels of."""
    promised = height * width * itemsize * n_planes
    if max(height, width) > MAX_SIDE:
        problem = f"no side may exceed {MAX_SIDE:,} px"
    elif promised > max(SMALL_BYTES, MAX_RATIO * size):
        problem = f"these are {promised:,} bytes in a file of {size:,}, nearly all of it blank"
    else:
        return
    raise DataError(
        f"{path}: says that it is {height} x {width} px with {n_planes} plane(s), and {problem};"
        " export the slide again, or cut it to the tissue"
    )


def check_compression(page: tifffile.TiffPage) -> None:
    """Raise ValueError if the page's codec is none whose claims can be checked."""
    if page.compression not in LOSSLESS | _JPEG | _JPEG_2000:
        raise ValueError("not one of zlib, LZW, zstd, LZMA, PackBits, JPEG and JPEG 2000")


def check_claim(page: tifffile.TiffPage, encoded: bytes | None) -> None:
    """Raise ValueError if the bytes of a tile claim to be an image of another size."""
    if encoded is None or page.compression in LOSSLESS:
        return
    size_of = _size_of_jpeg if page.compression in _JPEG else _size_of_jpeg_2000
    claimed = size_of(encoded)
    # A tile at an edge may be a whole one, or rounded up to blocks
    if claimed > 4 * math.prod(page.chunks):
        raise ValueError(f"a tile that claims to be of {claimed:,} values")


def _size_of_jpeg(encoded: bytes) -> int:
    """Return height x width x components of a JPEG stream, from its frame header."""
    at = 2
    while at + 10 <= len(encoded):
        mark, kind, length = struct.unpack_from(">BBH", encoded, at)
        if mark != 0xFF:
            break
        if kind == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(">HHB", encoded, at + 5)
            return height * width * components
        else:
            at += 2 + length
    raise ValueError("a JPEG tile without frame header")


def _size_of_jpeg_2000(encoded: bytes) -> int:
    """Return height x width x components of a JPEG 2000 file or code stream."""
    at = 0
    while encoded[at : at + 4] != b"\xff\x4f\xff\x51":
        length, kind = struct.unpack_from(">I4s", encoded, at)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", encoded, at + 8), 16
        at += header if kind == b"jp2c" else max(length, header)
    x1, y1, x0, y0 = struct.unpack_from(">4I", encoded, at + 8)
    (components,) = struct.unpack_from(">H", encoded, at + 40)
    return (x1 - x0) * (y1 - y0) * components
