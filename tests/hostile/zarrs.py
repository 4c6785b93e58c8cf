"""OME-Zarr with absurd metadata, codecs that run code, bombs, and links that lead elsewhere."""

import bz2
import gzip
import json
import os
import struct
import zipfile

import imagecodecs
import numpy as np
import zarr
from support.slides import pixels
from support.zarrs import change, write_zarr, zipped

from .corpus import case
from .tiff import ingest, is_plain_noise, zeros_deflated

NAME = "slide.zarr"
DAMAGED = r"truncated or damaged \("
UNREAD = r"its array 0 cannot be read \(.*\); write it again, for example by"


def noise(folder, version="0.4", **options):
    return write_zarr(folder / NAME, pixels(), version, **options)


def array_case(what, refused, version="0.4", **values):
    """Add a case of values in the metadata of the array."""

    @case(f"zarr: {what}, {version}", refused, NAME)
    def _(folder):
        path = noise(folder, version)
        for key, value in values.items():
            place = [int(part) if part.isdecimal() else part for part in key.split("__")]
            change(
                path / "0" / (".zarray" if version == "0.4" else "zarr.json"), *place, value=value
            )
        return ingest(folder, path)


# --- codecs ----------------------------------------------------------------------------------

for _id in ("pickle", "json2", "msgpack2", "vlen-utf8", "categorize", "none", "astype", "x" * 9000):
    array_case(f"filter {_id:.20}", UNREAD, filters=[{"id": _id}])
    array_case(f"compressor {_id:.20}", UNREAD, compressor={"id": _id, "dtype": "|O"})
    for _name in (_id, f"numcodecs.{_id}"):
        array_case(f"codec {_name:.20}", UNREAD, "0.5", codecs=[{"name": "bytes"}, {"name": _name}])
for _codecs in (3, [], [3], [{"name": "bytes"}] * 2, [{"name": "zstd"}], {"name": "bytes"}):
    array_case(f"codecs {_codecs!s:.30}", UNREAD, "0.5", codecs=_codecs)
for _key in ("chunk_grid", "chunk_key_encoding", "codecs", "data_type"):
    array_case(f"without {_key}", UNREAD, "0.5", **{_key: None})
    array_case(f"a number as {_key}", f"{UNREAD}|pixels are of type 7", "0.5", **{_key: 7})
array_case("without fill value", UNREAD, "0.5", fill_value=None)
array_case("objects", "pixels are of type object", dtype="|O", filters=[{"id": "pickle"}])
array_case("fields", "pixels are of type", dtype=[["a", "<u2"], ["b", "<f4"]])
array_case("text", "pixels are of type", dtype="<U999")
array_case("a type of 9,000 letters", "pixels are of type", "0.5", data_type="x" * 9000)
array_case("a type with an escape", "pixels are of type", "0.5", data_type="\x1b[2J\n")
array_case(
    "delta of another type", UNREAD, filters=[{"id": "delta", "dtype": "<u2", "astype": "|u1"}]
)
array_case("shuffle by 0", UNREAD, filters=[{"id": "shuffle", "elementsize": 0}])
array_case("a fill value in words", UNREAD, fill_value="much")

# --- sizes -----------------------------------------------------------------------------------

for _what, _shape in {
    "2^31 px": [3, 2**31, 2**31],
    "10^60 px": [3, 10**60, 10**60],
    "70,000 px of nothing": [3, 70_000, 70_000],
    "no pixels": [3, 0, 110],
    "a negative width": [3, 150, -1],
    "truths": [True, 150, 110],
    "words": ["a", "b", "c"],
    "floats": [3.0, 150.0, 110.0],
}.items():
    for _version in ("0.4", "0.5"):
        array_case(_what, "px with 3 plane|without pixels", _version, shape=_shape)
