"""Files given as networks that are something else, or contain more."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np

from cellquilt.pixelcnn.card import CARD

from .corpus import REPO, Case
from .damaged import Canary, npy
from .tiff import zeros_deflated

NAME = "net.keras"
GOOD = REPO / "assets" / "networks" / "nuclear.keras"
NUCLEI = REPO / "assets" / "networks" / "unet" / "nuclei.keras"
WEIGHTS = "model.weights.h5"


def rewritten(
    folder: Path, changed: dict[str, bytes], good: Path = GOOD, level: int = zipfile.ZIP_DEFLATED
) -> Path:
    """Copy a good network with some members changed or added."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(folder / NAME, "w", level) as target:
        members = {name: source.read(name) for name in source.namelist()} | changed
        for name, content in members.items():
            target.writestr(zipfile.ZipInfo(name), content, level)
    return folder / NAME


def card(good: Path = GOOD, **changes) -> bytes:
    """Return the card of a good network with changes."""
    with zipfile.ZipFile(good) as archive:
        return json.dumps(json.loads(archive.read(CARD)) | changes).encode()


def bomb(folder: Path, member: str, good: Path = GOOD) -> Path:
    """Write a network one of whose members inflates to 3 GB, made without having them."""
    packed = zeros_deflated(3 << 30)[2:-4]
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(folder / NAME, "w") as target:
        for name in source.namelist():
            target.writestr(name, packed if name == member else source.read(name))
        # The central directory, which is what counts, is written on closing
        target.getinfo(member).compress_type = zipfile.ZIP_DEFLATED
        target.getinfo(member).file_size = 3 << 30
    return folder / NAME


def damaged(folder: Path) -> None:
    """Copy a good network, some of whose packed weights are others."""
    content = bytearray(rewritten(folder, {}).read_bytes())
    with zipfile.ZipFile(folder / NAME) as archive:
        weights = archive.getinfo(WEIGHTS)
    middle = weights.header_offset + weights.compress_size // 2
    content[middle : middle + 64] = bytes(range(64))
    (folder / NAME).write_bytes(content)


def weights(change, good: Path = GOOD) -> bytes:
    """Return the weights of a good network after `change` had the HDF5 file."""
    with zipfile.ZipFile(good) as archive:
        stream = io.BytesIO(archive.read(WEIGHTS))
    with h5py.File(stream, "r+") as file:
        change(file)
    return stream.getvalue()


