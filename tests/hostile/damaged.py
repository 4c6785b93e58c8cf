"""Slides with cut or changed bytes: headers, pages, tags, tiles, and decompression bombs."""

import os
import pickle
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from support.slides import ome_xml, pixels

from .corpus import case
from .tiff import (
    ingest,
    ingested,
    is_plain_noise,
    next_pointer,
    pages,
    put,
    set_tag,
    slide,
    values_at,
    with_tile,
    zeros_deflated,
)

NAME = "slide.ome.tif"
DAMAGED = r"(truncated|damaged|not a TIFF|lacks the places|has no pixels|empty file)"

# --- cut off -------------------------------------------------------------------------------


def cuts(raw):
    """Return where a file is cut, by what the cut is in."""
    (first, entries), (last, _) = pages(raw)[0], pages(raw)[-1]
    xml, xml_size = values_at(raw, 0, 270) if 270 in entries else (first, 8)
    offsets, n_bytes = values_at(raw, 0, 324)
    tile = struct.unpack_from("<I", raw, offsets)[0]
    return {
        "byte order": 2,
        "header": 6,
        "header alone": 8,
        "number of tags": first + 1,
        "table of tags": first + 2 + 12 * 4 + 5,
        "pointer to the next page": next_pointer(raw, 0) + 2,
        "metadata": xml + xml_size // 2,
        "offsets of tiles": offsets + n_bytes // 2,
        "first tile": tile + 10,
        "last page": last + 20,
        "last byte": len(raw) - 1,
    }


def cut_case(kind, place):
    @case(f"{kind} cut in the {place}", DAMAGED, NAME)
    def _(folder):
        path = slide(folder, ome=kind == "OME-TIFF")
        path.write_bytes(path.read_bytes()[: cuts(path.read_bytes())[place]])
        return ingest(folder, path)


PLACES = ("byte order", "header", "header alone", "number of tags", "table of tags")
PLACES += ("pointer to the next page", "metadata", "offsets of tiles", "first tile", "last page")
for _place in (*PLACES, "last byte"):
    cut_case("OME-TIFF", _place)
    if _place != "metadata":
        cut_case("plain TIFF", _place)

# --- pages that are elsewhere ---------------------------------------------------------------

POINTERS = {
    "begins nowhere": lambda raw: (4, 0),
    "begins beyond the file": lambda raw: (4, len(raw) + 1000),
    "begins at the end of 4 GB": lambda raw: (4, 2**32 - 2),
    "begins in its header": lambda raw: (4, 2),
    "begins in its pixels": lambda raw: (4, len(raw) - 301),
    "follows itself": lambda raw: (next_pointer(raw, 0), pages(raw)[0][0]),
    "leads back to the first": lambda raw: (next_pointer(raw, 2), pages(raw)[0][0]),
    "leads out of the file": lambda raw: (next_pointer(raw, 1), len(raw) + 7),
}


def pointer_case(what, ome):
    kind = "OME-TIFF" if ome else "plain TIFF"

    @case(f"a page of a {kind} that {what}", rf"{DAMAGED}|promises 3 planes|without pixels", NAME)
    def _(folder):
        path = slide(folder, ome=ome)
        at, value = POINTERS[what](path.read_bytes())
        return ingest(folder, put(path, at, "<I", value))


for _what in POINTERS:
    pointer_case(_what, ome=True)
    pointer_case(_what, ome=False)

# --- values that cannot be -------------------------------------------------------------------

TAGS = {
    "width 70,000": (256, 70_000),
    "width 2^31": (256, 2**31),
    "width 2^32 - 1": (256, 2**32 - 1),
    "width 0": (256, 0),
    "height 70,000": (257, 70_000),
    "height 0": (257, 0),
    "16,384 bits": (258, 16_384),
    "no bits": (258, 0),
    "compression 4,711": (259, 4_711),
    "60,000 samples": (277, 60_000),
    "no samples": (277, 0),
    "predictor 77": (317, 77),
    "tiles 0 px wide": (322, 0),
    "tiles 2^31 px wide": (322, 2**31),
    "tiles 2^31 px high": (323, 2**31),
    "tile at 4 GB": (324, 2**32 - 1),
    "unknown colours": (262, 60_000),
}
ABSURD = (
    rf"{DAMAGED}|export the slide again|export it again|cannot be read|convert|absurd|"
    "samples per pixel|differ in the type|tiles|needs one greyscale"
)


def tag_case(what, tag, value, ome):
    kind = "OME-TIFF" if ome else "plain TIFF"

    @case(f"{kind} of {what}", ABSURD, NAME)
    def _(folder):
        path = slide(folder, ome=ome, predictor=tag == 317)
        return ingest(folder, set_tag(path, tag, value))


for _what, (_tag, _value) in TAGS.items():
    tag_case(_what, _tag, _value, ome=True)
    tag_case(_what, _tag, _value, ome=False)


