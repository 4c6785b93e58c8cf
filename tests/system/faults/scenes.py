"""The runs with faults: one for each part of the pipeline, so that every step is covered."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.once import make_once
from support.parsers import V1
from support.steps import write_slide

from cellquilt.synthetic.tissue import generate_tissue

from .runs import CONFIG, DEMO, EVERYTHING, MESMER, Run

TISSUE = CONFIG.with_name("tissue.config")
TRAIN = ["--mode", "train", "--architectures", "compact", "--seeds", "1", "--train_steps", "20"]
BENCHMARK = ["--mode", "benchmark", "--benchmark_image_sizes", "512"]
BENCHMARK += ["--benchmark_patch_sizes", "384", "--benchmark_batch_sizes", "2"]
BENCHMARK += ["--benchmark_tasks", "1", "--benchmark_tiles", "4"]
STEPS = ["--bundle_slides", "0"]
PER_TASK = ["--patches_per_task", "2"]
PLAIN = [*DEMO, *STEPS, *MESMER, *PER_TASK, "--model_cache", "models"]
ALL = ["--formats", EVERYTHING, "--evaluate", "--export_pickle"]
NO_FORMATS = ["--formats", "none"]
BUNDLED = ("one", "two", "three")
SCENES = {
    "mesmer": [*PLAIN, *ALL],
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


def whole_run(name: str, of_all_workers: Path) -> Run:
    """Return a scene's undisturbed run, the one of this session, for all tests to compare with.

    By the parser of Nextflow 25.04, where those that are compared with it have that of 26.
    """
    folder = of_all_workers / "undisturbed"

    def run(done: Path) -> None:
        found = replace(scene(name, folder / name), parser=V1)
        assert found.finish() == 0, found.said
        done.touch()

    make_once(folder / f"{name}.done", run)
    return Run(folder / name, tuple(SCENES[name]))


def whole_runs(of_all_workers: Path) -> dict[str, Run]:
    """Return the undisturbed run of every scene; two run at a time."""
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda name: whole_run(name, of_all_workers), SCENES)
        return dict(zip(SCENES, runs, strict=True))
