"""The three costly steps of post-processing against scikit-image and deepcell_toolbox, one thread.

On the real maps of the CODEX mosaic. The other tools run in the deepcell environment, with
deepcell's version of scikit-image; each step's input is their output of the step before.
"""

from pathlib import Path

import fixtures
from bench import Bench, Row, Side

SIDE = 2048
RADIUS, H, LEVEL, SMALL = 2, 0.075, 0.2, 15  # Mesmer's for whole cells
STEPS = {
    "h_maxima": ("h-maxima", "scikit-image, h_maxima", 40),
    "flood": ("watershed", "scikit-image, watershed", 2.5),
    "fill_holes": ("hole filling", "deepcell_toolbox, fill_holes", 12),
}


def rows(bench: Bench) -> list[Row]:
    maps = fixtures.maps(bench, "mosaic 4096", 0.5)
    bench.call("runtime", "prepare", maps=maps, folder=bench.scratch)
    found = []
    for step, (work, peer, bar) in STEPS.items():
        options = {"folder": str(bench.scratch)}
        best = bench.interleave(
            2,
            cpus=1,
            peer=Side("deepcell", f"peer_{step}", options),
            ours=Side("runtime", f"ours_{step}", options),
        )
        found.append(
            Row(
                f"{work}, {SIDE}^2 px real maps",
                peer,
                best["ours"]["seconds"],
                best["peer"]["seconds"],
                best["ours"]["equal"],
                "CPU time, one core; every pixel",
                bar,
            )
        )
    return found


def prepare(maps: str, folder: str) -> None:
    """Worker: save the maxima map and the smoothed interior map of whole cells."""
    import numpy as np
    from fixtures import image_maps
    from scipy import ndimage as ndi

    maxima, interior = image_maps(Path(maps))[:2, :SIDE, :SIDE]
    np.save(Path(folder) / "maxima.npy", np.ascontiguousarray(maxima))
    np.save(Path(folder) / "interior.npy", ndi.gaussian_filter(interior, 2))


def loaded(folder: str, *names: str) -> list:
    """Return arrays by name."""
    import numpy as np

    return [np.load(Path(folder) / f"{name}.npy") for name in names]


def timed(folder: str, name: str, function, repeats: int) -> dict:
    """Time another tool's function and save its result."""
    import numpy as np
    from clocks import best_of

    best, result = best_of(function, repeats)
    np.save(Path(folder) / f"{name}.npy", result)
    return {"seconds": best}


def compared(folder: str, name: str, function, repeats: int = 5) -> dict:
    """Time our function and compare its result with the other tool's."""
    import numpy as np
    from clocks import best_of

    best, result = best_of(function, repeats)
    (theirs,) = loaded(folder, name)
    return {"seconds": best, "equal": bool(np.array_equal(result, theirs))}


def peer_h_maxima(folder: str) -> dict:
    """Worker: scikit-image's h-maxima."""
    from skimage.morphology import disk, h_maxima

    (maxima,) = loaded(folder, "maxima")
    return timed(folder, "peaks", lambda: h_maxima(maxima, H, disk(RADIUS)), 1)


def ours_h_maxima(folder: str) -> dict:
    """Worker: our h-maxima."""
    from cellquilt.labelling.watershed import CLOSED, find_maxima

    (maxima,) = loaded(folder, "maxima")
    return compared(folder, "peaks", lambda: find_maxima(maxima, H, RADIUS, CLOSED))


def peer_flood(folder: str) -> dict:
    """Worker: scikit-image's watershed."""
    import numpy as np
    from skimage.measure import label
    from skimage.segmentation import watershed

    interior, peaks = loaded(folder, "interior", "peaks")
    markers = label(peaks)
    np.save(Path(folder) / "markers.npy", markers.astype(np.int32))
    inside = interior > LEVEL
    return timed(folder, "flooded", lambda: watershed(-interior, markers, mask=inside), 2)


def ours_flood(folder: str) -> dict:
    """Worker: our watershed."""
    import numpy as np
    from cellquilt_kernels import flood

    from cellquilt.labelling.watershed import CLOSED

    interior, markers = loaded(folder, "interior", "markers")
    certain = np.ones(markers.max(), np.uint8)
    return compared(
        folder, "flooded", lambda: flood.watershed(interior, markers, LEVEL, certain, CLOSED)[0]
    )


def peer_fill_holes(folder: str) -> dict:
    """Worker: deepcell_toolbox's hole filling."""
    import numpy as np
    from deepcell_toolbox.utils import fill_holes
    from skimage.morphology import remove_small_objects

    (flooded,) = loaded(folder, "flooded")
    labels = remove_small_objects(flooded, min_size=SMALL)
    np.save(Path(folder) / "unfilled.npy", labels.astype(np.int32))
    return timed(folder, "filled", lambda: fill_holes(labels, size=SMALL), 1)


def ours_fill_holes(folder: str) -> dict:
    """Worker: our hole filling, the search for the cells that have holes included."""
    import numpy as np
    from cellquilt_kernels import holes

    from cellquilt.labelling.watershed import fill_holes

    (unfilled,) = loaded(folder, "unfilled")

    def fill():
        labels = unfilled.copy()
        euler, boxes = holes.outlines(labels, labels.max())
        holed = np.flatnonzero((euler < 1) & (boxes[:, 0] < boxes[:, 1]))
        fill_holes(labels, holed, boxes, SMALL)
        return labels

    return compared(folder, "filled", fill)
