"""The demo on a real Slurm: jobs cancelled, nodes drained and lost, limits passed, Nextflow killed.

The cluster is tests/system/slurm/cluster.py. What is done to the run is done while the job in
question is at work; how far that job has come is left to chance.
"""

import csv
import os
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from system.faults.scenes import STEPS, TISSUE
from system.slurm.cluster import Cluster, Job, Unavailable

pytestmark = pytest.mark.slow

FILES = Path(__file__).with_name("slurm")
# The demo on a small tissue, in eight patches
SMALL = ["-c", TISSUE, "--patch_size", "192", "--patches_per_task", "2", "--accept_mesmer_license"]
PATIENCE = 600  # seconds; far more than any part takes


class Run:
    """A run of Nextflow in the background, with a folder of its own."""

    def __init__(self, cluster: Cluster, folder: Path, script: Path, *options: str | Path):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._log = folder / f"log-{len(list(folder.glob('log-*')))}"
        nextflow = FILES.parents[2] / "tools" / "nextflow"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [nextflow, "run", script, *options, "-ansi-log", "false"],
                cwd=folder,
                env=cluster.environment | {"NXF_ANSI_LOG": "false"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until[T](self, find: Callable[[], T]) -> T:
        """Wait until something is found, while the run goes on."""
        end = time.monotonic() + PATIENCE
        while not (found := find()):
            assert self._process.poll() is None, f"the run has ended:\n{self.said}"
            assert time.monotonic() < end, f"in vain:\n{self.said}"
            time.sleep(0.3)
        return found

    def done(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def attempts(self) -> dict[str, list[dict[str, str]]]:
        """Return the rows of the trace, by task, in the order they were submitted in."""
        found = defaultdict(list)
        with (self.folder / "results/pipeline_info/execution_trace.txt").open() as file:
            for row in sorted(csv.DictReader(file, delimiter="\t"), key=lambda row: row["submit"]):
                found[re.sub(r"^(\w+:)+", "", row["name"])].append(row)
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            started = stack.enter_context(Cluster(tmp_path_factory.mktemp("slurm")))
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield started


@pytest.fixture(scope="module")
def site(repo, tmp_path_factory) -> list[str | Path]:
    """Return what a user of docs/cloud.md gives by -c, and the size of this cluster's nodes."""
    page = (repo / "docs" / "cloud.md").read_text()
    own = tmp_path_factory.mktemp("site") / "site.config"
    block = r"^## Slurm\n.*?```groovy\n(.*?)```"
    own.write_text(re.search(block, page, re.DOTALL | re.MULTILINE)[1])
    return ["-c", own, "-c", FILES / "test.config"]


@pytest.fixture(scope="module")
def demo(repo, cluster, site) -> Callable[..., Run]:
    """Return a function that starts the demo on Slurm step by step, in a folder."""
    # a job for each step
    common = ["-profile", "demo,local,slurm", *site, *SMALL, *STEPS]

    def start(folder: Path, *options: str | Path) -> Run:
        return Run(cluster, folder, repo, *common, *options)

    return start


@pytest.fixture(scope="module")
def tasks(repo, cluster) -> Callable[[Path, str], Run]:
    """Return a function that starts the tasks of limits.nf in a folder, on a partition."""
    options = ["-c", repo / "nextflow.config", "-c", FILES / "test.config", "-profile", "slurm"]
    options += ["-process.queue"]
    return lambda folder, where: Run(cluster, folder, FILES / "limits.nf", *options, where)


@pytest.fixture(scope="module")
def limited(tasks, tmp_path_factory) -> Run:
    """Return a run of tasks above their limits, on a node of their own while others go on."""
    return tasks(tmp_path_factory.mktemp("limits"), "apart")


@pytest.fixture(scope="module")
def expected(repo, cluster, limited, tmp_path_factory) -> Path:
    """Return the results of the demo on this machine, without Slurm and by a single task."""
    folder = tmp_path_factory.mktemp("expected")
    run = Run(cluster, folder, repo, "-profile", "demo,local", *SMALL)
    assert run.done() == 0, run.said
    return run.folder / "results"


@dataclass
class Story:
    """What was done to a run, and what became of it.

    Attributes
    ----------
    run : Run
        The second part, after Nextflow was killed, to its end.
    before : dict
        The tasks' attempts of the first part.
    jobs : dict of str to Job
        All that Slurm had, by ID.
    cancelled, drained, lost : str
        IDs of elements of SEGMENT's array: cancelled, on the node that was drained, and on the
        node that was lost.
    alone : str
        ID of a job of no array, cancelled in the second part.
    left : set of str
        Jobs that outlived Nextflow.
    at_first, at_last : set of str
        The jobs that the drained node had had, when it was told so and when it was empty.
    """

    run: Run
    before: dict[str, list[dict[str, str]]]
    jobs: dict[str, Job]
    cancelled: str
    drained: str
    lost: str
    alone: str
    left: set[str]
    at_first: set[str]
    at_last: set[str]

    def attempts_of(self, job: str) -> list[dict[str, str]]:
        """Return all attempts of the task that a job was for."""
        tasks = [*self.before.values(), *self.run.attempts().values()]
        return next(rows for rows in tasks if job in [row["native_id"] for row in rows])


def has_begun(folder: Path, step: str) -> bool:
    """Return whether the program of a step's task has started, half a second ago or more."""
    return any(
        time.time() - said.stat().st_mtime > 0.5
        for said in folder.glob("work/*/*/.command.out")
        if f":{step} (" in said.with_name(".command.run").read_text()
    )


@pytest.fixture(scope="module")
def story(cluster, demo, expected, tmp_path_factory) -> Story:
    folder = tmp_path_factory.mktemp("demo")
    run = demo(folder)

    def running(step: str, node: str = "", but: str = "") -> str | None:
        jobs = (job for job in cluster.jobs() if f"_{step}_" in job.name and job.id != but)
        return next((job.id for job in jobs if node in ("", job.node)), None)

    def had(node: str) -> set[str]:
        return {job.id for job in cluster.jobs("all") if job.node == node}

    # Two elements of the array are at work, two wait
    drained = run.until(lambda: running("SEGMENT", "one"))
    cancelled = run.until(lambda: running("SEGMENT", "two"))
    time.sleep(2)
    at_first = had("one")
    cluster.ask("scontrol", "update", "nodename=one", "state=drain", "reason=test")
    cluster.ask("scancel", cancelled)
    lost = run.until(lambda: running("SEGMENT", "two", but=cancelled))
    time.sleep(2)
    cluster.lose_node("two")
    run.until(lambda: cluster.state("one") == "drained")
    at_last = had("one")
    cluster.ask("scontrol", "update", "nodename=one", "state=resume")
    run.until(lambda: cluster.state("two") == "down")
    cluster.start_node("two")

    # Nextflow goes, and is started again
    run.until(lambda: running("LABEL"))
    left = {job.id for job in cluster.jobs("running,pending")}
    run.kill()
    before = run.attempts()
    resumed = demo(folder, "-resume")
    alone = resumed.until(lambda: running("DRAW"))
    # Before its program has started, a job that is cancelled fails in Nextflow's own script
    resumed.until(lambda: has_begun(folder, "DRAW"))
    cluster.ask("scancel", alone)
    assert resumed.done() == 0, resumed.said
    jobs = {job.id: job for job in cluster.jobs("all")}
    ids = (cancelled, drained, lost, alone)
    return Story(resumed, before, jobs, *ids, left, at_first, at_last)


def test_results_are_those_without_slurm(story, expected):
    folder, found = expected / "demo", story.run.folder / "results" / "demo"
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(found) for path in found.rglob("*") if path.is_file()) == names
    assert sum(name.parts[0] == "segmentation" for name in names) == 7
    for name in {*names} - {Path("files.json")}:  # names the run
        assert (found / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_job_array_holds_the_tasks_of_a_slide(story):
    """Four SEGMENT tasks are one job of four elements, two to a node at a time."""
    first = {rows[0]["native_id"] for task, rows in story.before.items() if "SEGMENT" in task}
    (array,) = {job.partition("_")[0] for job in first}
    assert first == {f"{array}_{index}" for index in range(4)}


@pytest.mark.parametrize("kind", ["cancelled", "alone"])
def test_a_cancelled_job_is_tried_again(story, kind):
    job = getattr(story, kind)
    assert story.jobs[job].state == "CA"
    assert ("_" in job) == (kind == "cancelled")  # an element of an array, and a job alone
    first, second = story.attempts_of(job)
    assert (first["native_id"], first["status"], first["exit"]) == (job, "FAILED", "143")
    assert second["status"] == "COMPLETED"
    assert "_" not in second["native_id"]


def test_a_drained_node_ends_its_job_and_takes_no_other(story):
    assert story.drained in story.at_first == story.at_last
    assert story.jobs[story.drained] == story.jobs[story.drained]._replace(state="CD", node="one")
    (only,) = story.attempts_of(story.drained)
    assert only["status"] == "COMPLETED"


def test_a_job_whose_node_is_lost_is_tried_again(story):
    assert story.jobs[story.lost] == story.jobs[story.lost]._replace(state="NF", node="two")
    first, second = story.attempts_of(story.lost)
    assert (first["native_id"], first["status"], first["exit"]) == (story.lost, "FAILED", "-")
    assert second["status"] == "COMPLETED"


def test_after_nextflow_is_killed_only_what_was_unfinished_is_done_again(story):
    finished = {task for task, rows in story.before.items() if rows[-1]["status"] == "COMPLETED"}
    attempts = story.run.attempts()
    cached = {task for task, rows in attempts.items() if rows[-1]["status"] == "CACHED"}
    assert cached == finished
    assert sum("SEGMENT" in task for task in cached) == 4
    # Its jobs went on, in folders that the second run did not take
    assert story.left
    assert {story.jobs[job].state for job in story.left} == {"CD"}
    assert story.left.isdisjoint(row["native_id"] for rows in attempts.values() for row in rows)


def test_a_job_above_its_limits_is_tried_again_with_more(limited):
    """This Slurm kills for memory without any exit code, and tells 30 s before time is out."""
    assert limited.done() == 0, limited.said
    attempts = limited.attempts()

    def given(row: dict[str, str]) -> int:
        (path,) = limited.folder.glob(f"work/{row['hash']}*/given")
        return int(path.read_text())

    assert [(row["exit"], given(row)) for row in attempts["DRAW"]] == [("-", 3072), ("0", 6144)]
    assert [(row["exit"], given(row)) for row in attempts["EXPORT"]] == [("140", 1), ("0", 2)]


def test_a_wrong_partition_is_told_at_once(tasks, tmp_path):
    run = tasks(tmp_path, "nowhere")
    assert run.done() != 0
    assert "sbatch: error: invalid partition specified: nowhere" in run.said
    assert "Submitted process" not in run.said
