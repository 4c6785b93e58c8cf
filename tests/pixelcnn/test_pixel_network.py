"""Pixel classifiers: a whole image gives the numbers of single patches; and their files."""

import json
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from cellquilt.errors import DataError
from cellquilt.pixelcnn.architectures import from_table
from cellquilt.pixelcnn.card import CARD, read_card
from cellquilt.pixelcnn.network import build, digest, network_of, save
from cellquilt.pixelcnn.network import load as load_network
from cellquilt.training.architectures import BUILT_IN, load
from cellquilt.training.scores import DEFAULT

NAMES = [name for name, e in yaml.safe_load(BUILT_IN.read_text()).items() if "patch" in e]
POOL_OF_3 = [
    {"conv": 4, "filters": 6},
    {"pool": 3},
    {"conv": 3, "filters": 8},
    {"pool": 2},
    {"conv": 2, "filters": 8},
    {"dense": 16},
]
SHAPE = (19, 23)
CARD_FACTS = {
    "compartment": "nuclear",
    "channels": ["nuclear"],
    "model_mpp": 0.5,
    "thresholds": asdict(DEFAULT),
}


def architecture_of(name):
    if name == "pool of 3":
        return from_table("own", {"patch": 21, "layers": POOL_OF_3}, "a test")
    return load([name])[0]


def model_of(architecture, n_channels=1, seed=3):
    """Return a network of random weights and biases."""
    model = build(architecture, n_channels, seed)
    rng = np.random.default_rng(seed)
    noise = [0.3 * rng.standard_normal(w.shape, np.float32) * (w.ndim == 1) for w in model.weights]
    model.set_weights([w + n for w, n in zip(model.get_weights(), noise, strict=True)])
    return model


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("name", [*NAMES, "pool of 3"])
def test_dense_form_gives_every_pixel_what_the_network_makes_of_its_patch(name, n_channels):
    architecture = architecture_of(name)
    model = model_of(architecture, n_channels)
    image = np.random.default_rng(0).random((*SHAPE, n_channels), np.float32)
    around = ((architecture.radius,) * 2, (architecture.radius,) * 2, (0, 0))
    padded = np.pad(image, around, "reflect")
    side = architecture.field
    patches = [padded[y : y + side, x : x + side] for y, x in np.ndindex(SHAPE)]
    expected = tf.nn.softmax(model(np.stack(patches))).numpy().reshape(*SHAPE, 3)
    network = network_of(model, architecture, {})
    (found,) = network.dense(tf.constant(padded[None])).numpy()
    assert found.shape == (*SHAPE, 3) and found.dtype == np.float32
    assert np.ptp(expected, axis=(0, 1)).max() > 0.01
    assert np.abs(found - expected).max() <= 1e-5
    # one that is turned is another one, so the equality is no accident
    assert np.abs(found[::-1] - expected).max() > 1e-3


@pytest.fixture
def compact():
    return architecture_of("compact")


@pytest.fixture
def saved(compact, tmp_path):
    """Return the model of a file and the file."""
    model = model_of(compact)
    save(tmp_path / "net.keras", model, compact, CARD_FACTS)
    return model, tmp_path / "net.keras"


def rewritten(path, changes):
    """Return a copy of a .keras file whose members are those given, None for none."""
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def with_card(path, **changes):
    return rewritten(path, {CARD: json.dumps(read_card(path) | changes)})


def test_a_file_keeps_weights_bit_for_bit_and_its_card(saved, compact):
    model, path = saved
    network = load_network(path)
    assert network.architecture == compact
    kept = [array for pair in network.weights for array in pair]
    for array, original in zip(kept, model.get_weights(), strict=True):
        assert array.dtype == np.float32 and array.tobytes() == original.tobytes()
    assert network.card == read_card(path)
    assert network.card["weights_sha256"] == digest(model.get_weights())
    assert network.card | CARD_FACTS == network.card
    assert [p.name for p in path.parent.iterdir()] == ["net.keras"]


def test_keras_itself_opens_the_file(saved):
    model, path = saved
    patches = np.random.default_rng(1).random((5, 31, 31, 1), np.float32)
    opened = tf.keras.models.load_model(path)
    assert np.array_equal(opened(patches), model(patches))


