"""LABEL's cost per pixel at 16,384 x 16,384 px against 1,024 x 1,024 px, one compartment."""

from pathlib import Path

import fixtures
from bench import Bench, Row

SMALL, LARGE = 1024, 16384
PATCH_SIZE, HALO = 1536, 96  # the pipeline's defaults


def rows(bench: Bench) -> list[Row]:
    source = fixtures.maps(bench, "mosaic 4096", 0.5)
    cost = {}
    for side, repeats in ((SMALL, 5), (LARGE, 1)):
        maps = bench.scratch / f"{side}.maps.zip"
        bench.call("runtime", "tile_maps", source=source, side=side, target=maps)
        run = bench.call("runtime", "label_maps", cpus=1, maps=maps, repeats=repeats)
        cost[side] = run["seconds"] / (side**2 / 1e6)
        maps.unlink()
    return [
        Row(
            f"LABEL of whole cells, seconds per Mpx at {LARGE}^2 px",
            f"the same at {SMALL}^2 px, one patch without halo",
            cost[LARGE],
            cost[SMALL],
            None,
            "CPU time, one core, reading and writing included; "
            f"{cost[LARGE] / cost[SMALL]:.2f} times the cost of the small image (target: at "
            f"most 1.3), patches of {PATCH_SIZE} px with a halo of {HALO} px; real "
            "maps of the mosaic, repeated",
            1 / 1.3,
        )
    ]


def tile_maps(source: str, side: int, target: str) -> None:
    """Worker: write one task for a slide of `side` px: the mosaic's whole-cell maps, repeated."""
    from dataclasses import asdict

    from fixtures import image_maps

    from cellquilt.handoff import stores
    from cellquilt.tiling.lattice import STRIDE, plan
    from cellquilt.tiling.patches import plan_patches

    maps = image_maps(Path(source))[:2]
    lattice = plan(side, side)
    n_rows, n_cols = lattice.rows.n_tiles, lattice.cols.n_tiles
    with stores.read(Path(source) / "whole.maps.zip") as task:
        attributes = dict(task.attrs)
    attributes["facts"]["image"] |= {"height": side, "width": side}
    attributes |= {
        "halo": HALO,
        "patches": [asdict(patch) for patch in plan_patches(lattice, PATCH_SIZE)],
        "tile_rows": [0, n_rows],
        "tile_cols": [0, n_cols],
        "tiles": [(row, col) for row in range(n_rows) for col in range(n_cols)],
    }
    rows, cols = (axis.source(0, axis.padded) for axis in (lattice.rows, lattice.cols))
    with stores.create(Path(target), attributes) as store:
        shape = (4, rows.size, cols.size)
        array = stores.new_array(store, "maps", shape, "float32", (1, STRIDE, stores.CHUNK))
        for top in range(0, rows.size, STRIDE):
            band = rows[top : top + STRIDE]
            values = maps[:, band % maps.shape[1]][:, :, cols % maps.shape[2]]
            array[:2, top : top + STRIDE] = values * ((band >= 0)[:, None] & (cols >= 0))


def label_maps(maps: str, repeats: int) -> dict:
    """Worker: LABEL the whole cells of a task."""
    from clocks import best_of

    from cellquilt.labelling.label import Wanted, label

    labels = Path(maps).with_name("labels.zip")
    cells = Wanted(("cell",), {})
    return {"seconds": best_of(lambda: label(Path(maps), cells, labels), repeats)[0]}
