"""Whole slides in patches against the real deepcell on the whole image: input, maps, labels."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from steps import (
    ingest_image,
    label_slide,
    network_input,
    plan_store,
    replan,
    segment_tasks,
    windows,
)

from cellquilt.lattice import TILE
from cellquilt.metrics import object_f1

PATCHES_PER_TASK = {384: 2, 576: 3, 1536: 16}  # by patch size
PATCH_SIZES = list(PATCHES_PER_TASK)
WHOLE = 1_000_000
MAP_TOLERANCE = 1e-5


@dataclass
class Run:
    """What the pipeline made of a slide, by patch size, beside what Mesmer.predict made of it."""

    theirs: dict[str, np.ndarray]
    input: np.ndarray
    maps: dict[int, list[Path]]
    labels: dict[int, np.ndarray]


@pytest.fixture(
    scope="module", params=["generated tissue", "codex tile", "codex tile, own pixel size"]
)
def run(request, slides, mesmer_predictions, network, tmp_path_factory):
    if request.param not in slides:
        pytest.skip("no real data beside the repository")
    folder = tmp_path_factory.mktemp("slide")
    store = ingest_image(folder / "ingest", *slides[request.param])
    maps, labels = {}, {}
    for size, patches_per_task in PATCHES_PER_TASK.items():
        _, pixels = plan_store(store, folder / f"{size}", size, patches_per_task=patches_per_task)
        maps[size] = segment_tasks(pixels, network)
        labels[size] = label_slide(maps[size], folder / f"{size}-labels")
    return Run(mesmer_predictions[request.param], network_input(store), maps, labels)


def test_the_network_sees_what_deepcells_sees(run):
    assert np.array_equal(run.input, run.theirs["normalised"])


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_maps_are_deepcells(run, patch_size):
    covered = np.zeros(run.input.shape[:2], bool)
    for maps in run.maps[patch_size]:
        for where, ours in windows(maps):
            assert np.abs(ours - run.theirs["maps"][where]).max() <= MAP_TOLERANCE
            covered[where] = True
    assert covered.all()


def test_maps_do_not_depend_on_patches_and_tasks(run):
    whole = np.zeros_like(run.theirs["maps"])
    for maps in run.maps[1536]:
        for where, ours in windows(maps):
            whole[where] = ours
    for patch_size in PATCH_SIZES:
        for maps in run.maps[patch_size]:
            for where, ours in windows(maps):
                assert np.array_equal(ours, whole[where])


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
def test_labels_are_deepcells_to_the_number(run, patch_size):
    assert run.labels[patch_size].max() > 500
    assert np.array_equal(run.labels[patch_size], run.theirs["labels"])


def test_f1_on_the_codex_tile(slides, mesmer_predictions, shared_data):
    """Whether a published segmentation and an annotator agree with what we proved equal above."""
