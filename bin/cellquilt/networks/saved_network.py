"""Reading a SavedModel that a user gives with its card: only data of it is ever used.

TensorFlow runs what a SavedModel asks for, at the latest with the network. So it is read as data
first: all operations of its functions have to be among those that compute, and nothing may run on
loading.
"""

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, reason
from ..labelling.map_store import CLASS_PROBABILITIES
from ..mesmer.card import sha256
from ..mesmer.model_archive import MAX_UNPACKED, OF_THE_MACHINE, pack, unpack
from .card import CARD, Card, card_of, read_card

if TYPE_CHECKING:
    from .tile_network import SavedNetwork

GRAPH = "saved_model.pb"
VARIABLES = "variables"
MAX_GRAPH = 1 << 30  # bytes, of what describes the operations
TOLERANCE = 1e-3  # of probabilities, from 0 to 1

# What networks of images compute with; none touches a file or runs code, and none can loop
_NAMES = """
    Const Identity IdentityN NoOp ReadVariableOp DisableCopyOnRead StopGradient PreventGradient
    PartitionedCall StatefulPartitionedCall
    Conv2D DepthwiseConv2dNative Conv2DBackpropInput BiasAdd BiasAddV1 MatMul BatchMatMul
    BatchMatMulV2 BatchMatMulV3 Einsum
    FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN
    MaxPool MaxPoolV2 AvgPool ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea
    DepthToSpace SpaceToDepth SpaceToBatchND BatchToSpaceND
    Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softmax LogSoftmax Softplus Softsign Erf Erfc
    Add AddV2 AddN Sub Mul Div RealDiv DivNoNan FloorDiv FloorMod Pow Neg Abs Sign Square
    SquaredDifference Sqrt Rsqrt Reciprocal Inv Exp Expm1 Log Log1p Sin Cos Floor Ceil Round Rint
    Maximum Minimum ClipByValue Equal NotEqual Less LessEqual Greater GreaterEqual LogicalAnd
    LogicalOr LogicalNot Select SelectV2 IsNan IsInf IsFinite
    Sum Mean Max Min Prod All Any ArgMax ArgMin Cumsum L2Loss
    Shape ShapeN Size Rank Reshape Squeeze ExpandDims Transpose Concat ConcatV2 Split SplitV Pack
    Unpack Slice StridedSlice Gather GatherV2 GatherNd Tile BroadcastTo BroadcastArgs Pad PadV2
    MirrorPad Fill ZerosLike OnesLike Range OneHot Cast Reverse ReverseV2 Roll
"""
OPERATIONS = frozenset(_NAMES.split())
_KINDS = {
    *("user_object", "variable", "constant", "function", "bare_concrete_function"),
    "captured_tensor",
}


@contextmanager
def opened(path: Path) -> Iterator[tuple[Path, dict]]:
    """Give a network's folder and its card as JSON, until the block ends.

    Parameters
    ----------
    path : Path
        Folder of a SavedModel and `CARD`, or a zip of one.

    Raises
    ------
    DataError
        If it is neither, or its card cannot be read.
    """
    if path.is_dir():
        yield path, read_card(path / CARD, path.name)
        return
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check --network.")
    with TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(path) as archive:
                unpack(archive, folder)
        except Exception as error:  # zipfile raises anything of a damaged file
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in OF_THE_MACHINE:
                raise
            raise DataError(
                f"{path.name}: not a readable .zip of a SavedModel and its {CARD}"
                f" ({reason(error)}); give --network the folder or a .zip of it."
            ) from error
        within = [inner for inner in folder.iterdir() if (inner / CARD).is_file()]
        if not (folder / CARD).exists() and len(within) == 1:
            (folder,) = within
        yield folder, read_card(folder / CARD, path.name)


def load(folder: Path, card: Card, shown: str, batch_size: int) -> "SavedNetwork":
    """Return a network, loaded, once it is known to be data alone and to fit its card.

    Parameters
    ----------
    folder : Path
    card : Card
    shown : str
        Names the network in messages.
    batch_size : int

    Raises
    ------
    DataError
        If it is no SavedModel, holds what is not allowed, or takes and gives something else than
        its card says.
    """
    from .tile_network import SavedNetwork

    refuse_code(folder, shown)
    try:
        network = SavedNetwork(
            folder, batch_size, tile_shape=card.tile_shape, n_maps=card.n_maps, shown=shown
        )
    except (DataError, MemoryError):
        raise
    except Exception as error:  # TensorFlow raises anything of a damaged graph
        raise DataError(f"{shown}: not a whole SavedModel ({reason(error)}).") from error
    _compare(shown, "takes tiles", network.takes, card.tile_shape, "tile and channels")
    given = network.gives
    if given[-1] is not None and given[-1] > card.n_maps:
        given = (*given[:-1], card.n_maps)  # some that the card does not use
    _compare(shown, "gives maps", given, card.map_shape, "tile and outputs")
    return network


def _compare(
    shown: str,
    what: str,
    found: tuple[int | None, ...],
    wanted: tuple[int, int, int],
    fields: str,
) -> None:
    """Raise `DataError` where a shape, as far as it is known, is not the card's."""
    if any(a is not None and a != b for a, b in zip(found, wanted, strict=True)):
        sides = " x ".join("any" if side is None else str(side) for side in found)
        raise DataError(
            f"{shown}: the network {what} of {sides}, and its card says"
            f" {' x '.join(map(str, wanted))} ({fields}); correct one of them."
        )


