"""The card inside the .keras file of a network of tiles, read without TensorFlow."""

from pathlib import Path

from ..compartments import OPTIONS
from ..errors import DataError, reason
from ..pixelcnn.card import UNREADABLE, are_thresholds, card_in

FORMAT = "unet-1"
CHANNELS = ["nuclear"]  # what it sees
MAX_LEVELS = 5  # each but the last halves a tile's side, which is 256 px
MAX_FILTERS = 512
MAX_MPP = 100
_NEEDED = {
    *("filters", "compartment", "channels", "model_mpp", "normalisation", "maps"),
    *("thresholds", "weights_sha256"),
}
MAPS = ["maxima", "interior"]
NORMALISATION = "mesmer"


def read_card(path: Path) -> dict:
    """Return the card of a network.

    Returns
    -------
    dict
        ``filters`` (of each level, from the whole tile down), ``compartment``, ``channels``,
        ``normalisation`` of these, ``model_mpp`` (um), ``maps``, ``thresholds`` of the watershed,
        ``weights_sha256``, and how it was trained and tested.

    Raises
    ------
    DataError
        If the file is no such network.
    """
    try:
        card = card_in(path)
    except UNREADABLE as error:
        raise DataError(
            f"{path.name}: not a network for --segmenter nuclei ({reason(error)}); give one of"
            " --mode train --architectures unet, or leave out --models."
        ) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(
            f"{path.name}: a network of another kind, and not one for --segmenter nuclei; give one"
            " of --mode train --architectures unet. Pixel classifiers are for --segmenter pixelcnn."
        )
    if not _is_complete(card):
        raise DataError(f"{path.name}: its card is incomplete; train or fetch it again.")
    return card


def _is_complete(card: dict) -> bool:
    """Return whether a card has what is needed of it, all of it of its kind."""
    return (
        not _NEEDED - set(card)
        and are_filters(card["filters"])
        and card["compartment"] in [*OPTIONS]  # it may be unhashable
        and card["channels"] == CHANNELS
        and card["normalisation"] == NORMALISATION
        and card["maps"] == MAPS
        and type(card["model_mpp"]) in (int, float)
        and 0 < card["model_mpp"] <= MAX_MPP
        and isinstance(card.get("training", {}), dict)
        and _is_start(card.get("training", {}).get("start"))
        and are_thresholds(card["thresholds"])
    )


def _is_start(value: object) -> bool:
    """Return whether a value can be what is said of the network that one was trained from."""
    needed = ("weights_sha256", "data_license")
    return (
        value is None
        or isinstance(value, dict)
        and all(isinstance(value.get(name), str) for name in needed)
    )


def are_filters(value: object) -> bool:
    """Return whether a value is what a network's levels can have."""
    return (
        isinstance(value, list)
        and 2 <= len(value) <= MAX_LEVELS
        and all(type(filters) is int and 1 <= filters <= MAX_FILTERS for filters in value)
    )
