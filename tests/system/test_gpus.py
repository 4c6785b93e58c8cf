"""Tasks of a machine with two pretended GPUs, in containers, share their locks."""

import os
import subprocess
import time

import pytest
from support.gpus import FIRST, SECOND, Machine, most_at_once

pytestmark = pytest.mark.slow

TASKS = """
process SEGMENT {
    label 'process_gpu'
    container '%s'

    input:
    val number

    script:
    "python3 %s"
}

workflow { SEGMENT(channel.of(1..%d)) }
"""


@pytest.fixture
def machine(tmp_path, repo, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Machine(tmp_path / "machine", repo)


@pytest.fixture
def container(machine, podman, bases):
    """Return a function that starts a task in a container, and gives the container's name."""
    started = []

    def start(*arguments, visible=None):
        own = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
        settings = [f"--env={name}={value}" for name, value in (machine.environment | own).items()]
        options = ["--read-only", "--network=none", f"--volume={machine.folder}:{machine.folder}"]
        command = [*options, *settings, bases, "python3", *machine.command(*arguments)]
        started.append(podman("run", "--detach", *command).strip())
        return started[-1]

    yield start
    for name in started:
        podman("rm", "--force", "--time=0", name)


def gpu_of(podman, name):
    """Return which GPU the task in a container has, once it has one; after 10 s none."""
    for _ in range(100):
        if said := podman("logs", name).strip():
            return said
        time.sleep(0.1)
    return None


def test_containers_and_a_process_outside_share_the_locks(machine, container, podman):
    """A container that is shown one GPU knows it by its identity; a killed one frees its own."""
    second = container("second", 600, visible="1")
    assert gpu_of(podman, second) == SECOND
    outside = machine.start("outside", 600)
    assert outside.stdout.readline().strip() == FIRST
    waiting = container("waiting", 0)
    assert gpu_of(podman, waiting) is None
    podman("kill", second)
    assert podman("wait", waiting).strip() == "0"
    assert [task.uuid for task in machine.held()] == [SECOND]
    outside.kill()
    outside.communicate()


@pytest.mark.parametrize("n_tasks", [2, 4])
def test_each_task_of_a_run_in_podman_is_alone_on_its_gpu(repo, machine, bases, tmp_path, n_tasks):
    """By the profile's own options, but for the real device."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "podman").write_text(
        '#!/bin/bash\nexec /usr/bin/podman "${@/nvidia.com\\/gpu=all//dev/null}"\n'
    )
    (tools / "podman").chmod(0o755)
    words = " ".join(machine.command("${number}", 20 / n_tasks))
    (tmp_path / "main.nf").write_text(TASKS % (bases, words, n_tasks))
    (tmp_path / "more.config").write_text(
        f"podman.runOptions = '--user 0:0 -v {machine.folder}:{machine.folder}'\n"
        + "".join(f"env.{k} = '{v}'\n" for k, v in machine.environment.items())
        + "executor.cpus = 8\nexecutor.memory = 64.GB\n"
    )
    command = [repo / "tools" / "nextflow", "run", tmp_path / "main.nf", "-ansi-log", "false"]
    options = ["-c", repo / "nextflow.config", "-c", tmp_path / "more.config"]
    own = {"PATH": f"{tools}:{os.environ['PATH']}"}
    own |= {"CONTAINERS_CONF": str(repo / "tests/system/container/containers.conf")}
    done = subprocess.run(
        [*command, *options, "-profile", "podman,gpu", "--gpu_locks", machine.locks],
        cwd=tmp_path,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    held = machine.held()
    by_gpu = [[task for task in held if task.uuid == uuid] for uuid in (FIRST, SECOND)]
    assert sum(map(len, by_gpu)) == n_tasks
    assert [most_at_once(tasks) for tasks in by_gpu] == [1, 1]
