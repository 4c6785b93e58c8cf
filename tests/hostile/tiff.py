"""Slides for the cases, and the bytes of a classic little-endian TIFF, to be damaged."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from support.slides import ome_xml, pixels, write

from cellquilt.handoff import stores

from .corpus import script

SIZE = (110, 150)  # x, y
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}


def slide(folder: Path, data=None, xml: str | None = None, name="slide.ome.tif", **options) -> Path:
    """Write an OME-TIFF of three channels in zlib tiles, or as told."""
    data = pixels() if data is None else data
    layout = {"tile": (64, 48), "compression": "zlib", "byteorder": "<", "ome": True}
    options = layout | options
    ome = options.pop("ome")
    if not ome:
        tifffile.imwrite(folder / name, data, photometric="minisblack", metadata=None, **options)
        return folder / name
    planes, (height, width) = len(data), data.shape[1:]
    return write(folder / name, data, xml or ome_xml(planes, (width, height)), **options)


def ingest(folder: Path, path: Path, *more: str) -> list[str | Path]:
    """Return the command line that ingests a slide."""
    given = ["--sample", "s", "--image", path, "--nuclear", "0", "--image_mpp", "0.5"]
    return script("ingest", *given, *more, "--outdir", folder / "out")


def ingested(folder: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return facts, codes and table of an ingested slide, which must be finite."""
    facts = json.loads((folder / "out" / "sample.json").read_text())
    with stores.read(folder / "out" / "normalised.zip") as store:
        codes, lut = store["codes"][:], store["lut"][:]
    assert np.isfinite(lut).all()
    assert codes.shape[1:] == (facts["model_height"], facts["model_width"])
    return facts, codes, lut


def is_plain_noise(folder: Path) -> None:
    """Check that what was ingested is the noise of `slide`."""
    facts, codes, _ = ingested(folder)
    assert (facts["image"]["width"], facts["image"]["height"]) == SIZE
    assert np.unique(codes[0]).size > 1000


def pages(raw: bytes) -> list[tuple[int, dict[int, int]]]:
    """Return of each page where it begins, and of its tags where their entries do."""
    assert raw[:4] == b"II*\0"
    found, at = [], struct.unpack_from("<I", raw, 4)[0]
    while at:
        count = struct.unpack_from("<H", raw, at)[0]
        entries = {}
        for number in range(count):
            entry = at + 2 + 12 * number
            entries[struct.unpack_from("<H", raw, entry)[0]] = entry
        found.append((at, entries))
        at = struct.unpack_from("<I", raw, at + 2 + 12 * count)[0]
    return found


def next_pointer(raw: bytes, page: int) -> int:
    """Return where the offset of the page after `page` is."""
    at, entries = pages(raw)[page]
    return at + 2 + 12 * len(entries)


def values_at(raw: bytes, page: int, tag: int) -> tuple[int, int]:
    """Return where the values of a tag begin, and how many bytes they are."""
    entry = pages(raw)[page][1][tag]
    kind, count = struct.unpack_from("<HI", raw, entry + 2)
    size = BYTES[kind] * count
    return (entry + 8 if size <= 4 else struct.unpack_from("<I", raw, entry + 8)[0]), size


def put(path: Path, at: int, form: str, *values: int) -> Path:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(form, *values))
    return path


def set_tag(path: Path, tag: int, *values: int, page: int = 0) -> Path:
    """Overwrite the first values of a tag as 32 bits, which makes short ones long."""
    raw = path.read_bytes()
    entry = pages(raw)[page][1][tag]
    kind, count = struct.unpack_from("<HI", raw, entry + 2)
    if count == 1:
        put(path, entry + 2, "<HI", 4, 1)
        return put(path, entry + 8, "<I", *values)
    at, _ = values_at(raw, page, tag)
    form = {3: "H", 4: "I"}[kind]
    return put(path, at, f"<{len(values)}{form}", *values)


def zeros_deflated(size: int) -> bytes:
    """Return a zlib stream that inflates to `size` zeros, made without having them."""
    block = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (size % 65521) << 16 | 1
    return b"\x78\x9c" + packed * (size // block) + b"\x03\x00" + struct.pack(">I", adler)


def with_tile(folder: Path, tile: bytes, compression: int, side: int = 512, dtype="uint8") -> Path:
    """Write a slide of one page and tile, whose bytes are the given ones."""
    data = np.zeros((1, side, side), dtype)
    path = slide(folder, data, tile=(side, side), compression="zlib")
    at = path.stat().st_size
    with path.open("ab") as file:
        file.write(tile)
    for tag, value in ((259, compression), (324, at), (325, len(tile))):
        set_tag(path, tag, value)
    return path
