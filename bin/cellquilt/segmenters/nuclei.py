"""The network for nuclei that comes with the pipeline, or one that was trained further from it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..compartments import OPTIONS, option_of, segmented
from ..errors import DataError
from ..labelling.map_store import MAXIMA_INTERIOR, CompartmentMaps, Destination
from ..labelling.thresholds import Thresholds
from ..unet.card import MAPS, read_card
from . import NORMALISED, WATERSHED, Described, Settings, given

if TYPE_CHECKING:
    from ..networks.tile_network import TileNetwork

log = logging.getLogger("cellquilt")


def load(settings: Settings) -> "Nuclei":
    """Return the network, loaded.

    Raises
    ------
    DataError
        If there is not one network, it is none of this kind, or it cannot run as asked.
    """
    if len(settings.networks) != 1:
        raise DataError(
            f"--segmenter nuclei is one network, and {len(settings.networks)} are given; give one"
            " of them."
        )
    settings.refuse_precision()
    (path,) = settings.networks
    read_card(path)
    # TensorFlow takes seconds to import, so only once the arguments are known to be right
    from ..networks.tile_network import TileNetwork, choose_batch_size
    from ..unet.network import load as load_network

    device = settings.take_device()
    maps = load_network(path)
    network = TileNetwork(maps, maps.tile_shape, settings.batch_size or 2)
    if settings.batch_size is None:
        choose_batch_size(network, settings.device)
    log.info("detect: on %s, batches of %d tiles", device, network.batch_size)
    return Nuclei(network, device, maps.card)


@dataclass(frozen=True)
class Nuclei:
    """The network, loaded; see `segment_task`."""

    network: "TileNetwork"
    device: str
    card: dict

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        """Compute the maps of a task.

        Raises
        ------
        DataError
            If more is asked for than the network finds.
        """
        found = self.card["compartment"]
        if segmented(compartment) != (OPTIONS[found],):
            raise DataError(
                f"--segmenter nuclei finds nuclei, and --compartment {compartment} asks for whole"
                " cells; add --expand_um with a distance in um, which makes cells of nuclei, or"
                f" --compartment {found}."
            )
        segment_task(pixels, self.network, self.device, self.card, destination)


def segment_task(
    pixels: Path, network: "TileNetwork", device: str, card: dict, destination: Destination
) -> None:
    """Compute the maps of a task, by a network that is loaded.

    Parameters
    ----------
    pixels : Path
        The task's store, as PATCH wrote it.
    network : TileNetwork
        A `unet.network.TileMaps` in batches.
    device : str
        What it runs on, for the provenance.
    card : dict
        The network's own.
    destination : Destination
        What takes its two maps.
    """
    from ..networks.segment import Segmenter, segment
    from ..networks.task_tiles import BlendedTiles

    maps = CompartmentMaps(
        MAXIMA_INTERIOR,
        (MAPS.index("maxima"), MAPS.index("interior")),
        Thresholds(**card["thresholds"]),
    )
    model = {"name": "nuclei", **card}
    nuclei = Segmenter("nuclei", "DETECT", model, len(MAPS), {OPTIONS[card["compartment"]]: maps})
    segment(pixels, network, BlendedTiles, nuclei, device, destination)


def described(model: Mapping) -> Described:
    """Return what a paper says of the network whose card is in provenance.json."""
    training = model.get("training", {})
    network = (
        f"{_origin(training)}, a U-Net [@unet] of"
        f" {given(model.get('n_parameters'))} parameters that gives of each pixel the probability"
        " that it is inside a nucleus, and its distance to the border as a part of the nucleus's"
        " largest"
        f" (SHA-256 of the weights {given(model['weights_sha256'])})"
    )
    option = option_of([OPTIONS[model["compartment"]]])
    learnt = [training.get("start"), training]
    licences = [given(each.get("data_license", "not stated")) for each in learnt if each]
    stated = tuple(
        f"The network for nuclei was trained on data with this licence: {each}"
        f"{' [@bbbc038]' if 'BBBC038' in each else ''}."
        for each in dict.fromkeys(licences or ["not stated"])
    )
    thresholds = {option: model["thresholds"]}
    return Described(network, {}, NORMALISED, WATERSHED, thresholds, stated)


def _origin(training: Mapping) -> str:
    """Return whose the network is; that which comes with the pipeline names no start."""
    if "start" not in training:
        return "the network for nuclei of Cellquilt"
    found = "a network for nuclei that Cellquilt trained on labelled images"
    if start := training["start"]:
        sha256 = given(start["weights_sha256"])
        found += f", further from its own one (SHA-256 of the weights {sha256})"
    return found
