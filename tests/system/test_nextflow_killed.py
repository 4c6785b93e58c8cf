"""kill -9 of Nextflow at random moments, and of a task that is not tried again.

Moments are seeded; how far tasks have come at that moment is not, since it depends on the machine.
"""

import random
import time
from pathlib import Path

import pytest

from system.faults.killer import Killer
from system.faults.runs import CONFIG, Run, kill, running
from system.faults.scenes import PLAIN, SCENES, whole_run

pytestmark = pytest.mark.slow

SEED = 20261122


def test_nextflow_killed_again_and_again_redoes_only_what_was_unfinished(of_all_workers, tmp_path):
    """Its tasks outlive it, and go on writing beside those of the next run."""
    whole = whole_run("mesmer", of_all_workers)
    run = Run(tmp_path, (*PLAIN, "--formats", "csv", "--evaluate"))
    dice = random.Random(SEED)
    share = sum(whole.seconds.values()) / 4
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
    expected, found = whole.published(), run.published()
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


def test_after_a_kill_without_retries_what_is_published_is_whole(of_all_workers, tmp_path):
    config = tmp_path / "once.config"
    config.write_text(f"includeConfig '{CONFIG}'\nprocess.errorStrategy = 'finish'\n")
    run = Run(tmp_path, tuple(SCENES["pixelcnn"]), config)
    expected = whole_run("pixelcnn", of_all_workers)
    with Killer(run.work, {"QUANTIFY": expected.seconds["QUANTIFY"]}, {"QUANTIFY": 1}, SEED):
        assert run.finish() == 1
    assert "terminated with an error exit status (137)" in run.said
    whole, found = expected.published(), run.published()
    assert len(found) > 5
    assert {path for path in found if found[path] != whole[path]} == set()
    assert not any(path.endswith(".parquet") for path in found)
    assert run.finish("-resume") == 0, run.said
    assert run.published() == whole
