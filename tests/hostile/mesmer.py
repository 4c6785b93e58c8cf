"""Files given as Mesmer's weights; written and run in the deepcell environment."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py

from .corpus import Case, script
from .damaged import Canary
from .tiff import zeros_deflated


def tar(path: Path, *members: tuple[str, bytes | None, bytes, str]) -> Path:
    """Write a .tar.gz of (name, content, type, target of a link)."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(content or b"")
            info.devmajor, info.devminor = 1, 5
            archive.addfile(info, io.BytesIO(content or b""))
    return path


def one(name: str, content: bytes | None = b"", kind: bytes = tarfile.REGTYPE, target=""):
    return lambda folder: tar(folder / "net.tar.gz", (name, content, kind, target))


def written(name: str, make):
    def build(folder):
        (folder / name).write_bytes(make(folder))
        return folder / name

    return build


def zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../escaped", b"")
    return stream.getvalue()


def hdf5(folder: Path) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["model_config"] = '{"class_name": "Lambda"}'
    return stream.getvalue()


def tar_bomb(folder: Path) -> Path:
    """Write an archive of some megabytes with a file of 20 GB."""
    info = tarfile.TarInfo("model/saved_model.pb")
    info.size = 20 << 30
    head = gzip.compress(info.tobuf())
    block = zeros_deflated(1 << 28)[2:-4]
    crc = zlib.crc32(bytes(1 << 28))
    member = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block + struct.pack("<II", crc, 1 << 28)
    (folder / "net.tar.gz").write_bytes(head + member * 80)
    return folder / "net.tar.gz"


def onnx_outside(folder: Path) -> bytes:
    """Return a network one of whose weights lies in a file elsewhere, made without onnx."""

    def field(number: int, content: bytes | int) -> bytes:
        def varint(value):
            out = b""
            while value > 127:
                out, value = out + bytes([value & 127 | 128]), value >> 7
            return out + bytes([value])

        if isinstance(content, int):
            return varint(number << 3) + varint(content)
        return varint(number << 3 | 2) + varint(len(content)) + content

    entries = [("location", "../secret"), ("offset", "0"), ("length", "4")]
    external = b"".join(
        field(13, field(1, key.encode()) + field(2, value.encode())) for key, value in entries
    )
    name = b"panopticnet/conv_channels/BiasAdd_weights_fused_bn"
    tensor = field(1, 1) + field(2, 1) + field(8, name) + external + field(14, 1)
    (folder.parent / "secret").write_bytes(b"four")
    return field(1, 8) + field(7, field(5, tensor))


REFUSED = {
    "a pickle as .onnx": (
        written("net.onnx", lambda folder: pickle.dumps(Canary(folder / "ran"))),
        "not a whole .onnx",
    ),
    "a pickle as .tar.gz": (
        written("net.tar.gz", lambda folder: pickle.dumps(Canary(folder / "ran"))),
        "not a readable .tar.gz",
    ),
    "a pickle in a folder": (
        lambda folder: (
            (folder / "net").mkdir(),
            (folder / "net/saved_model.pb").write_bytes(pickle.dumps(Canary(folder / "ran"))),
            folder / "net",
        )[-1],
        "not a Keras SavedModel",
    ),
    "HDF5 as .onnx": (written("net.onnx", hdf5), "not a whole .onnx"),
    "a zip with a path as .tar.gz": (written("net.tar.gz", zipped), "not a readable .tar.gz"),
    "a path in a .tar.gz": (one("../../escaped", b"x"), "unsafe member"),
    "an absolute path in a .tar.gz": (one("/escaped", b"x"), "unsafe member"),
    "a device in a .tar.gz": (one("model/zero", None, tarfile.CHRTYPE), "unsafe member"),
    "a FIFO in a .tar.gz": (one("model/pipe", None, tarfile.FIFOTYPE), "unsafe member"),
    "a link in a .tar.gz": (one("model", None, tarfile.SYMTYPE, "/"), "unsafe member"),
    "a hard link in a .tar.gz": (one("a", None, tarfile.LNKTYPE, "/etc/fstab"), "unsafe member"),
    "a file of 20 GB in a .tar.gz": (tar_bomb, "too large for Mesmer's weights"),
    "weights outside of an .onnx": (
        written("net.onnx", onnx_outside),
        "outside",
    ),
}


def cases() -> dict[str, Case]:
    """Return the cases of Mesmer's weights by name."""

    def built(make):
        def build(folder):
            path = make(folder)
            return script("model", "--weights", path, "--model", folder / "out" / "mesmer.zip")

        return build

    return {
        name: Case(name, built(make), message, None, "net")
        for name, (make, message) in REFUSED.items()
    }