def refused(path, message):
    with pytest.raises(DataError, match=message) as caught:
        load_network(path)
    assert str(caught.value).startswith(path.name)


def test_what_is_no_network_of_ours_is_refused(saved, compact, tmp_path):
    _, path = saved
    (tmp_path / "text.keras").write_text("a network")
    refused(tmp_path / "text.keras", "not a pixel classifier that --mode train wrote")
    refused(tmp_path / "none.keras", "not a pixel classifier that --mode train wrote")
    (tmp_path / "cut.keras").write_bytes(path.read_bytes()[:-200])
    refused(tmp_path / "cut.keras", "not a pixel classifier that --mode train wrote")
    build(compact, 1, 0).save(tmp_path / "keras.keras")
    refused(tmp_path / "keras.keras", "not a pixel classifier that --mode train wrote")
    refused(rewritten(path, {CARD: "{"}), "not a pixel classifier")
    refused(rewritten(path, {CARD: json.dumps([1])}), "of another version")
    refused(rewritten(path, {CARD: " " * (1 << 20) + "{}"}), "its card is too long")
    refused(with_card(path, format=2), "a pixel classifier of another version; train it again")
    refused(with_card(path, compartment="membrane"), "its card is incomplete")
    refused(with_card(path, channels=["membrane"]), "its card is incomplete")
    card = read_card(path)
    for needed in ("thresholds", "classes", "model_mpp", "weights_sha256"):
        left = {key: value for key, value in card.items() if key != needed}
        refused(rewritten(path, {CARD: json.dumps(left)}), "its card is incomplete")
    refused(with_card(path, layers=[{"conv": 31, "filters": 4096}] * 2), "layer 2: conv 31 is la")


def test_weights_other_than_the_cards_are_refused(saved, compact, tmp_path):
    _, path = saved
    other = tmp_path / "other.keras"
    save(other, model_of(compact, seed=4), compact, CARD_FACTS)
    weights = "model.weights.h5"
    with zipfile.ZipFile(other) as archive:
        changed = rewritten(path, {weights: archive.read(weights)})
    refused(changed, "its weights are not those that its card names; fetch it again")
    refused(rewritten(path, {weights: b"no HDF5"}), "its weights cannot be read")
    refused(rewritten(path, {weights: None}), "its weights cannot be read")
    refused(with_card(path, channels=["nuclear", "membrane"]), "are not of the architecture")
    layers = architecture_of("conv5").as_table()["layers"]
    refused(with_card(path, layers=layers), "are not of the architecture that its card names")


def test_damaged_bytes_are_refused_or_change_nothing(saved):
    """Whatever byte is damaged on the way, no network with other weights comes of it."""
    model, path = saved
    whole = path.read_bytes()
    damaged = path.with_name("damaged.keras")
    n_refused = 0
    for at in np.random.default_rng(5).integers(0, len(whole), 12):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            found = load_network(damaged)
        except DataError:
            n_refused += 1
        else:
            kept = [array for pair in found.weights for array in pair]
            assert digest(kept) == digest(model.get_weights())
    assert n_refused >= 6


class Touch:
    """An object whose unpickling makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_unread(tmp_path):
    (tmp_path / "net.keras").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    refused(tmp_path / "net.keras", "not a pixel classifier that --mode train wrote")
    assert not (tmp_path / "ran").exists()


def test_nothing_that_a_file_describes_is_run(saved, tmp_path):
    model, path = saved
    ran = str(tmp_path / "ran")
    hostile = tf.keras.Sequential([tf.keras.Input((1,))])
    hostile.add(tf.keras.layers.Lambda(lambda x: (open(ran, "w").close(), x)[1]))
    hostile.save(tmp_path / "hostile.keras")
    with zipfile.ZipFile(tmp_path / "hostile.keras") as archive:
        changed = rewritten(path, {"config.json": archive.read("config.json")})
    Path(ran).unlink()
    network = load_network(changed)
    assert np.array_equal(network.weights[0][0], model.get_weights()[0])
    assert not Path(ran).exists()
    # Keras does run it when it is told to trust the file
    tf.keras.models.load_model(changed, safe_mode=False)
    assert Path(ran).exists()
