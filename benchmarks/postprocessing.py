"""Post-processing of one compartment against deep_watershed, in one thread."""

from pathlib import Path

import fixtures
from bench import Bench, Row, Side

SIDE = 2048
MESMER = {  # Mesmer's for whole cells
    "maxima_threshold": 0.075,
    "maxima_smooth": 0,
    "interior_threshold": 0.2,
    "interior_smooth": 2,
    "small_objects_threshold": 15,
    "fill_holes_threshold": 15,
    "radius": 2,
}


def rows(bench: Bench) -> list[Row]:
    maps = fixtures.maps(bench, "mosaic 4096", 0.5)
    bench.call("runtime", "prepare", maps=maps, folder=bench.scratch)
    options = {"folder": str(bench.scratch)}
    best = bench.interleave(
        2, cpus=1, peer=Side("deepcell", "peer", options), ours=Side("runtime", "ours", options)
    )
    return [
        Row(
            f"post-processing of whole cells, {SIDE}^2 px real maps",
            "deepcell_toolbox, deep_watershed",
            best["ours"]["seconds"],
            best["peer"]["seconds"],
            best["ours"]["equal"],
            f"CPU time, one core; {best['ours']['n_cells']} cells, every pixel and number",
            4,
        )
    ]


def prepare(maps: str, folder: str) -> None:
    """Worker: save the two maps of whole cells."""
    import numpy as np
    from fixtures import image_maps

    np.save(Path(folder) / "maps.npy", image_maps(Path(maps))[:2, :SIDE, :SIDE])


def peer(folder: str) -> dict:
    """Worker: deepcell_toolbox."""
    import numpy as np
    from clocks import best_of
    from deepcell_toolbox.deep_watershed import deep_watershed

    outputs = [plane[None, ..., None] for plane in np.load(Path(folder) / "maps.npy")]
    best, labels = best_of(lambda: deep_watershed(outputs, **MESMER), 1)
    np.save(Path(folder) / "peer.npy", labels[0, ..., 0])
    return {"seconds": best}


def ours(folder: str) -> dict:
    """Worker: what LABEL does with a window, here the whole image."""
    import numpy as np
    from clocks import best_of

    from cellquilt.labelling.watershed import label_cells, smooth
    from cellquilt.segmenters.mesmer import THRESHOLDS

    maxima, interior = np.load(Path(folder) / "maps.npy")
    best, (labels, markers) = best_of(
        lambda: label_cells(maxima, smooth(interior, THRESHOLDS["cell"]), THRESHOLDS["cell"]), 3
    )
    equal = bool(np.array_equal(labels, np.load(Path(folder) / "peer.npy")))
    return {"seconds": best, "equal": equal, "n_cells": len(markers)}
