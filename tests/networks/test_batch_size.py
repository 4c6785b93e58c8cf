"""The batch size: from a simulated memory report and clock, since no GPU is available."""

import os

import pytest

from cellquilt.networks.batch_size import fastest_batch, free_gpu_memory, largest_batch


class Device:
    """A device of `capacity` tiles that takes `fixed` seconds a batch and `a_tile` for each."""

    def __init__(self, capacity=10**6, fixed=0.0, a_tile=1.0):
        self.capacity, self.fixed, self.a_tile = capacity, fixed, a_tile
        self.tried = []

    def throughput(self, batch_size):
        self.tried.append(batch_size)
        if batch_size > self.capacity:
            raise MemoryError
        return batch_size / (self.fixed + self.a_tile * batch_size)


@pytest.mark.parametrize(
    ("free_gb", "expected"), [(0.5, 2), (2.1, 2), (16, 58), (80, 255), (None, 16)]
)
def test_the_largest_batch_fits_the_free_memory_of_the_gpu(free_gb, expected):
    assert largest_batch("gpu", free_gb) == expected


def test_on_a_cpu_the_batch_is_small_and_nothing_is_tried():
    device = Device()
    assert fastest_batch(largest_batch("cpu", None), device.throughput) == 4
    assert device.tried == []


def test_free_memory_is_what_nvidia_smi_reports(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 15000\necho 80000\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert free_gpu_memory() == pytest.approx(15.73, abs=0.01)


def test_free_memory_is_that_of_the_gpu_that_was_taken(tmp_path, monkeypatch, caplog):
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\n[ "$3" = --id=GPU-2 ] && echo 80000 || echo No devices; exit 6\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert free_gpu_memory("GPU-2") == pytest.approx(83.89, abs=0.01)
    assert free_gpu_memory("GPU-3") is None
    assert "tells no free GPU memory" in caplog.text


def test_without_nvidia_smi_the_free_memory_is_unknown(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_gpu_memory() is None
    assert "free GPU memory unknown" in caplog.text


@pytest.mark.parametrize(
    ("fixed", "expected", "tried"),
    [
        (0, 8, [8, 16]),  # no gain
        (1, 32, [8, 16, 32, 64]),  # 5.9 %, 3.03 %, 1.5 %
        (100, 255, [8, 16, 32, 64, 128, 255]),  # up to the limit of the network
    ],
)
def test_the_batch_is_doubled_as_long_as_that_gains_three_percent(fixed, expected, tried):
    device = Device(fixed=fixed)
    assert fastest_batch(255, device.throughput) == expected
    assert device.tried == tried


@pytest.mark.parametrize(
    ("capacity", "expected"), [(200, 128), (127, 64), (16, 16), (8, 8), (7, 4), (3, 4), (0, 4)]
)
def test_a_batch_that_does_not_fit_leaves_the_one_before_it(capacity, expected):
    assert fastest_batch(255, Device(capacity, fixed=1000).throughput) == expected


@pytest.mark.parametrize("largest", [2, 5, 8])
def test_a_small_device_is_filled_untried(largest):
    device = Device()
    assert fastest_batch(largest, device.throughput) == largest
    assert device.tried == []
