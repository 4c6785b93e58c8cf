"""SHA-256 of the files of a slide, by which anybody can tell that they have the same ones."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, reason


def checksums_of(paths: Sequence[Path]) -> list[dict]:
    """Return ``name`` and ``sha256`` of files and folders; files are read in blocks.

    That of a folder, which also has ``n_files``, is of the text that ``sha256sum`` prints of its
    files: a line ``<sha256>  <name>`` each, by the path in the folder, sorted by bytes.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    return [_of_folder(path) if path.is_dir() else _of_file(path) for path in paths]


def _of_file(path: Path) -> dict:
    return {"name": path.name, "sha256": _digest(path)}


def _of_folder(folder: Path) -> dict:
    names = sorted(os.fsencode(path.relative_to(folder)) for path in _files(folder))
    whole = hashlib.sha256()
    for name in names:
        digest = _digest(folder / os.fsdecode(name))
        whole.update(digest.encode() + b"  " + name + b"\n")
    return {"name": folder.name, "sha256": whole.hexdigest(), "n_files": len(names)}


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, also behind links, but for those that lead back to it."""
    for place, inner, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(place)
        inner[:] = [name for name in inner if not _leads_back(os.path.join(place, name), here)]
        yield from (path for name in names if (path := Path(place, name)).is_file())


def _leads_back(path: str, here: str) -> bool:
    target = os.path.realpath(path)
    return os.path.islink(path) and os.path.commonpath([target, here]) == target


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}).") from error
