"""Labels from the same raw maps: patches against deep_watershed on the whole image, both scales.

And cells that are nuclei grown, against scikit-image on the whole image. Not timed; other subjects
do that.
"""

import csv
from pathlib import Path

import fixtures
from bench import Bench, Row

CASES = [("tile", 0.5), ("tile", 0.37745), ("mosaic 4096", 0.5), ("mosaic 4096", 0.37745)]
PATCH_SIZES = (384, 768, 1536)
COMPARTMENTS = ("cell", "nucleus")
EXPAND_UM = 3.0


def rows(bench: Bench) -> list[Row]:
    return [row for name, mpp in CASES for row in rows_of(bench, name, mpp)]


def rows_of(bench: Bench, name: str, mpp: float) -> list[Row]:
    maps = fixtures.maps(bench, name, mpp)
    folder = bench.scratch / f"{name.replace(' ', '-')}-{mpp}"
    folder.mkdir()
    bench.call("runtime", "export", maps=maps, folder=folder)
    bench.call("deepcell", "whole_image", folder=folder)
    found = []
    for patch_size in PATCH_SIZES:
        ours = folder / f"{patch_size}"
        n_patches = label_slide(bench, maps, ours, patch_size)
        same = bench.call("runtime", "compare", ours=ours, theirs=folder)
        slide = f"{name} at {mpp} um/px, {n_patches} patches of {patch_size} px"
        note = "; ".join(described(what, same[what]) for what in COMPARTMENTS)
        peer = "deepcell_toolbox, deep_watershed, whole image"
        found.append(Row(slide, peer, None, None, same["equal"], note))
        given = {"ours": ours / "grown", "theirs": folder, "pixels": EXPAND_UM / mpp}
        grown = bench.call("runtime", "compare_grown", **given)
        note = f"{grown['n_differing']} pixels differ; {grown['n_cells']} cells, "
        note += f"{grown['n_certified']} of them certified"
        peer = "scikit-image, expand_labels of these nuclei, whole image"
        found.append(
            Row(f"{slide}, grown by {EXPAND_UM:g} um", peer, None, None, grown["equal"], note)
        )
    return found


def described(what: str, found: dict) -> str:
    text = f"{what}: {found['n_identical']} of {found['n_theirs']} identical, "
    text += f"{found['n_certified']} of {found['n_ours']} certified"
    return text + (
        f", differing (label, row, column) {found['differing']}" * bool(found["differing"])
    )


def label_slide(bench: Bench, maps: Path, outdir: Path, patch_size: int) -> int:
    """Cut the maps into patches, LABEL and STITCH; return how many patches there are."""
    pixels = fixtures.patch(bench, maps / "normalised", outdir, patch_size, 16)
    bench.call(
        "runtime", "cut_maps", subject="fixtures", folder=maps, pixels=[str(p) for p in pixels]
    )
    stores = []
    for path in pixels:
        stores.append(path.with_name(path.name.replace("pixels", "labels")))
        part = path.with_name(path.name.replace("pixels", "maps"))
        bench.step("label", "--maps", part, "--labels", stores[-1])
        part.unlink()
    for grown in ([], ["--expand_um", EXPAND_UM]):
        bench.step(
            "stitch", "--facts", maps / "normalised" / "sample.json", "--patches",
            outdir / "patches.csv", "--labels", *stores, *grown,
            "--outdir", outdir / ("grown" if grown else "segmented"),
        )  # fmt: skip
    with (outdir / "patches.csv").open(newline="") as table:
        return len(list(csv.DictReader(table)))


def export(maps: str, folder: str) -> None:
    """Worker: save the whole image's maps, and the size of the image."""
    import numpy as np
    from fixtures import image_maps

    from cellquilt.handoff import stores
    from cellquilt.tiling.task_store import grid_of

    np.save(Path(folder) / "maps.npy", image_maps(Path(maps)))
    with stores.read(Path(maps) / "whole.maps.zip") as task:
        grid = grid_of(dict(task.attrs))
    np.save(Path(folder) / "shape.npy", [grid.height, grid.width])


def whole_image(folder: str) -> None:
    """Worker: deepcell's labels of the whole image, on the image's own grid."""
    import numpy as np
    from deepcell_toolbox.deep_watershed import deep_watershed
    from deepcell_toolbox.utils import resize
    from postprocessing import MESMER

    maps = np.load(Path(folder) / "maps.npy")
    shape = tuple(np.load(Path(folder) / "shape.npy"))
    both = [
        deep_watershed([plane[None, ..., None] for plane in planes], **limits)
        for planes, limits in (
            (maps[:2], MESMER),
            (maps[2:], MESMER | {"maxima_threshold": 0.1}),
        )
    ]
    labels = np.concatenate(both, axis=-1)
    # as Mesmer does for both compartments; one alone goes another way through the toolbox
    if labels.shape[1:3] != shape:
        labels = resize(labels, shape, labeled_image=True)
    for index, name in enumerate(COMPARTMENTS):
        np.save(Path(folder) / f"{name}.npy", labels[0, ..., index])


def compare(ours: str, theirs: str) -> dict:
    """Worker: compare both compartments, and count what is certified."""
    import numpy as np
    import tifffile
    from clocks import compare_labels

    found = {"equal": True}
    for name in COMPARTMENTS:
        (mask,) = Path(ours, "segmented").rglob(f"{name}_original.ome.tif")
        labels, whole = tifffile.imread(mask), np.load(Path(theirs) / f"{name}.npy")
        certified = certificates(Path(ours), name)
        found[name] = compare_labels(labels, whole)
        found[name]["n_certified"] = int(certified.sum())
        found["equal"] &= bool(np.array_equal(labels, whole)) and bool(certified.all())
    return found


def compare_grown(ours: str, theirs: str, pixels: float) -> dict:
    """Worker: compare grown nuclei with `expand_labels` of deepcell's, and count the certified."""
    import json

    import numpy as np
    import tifffile
    from skimage.segmentation import expand_labels

    (mask,) = Path(ours).rglob("cell_original.ome.tif")
    labels = tifffile.imread(mask)
    whole = expand_labels(np.load(Path(theirs) / "nucleus.npy"), pixels)
    counts = json.loads((Path(ours) / "stitch.json").read_text())
    n_cells, n_differing = counts["n_cells"], int((labels != whole).sum())
    n_certified = n_cells - counts["n_uncertified_cells"]
    return {
        "equal": n_differing == 0 and n_cells > 0 and n_certified == n_cells,
        "n_differing": n_differing,
        "n_cells": n_cells,
        "n_certified": n_certified,
    }


def certificates(folder: Path, name: str):
    """Return which cells of a slide are certified, (n,) bool."""
    import numpy as np

    from cellquilt.handoff import stores
    from cellquilt.tiling.task_store import patches_of

    found = [np.zeros(0, bool)]
    for path in sorted(folder.glob("*.labels.zip")):
        with stores.read(path) as store:
            patches = patches_of(dict(store.attrs))
            found += [store[f"{patch.patch_id}/{name}/certified"][:] for patch in patches]
    return np.concatenate(found)
