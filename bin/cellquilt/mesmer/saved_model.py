"""Mesmer's weights, in any form, as the one SavedModel that SEGMENT runs.

The only module that runs in the deepcell environment (Python 3.10, TensorFlow 2.8).
"""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import provenance
from ..errors import DataError, reason
from .card import CARD, FORMAT, LICENCE, OUTPUT_CHANNELS, sha256
from .model_archive import MAX_UNPACKED, pack, unpacked

if TYPE_CHECKING:
    import tensorflow as tf

TILE_SHAPE = (256, 256, 2)
CODE = {"Lambda", "TFOpLambda", "SlicingOpLambda"}
FILE_OPERATIONS = {"ReadFile", "WriteFile", "MatchingFiles", "WholeFileReaderV2", "SaveSlices"}
FILE_OPERATIONS |= {"PyFunc", "EagerPyFunc", "PyFuncStateless", "LoadLibrary", "PrintV2", "Save"}


def prepare_network(weights: Path, archive: Path, scratch: Path) -> dict:
    """Write Mesmer's network as a plain SavedModel with its card, as one file.

    The SavedModel's ``serving_default`` takes ``tiles`` (N, 256, 256, 2) float32, normalised,
    nuclear channel first, and gives ``maps`` (N, 256, 256, 4) float32: the four of Mesmer's
    eight output channels that its post-processing reads, in the order of `OUTPUT_CHANNELS`. The
    network is folded, see `folding.FoldedNetwork`, whose features ``features`` gives of ``tiles``
    (``features_0`` and so on), and ``endings`` its endings (``kernel_0``, ``bias_0`` and so on).

    Parameters
    ----------
    weights : Path
        A Keras SavedModel folder, a .tar.gz of one, the network exported to .onnx, or a .zip
        that this function wrote.
    archive : Path
        Zip to write: ``saved_model.pb``, ``variables/`` and ``model.json``, see `model_archive`.
    scratch : Path
        Where files are put together.

    Returns
    -------
    dict
        The card: name, form and SHA-256 of the weights, licence, versions.

    Raises
    ------
    DataError
        If the weights are not Mesmer's, or in a form that is not known.
    """
    if weights.suffix == ".zip" and weights.exists():
        with unpacked(weights) as (folder, card):
            _refuse_code(folder)
        shutil.copyfile(weights, archive)
        return card

    import tensorflow as tf

    keras_model = _load(weights, scratch)
    if tuple(keras_model.input_shape[1:]) != TILE_SHAPE or len(keras_model.outputs) != 4:
        raise DataError(
            f"{weights.name}: not Mesmer's network (input {keras_model.input_shape}, "
            f"{len(keras_model.outputs)} outputs; Mesmer has (None, 256, 256, 2) and 4)."
        )

    from .folding import FoldedNetwork

    try:
        network = FoldedNetwork(keras_model)
    except DataError as error:
        raise DataError(f"{weights.name}: {error}") from error

    @tf.function(input_signature=[tf.TensorSpec((None, *TILE_SHAPE), tf.float32, name="tiles")])
    def serve(tiles):
        return {"maps": network(tiles)}

    @tf.function(input_signature=[tf.TensorSpec((None, *TILE_SHAPE), tf.float32, name="tiles")])
    def features(tiles):
        return {f"features_{k}": values for k, values in enumerate(network.features(tiles))}

    last = {}
    for k, (kernel, bias) in enumerate(network.endings()):
        last |= {f"kernel_{k}": kernel, f"bias_{k}": bias}

    @tf.function(input_signature=[])
    def endings():
        return {name: tf.constant(values, tf.float32) for name, values in last.items()}

    folder = scratch / "saved_model"
    signatures = {"serving_default": serve, "features": features, "endings": endings}
    tf.saved_model.save(network, str(folder), signatures=signatures)
    card = {
        "name": "Mesmer",
        "format": FORMAT,
        "weights": weights.name,
        "weights_sha256": sha256(weights),
        "output_channels": list(OUTPUT_CHANNELS),
        "licence": LICENCE,
        "saved_model_sha256": sha256(folder),
        "software": provenance.of_step("MODEL")["software"],
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n")
    pack(folder, archive)
    return card


def _load(weights: Path, scratch: Path) -> tf.keras.Model:
    if not weights.exists():
        raise DataError(f"{weights}: there is no such file or folder; check --mesmer_model.")
    if weights.is_dir():
        return _load_saved_model(weights)
    if weights.name.endswith((".tar.gz", ".tgz")):
        return _load_saved_model(_extract(weights, scratch / "extracted_weights"))
    if weights.suffix == ".onnx":
        return network_from_onnx(weights)
    raise DataError(
        f"{weights.name}: give --mesmer_model a SavedModel folder, a .tar.gz of one, an .onnx, "
        "or MODEL's .zip."
    )


def _extract(archive: Path, folder: Path) -> Path:
    """Unpack a tar archive, refusing members that would leave `folder`."""
    root = folder.resolve()
    unpacked = 0
    try:
        with gzip.open(archive) as stream:  # to its checksum, which tarfile never reaches
            while block := stream.read(1 << 24):
                unpacked += len(block)
                if unpacked > MAX_UNPACKED:
                    raise DataError(f"{archive.name}: too large for Mesmer's weights.")
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar.getmembers():
                inside = (root / member.name).resolve()
                regular = member.isfile() or member.isdir()
                if not regular or (inside != root and root not in inside.parents):
                    raise DataError(
                        f"{archive.name}: unsafe member {member.name!r:.99}; not unpacked."
                    )
            # Python's own checks too, where it has them (3.10.12 and newer)
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(root)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{archive.name}: not a readable .tar.gz ({reason(error)}); fetch it again."
        ) from error
    found = sorted(root.rglob("saved_model.pb"))
    if not found:
        raise DataError(f"{archive.name}: holds no SavedModel (no saved_model.pb).")
    return found[0].parent


