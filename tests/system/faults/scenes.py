"""The runs with faults: one for each part of the pipeline, so that every step is covered."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from support.once import make_once
from support.steps import write_slide

from cellquilt.synthetic.tissue import generate_tissue

from .runs import DEMO, EVERYTHING, MESMER, Run

TRAIN = ["--mode", "train", "--architectures", "compact", "--seeds", "1", "--train_steps", "60"]
BENCHMARK = ["--mode", "benchmark", "--benchmark_image_sizes", "512"]
BENCHMARK += ["--benchmark_patch_sizes", "384", "--benchmark_batch_sizes", "2"]
BENCHMARK += ["--benchmark_tasks", "1", "--benchmark_tiles", "4"]
STEPS = ["--bundle_slides", "0"]
PLAIN = [*DEMO, *STEPS, *MESMER, "--patches_per_task", "2", "--model_cache", "models"]
NO_FORMATS = ["--formats", "none"]
BUNDLED = ("one", "two", "three")
SCENES = {
    "mesmer": [*PLAIN, "--formats", EVERYTHING, "--evaluate", "--export_pickle"],
    "pixelcnn": [*DEMO, *STEPS, "--segmenter", "pixelcnn", "--keep_maps", "false", *NO_FORMATS],
    "bundle": ["-profile", "local", "--segmenter", "pixelcnn", "--input", "sheet.csv"],
    "train": [*DEMO, *TRAIN, "--compartment", "whole-cell"],
    "benchmark": ["-profile", "local", *MESMER, *BENCHMARK],
}


def made(folder: Path) -> Path:
    """Return a folder after making it."""
    folder.mkdir(parents=True)
    return folder


def scene(name: str, folder: Path) -> Run:
    """Return a scene that has not run yet, in a new folder, with the slides of a bundle."""
    run = Run(made(folder), tuple(SCENES[name]))
    if name == "bundle":
        rows = ["sample,image,nuclear,membrane"]
        for seed, sample in enumerate(BUNDLED):
            tissue = np.moveaxis(generate_tissue(300, 300, seed=seed).image[[0, 2]], 0, -1)
            slide = write_slide(run.folder / f"{sample}.ome.tif", tissue)
            rows.append(f"{sample},{slide.name},nuclear,membrane")
        (run.folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return run


def whole_run(name: str, folder: Path) -> Run:
    """Return a scene's undisturbed run, the one of this session, below `folder`."""

    def run(done: Path) -> None:
        found = scene(name, folder / name)
        assert found.finish() == 0, found.said
        done.touch()

    make_once(folder / f"{name}.done", run)
    return Run(folder / name, tuple(SCENES[name]))


def whole_runs(folder: Path) -> dict[str, Run]:
    """Return the undisturbed run of every scene; two run at a time."""
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda name: whole_run(name, folder), SCENES)
        return dict(zip(SCENES, runs, strict=True))