array_case("10^7 channels", r"has 10,000,000 planes|10000000 plane", shape=[10**7, 150, 110])
array_case("two axes", "cannot tell what its axes are", shape=[150, 110])
for _what, _chunks, _refused in (
    ("2^40", [1, 2**20, 2**20], "are too large"),
    ("10^60", [1, 10**60, 1], UNREAD),
    ("all channels of 2^20", [2**20, 64, 48], "are too large"),
    ("no pixels", [1, 0, 48], UNREAD),
    ("two axes", [64, 48], UNREAD),
):
    array_case(f"chunks of {_what}", _refused, chunks=_chunks)


@case("zarr: chunks of a pixel", r"its chunks of 1 x 1 x 1 are too small: 1,000,000 chunks", NAME)
def _(folder):
    path = noise(folder)
    change(path / "0" / ".zarray", "shape", value=[1, 1000, 1000])
    change(path / "0" / ".zarray", "chunks", value=[1, 1, 1])
    return ingest(folder, path)


def shard_case(what, refused, *keys, value):
    @case(f"zarr: shards of {what}", refused, NAME)
    def _(folder):
        path = noise(folder, "0.5", shards=(3, 192, 144))
        place = ("codecs", 0, "configuration", *keys)
        change(path / "0" / "zarr.json", *place, value=value)
        return ingest(folder, path)


SHARD = [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 8, 8], "codecs": []}}]
GZIPPED = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}]
shard_case("chunks that do not divide", UNREAD, "chunk_shape", value=[1, 50, 48])
shard_case("shards", UNREAD, "codecs", value=SHARD)
shard_case("a compressed index", UNREAD, "index_codecs", value=GZIPPED)
shard_case("chunks that run code", UNREAD, "codecs", value=[{"name": "numcodecs.pickle"}])


@case("zarr: an index of 10^12 chunks", UNREAD, NAME)
def _(folder):
    path = noise(folder, "0.5", shards=(3, 192, 144))
    document = path / "0" / "zarr.json"
    change(document, "chunk_grid", "configuration", "chunk_shape", value=[1, 2**20, 2**20])
    place = ("codecs", 0, "configuration", "chunk_shape")
    change(document, *place, value=[1, 1, 1])
    return ingest(folder, path)


@case("zarr: an index of shards that leads to 2^62", DAMAGED, NAME)
def _(folder):
    path = noise(folder, "0.5", shards=(1, 192, 144))
    shard = path / "0" / "c" / "0" / "0" / "0"
    raw = bytearray(shard.read_bytes())
    index = np.full((9, 2), 2**62, "<u8")
    raw[-148:-4] = index.tobytes()
    raw[-4:] = struct.pack("<I", _crc32c(bytes(raw[-148:-4])))
    shard.write_bytes(raw)
    os.truncate(shard, len(raw))
    return ingest(folder, path)


def _crc32c(content):
    import google_crc32c

    return google_crc32c.value(content)


# --- bombs -----------------------------------------------------------------------------------


def bomb_case(kind, compressor, make):
    @case(f"zarr: a chunk that inflates to gigabytes, {kind}", DAMAGED, NAME)
    def _(folder):
        path = noise(folder)
        change(path / "0" / ".zarray", "compressor", value={"id": compressor})
        (path / "0" / "0.0.0").write_bytes(make())
        return ingest(folder, path)


SIZE = 6 << 30
bomb_case("zlib", "zlib", lambda: zeros_deflated(SIZE))
bomb_case(
    "gzip", "gzip", lambda: b"\x1f\x8b\x08" + bytes(7) + zeros_deflated(SIZE)[2:-4] + bytes(8)
)
bomb_case("bz2", "bz2", lambda: bz2.compress(bytes(1 << 26)) * 96)
bomb_case("zstd", "zstd", lambda: imagecodecs.zstd_encode(bytes(1 << 28)) * 24)
bomb_case("lz4", "lz4", lambda: struct.pack("<I", 2**31 - 1) + bytes(99))
bomb_case(
    "blosc", "blosc", lambda: struct.pack("<4B3I", 2, 1, 1, 2, 2**31 - 1, 1 << 20, 99) + bytes(83)
)