@case("XML of 4 billion bytes", DAMAGED, NAME)
def _(folder):
    path = slide(folder)
    return ingest(folder, put(path, pages(path.read_bytes())[0][1][270] + 4, "<I", 2**32 - 1))


@case("table of 65,535 tags", DAMAGED, NAME)
def _(folder):
    path = slide(folder)
    return ingest(folder, put(path, pages(path.read_bytes())[0][0], "<H", 65_535))


@case("SubIFD that is its own page", check=is_plain_noise)
def _(folder):
    path = slide(folder)
    raw = path.read_bytes()
    entry = pages(raw)[0][1][305] if 305 in pages(raw)[0][1] else pages(raw)[0][1][282]
    return ingest(folder, put(path, entry, "<HHII", 330, 4, 1, pages(raw)[0][0]))


@case("a tile of 4 GB", DAMAGED, NAME)
def _(folder):
    path = slide(folder, np.zeros((1, 64, 48), "uint16"))
    return ingest(folder, set_tag(path, 325, 2**32 - 1))


@case("all of 70,000 x 70,000 px the same tile", "70,000 x 70,000 px|70000 x 70000", NAME)
def _(folder):
    return ingest(folder, repeated(folder, 70_000, 70_000))


@case("2^31 - 1 px wide and a row high", "2147483647", NAME)
def _(folder):
    return ingest(folder, repeated(folder, 2**31 - 1, 1, tile=1 << 20))


@case("a tile of 30,000 x 30,000 px", "strips of 30000 x 30000 px", NAME)
def _(folder):
    return ingest(folder, repeated(folder, 30_000, 30_000, tile=30_000))


def repeated(folder, width, height, tile=512):
    """Write a slide of that size in tags and XML whose tiles are all one and the same."""
    down = -(-height // tile) if height > 1 else 1
    across = -(-width // tile)
    xml = ome_xml(1, (width, height)).encode() + b"\0"
    content = zlib.compress(bytes(min(tile * tile * 2, 1 << 20)))
    n_tiles = down * across
    head = 8 + 2 + 12 * 12 + 4
    places = {270: head, 324: head + len(xml)}
    places[325] = places[324] + 4 * n_tiles
    at = places[325] + 4 * n_tiles
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 16),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (270, 2, len(xml), places[270]),
        (277, 3, 1, 1),
        (322, 4, 1, tile),
        (323, 4, 1, tile),
        (324, 4, n_tiles, places[324] if n_tiles > 1 else at),
        (325, 4, n_tiles, places[325] if n_tiles > 1 else len(content)),
        (339, 3, 1, 1),
    ]
    path = folder / NAME
    with path.open("wb") as file:
        file.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
        for entry in tags:
            file.write(struct.pack("<HHII", *entry))
        file.write(struct.pack("<I", 0) + xml)
        file.write(struct.pack("<I", at) * n_tiles + struct.pack("<I", len(content)) * n_tiles)
        file.write(content)
    return path


def all_tiles_are_the_first(folder):
    _, codes, _ = ingested(folder)
    assert codes[0].any()


@case("tiles that lie on each other", check=all_tiles_are_the_first)
def _(folder):
    path = slide(folder)
    with tifffile.TiffFile(path) as tif:
        offsets, counts = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
    set_tag(path, 324, *([offsets[0]] * len(offsets)))
    return ingest(folder, set_tag(path, 325, *([counts[0]] * len(counts))))


@case("200,000 pages", "200,000 pages", NAME)
def _(folder):
    path = folder / NAME
    count, size = 200_000, 2 + 5 * 12 + 4
    entries = b"".join(
        struct.pack("<HHII", *entry)
        for entry in [
            (256, 3, 1, 1),
            (257, 3, 1, 1),
            (258, 3, 1, 8),
            (273, 4, 1, 8),
            (279, 3, 1, 1),
        ]
    )
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 12) + bytes(4))
        for number in range(1, count + 1):
            after = 12 + number * size if number < count else 0
            file.write(struct.pack("<H", 5) + entries + struct.pack("<I", after))
    return ingest(folder, path)


# --- bombs -----------------------------------------------------------------------------------

BOMB = "truncated or damaged"


@case("deflate tile that inflates to 3 GB", BOMB, NAME)
def _(folder):
    return ingest(folder, with_tile(folder, zeros_deflated(3 << 30), 8))


@case("deflate tile that inflates to 3 GB, with a predictor", BOMB, NAME)
def _(folder):
    path = slide(folder, np.zeros((1, 512, 512), "uint8"), tile=(512, 512), predictor=True)
    at, tile = path.stat().st_size, zeros_deflated(3 << 30)
    with path.open("ab") as file:
        file.write(tile)
    return ingest(folder, set_tag(set_tag(path, 324, at), 325, len(tile)))


def is_blank(folder):
    facts, codes, _ = ingested(folder)
    assert facts["image"]["height"] == 512 and not codes.any()


