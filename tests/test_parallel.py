"""Strips read ahead, and processes that are spawned."""

import os
import signal

import pytest

from cellquilt.parallel import ahead, mapped, threaded


def doubled(n):
    if n < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), 2 * n


@pytest.mark.parametrize("cpus", [1, 2])
def test_items_come_in_order_and_at_most_one_is_made_ahead(cpus):
    made = []
    items = ahead((made.append(n) or n for n in range(5)), cpus)
    for n, item in enumerate(items):
        assert item == n and len(made) <= n + cpus
    assert n == 4
    assert list(ahead([], cpus)) == []


@pytest.mark.parametrize("cpus", [1, 2])
def test_an_error_of_what_makes_items_comes_where_its_item_would(cpus):
    items = ahead(map((1).__truediv__, [1, 2, 0]), cpus)
    assert [next(items), next(items)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_threads_give_results_in_order():
    assert threaded(str, range(9), 3) == [*"012345678"]


def test_processes_give_results_in_order_and_take_items_as_they_need_them():
    taken = []
    results = mapped(doubled, (taken.append(n) or n for n in range(40)), 2)
    processes, values = zip(*(next(results) for _ in range(10)), strict=True)
    assert values == tuple(range(0, 20, 2)) and os.getpid() not in processes
    assert len(taken) <= 10 + 5
    assert [value for _, value in results] == list(range(20, 80, 2))
    assert list(mapped(doubled, [3], 1)) == [(os.getpid(), 6)]


def test_a_killed_process_is_a_lack_of_memory():
    with pytest.raises(MemoryError, match="a process of the task was killed"):
        list(mapped(doubled, [1, -1, 2], 2))
