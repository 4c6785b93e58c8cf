"""SEGMENT beside a device that takes no processor time: how long that stands idle.

The device is a stand-in that sleeps a fixed time a tile and gives back recorded real maps.
"""

import time
from pathlib import Path

import fixtures
from bench import Bench, Row

SLIDE = "mosaic 4096"
BATCH = 16
MILLISECONDS = (10, 5, 2)  # a tile on its device


def rows(bench: Bench) -> list[Row]:
    folder = fixtures.maps(bench, SLIDE, 0.5)
    alone = bench.call("runtime", "read_and_blend", folder=folder)
    return [row_of(bench, folder, alone, milliseconds) for milliseconds in MILLISECONDS]


def row_of(bench: Bench, folder: Path, alone: dict, milliseconds: int) -> Row:
    found = bench.call("runtime", "stand_in", folder=folder, milliseconds=milliseconds)
    n_tiles = found["n_tiles"]
    note = (
        f"wall, {n_tiles} tiles in batches of {BATCH}; the device is busy {found['busy']:.0%} of "
        f"the time from its first batch to its last; processor time a tile "
        f"{1e3 * found['cpu_s'] / n_tiles:.2f} ms with writing the maps, "
        f"{1e3 * alone['read_s'] / n_tiles:.2f} of it reading and "
        f"{1e3 * alone['blend_s'] / n_tiles:.2f} blending"
    )
    return Row(
        f"SEGMENT, a device of {milliseconds} ms a tile",
        "the device's own time",
        found["seconds"],
        n_tiles * milliseconds / 1e3,
        None,
        note,
        0.8 if milliseconds == MILLISECONDS[0] else None,
    )


def store_of(folder: str) -> Path:
    """Worker: the only task's store of pixels."""
    (path,) = (Path(folder) / "patches").glob("*.pixels.zip")
    return path


def recorded(folder: str):
    """Worker: a batch of real maps, (n, 256, 256, 4) float32."""
    import numpy as np

    maps = fixtures.image_maps(folder)
    corners = [(y, x) for y in range(0, 1024, 256) for x in range(0, 1024, 256)][:BATCH]
    cut = [maps[:, y : y + 256, x : x + 256] for y, x in corners]
    return np.ascontiguousarray(np.moveaxis(np.stack(cut), 1, -1))


def read_and_blend(folder: str) -> dict:
    """Worker: time both alone, without the maps' store."""
    from cellquilt.handoff import stores
    from cellquilt.networks.task_tiles import BlendedTiles

    class Nowhere:
        shape = (4,)

        def __setitem__(self, *_: object) -> None:
            pass

    batch = recorded(folder)
    with stores.read(store_of(folder)) as task:
        tiles = BlendedTiles(task)
        wanted = tiles.tiles()
        start = time.process_time()
        for tile in wanted:
            tiles.read(tile)
        between = time.process_time()
        rows = tiles.collect(Nowhere())
        for number, tile in enumerate(wanted):
            rows.add(tile, batch[number % BATCH])
        rows.close()
        end = time.process_time()
    return {"read_s": between - start, "blend_s": end - between}


def stand_in(folder: str, milliseconds: int) -> dict:
    """Worker: have SEGMENT's function write the maps of a task by a device that only waits."""
    from cellquilt.handoff import stores
    from cellquilt.networks.segment import Segmenter, segment
    from cellquilt.networks.task_tiles import BlendedTiles
    from cellquilt.networks.tile_network import TileNetwork
    from cellquilt.segmenters.mesmer import COMPARTMENTS

    batch, path = recorded(folder), store_of(folder)
    worked = []

    class StandIn(TileNetwork):
        def _call(self, tiles):
            start = time.perf_counter()
            time.sleep(milliseconds / 1e3 * len(tiles))
            worked.append((start, time.perf_counter()))
            return batch[: len(tiles)]

    with stores.read(path) as task:
        n_tiles = len(BlendedTiles(task).tiles())
    mesmer = Segmenter("mesmer", "SEGMENT", {}, 4, COMPARTMENTS)
    network = StandIn(None, (256, 256, 2), BATCH)
    start, cpu = time.perf_counter(), time.process_time()
    segment(path, network, BlendedTiles, mesmer, "a stand-in", Path("maps.zip"))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    batches = worked[-n_tiles // BATCH :]  # those before are of constant tiles
    spent = sum(end - begin for begin, end in batches)
    busy = spent / (batches[-1][1] - batches[0][0])
    return {"seconds": seconds, "cpu_s": cpu, "n_tiles": n_tiles, "busy": busy}
