"""Full or failing disks, too little memory, and files damaged between two steps.

Asserts the message to the user, the exit code of the task (137: retried with more memory; 65 and
74: not), and that after the remedy -resume gives the results of an undisturbed run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.parsers import V1

from system.faults.runs import DEMO, Run, files_of, step_of
from system.faults.scenes import BUNDLED, SCENES, STEPS, made, whole_run

GENERATE = ["--height", "600", "--width", "600", "--empty_width", "0"]
# Wrong on purpose, so that a run ends once the slide is opened
NO_SUCH_PLANE = [*DEMO, "--segmenter", "pixelcnn", "--z", "7", "--fail_fast"]


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Return a function that makes a disk of a size in memory, or gives it another one."""
    folder = made(tmp_path / "disk")

    def mount(size: str) -> Path:
        options = f"size={size},{'remount' if folder.is_mount() else 'mode=777'}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "-l", folder], capture_output=True)


def script(repo: Path, name: str, *arguments, folder: Path, **how) -> subprocess.CompletedProcess:
    command = [sys.executable, repo / "bin" / f"{name}.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **how)


def test_a_full_disk_is_named_and_nothing_half_stays(repo, disk):
    folder = disk("600k")
    done = script(repo, "generate", *GENERATE, "--outdir", "demo", folder=folder)
    assert done.returncode == 74, done.stderr
    assert "Traceback" not in done.stderr
    assert "the disk is full" in done.stderr
    assert f"MB free in {folder}" in done.stderr
    assert "-work-dir" in done.stderr and "-resume" in done.stderr
    assert files_of(folder) == {}


def test_too_little_memory_ends_as_what_is_tried_again(repo, tmp_path):
    huge = ["--height", "30000", "--width", "30000", "--outdir", "demo"]
    command = f"ulimit -v 3000000; exec {sys.executable} {repo}/bin/generate.py {' '.join(huge)}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 137, done.stderr
    assert "Traceback" not in done.stderr
    assert "not enough memory, with " in done.stderr and "tried again with more" in done.stderr


FAILING = """
import sys
sys.path.insert(0, sys.argv[1])
from cellquilt import cli, outputs
from pathlib import Path

def read():
    with outputs.whole(Path("result")) as partial:
        partial.write_text("half")
        open("/proc/self/mem", "rb").read(1)  # nothing is mapped there: EIO

def overfill():
    raise OSError("4096 requested and 12 written")  # as numpy hides a full disk

cli.run({"read": read, "overfill": overfill}[sys.argv[2]])
"""


def test_a_failing_disk_is_told(repo, tmp_path):
    command = [sys.executable, "-c", FAILING, repo / "bin", "read"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 74
    assert done.stderr.startswith("ERROR: the disk, or the network that it is on, fails")
    assert "Traceback" not in done.stderr
    assert files_of(tmp_path) == {}


def test_other_errors_of_the_system_keep_their_trace(repo, tmp_path):
    command = [sys.executable, "-c", FAILING, repo / "bin", "overfill"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


LIMITED = """
includeConfig '%s'

process {
    withName: 'GENERATE' {
        ext.args     = '--height 1500 --width 1500 --empty_width 0'
        memory       = { task.previousTrace ? task.previousTrace.memory * 2 : 500.MB }
        beforeScript = { "export PATH='%s':\\$PATH; ulimit -v ${task.memory.toKilo()}" }
    }
}
"""


@pytest.mark.slow
def test_a_task_that_lacks_memory_gets_more(repo, cache, tmp_path):
    """Its limit is real: that of a cluster which counts addresses (ulimit -v)."""
    config = tmp_path / "limited.config"
    config.write_text(LIMITED % (repo / "nextflow.config", cache / "envs" / "runtime" / "bin"))
    run = Run(tmp_path, tuple(NO_SUCH_PLANE), config, V1)
    assert run.finish() == 1  # of CHAIN
    attempts = [task for task in run.tasks if step_of(task["name"]) == "GENERATE"]
    codes = [task["exit"] for task in attempts]
    assert codes[0] == "137" and codes[-1] == "0" and len(codes) in (2, 3), codes
    told = (run.folder_of(attempts[0]) / ".command.err").read_text()
    assert "ERROR: not enough memory" in told and "Traceback" not in told
    chain = [task["exit"] for task in run.tasks if step_of(task["name"]) == "CHAIN"]
    assert chain == ["65"]


@pytest.fixture(scope="module")
def whole(of_all_workers) -> Callable[[str], Run]:
    """Return a function that gives a scene's whole run, the one of this session."""
    return lambda name: whole_run(name, of_all_workers)


@pytest.mark.slow
def test_a_full_work_disk_ends_the_run_and_room_mends_it(whole, disk, environments, tmp_path):
    expected = whole("pixelcnn").published()
    folder = disk("4m")
    places = ("-work-dir", folder / "work", "--environments", environments)
    run = Run(tmp_path, (*SCENES["pixelcnn"], *places))
    assert run.finish() == 1
    assert "the disk is full" in run.said
    assert f"MB free in {folder}" in run.said
    assert "Traceback" not in run.said
    assert {path for path, c in run.published().items() if c != expected[path]} == set()
    disk("400m")
    assert run.finish("-resume") == 0, run.said
    assert "Cached process > SEGMENTATION:GENERATE" in run.said
    assert run.published() == expected


@pytest.mark.slow
def test_times_of_files_change_what_is_redone_but_not_the_results(whole, environments, tmp_path):
    """A clock that runs ahead does no harm; files with other times are taken for other files."""
    generated = whole("pixelcnn").results / "demo" / "tissue.ome.tif"
    slide = shutil.copy(generated, tmp_path / "tissue.ome.tif")
    next_year = slide.stat().st_mtime + 365 * 86400
    os.utime(slide, (next_year, next_year))
    channels = ["--nuclear", "DAPI", "--membrane", "CD45;PanCK", "--formats", "none"]
    options = ["-profile", "local", "--environments", environments, "--segmenter", "pixelcnn"]
    options += ["--image", slide, *channels]
    run = Run(tmp_path, (*options, *STEPS))
    assert run.finish() == 0, run.said
    first = run.published()
    n_tasks = run.said.count("Submitted process")

    assert run.finish("-resume") == 0
    # All but REPORT, which has the date
    assert run.said.count("Cached process") == n_tasks - 1
    assert run.said.count("Submitted process") == n_tasks + 1
    n_tasks += 1

    for path in [slide, *run.work.glob("*/*/*/normalised.zip")]:
        os.utime(path, (next_year - 1000, next_year - 1000))
    assert run.finish("-resume") == 0
    redone = run.said.count("Submitted process") - n_tasks
    assert 5 < redone < n_tasks
    assert run.published() == first


# What each step reads, where in its task folder, of which scene; a slide is read by several.
READ = {
    "mesmer": {
        "PATCH": ["normalised.zip"],
        "SEGMENT": ["task-*.pixels.zip", "networks/mesmer.zip"],
        "LABEL": ["task-*.maps.zip"],
        "STITCH": ["_inputs/sample.json", "_labels/*.labels.zip"],
        "REPAIR": ["_inputs/sample.json", "_masks/cell_original.ome.tif"],
        "QUANTIFY": ["_slide/tissue.ome.tif", "_inputs/sample.json", "_masks/nucleus.ome.tif"],
        "EXPORT": ["_inputs/demo.parquet", "_masks/cell.ome.tif"],
        "DRAW": ["_inputs/normalised.zip", "_inputs/demo.parquet", "_masks/cell.ome.tif"],
        "EVALUATE": ["_slide/tissue.ome.tif"],
        "REPORT": ["samples/*/report.json", "evaluations/*/evaluation.json"],
    },
    "pixelcnn": {"CLASSIFY": ["task-*.pixels.zip"]},
    "bundle": {"CHAIN": ["_slides/*/two.ome.tif", "_networks/nuclear.keras"]},
}
CASES = [
    (scene, step, name, how)
    for scene, steps in READ.items()
    for step, names in steps.items()
    for name in names
    for how in ("cut", "gone")
    if how == "cut" or Path(name).name in ("normalised.zip", "tissue.ome.tif", "demo.parquet")
]


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "step", "name", "how"), CASES)
def test_a_file_that_is_damaged_between_two_steps(
    whole, repo, environments, tmp_path, scene, step, name, how
):
    """The user is told which file it is, and the task is not tried again."""
    run = whole(scene)
    task = next(task for task in run.tasks if step_of(task["name"]) == step)
    original = run.folder_of(task)
    copy = tmp_path / "task"
    # CHAIN makes the samples' folders, and wants none there
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns(*BUNDLED))
    damaged = next(copy.glob(name))
    damage(damaged, how)
    environment = re.search(r"/(\w+)/bin':", (original / ".command.run").read_text())[1]
    command = (copy / ".command.sh").read_text().partition("# capture")[0]
    command = re.sub(r" --refusals? \S+", "", command)
    path = f"{os.environ['PATH']}:{repo / 'bin'}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=copy,
        env=os.environ | {"PATH": f"{environments / environment / 'bin'}:{path}"},
        capture_output=True,
        text=True,
    )
    shutil.rmtree(copy)
    assert done.returncode == 65, done.stdout + done.stderr
    assert "ERROR: " in done.stderr and "Traceback" not in done.stderr
    assert damaged.name in done.stderr


def damage(path: Path, how: str) -> None:
    """Cut a file, or the largest of a folder, to two thirds, or remove it."""
    if path.is_dir():
        path = max(path.rglob("*"), key=lambda file: file.stat().st_size * file.is_file())
    if how == "gone":
        path.unlink()
        return
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
