"""Matching of 10,000 real cells, against CellSegmentationEvaluator and a copy of the masks."""

from pathlib import Path

import fixtures
from bench import Bench, Row, Side

SIDE = 2176  # of the CODEX mosaic, which has about 2,200 cells a megapixel


def rows(bench: Bench) -> list[Row]:
    maps = fixtures.maps(bench, "mosaic 4096", 0.5)
    masks = bench.call("runtime", "prepare", maps=maps, folder=bench.scratch)
    options = {"folder": str(bench.scratch)}
    best = bench.interleave(
        1,
        cpus=1,
        peer=Side("peers", "peer", options),
        ours=Side("runtime", "ours", options),
        copy=Side("runtime", "copy", options),
    )
    ours = best["ours"]
    what = f"matching of {masks['n_cells']} cells with nuclei, {SIDE}^2 px"
    return [
        Row(
            what,
            "CellSegmentationEvaluator, get_matched_masks",
            ours["seconds"],
            best["peer"]["seconds"],
            ours["equal"],
            f"CPU time, one core; {ours['n_matched']} pairs; every pixel of cell, nucleus and "
            "cytoplasm",
            250,
        ),
        Row(
            what,
            "one copy of both masks (the lower bound; target: a ratio of at least 0.1)",
            ours["seconds"],
            best["copy"]["seconds"],
            None,
            "CPU time, one core",
            0.1,
        ),
    ]


def prepare(maps: str, folder: str) -> dict:
    """Worker: label cells and nuclei of a part of the mosaic."""
    import numpy as np
    from fixtures import image_maps

    from cellquilt.labelling.watershed import label_cells, smooth
    from cellquilt.segmenters.mesmer import THRESHOLDS

    planes = image_maps(Path(maps))[:, :SIDE, :SIDE]
    for name, limits, (maxima, interior) in (
        ("cell", THRESHOLDS["cell"], planes[:2]),
        ("nucleus", THRESHOLDS["nucleus"], planes[2:]),
    ):
        labels, _ = label_cells(np.ascontiguousarray(maxima), smooth(interior, limits), limits)
        np.save(Path(folder) / f"{name}.npy", labels)
    return {"n_cells": int(np.load(Path(folder) / "cell.npy").max())}


def masks_in(folder: str) -> list:
    """Return the two masks that `prepare` made, uint32."""
    import numpy as np

    return [np.load(Path(folder) / f"{name}.npy") for name in ("cell", "nucleus")]


def peer(folder: str) -> dict:
    """Worker: CellSegmentationEvaluator; its reader of image files is not installed nor used."""
    import contextlib
    import io
    import sys
    from types import SimpleNamespace

    import numpy as np
    from clocks import best_of

    sys.modules["aicsimageio"] = SimpleNamespace(AICSImage=None)
    from CellSegmentationEvaluator.functions import get_matched_masks

    masks = [mask.astype(np.int64) for mask in masks_in(folder)]
    with contextlib.redirect_stdout(io.StringIO()):
        best, matched = best_of(lambda: get_matched_masks(*masks), 1)
    np.save(Path(folder) / "peer.npy", np.stack(matched))
    return {"seconds": best}


class InMemory:
    """A mask as REPAIR reads it."""

    def __init__(self, labels):
        self.labels, self.shape = labels, labels.shape

    def read(self, y0, y1):
        """Return rows `y0` to `y1`, clipped to the image."""
        return self.labels[max(y0, 0) : y1]


def ours(folder: str) -> dict:
    """Worker: what REPAIR does between reading and writing."""
    import numpy as np
    from clocks import best_of

    from cellquilt.cells.matching import count, match, paint

    cells, nuclei = map(InMemory, masks_in(folder))

    def repair():
        matching = match(count(cells, nuclei))
        painted = [np.empty(cells.shape, np.uint32) for _ in range(3)]
        for rows, cell, nucleus in paint(matching, cells, nuclei):
            painted[0][rows], painted[1][rows] = cell, nucleus
            np.subtract(cell, nucleus, out=painted[2][rows])
        return painted, len(matching.pair_cells)

    best, (painted, n_matched) = best_of(repair, 10)
    theirs = np.load(Path(folder) / "peer.npy")
    equal = all(np.array_equal(a, b) for a, b in zip(painted, theirs, strict=True))
    return {"seconds": best, "equal": equal, "n_matched": n_matched}


def copy(folder: str) -> dict:
    """Worker: copy both masks once."""
    from clocks import best_of

    masks = masks_in(folder)
    return {"seconds": best_of(lambda: [mask.copy() for mask in masks], 20)[0]}
