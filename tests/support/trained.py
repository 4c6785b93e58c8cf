"""What a training leaves of networks, for the page of it: their cards and curves, made up."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cellquilt.training.comparison import TrainedNetwork, comparison_table, network_table
from cellquilt.training.page import page

ARCHITECTURES = {"reference": 0.71, "compact": 0.64}


def network(
    architecture: str, seed: int, f1: float | None, images: tuple[str, ...] = ("spleen.ome.tif",)
) -> TrainedNetwork:
    """Return a network that was best at the 80th of 100 steps."""
    score = {
        **{"pixel_accuracy": 0.91, "recall_other": 0.95, "recall_cell": 0.88, "recall_edge": 0.6},
        **{"cross_entropy": 0.31 + seed / 100, "f1": f1, "n_predicted": 90, "n_truth": 120},
    }
    parts = {
        "train": [0, 500, 0, 600],
        "validation": [0, 500, 620, 700],
        "test": [0, 500, 720, 1000],
    }
    card = {
        **{"architecture": architecture, "compartment": "whole-cell", "model_mpp": 0.5},
        **{"channels": ["nuclear", "membrane"], "cellquilt": "0.1.0"},
        **{"software": {"python": "3.13", "numpy": "2.0"}, "inference_s_per_mpx": 1.25},
        **{"n_parameters": 28_123, "flops_a_patch": 10, "flops_a_pixel": 1},
        "thresholds": {"maxima_threshold": 0.1, "interior_threshold": 0.3, "median": 3},
        "scores": {"validation": score, "test": score},
        "training": {
            **{"seed": seed, "seconds": 61.0, "best_step": 80, "steps": 100, "augment": "flip"},
            **{"data_license": "CC BY 4.0", "edge_width": 3},
            "images": [
                {"image": name, "labels": "cells.tif", "model_px": [500, 1000], **parts}
                for name in images
            ],
        },
    }
    curve = pd.DataFrame({"step": range(5, 105, 5)}).assign(validation_cross_entropy=1.0)
    return TrainedNetwork(f"whole-cell-{architecture}-seed{seed}", card, curve, Path())


def networks(seeds: tuple[int, ...] = (1, 2)) -> list[TrainedNetwork]:
    """Return networks of two architectures."""
    return [
        network(name, seed, f1 + seed / 100) for name, f1 in ARCHITECTURES.items() for seed in seeds
    ]


def found(models: list[str], **best: object) -> dict:
    """Return the contents of comparison.json."""
    given = {"kind": "ensemble", "architecture": "reference", "models": models}
    given |= {"f1": 0.73, "n_predicted": 90, "n_truth": 120, "pixel_accuracy": 0.92}
    averages = [
        {"kind": kind, "architecture": "reference", "n_networks": 2, "median_px": side, "f1": f1}
        for kind, f1 in (("single", 0.7), ("ensemble", 0.73))
        for side in (1, 3)
    ]
    options = "--segmenter pixelcnn --compartment whole-cell --whole_cell_median 3"
    return {
        **{"compartment": "whole-cell", "recommended": given | best, "options": options},
        "ensembles": averages,
    }


def written(folder: Path, of: list[TrainedNetwork] | None = None, **changes: object) -> Path:
    """Write the page of a training, with pictures of noise, and return it."""
    of = of or networks()
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for name, size in {"learning_curves": (1650, 660), "probabilities": (1300, 1000)}.items():
        pixels = np.random.default_rng(1).integers(0, 255, (size[1] // 10, size[0] // 10, 3))
        pictures[name] = folder / f"{name}.png"
        Image.fromarray(pixels.astype(np.uint8)).resize(size).save(pictures[name])
    compared = changes.pop("compared", None)
    compared = comparison_table(network_table(of)) if compared is None else compared
    best = found([f"{one.name}.keras" for one in of[:2]], **changes)
    path = folder / "report.html"
    path.write_text(page(of, compared, best, pictures, "results/training"))
    return path
