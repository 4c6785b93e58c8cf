"""Networks together: what averaging and the median filter gain, and which to use."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from ..labelling.thresholds import Thresholds
from .comparison import PARTS, TrainedNetwork, Truth, by_architecture
from .scores import MEDIANS, choose_thresholds, label_region, mean_f1, object_scores, pixel_scores


def averaged(networks: Sequence[TrainedNetwork], part: str, truth: Truth) -> list[np.ndarray]:
    """Return the mean probabilities of networks, (2, h, w) float32 of each image of a part."""
    boxes = truth.boxes[part]
    sums = [np.zeros((2, y1 - y0, x1 - x0), np.float32) for y0, y1, x0, x1 in boxes]
    for network in networks:
        for total, found in zip(sums, network.read(part, "probabilities", boxes), strict=True):
            total += found
    return [total / np.float32(len(networks)) for total in sums]


def judge_choices(networks: Sequence[TrainedNetwork], truth: Truth) -> pd.DataFrame:
    """Return how well each choice of networks does, with and without the median filter.

    The thresholds of the watershed are chosen on the validation part of the same probabilities.

    Parameters
    ----------
    networks : sequence of TrainedNetwork
        The choices are each of them, and of pixel classifiers the replicates of each architecture
        together ('ensemble') and all together ('ensemble of all'), where these are more than one.
        Of U-Nets, which are not averaged or filtered, each has its own thresholds.
    truth : Truth

    Returns
    -------
    DataFrame
        A row per choice and side of the filter.
    """
    averageable = [network for network in networks if not network.is_unet]
    groups = by_architecture(averageable)
    choices = [("single", network.architecture, [network]) for network in networks]
    choices += [("ensemble", name, group) for name, group in groups.items() if len(group) > 1]
    choices += [("ensemble of all", "all", averageable)] * (len(groups) > 1)
    rows = []
    for kind, architecture, chosen in choices:
        found = {part: averaged(chosen, part, truth) for part in PARTS}
        facts = {
            "kind": kind,
            "architecture": architecture,
            "n_networks": len(chosen),
            "networks": [network.name for network in chosen],
            "segmenter": "nuclei" if chosen[0].is_unet else "pixelcnn",
            "f1_before": chosen[0].f1_before,
            "flops_a_pixel": sum(network.card["flops_a_pixel"] for network in chosen),
        }
        if chosen[0].is_unet:
            rows.append(facts | _judged_unet(chosen[0], found, truth))
        else:
            rows += [facts | _judged(found, truth, median) for median in MEDIANS]
    scored = ("f1", "f1_before", "validation_f1", "pixel_accuracy")
    return pd.DataFrame(rows).astype(dict.fromkeys(scored, float))


def _judged(found: dict[str, list[np.ndarray]], truth: Truth, median: int) -> dict:
    thresholds = choose_thresholds(found["validation"], truth.labels["validation"], (median,))
    cells = {part: [label_region(image, thresholds) for image in found[part]] for part in PARTS}
    filtered = (ndi.median_filter(image, (1, median, median)) for image in found["test"])
    accuracy = pixel_scores(filtered, truth.classes["test"])["pixel_accuracy"]
    return _row(cells, truth, thresholds, accuracy)


def _judged_unet(network: TrainedNetwork, found: dict[str, list[np.ndarray]], truth: Truth) -> dict:
    nuclei = {part: [network.objects(image) for image in found[part]] for part in PARTS}
    return _row(nuclei, truth, network.thresholds, None)


def _row(
    cells: dict[str, list[np.ndarray]],
    truth: Truth,
    thresholds: Thresholds,
    pixel_accuracy: float | None,
) -> dict:
    scores = object_scores(cells["test"], truth.labels["test"])
    return {
        "median_px": thresholds.median,
        "pixel_accuracy": pixel_accuracy,
        **{name: scores[name] for name in ("f1", "n_predicted", "n_truth")},
        "validation_f1": mean_f1(cells["validation"], truth.labels["validation"]),
        "thresholds": asdict(thresholds),
    }


def ensemble_table(judged: pd.DataFrame) -> pd.DataFrame:
    """Return `judge_choices` without thresholds, single networks as means by architecture."""
    by = ["kind", "architecture", "median_px"]
    rows = judged.drop(columns=["networks", "segmenter", "f1_before"])
    numbers = [name for name in rows.columns if name not in (*by, "n_networks", "thresholds")]
    table = rows.groupby(by, sort=False)[numbers].mean()
    table.insert(0, "n_networks", rows.groupby(by, sort=False)["n_networks"].sum())
    return table.reset_index().astype({"flops_a_pixel": int})


def recommend(compartment: str, judged: pd.DataFrame) -> dict:
    """Return the contents of comparison.json.

    Parameters
    ----------
    compartment : {'whole-cell', 'nuclear'}
    judged : DataFrame
        From `judge_choices`.

    Returns
    -------
    dict
        ``recommended``, the choice of best F1 on validation, of equals the one of fewest
        FLOPs; ``options``, the pipeline's for it beside the models; ``ensembles``, the rows of
        `ensemble_table`.
    """
    order = judged.fillna({"validation_f1": 0.0}).sort_values(
        ["validation_f1", "flops_a_pixel"], ascending=[False, True], kind="stable"
    )
    best = order.iloc[0].to_dict()
    models = [f"{name}.keras" for name in best.pop("networks")]
    segmenter = best.pop("segmenter")
    options = ["--segmenter", segmenter, "--compartment", compartment]
    if segmenter == "pixelcnn":
        # said in full, since several networks would else have the mean of their own thresholds
        options += [
            f"--{compartment.replace('-', '_')}_{name} {best['thresholds'][name]}"
            for name in ("maxima_threshold", "interior_threshold", "median")
        ]
    ensembles = ensemble_table(judged).astype(object)
    table = ensembles.where(ensembles.notna(), None).to_dict("records")
    return {
        "compartment": compartment,
        "recommended": {"models": models} | {k: v if v == v else None for k, v in best.items()},
        "options": " ".join(options),
        "n_networks": int(((judged["kind"] == "single") & (judged["median_px"] == 1)).sum()),
        "ensembles": table,
    }
