"""The card beside a SavedModel of Mesmer's network: what it is, and whether it is unchanged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..errors import DataError, reason

LICENCE = (
    "Mesmer's weights and deepcell are licensed for non-commercial academic use only "
    "(modified Apache licence of the Van Valen lab, California Institute of Technology)."
)
FORMAT = 2  # of the SavedModel; conf/modules.config keeps fetched ones under this number
OUTPUT_CHANNELS = (
    "whole-cell maxima",
    "whole-cell interior",
    "nuclear maxima",
    "nuclear interior",
)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents in sorted order.

    The card that `prepare_network` leaves in the folder does not count.
    """
    digest = hashlib.sha256()
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "model.json")
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode())
        with file.open("rb") as stream:
            for block in iter(lambda stream=stream: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


def read_card(folder: Path) -> dict:
    """Return the card of a prepared SavedModel after checking that the model is the one it names.

    Raises
    ------
    DataError
        If the folder is not one that MODEL wrote, or is incomplete or changed.
    """
    try:
        card = json.loads((folder / "model.json").read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{folder.name}: not a model that MODEL prepared ({reason(error)})."
        ) from error
    known = card if isinstance(card, dict) else {}
    if known.get("format") != FORMAT or known.get("saved_model_sha256") != sha256(folder):
        raise DataError(
            f"{folder.resolve()}: the prepared model is incomplete, changed or of another version; "
            "delete this folder and run again."
        )
    return card