def first_array(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    return found[0]


def of_10_gb(file):
    name = first_array(file)
    del file[name]
    file.create_dataset(name, (50_000, 50_000), "float32", chunks=(500, 500), compression="gzip")


def of_a_file_elsewhere(file):
    name = first_array(file)
    shape = file[name].shape
    del file[name]
    external = [("/etc/passwd", 0, int(np.prod(shape)) * 4)]
    file.create_dataset(name, shape, "float32", external=external)


def linked(file):
    name = first_array(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/")


def layers(**more):
    huge = [{"conv": 3, "filters": 4096}] * 3
    return card(patch=7, layers=huge, **more)


READABLE = "its weights cannot be read|not those that its card names|its card"
REFUSED = {
    "a pickle": (
        lambda folder: (folder / NAME).write_bytes(pickle.dumps(Canary(folder / "ran"))),
        "not a pixel classifier",
    ),
    "an npy of pickled objects": (
        lambda folder: (folder / NAME).write_bytes(npy(folder)),
        "not a pixel classifier",
    ),
    "cut": (
        lambda folder: (folder / NAME).write_bytes(GOOD.read_bytes()[:-300]),
        "not a pixel classifier",
    ),
    "a folder": (lambda folder: (folder / NAME).mkdir(), "not a pixel classifier"),
    "a card of 3 GB": (lambda folder: bomb(folder, CARD), "its card is too long"),
    "weights of 3 GB": (lambda folder: bomb(folder, WEIGHTS), READABLE),
    "weights damaged on their way": (damaged, READABLE),
    "weights that are a pickle": (
        lambda folder: rewritten(folder, {WEIGHTS: pickle.dumps(Canary(folder / "ran"))}),
        READABLE,
    ),
    "an array of 10 GB": (lambda folder: rewritten(folder, {WEIGHTS: weights(of_10_gb)}), READABLE),
    "an array in a file elsewhere": (
        lambda folder: rewritten(folder, {WEIGHTS: weights(of_a_file_elsewhere)}),
        READABLE,
    ),
    "an array behind a link": (
        lambda folder: rewritten(folder, {WEIGHTS: weights(linked)}),
        READABLE,
    ),
    "a card nested 100,000 deep": (
        lambda folder: rewritten(folder, {CARD: b"[" * 100_000}),
        "not a pixel classifier",
    ),
    "a card that names 1.2 GB of weights": (
        lambda folder: rewritten(folder, {CARD: layers()}),
        "not of the architecture",
    ),
    "a card of fewer layers": (
        lambda folder: rewritten(folder, {CARD: card(patch=3, layers=[{"conv": 3, "filters": 2}])}),
        READABLE,
    ),
    "a card whose architecture is a path": (
        lambda folder: rewritten(folder, {CARD: card(architecture="../../escaped")}),
        "a name has letters",
    ),
    "a card whose layers are text": (
        lambda folder: rewritten(folder, {CARD: card(layers="__import__('os')")}),
        "must be a list",
    ),
}
SOUND = {
    "as it is": lambda folder: shutil.copy(GOOD, folder / NAME),
    "members that lead elsewhere": lambda folder: rewritten(
        folder, {"../../escaped": b"", "/escaped": b"", f"../{CARD}": b""}
    ),
    "members of pickled objects": lambda folder: rewritten(
        folder, {"assets/a.npy": npy(folder), "model.weights.npz": npy(folder)}
    ),
    "a configuration that names a function": lambda folder: rewritten(
        folder,
        {
            "config.json": json.dumps(
                {"module": "os", "class_name": "system", "config": ["touch ran"]}
            ).encode()
        },
    ),
}


def nuclei_changed(**changes):
    return lambda folder: rewritten(folder, {CARD: card(NUCLEI, **changes)}, NUCLEI)


def nuclei_with(change):
    return lambda folder: rewritten(folder, {WEIGHTS: weights(change, NUCLEI)}, NUCLEI)


INCOMPLETE = "its card is incomplete"
# The same of the network for nuclei, whose card and layers are others
NUCLEI_REFUSED = {
    "nuclei: a pickle": (
        lambda folder: (folder / NAME).write_bytes(pickle.dumps(Canary(folder / "ran"))),
        "not a network for --segmenter nuclei",
    ),
    "nuclei: a pixel classifier": (
        lambda folder: shutil.copy(GOOD, folder / NAME),
        "a network of another kind",
    ),
    "nuclei: a card of 3 GB": (lambda folder: bomb(folder, CARD, NUCLEI), "its card is too long"),
    "nuclei: weights of 3 GB": (lambda folder: bomb(folder, WEIGHTS, NUCLEI), READABLE),
    "nuclei: weights that are a pickle": (
        lambda folder: rewritten(folder, {WEIGHTS: pickle.dumps(Canary(folder / "ran"))}, NUCLEI),
        READABLE,
    ),
    "nuclei: an array of 10 GB": (nuclei_with(of_10_gb), READABLE),
    "nuclei: an array in a file elsewhere": (nuclei_with(of_a_file_elsewhere), READABLE),
    "nuclei: an array behind a link": (nuclei_with(linked), READABLE),
    "nuclei: a card of 300 MB of weights": (nuclei_changed(filters=[512] * 5), READABLE),
    "nuclei: a card of a billion filters": (nuclei_changed(filters=[10**9] * 4), INCOMPLETE),
    "nuclei: a card of filters that are code": (
        nuclei_changed(filters="__import__('os')"),
        INCOMPLETE,
    ),
    "nuclei: a card of other levels": (nuclei_changed(filters=[16, 32, 64]), READABLE),
    "nuclei: a card of 60 levels": (nuclei_changed(filters=[2] * 60), INCOMPLETE),
    "nuclei: a card of other maps": (nuclei_changed(maps=["maxima"]), INCOMPLETE),
    "nuclei: a card of a huge threshold": (
        nuclei_changed(thresholds={"interior_smooth": 1e9}),
        INCOMPLETE,
    ),
    "nuclei: a card of a start that is text": (
        nuclei_changed(training={"start": "__import__('os')"}),
        INCOMPLETE,
    ),
    "nuclei: a card of another pixel size": (nuclei_changed(model_mpp=1e-9), "was trained at"),
}
NUCLEI_SOUND = {
    "nuclei: as it is": lambda folder: shutil.copy(NUCLEI, folder / NAME),
    "nuclei: a configuration that names a function": lambda folder: rewritten(
        folder,
        {
            "config.json": json.dumps(
                {"module": "os", "class_name": "system", "config": ["touch ran"]}
            ).encode()
        },
        NUCLEI,
    ),
}


def loaded(folder):
    assert folder.with_suffix(".log").read_text().strip()


def cases() -> dict[str, Case]:
    """Return the cases of networks by name."""

    def built(make, name):
        def build(folder):
            make(folder)
            kind = "unet" if name.startswith("nuclei") else "pixelcnn"
            return [Path(__file__).with_name("load_network.py"), folder / NAME, kind]

        return build

    found = {}
    for name, (make, message) in (REFUSED | NUCLEI_REFUSED).items():
        found[name] = Case(name, built(make, name), message, None, NAME)
    for name, make in (SOUND | NUCLEI_SOUND).items():
        found[name] = Case(name, built(make, name), None, loaded, "")
    return found
