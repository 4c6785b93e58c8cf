"""The files of a Zarr, which are in a folder or in a zip; nothing outside of it is read."""

import errno
import json
import os
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, reason
from ..images.strict_tifffile import DAMAGED

METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_MAX_METADATA_BYTES = 1 << 25  # of all together
_MAX_INDEX_BYTES = 10**8  # of a zip, which Python keeps as 1 to 2 GB; a million chunks have 80 MB
# What a file is to blame for, and not the machine
_OF_THE_FILE = {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}


class ZarrFiles:
    """The files of a Zarr by their keys, such as ``0/.zarray``; for threads, too.

    Parameters
    ----------
    path : Path
        A folder or zip.

    Raises
    ------
    DataError
        A zip that is damaged, encrypted or too large to be indexed.
    """

    def __init__(self, path: Path):
        self.path, self._root = path, os.path.realpath(path)
        self._metadata_left = _MAX_METADATA_BYTES
        self._zip = None if path.is_dir() else _open_zip(path)
        self._lock = threading.Lock() if self._zip else nullcontext()
        self._folder = ""  # of the zip, in which the Zarr is
        names = self._zip.NameToInfo if self._zip else {}
        if names and not any(name in names for name in METADATA):
            tops = {name.partition("/")[0] for name in names} - {"__MACOSX"}
            self._folder = f"{tops.pop()}/" if len(tops) == 1 else ""  # a folder was zipped

    def close(self) -> None:
        """Close the zip."""
        if self._zip:
            self._zip.close()

    def read(self, key: str, most: int, start: int = 0, stop: int | None = None) -> bytes | None:
        """Return the bytes of a file from `start` to `stop`; None if there is no such file.

        Parameters
        ----------
        key : str
        most : int
            How many bytes there may be.
        start : int
            From the end where it is negative.
        stop : int, optional
            Exclusive; the end of the file without it.

        Raises
        ------
        DataError
            More bytes than that, a link that leads out of the Zarr, or a file that cannot be read.
        """
        with self._lock, self._readable(key):
            found = self._open(key)
            if found is None:
                return None
            file, size = found
            with file:
                start = max(size + start, 0) if start < 0 else min(start, size)
                stop = size if stop is None else min(stop, size)
                if stop - start > most:
                    raise self.damaged(f"{key}: {stop - start:,} bytes, more than {most:,}")
                if start:
                    file.seek(start)
                return file.read(max(stop - start, 0))

    @contextmanager
    def _readable(self, key: str) -> Iterator[None]:
        """Turn into `DataError` what a file is to blame for."""
        try:
            yield
        except OSError as error:
            if error.errno not in _OF_THE_FILE:
                raise
            raise self.damaged(f"{key}: {error.strerror}") from error
        except (DataError, MemoryError):
            raise
        except Exception as error:  # zipfile and what it decompresses with raise anything
            raise self.damaged(f"{key}: {reason(error)}") from error

    def _open(self, key: str) -> tuple[BinaryIO, int] | None:
        """Return an open file and its size."""
        if self._zip:
            info = self._zip.NameToInfo.get(self._folder + key)
            return info and (self._zip.open(info), info.file_size)
        place = os.path.join(self._root, key)
        try:
            real = os.path.realpath(place, strict=True)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(place):
                raise self.damaged(f"{key} is a link to nothing") from None
            return None
        if not real.startswith(self._root.rstrip(os.sep) + os.sep):
            raise DataError(
                f"{self.path}: its {key:.99} is a link that leads out of it; copy what it leads to"
                " into the Zarr, for example by cp -rL"
            )
        return (open(real, "rb"), os.path.getsize(real)) if os.path.isfile(real) else None

    def json(self, key: str) -> dict | None:
        """Return a metadata file, None if there is none."""
        content = self.read(key, self._metadata_left)
        if content is None:
            return None
        self._metadata_left -= len(content)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"{key}: {reason(error)}") from error
        if not isinstance(document, dict):
            raise self.damaged(f"{key}: not an object of JSON")
        return document

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the files below a folder, by their path from there, with their bytes.

        And folders, whose paths end in a slash; links to some are not followed.
        """
        if self._zip:
            begin = f"{self._folder}{folder}/" if folder else self._folder
            for name, info in self._zip.NameToInfo.items():
                if name.startswith(begin):
                    yield name[len(begin) :], info.file_size
            return
        top = os.path.join(self._root, folder)
        rest = [top]
        while rest:
            with self._readable(folder), os.scandir(rest.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        rest.append(entry.path)
                        yield f"{entry.path[len(top) + 1 :]}/", 0
                    elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                        size = entry.stat(follow_symlinks=False).st_size
                        yield entry.path[len(top) + 1 :], size

    def damaged(self, problem: str) -> DataError:
        """Return the error for a Zarr with this problem."""
        return DataError(f"{self.path}: truncated or damaged ({reason(problem)}); {DAMAGED}")


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        _check_index(path)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(f"{path}: truncated or damaged ({reason(error)}); {DAMAGED}") from error
    if any(info.flag_bits & 1 for info in archive.infolist()):
        archive.close()
        raise DataError(f"{path}: is encrypted; write it again without password")
    return archive


def _check_index(path: Path) -> None:
    """Refuse a zip whose index is too large for memory, before it is read."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 1 << 17), os.SEEK_END)
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    large = tail.rfind(b"PK\6\6", 0, max(end, 0))  # of ZIP64, which is before it
    size = 0
    if end >= 0:
        (size,) = struct.unpack_from("<I", tail, end + 12)
    if large >= 0:
        size = max(size % 0xFFFFFFFF, *struct.unpack_from("<Q", tail, large + 40))
    if size > _MAX_INDEX_BYTES:
        raise DataError(
            f"{path}: its index of {size:,} bytes is of too many files; unpack it, or write it with"
            " larger chunks or with shards"
        )
