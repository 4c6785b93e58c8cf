"""Running the network: its device, its batches, and memory that does not suffice."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from steps import ingest_image, plan_store, segment_tasks, windows

from cellquilt.errors import DataError
from cellquilt.network import Network, auto_batch_size

MUCH = 2**48  # floats; no machine can give them
FITTING = 5


@pytest.fixture(scope="module")
def tiles():
    """Return 7 tiles as the network takes them."""
    return list(np.random.default_rng(0).random((7, 256, 256, 2), np.float32))


@pytest.fixture(scope="module")
def doubling(tmp_path_factory):
    """Return a model that doubles tiles, and needs too much memory for more than `FITTING`."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32, name="tiles")])
    def serve(tiles):
        fits = tf.shape(tiles, tf.int64)[0] <= FITTING
        waste = tf.zeros(tf.where(fits, tf.constant(1, tf.int64), MUCH)[None])
        return {"maps": 2 * tiles + tf.reduce_sum(waste)}

    folder = tmp_path_factory.mktemp("doubling")
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def short_of_memory(network, fitting):
    """Let a network run out of memory as TensorFlow tells it, without waiting for it to try."""
    call = network._call

    def limited(tiles):
        if len(tiles) > fitting:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return call(tiles=tiles)

    network._call = limited
    return network


def numbered(n):
    """Return `n` tiles that hold their own number."""
    return [np.full((8, 8, 1), index, np.float32) for index in range(n)]


def numbers(maps):
    return [float(m[0, 0, 0]) / 2 for m in maps]


@pytest.fixture(scope="module")
def task(tissue_image, tmp_path_factory):
    """Return the pixels of a slide of four tiles."""
    folder = tmp_path_factory.mktemp("task")
    store = ingest_image(folder / "ingest", tissue_image[:430, :440])
    _, (pixels,) = plan_store(store, folder / "pixels")
    return pixels


def segment(repo, model, task, maps, *options):
    """Run the script of SEGMENT."""
    return subprocess.run(
        [sys.executable, repo / "bin" / "segment.py", "--pixels", task, "--model", model]
        + ["--maps", maps, *options],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )


def test_a_gpu_that_is_not_there_is_an_error_with_advice(repo, mesmer_savedmodel, task, tmp_path):
    maps = tmp_path / "maps.zip"
    done = segment(repo, mesmer_savedmodel, task, maps, "--device", "gpu")
    assert done.returncode == 65
    assert done.stderr.splitlines()[-1] == (
        "ERROR: --device gpu was asked for, but TensorFlow sees no GPU. Check the driver "
        "(nvidia-smi), the GPU image or wheel (tensorflow[and-cuda]) and the container's GPU "
        "option, or run with --device cpu."
    )
    assert not maps.exists()


def test_maps_do_not_depend_on_threads(repo, mesmer_savedmodel, network, task, tmp_path):
    ((_, expected),) = windows(segment_tasks([task], network)[0])
    assert np.ptp(expected) > 0.5
    maps = tmp_path / "maps.zip"
    done = segment(repo, mesmer_savedmodel, task, maps, "--cpus", "1", "--batch_size", "3")
    assert done.returncode == 0, done.stderr
    ((_, found),) = windows(maps)
    assert np.array_equal(found, expected)


def test_maps_do_not_depend_on_the_batch_size(mesmer_savedmodel, tiles):
    network = Network(mesmer_savedmodel, 2)
    by_size = []
    for network.batch_size in (2, 3, 8):
        by_size.append(list(network.run(tiles)))
    assert all(len(maps) == len(tiles) for maps in by_size)
    assert by_size[0][0].shape == (256, 256, 4) and by_size[0][0].dtype == np.float32
    assert np.ptp(by_size[0]) > 0.1
    assert np.array_equal(by_size[0], by_size[1])
    assert np.array_equal(by_size[0], by_size[2])


def test_maps_stay_the_same_when_batches_are_halved(mesmer_savedmodel, network, tiles):
    expected = list(network.run(tiles[:6]))
    short = short_of_memory(Network(mesmer_savedmodel, 8), 4)
    assert np.array_equal(list(short.run(tiles[:6])), expected)
    assert short.batch_size == 4


def test_batch_size_on_cpu_is_within_the_limits():
    assert 2 <= auto_batch_size("cpu") <= 255


@pytest.mark.parametrize(("free_mib", "expected"), [(500, 2), (15_000, 56), (80_000, 255)])
def test_batch_size_fits_the_free_memory_of_the_gpu(tmp_path, monkeypatch, free_mib, expected):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho {free_mib}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert auto_batch_size("gpu") == expected


@pytest.mark.parametrize(("asked", "used"), [(1, 2), (2, 2), (7, 7), (255, 255), (256, 255)])
def test_batch_size_is_kept_within_its_limits(doubling, asked, used):
    assert Network(doubling, asked).batch_size == used


def test_a_real_lack_of_memory_halves_the_batch(doubling, caplog):
    network = Network(doubling, 8)
    assert numbers(network.run(numbered(11))) == list(range(11))
    assert network.batch_size == 4
    assert "segment: out of device memory; batch size now 4" in caplog.text


@pytest.mark.parametrize("batch_size", [2, 5, 6, 16, 255])
@pytest.mark.parametrize("n_tiles", [0, 1, 4, 23, 40])
def test_batches_that_do_not_fit_are_halved_and_lose_nothing(doubling, batch_size, n_tiles):
    network = short_of_memory(Network(doubling, batch_size), FITTING)
    assert numbers(network.run(iter(numbered(n_tiles)))) == list(range(n_tiles))
    if n_tiles and batch_size > FITTING:
        assert 2 <= network.batch_size <= FITTING
    else:
        assert network.batch_size == batch_size


def test_a_device_without_room_for_two_tiles_is_told(doubling):
    network = short_of_memory(Network(doubling, 8), 1)
    with pytest.raises(MemoryError, match="does not hold a batch of 2 tiles"):
        list(network.run(numbered(5)))


def test_at_most_two_batches_are_read_before_the_first_maps_are_taken(doubling):
    read = 0

    def stream():
        nonlocal read
        for tile in numbered(40):
            read += 1
            yield tile

    maps = Network(doubling, 4).run(stream())
    next(maps)
    assert 4 <= read <= 8
    maps.close()


def test_an_error_in_reading_comes_through(doubling):
    def stream():
        yield from numbered(6)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(Network(doubling, 4).run(stream()))


def test_a_folder_without_a_model_is_an_error(tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"^nothing: not a SavedModel \("):
        Network(tmp_path / "nothing", 4)
