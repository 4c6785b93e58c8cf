"""A model that MODEL prepared, as one file: a zip, not compressed, of a SavedModel and its card.

One file, since a folder in a bucket can be there in part, and a cache would take it for whole.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import outputs
from ..errors import DataError, reason
from .card import CARD, FORMAT, sha256

MAX_UNPACKED = 2 << 30  # bytes; Mesmer's are a tenth
OF_THE_MACHINE = outputs.OF_THE_DISK | {errno.ENOMEM}
CACHE = "CELLQUILT_MODEL_CACHE"  # nextflow.config sets it to --model_cache


def pack(folder: Path, archive: Path) -> None:
    """Write a SavedModel and its card as one file, the same one for the same content."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            member.external_attr = 0o644 << 16
            with path.open("rb") as source, target.open(member, "w") as stream:
                shutil.copyfileobj(source, stream)


@contextmanager
def unpacked(archive: Path) -> Iterator[tuple[Path, dict]]:
    """Give the SavedModel of a prepared model as a folder, until the block ends, and its card.

    Parameters
    ----------
    archive : Path
        What MODEL wrote.

    Raises
    ------
    DataError
        If it is not what MODEL wrote, or incomplete or changed.
    """
    with TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(archive) as source:
                unpack(source, folder)
            card = json.loads((folder / CARD).read_text())
            if not isinstance(card, dict) or card.get("format") != FORMAT:
                raise ValueError(f"its card is not of format {FORMAT}")
            if card.get("saved_model_sha256") != sha256(folder):
                raise ValueError("its checksum is not that of the card")
        except Exception as error:  # zipfile raises anything of a damaged file
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in OF_THE_MACHINE:
                raise
            raise DataError(
                f"{archive.name}: the prepared model is incomplete, changed or of another version "
                f"({reason(error)}); {_remedy(archive)} and run again."
            ) from error
        yield folder, card


def unpack(source: zipfile.ZipFile, folder: Path) -> None:
    """Unpack a zip file's members as plain files.

    Raises
    ------
    ValueError
        If they are too large, or lead out of the folder.
    """
    if sum(member.file_size for member in source.infolist()) > MAX_UNPACKED:
        raise ValueError("too large for a network")
    for member in source.infolist():
        if member.is_dir():
            continue
        path = (folder / member.filename).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"{member.filename!r:.99} leads out of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open(member) as stream, path.open("wb") as target:
            shutil.copyfileobj(stream, target)


def _remedy(archive: Path) -> str:
    """Return where the file to delete is: a task in a cloud has a copy, soon gone."""
    cache = os.environ.get(CACHE)
    if cache:
        return f"delete {cache}/format-{FORMAT}-*/{archive.name}"
    return f"replace {archive.resolve()}"