def refuse_code(folder: Path, shown: str) -> None:
    """Raise `DataError` where a SavedModel could do anything but compute.

    Parameters
    ----------
    folder : Path
    shown : str
        Names it in messages.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        if (folder / GRAPH).stat().st_size > MAX_GRAPH:
            raise ValueError("it is too large")
        saved.ParseFromString((folder / GRAPH).read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"{shown}: has no {GRAPH}; save the network as a SavedModel, see docs/networks.md."
        ) from error
    except (OSError, ValueError, DecodeError) as error:
        raise DataError(f"{shown}: {GRAPH} cannot be read ({reason(error)}).") from error
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise DataError(
            f"{shown}: not a SavedModel of TensorFlow 2 with one graph; save it again by"
            " tf.saved_model.save or Keras's export."
        )
    (graph,) = saved.meta_graphs
    objects = graph.object_graph_def
    found = {f"a {node.WhichOneof('kind')}" for node in objects.nodes} - {
        f"a {kind}" for kind in _KINDS
    }
    if any(node.saveable_objects or node.registered_saver for node in objects.nodes):
        found.add("a saver of its own")
    if graph.asset_file_def:
        found.add("an asset")
    if not found:
        found = _operations(graph.graph_def.library, _entries(objects)) - OPERATIONS
    if found:
        names = sorted(reason(name, 60) for name in found)
        raise DataError(
            f"{shown}: not loaded, since it holds what is not among the operations of networks"
            f" that are known to compute only ({', '.join(names[:9])}); docs/networks.md says how"
            " to save one without."
        )


def _entries(objects) -> set[str]:
    """Return the names of all functions of a SavedModel's object graph that could be called."""
    found = set(objects.concrete_functions)
    for node in objects.nodes:
        found.update(node.function.concrete_functions)
        found.add(node.bare_concrete_function.concrete_function_name)
    return found - {""}


def _operations(library, entries: set[str]) -> set[str]:
    """Return all operations that these functions, and those that they call, consist of."""
    functions = {function.signature.name: function for function in library.function}
    waiting, seen, found = list(entries), set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in functions:
            found.add(f"no function {name}")
            continue
        for node in functions[name].node_def:
            called = {
                named.name
                for value in node.attr.values()
                for named in (value.func, *value.list.func)
                if named.name
            }
            if node.op in functions:
                called.add(node.op)
            else:
                found.add(node.op)
            waiting.extend(called)
    return found


def prepare(path: Path, archive: Path) -> dict:
    """Check a network against its card, by running it once, and write both as one file.

    Parameters
    ----------
    path : Path
        See `opened`.
    archive : Path
        Zip to write, which `opened` takes.

    Returns
    -------
    dict
        What the card says.

    Raises
    ------
    DataError
        If the card is wrong, or the network is none that is allowed or does not fit it.
    """
    with opened(path) as (folder, said):
        card = card_of(said, path.name)
        try_out(load(folder, card, path.name, 2), card, path.name)
        with TemporaryDirectory(dir=".") as scratch:
            copy = Path(scratch)
            copied = [CARD, GRAPH, *_variables(folder)]
            if sum((folder / name).stat().st_size for name in copied) > MAX_UNPACKED:
                raise DataError(f"{path.name}: is larger than {MAX_UNPACKED >> 30} GB.")
            for name in copied:
                (copy / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / name, copy / name)
            pack(copy, archive)
    return said


def _variables(folder: Path) -> list[str]:
    return [f"{VARIABLES}/{file.name}" for file in sorted((folder / VARIABLES).glob("variables.*"))]


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of a network without its card."""
    return sha256(folder, [GRAPH, *_variables(folder)])


def try_out(network: "SavedNetwork", card: Card, shown: str) -> None:
    """Run a network on a few tiles.

    Raises
    ------
    DataError
        If it fails, or its maps have another shape, are no numbers, or depend on the other tiles
        that are computed with them, so that masks would depend on how a slide is cut; or if they
        are no probabilities where the card says so.
    """
    random = np.random.default_rng(0)
    first, second, third = random.random((3, *card.tile_shape), np.float32)
    try:
        maps, other = (next(network.run([first, beside], 2)) for beside in (second, third))
    except MemoryError:
        raise
    except Exception as error:  # TensorFlow raises anything of a graph that does not fit
        raise DataError(f"{shown}: the network fails on a tile ({reason(error)}).") from error
    _compare(shown, "gives maps", maps.shape, card.map_shape, "tile and outputs")
    if not np.isfinite(maps).all():
        raise DataError(f"{shown}: the network gives maps that are no numbers (NaN or infinite).")
    if not np.array_equal(maps, other):
        raise DataError(
            f"{shown}: the maps of a tile change by up to {np.abs(maps - other).max():.2g} with the"
            " tile that is computed beside it; save the network for inference (training=False)."
        )
    for name, of in card.compartments.items():
        values = maps[..., of.planes]
        if of.kind == CLASS_PROBABILITIES and not (
            values.min() >= -TOLERANCE and values.max() <= 1 + TOLERANCE
        ):
            raise DataError(
                f"{shown}: {of.kind} of the {name} reach from {values.min():.3g} to"
                f" {values.max():.3g}, and must lie between 0 and 1; end the network with a softmax"
                " or a sigmoid."
            )


def model_of(said: Mapping, folder: Path) -> dict:
    """Return what the provenance says of a network: its card, and the SHA-256 of the rest."""
    return {**said, "saved_model_sha256": digest_of(folder)}
