"""Which GPU a task takes: real processes on a machine with two pretended GPUs."""

import logging
import os
import signal
import stat
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.gpus import FIRST, SECOND, Machine, most_at_once

from cellquilt.errors import DataError
from cellquilt.networks import gpu_lock

BOTH = [FIRST, SECOND]


@pytest.fixture
def machine(tmp_path, repo, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Machine(tmp_path, repo)


@pytest.fixture
def locks(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "locks"


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="cellquilt")
    return caplog


@contextmanager
def another_user(uid):
    """Do without root's rights what another user would."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("n_tasks", [2, 4])
def test_each_task_is_alone_on_its_gpu(machine, n_tasks):
    tasks = [machine.start(f"{number}", 1) for number in range(n_tasks)]
    logs = [task.communicate()[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0] * n_tasks, logs
    held = machine.held()
    by_gpu = [[task for task in held if task.uuid == uuid] for uuid in BOTH]
    assert sum(map(len, by_gpu)) == n_tasks
    assert [most_at_once(tasks) for tasks in by_gpu] == [1, 1]
    assert most_at_once(held) == 2
    waited = sum(log.count("gpu: none is free (2 seen); has waited 0 s") for log in logs)
    assert waited == n_tasks - 2


def test_a_parameter_lets_tasks_share_a_gpu(machine):
    tasks = [machine.start(f"{number}", 2, 2) for number in range(5)]
    assert [task.communicate() and task.returncode for task in tasks] == [0] * 5
    held = machine.held()
    assert most_at_once(held) == 4
    assert {most_at_once([task for task in held if task.uuid == uuid]) for uuid in BOTH} == {2}


def test_a_killed_task_frees_its_gpu(machine):
    killed, other = machine.start("killed", 600), machine.start("other", 600)
    uuids = {task.stdout.readline().strip(): task for task in (killed, other)}
    assert uuids.keys() == {*BOTH}
    waiting = machine.start("waiting", 0)
    assert "has waited 0 s" in waiting.stderr.readline()
    killed.send_signal(signal.SIGKILL)
    assert uuids[waiting.communicate(timeout=30)[0].strip()] is killed
    other.kill()
    for task in (killed, other):
        task.communicate()


def test_cuda_visible_devices_says_which_there_are(machine):
    """By their identity, not by their number, which is 0 for each that is seen alone."""
    first, second, both = (machine.start(f"{n}", 1, visible=n) for n in ("0", "1", "1,0"))
    ended = [task.communicate() for task in (first, second, both)]
    assert [said[0].strip() for said in ended[:2]] == BOTH
    assert f"gpu: {SECOND}, number 0 (1 seen with CUDA_VISIBLE_DEVICES=1)" in ended[1][1]
    assert ended[2][0].strip() in BOTH
    assert most_at_once([task for task in machine.held() if task.uuid == FIRST]) == 1
    assert most_at_once([task for task in machine.held() if task.uuid == SECOND]) == 1


def test_who_shares_does_not_join_who_is_alone_nor_the_other_way_round(locks):
    for first, then in ((1, 2), (2, 1)):
        with (
            gpu_lock.take([FIRST], first, locks),
            gpu_lock.take(BOTH, then, locks) as held,
        ):
            assert held.index == 1


def test_those_that_share_spread_over_the_gpus(locks):
    held = [gpu_lock.take(BOTH, 2, locks) for _ in range(4)]
    assert [gpu.index for gpu in held] == [0, 1, 0, 1]
    for gpu in held:
        gpu.__exit__()


def test_who_waits_says_so_once_and_then_every_few_minutes(locks, monkeypatch, said):
    taken, now = gpu_lock.take([FIRST], folder=locks), [0.0]

    def sleep(seconds):
        now[0] += seconds
        if now[0] > 700:
            taken.__exit__()

    monkeypatch.setattr(gpu_lock.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu_lock.time, "sleep", sleep)
    with gpu_lock.take([FIRST], folder=locks) as held:
        assert held.uuid == FIRST
    lines = [line for line in said.messages if "none is free" in line]
    waited = [float(line.split()[-2]) for line in lines]
    assert waited == pytest.approx([0, 300, 600], abs=3)
    assert lines[0] == "gpu: none is free (1 seen); has waited 0 s"


def test_no_umask_keeps_other_users_out(locks):
    before = os.umask(0o077)
    try:
        with gpu_lock.take(BOTH, 2, locks):
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in locks.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(locks.stat().st_mode) == 0o1777
    assert set(modes.values()) == {0o666}
    assert {path.name for path in modes} == {FIRST, f"{FIRST}.0"}


@pytest.fixture
def for_all():
    """Return a folder that all users come to."""
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "tmp").mkdir()
        (Path(folder) / "tmp").chmod(0o1777)
        yield Path(folder) / "tmp"


def test_users_share_the_locks(for_all):
    with another_user(1001):
        taken = gpu_lock.take(BOTH, folder=for_all / "locks")
    with another_user(1002), gpu_lock.take(BOTH, folder=for_all / "locks") as other:
        assert (taken.index, other.index) == (0, 1)
    taken.__exit__()
    with another_user(1002), gpu_lock.take(BOTH, folder=for_all / "locks") as other:
        assert other.index == 0


def test_a_folder_of_another_user_that_is_read_only(for_all, said):
    """The first GPU is used, and the log says that others may."""
    (for_all / "locks").mkdir(mode=0o755)
    with another_user(1001):
        assert gpu_lock.take(BOTH, folder=for_all / "locks") == gpu_lock.Held(0, FIRST)
    assert f"gpu: no lock in {for_all}/locks ([Errno 13] Permission denied" in said.text
    assert "other tasks may use it too" in said.text


def test_a_folder_that_is_a_link_is_not_followed(locks, said):
    locks.symlink_to(locks.parent)
    assert gpu_lock.take(BOTH, folder=locks) == gpu_lock.Held(0, FIRST)
    assert f"gpu: no lock in {locks} (" in said.text
    assert list(locks.parent.iterdir()) == [locks]


def test_one_lock_that_fails_leaves_the_other_gpu(locks, said):
    locks.mkdir()
    os.mkfifo(locks / FIRST)
    with gpu_lock.take(BOTH, folder=locks) as held:
        assert held.index == 1
    (locks / SECOND).unlink()
    (locks / SECOND).symlink_to(locks / "elsewhere")
    assert gpu_lock.take(BOTH, folder=locks) == gpu_lock.Held(0, FIRST)
    assert "not a regular file" in said.text


def test_a_lock_that_was_removed_is_none(locks, monkeypatch):
    """As by what clears /tmp; the next of that name is another lock."""
    locks.mkdir()
    flock = gpu_lock.fcntl.flock

    def removed_meanwhile(file, kind):
        flock(file, kind)
        if not slept:
            (locks / FIRST).unlink()

    slept = []
    monkeypatch.setattr(gpu_lock.fcntl, "flock", removed_meanwhile)
    monkeypatch.setattr(gpu_lock.time, "sleep", slept.append)
    with gpu_lock.take([FIRST], folder=locks) as held:
        assert len(slept) == 1
        assert os.fstat(held.files[0]).st_ino == (locks / FIRST).stat().st_ino


def test_without_a_driver_the_first_gpu_is_taken(locks, monkeypatch, said):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(gpu_lock.ctypes, "CDLL", missing)
    assert gpu_lock.read_uuids() == []
    assert "the driver does not tell which GPU is which (libcuda.so.1: cannot open" in said.text
    assert gpu_lock.take([], folder=locks) == gpu_lock.Held(0)
    assert "used without a lock" in said.text


def test_no_task_shares_a_gpu_with_none(locks):
    with pytest.raises(DataError, match="--tasks_per_gpu 0: must be at least 1"):
        gpu_lock.take(BOTH, 0, locks)
