"""Image to matched masks: every step, with the network, against deepcell and the evaluator.

Ours is the sum of the steps' own run times from OME-TIFF to OME-TIFFs, without their start
(interpreter, imports, loading the network); theirs is from the image to the matched masks, both
in memory, without its start. The starts are in the note.
"""

from pathlib import Path

import fixtures
from bench import Bench, Row

CASES = [("tile", 0.5), ("tile", 0.37745), ("mosaic 2048", 0.5)]
TOLERANCE = 1e-5
LIMIT = 0.999  # of cells that must be identical to the pixel


def rows(bench: Bench) -> list[Row]:
    return [compare_case(bench, name, mpp) for name, mpp in CASES]


def compare_case(bench: Bench, name: str, mpp: float) -> Row:
    """Run one image through both, and compare."""
    image = fixtures.slide(bench, name, mpp)
    folder = bench.scratch / image.name.removesuffix(".ome.tif")
    folder.mkdir()
    deepcell = bench.call(
        "deepcell", "predict", weights=fixtures.onnx(bench), folder=folder, name=name, mpp=mpp
    )
    cse = bench.call("peers", "repair", folder=folder)
    ours = run_steps(bench, image, folder)
    found = bench.call("runtime", "compare", folder=folder)
    identical = sum(found[what]["n_identical"] for what in ("cell", "nucleus"))
    total = sum(found[what]["n_theirs"] for what in ("cell", "nucleus"))
    peak = max(deepcell["peak_gb"], cse["peak_gb"])
    note = (
        f"{identical} of {total} cells and nuclei identical to the pixel; "
        f"largest difference of the maps {found['map_difference']:.1e}; "
        f"matched masks {'equal' if found['repaired_equal'] else 'differ'}; "
        f"peak memory {ours['peak_gb']:.2f} GB against {peak:.2f} GB; ours: "
        + ", ".join(f"{step} {taken:.1f}" for step, taken in ours["steps"].items())
        + f" s, wall clock with start-up {ours['wall_s']:.1f} s; theirs: predict "
        f"{deepcell['seconds']:.1f}, matching {cse['seconds']:.1f}, start-up "
        f"{deepcell['start_s'] + cse['start_s']:.1f} s"
    )
    equal = identical >= LIMIT * total and found["map_difference"] <= TOLERANCE
    return Row(
        f"image to matched masks, {name} at {mpp} um/px",
        "deepcell, Mesmer.predict + CellSegmentationEvaluator",
        sum(ours["steps"].values()),
        deepcell["seconds"] + cse["seconds"],
        equal,
        note,
        4 if name.startswith("mosaic") else None,
    )


def run_steps(bench: Bench, image: Path, folder: Path) -> dict:
    """Run every step on a slide as the pipeline does; return what each took."""
    ingested, tasks = folder / "ingested", folder / "tasks"
    reports = {"INGEST": [fixtures.ingest(bench, image, ingested)]}
    tasks.mkdir()
    table, labels = tasks / "patches.csv", []
    store = ingested / "normalised.zip"
    reports["PATCH"] = [bench.step("patch", "--store", store, "--table", table, "--outdir", tasks)]
    reports["SEGMENT"], reports["LABEL"] = [], []
    for pixels in sorted(tasks.glob("*.pixels.zip")):
        maps, labelled = (
            pixels.with_name(pixels.name.replace("pixels", name)) for name in ("maps", "labels")
        )
        reports["SEGMENT"].append(fixtures.segment(bench, pixels, maps))
        reports["LABEL"].append(bench.step("label", "--maps", maps, "--labels", labelled))
        labels.append(labelled)
    facts = ingested / "sample.json"
    reports["STITCH"] = [
        bench.step(
            "stitch", "--facts", facts, "--patches", table, "--labels", *labels, "--outdir", folder
        )
    ]
    masks = folder / "segmentation" / "mesmer-codex"
    reports["REPAIR"] = [
        bench.step(
            "repair", "--cell", masks / "cell_original.ome.tif",
            "--nucleus", masks / "nucleus_original.ome.tif", "--facts", facts, "--outdir", folder,
        )
    ]  # fmt: skip
    start = fixtures.start_of_segment(bench)
    everything = [report for step in reports.values() for report in step]
    steps = {name: sum(report["seconds"] for report in found) for name, found in reports.items()}
    steps["SEGMENT"] -= (start["import_s"] + start["load_s"]) * len(reports["SEGMENT"])
    return {
        "steps": steps,
        "wall_s": sum(report["wall_s"] for report in everything),
        "peak_gb": max(report["peak_gb"] for report in everything),
    }


