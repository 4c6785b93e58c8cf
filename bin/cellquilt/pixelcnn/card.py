"""The card inside a pixel classifier's .keras file: what it is, read without TensorFlow."""

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..compartments import OPTIONS
from ..errors import DataError, reason
from ..labelling.thresholds import Thresholds

CARD = "cellquilt.json"
FORMAT = 1
MAX_CARD_BYTES = 1 << 20
INPUTS = ("nuclear", "membrane")
THRESHOLDS = {field.name: type(field.default) for field in fields(Thresholds)}
MAX_THRESHOLD = 100  # TRAIN writes 15 at most; LABEL looks that far around a pixel
_NEEDED = {
    *("architecture", "patch", "layers", "compartment", "channels", "thresholds"),
    *("model_mpp", "classes", "weights_sha256"),
}

# what zipfile and h5py raise for damaged files
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
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
        card = card_in(path)
    except UNREADABLE as error:
        raise DataError(
            f"{path.name}: not a pixel classifier that --mode train wrote ({reason(error)})."
        ) from error
    if isinstance(card, dict) and str(card.get("format")).startswith("unet"):
        raise DataError(
            f"{path.name}: a U-Net for nuclei, and no pixel classifier; give it to --segmenter"
            " nuclei."
        )
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path.name}: a pixel classifier of another version; train it again.")
    if not _is_complete(card):
        raise DataError(f"{path.name}: its card is incomplete; train it again.")
    return card


def card_in(path: Path) -> object:
    """Return what the card of a network's file holds, whatever that is.

    Raises
    ------
    UNREADABLE
        If there is none, or it is damaged or too long.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(CARD).file_size > MAX_CARD_BYTES:
            raise ValueError("its card is too long")
        return json.loads(archive.read(CARD))


def _is_complete(card: dict) -> bool:
    """Return whether a card has what is needed of it, all of it of its kind."""
    if _NEEDED - set(card):
        return False
    return (
        card["compartment"] in [*OPTIONS]  # it may be unhashable
        and card["channels"] in (list(INPUTS), list(INPUTS[:1]))
        and isinstance(card["classes"], list)
        and isinstance(card["model_mpp"], int | float)
        and are_thresholds(card["thresholds"])
    )


def are_thresholds(value: object) -> bool:
    """Return whether a card's thresholds are all there, each of its kind and within its limits."""
    return (
        isinstance(value, dict)
        and set(value) == set(THRESHOLDS)
        and all(_is_threshold(value[name], kind) for name, kind in THRESHOLDS.items())
    )


def _is_threshold(value: object, kind: type) -> bool:
    kinds = (int,) if kind is int else (int, float)
    return type(value) in kinds and 0 <= value <= MAX_THRESHOLD


def mean_thresholds(cards: Iterable[dict]) -> dict[str, float | int]:
    """Return the mean of the thresholds that networks of one compartment were trained to."""
    every = [card["thresholds"] for card in cards]
    return {name: _mean([thresholds[name] for thresholds in every]) for name in every[0]}


def _mean(values: list[float]) -> float:
    """Return the mean; of whole numbers the middle one, so that an odd side stays odd."""
    if all(isinstance(value, int) for value in values):
        return sorted(values)[len(values) // 2]
    return float(np.mean(values))
