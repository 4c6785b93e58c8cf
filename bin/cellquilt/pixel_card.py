"""The card inside a pixel classifier's .keras file: what it is, read without TensorFlow."""

import json
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

from .errors import DataError
from .watershed import Thresholds

CARD = "cellquilt.json"
FORMAT = 1
MAX_CARD_BYTES = 1 << 20
INPUTS = ("nuclear", "membrane")
COMPARTMENTS = ("whole-cell", "nuclear")
THRESHOLDS = tuple(field.name for field in fields(Thresholds))

# what zipfile and h5py raise for damaged files
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile),
)


def read_card(path: Path) -> dict:
    """Return the card of a network.

    Returns
    -------
    dict
        ``architecture``, ``patch`` and ``layers``; ``compartment``, ``channels`` (of `INPUTS`),
        ``model_mpp`` (um), ``classes``, ``thresholds`` of the watershed, ``weights_sha256``, and
        how it was trained and tested.

    Raises
    ------
    DataError
        If the file is not a network that TRAIN wrote.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CARD).file_size > MAX_CARD_BYTES:
                raise ValueError("its card is too long")
            card = json.loads(archive.read(CARD))
    except UNREADABLE as error:
        raise DataError(
            f"{path.name}: not a pixel classifier that --mode train wrote ({error})."
        ) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path.name}: a pixel classifier of another version; train it again.")
    needed = {
        *("architecture", "patch", "layers", "compartment", "channels", "thresholds"),
        *("model_mpp", "classes", "weights_sha256"),
    }
    known = card.get("compartment") in COMPARTMENTS and card.get("channels") in (
        list(INPUTS),
        list(INPUTS[:1]),
    )
    thresholds = card.get("thresholds")
    known = known and isinstance(thresholds, dict)
    if needed - set(card) or not known or set(thresholds) != set(THRESHOLDS):
        raise DataError(f"{path.name}: its card is incomplete; train it again.")
    return card