def predict(weights: str, folder: str, name: str, mpp: float) -> dict:
    """Worker: `Mesmer.predict` on the whole image, stock settings; save labels and maps."""
    import time

    start = time.perf_counter()
    import numpy as np
    from clocks import WALL, best_of, peak_memory_gb
    from deepcell.applications import Mesmer

    from cellquilt.mesmer.saved_model import network_from_onnx

    app = Mesmer(model=network_from_onnx(Path(weights)))
    image = fixtures.image_of(name)[None]
    seen = {}
    format_output = app.format_model_output_fn

    def record(outputs):
        seen.update(format_output(outputs))
        return seen

    app.format_model_output_fn = record
    start = time.perf_counter() - start
    taken, labels = best_of(lambda: app.predict(image, image_mpp=mpp, compartment="both"), 1, WALL)
    peak = peak_memory_gb()
    np.save(Path(folder) / "labels.npy", labels[0])
    maps = np.concatenate([*seen["whole-cell"], *seen["nuclear"]], axis=-1)[0]
    np.save(Path(folder) / "maps.npy", maps)
    return {"seconds": taken, "start_s": start, "peak_gb": peak}


def repair(folder: str) -> dict:
    """Worker: CellSegmentationEvaluator's matching of deepcell's masks."""
    import contextlib
    import io
    import sys
    import time
    from types import SimpleNamespace

    start = time.perf_counter()
    import numpy as np
    from clocks import WALL, best_of

    sys.modules["aicsimageio"] = SimpleNamespace(AICSImage=None)
    from CellSegmentationEvaluator.functions import get_matched_masks

    labels = np.load(Path(folder) / "labels.npy")
    masks = [contiguous(labels[..., i]) for i in range(2)]
    start = time.perf_counter() - start
    with contextlib.redirect_stdout(io.StringIO()):
        taken, matched = best_of(lambda: get_matched_masks(*masks), 1, WALL)
    np.save(Path(folder) / "matched.npy", np.stack(matched))
    return {"seconds": taken, "start_s": start}


def contiguous(labels):
    """Return labels numbered 1 ... n: with gaps, from resizing, the evaluator fails."""
    import numpy as np

    return np.unique(np.append(labels.ravel(), 0), return_inverse=True)[1][:-1].reshape(
        labels.shape
    )


def compare(folder: str) -> dict:
    """Worker: compare labels before and after matching, and the maps."""
    import numpy as np
    import tifffile
    from clocks import compare_labels

    theirs = np.load(Path(folder) / "labels.npy")
    masks = Path(folder) / "segmentation" / "mesmer-codex"
    found = {}
    for index, name in enumerate(("cell", "nucleus")):
        original = tifffile.imread(masks / f"{name}_original.ome.tif")
        found[name] = compare_labels(original, theirs[..., index])
    repaired = [tifffile.imread(masks / f"{n}.ome.tif") for n in ("cell", "nucleus", "cytoplasm")]
    matched = np.load(Path(folder) / "matched.npy")
    found["repaired_equal"] = all(
        np.array_equal(a, b) for a, b in zip(repaired, matched, strict=True)
    )
    found["map_difference"] = largest_difference(Path(folder))
    return found


def largest_difference(folder: Path) -> float:
    """Return the largest difference of our maps from deepcell's, patch by patch."""
    import numpy as np

    from cellquilt.handoff import stores
    from cellquilt.tiling.lattice import STRIDE
    from cellquilt.tiling.task_store import lattice_of, patches_of

    theirs, largest = np.load(folder / "maps.npy", mmap_mode="r"), 0.0
    for path in (folder / "tasks").glob("*.maps.zip"):
        with stores.read(path) as task:
            attributes = dict(task.attrs)
            lattice = lattice_of(attributes)
            top = attributes["tile_rows"][0] * STRIDE - lattice.rows.before
            left = attributes["tile_cols"][0] * STRIDE - lattice.cols.before
            for p in patches_of(attributes):
                ours = task["maps"][:, p.y0 - top : p.y1 - top, p.x0 - left : p.x1 - left]
                whole = np.moveaxis(theirs[p.y0 : p.y1, p.x0 : p.x1], -1, 0)
                largest = max(largest, float(np.abs(ours - whole).max()))
    return largest
