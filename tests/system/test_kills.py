"""kill -9 at random moments, of every step's tasks and of Nextflow: no incomplete file is a result.

Each scene runs twice: undisturbed, and with its tasks killed, which Nextflow retries. For files
that contain times, the rest is compared. Moments are seeded; the state of a task at that moment is
not, since it depends on the machine.
"""

import io
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from system.faults.killer import Killer
from system.faults.runs import CONFIG, Run, content_of, files_of, kill, running, step_of
from system.faults.scenes import PLAIN, SCENES, scene, whole_runs

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


def test_nextflow_killed_again_and_again_redoes_only_what_was_unfinished(undisturbed, tmp_path):
    """Its tasks outlive it, and go on writing beside those of the next run."""
    run = Run(tmp_path, (*PLAIN, "--formats", "csv", "--evaluate"))
    dice = random.Random(SEED)
    share = sum(undisturbed["mesmer"].seconds.values()) / 4
    n_killed, submitted, finished = 0, [], set()
    while True:
        before = len(run.said) if submitted else 0
        started = alive = time.time()
        nextflow = run.start("-resume")
        moment = dice.uniform(6, 6 + share)
        if n_killed < 4:
            time.sleep(moment)
            alive = time.time()
            if kill_only(nextflow):
                n_killed += 1
        code = nextflow.wait()
        said = run.said[before:]
        now = [line.partition("process > ")[2] for line in said.splitlines() if "Submitted" in line]
        submitted += now
        assert finished.isdisjoint(now), "what was finished is done again"
        # what ends later Nextflow has not noted
        finished |= finished_between(run.work, started, alive - 3)
        if code == 0:
            break
        assert code == -9, run.said
    n_tasks = len(set(submitted))
    print(f"{n_killed} kills of Nextflow: {len(submitted) - n_tasks} of {n_tasks} tasks redone")
    assert n_killed >= 3
    assert len(submitted) - n_tasks <= 3 * n_killed  # what runs or ends at one moment
    while running(run.work):  # orphans
        time.sleep(0.5)
    expected, found = undisturbed["mesmer"].published(), run.published()
    del expected["methods.txt"], found["methods.txt"]  # which name the formats that were asked for
    assert [path for path in found if found[path] != expected.get(path)] == []
    only_there = {path.split("/")[1].split(".")[0] for path in expected.keys() - found.keys()}
    formats = {"anndata", "geojson", "hubmap", "viewer", "vitessce", "zarr"}
    pickles = {"matched_seg_res_batch", "original_seg_res_batch"}
    assert only_there == formats | pickles


def kill_only(nextflow) -> bool:
    """Kill Nextflow, but not its tasks; return whether it was still at work."""
    return nextflow.poll() is None and kill(nextflow.pid)


def finished_between(work: Path, started: float, ended: float) -> set[str]:
    """Return the names of the tasks that one run of Nextflow started, and that ended in time.

    Not those that a killed run left behind, whose end no Nextflow notes.
    """
    found = set()
    for path in work.glob("*/*/.exitcode"):
        head = path.with_name(".command.run")
        ours = head.stat().st_mtime >= started and path.stat().st_mtime < ended
        if ours and path.read_text() == "0":
            found.add(head.read_text().partition("### name: '")[2].partition("'\n")[0])
    return found


def test_after_a_kill_without_retries_what_is_published_is_whole(undisturbed, tmp_path):
    config = tmp_path / "once.config"
    config.write_text(f"includeConfig '{CONFIG}'\nprocess.errorStrategy = 'finish'\n")
    run = Run(tmp_path, tuple(SCENES["pixelcnn"]), config)
    expected = undisturbed["pixelcnn"]
    with Killer(run.work, {"QUANTIFY": expected.seconds["QUANTIFY"]}, {"QUANTIFY": 1}, SEED):
        assert run.finish() == 1
    assert "terminated with an error exit status (137)" in run.said
    whole, found = expected.published(), run.published()
    assert len(found) > 5
    assert {path for path in found if found[path] != whole[path]} == set()
    assert not any(path.endswith(".parquet") for path in found)
    assert run.finish("-resume") == 0, run.said
    assert run.published() == whole