@case("zarr: a zip whose chunk inflates to gigabytes", DAMAGED, "slide.zip")
def _(folder):
    path = noise(folder, compressors=None)
    os.truncate(path / "0" / "0.0.0", 1 << 29)
    return ingest(folder, zipped(path, folder / "slide.zip", compression=zipfile.ZIP_DEFLATED))


@case("zarr: a chunk of 100 GB", DAMAGED, NAME)
def _(folder):
    path = noise(folder)
    os.truncate(path / "0" / "0.0.0", 100 << 30)
    return ingest(folder, path)


@case("zarr: a shard of 100 GB", DAMAGED, NAME)
def _(folder):
    path = noise(folder, "0.5", shards=(1, 192, 144))
    os.truncate(path / "0" / "c" / "0" / "0" / "0", 100 << 30)
    return ingest(folder, path)


def _flag(content, value):
    """Set the flags of all files of a zip, in their headers and in the index."""
    raw = bytearray(content)
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = raw.find(mark)
        while place >= 0:
            struct.pack_into("<H", raw, place + at, value)
            place = raw.find(mark, place + 4)
    return bytes(raw)


@case("zarr: an encrypted zip", "is encrypted; write it again without password", "slide.zip")
def _(folder):
    path = zipped(noise(folder), folder / "slide.zip")
    path.write_bytes(_flag(path.read_bytes(), 1))
    return ingest(folder, path)


@case("zarr: a zip with an index of 4 GB", "is of too many files; unpack it", "slide.zip")
def _(folder):
    path = zipped(noise(folder), folder / "slide.zip")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.rfind(b"PK\5\6") + 12, 2**32 - 2)
    path.write_bytes(raw)
    return ingest(folder, path)


@case("zarr: a zip of names that lead elsewhere", check=is_plain_noise)
def _(folder):
    path = zipped(noise(folder), folder / "slide.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../../up", "/etc/passwd", "0/../../up", "C:\\up"):
            archive.writestr(name, "up")
    return ingest(folder, path)


# --- metadata --------------------------------------------------------------------------------

DATASET = ("multiscales", 0, "datasets", 0, "path")
for _place in ("../../../etc", "/etc", "..", "", "a\0b", 3, None, "x" * 9000, "0/" * 3000):

    @case(f"zarr: a dataset at {_place!r:.30}", rf"name no dataset|{DAMAGED}|cannot be read", NAME)
    def _(folder, place=_place):
        path = noise(folder)
        change(path / ".zattrs", *DATASET, value=place)
        return ingest(folder, path)


for _what, _text in {
    "nested 100,000 deep": "[" * 100_000,
    "of 40 MB": json.dumps({"a": "x" * (40 << 20)}),
    "in words": "multiscales",
    "in a list": "[]",
    "with a number of 5,000 digits": '{"a": ' + "9" * 5000 + "}",
    "not in UTF-8": '{"a": "\udcff"}',
}.items():

    @case(f"zarr: metadata {_what}", DAMAGED, NAME)
    def _(folder, text=_text):
        path = noise(folder)
        (path / ".zattrs").write_text(text, errors="surrogateescape")
        return ingest(folder, path)


GARBAGE = {
    "words": "a",
    "a number": 3,
    "lists of lists": [[[[]]]],
    "nothing": [],
    "objects": [{"path": {}, "name": [], "label": 3, "type": {}}] * 3,
}
REFUSED = {
    "multiscales": "its multiscales name no dataset",
    "plate": "is a plate or well of many images",
    "well": "is a plate or well of many images",
    "image-label": "holds labels and not an image",
    "omero": None,
}


