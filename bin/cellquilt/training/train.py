"""One network, from examples to a model with its card and what a comparison needs of it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from .. import outputs, provenance
from ..compartments import OPTIONS
from ..handoff import stores
from ..networks.batch_size import MIN_BATCH
from ..networks.tile_network import TileNetwork
from ..pixelcnn.architectures import Architecture
from ..pixelcnn.card import INPUTS
from ..pixelcnn.classify import PLANES, PixelClassifier, classify_box
from ..pixelcnn.network import network_of, save
from ..tiling.lattice import STRIDE
from ..tiling.pixel_grid import MODEL_MPP
from .examples import Example, Fields, parts_of
from .fit import Schedule, Trained, as_rows, train
from .scores import choose_thresholds, label_region, object_scores, pixel_scores

EVALUATED = ("validation", "test")


def train_network(
    name: str,
    architecture: Architecture,
    compartment: str,
    examples: list[Example],
    schedule: Schedule,
    seed: int,
    outdir: Path,
    facts: dict,
) -> dict:
    """Train a network, choose its thresholds on validation, score it on the test, write all.

    Parameters
    ----------
    name : str
        Of the files.
    architecture : Architecture
    compartment : {'whole-cell', 'nuclear'}
    examples : list of Example
    schedule : Schedule
    seed : int
    outdir : Path
        Folder for ``<name>.keras``, ``<name>.json`` (its card), ``<name>.curve.csv`` and
        ``<name>.probabilities.zip``: for each part and image ``probabilities`` (2, h, w)
        float16 of cell and edge, ``labels``, ``classes`` and ``image``, by
        ``<validation|test>/<number>``.
    facts : dict
        What else the card is to say of the training.

    Returns
    -------
    dict
        The card.
    """
    n_channels = examples[0].image.shape[-1]
    trained = train(
        architecture,
        Fields(examples, "train", architecture.radius),
        Fields(examples, "validation", architecture.radius),
        n_channels,
        schedule,
        seed,
    )
    # what the runs of this network need to know of it before its card is whole
    partial = {"compartment": compartment, "channels": list(INPUTS[:n_channels])}
    classifier = PixelClassifier([network_of(trained.model, architecture, partial)])
    network = TileNetwork(classifier, classifier.tile_shape, MIN_BATCH)
    planes = list(PLANES[OPTIONS[compartment]])
    found: dict[str, list] = {}
    for part in EVALUATED:
        for example, box in parts_of(examples, part):
            maps = classify_box(network, classifier.radius, example.image, box)
            found.setdefault(part, []).append((maps[planes], example, box))
    thresholds = choose_thresholds(
        [maps for maps, _, _ in found["validation"]],
        [box.crop(example.labels) for _, example, box in found["validation"]],
    )
    card = partial | {
        "model_mpp": MODEL_MPP,
        "thresholds": asdict(thresholds),
        "n_parameters": architecture.n_parameters(n_channels),
        "flops_a_patch": architecture.flops_a_patch(n_channels),
        "flops_a_pixel": architecture.flops_a_pixel(n_channels),
        "training": history(trained, examples, schedule, seed) | facts,
        "scores": {part: _scores(rows, thresholds) for part, rows in found.items()},
        "inference_s_per_mpx": 1e6 / (network.throughput(MIN_BATCH) * STRIDE**2),
        **provenance.of_step("TRAIN"),
    }
    outdir.mkdir(parents=True, exist_ok=True)
    card = save(outdir / f"{name}.keras", trained.model, architecture, card)
    write(outdir, name, card, trained, found)
    return card


def write(outdir: Path, name: str, card: dict, trained: Trained, found: dict[str, list]) -> None:
    """Write what there is of a network beside its own file: see `train_network`."""
    outputs.write_json(outdir / f"{name}.json", card)
    outputs.write_csv(outdir / f"{name}.curve.csv", pd.DataFrame(as_rows(trained.curve)))
    _keep(outdir / f"{name}.probabilities.zip", found, card)


def history(trained: Trained, examples: list[Example], schedule: object, seed: int) -> dict:
    """Return what a card says of a training by a schedule, which is a dataclass."""
    images = [
        {
            "image": example.name,
            "labels": example.labels_name,
            "model_px": list(example.labels.shape),
            **asdict(example.regions),
            **({"window": example.window} if example.window else {}),
        }
        for example in examples
    ]
    return {
        "seed": seed,
        **asdict(schedule),
        "best_step": trained.best_step,
        "seconds": trained.seconds,
        "images": images,
    }


def _scores(rows: list[tuple[np.ndarray, Example, tuple]], thresholds) -> dict:
    maps = [found for found, _, _ in rows]
    classes = [box.crop(example.classes) for _, example, box in rows]
    labels = [box.crop(example.labels) for _, example, box in rows]
    cells = object_scores([label_region(found, thresholds) for found in maps], labels)
    return {**pixel_scores(maps, classes), **cells}


def _keep(path: Path, found: dict[str, list], card: dict) -> None:
    with stores.create(path, {"card": card}) as group:
        for part, rows in found.items():
            for number, (maps, example, box) in enumerate(rows):
                contents = {
                    "probabilities": maps.astype(np.float16),
                    "labels": box.crop(example.labels),
                    "classes": box.crop(example.classes),
                    "image": np.moveaxis(box.crop(example.image), -1, 0).astype(np.float16),
                }
                for name, array in contents.items():
                    where = f"{part}/{number}/{name}"
                    stores.new_array(group, where, array.shape, array.dtype, array.shape)[:] = array
