"""Cohorts of small images: from the sheet to the report, against `Mesmer.predict` in a loop.

Ours is the processor time of everything that `nextflow run` starts, Nextflow included; theirs that
of the masks alone, in one process with stock settings, without its start.
"""

import csv
import os
import subprocess
import time
from pathlib import Path

from bench import ROOT, Bench, Row, WorkerError

MPP = 0.5
# Side in px and number of fields, and the share of their time that ours is to stay below
COHORTS = [(512, 24, 0.8), (2048, 12, 0.35)]
# Slides a task; 0 is the road of large slides
BUNDLES = (24, 5, 1, 0)
DEMO_S = 20
TIMED = {"pipeline_info", "report.html", "files.json"}
LIMIT = 0.999  # of cells that must be identical to the pixel


def rows(bench: Bench) -> list[Row]:
    found = []
    for side, number, bar in COHORTS:
        folder = bench.scratch / f"fields-{side}"
        bench.call("runtime", "write_fields", folder=folder, side=side, number=number)
        found.append(against_predict(bench, folder, side, number, bar))
    found.append(whatever_the_bundle(bench, bench.scratch / f"fields-{COHORTS[0][0]}"))
    return found + [demo(bench, segmenter) for segmenter in ("mesmer", "pixelcnn")]


def against_predict(bench: Bench, folder: Path, side: int, number: int, bar: float) -> Row:
    """Run a cohort through both, and compare the masks before matching."""
    results = bench.scratch / f"results-{side}"
    ours = run_pipeline(bench, "--input", folder / "sheet.csv", "--outdir", results)
    theirs = bench.call("deepcell", "predict_fields", folder=folder, weights=onnx(bench))
    masks = bench.call("runtime", "compare_fields", folder=folder, results=results)
    ratio = ours["cpu_s"] / theirs["seconds"]
    note = (
        f"processor time, all steps and Nextflow against masks alone: {ratio:.2f} of it "
        f"(target: at most {bar}); {ours['cpu_s'] / number:.2f} against "
        f"{theirs['seconds'] / number:.2f} s a field; {ours['jobs']} tasks; wall clock "
        f"{ours['wall_s']:.0f} against {theirs['wall_s']:.0f} s; {masks['n_identical']} of "
        f"{masks['n_theirs']} cells and nuclei identical to the pixel; {masks['n_uncertified']} "
        "not certified"
    )
    equal = masks["n_identical"] >= LIMIT * masks["n_theirs"] and not masks["n_uncertified"]
    work = f"{number} fields of {side}^2 px, 8 channels, sheet to report"
    return Row(
        work, "deepcell, Mesmer.predict", ours["cpu_s"], theirs["seconds"], equal, note, 1 / bar
    )


def onnx(bench: Bench) -> Path:
    import fixtures

    return fixtures.onnx(bench)


def whatever_the_bundle(bench: Bench, folder: Path) -> Row:
    """Compare what is published for each number of slides a task."""
    published, taken = {}, {}
    for bundle in BUNDLES:
        results = bench.scratch / f"bundle-{bundle}"
        options = ["--input", folder / "sheet.csv", "--outdir", results, "--bundle_slides", bundle]
        taken[bundle] = run_pipeline(bench, *options)
        published[bundle] = published_by(results)
    first = published[BUNDLES[0]]
    differ = {
        bundle: [path for path in {*first, *found} if first.get(path) != found.get(path)]
        for bundle, found in published.items()
    }
    times = ", ".join(
        f"{taken[bundle]['cpu_s']:.0f} s ({taken[bundle]['jobs']} tasks) with "
        + (f"{bundle} a task" if bundle else "the steps of large slides")
        for bundle in BUNDLES
    )
    some = "; ".join(f"{b}: {paths[:3]}" for b, paths in differ.items() if paths)
    note = f"{len(first)} files of masks, tables, exports and pictures; processor time {times}"
    return Row(
        "24 fields of 512^2 px, slides a task",
        f"each other: {', '.join(map(str, BUNDLES))}",
        taken[BUNDLES[0]]["cpu_s"],
        taken[0]["cpu_s"],
        not any(differ.values()),
        f"{note}{f'; DIFFERENT: {some}' if some else ''}",
    )


def demo(bench: Bench, segmenter: str) -> Row:
    """Time the demo from the command to its end."""
    options = ["--segmenter", segmenter, "--outdir", bench.scratch / f"demo-{segmenter}"]
    found = run_pipeline(bench, *options, profile="demo,local")
    return Row(
        f"the demo, {segmenter}",
        f"{DEMO_S} s of wall clock",
        found["wall_s"],
        DEMO_S,
        None,
        f"wall; {found['jobs']} tasks, {found['cpu_s']:.0f} s of processor time",
        1,
    )


