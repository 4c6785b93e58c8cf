"""Networks with a card that do something else than compute, or not what their card says."""

import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from support.cards import NUCLEI, card
from support.toys import Toy, write_toy

from .corpus import Case, script
from .damaged import Canary
from .tiff import zeros_deflated

SIDE = 64
SMALL = {"tile": SIDE, "stride": 48}


class Other(Toy):
    """A toy whose maps are made by another function of the tiles and the maps."""

    def __init__(self, change: Callable, **options):
        super().__init__(SIDE, **options)
        self.change = change
        spec = tf.TensorSpec((None, SIDE, SIDE, 1), tf.float32, name="tiles")
        self.serve = tf.function(
            lambda tiles: self.change(tiles, self._maps(tiles)["maps"]), [spec]
        )


def other(change: Callable, module: Callable = Other, **changes) -> Callable[[Path], Path]:
    """Return what writes a network that is changed, into a folder."""

    def write(folder: Path) -> Path:
        def maps_of(tiles, maps):
            found = change(folder, tiles, maps)
            return found if isinstance(found, dict) else {"maps": found}

        return write_toy(folder / "net", module(maps_of), **SMALL | changes)

    return write


def good(folder: Path) -> Path:
    return write_toy(folder / "net", **SMALL)


def touched(folder, values):
    """Write a file, as Python."""
    (folder / "ran").touch()
    return values


def with_file(folder, _, maps):
    with tf.control_dependencies([tf.io.write_file(str(folder / "ran"), "x")]):
        return tf.identity(maps)


def with_python(folder, _, maps):
    return tf.ensure_shape(
        tf.py_function(lambda values: touched(folder, values), [maps], tf.float32), maps.shape
    )


def with_saver(folder, _, maps):
    save = tf.raw_ops.SaveV2(
        prefix=str(folder / "ran"), tensor_names=["a"], shape_and_slices=[""], tensors=[maps]
    )
    with tf.control_dependencies([save]):
        return tf.identity(maps)


def with_loop(_folder, _, maps):
    return tf.while_loop(
        lambda values: tf.reduce_max(values) > -1, lambda values: [values], [maps]
    )[0]


class Table(Other):
    """A toy with a table that is read from a file on loading."""

    def __init__(self, change):
        super().__init__(change)
        rows = tf.lookup.KeyValueTensorInitializer(["a"], [1.0])
        self.table = tf.lookup.StaticHashTable(rows, 0.0)


class Asset(Other):
    """A toy with a file."""

    def __init__(self, change):
        super().__init__(change)
        file = Path(tempfile.mkdtemp(), "asset.txt")
        file.write_text("x")
        self.asset = tf.saved_model.Asset(str(file))


