"""A pixel classifier over a whole image: as CLASSIFY runs it, and patch by patch.

All processes use the same weights and the same noise image, from their seeds. Running every patch
is too slow: the time of a sample is scaled, as the note states.
"""

from pathlib import Path

from bench import Bench, Row, Side

HEIGHT, WIDTH = 1040, 1392
N_PIXELS = HEIGHT * WIDTH
ARCHITECTURE, SEED = "reference", 1
TOLERANCE = 1e-5
CALLS, PREDICTIONS = 2000, 200  # of one patch each
BATCHED, BATCH_SIZES = 60_000, (256, 1024, 4096)
TRIED = 8192  # patches, for each of the sizes
MATRIX = 4096
SHARE_OF_FLOPS = 0.8  # of the ratio of FLOPs, the target for batches


def rows(bench: Bench) -> list[Row]:
    options = {"folder": str(bench.scratch)}
    sides = {name: Side("runtime", name, options) for name in ("ours", "calls", "batches")}
    best = bench.interleave(2, **sides)
    best |= bench.interleave(1, predictions=Side("runtime", "predictions", options))
    differences = bench.call("runtime", "compare", folder=bench.scratch)
    ours = best["ours"]
    flops = ours["flops_a_patch"] / ours["flops_a_pixel"]
    rate = ours["flops_a_pixel"] * N_PIXELS / ours["seconds"]
    work = f"{ARCHITECTURE} network, {HEIGHT} x {WIDTH} px"
    peers = {
        "predictions": ("one patch per call, Keras's predict", 1000, ""),
        # the operations alone take longer than a thousandth of these
        "calls": ("one patch per call, compiled", None, ""),
        "batches": (
            f"patches in batches of {best['batches']['batch_size']}",
            round(SHARE_OF_FLOPS * flops, 2),
            f"; patches take {flops:.2f} times the operations",
        ),
    }
    found = [
        Row(
            work,
            peer,
            ours["seconds"],
            best[name]["seconds"],
            differences[name] <= TOLERANCE,
            f"wall; theirs scaled from {best[name]['n']} patches, on which the largest "
            f"difference is {differences[name]:.1e}{more}",
            bar,
        )
        for name, (peer, bar, more) in peers.items()
    ]
    peak = ours["matmul_rate"]
    note = f"wall; {rate / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s, {rate / peak:.0%} of that rate"
    at_peak = ours["seconds"] * rate / peak
    peer = f"as many operations as products of float32 matrices of {MATRIX}^2 (the lower bound)"
    return [*found, Row(work, peer, ours["seconds"], at_peak, None, note)]


def network_and_image():
    """Worker: the network of a patch, its architecture, and the image, (h, w, 1) float32."""
    import os

    import numpy as np

    from cellquilt.networks.tile_network import select_device
    from cellquilt.pixelcnn.network import build
    from cellquilt.training.architectures import load

    select_device("cpu", len(os.sched_getaffinity(0)))
    (architecture,) = load([ARCHITECTURE])
    image = np.random.default_rng(SEED).random((HEIGHT, WIDTH, 1), np.float32)
    return build(architecture, 1, SEED), architecture, image


def sampled_patches():
    """Worker: the network, every patch of the image as a view of it, and where a sample lies."""
    import numpy as np

    model, architecture, image = network_and_image()
    padded = np.pad(image[..., 0], architecture.radius, "reflect")
    patches = np.lib.stride_tricks.sliding_window_view(padded, (architecture.field,) * 2)
    return model, patches[..., None], sample()


def sample():
    """Return rows and columns of `BATCHED` pixels, (2, n)."""
    import numpy as np

    return np.random.default_rng(SEED + 1).integers(0, [[HEIGHT], [WIDTH]], (2, BATCHED))


