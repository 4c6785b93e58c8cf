"""Labelling while maps arrive: what the steps in sequence give, in bounded memory; or nothing."""

import functools
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import active_children
from resource import RLIMIT_AS, prlimit

import numpy as np
import pytest
import zarr
from support.maps import crowded_maps
from support.steps import BOTH, ingest_image, plan_store

from cellquilt.handoff import stores
from cellquilt.labelling import arriving, certificate, recent_rows
from cellquilt.labelling.arriving import labelled
from cellquilt.labelling.label import Wanted, label
from cellquilt.labelling.map_store import declare, stored
from cellquilt.segmenters.mesmer import COMPARTMENTS
from cellquilt.tiling.task_store import lattice_of, origin_of

SHAPE = (1100, 400)
WANTED = {
    "both": BOTH,
    "cells": Wanted(
        ("cell",), {"cell": {"interior_threshold": 0.4, "small_objects_threshold": 30}}
    ),
}


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Return the store of a slide that is as large as the maps."""
    image = np.random.default_rng(0).integers(0, 4000, (*SHAPE, 2)).astype(np.uint16)
    return ingest_image(tmp_path_factory.mktemp("slide") / "ingest", image)


@pytest.fixture(scope="module")
def tasks(slide, tmp_path_factory):
    """Return a function that cuts the slide and gives attributes and maps of each task."""
    cells, nuclei = crowded_maps(1, SHAPE), crowded_maps(2, SHAPE, levels=20)
    whole = np.concatenate([nuclei, cells])

    def tasks(*cut):
        _, paths = plan_store(slide, tmp_path_factory.mktemp("cut") / "tasks", *cut)
        for path in paths:
            with stores.read(path) as task:
                attributes, shape = dict(task.attrs), task["codes"].shape[1:]
            lattice = lattice_of(attributes)
            rows, cols = (
                start + np.arange(size)
                for start, size in zip(origin_of(attributes), shape, strict=True)
            )
            inside = ((rows >= 0) & (rows < SHAPE[0]))[:, None] & (cols >= 0) & (cols < SHAPE[1])
            assert lattice.shape == SHAPE
            maps = whole[:, rows.clip(0, SHAPE[0] - 1)][..., cols.clip(0, SHAPE[1] - 1)] * inside
            compartments = declare(COMPARTMENTS, [])
            yield attributes | {"segmenter": "mesmer", "compartments": compartments}, maps

    return tasks


def send(maps, attributes, destination, step=192):
    """Have a destination take maps, some rows at a time."""
    with destination(attributes, maps.shape) as rows:
        for start in range(0, maps.shape[1], step):
            rows.write(start, maps[:, start : start + step])


def contents(labels):
    """Return attributes and arrays of a store of labels, but for when it was written."""
    with stores.read(labels) as task:
        members = dict(task.members(max_depth=None))
        arrays = {
            path: found[:] for path, found in members.items() if isinstance(found, zarr.Array)
        }
        return dict(task.attrs), arrays


def assert_equal(found, expected):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for path, array in expected[1].items():
        assert array.dtype == found[1][path].dtype and np.array_equal(array, found[1][path]), path


def in_sequence(maps, attributes, wanted, folder):
    """Return what LABEL makes of a store of maps."""
    send(maps, attributes, stored(folder / "maps.zip"))
    label(folder / "maps.zip", wanted, folder / "expected.zip")
    return contents(folder / "expected.zip")


@pytest.fixture(scope="module")
def stored_first(tasks, tmp_path_factory):
    """Return a function that gives of each task what `tasks` does, and what LABEL makes of it."""

    @functools.cache
    def stored_first(cut, wanted):
        return [
            (*task, in_sequence(*task[::-1], WANTED[wanted], tmp_path_factory.mktemp("stored")))
            for task in tasks(*cut)
        ]

    return stored_first


@pytest.mark.parametrize(
    ("cut", "wanted", "step", "n_processes"),
    [
        ((192, 96, 1000), "both", 192, 0),
        ((192, 96, 1000), "both", 192, 1),
        ((192, 8, 1000), "both", 37, 3),  # a halo that most proofs find too small
        ((192, 8, 4), "cells", 1000, 0),
        ((384, 96, 4), "both", 256, 2),
    ],
)
def test_labels_are_those_of_maps_that_are_stored_first(
    stored_first, tmp_path, cut, wanted, step, n_processes
):
    for attributes, maps, expected in stored_first(cut, wanted):
        found = tmp_path / "found.zip"
        send(maps, attributes, labelled(found, WANTED[wanted], n_processes), step)
        assert_equal(contents(found), expected)
        n_cells = sum(len(array) for path, array in expected[1].items() if "markers" in path)
        assert n_cells > 10 * len(attributes["patches"])


def test_few_rows_are_in_memory_at_a_time(tasks, tmp_path, monkeypatch):
    for module in (certificate, arriving):  # of this process, so this one labels
        monkeypatch.setattr(module, "MAX_HALO", 64)
    ((attributes, maps),) = tasks(192, 32, 1000)
    expected = in_sequence(maps, attributes, BOTH, tmp_path)
    sizes, size = [], recent_rows.RecentRows.size

    def noted(shape, capacity):
        sizes.append(capacity)
        return size(shape, capacity)

    monkeypatch.setattr(recent_rows.RecentRows, "size", noted)
    send(maps, attributes, labelled(tmp_path / "found.zip", BOTH, 0), 64)
    # a window of 192 px with two halos, a row of patches ahead, and what has just come
    assert sizes == [192 + 2 * (64 + 8) + 192 + 256]
    assert sizes[0] < maps.shape[1]
    assert_equal(contents(tmp_path / "found.zip"), expected)


def test_a_killed_process_ends_the_task_with_its_reason(tasks, tmp_path):
    ((attributes, maps),) = tasks(192, 96, 1000)
    with (
        pytest.raises(MemoryError, match="a process of the task was killed"),
        labelled(tmp_path / "labels.zip", BOTH, 2)(attributes, maps.shape) as rows,
    ):
        rows.write(0, maps[:, :400])
        os.kill(active_children()[0].pid, signal.SIGKILL)
        rows.write(400, maps[:, 400:])
    assert list(tmp_path.iterdir()) == [] and active_children() == []


def test_a_process_without_memory_ends_the_task_with_its_reason(tasks, tmp_path):
    ((attributes, maps),) = tasks(1000, 96, 1000)
    with (
        pytest.raises(MemoryError),
        labelled(tmp_path / "labels.zip", BOTH, 1)(attributes, maps.shape) as rows,
    ):
        rows._pool.submit(os.getpid).result()  # it has started
        (child,) = active_children()
        with open(f"/proc/{child.pid}/statm") as memory:
            used = int(memory.read().split()[0]) * os.sysconf("SC_PAGESIZE")
        prlimit(child.pid, RLIMIT_AS, (used + 1_000_000, used + 1_000_000))
        rows.write(0, maps)
    assert list(tmp_path.iterdir()) == []


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def holds(pid, library):
    """Return whether a process has loaded a library."""
    with suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{pid}/maps") as memory:
        return library in memory.read()
    return False


def labellers_of(script, patience=120):
    """Return the labelling processes of a script once they label."""
    until = time.monotonic() + patience
    while time.monotonic() < until and script.poll() is None:
        # beside them there is the tracker of multiprocessing, which loads nothing
        found = [pid for pid in children_of(script.pid) if holds(pid, "cellquilt_kernels")]
        if len(found) == 2:
            return found
        time.sleep(0.05)
    raise AssertionError(script.communicate())


@pytest.fixture
def segmenting(repo, tissue_image, tmp_path):
    """Start the script that segments and labels, in the folder of the test."""
    store = ingest_image(tmp_path / "ingest", tissue_image)
    _, (pixels,) = plan_store(store, tmp_path / "tasks", 192, 96, 1000)
    networks = sorted((repo / "assets" / "networks").glob("*.keras"))
    command = [sys.executable, repo / "bin" / "segment.py", "--segmenter", "pixelcnn"]
    command += ["--pixels", pixels, "--networks", *networks, "--labels", "labels.zip"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([*command, "--cpus", "2"], cwd=tmp_path, **pipes) as script:
        yield script
        script.kill()


def test_labelling_processes_load_no_tensorflow_and_the_script_tells_of_a_killed_one(
    segmenting, tmp_path
):
    labellers = labellers_of(segmenting)
    assert holds(segmenting.pid, "tensorflow")
    assert not any(holds(pid, "tensorflow") for pid in labellers)
    os.kill(labellers[1], signal.SIGKILL)
    said, _ = segmenting.communicate()
    assert segmenting.returncode == 137, said
    assert "ERROR: not enough memory, with " in said
    assert "(a process of the task was killed). The task is tried again with more" in said
    assert not list(tmp_path.glob("*labels*"))


def test_labelling_processes_end_with_a_script_that_is_killed(segmenting):
    labellers = labellers_of(segmenting)
    segmenting.kill()
    until = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in labellers):
        assert time.monotonic() < until
        time.sleep(0.05)
