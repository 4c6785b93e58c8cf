"""SEGMENT beside a device that takes no processor time: how long that stands idle.

The device is a stand-in that sleeps a fixed time a tile and gives back the maps of a real tile,
those of a smaller mosaic over and over.
"""

import itertools
import time
from pathlib import Path

import fixtures
from bench import Bench, Row

SLIDE, RECORDED = "mosaic 9216", "mosaic 4096"
TILE, STRIDE, BATCH = 256, 192, 16
PATCH_SIZE, ONE_TASK = 1536, 1_000_000
CASES = [(10, 2), (10, 1), (10, 4), (5, 2), (2, 2)]  # milliseconds a tile, labelling processes


def rows(bench: Bench) -> list[Row]:
    maps = fixtures.maps(bench, RECORDED, 0.5) / "whole.maps.zip"
    ingested = bench.scratch / "ingested"
    fixtures.ingest(bench, fixtures.slide(bench, SLIDE, 0.5), ingested)
    (pixels,) = fixtures.patch(bench, ingested, bench.scratch / "cut", PATCH_SIZE, ONE_TASK)
    alone = bench.call("runtime", "read_and_blend", pixels=pixels, maps=maps)
    stores = {"pixels": pixels, "maps": maps, "labels": bench.scratch / "labels.zip"}
    return [row_of(bench, stores, alone, *case) for case in CASES]


def row_of(bench: Bench, stores: dict, alone: dict, milliseconds: int, n_processes: int) -> Row:
    given = {"milliseconds": milliseconds, "n_processes": n_processes}
    found = bench.call("runtime", "stand_in", **stores, **given)
    n_tiles = found["n_tiles"]
    note = (
        f"wall, {n_tiles} tiles in batches of {BATCH}, cells and nuclei labelled by {n_processes} "
        f"processes; the device is busy {found['busy']:.0%} of the time from its first batch to "
        f"its last; processor time a tile {1e3 * found['cpu_s'] / n_tiles:.2f} ms, "
        f"{1e3 * alone['read_s'] / n_tiles:.2f} of it reading, "
        f"{1e3 * alone['blend_s'] / n_tiles:.2f} blending and "
        f"{1e3 * found['label_cpu_s'] / n_tiles:.2f} labelling; "
        f"{found['bytes'] / found['n_pixels']:.2f} bytes a pixel leave it"
    )
    return Row(
        f"SEGMENT, a device of {milliseconds} ms a tile, {n_processes} labelling processes",
        "the device's own time",
        found["seconds"],
        n_tiles * milliseconds / 1e3,
        None,
        note,
        0.8 if (milliseconds, n_processes) == (10, 2) else None,
    )


class Recorded:
    """Worker: the maps of real tiles."""

    def __init__(self, maps: str):
        import numpy as np

        from cellquilt.handoff import stores

        with stores.read(Path(maps)) as task:
            self._maps = np.moveaxis(task["maps"][:], 0, -1).copy()

    def of(self, tile: tuple[int, int]):
        """Return the maps of a tile of the lattice, (256, 256, 4) float32."""
        y, x = (
            n % ((size - TILE) // STRIDE + 1) * STRIDE
            for n, size in zip(tile, self._maps.shape, strict=False)
        )
        return self._maps[y : y + TILE, x : x + TILE]


def read_and_blend(pixels: str, maps: str) -> dict:
    """Worker: time both alone."""
    import numpy as np

    from cellquilt.handoff import stores
    from cellquilt.networks.task_tiles import BlendedTiles

    class Nowhere:
        shape = (4, 0, 0)

        def write(self, *_: object) -> None:
            pass

    recorded = Recorded(maps)
    with stores.read(Path(pixels)) as task:
        tiles = BlendedTiles(task)
        wanted = tiles.tiles()
        # as many as a batch, side by side as the network gives them
        batch = [np.ascontiguousarray(recorded.of(tile)) for tile in wanted[:BATCH]]
        start = time.process_time()
        for tile in wanted:
            tiles.read(tile)
        between = time.process_time()
        rows = tiles.collect(Nowhere())
        for tile, output in zip(wanted, itertools.cycle(batch), strict=False):
            rows.add(tile, output)
        rows.close()
        end = time.process_time()
    return {"read_s": between - start, "blend_s": end - between}


def stand_in(pixels: str, maps: str, labels: str, milliseconds: int, n_processes: int) -> dict:
    """Worker: have SEGMENT's function label the patches of a task by a device that only waits."""
    import resource

    import numpy as np

    from cellquilt.compartments import PLURALS
    from cellquilt.handoff import stores
    from cellquilt.labelling.arriving import labelled
    from cellquilt.labelling.label import Wanted
    from cellquilt.networks.segment import Segmenter, segment
    from cellquilt.networks.task_tiles import BlendedTiles
    from cellquilt.networks.tile_network import TileNetwork
    from cellquilt.segmenters.mesmer import COMPARTMENTS
    from cellquilt.tiling.task_store import patches_of

    recorded, worked = Recorded(maps), []
    with stores.read(Path(pixels)) as task:
        wanted = BlendedTiles(task).tiles()
        n_pixels = sum((p.y1 - p.y0) * (p.x1 - p.x0) for p in patches_of(dict(task.attrs)))
    n_tiles, coming = len(wanted), iter(wanted)

    class StandIn(TileNetwork):
        def _call(self, tiles):
            start = time.perf_counter()
            time.sleep(milliseconds / 1e3 * len(tiles))
            worked.append((start, time.perf_counter()))
            found = [recorded.of(tile) for tile in itertools.islice(coming, len(tiles))]
            return np.stack(found + found[-1:] * (len(tiles) - len(found)))

    mesmer = Segmenter("mesmer", "SEGMENT", {}, 4, COMPARTMENTS)
    network = StandIn(None, (256, 256, 2), BATCH)
    start, cpu = time.perf_counter(), time.process_time()
    destination = labelled(Path(labels), Wanted(tuple(PLURALS), {}), n_processes)
    segment(Path(pixels), network, BlendedTiles, mesmer, "a stand-in", destination)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = sum(end - begin for begin, end in worked) / (worked[-1][1] - worked[0][0])
    return {
        "seconds": seconds,
        "cpu_s": cpu,
        "label_cpu_s": children.ru_utime + children.ru_stime,
        "n_tiles": n_tiles,
        "n_pixels": n_pixels,
        "bytes": Path(labels).stat().st_size,
        "busy": busy,
    }