@case("LZW tile that unpacks to 64 MB", check=is_blank)
def _(folder):
    return ingest(folder, with_tile(folder, imagecodecs.lzw_encode(bytes(1 << 26)), 5))


@case("zstd tile that unpacks to 4 GB", BOMB, NAME)
def _(folder):
    frame = imagecodecs.zstd_encode(bytes(1 << 26), level=1)
    return ingest(folder, with_tile(folder, frame * 64, 50000))


@case("LZMA tile that unpacks to 256 MB", check=is_blank)
def _(folder):
    return ingest(
        folder, with_tile(folder, imagecodecs.lzma_encode(bytes(1 << 28), level=0), 34925)
    )


@case("PackBits tile that unpacks to 1 GB", BOMB, NAME)
def _(folder):
    return ingest(folder, with_tile(folder, b"\x81\x00" * (1 << 23), 32773))


@case("JPEG tile that says 65,500 x 65,500 px", BOMB, NAME)
def _(folder):
    tile = bytearray(imagecodecs.jpeg8_encode(np.zeros((512, 512), "uint8")))
    at = tile.index(b"\xff\xc0")
    tile[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return ingest(folder, with_tile(folder, bytes(tile), 7))


@case("JPEG 2000 tile that says 65,500 x 65,500 px", BOMB, NAME)
def _(folder):
    tile = imagecodecs.jpeg2k_encode(np.zeros((512, 512), "uint8"), codecformat="j2k")
    tile = bytearray(tile)
    at = tile.index(b"\xff\x51")
    for place in (6, 10, 22, 26):
        tile[at + place : at + place + 4] = struct.pack(">I", 65_500)
    return ingest(folder, with_tile(folder, bytes(tile), 33003))


@case("PNG tile that says 65,500 x 65,500 px", rf"{BOMB}|compression PNG", NAME)
def _(folder):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 65_500, 65_500, 8, 0, 0, 0, 0))
    tile = (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zeros_deflated(4 << 30)) + chunk(b"IEND", b"")
    )
    return ingest(folder, with_tile(folder, tile, 34933))


# --- no TIFF at all --------------------------------------------------------------------------


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def npy(folder):
    path = folder / "array.npy"
    np.save(path, np.array([Canary(folder / "ran")], object), allow_pickle=True)
    return path.read_bytes()


OTHERS = {
    "PNG": lambda folder: imagecodecs.png_encode(np.zeros((9, 9), "uint8")),
    "HTML page": lambda folder: b"\n<!DOCTYPE html><html><body>404</body></html>",
    "Git LFS pointer": lambda folder: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "gzip": lambda folder: b"\x1f\x8b\x08\x00" + bytes(100),
    "empty file": lambda folder: b"",
    "one byte": lambda folder: b"I",
    "zeros": lambda folder: bytes(10_000),
    "pickle": lambda folder: pickle.dumps(Canary(folder / "ran")),
    "npy of pickled objects": npy,
    "TIFF of text": lambda folder: b"II*\0" + b"not a TIFF but for its first bytes" * 9,
}


def other_case(kind):
    @case(f"{kind} with the name of a slide", rf"{DAMAGED}|empty file", NAME)
    def _(folder):
        (folder / NAME).write_bytes(OTHERS[kind](folder))
        return ingest(folder, folder / NAME)


for _kind in OTHERS:
    other_case(_kind)


def special_case(kind, make, message):
    @case(f"{kind} with the name of a slide", message, NAME)
    def _(folder):
        make(folder / NAME)
        return ingest(folder, folder / NAME)


special_case("folder", lambda path: path.mkdir(), "holds no images of a channel each")
special_case("FIFO", os.mkfifo, "not a file")
special_case("symbolic link to itself", lambda path: path.symlink_to(path), "cannot be read")
special_case("link to nothing", lambda path: path.symlink_to("nowhere"), "no such file")
special_case("link to /dev/zero", lambda path: path.symlink_to("/dev/zero"), "not a file")
special_case("link to a file that fails", lambda path: path.symlink_to("/proc/self/mem"), "read")


@case("a name of shell commands", check=is_plain_noise)
def _(folder):
    return ingest(folder, slide(folder, name="$(touch ran) `touch ran`; touch ran &.ome.tif"))


@case("BigTIFF whose page is beyond 2^63", DAMAGED, NAME)
def _(folder):
    path = slide(folder, bigtiff=True)
    return ingest(folder, put(path, 8, "<Q", 2**63 + 5))


@case("ImageJ hyperstack of 2^31 planes", DAMAGED + "|promises|planes|axes", NAME)
def _(folder):
    path = folder / NAME
    tifffile.imwrite(path, pixels((3, 20, 30), "uint16"), imagej=True, metadata={"axes": "CYX"})
    raw = path.read_bytes()
    assert b"images=3\nchannels=3\n" in raw
    path.write_bytes(raw.replace(b"images=3\nchannels=3\n", b"images=9999\nslices=999"))
    return ingest(folder, path)
