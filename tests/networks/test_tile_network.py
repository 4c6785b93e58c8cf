"""Running the network: device, batches, and too little memory."""

import copy
import os

import numpy as np
import pytest
import tensorflow as tf
from support.steps import ingest_image, plan_store, segment_tasks, windows, with_blanks

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.labelling.map_store import declared
from cellquilt.networks import gpu_lock, tile_network
from cellquilt.networks.distinct_tiles import run_distinct
from cellquilt.networks.precision_check import map_difference
from cellquilt.networks.tile_network import Mode, Network, choose_batch_size, select_device

MUCH = 2**48  # floats; no machine can give them
FITTING = 5
EXACT = Mode()


@pytest.fixture(autouse=True)
def exact_afterwards():
    """Have TensorFlow compute in float32 again, whatever a test activated: it is the process's."""
    yield
    Mode().activate()


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
        some = tf.cast(tf.reduce_max(tiles) > -1, tf.int64)  # 1, unknown until it runs
        waste = tf.zeros(some[None] * tf.where(fits, tf.constant(1, tf.int64), MUCH))
        return {"maps": 2 * tiles + tf.reduce_sum(waste)}

    folder = tmp_path_factory.mktemp("doubling")
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def another(network, batch_size, mode=EXACT):
    """Return a network with other batches and another mode, but not loaded once more."""
    other = copy.copy(network)
    other.batch_size, other.mode = batch_size, mode
    if mode != network.mode:
        other._compiled = {}
    return other


@pytest.fixture(scope="module")
def in_half(network):
    """Return the network in half precision."""
    return another(network, 2, Mode("bfloat16"))


def short_of_memory(network, fitting):
    """Let a network run out of memory as TensorFlow tells it, without waiting for it to try."""
    call = network._call

    def limited(batch):
        if len(batch) > fitting:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return call(batch)

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


@pytest.fixture
def segment(bin_script, mesmer_model, task):
    """Return a function that runs the script of SEGMENT."""
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}
    given = ["--pixels", task, "--networks", mesmer_model]
    return lambda maps, *options: bin_script(
        "segment", *given, "--maps", maps, *options, env=no_gpu
    )


def test_a_gpu_that_is_not_there_is_an_error_with_advice(segment, tmp_path):
    maps = tmp_path / "maps.zip"
    done = segment(maps, "--device", "gpu")
    assert done.returncode == 65
    assert done.stderr.splitlines()[-1] == (
        "ERROR: --device gpu was requested, but TensorFlow sees no GPU. Check the driver "
        "(nvidia-smi), the GPU image or wheel (tensorflow[and-cuda]) and the container's GPU "
        "option, or run with --device cpu."
    )
    assert not maps.exists()


def test_maps_do_not_depend_on_threads(segment, network, task, tmp_path):
    ((_, expected),) = windows(segment_tasks([task], network)[0])
    assert np.ptp(expected) > 0.5
    maps = tmp_path / "maps.zip"
    done = segment(maps, "--cpus", "1", "--batch_size", "3")
    assert done.returncode == 0, done.stderr
    ((_, found),) = windows(maps)
    assert np.array_equal(found, expected)


def test_maps_do_not_depend_on_the_batch_size(network, tiles):
    network = another(network, 2)
    by_size = []
    for network.batch_size in (2, 3, 8):
        by_size.append(list(network.run(tiles)))
    assert all(len(maps) == len(tiles) for maps in by_size)
    assert by_size[0][0].shape == (256, 256, 4) and by_size[0][0].dtype == np.float32
    assert np.ptp(by_size[0]) > 0.1
    assert np.array_equal(by_size[0], by_size[1])
    assert np.array_equal(by_size[0], by_size[2])


def test_heads_that_end_outside_of_tensorflow_give_its_maps(network, tiles):
    network = another(network, 2)
    assert network._heads is not None
    ours = np.stack(list(network.run(tiles[:2])))
    network._heads, network._compiled = None, {}
    whole = np.stack(list(network.run(tiles[:2])))
    assert 0 < np.abs(ours - whole).max() < 2e-6