def _refuse_code(folder: Path) -> None:
    """Refuse a SavedModel that holds Python code, or operations that touch files.

    TensorFlow would run the first on loading, and the second with the network.
    """
    from google.protobuf.message import DecodeError
    from keras.protobuf import saved_metadata_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    if not (folder / "saved_model.pb").is_file():
        raise DataError(f"{folder.name}: not a Keras SavedModel (it has no saved_model.pb).")
    saved, keras = saved_model_pb2.SavedModel(), saved_metadata_pb2.SavedMetadata()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
        if (folder / "keras_metadata.pb").exists():
            keras.ParseFromString((folder / "keras_metadata.pb").read_bytes())
        texts = [node.metadata for node in keras.nodes]
        operations = set()
        for graph in saved.meta_graphs:
            texts += [node.user_object.metadata for node in graph.object_graph_def.nodes]
            functions = [function.node_def for function in graph.graph_def.library.function]
            for nodes in (graph.graph_def.node, *functions):
                operations |= {node.op for node in nodes}
        kinds = {kind for text in texts if text for kind in _class_names(json.loads(text))}
    except (OSError, ValueError, RecursionError, DecodeError) as error:
        raise DataError(f"{folder.name}: not a Keras SavedModel ({reason(error)}).") from error
    found = sorted(kinds & CODE | operations & FILE_OPERATIONS)
    if found:
        raise DataError(
            f"{folder.name}: not loaded, since it holds code or touches files ({', '.join(found)}),"
            " as Mesmer does not; take the weights from deepcell.org."
        )


def _class_names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value["class_name"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _class_names(inner)


def _load_saved_model(folder: Path) -> tf.keras.Model:
    import deepcell.layers  # noqa: F401  registers the custom layers that Keras asks for
    import tensorflow as tf

    _refuse_code(folder)
    try:
        model = tf.keras.models.load_model(folder, compile=False)
    except Exception as error:  # TensorFlow raises anything of a damaged graph
        raise DataError(f"{folder.name}: not a Keras SavedModel ({reason(error)}).") from error
    if not isinstance(model, tf.keras.Model):
        raise DataError(f"{folder.name}: a SavedModel, but not one of a Keras network.")
    return model


def network_from_onnx(path: Path) -> tf.keras.Model:
    """Return Mesmer's Keras network with the weights of its tf2onnx export.

    tf2onnx keeps layer names and folds every batch normalisation but the first into the
    convolution before it, so that those layers become the identity here.

    Parameters
    ----------
    path : Path
        The .onnx file.

    Raises
    ------
    DataError
        If a layer finds no weights, or weights find no layer.
    """
    import onnx
    from deepcell.model_zoo.panopticnet import PanopticNet
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper
    from onnx.external_data_helper import uses_external_data

    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except DecodeError as error:
        raise DataError(
            f"{path.name}: not a whole .onnx file ({reason(error)}); fetch it again."
        ) from error
    if any(uses_external_data(tensor) for tensor in graph.initializer):
        raise DataError(f"{path.name}: its weights lie outside of it; save it as one file.")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    norm_inputs = {
        node.name.split("/")[1]: node.input[1:]
        for node in graph.node
        if node.op_type == "BatchNormalization" and "/" in node.name
    }
    network = PanopticNet(
        backbone="resnet50",
        input_shape=TILE_SHAPE,
        norm_method=None,
        num_semantic_classes=[1, 3, 1, 3],
        location=True,
        include_top=True,
        use_imagenet=False,
    )
    used: set[str] = set()

    def take(*names: str) -> np.ndarray:
        for name in names:
            if name in weights:
                used.add(name)
                return weights[name]
        raise DataError(f"{path.name}: not Mesmer's network (no weights {names[0]!r}).")

    def fill(layer: tf.keras.layers.Layer, arrays: list[np.ndarray]) -> None:
        try:
            layer.set_weights(arrays)
        except ValueError as error:
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise DataError(
                f"{path.name}: not Mesmer's network (weights of {layer.name!r} are {shapes})."
            ) from error

    for layer in network.layers:
        kind = type(layer).__name__
        root = f"panopticnet/{layer.name}"
        if kind == "Conv2D":
            kernel = take(f"{root}/BiasAdd_weights_fused_bn", f"{root}/Conv2D/ReadVariableOp:0")
            bias = take(f"{root}/BiasAdd_bias_fused_bn", f"{root}/BiasAdd/ReadVariableOp:0")
            fill(layer, [kernel.transpose(2, 3, 1, 0), bias])
        elif kind == "BatchNormalization" and layer.name in norm_inputs:
            fill(layer, [take(name) for name in norm_inputs[layer.name]])
        elif kind == "BatchNormalization":
            n = layer.gamma.shape[0]
            gamma = np.full(n, np.sqrt(1 + layer.epsilon))
            fill(layer, [gamma, np.zeros(n), np.zeros(n), np.ones(n)])
    unused = {name for name in weights if "/Conv2D/" in name or "/BiasAdd" in name} - used
    if unused:
        raise DataError(f"{path.name}: not Mesmer's network (unused weights {sorted(unused)[:3]}).")
    return network
