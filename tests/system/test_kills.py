"""kill -9 at random moments, of every step's tasks: no incomplete file is a result.

Each scene runs twice: undisturbed, and with its tasks killed, which Nextflow retries. For files
that contain times, the rest is compared. Moments are seeded; the state of a task at that moment is
not, since it depends on the machine.
"""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from system.faults.killer import Killer
from system.faults.runs import Run, content_of, files_of, step_of
from system.faults.scenes import SCENES, scene, whole_runs

pytestmark = pytest.mark.slow

SEED = 20261122
# Which steps are killed in which scene; those of several scenes are killed in one of them
KILLED = {
    "mesmer": ["MODEL", "SEGMENT", "LABEL", "STITCH", "QUANTIFY"]
    + ["EXPORT", "EVALUATE", "DRAW", "REPORT"],
    "pixelcnn": ["GENERATE", "INGEST", "PATCH", "CLASSIFY", "REPAIR"],
    "bundle": ["CHAIN"],
    "train": ["TRAIN", "COMPARE"],
    "benchmark": ["MEASURE", "RECOMMEND"],
}
STEPS = {step for steps in KILLED.values() for step in steps}
# How often each task of a step is killed: the last step of a scene once more, since a kill may miss
TIMES = dict.fromkeys(STEPS, 3) | dict.fromkeys(["COMPARE", "RECOMMEND"], 4)
UNEQUAL = {"TRAIN", "COMPARE", "MEASURE", "RECOMMEND", "REPORT"}  # tell times


@pytest.fixture(scope="module")
def undisturbed(of_all_workers) -> dict[str, Run]:
    """Return a whole run of each scene."""
    return whole_runs(of_all_workers)


@pytest.fixture(scope="module")
def disturbed(undisturbed, tmp_path_factory) -> dict[str, Run]:
    """Return a run of each scene whose tasks were killed; two go on at a time."""
    folder = tmp_path_factory.mktemp("disturbed")

    def run(name: str) -> Run:
        found = scene(name, folder / name)
        times = {step: TIMES[step] for step in KILLED[name]}
        with Killer(found.work, undisturbed[name].seconds, times, SEED):
            assert found.finish() == 0, found.said
        return found

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SCENES, pool.map(run, SCENES), strict=True))


def test_every_step_was_killed(disturbed):
    """By Nextflow's own account, and 50 times in all."""
    killed = [
        step_of(task["name"])
        for run in disturbed.values()
        for task in run.tasks
        if task["status"] == "FAILED"
    ]
    counts = {step: killed.count(step) for step in STEPS}
    print(f"{len(killed)} kills: {counts}")
    assert set(killed) == STEPS
    assert min(counts.values()) >= 2, counts
    assert len(killed) >= 50


def test_results_are_those_of_the_undisturbed_run(undisturbed, disturbed):
    for name in ("mesmer", "pixelcnn", "bundle"):
        expected, found = undisturbed[name].published(), disturbed[name].published()
        assert sorted(found) == sorted(expected), name
        assert [path for path in expected if found[path] != expected[path]] == [], name
    expected, found = (
        sorted(path for path in files_of(run.results) if "pipeline_info" not in path)
        for run in (undisturbed["mesmer"], disturbed["mesmer"])
    )
    assert found == expected
    runs = undisturbed["mesmer"], disturbed["mesmer"]
    expected, found = (files_of(run.folder / "models").keys() for run in runs)
    assert found == expected and len(found) == 1


def test_networks_and_their_comparison_are_the_same(undisturbed, disturbed):
    expected, found = (
        files_of(run.results / "training") for run in (undisturbed["train"], disturbed["train"])
    )
    assert found.keys() == expected.keys()
    for path in expected:
        if path.endswith(".csv"):
            tables = [pd.read_csv(io.BytesIO(files[path])) for files in (expected, found)]
            timed = [c for c in tables[0] if c.endswith("_s") or "_s_per_" in c or "seconds" in c]
            pd.testing.assert_frame_equal(*(table.drop(columns=timed) for table in tables))
        elif path.startswith("networks/") and path.endswith(".json"):
            cards = [json.loads(files[path]) for files in (expected, found)]
            for key in ("weights_sha256", "scores", "thresholds"):
                assert cards[0][key] == cards[1][key], key


def test_measurements_are_whole(undisturbed, disturbed):
    tables = [
        pd.read_csv(run.results / "benchmark" / "benchmark.csv")
        for run in (undisturbed["benchmark"], disturbed["benchmark"])
    ]
    assert list(tables[0]) == list(tables[1])
    fixed = ["image", "patch_size", "patches_per_task", "batch_size", "tasks"]
    pd.testing.assert_frame_equal(tables[0][fixed], tables[1][fixed])
    assert (tables[1]["slide_mpx_per_s"] > 0).all()
    files = [
        files_of(run.results / "benchmark").keys()
        for run in (undisturbed["benchmark"], disturbed["benchmark"])
    ]
    assert files[0] == files[1]


def test_a_killed_task_leaves_only_whole_files(disturbed):
    """Under the name of a result, in its own folder: as the attempt that succeeded has them."""
    compared = 0
    for run in disturbed.values():
        tasks = run.tasks
        whole = {t["name"]: run.folder_of(t) for t in tasks if t["status"] == "COMPLETED"}
        for task in tasks:
            if task["status"] == "FAILED":
                expected = files_of(whole[task["name"]])
                if step_of(task["name"]) == "MODEL":
                    (model,) = run.folder.glob("models/*/mesmer.zip")
                    expected |= {model.name: model.read_bytes()}
                for path, content in files_of(run.folder_of(task)).items():
                    hidden = any(part.startswith((".", "tmp")) for part in Path(path).parts)
                    if hidden:
                        continue
                    assert path in expected, f"{task['name']} left {path}"
                    if step_of(task["name"]) not in UNEQUAL | {"MODEL"}:
                        found, whole_one = (
                            content_of(path, content),
                            content_of(path, expected[path]),
                        )
                        assert found == whole_one, f"{task['name']} left half of {path}"
                    compared += 1
    print(f"{compared} files of killed tasks are whole")
    assert compared > 10