def ours(folder: str) -> dict:
    """Worker: CLASSIFY's way, and the rate of products of matrices."""
    import numpy as np
    import tensorflow as tf
    from clocks import WALL, best_of

    from cellquilt.networks.tile_network import TileNetwork, choose_batch_size
    from cellquilt.pixelcnn.classify import PixelClassifier, classify_box
    from cellquilt.pixelcnn.network import network_of
    from cellquilt.tiling.box import Box
    from cellquilt.training.pixel_classes import CELL, EDGE

    model, architecture, image = network_and_image()
    card = {"compartment": "whole-cell", "channels": ["nuclear"]}
    classifier = PixelClassifier([network_of(model, architecture, card)])
    network = TileNetwork(classifier, classifier.tile_shape, 2)
    choose_batch_size(network, "cpu")

    def classify(height):
        return classify_box(network, classifier.radius, image, Box(0, height, 0, WIDTH))

    classify(1)  # compiles
    best, maps = best_of(lambda: classify(HEIGHT), 1, WALL)
    rows, cols = sample()
    scores = np.zeros((BATCHED, 3), np.float32)
    scores[:, [CELL, EDGE]] = maps[:2, rows, cols].T
    scores[:, 0] = 1 - scores.sum(axis=1)
    np.save(Path(folder) / "ours.npy", scores)
    matrix = tf.random.stateless_uniform((MATRIX, MATRIX), (0, SEED))
    product, _ = best_of(lambda: tf.matmul(matrix, matrix).numpy(), 4, WALL)
    return {
        "seconds": best,
        "matmul_rate": 2 * MATRIX**3 / product,
        "flops_a_patch": architecture.flops_a_patch(1),
        "flops_a_pixel": architecture.flops_a_pixel(1),
    }


def compiled(model, batch_size: int):
    """Worker: the class probabilities of patches as one graph for batches of a size."""
    import tensorflow as tf

    signature = [tf.TensorSpec((batch_size, *model.input_shape[1:]), tf.float32)]
    return tf.function(
        lambda patches: tf.nn.softmax(model(patches)), input_signature=signature
    ).get_concrete_function()


def calls(folder: str) -> dict:
    """Worker: one patch per call of a graph."""
    import tensorflow as tf

    model, patches, where = sampled_patches()
    classify = compiled(model, 1)
    return one_by_one(folder, "calls", CALLS, patches, where, lambda p: classify(tf.constant(p)))


def predictions(folder: str) -> dict:
    """Worker: one patch per call of Keras's predict."""
    import tensorflow as tf

    model, patches, where = sampled_patches()

    def classify(patch):
        return tf.nn.softmax(model.predict(patch, verbose=0))

    return one_by_one(folder, "predictions", PREDICTIONS, patches, where, classify)


def one_by_one(folder: str, name: str, n: int, patches, where, classify) -> dict:
    """Time a function of one patch, and save the probabilities that it gives."""
    import numpy as np
    from clocks import WALL, best_of

    def run(places):
        return np.concatenate([classify(patches[y, x][None]).numpy() for y, x in places])

    run(where.T[:10])
    best, scores = best_of(lambda: run(where.T[:n]), 1, WALL)
    np.save(Path(folder) / f"{name}.npy", scores)
    return {"seconds": best / n * N_PIXELS, "n": n}


def batches(folder: str) -> dict:
    """Worker: patches in batches of the fastest of some sizes."""
    import numpy as np
    import tensorflow as tf
    from clocks import WALL, best_of

    model, patches, (rows, cols) = sampled_patches()
    graphs = {size: compiled(model, size) for size in BATCH_SIZES}

    def run(n, size):
        found = []
        for start in range(0, n, size):
            part = np.zeros((size, *patches.shape[2:]), np.float32)
            chosen = slice(start, min(start + size, n))
            part[: chosen.stop - start] = patches[rows[chosen], cols[chosen]]
            found.append(graphs[size](tf.constant(part)).numpy())
        return np.concatenate(found)[:n]

    tried = {}
    for size in BATCH_SIZES:
        run(size, size)
        tried[size], _ = best_of(lambda size=size: run(TRIED, size), 1, WALL)
    size = min(tried, key=tried.get)
    best, scores = best_of(lambda: run(BATCHED, size), 1, WALL)
    np.save(Path(folder) / "batches.npy", scores)
    return {"seconds": best / BATCHED * N_PIXELS, "n": BATCHED, "batch_size": size}


def compare(folder: str) -> dict:
    """Worker: how far our probabilities are from those of patches, by the way these were run."""
    import numpy as np

    ours = np.load(Path(folder) / "ours.npy")
    found = {}
    for name in ("calls", "predictions", "batches"):
        theirs = np.load(Path(folder) / f"{name}.npy")
        found[name] = float(np.abs(ours[: len(theirs)] - theirs).max())
    return found
