"""The page of a training: how networks learnt, what they find, which is best, what to type next."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image

from ..compartments import OPTIONS, PLURALS
from ..images import data_url
from ..reports.page import duration, render
from .comparison import TrainedNetwork, by_architecture

QUALITY = 82  # of the plots, of WebP
# Of the table of scores: column of comparison.csv, title, how it is written
SCORES = (
    ("f1", "object F1", "{:.3f}"),
    ("f1_before", "F1 before", "{:.3f}"),  # of the network that it was trained further from
    ("n_predicted", "cells found", "{:,.0f}"),
    ("pixel_accuracy", "pixels right", "{:.1%}"),
    ("recall_other", "background right", "{:.1%}"),
    ("recall_cell", "cells right", "{:.1%}"),
    ("recall_edge", "edges right", "{:.1%}"),
    ("cross_entropy", "cross-entropy", "{:.3f}"),
)
_SHARES = {"f1", "pixel_accuracy", "recall_other", "recall_cell", "recall_edge"}
COSTS = (
    ("training_s", "training time", ""),
    ("inference_s_per_mpx", "s/Mpx", "{:.2f}"),
    ("n_parameters", "weights", "{:,.0f}"),
)
# What the table of scores leaves to comparison.csv
_NOT_SHOWN = ("architecture", "n_replicates", "best_step", "n_truth", "flops_a_patch")
_NOT_SHOWN += ("flops_a_pixel",)
_OWN = ("images", "seed", "best_step", "seconds", "data_license")  # of a card, shown elsewhere
# A part of the steps: a network that is best after it may get better with more
_LATE = 0.9
_FAR_OFF = 0.15  # of the number of cells


def page(
    networks: Sequence[TrainedNetwork],
    compared: pd.DataFrame,
    found: Mapping,
    pictures: Mapping[str, Path],
    published: str,
) -> str:
    """Return the page.

    Parameters
    ----------
    networks : sequence of TrainedNetwork
        In the order of the table.
    compared : DataFrame
        From `comparison_table`. Columns that it does not know are shown under their names, empty
        ones are left out.
    found : dict
        From `ensembles.recommend`.
    pictures : dict of str to Path
        PNGs by name, which are published beside the page.
    published : str
        Where the folder of all of the training's results is, for what to type.
    """
    cards = [network.card for network in networks]
    compartment = found["compartment"]
    objects = PLURALS[OPTIONS[compartment]]
    return render(
        "training.html.j2",
        compartment=compartment,
        objects=objects,
        networks=[_row(network) for network in networks],
        architectures=list(by_architecture(networks)),
        seeds=sorted({network.seed for network in networks}),
        best=found["recommended"],
        chosen=_chosen(found["recommended"]),
        command=command(found, published),
        advice=advice(networks, compared, found["recommended"], objects),
        scores=score_table(compared),
        averages=_averages(found.get("ensembles", [])),
        sides=sorted({row["median_px"] for row in found.get("ensembles", [])}),
        images=[_image(image) for image in cards[0]["training"].get("images", [])],
        licences=sorted({card["training"].get("data_license", "not stated") for card in cards}),
        settings=_common([_settings(card) for card in cards]),
        versions=_common(
            [{"cellquilt": card.get("cellquilt"), **card.get("software", {})} for card in cards]
        ),
        pictures={name: _picture(path) for name, path in pictures.items()},
    )


def command(found: Mapping, published: str) -> str:
    """Return what to type to segment slides with what is best, in lines."""
    models = ",".join(f"{published}/networks/{name}" for name in found["recommended"]["models"])
    lines = [
        "nextflow run . --input samplesheet.csv -profile local",
        found["options"],
        f"--models {shlex.quote(models)}",
    ]
    return " \\\n    ".join(lines)


def _chosen(best: Mapping) -> str:
    """Return in words which networks are best."""
    n, name = len(best["models"]), best.get("architecture", "")
    if n == 1:
        return f"one network, {best['models'][0].removesuffix('.keras')}"
    if best.get("kind") == "ensemble of all":
        return f"the average of all {n} networks"
    return f"the average of the {n} networks of {name}"


def advice(
    networks: Sequence[TrainedNetwork], compared: pd.DataFrame, best: Mapping, objects: str
) -> list[tuple[str, str]]:
    """Return what may make networks better, each as a sentence and the options to type, or ''."""
    told = []
    averages = any(not network.is_unet for network in networks)  # U-Nets are not averaged
    late = [network for network in networks if _ended_rising(network)]
    if 2 * len(late) > len(networks):
        steps = max(int(network.curve["step"].max()) for network in late)
        told.append(
            ("Most networks were still getting better at their last step: train them longer.",)
            + (f"--train_steps {2 * steps}",)
        )
    n, n_true = best.get("n_predicted"), best.get("n_truth")
    if n is not None and n_true and abs(n / n_true - 1) > _FAR_OFF:
        many = n > n_true
        told.append(
            (
                f"{n:,.0f} {objects} were found where {n_true:,.0f} are: "
                + (
                    "many are split, or found in background."
                    if many
                    else "neighbours were taken for one, or faint ones were missed."
                )
                + " Look at the held-out part below, and label more of what goes wrong.",
                "",
            )
        )
    images = networks[0].card["training"].get("images", [])
    if len(images) == 1:
        told.append(
            (
                "All is from one image. Slides that were stained or scanned on another day may look"
                " different: label a part of one of them, and train on both.",
                "--input examples.csv",
            )
        )
    if "n_replicates" in compared and (compared["n_replicates"] < 2).all():
        told.append(
            (
                "Each architecture was trained once, so that chance is not known: more seeds give"
                f" intervals{', and an average that is often better' if averages else ''}.",
                "--seeds 1,2,3",
            )
        )
    if {network.card["training"].get("augment") for network in networks} & {"none", "flip"}:
        told.append(
            (
                "For images of other microscopes or stains, vary contrast, noise and sharpness in"
                " training.",
                "--augment full",
            )
        )
    return told


def _ended_rising(network: TrainedNetwork) -> bool:
    """Return whether the state that was kept is among the last of a training."""
    last = network.curve["step"].max()
    return network.card["training"]["best_step"] >= _LATE * last


def score_table(compared: pd.DataFrame) -> dict:
    """Return titles and rows of the table of scores, of what there is in any of its rows.

    Each row has ``architecture``, ``n``, and ``cells``: of each column the value and, of scores,
    its interval, as text, '–' and '' where there is none.
    """
    known = {name for name, *_ in (*SCORES, *COSTS)}
    others = [
        (name, name.replace("_", " "), "{:.4g}")
        for name in compared
        if name not in known and name not in _NOT_SHOWN and not name.endswith(("_low", "_high"))
    ]
    columns = [
        (name, title, form)
        for name, title, form in (*SCORES, *others, *COSTS)
        if name in compared and compared[name].notna().any()
    ]
    rows = [
        {
            "architecture": row["architecture"],
            "n": _said(row.get("n_replicates"), "{:.0f}"),
            "cells": [_cell(row, name, form) for name, _, form in columns],
        }
        for row in compared.to_dict("records")
    ]
    n_truth = compared["n_truth"].dropna() if "n_truth" in compared else []
    return {
        "titles": [title for _, title, _ in columns],
        "rows": rows,
        "n_truth": int(n_truth.iloc[0]) if len(n_truth) else None,
    }


def _cell(row: Mapping, name: str, form: str) -> tuple[str, str]:
    ends = [row.get(f"{name}{end}") for end in ("_low", "_high")]
    if name in {cost for cost, *_ in COSTS} or any(map(_is_missing, ends)):
        return _said(row.get(name), form), ""
    # Student's t knows no bounds, and no score is below 0, nor a share above 1
    largest = 1.0 if name in _SHARES else math.inf
    ends = [min(max(end, 0.0), largest) for end in ends]
    return _said(row.get(name), form), "–".join(_said(end, form) for end in ends)


def _said(value: object, form: str) -> str:
    if _is_missing(value):
        return "–"
    if isinstance(value, str):
        return value
    return form.format(value) if form else duration(value)


def _is_missing(value: object) -> bool:
    return value is None or isinstance(value, float) and math.isnan(value)


def _averages(rows: Sequence[Mapping]) -> list[dict]:
    """Return object F1 of single networks and averages: a row each, a column for each filter."""
    found: dict[tuple, dict] = {}
    for row in rows:
        key = row["kind"], row["architecture"]
        one = found.setdefault(key, {"n": row.get("n_networks"), "f1": {}})
        one["f1"][row["median_px"]] = row.get("f1")
    words = {"single": "single, mean", "ensemble": "averaged", "ensemble of all": "averaged"}
    return [
        {"kind": words.get(kind, kind), "architecture": name, **one}
        for (kind, name), one in found.items()
    ]


def _row(network: TrainedNetwork) -> dict:
    """Return a network's line among all."""
    scores, training = network.card.get("scores", {}), network.card["training"]
    return {
        "name": network.name,
        "href": f"../networks/{quote(network.name)}",
        "architecture": network.architecture,
        "seed": network.seed,
        "f1": [scores.get(part, {}).get("f1") for part in ("validation", "test")],
        "best_step": training.get("best_step"),
        "steps": int(network.curve["step"].max()),
        "seconds": training.get("seconds"),
    }