def test_maps_stay_the_same_when_batches_are_halved(network, tiles):
    expected = list(network.run(tiles[:6]))
    short = short_of_memory(another(network, 8), 4)
    assert np.array_equal(list(short.run(tiles[:6])), expected)
    assert short.batch_size == 4


@pytest.mark.parametrize(("asked", "used"), [(1, 2), (2, 2), (7, 7), (255, 255), (256, 255)])
def test_batch_size_is_kept_within_its_limits(doubling, asked, used):
    assert Network(doubling, asked).batch_size == used


def test_a_real_lack_of_memory_halves_the_batch(doubling, caplog):
    network = Network(doubling, 8)
    assert numbers(network.run(numbered(11))) == list(range(11))
    assert network.batch_size == 4
    assert "network: out of device memory; batch size now 4" in caplog.text


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


def test_at_most_three_batches_are_read_before_the_first_maps_are_taken(doubling):
    read = 0

    def stream():
        nonlocal read
        for tile in numbered(40):
            read += 1
            yield tile

    maps = Network(doubling, 4).run(stream())
    next(maps)
    assert 4 <= read <= 12
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


def test_throughput_says_where_a_batch_does_not_fit(doubling):
    network = short_of_memory(Network(doubling, 2), FITTING)
    assert network.throughput(FITTING) > 0
    with pytest.raises(MemoryError, match="no room for 6 tiles"):
        network.throughput(FITTING + 1)


def test_constant_tiles_are_run_once_and_all_tiles_keep_their_order(doubling):
    ran = []

    class Counting(Network):
        def run(self, tiles, batch_size):
            counted = (ran.append(float(tile[0, 0, 0])) or tile for tile in tiles)
            return super().run(counted, batch_size)

    codes = [(9, 9), (9, 9), None, (5, 0), (9, 9), None, None, (5, 0), (7, 7), (7, 7), (9, 9)]
    values = [9, 9, 1, 5, 9, 2, 1, 5, 7, 7, 9]
    tiles = [np.full((8, 8, 1), value, np.float32) for value in values]
    for batch_size in (2, 3, 4, 5):
        ran.clear()
        known = {(7, 7): np.full((8, 8, 1), 14, np.float32)}
        network = Counting(doubling, batch_size)
        found = run_distinct(zip(codes, tiles, strict=True), network, known)
        assert numbers(found) == values
        assert ran == [9, 1, 5, 2, 1]
        assert set(known) == {(7, 7), (9, 9), (5, 0)}


def test_a_constant_tile_has_the_maps_that_it_has_among_others(network, tiles):
    blank = np.full((256, 256, 2), 0.25, np.float32)
    (alone,) = network.run([blank])
    assert np.array_equal(list(network.run([*tiles[:3], blank, tiles[3]]))[3], alone)


def test_skipped_blank_tiles_leave_their_largest_interior_value(task, network, tmp_path):
    pairs = [[0, 0], [16000, 9000]]
    pixels, lut = with_blanks(task, tmp_path / "blank.pixels.zip", pairs)
    (maps,) = segment_tasks([pixels], network)
    blanks = [np.full((256, 256, 2), lut[[0, 1], pair], np.float32) for pair in pairs]
    outputs = np.stack(list(network.run(blanks)))
    assert blank_maxima(maps) == {"cell": outputs[..., 1].max(), "nucleus": outputs[..., 3].max()}
    (without,) = segment_tasks([task], network)
    assert blank_maxima(without) == {"cell": 0, "nucleus": 0}
    ((_, found),), ((_, expected),) = windows(maps), windows(without)
    assert np.array_equal(found, expected)