def run_pipeline(bench: Bench, *options: object, profile: str = "local") -> dict:
    """Run the pipeline in a folder of its own; return its times and the number of its tasks."""
    number = len(list(bench.scratch.glob("run-*")))
    folder = bench.scratch / f"run-{number}"
    folder.mkdir()
    command = [ROOT / "tools" / "nextflow", "run", ROOT, "-profile", profile, *options]
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [*map(str, command), "--accept_mesmer_license", "-ansi-log", "false"],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise WorkerError("nextflow run:\n" + "\n".join(done.stdout.splitlines()[-15:]))
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return {"cpu_s": cpu, "wall_s": wall, "jobs": done.stdout.count("Submitted process")}


def published_by(results: Path) -> dict[str, bytes]:
    """Return the published files that tell no times, by path."""
    return {
        str(name): (results / name).read_bytes()
        for name in (path.relative_to(results) for path in results.rglob("*") if path.is_file())
        if not {name.parts[0], name.name} & TIMED or name.match("*/report.html")
    }


def write_fields(folder: str, side: int, number: int) -> None:
    """Worker: cut fields from the CODEX tile, or from its repetition, and write their sheet."""
    import numpy as np
    import tifffile
    from bench import SHARED

    tile = tifffile.imread(SHARED / "codex_tile" / "codex_tile.ome.tif")
    names = [f"channel{k}" for k in range(len(tile))]
    where = Path(folder)
    where.mkdir()
    repeats = [-(-side // n) + 1 for n in tile.shape[1:]] if side > min(tile.shape[1:]) else [1, 1]
    image = np.tile(tile, (1, *repeats))
    rng = np.random.default_rng(side)
    lines = []
    for k in range(number):
        y, x = (int(rng.integers(0, n - side + 1)) for n in image.shape[1:])
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        metadata |= {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
        path = where / f"field{k:02d}.ome.tif"
        tifffile.imwrite(
            path, image[:, y : y + side, x : x + side], ome=True, photometric="minisblack",
            compression="zlib", tile=(256, 256), metadata=metadata,
        )  # fmt: skip
        row = {"sample": f"field{k:02d}", "image": path.name, "nuclear": names[0]}
        lines.append(row | {"membrane": names[2]})
    with (where / "sheet.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, lines[0])
        table.writeheader()
        table.writerows(lines)


def predict_fields(folder: str, weights: str) -> dict:
    """Worker: `Mesmer.predict` on each field, stock settings, one after the other."""
    import numpy as np
    import tifffile
    from deepcell.applications import Mesmer

    from cellquilt.mesmer.saved_model import network_from_onnx

    app = Mesmer(model=network_from_onnx(Path(weights)))
    images = {
        path.name.partition(".")[0]: np.moveaxis(tifffile.imread(path)[[0, 2]], 0, -1)[None]
        for path in sorted(Path(folder).glob("*.ome.tif"))
    }
    before, start = os.times(), time.perf_counter()
    found = {}
    for name, image in images.items():
        found[name] = app.predict(image, image_mpp=MPP, compartment="both")[0]
    wall, after = time.perf_counter() - start, os.times()
    for name, labels in found.items():
        np.save(Path(folder) / f"{name}.npy", labels)
    cpu = (after.user - before.user) + (after.system - before.system)
    return {"seconds": cpu, "wall_s": wall}


def compare_fields(folder: str, results: str) -> dict:
    """Worker: compare the masks before matching with deepcell's, and count what is uncertified."""
    import json

    import numpy as np
    import tifffile
    from clocks import compare_labels

    total = {"n_identical": 0, "n_theirs": 0, "n_uncertified": 0}
    for path in sorted(Path(folder).glob("*.npy")):
        theirs, own = np.load(path), Path(results) / path.stem
        masks = own / "segmentation" / f"mesmer-{path.stem}"
        for index, name in enumerate(("cell", "nucleus")):
            original = tifffile.imread(masks / f"{name}_original.ome.tif")
            compared = compare_labels(original, theirs[..., index])
            for key in ("n_identical", "n_theirs"):
                total[key] += compared[key]
        summary = json.loads((own / "summary.json").read_text())
        total["n_uncertified"] += sum(
            summary[f"n_uncertified_{objects}"] for objects in ("cells", "nuclei")
        )
    return total
