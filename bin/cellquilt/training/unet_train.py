"""One U-Net, from examples to a network with its card and what a comparison needs of it."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tensorflow as tf

from .. import provenance
from ..errors import DataError
from ..tiling.lattice import TILE
from ..unet.architecture import UNet
from ..unet.network import TileMaps, load, maps_of, save
from ..unet.whole import function_of, maps_over
from .examples import Example, parts_of
from .fit import VALIDATION_SEED
from .train import EVALUATED, history, write
from .unet_fit import train
from .unet_patches import Batches, Scene
from .unet_recipe import BATCH, SIDE, VARIATIONS, Schedule, Variation
from .unet_thresholds import choose, scores_of

Found = dict[str, list[tuple[np.ndarray, Example, tuple]]]  # by part: maps, of which example's box


def train_unet(
    name: str,
    unet: UNet,
    examples: list[Example],
    schedule: Schedule,
    seed: int,
    outdir: Path,
    facts: dict,
    start: Path | None = None,
) -> dict:
    """Train a U-Net, choose its thresholds on validation, score it on the test, write all.

    Parameters
    ----------
    name : str
        Of the files.
    unet : UNet
    examples : list of Example
    schedule : Schedule
    seed : int
    outdir : Path
        Folder for what `train.train_network` writes; ``probabilities`` are maxima and interior.
    facts : dict
        What else the card is to say of the training.
    start : Path, optional
        The network that is trained further.

    Returns
    -------
    dict
        The card. ``scores.before`` has those of the start, by thresholds that were chosen on the
        same images.

    Raises
    ------
    DataError
        If the start has other filters.
    """
    before = _start(unet, start) if start else None
    trained = train(
        name,
        unet.filters,
        Batches(_scenes(examples, "train"), seed, VARIATIONS[schedule.augment]),
        Batches(_scenes(examples, "validation"), VALIDATION_SEED, Variation()),
        schedule,
        seed,
        before.model.get_weights() if before else None,
    )
    model = trained.model
    function = function_of(lambda tiles: maps_of(model(tiles, training=False)))
    function(tf.zeros((1, TILE, TILE, 1)))  # compiled before time is taken
    begun = time.perf_counter()
    found = _found(function, unet, examples)
    n_pixels = sum(maps[0].size for rows in found.values() for maps, _, _ in rows)
    seconds = time.perf_counter() - begun
    scores, thresholds = _judged(found)
    learnt = {"patch": SIDE, "patches_a_step": BATCH, "start": None} | facts
    if before:
        scores["before"], _ = _judged(_found(function_of(before), unet, examples))
        learnt["start"] = {
            "weights_sha256": before.card["weights_sha256"],
            "data_license": before.card.get("training", {}).get("data_license", "not stated"),
        }
    card = {
        "architecture": unet.name,
        "compartment": "nuclear",
        "thresholds": asdict(thresholds),
        "flops_a_patch": unet.flops_a_patch,
        "flops_a_pixel": unet.flops_a_pixel,
        "training": history(trained, examples, schedule, seed) | learnt,
        "scores": scores,
        "inference_s_per_mpx": 1e6 * seconds / n_pixels,
        **provenance.of_step("TRAIN"),
    }
    outdir.mkdir(parents=True, exist_ok=True)
    card = save(outdir / f"{name}.keras", model, unet.filters, card)
    write(outdir, name, card, trained, found)
    return card


def _start(unet: UNet, path: Path) -> TileMaps:
    maps = load(path)
    if tuple(maps.card["filters"]) != unet.filters:
        raise DataError(
            f"--architectures {unet.name}: its filters are {list(unet.filters)}, and those of"
            f" {path.name}, which it starts from, {maps.card['filters']}; take these, or leave out"
            " 'start'."
        )
    return maps


def _scenes(examples: list[Example], part: str) -> list[list[Scene]]:
    return [
        [Scene.of(box.crop(example.image[..., 0]), box.crop(example.labels).astype(np.int32))]
        for example, box in parts_of(examples, part)
    ]


def _found(
    function: Callable[[tf.Tensor], tf.Tensor], unet: UNet, examples: list[Example]
) -> Found:
    """Return the maps of what is judged, which see no pixel that was learnt from."""
    found: Found = {}
    for part in EVALUATED:
        for example, box in parts_of(examples, part):
            window = box.grown(unet.radius, example.labels.shape)
            maps = maps_over(function, window.crop(example.image)[..., 0])
            inner = box.within(window)
            maps = maps[:, inner.y0 : inner.y1, inner.x0 : inner.x1]
            found.setdefault(part, []).append((maps, example, box))
    return found


def _judged(found: Found) -> tuple[dict, object]:
    """Return scores by part, and the thresholds that are best on validation."""
    pairs = {
        part: ([maps for maps, _, _ in rows], [box.crop(e.labels) for _, e, box in rows])
        for part, rows in found.items()
    }
    thresholds = choose(*pairs["validation"])
    return {part: scores_of(*pair, thresholds) for part, pair in pairs.items()}, thresholds
