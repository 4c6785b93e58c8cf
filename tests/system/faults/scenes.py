"""The runs with faults: one for each part of the pipeline, so that every step is covered."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from .runs import DEMO, EVERYTHING, MESMER, Run

TRAIN = ["--mode", "train", "--architectures", "compact", "--seeds", "1", "--train_steps", "60"]
BENCHMARK = ["--mode", "benchmark", "--benchmark_image_sizes", "512"]
BENCHMARK += ["--benchmark_patch_sizes", "384", "--benchmark_batch_sizes", "2"]
BENCHMARK += ["--benchmark_tasks", "1", "--benchmark_tiles", "4"]
PLAIN = [*DEMO, *MESMER, "--patches_per_task", "2", "--model_cache", "models"]
SCENES = {
    "mesmer": [*PLAIN, "--formats", EVERYTHING, "--evaluate", "--export_pickle"],
    "pixelcnn": [*DEMO, "--segmenter", "pixelcnn", "--formats", "none"],
    "train": [*DEMO, *TRAIN, "--compartment", "whole-cell"],
    "benchmark": ["-profile", "local", *MESMER, *BENCHMARK],
}


def made(folder: Path) -> Path:
    """Return a folder after making it."""
    folder.mkdir(parents=True)
    return folder


def scene(name: str, folder: Path) -> Run:
    """Return a scene that has not run yet, in a new folder."""
    return Run(made(folder / name), tuple(SCENES[name]))


@cache
def whole_run(name: str, folder: Path) -> Run:
    """Return a scene's undisturbed run, the one of this session."""
    run = scene(name, folder)
    assert run.finish() == 0, run.said
    return run


def whole_runs(folder: Path) -> dict[str, Run]:
    """Return the undisturbed run of every scene; two run at a time."""
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda name: whole_run(name, folder), SCENES)
        return dict(zip(SCENES, runs, strict=True))