def blank_maxima(maps):
    """Return what a store declares of the constant tiles that were skipped."""
    with stores.read(maps) as task:
        there = declared(dict(task.attrs))
    return {name: found.blank_interior_max for name, found in there.items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_gate_measures_what_a_precision_changes(network, in_half, task, precision):
    with stores.read(task) as store:
        codes, lut = store["codes"][:, :256, :256], store["lut"][:]
    tile = np.stack([table[part] for table, part in zip(lut, codes, strict=True)], axis=-1)
    other = in_half if precision == "bfloat16" else another(network, 2)
    found = map_difference(other, [tile], 1)
    if precision == "float32":
        assert found is None
        return
    (exact,), (ours,) = network.run([tile]), other.run([tile])
    assert found == np.abs(ours - exact).max()
    if found:  # a processor may have no bfloat16
        with pytest.raises(DataError, match="--precision bfloat16 changes the maps .*--max_map_"):
            map_difference(other, [tile], found / 2)
    assert np.array_equal(next(network.run([tile])), exact)


def test_maps_that_are_no_numbers_do_not_pass_the_gate(doubling):
    network = Network(doubling, 2, Mode(xla=True))
    with pytest.raises(DataError, match="--precision float32 --xla changes .* by up to nan"):
        map_difference(network, [np.full((8, 8, 1), np.nan, np.float32)], 1)


def test_xla_gives_the_same_maps(doubling):
    network = Network(doubling, 2, Mode(xla=True))
    assert numbers(network.run(numbered(3))) == [0, 1, 2]
    assert map_difference(network, numbered(3), 0) == 0


@pytest.mark.parametrize(
    ("mode", "device", "message"),
    [
        (Mode("bfloat16"), "gpu", "--precision bfloat16 needs --device cpu"),
        (Mode("tf32"), "cpu", "--precision tf32 needs --device gpu"),
        (Mode("bfloat16", True), "cpu", "cannot be combined"),
    ],
)
def test_a_mode_that_a_device_does_not_have_is_refused(mode, device, message):
    with pytest.raises(DataError, match=message):
        mode.check(device)


def test_the_script_refuses_a_precision_that_changes_too_much(segment, tmp_path):
    maps = tmp_path / "maps.zip"
    asked = ("--precision", "bfloat16", "--max_map_difference", "1e-6")
    done = segment(maps, *asked)
    assert done.returncode == 65
    assert "more than 1e-06 allow. Leave it out, or raise --max_map_diff" in done.stderr
    assert not maps.exists()


def test_provenance_says_what_a_precision_changed(in_half, task, tmp_path):
    os.link(task, tmp_path / "task.pixels.zip")
    (maps,) = segment_tasks([tmp_path / "task.pixels.zip"], in_half)
    with stores.read(maps) as result:
        said = result.attrs["provenance"][-1]["parameters"]
    assert (said["precision"], said["xla"], said["max_map_difference"]) == ("bfloat16", False, 0.1)
    assert 0 <= said["map_difference"] <= 0.1


@pytest.fixture
def two_gpus(monkeypatch):
    """Pretend two GPUs, and return those that TensorFlow is to see."""
    seen, gpus = [], ["first", "second"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda found, kind: seen.extend(found))
    for name in ("set_memory_growth", "enable_op_determinism", "get_device_details"):
        monkeypatch.setattr(tf.config.experimental, name, lambda *_: {"device_name": "T4"})
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, lambda cpus: None)
    monkeypatch.setattr(gpu_lock, "read_uuids", lambda: ["GPU-1", "GPU-2"])
    monkeypatch.setattr(tile_network, "_gpu", {})
    monkeypatch.setattr(tile_network, "_selected", {})
    return seen


def test_tensorflow_sees_the_gpu_that_is_free_and_batches_fill_its_memory(
    two_gpus, tmp_path, monkeypatch
):
    with gpu_lock.take(["GPU-1"], 1, tmp_path):
        assert select_device("gpu", 2, 1, tmp_path) == "T4"
    assert two_gpus == ["second"]
    asked = []
    monkeypatch.setattr(tile_network, "free_gpu_memory", asked.append)
    monkeypatch.setattr(tile_network, "fastest_batch", lambda *_: 16)
    choose_batch_size(Network.__new__(Network), "gpu")
    assert asked == ["GPU-2"]


def test_a_process_whose_parent_has_taken_the_gpu_takes_none(two_gpus, tmp_path):
    with gpu_lock.take(["GPU-1"], 1, tmp_path), gpu_lock.take(["GPU-2"], 1, tmp_path):
        select_device("gpu", 2, 1, tmp_path, taken=gpu_lock.Held(1, "GPU-2"))
    assert two_gpus == ["second"]
