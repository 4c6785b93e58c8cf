"""Pixel classifiers of ``--mode train``, or those that come with the pipeline."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..compartments import OPTIONS, segmented
from ..handoff import stores
from ..labelling.map_store import CLASS_PROBABILITIES, CompartmentMaps, Destination
from ..labelling.thresholds import Thresholds
from ..pixelcnn.card import mean_thresholds, read_card
from . import NORMALISED, WATERSHED, Described, Settings, given

if TYPE_CHECKING:
    from ..networks.tile_network import TileNetwork
    from ..pixelcnn.classify import PixelClassifier

log = logging.getLogger("cellquilt")


def load(settings: Settings) -> "PixelCNN":
    """Return the pixel classifiers; networks are loaded once a task needs them.

    Raises
    ------
    DataError
        If a file is no network, or it cannot run as asked.
    """
    cards = {path: read_card(path) for path in settings.networks}
    settings.refuse_precision()
    return PixelCNN(settings, cards)


class PixelCNN:
    """Pixel classifiers; those of a compartment are loaded for the first task that asks for it.

    Parameters
    ----------
    settings : Settings
    cards : dict
        Card of each network's file.
    """

    def __init__(self, settings: Settings, cards: dict[Path, dict]):
        self._settings, self._cards = settings, cards
        self._loaded: dict[tuple[str, ...], tuple[PixelClassifier, TileNetwork]] = {}
        self._device = ""

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        """Compute the class probabilities of a task; see `segment_task`.

        Raises
        ------
        DataError
            If the networks do not fit what is asked of the slide.
        """
        with stores.read(pixels) as task:
            facts = task.attrs["facts"]
        # TensorFlow takes seconds to import
        from ..pixelcnn.classify import check

        compartments = segmented(compartment)
        check({path.name: card for path, card in self._cards.items()}, compartments, facts)
        if compartments not in self._loaded:
            self._loaded[compartments] = self._load(compartments)
        segment_task(pixels, *self._loaded[compartments], self._device, destination)

    def _load(self, compartments: tuple[str, ...]) -> "tuple[PixelClassifier, TileNetwork]":
        from ..networks.tile_network import TileNetwork, choose_batch_size
        from ..pixelcnn.classify import PixelClassifier
        from ..pixelcnn.network import load

        cards, settings = self._cards.items(), self._settings
        wanted = [path for path, card in cards if OPTIONS[card["compartment"]] in compartments]
        self._device = self._device or settings.take_device()
        classifier = PixelClassifier([load(path) for path in wanted])
        batch_size = min(settings.batch_size or 2, classifier.max_batch)
        network = TileNetwork(classifier, classifier.tile_shape, batch_size)
        if settings.batch_size is None:
            choose_batch_size(network, settings.device, classifier.max_batch)
        log.info("classify: on %s, batches of %d tiles", self._device, network.batch_size)
        return classifier, network


def segment_task(
    pixels: Path,
    classifier: "PixelClassifier",
    network: "TileNetwork",
    device: str,
    destination: Destination,
) -> None:
    """Compute the class probabilities of a task, by networks that are loaded.

    Parameters
    ----------
    pixels : Path
        The task's store, as PATCH wrote it.
    classifier : PixelClassifier
    network : TileNetwork
        The classifier, in batches.
    device : str
        What it runs on, for the provenance.
    destination : Destination
        What takes them, as the classifier gives them.
    """
    from ..networks.segment import Segmenter, segment
    from ..pixelcnn.classify import N_MAPS, PLANES
    from ..pixelcnn.windows import CoreTiles

    compartments = {
        name: CompartmentMaps(
            CLASS_PROBABILITIES,
            PLANES[name],
            Thresholds(**mean_thresholds(network.card for network in networks)),
        )
        for name, networks in classifier.networks.items()
    }
    model = {"name": "pixelcnn", "networks": classifier.cards}
    pixelcnn = Segmenter("pixelcnn", "CLASSIFY", model, N_MAPS, compartments)
    layout = partial(CoreTiles, radius=classifier.radius, n_channels=classifier.n_channels)
    segment(pixels, network, layout, pixelcnn, device, destination)


def described(model: Mapping) -> Described:
    """Return what a paper says of the networks whose cards are in provenance.json."""
    cards = model.get("networks", [])
    of = {option: [card for card in cards if card["compartment"] == option] for option in OPTIONS}
    of = {option: own for option, own in of.items() if own}
    network = (
        "pixel classifiers, convolutional networks that give of each pixel the probabilities that"
        " it is inside an object, at its edge, or neither, evaluated densely [@giusti]"
    )
    thresholds = {option: mean_thresholds(own) for option, own in of.items()}
    licences = [card.get("training", {}).get("data_license", "not stated") for card in cards]
    stated = tuple(
        f"Pixel classifiers were trained on data with this licence: {given(licence)}"
        f"{' [@bbbc038]' if 'BBBC038' in licence else ''}."
        for licence in dict.fromkeys(licences)
    )
    networks = {option: _networks(own) for option, own in of.items()}
    return Described(network, networks, NORMALISED, WATERSHED, thresholds, stated)


def _networks(cards: list[dict]) -> str:
    each = [
        f"{given(card['architecture'])} (field of {card['patch']} x {card['patch']} px of the"
        f" {' and the '.join(card['channels'])} image, SHA-256 of the weights"
        f" {given(card['weights_sha256'])})"
        for card in cards
    ]
    return f"{'the mean of the networks' if len(each) > 1 else 'the network'} {' and '.join(each)}"
