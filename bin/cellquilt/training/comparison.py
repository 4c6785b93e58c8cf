"""The networks of one compartment side by side: what TRAIN left of them, and tables."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import DataError
from ..handoff import stores
from ..labelling.thresholds import Thresholds
from ..tiling.box import Box
from ..unet import card as unet
from . import architectures
from .scores import label_region
from .unet_thresholds import labels_of

PARTS = ("validation", "test")
SCORES = (
    "pixel_accuracy",
    "recall_other",
    "recall_cell",
    "recall_edge",
    "cross_entropy",
    "f1",
    "n_predicted",
)
BEFORE = "f1_before"  # of the network that was trained further
SIZES = ("n_parameters", "flops_a_patch", "flops_a_pixel")
SPENT = ("training_s", "best_step", "inference_s_per_mpx")
CONFIDENCE = 0.95
SUFFIXES = (".json", ".curve.csv", ".probabilities.zip")


@dataclass(frozen=True)
class TrainedNetwork:
    """What TRAIN left of one network.

    Attributes
    ----------
    name : str
        Stem of its files.
    card : dict
    curve : DataFrame
        A row per evaluation, see `training.Point`.
    store : Path
        Its probabilities, or a U-Net's maps, of the validation and test parts, with the truth.
    """

    name: str
    card: dict
    curve: pd.DataFrame
    store: Path

    @property
    def architecture(self) -> str:
        """Name of its architecture."""
        return self.card["architecture"]

    @property
    def seed(self) -> int:
        """Seed that it was trained with."""
        return self.card["training"]["seed"]

    @property
    def thresholds(self) -> Thresholds:
        """Those that it was trained to."""
        return Thresholds(**self.card["thresholds"])

    @property
    def is_unet(self) -> bool:
        """Whether it is a U-Net, and else a pixel classifier."""
        return self.card.get("format") == unet.FORMAT

    @property
    def f1_before(self) -> float | None:
        """Object F1 on the test of the network that it was trained further from, if it was."""
        return self.card["scores"].get("before", {}).get("test", {}).get("f1")

    def objects(self, found: np.ndarray) -> np.ndarray:
        """Return the objects, (h, w) uint32, in what it makes of an image, (2, h, w)."""
        label = labels_of if self.is_unet else label_region
        return label(found.astype(np.float32), self.thresholds)

    def boxes(self, part: str) -> list[Box]:
        """Return where the images of a part lie in the labelled slides."""
        return [Box(*image[part]) for image in self.card["training"]["images"] if image[part]]

    def read(self, part: str, name: str, boxes: list[Box]) -> list[np.ndarray]:
        """Return an array of each image of a part, cut to boxes within those of this network."""
        with stores.read(self.store) as group:
            return [
                group[f"{part}/{number}/{name}"][..., inner.y0 : inner.y1, inner.x0 : inner.x1]
                for number, inner in enumerate(map(Box.within, boxes, self.boxes(part)))
            ]


@dataclass(frozen=True)
class Truth:
    """What all networks are held against, each a list over images by part.

    Attributes
    ----------
    boxes : dict
        What the networks have in common: their parts differ where their fields do.
    labels, classes : dict
        (h, w) uint32 and uint8.
    """

    boxes: dict[str, list[Box]]
    labels: dict[str, list[np.ndarray]]
    classes: dict[str, list[np.ndarray]]


def read_networks(
    cards: Sequence[Path], curves: Sequence[Path], probabilities: Sequence[Path]
) -> list[TrainedNetwork]:
    """Return networks in the order of `architectures.DEFAULT`, then by name, then by seed.

    Parameters
    ----------
    cards, curves, probabilities : sequence of Path
        ``<name>.json``, ``<name>.curve.csv`` and ``<name>.probabilities.zip``, in any order.

    Raises
    ------
    DataError
        If a file has no partner, or networks are of different compartments.
    """
    files = [
        {path.name.removesuffix(suffix): path for path in paths}
        for paths, suffix in zip((cards, curves, probabilities), SUFFIXES, strict=True)
    ]
    names = sorted(set().union(*files))
    for found, suffix in zip(files, SUFFIXES, strict=True):
        for name in names:
            if name not in found:
                raise DataError(f"{name}{suffix}: is missing; give all files that TRAIN wrote.")
    card_of, curve_of, store_of = files
    networks = [
        TrainedNetwork(
            name, json.loads(card_of[name].read_text()), pd.read_csv(curve_of[name]), store_of[name]
        )
        for name in names
    ]
    compartments = sorted({network.card["compartment"] for network in networks})
    if len(compartments) > 1:
        raise DataError(
            f"--cards: networks of {' and '.join(compartments)} cannot be compared; give those of "
            "one compartment."
        )
    known = architectures.DEFAULT

    def order(network: TrainedNetwork) -> tuple:
        name = network.architecture
        return known.index(name) if name in known else len(known), name, network.seed

    return sorted(networks, key=order)


def read_truth(networks: Sequence[TrainedNetwork]) -> Truth:
    """Return what the networks were tested on.

    Raises
    ------
    DataError
        If they were not all tested on the same.
    """
    first, *others = networks
    truth = Truth({part: _common(networks, part) for part in PARTS}, {}, {})
    for part, boxes in truth.boxes.items():
        for name, found in (("labels", truth.labels), ("classes", truth.classes)):
            found[part] = first.read(part, name, boxes)
            for other in others:
                if not all(map(np.array_equal, found[part], other.read(part, name, boxes))):
                    raise _not_comparable(first, other)
    return truth


def _common(networks: Sequence[TrainedNetwork], part: str) -> list[Box]:
    """Return the intersection of the networks' boxes of each image."""
    first, *others = networks
    boxes = np.array(first.boxes(part))
    for other in others:
        own = np.array(other.boxes(part))
        if own.shape != boxes.shape:
            raise _not_comparable(first, other)
        boxes[:, ::2] = np.maximum(boxes[:, ::2], own[:, ::2])
        boxes[:, 1::2] = np.minimum(boxes[:, 1::2], own[:, 1::2])
        if (boxes[:, ::2] >= boxes[:, 1::2]).any():
            raise _not_comparable(first, other)
    return [Box(*box) for box in boxes.tolist()]


