"""Mesmer (Greenwald et al., Nat Biotechnol 40:555, 2022, https://doi.org/10.1038/s41587-021-01094-0)."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..compartments import option_of
from ..errors import DataError
from ..labelling.map_store import MAXIMA_INTERIOR, CompartmentMaps, Destination
from ..labelling.thresholds import Thresholds
from ..mesmer import model_archive
from ..mesmer.card import LICENCE, OUTPUT_CHANNELS
from ..networks.card import Card
from ..networks.precision_check import MAX_MAP_DIFFERENCE
from ..tiling.lattice import DEFAULT
from . import NORMALISED, WATERSHED, Described, Settings, given

if TYPE_CHECKING:
    from ..networks.tile_network import TileNetwork

log = logging.getLogger("cellquilt")

# Those of ``Mesmer.predict`` in deepcell 0.12.10, which differ in one
_WHOLE_CELL = Thresholds(
    maxima_threshold=0.075,
    interior_threshold=0.2,
    interior_smooth=2.0,
    small_objects_threshold=15,
    fill_holes_threshold=15,
    radius=2,
)
THRESHOLDS = {"cell": _WHOLE_CELL, "nucleus": replace(_WHOLE_CELL, maxima_threshold=0.1)}
_CHANNELS = {
    "cell": ("whole-cell maxima", "whole-cell interior"),
    "nucleus": ("nuclear maxima", "nuclear interior"),
}
COMPARTMENTS = {
    name: CompartmentMaps(
        MAXIMA_INTERIOR, tuple(map(OUTPUT_CHANNELS.index, channels)), THRESHOLDS[name]
    )
    for name, channels in _CHANNELS.items()
}
CARD = Card("Mesmer", DEFAULT, 2, COMPARTMENTS, len(OUTPUT_CHANNELS), LICENCE)


def load(settings: Settings) -> "Mesmer":
    """Return Mesmer, loaded.

    Raises
    ------
    DataError
        If there is not one model, it is not one of MODEL's, or it cannot run as asked.
    """
    if len(settings.networks) != 1:
        raise DataError(
            f"Mesmer is one model, and {len(settings.networks)} are given; give MODEL's."
        )
    (model,) = settings.networks
    with model_archive.unpacked(model) as (folder, card):
        # TensorFlow takes seconds to import, so only once the arguments are known to be right
        from ..networks.tile_network import Mode, Network, choose_batch_size

        mode = Mode(settings.precision, settings.xla)
        mode.check(settings.device)
        device = settings.take_device()
        network = Network(folder, settings.batch_size or 2, mode)
    if settings.batch_size is None:
        choose_batch_size(network, settings.device)
    log.info("segment: on %s, batches of %d tiles", device, network.batch_size)
    return Mesmer(network, device, card, settings.max_map_difference)


@dataclass(frozen=True)
class Mesmer:
    """Mesmer's network, loaded; see `segment_task`."""

    network: "TileNetwork"
    device: str
    card: dict
    max_map_difference: float

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        """Compute the maps of a task, of both compartments whatever is asked for."""
        network, limit = self.network, self.max_map_difference
        segment_task(pixels, network, self.device, self.card, destination, limit)


def segment_task(
    pixels: Path,
    network: "TileNetwork",
    device: str,
    card: dict,
    destination: Destination,
    max_map_difference: float = MAX_MAP_DIFFERENCE,
) -> None:
    """Compute the maps of a task, both compartments', by a network that is loaded.

    Parameters
    ----------
    pixels : Path
        The task's store, as PATCH wrote it.
    network : TileNetwork
    device : str
        What it runs on, for the provenance.
    card : dict
        What the SavedModel is, for the provenance.
    destination : Destination
        What takes the maps, in the order of `OUTPUT_CHANNELS`.
    max_map_difference : float
        See `networks.precision_check`.
    """
    from ..networks.segment import segment_by_card

    segment_by_card(
        pixels, network, CARD, "mesmer", "SEGMENT", card, device, destination, max_map_difference
    )


def described(model: Mapping) -> Described:
    """Return what a paper says of Mesmer, whose card is in provenance.json."""
    network = "Mesmer [@mesmer], a deep network of the DeepCell library [@deepcell,kiosk]"
    if "weights" in model:
        network += f", with the weights of {given(model['weights'])}"
    if digest := model.get("weights_sha256"):
        network += f" (SHA-256 {given(digest)})"
    software = model.get("software", {})
    used = [
        f"{title} {given(software[name])}"
        for name, title in (("deepcell", "deepcell"), ("tensorflow", "TensorFlow"))
        if name in software
    ]
    if used:
        network += f", prepared with {' and '.join(used)}"
    thresholds = {option_of([name]): asdict(limits) for name, limits in THRESHOLDS.items()}
    licences = (given(model["licence"]),) if model.get("licence") else ()
    return Described(network, {}, NORMALISED, WATERSHED, thresholds, licences)
