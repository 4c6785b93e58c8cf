"""The table of architectures: their cost, and errors in a user's file."""

import pytest
import yaml

from cellquilt.errors import DataError
from cellquilt.pixelcnn.architectures import CLASSES, from_table
from cellquilt.training import architectures
from cellquilt.training.architectures import BUILT_IN, load

OWN = """
small:
  patch: 21
  layers:
    - {conv: 4, filters: 6}
    - {pool: 3}
    - {conv: 3, filters: 8}
    - {pool: 2}
    - {conv: 2, filters: 8}
    - {dense: 16}
"""
NAMES = [name for name, e in yaml.safe_load(BUILT_IN.read_text()).items() if "patch" in e]

# layer: weights, and the side of its map of a patch of 31 px
REFERENCE = [
    (4 * 4 * 1 * 20, 28),
    (3 * 3 * 20 * 40, 12),
    (3 * 3 * 40 * 80, 10),
    (3 * 3 * 80 * 120, 3),
    (3 * 3 * 120 * 240, 1),
    (240 * 1000, 1),
    (1000 * 3, 1),
]


def test_the_four_of_the_design_are_trained_unless_others_are_asked_for():
    assert architectures.DEFAULT == ("reference", "conv5", "conv6", "conv8")
    assert set(architectures.DEFAULT) < set(NAMES)
    assert [a.name for a in load(["conv8", "reference"])] == ["conv8", "reference"]


def test_arithmetic_of_the_reference_network_by_hand():
    (reference,) = load(["reference"])
    assert reference.flops_a_patch(1) == sum(2 * n * side**2 for n, side in REFERENCE)
    assert reference.flops_a_pixel(1) == sum(2 * n for n, _ in REFERENCE)
    assert reference.flops_a_patch(1) == 10_894_960  # the 10.9 MFLOP a patch ...
    assert reference.flops_a_pixel(1) == 1_249_840  # ... and 1.25 MFLOP a pixel of the design
    biases = 20 + 40 + 80 + 120 + 240 + 1000 + 3
    assert reference.n_parameters(1) == sum(n for n, _ in REFERENCE) + biases
    assert reference.radius == 15


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_keras_has_as_many_parameters_and_ends_in_the_classes(name, n_channels):
    from cellquilt.pixelcnn.network import build

    (architecture,) = load([name])
    model = build(architecture, n_channels, seed=1)
    assert model.count_params() == architecture.n_parameters(n_channels)
    assert model.output_shape == (None, len(CLASSES))
    assert from_table(name, architecture.as_table(), "a card") == architecture


def test_an_architecture_of_ones_own_stands_beside_those_of_the_table(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    own, compact = load(["small", "compact"], file)
    assert (own.field, own.radius, len(own.layers)) == (21, 10, 7)
    assert own.layers[-1].filters == 3
    assert compact.field == 31


def of_layers(*layers, patch=31):
    return yaml.safe_dump({"own": {"patch": patch, "layers": list(layers)}})


def conv(size, filters=4):
    return {"conv": size, "filters": filters}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (of_layers(conv(4), {"pool": 2}), r"31 px to 14 x 14 px and not to 1 x 1; add .* of 14,"),
        (of_layers(conv(3), {"dense": 9}), r"31 px to 29 x 29 px and not to 1 x 1"),
        (of_layers({"pool": 2}), r"layer 1: a pool of 2 leaves a rest of the 31 x 31 px"),
        (of_layers(conv(4), {"pool": 3}), r"layer 2: a pool of 3 leaves a rest of the 28 x 28"),
        (of_layers(conv(33)), r"layer 1: conv 33 is larger than the 31 x 31 px"),
        (of_layers(conv(30), patch=30), r"a patch of 30 px cannot be used; its side must be odd"),
        (of_layers(conv(67), patch=67), r"a patch of 67 px cannot be used; .* at most 65"),
        (of_layers(conv(31), patch="31"), r"a patch of 31 px cannot be used"),
        (of_layers({"relu": 1}), r"layer 1: \{'relu': 1\} is none of \{conv: size, filters"),
        (of_layers({"conv": 31}), r"layer 1: \{'conv': 31\} is none of"),
        (of_layers(conv(31, 0)), r"layer 1: .* is none of .* whole numbers from 1"),
        (of_layers(conv(31, 10**9)), r"whole numbers from 1 to 4096"),
        (of_layers(conv(30.0)), r"layer 1: .* is none of"),
        (of_layers("conv"), r"layer 1: conv is none of"),
        (of_layers(conv(31), {"dense": 8}, conv(1)), r"layer 3: only dense layers follow a dense"),
        (of_layers(), r"architecture own: 'layers' must be a list"),
        ("own: {patch: 31}", r"architecture own: must have 'patch' and 'layers', and nothing"),
        ("own/../x: {patch: 1, layers: []}", r"a name has letters, digits, '-' and '_' only"),
        ("- 31", r"must map names of architectures to their patch and layers"),
        ("", r"must map names of architectures"),
        ("own: {patch: 31", r"not a readable YAML file"),
        ("own: !!python/object/apply:os.getcwd []", r"not a readable YAML file"),
    ],
)
def test_a_file_that_describes_no_network_is_refused(tmp_path, text, message):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load(["own"], file)
    assert str(caught.value).startswith("own.yaml")


def test_bytes_that_are_no_text_and_a_file_that_is_not_there_are_refused(tmp_path):
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"^own.yaml: not a readable YAML file"):
        load(["own"], tmp_path / "own.yaml")
    with pytest.raises(DataError, match=r"^none.yaml: not a readable YAML file"):
        load(["own"], tmp_path / "none.yaml")


def test_an_unknown_name_is_told_with_those_that_there_are():
    with pytest.raises(DataError, match=r"^--architectures refrence: .* there are reference, con"):
        load(["conv5", "refrence"])
