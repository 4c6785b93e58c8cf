"""Convert Mesmer's weights to the forms that MODEL accepts, and to some that it must reject.

Runs in the deepcell environment:

    python spoil_weights.py MESMER.onnx FOLDER

Writes to ``FOLDER`` a Keras SavedModel ``MultiplexSegmentation`` and a .tar.gz of it, as
deepcell.org has them, with batch normalisations that are not the identity; ``maps.npz``, with
``tiles`` and this network's ``maps``; and ``errors.json``: for every other form the text of the
error.
"""

import io
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf

from cellquilt.errors import DataError
from cellquilt.mesmer import saved_model


def write_tar(path, **members):
    """Write a .tar.gz of members: bytes, or the type and target of a link."""
    with tarfile.open(path, "w:gz") as tar:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(contents, bytes):
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
            else:
                member.type, member.linkname = contents
                tar.addfile(member)
    return path


def write_onnx(path, **shapes):
    """Write a network that has weights of the given shapes and does nothing."""
    weights = [
        onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        for name, shape in shapes.items()
    ]
    norm = onnx.helper.make_node("BatchNormalization", ["a"] * 5, ["b"], name="norm")
    graph = onnx.helper.make_graph([norm], "network", [], [], weights)
    onnx.save(onnx.helper.make_model(graph), str(path))
    return path


def write(path, contents):
    path.write_bytes(contents)
    return path


def damaged(contents):
    """Return bytes of which some in the middle are others."""
    middle = len(contents) // 2
    return contents[:middle] + bytes(1000) + contents[middle + 1000 :]


def normalise(network):
    """Give every batch normalisation statistics, and the convolution before it their inverse.

    In the .onnx nearly all are part of the convolutions. The network stays the same but for
    rounding.
    """
    rng = np.random.default_rng(0)
    for norm in network.layers:
        if type(norm).__name__ != "BatchNormalization":
            continue
        gamma, beta, mean, variance = norm.get_weights()
        n = gamma.size
        new = rng.uniform(0.5, 2, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n)
        new = (*new, rng.uniform(0.5, 2, n))
        ratio = gamma / np.sqrt(variance + norm.epsilon) / new[0] * np.sqrt(new[3] + norm.epsilon)
        convolution = norm.input._keras_history.layer
        kernel, bias = convolution.get_weights()
        shift = (beta - new[1]) / new[0] * np.sqrt(new[3] + norm.epsilon) + new[2]
        convolution.set_weights([kernel * ratio, (bias - mean) * ratio + shift])
        norm.set_weights(new)


def write_good(source, folder):
    """Write the SavedModel and return the .tar.gz of it."""
    network = saved_model.network_from_onnx(source)
    normalise(network)
    tiles = np.random.default_rng(0).random((2, 256, 256, 2), np.float32)
    cell, cell_classes, nucleus, nuclear_classes = network.predict(tiles)
    maps = [cell, cell_classes[..., 1:2], nucleus, nuclear_classes[..., 1:2]]
    np.savez(folder / "maps.npz", tiles=tiles, maps=np.concatenate(maps, axis=-1))
    network.save(folder / "MultiplexSegmentation", include_optimizer=False)
    archive = folder / "MultiplexSegmentation-9.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder / "MultiplexSegmentation", "MultiplexSegmentation")
    return archive


def make_bad(source, archive, folder):
    """Return weights that cannot be used, by name."""
    module = tf.Module()
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec((1,))])
    tf.saved_model.save(module, str(folder / "not_keras"))
    tiny = tf.keras.Sequential([tf.keras.layers.Conv2D(1, 3, input_shape=(32, 32, 1))])
    tiny.save(folder / "another_network")
    (folder / "empty").mkdir()
    noise = np.random.default_rng(0).bytes(4000)
    first = "panopticnet/conv_channels/BiasAdd"
    wrong = {f"{first}_weights_fused_bn": (3, 2, 7, 7), f"{first}_bias_fused_bn": (3,)}
    link = (tarfile.SYMTYPE, "..")
    return {
        "empty folder": folder / "empty",
        "not Keras": folder / "not_keras",
        "another network": folder / "another_network",
        "no file": folder / "nothing.onnx",
        "no folder": folder / "nothing",
        "unknown form": write(folder / "mesmer.h5", noise),
        "noise.onnx": write(folder / "noise.onnx", noise),
        "empty.onnx": write(folder / "empty.onnx", b""),
        "truncated.onnx": write(folder / "truncated.onnx", source.read_bytes()[: 1 << 20]),
        "another.onnx": write_onnx(folder / "another.onnx", kernel=(3,)),
        "wrong.onnx": write_onnx(folder / "wrong.onnx", **wrong),
        "noise.tar.gz": write(folder / "noise.tar.gz", noise),
        "truncated.tar.gz": write(folder / "truncated.tar.gz", archive.read_bytes()[: 1 << 20]),
        "damaged.tar.gz": write(folder / "damaged.tar.gz", damaged(archive.read_bytes())),
        "damaged.zip": write(folder / "damaged.zip", noise),
        "no model.tar.gz": write_tar(folder / "no_model.tar.gz", readme=b"nothing here"),
        "outside.tar.gz": write_tar(folder / "outside.tar.gz", **{"../evil": b"evil"}),
        "absolute.tar.gz": write_tar(folder / "absolute.tar.gz", **{"/evil": b"evil"}),
        "link.tar.gz": write_tar(folder / "link.tar.gz", model=link, **{"model/evil": b"evil"}),
    }


def main():
    source, folder = map(Path, sys.argv[1:])
    archive = write_good(source, folder)
    errors = {}
    for name, weights in make_bad(source, archive, folder).items():
        with tempfile.TemporaryDirectory() as scratch:
            try:
                saved_model.prepare_network(weights, folder / "prepared", Path(scratch))
                errors[name] = "none"
            except DataError as error:
                errors[name] = str(error)
    (folder / "errors.json").write_text(json.dumps(errors, indent=2))


if __name__ == "__main__":
    main()