def garbage_case(key, what, refused, *keys):
    check = None if refused else is_plain_noise

    @case(f"zarr: {key} of {what}", refused, NAME if refused else "", check=check)
    def _(folder):
        path = noise(folder)
        change(path / ".zattrs", *keys, key, value=GARBAGE[what])
        return ingest(folder, path)


for _what in GARBAGE:
    for _key, _refused in REFUSED.items():
        garbage_case(_key, _what, _refused)
    garbage_case("axes", _what, "cannot tell what its axes are", "multiscales", 0)
    garbage_case("datasets", _what, "its multiscales name no dataset", "multiscales", 0)
    garbage_case("coordinateTransformations", _what, None, "multiscales", 0, "datasets", 0)


@case("zarr: a version of many lines", "is OME-Zarr 9 9, which is not read", NAME)
def _(folder):
    path = noise(folder)
    change(path / ".zattrs", "multiscales", 0, "version", value="9\n\x1b9")
    return ingest(folder, path)


@case("zarr: 2,000 images", "holds more than 1,000 images; give one of them", NAME)
def _(folder):
    path = folder / NAME
    zarr.create_group(path, zarr_format=2).attrs.put({"bioformats2raw.layout": 3})
    (path / "OME").mkdir()
    (path / "OME" / ".zattrs").write_text(json.dumps({"series": [str(n) for n in range(2000)]}))
    return ingest(folder, path)


@case("zarr: images whose XML has entities", "choose one with --scene", NAME)
def _(folder):
    path = folder / NAME
    group = zarr.create_group(path, zarr_format=2)
    group.attrs.put({"bioformats2raw.layout": 3})
    for number in "01":
        write_zarr(path / number, pixels())
    (path / "OME").mkdir()
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 9}">' for n in range(1, 40))
    xml = f'<!DOCTYPE OME [<!ENTITY a0 "x">{laughs}]><OME><Image Name="&a39;"/></OME>'
    (path / "OME" / "METADATA.ome.xml").write_text(xml)
    return ingest(folder, path)


# --- links -----------------------------------------------------------------------------------


def link_case(what, refused, key, target, check=None):
    @case(f"zarr: {what}", refused, NAME if refused else "", check=check)
    def _(folder):
        path = noise(folder)
        place = path / key
        (folder / "elsewhere").write_bytes(place.read_bytes() if place.is_file() else b"")
        if place.is_file():
            place.unlink()
        else:
            place.rename(folder / "moved")
        place.symlink_to(target)
        return ingest(folder, path)


OUT = "is a link that leads out of it; copy what it leads to into the Zarr"
link_case("a chunk that is a link out of it", OUT, "0/0.0.0", "../../elsewhere")
link_case("metadata that are a link out of it", OUT, "0/.zarray", "/etc/passwd")
link_case("an array that is a link out of it", OUT, "0", "../moved")
link_case("a chunk that is a link to itself", DAMAGED, "0/0.0.0", "0.0.0")
link_case("a chunk that is a link to nothing", "is a link to nothing", "0/0.0.0", "../0/nothing")
link_case("an array that is a link to itself", DAMAGED, "0", "0")


@case("zarr: folders in a circle", check=is_plain_noise)
def _(folder):
    path = noise(folder)
    (path / "0" / "again").symlink_to("..")
    return ingest(folder, path)


@case("zarr: chunks that are pipes and folders", "it has no chunk of its pixels|damaged", NAME)
def _(folder):
    path = noise(folder, chunks=(3, 150, 110))
    (path / "0" / "0.0.0").unlink()
    os.mkfifo(path / "0" / "0.0.0")
    return ingest(folder, path)


@case("zarr: gzip whose stream goes on after the chunk", DAMAGED, NAME)
def _(folder):
    path = noise(folder)
    change(path / "0" / ".zarray", "compressor", value={"id": "gzip"})
    (path / "0" / "0.0.0").write_bytes(gzip.compress(bytes(64 * 48 * 2 + 5000)))
    return ingest(folder, path)