def _image(image: Mapping) -> dict:
    """Return an image's line: what of it was used for what."""
    size = image.get("model_px") or [0, 0]
    pixels = size[0] * size[1]
    parts = []
    for part in ("train", "validation", "test"):
        box = image.get(part)
        if box and pixels:
            y0, y1, x0, x1 = box
            parts.append(f"{part} {(y1 - y0) * (x1 - x0) / pixels:.0%}")
    return {
        "image": image.get("image", ""),
        "labels": image.get("labels", ""),
        "size": size,
        "parts": ", ".join(parts),
    }


def _settings(card: Mapping) -> dict:
    own = {name: value for name, value in card["training"].items() if name not in _OWN}
    channels = {"channels": card.get("channels"), "um a pixel": card.get("model_mpp")}
    return {name: value for name, value in (channels | own).items() if value is not None}


def _common(all_of: Sequence[Mapping]) -> dict:
    """Return settings of networks by name; of those that differ what there is."""
    found: dict[str, object] = {}
    for name in dict.fromkeys(name for one in all_of for name in one):
        values = [one[name] for one in all_of if name in one]
        alike = all(value == values[0] for value in values)
        found[name] = values[0] if alike else " or ".join(dict.fromkeys(map(str, values)))
    return found


def _picture(path: Path) -> dict:
    """Return a plot as a data URL, and its size as a page shows it."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    height, width = pixels.shape[:2]
    return {
        "src": data_url.encode(pixels, QUALITY),
        "href": path.name,
        "width": width,
        "height": height,
    }