def _not_comparable(first: TrainedNetwork, other: TrainedNetwork) -> DataError:
    return DataError(
        f"{other.name}: was not tested on the same labels as {first.name}; train both with the "
        "same images, --edge_width and --held_out."
    )


def by_architecture(networks: Iterable[TrainedNetwork]) -> dict[str, list[TrainedNetwork]]:
    """Return the replicates of each architecture, in the order given."""
    found: dict[str, list[TrainedNetwork]] = {}
    for network in networks:
        found.setdefault(network.architecture, []).append(network)
    return found


def network_table(networks: Iterable[TrainedNetwork]) -> pd.DataFrame:
    """Return a row per network: its scores on both parts, what it cost, and its thresholds.

    A U-Net has no classes of pixels, and a pixel classifier nothing that it started from: such
    scores are empty.
    """
    rows = []
    for network in networks:
        card = network.card
        training = card["training"]
        scores = {
            f"{part}_{name}": card["scores"][part].get(name)
            for part in PARTS
            for name in (*SCORES, "n_truth")
        }
        before = card["scores"].get("before", {})
        scores |= {f"{part}_{BEFORE}": before.get(part, {}).get("f1") for part in PARTS}
        spent = (training["seconds"], training["best_step"], card["inference_s_per_mpx"])
        rows.append(
            {"network": network.name, "architecture": network.architecture, "seed": network.seed}
            | scores
            | {name: card[name] for name in SIZES}
            | dict(zip(SPENT, spent, strict=True))
            | card["thresholds"]
        )
    table = pd.DataFrame(rows)
    # a score that is undefined for all networks would else be a column of objects
    scored = [f"{part}_{name}" for part in PARTS for name in (*SCORES, BEFORE)]
    return table.astype(dict.fromkeys(scored, float))


def comparison_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per architecture: means and intervals of its replicates.

    Parameters
    ----------
    table : DataFrame
        From `network_table`.

    Returns
    -------
    DataFrame
        ``architecture``, ``n_replicates``, and for each score on the test and each expense its
        mean, ``<name>_low`` and ``<name>_high``; the number only of what is the same for all.
    """
    rows = []
    for architecture, replicates in table.groupby("architecture", sort=False):
        row = {"architecture": architecture, "n_replicates": len(replicates)}
        for name, column in [(name, f"test_{name}") for name in SCORES] + [(n, n) for n in SPENT]:
            mean, low, high = interval(replicates[column])
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        row["n_truth"] = replicates["test_n_truth"].iloc[0]
        row[BEFORE] = replicates[f"test_{BEFORE}"].iloc[0]
        rows.append(row | {name: replicates[name].iloc[0] for name in SIZES})
    return pd.DataFrame(rows)


def interval(values: pd.Series) -> tuple[float, float, float]:
    """Return mean and 95 % confidence interval by Student's t; NaN for one of fewer than two."""
    known = values.dropna().to_numpy(float)
    mean = float(known.mean()) if len(known) else np.nan
    if len(known) < 2:
        return mean, np.nan, np.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * stats.sem(known)
    return mean, float(mean - half), float(mean + half)
