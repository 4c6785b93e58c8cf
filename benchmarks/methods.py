"""Speed of another method: StarDist in Rust (cellcast) against Cellquilt from image to nuclei.

It segments only nuclei, and differently, so equality is not checked; it shows the speed of a
small network of another kind.
"""

from pathlib import Path

import fixtures
from bench import Bench, Row, WorkerError


def rows(bench: Bench) -> list[Row]:
    work, peer = "CODEX tile to labels", "cellcast, StarDist2D on CPU (nuclei only)"
    pixels = bench.scratch / "nuclear.npy"
    bench.call("runtime", "save_nuclear", pixels=pixels)
    try:
        theirs = bench.call("peers", "stardist", pixels=pixels)
    except WorkerError as error:
        if "Failed to get a response" not in str(error):
            raise
        why = "not measured: cellcast downloads its weights from a host that cannot be reached here"
        return [Row(work, peer, None, None, None, why)]
    steps = segment_slide(bench, fixtures.slide(bench, "tile", 0.5))
    note = f"wall; another method: {theirs['n']} nuclei of its own; ours gives cells and nuclei"
    return [Row(work, peer, steps, theirs["seconds"], None, note)]


def segment_slide(bench: Bench, image: Path) -> float:
    """Return the seconds of the steps from a slide to labels, without their start-up."""
    ingested, tasks = bench.scratch / "ingested", bench.scratch / "tasks"
    taken = fixtures.ingest(bench, image, ingested)["seconds"]
    for pixels in fixtures.patch(bench, ingested, tasks, 1536, 16):
        maps, labels = (
            pixels.with_name(pixels.name.replace("pixels", name)) for name in ("maps", "labels")
        )
        taken += fixtures.segment(bench, pixels, maps)["seconds"]
        taken += bench.step("label", "--maps", maps, "--labels", labels)["seconds"]
    start = fixtures.start_of_segment(bench)
    return taken - start["import_s"] - start["load_s"]


def save_nuclear(pixels: str) -> None:
    """Worker: save the nuclear channel."""
    import numpy as np
    from fixtures import image_of

    np.save(pixels, image_of("tile")[..., 0].astype(np.float32))


def stardist(pixels: str) -> dict:
    """Worker: cellcast, with the weights that it fetches by itself."""
    import numpy as np
    from cellcast.models import StarDist2D
    from clocks import WALL, best_of

    nuclear = np.load(pixels)
    model = StarDist2D.init_fluo(gpu=False)
    best, labels = best_of(lambda: model.predict_fluo(nuclear), 2, WALL)
    return {"seconds": best, "n": int(np.max(labels))}
