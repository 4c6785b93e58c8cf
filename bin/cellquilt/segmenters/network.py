"""A user's network, which its card describes."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..compartments import option_of, segmented
from ..errors import DataError
from ..handoff import stores
from ..labelling.map_store import Destination
from ..networks import saved_network
from ..networks.batch_size import limit_of
from ..networks.card import Card, card_of, check
from . import NORMALISED, WATERSHED, Described, Settings, given

if TYPE_CHECKING:
    from ..networks.tile_network import TileNetwork

log = logging.getLogger("cellquilt")
_DIGEST = "saved_model_sha256"


def load(settings: Settings) -> "CardNetwork":
    """Return a network, loaded.

    Raises
    ------
    DataError
        If there is not one network, it is none that is allowed, it does not fit its card, or it
        cannot run as asked.
    """
    if len(settings.networks) != 1:
        raise DataError(
            f"--segmenter network runs one network, and {len(settings.networks)} are given."
        )
    settings.refuse_precision()
    (path,) = settings.networks
    with saved_network.opened(path) as (folder, said):
        card, model = card_of(said, path.name), saved_network.model_of(said, folder)
        from ..networks.tile_network import choose_batch_size

        device = settings.take_device()
        limit = limit_of(card.geometry.tile)
        batch_size = min(settings.batch_size or 2, limit)
        network = saved_network.load(folder, card, path.name, batch_size)
    if settings.batch_size is None:
        choose_batch_size(network, settings.device, limit)
    log.info("infer: on %s, batches of %d tiles", device, network.batch_size)
    return CardNetwork(network, device, card, model)


class CardNetwork:
    """A network, loaded, with its card.

    Parameters
    ----------
    network : TileNetwork
    device : str
        What it runs on, for the provenance.
    card : Card
    model : dict
        What it is, for the provenance.
    """

    def __init__(self, network: "TileNetwork", device: str, card: Card, model: dict):
        self._network, self._device, self.card, self._model = network, device, card, model

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        """Compute the maps of a task, of all compartments that the network has.

        Raises
        ------
        DataError
            If the network does not fit what is asked of the slide.
        """
        from ..networks.segment import segment_by_card

        with stores.read(pixels) as task:
            check(self.card, segmented(compartment), task.attrs["facts"])
        segment_by_card(
            pixels,
            self._network,
            self.card,
            "network",
            "INFER",
            self._model,
            self._device,
            destination,
        )


def described(model: Mapping) -> Described:
    """Return what a paper says of a network, whose card is in provenance.json."""
    card = card_of({name: v for name, v in model.items() if name != _DIGEST}, "provenance.json")
    network = f"the network {given(card.name)}"
    if card.reference:
        network += f" ({given(card.reference)})"
    network += (
        f", run on tiles of {card.geometry.tile} px every {card.geometry.stride} px, blended where"
        f" they overlap (SHA-256 of its SavedModel {given(model.get(_DIGEST, 'not known'))})"
    )
    thresholds = {
        option_of([name]): asdict(of.thresholds) for name, of in card.compartments.items()
    }
    licence = f"The network {given(card.name)} has this licence: {given(card.licence)}."
    return Described(network, {}, NORMALISED, WATERSHED, thresholds, (licence,))
