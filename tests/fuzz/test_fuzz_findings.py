"""The readers of `make fuzz`: findings in those without a script.

Findings of slides, masks and tables are in tests/hostile/found.py. Every test run also reads a few
hundred files with the fuzzer's mutations, but without coverage guidance.
"""

import json
import random
import re
import zipfile

import pytest
from hostile.networks import card, rewritten

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.pixelcnn import architectures
from cellquilt.pixelcnn.card import CARD, read_card
from fuzz import seeds
from fuzz.readers import READERS

N_CHANGED = 40
# TensorFlow takes long to import; its readers are fuzzed by make fuzz alone
QUICK = sorted(set(READERS) - {"network", "saved-network", "nuclei"})


def read(reader, folder, content):
    """Read a file; return whether it was accepted."""
    (folder / reader.file).write_bytes(content)
    try:
        reader.read(folder / reader.file)
    except DataError as error:
        told = str(error)
        assert reader.file in told or folder.name in told, told
        assert len(told) < 1000 and "\n" not in told, told
        return False
    return True


def flip(content):
    """Change a byte in the middle."""
    content = content or b"0"
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", QUICK)
def test_changed_files_are_read_or_refused(folder, name):
    reader = READERS[name]
    if reader.beside:
        reader.beside(folder)
    sound = reader.seeds()
    accepted = [read(reader, folder, content) for content in sound]
    assert any(accepted) or name == "archive"  # which needs the weights
    rng = random.Random(0)
    for _ in range(N_CHANGED):
        content = rng.choice(sound)
        for _ in range(rng.randrange(1, 4)):
            content = reader.mutator(content, rng, flip)
        read(reader, folder, content)


LAUGHS = "&a0 [x, x]" + "".join(f", &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
LAYERS = {
    "a date that is none": "own: 2001-99-99",
    "a truth that is none": "own: !!bool perhaps",
    "a number of no digits": 'own: !!int ""',
    "nested 5,000 deep": "[" * 5000,
    "not in UTF-8": b"own: \xff",
    "an alias that is not there": "own: *nothing",
    "aliases of aliases": f"own: {{patch: 31, layers: [{{conv: [{LAUGHS}]}}]}}",
    "a name of 10,000 letters": "x/" * 5000 + ": {patch: 31}",
    "a patch of 20,000 digits": f"own: {{patch: 0x{'f' * 20_000}, layers: [{{conv: 3}}]}}",
}


@pytest.mark.parametrize("kind", LAYERS)
def test_architectures_are_refused_in_a_line(folder, kind):
    text = LAYERS[kind]
    content = text if isinstance(text, bytes) else text.encode()
    assert not read(READERS["architectures"], folder, content)


THRESHOLDS = json.loads(card())["thresholds"]
CARDS = {
    "thresholds in words": {"thresholds": THRESHOLDS | {"maxima_threshold": "high"}},
    "a threshold of NaN": {"thresholds": THRESHOLDS | {"interior_threshold": float("nan")}},
    "a radius of a kilometre": {"thresholds": THRESHOLDS | {"radius": 10**9}},
    "half a median": {"thresholds": THRESHOLDS | {"median": 1.5}},
    "no pixel size": {"model_mpp": None},
    "no list of classes": {"classes": 3},
}


@pytest.mark.parametrize("kind", CARDS)
def test_cards_are_refused(tmp_path, kind):
    path = rewritten(tmp_path, {CARD: card(**CARDS[kind])})
    with pytest.raises(DataError, match=re.escape(f"{path.name}: its card is incomplete")):
        read_card(path)


def test_a_card_in_damaged_lzma_is_refused(tmp_path):
    path = rewritten(tmp_path, {}, level=zipfile.ZIP_LZMA)
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(CARD)
    raw = bytearray(path.read_bytes())
    at = entry.header_offset + 30 + len(CARD) + 9  # after its header, name and LZMA's own header
    raw[at : at + 8] = b"\xff" * 8
    path.write_bytes(raw)
    with pytest.raises(DataError, match="not a pixel classifier that"):
        read_card(path)


def spoilt(raw, folder, change):
    """Return a store whose members `change` was given, packed anew with sound checksums."""
    (folder / "sound").write_bytes(raw)
    with zipfile.ZipFile(folder / "sound") as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    with zipfile.ZipFile(folder / "spoilt", "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return (folder / "spoilt").read_bytes()


def changed(name, *path, value):
    """Return a change of a value in the metadata of a group or array."""

    def change(members):
        known = json.loads(members[name])
        place = known
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        members[name] = json.dumps(known).encode()

    return change


FACTS = ("zarr.json", "attributes", "facts")
STORES = {
    "no group": lambda members: members.pop("zarr.json"),
    "a group of version 2": lambda members: members.update({"zarr.json": b"", ".zgroup": b"{}"}),
    "metadata that are no JSON": lambda members: members.update({"codes/zarr.json": b"{"}),
    "metadata not in UTF-8": lambda members: members.update({"lut/zarr.json": b'{"\xff": 1}'}),
    "a list as metadata": lambda members: members.update({"codes/zarr.json": b"[]"}),
    "values that are no blosc": lambda members: members.update({"codes/c/0/0/0": b"x" * 50}),
    "a codec that is not there": changed("codes/zarr.json", "codecs", value=[{"name": "none"}]),
    "a shape in words": changed("codes/zarr.json", "shape", value=["a", 5]),
    "a slide without name": changed(*FACTS, "image", value={"height": 3, "width": 3}),
    "a slide of 10^30 px": changed(*FACTS, "image", "height", value=10**30),
    "a sample that leads elsewhere": changed(*FACTS, "sample", value="../../up"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STORES)
def test_stores_are_refused(tmp_path, folder, kind):
    raw = spoilt(seeds.normalised()[0], tmp_path, STORES[kind])
    assert not read(READERS["store"], folder, raw)


def test_an_error_beside_a_store_stays_what_it_is(tmp_path):
    """A mistake in a step, or a full disk, is no damaged store."""
    (tmp_path / "store.zip").write_bytes(seeds.normalised()[0])
    for error in (KeyError("x"), OSError(28, "No space left on device"), MemoryError()):
        with pytest.raises(type(error)), stores.read(tmp_path / "store.zip"):
            raise error


def test_a_short_name_of_a_layer_is_told_whole():
    with pytest.raises(DataError, match=re.escape("layer 1: {'conv': 3, 'filter': 2} is none of")):
        architectures.from_table("own", {"patch": 3, "layers": [{"conv": 3, "filter": 2}]}, "a")


def test_outlines_whose_compression_is_damaged_are_refused(tmp_path):
    damaged = b"\x1f\x8b\x08" + bytes(7) + b"\x01" + bytes(8)
    with pytest.raises(DataError, match=r"cells\.geojson: is no GeoJSON \(Error -3 while"):
        path = tmp_path / "cells.geojson"
        path.write_bytes(damaged)
        READERS["outlines"].read(path)
