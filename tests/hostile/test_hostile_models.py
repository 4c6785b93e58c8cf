"""Invalid or malicious networks and weights: rejected before loading, and no code is run."""

from pathlib import Path

import pytest

from hostile import mesmer, networks, saved_networks
from hostile.corpus import Case, Server, here, judge, script

RUNTIME = (
    "cellquilt.pixelcnn.network",
    "cellquilt.unet.network",
    "cellquilt.networks.saved_network",
)
HOSTILE_MODEL = Path(__file__).with_name("hostile_model.py")
NETWORKS, WEIGHTS = networks.cases(), mesmer.cases()
WITH_CARDS = saved_networks.cases()


@pytest.fixture(scope="module")
def runtime():
    with Server(here(), "tensorflow", *RUNTIME) as server:
        yield server


@pytest.fixture(scope="module")
def deepcell(cache):
    python = cache / "envs" / "deepcell" / "bin" / "python"
    with Server(
        python, "tensorflow", "deepcell.layers", "onnx", "cellquilt.mesmer.saved_model"
    ) as server:
        yield server


def run(server, case, tmp_path):
    folder = tmp_path / "case"
    folder.mkdir()
    judge(case, folder, server.run(folder, case.build(folder)))


@pytest.mark.parametrize("name", NETWORKS)
def test_network(runtime, tmp_path, name):
    run(runtime, NETWORKS[name], tmp_path)


@pytest.mark.parametrize("name", WITH_CARDS)
def test_network_with_a_card(runtime, tmp_path, name):
    run(runtime, WITH_CARDS[name], tmp_path)
    assert not (tmp_path / "case" / "ran").exists()


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_mesmer(deepcell, tmp_path, name):
    run(deepcell, WEIGHTS[name], tmp_path)


@pytest.mark.parametrize(("name", "what"), [("code", "Lambda"), ("graph", "WriteFile")])
def test_networks_with_code_are_not_loaded(deepcell, hostile_models, tmp_path, name, what):
    folder = tmp_path / "case"
    folder.mkdir()
    command = script(
        "model", "--weights", hostile_models / name, "--model", folder / "out" / "mesmer.zip"
    )
    case = Case(name, lambda _: command, rf"not loaded, .* \({what}\)", None, name)
    judge(case, folder, deepcell.run(folder, command))
    assert not (hostile_models / "ran").exists()


@pytest.fixture(scope="module")
def hostile_models(deepcell, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "case"
    folder.mkdir()
    made = deepcell.run(folder, [HOSTILE_MODEL, folder / "work"])
    assert made["code"] == 0, made["log"]
    return folder / "work"