def changed(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Return what writes a good network of which `change` has the folder."""

    def write(folder: Path) -> Path:
        change(good(folder))
        return folder / "net"

    return write


def cut(name: str, end: int | None = None, content: bytes | None = None):
    def change(net: Path) -> None:
        (path,) = net.rglob(name)
        path.write_bytes(content if content is not None else path.read_bytes()[:end])

    return changed(change)


def entry(graph_def) -> Callable[[Path], Path]:
    """Return what writes a good network whose graph `graph_def` changed."""

    def change(net: Path) -> None:
        from tensorflow.core.protobuf import saved_model_pb2

        saved = saved_model_pb2.SavedModel.FromString((net / "saved_model.pb").read_bytes())
        graph_def(saved)
        (net / "saved_model.pb").write_bytes(saved.SerializeToString())

    return changed(change)


def called_on_loading(saved) -> None:
    """Let a function that saves be one that the objects of the network name."""
    (graph,) = saved.meta_graphs
    name = next(
        function.signature.name
        for function in graph.graph_def.library.function
        if "traced_save" in function.signature.name
    )
    (node,) = (n for n in graph.object_graph_def.nodes if n.function.concrete_functions)
    node.function.concrete_functions.append(name)


def zipped(folder: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(folder / "net.zip", "w") as archive:
        for path in sorted(good(folder).rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder / "net"))
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return folder / "net.zip"


def bomb(folder: Path) -> Path:
    packed = zeros_deflated(3 << 30)[2:-4]
    path = zipped(folder, **{"variables/variables.data-00001-of-00002": packed})
    with zipfile.ZipFile(path, "a") as archive:
        member = archive.getinfo("variables/variables.data-00001-of-00002")
        member.compress_type, member.file_size = zipfile.ZIP_DEFLATED, 3 << 30
        archive._didModify = True
    return path


def plain(name: str, content: Callable[[Path], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content(folder))
        return folder / name

    return write


CODE = r"not loaded, since it holds what is not among the operations .*\("
PROBABILITIES = {"nuclear": NUCLEI["nuclear"] | {"kind": "class_probabilities"}}
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a graph that writes a file": (other(with_file), CODE + "WriteFile"),
    "a graph that calls Python": (other(with_python), CODE + "EagerPyFunc"),
    "a graph that saves": (other(with_saver), CODE + "SaveV2"),
    "a graph that never ends": (other(with_loop), CODE + ".*While"),
    "a table": (other(lambda _f, _t, maps: maps, Table), CODE + "a resource"),
    "an asset": (other(lambda _f, _t, maps: maps, Asset), CODE + "a asset, an asset"),
    "a saver that is called": (entry(called_on_loading), CODE + ".*SaveV2"),
    "no such function": (
        entry(lambda saved: saved.meta_graphs[0].graph_def.library.ClearField("function")),
        CODE + "no function",
    ),
    "two graphs": (
        entry(lambda saved: saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])),
        "not a SavedModel of TensorFlow 2 with one graph",
    ),
    "a graph of TensorFlow 1": (
        entry(lambda saved: saved.meta_graphs[0].ClearField("object_graph_def")),
        "not a SavedModel of TensorFlow 2",
    ),
    "a graph that is cut": (cut("saved_model.pb", -30), "saved_model.pb cannot be read"),
    "a graph that is a pickle": (
        lambda folder: cut("saved_model.pb", content=pickle.dumps(Canary(folder / "ran")))(folder),
        "saved_model.pb cannot be read",
    ),
    "no graph": (changed(lambda net: (net / "saved_model.pb").unlink()), "has no saved_model.pb"),
    "no weights": (
        changed(lambda net: shutil.rmtree(net / "variables")),
        "not a whole SavedModel|not a SavedModel",
    ),
    "weights that are cut": (
        cut("variables.data*", 100),
        "not a whole SavedModel|not a SavedModel",
    ),
    "no card": (changed(lambda net: (net / "card.json").unlink()), "has no card.json"),
    "a card of another tile": (
        lambda folder: write_toy(folder / "net", Toy(96), **SMALL),
        "takes tiles of 96 x 96 x 1, and its card says 64 x 64 x 1",
    ),
    "a card of two channels": (
        lambda folder: write_toy(
            folder / "net", Toy(SIDE), **SMALL, channels=["nuclear", "membrane"]
        ),
        "takes tiles of 64 x 64 x 1, and its card says 64 x 64 x 2",
    ),
    "a card of maps that are not there": (
        lambda folder: write_toy(
            folder / "net", **SMALL, outputs={"nuclear": NUCLEI["nuclear"] | {"maps": [1, 2]}}
        ),
        "gives maps of 64 x 64 x 2, and its card says 64 x 64 x 3",
    ),
    "maps of half the size": (
        other(lambda _f, _t, maps: maps[:, ::2, ::2]),
        "gives maps of 32 x 32 x 2, and its card says 64 x 64 x 2",
    ),
    "maps of half the size that it does not tell": (
        other(lambda _f, tiles, maps: maps[:, :: 1 + tf.shape(tiles)[1] // SIDE]),
        "gives maps of 32 x 64 x 2",
    ),
    "maps in float16": (
        other(lambda _f, _t, maps: tf.cast(maps, tf.float16)),
        "what its serving_default gives is float16",
    ),
    "two outputs": (
        other(lambda _f, _t, maps: {"a": maps, "b": maps}),
        "serving_default gives a, b; it must",
    ),
    "no signature": (
        changed(lambda net: tf.saved_model.save(tf.Module(), str(net))),
        "has no signature serving_default",
    ),
    "maps that are no numbers": (
        other(lambda _f, _t, maps: tf.math.log(maps - 9)),
        "gives maps that are no numbers",
    ),
    "maps that depend on their neighbours": (
        other(lambda _f, _t, maps: maps - tf.reduce_mean(maps)),
        "change by up to .* with the tile that is computed beside it; save the network for inf",
    ),
    "probabilities that are none": (
        other(lambda _f, _t, maps: 9 * maps, outputs=PROBABILITIES),
        "and must lie between 0 and 1; end the network with a softmax",
    ),
    "a layer that fails on any tile": (
        other(lambda _f, _t, maps: tf.reshape(maps, (-1, 63, 64, 2)), tile=SIDE),
        "gives maps of 63 x 64 x 2",
    ),
    "a pickle": (
        plain("net", lambda folder: pickle.dumps(Canary(folder / "ran"))),
        "not a readable",
    ),
    "a zip that is cut": (
        lambda folder: plain("net.zip", lambda _: zipped(folder).read_bytes()[:-30])(folder),
        "not a readable .zip",
    ),
    "a zip that leads elsewhere": (
        lambda folder: zipped(folder, **{"../../escaped": b"x"}),
        "leads out of it",
    ),
    "a zip of 3 GB": (bomb, "too large for a network"),
}
SOUND = {
    "as it is": good,
    "a zip": zipped,
    "files beside it": changed(
        lambda net: (net / "notes.txt").write_bytes(pickle.dumps(Canary(net.parent / "ran")))
    ),
}


def packed(folder: Path) -> None:
    """Assert that there is a network, checked, and nothing else of what was given."""
    with zipfile.ZipFile(folder / "out" / "network.zip") as archive:
        names = set(archive.namelist())
        said = json.loads(archive.read("card.json"))
    assert names == {
        *("card.json", "saved_model.pb", "variables/variables.index"),
        "variables/variables.data-00000-of-00001",
    }
    assert said == card(**SMALL)


def cases() -> dict[str, Case]:
    """Return the cases of networks with a card by name."""

    def built(make: Callable[[Path], Path]):
        def build(folder: Path):
            (folder / "out").mkdir()
            return script(
                "network", "--network", make(folder), "--packed", folder / "out" / "network.zip"
            )

        return build

    found = {}
    for name, (make, message) in REFUSED.items():
        found[name] = Case(name, built(make), message, None, "net")
    for name, make in SOUND.items():
        found[name] = Case(name, built(make), None, packed, "")
    return found
