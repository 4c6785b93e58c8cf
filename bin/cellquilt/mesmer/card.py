"""The card in a model of Mesmer's network: what the model is."""

from __future__ import annotations

import hashlib
from pathlib import Path

LICENCE = (
    "Mesmer's weights and deepcell are licensed for non-commercial academic use only "
    "(modified Apache licence of the Van Valen lab, California Institute of Technology)."
)
FORMAT = 4  # of what MODEL writes; conf/modules.config keeps fetched ones under this number
OUTPUT_CHANNELS = (
    "whole-cell maxima",
    "whole-cell interior",
    "nuclear maxima",
    "nuclear interior",
)
CARD = "model.json"


def sha256(path: Path, members: list[str] | None = None) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents in sorted order.

    The card in the folder does not count; where `members` are named, these alone do.
    """
    digest = hashlib.sha256()
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != CARD)
        if members is not None:
            files = sorted(path / name for name in members)
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            for block in iter(lambda stream=stream: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()
