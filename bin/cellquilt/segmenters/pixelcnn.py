"""Pixel classifiers of ``--mode train``, or those that come with the pipeline."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..compartments import OPTIONS
from ..errors import DataError
from ..handoff import stores
from ..labelling.map_store import CLASS_PROBABILITIES, CompartmentMaps
from ..labelling.thresholds import Thresholds
from ..pixelcnn.card import read_card
from . import Request

if TYPE_CHECKING:
    from ..networks.tile_network import TileNetwork
    from ..pixelcnn.classify import PixelClassifier

log = logging.getLogger("cellquilt")


def segment(request: Request) -> None:
    """Write the class probabilities of a task; see `segment_task`.

    Raises
    ------
    DataError
        If a file is no network, or the networks do not fit what is asked of the slide.
    """
    cards = {path: read_card(path) for path in request.networks}
    with stores.read(request.pixels) as task:
        facts = task.attrs["facts"]
    if request.precision != "float32" or request.xla:
        raise DataError("--precision and --xla are for --segmenter mesmer; leave them out.")
    # TensorFlow takes seconds to import
    from ..networks.tile_network import TileNetwork, choose_batch_size, select_device
    from ..pixelcnn.classify import PixelClassifier, check
    from ..pixelcnn.network import load

    check({path.name: card for path, card in cards.items()}, request.compartments, facts)
    wanted = [
        path for path, card in cards.items() if OPTIONS[card["compartment"]] in request.compartments
    ]
    device = select_device(request.device, request.cpus)
    classifier = PixelClassifier([load(path) for path in wanted])
    batch_size = min(request.batch_size or 2, classifier.max_batch)
    network = TileNetwork(classifier, classifier.tile_shape, batch_size)
    if request.batch_size is None:
        choose_batch_size(network, request.device, classifier.max_batch)
    log.info("classify: on %s, batches of %d tiles", device, network.batch_size)
    segment_task(request.pixels, classifier, network, device, request.maps)


def segment_task(
    pixels: Path,
    classifier: "PixelClassifier",
    network: "TileNetwork",
    device: str,
    maps: Path,
) -> None:
    """Write the class probabilities of a task, by networks that are loaded.

    Parameters
    ----------
    pixels : Path
        The task's store, as PATCH wrote it.
    classifier : PixelClassifier
    network : TileNetwork
        The classifier, in batches.
    device : str
        What it runs on, for the provenance.
    maps : Path
        Store to write, its maps as the classifier gives them.
    """
    from ..networks.segment import Segmenter, segment
    from ..pixelcnn.classify import N_MAPS, PLANES, mean_thresholds
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
    segment(pixels, network, layout, pixelcnn, device, maps)
