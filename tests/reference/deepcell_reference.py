"""Run the real deepcell on arrays: the reference of the tests.

Runs in the deepcell environment (Python 3.10, deepcell 0.12.10):

    python deepcell_reference.py COMMAND INPUT.npz OUTPUT.npz

``INPUT.npz`` holds the arrays of one or more cases, each named ``<case>.<what>``, and the result
is named in the same way. Images are (H, W, 2), nuclear channel first.
"""

import functools
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np


def preprocess(case):
    """Resize ``image`` of ``image_mpp`` and normalise it, as Mesmer does."""
    from deepcell.applications.mesmer import Mesmer, mesmer_preprocess

    mesmer = SimpleNamespace(model_mpp=0.5, logger=logging.getLogger())
    resized = Mesmer._resize_input(mesmer, case["image"][None], float(case["image_mpp"]))
    return {"normalised": mesmer_preprocess(resized)[0]}


@functools.lru_cache
def network(weights):
    """Return Mesmer's network with the weights of an .onnx file."""
    from cellquilt.mesmer.saved_model import network_from_onnx

    return network_from_onnx(Path(weights))


def predict(case):
    """Run Mesmer on ``image`` of ``image_mpp``: its labels, and what it computed on the way.

    ``weights`` is the path of its .onnx. With ``pad``, the normalised image is padded by
    reflection to 256 px a side before it goes on, since deepcell cannot take an image with one
    side shorter.
    """
    from deepcell.applications import Mesmer

    app = Mesmer(model=network(str(case["weights"])))
    image = case["image"][None]
    options = {}
    if "pad" in case:
        missing = [max(256 - side, 0) for side in image.shape[1:3]]
        margins = [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)]
        image = np.pad(app._preprocess(image), margins, "reflect")
        options["preprocess_kwargs"] = {"threshold": False, "normalize": False}
    seen = {}

    def record(name):
        method = getattr(app, name)

        def call(image, **options):
            seen[name] = method(image, **options)
            return seen[name]

        setattr(app, name, call)

    record("_preprocess")
    record("_format_model_output")
    labels = app.predict(image, image_mpp=float(case["image_mpp"]), compartment="both", **options)
    outputs = seen["_format_model_output"]
    return {
        "normalised": seen["_preprocess"][0],
        "maps": np.concatenate([*outputs["whole-cell"], *outputs["nuclear"]], axis=-1)[0],
        "labels": labels[0],
    }


def watershed(case):
    """Label ``maps`` (maxima, interior) with the JSON ``parameters`` of deep_watershed."""
    from deepcell_toolbox.deep_watershed import deep_watershed

    outputs = [case["maps"][None, ..., :1], case["maps"][None, ..., 1:]]
    labels = deep_watershed(outputs, **json.loads(str(case["parameters"])))
    return {"labels": labels[0, ..., 0]}


def tile(case):
    """Cut ``image`` into tiles, scale the i-th of n by (i + 1) / n, and blend them again."""
    from deepcell_toolbox.utils import tile_image, untile_image

    options = {"model_input_shape": (256, 256, 2)}
    tiles, info = tile_image(case["image"][None], stride_ratio=0.75, **options)
    scale = np.arange(1, len(tiles) + 1, dtype=np.float32) / np.float32(len(tiles))
    blended = untile_image(tiles * scale[:, None, None, None], info, **options)
    return {"tiles": tiles, "blended": blended[0]}


def resize(case):
    """Resize ``image`` to ``shape``, and ``labels`` of that shape back to the image's."""
    from deepcell_toolbox.utils import resize as deepcell_resize

    image, labels = case["image"], case["labels"]
    return {
        "image": deepcell_resize(image[None], tuple(case["shape"]))[0],
        "labels": deepcell_resize(labels[None], image.shape[:2], labeled_image=True)[0],
    }


COMMANDS = {
    function.__name__: function for function in (preprocess, predict, watershed, tile, resize)
}


def main():
    command, source, target = sys.argv[1:]
    cases = {}
    for key, array in np.load(source).items():
        case, _, what = key.rpartition(".")
        cases.setdefault(case, {})[what] = array
    results = {}
    for case, arrays in cases.items():
        for what, result in COMMANDS[command](arrays).items():
            results[f"{case}.{what}"] = result
    np.savez(target, **results)


if __name__ == "__main__":
    main()
