#!/usr/bin/env python3
"""Run pixel classifiers over the tiles of a task."""

from pathlib import Path

from cellquilt import cli
from cellquilt.handoff import stores
from cellquilt.labelling.label import compartments_of
from cellquilt.pixelcnn.card import read_card


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--pixels", type=Path, required=True, help="pixel store of the task")
    args.add_argument("--models", type=Path, nargs="+", required=True, help="networks of TRAIN")
    args.add_argument("--compartment", choices=["whole-cell", "nuclear", "both"], default="both")
    args.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args.add_argument("--cpus", type=int, default=cli.cpu_count(), help="threads")
    args.add_argument("--batch_size", default="auto", help="tiles at a time: 'auto' or 2 to 255")
    args.add_argument("--maps", type=Path, required=True, help="store of probabilities to write")
    o = args.parse_args()
    compartments = compartments_of(o.compartment)
    cards = {path: read_card(path) for path in o.models}
    with stores.read(o.pixels) as task:
        facts = task.attrs["facts"]
    # TensorFlow takes seconds to import
    from cellquilt.networks.tile_network import TileNetwork, choose_batch_size, select_device
    from cellquilt.pixelcnn.classify import PixelClassifier, check, classify
    from cellquilt.pixelcnn.network import load

    check({path.name: card for path, card in cards.items()}, compartments, facts)
    wanted = [path for path, card in cards.items() if card["compartment"] in compartments]
    device = select_device(o.device, o.cpus)
    classifier = PixelClassifier([load(path) for path in wanted])
    batch_size = 2 if o.batch_size == "auto" else min(int(o.batch_size), classifier.max_batch)
    network = TileNetwork(classifier, classifier.tile_shape, batch_size)
    if o.batch_size == "auto":
        choose_batch_size(network, o.device, classifier.max_batch)
    cli.log.info("classify: on %s, batches of %d tiles", device, network.batch_size)
    classify(o.pixels, classifier, network, device, o.maps)


if __name__ == "__main__":
    cli.run(main)
