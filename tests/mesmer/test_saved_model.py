"""Mesmer's weights in every form: the same network, or an error that states what is wrong."""

import json
import zipfile

import numpy as np
import pytest

from cellquilt.mesmer.card import CARD, OUTPUT_CHANNELS
from cellquilt.mesmer.weights import ONNX_SHA256
from cellquilt.networks.tile_network import Network

NOT_MESMER = "not Mesmer's network"
GIVE = "give --mesmer_model a SavedModel folder, a .tar.gz of one, an .onnx, or MODEL's .zip."
ERRORS = {
    "empty folder": "empty: not a Keras SavedModel (it has no saved_model.pb).",
    "not Keras": "not_keras: a SavedModel, but not one of a Keras network.",
    "another network": f"another_network: {NOT_MESMER} (input (None, 32, 32, 1), 1 outputs; "
    "Mesmer has (None, 256, 256, 2) and 4).",
    "no file": "nothing.onnx: there is no such file or folder; check --mesmer_model.",
    "no folder": "nothing: there is no such file or folder; check --mesmer_model.",
    "unknown form": f"mesmer.h5: {GIVE}",
    "noise.onnx": "noise.onnx: not a whole .onnx file (",
    "truncated.onnx": "truncated.onnx: not a whole .onnx file (",
    "empty.onnx": f"empty.onnx: {NOT_MESMER} (no weights 'panopticnet/conv_channels/",
    "another.onnx": f"another.onnx: {NOT_MESMER} (no weights 'panopticnet/conv_channels/",
    "wrong.onnx": f"wrong.onnx: {NOT_MESMER} (weights of 'conv_channels' are (7, 7, 2, 3), (3,)).",
    "noise.tar.gz": "noise.tar.gz: not a readable .tar.gz (Not a gzipped file (",
    "truncated.tar.gz": "truncated.tar.gz: not a readable .tar.gz (",
    "damaged.tar.gz": "damaged.tar.gz: not a readable .tar.gz (",
    "damaged.zip": "damaged.zip: the prepared model is incomplete, changed or of another version (",
    "no model.tar.gz": "no_model.tar.gz: holds no SavedModel (no saved_model.pb).",
    "outside.tar.gz": "outside.tar.gz: unsafe member '../evil'; not unpacked.",
    "absolute.tar.gz": "absolute.tar.gz: unsafe member '/evil'; not unpacked.",
    "link.tar.gz": "link.tar.gz: unsafe member 'model'; not unpacked.",
}


@pytest.fixture(scope="module")
def folder(repo, deepcell_script, mesmer_weights, tmp_path_factory):
    """Return a folder of Mesmer's weights in every form, and of others."""
    folder = tmp_path_factory.mktemp("weights")
    deepcell_script(repo / "tests" / "reference" / "spoil_weights.py", mesmer_weights, folder)
    return folder


@pytest.fixture(scope="module")
def errors(folder):
    return json.loads((folder / "errors.json").read_text())


@pytest.mark.parametrize("form", ["MultiplexSegmentation-9.tar.gz", "MultiplexSegmentation"])
def test_a_keras_savedmodel_and_the_onnx_give_the_maps_of_keras(
    repo, deepcell_script, folder, mesmer_savedmodel, tmp_path, form
):
    archive = tmp_path / "mesmer.zip"
    deepcell_script(repo / "bin" / "model.py", "--weights", folder / form, "--model", archive)
    model = tmp_path / "model"
    with zipfile.ZipFile(archive) as members:
        members.extractall(model)
    assert json.loads((model / CARD).read_text())["weights"] == form
    with np.load(folder / "maps.npz") as keras:
        tiles, expected = keras["tiles"], keras["maps"]
    assert np.ptp(expected) > 0.1
    for prepared in (model, mesmer_savedmodel):
        found = np.stack(list(Network(prepared, 2).run(tiles)))
        assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("name", ERRORS)
def test_weights_that_cannot_be_used_are_refused_with_a_reason(errors, name):
    assert ERRORS[name] in errors[name]
    assert len(errors[name].splitlines()) <= 2


def test_all_that_was_spoilt_is_named_here(errors):
    assert set(errors) == set(ERRORS)


def test_the_card_says_what_the_network_is(mesmer_savedmodel):
    card = json.loads((mesmer_savedmodel / CARD).read_text())
    assert card["name"] == "Mesmer"
    assert card["weights_sha256"] == ONNX_SHA256
    assert card["output_channels"] == list(OUTPUT_CHANNELS)
    assert "non-commercial" in card["licence"]
    assert card["software"]["deepcell"] == "0.12.10"
