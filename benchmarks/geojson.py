"""GeoJSON of 100,000 real cells with 40 channels on one core, and the outlines in it.

The cells are those of the CODEX tile's published mask, repeated; a nucleus is a cell without its
outer two pixels. The numbers are random: real ones are no easier to compress.
"""

from pathlib import Path

from bench import SHARED, Bench, Row, Side

REPEATS, N_CHANNELS, LIMIT_S = (6, 7), 40, 60
MASK = SHARED / "codex_tile" / "mask_DeepCell-0.9.0_membrane.tif"


def rows(bench: Bench) -> list[Row]:
    outlines = bench.interleave(
        3, cpus=1, peer=Side("export", "find_contours"), ours=Side("export", "outlines")
    )
    path = bench.scratch / "cells.geojson.gz"
    written = bench.call("export", "write", cpus=1, path=path)
    found = bench.call("export", "check", path=path)
    n = written["n_cells"]
    return [
        Row(
            f"outlines of {outlines['ours']['n_cells']} cells",
            "scikit-image, find_contours of each object (corners cut)",
            outlines["ours"]["seconds"],
            outlines["peer"]["seconds"],
            None,
            "CPU time, one core",
        ),
        Row(
            f"GeoJSON of {n} cells with nuclei, {N_CHANNELS} channels",
            "",
            written["seconds"],
            None,
            found["equal"] and written["seconds"] <= LIMIT_S,
            f"CPU time, one core (target: at most {LIMIT_S} s); {found['plain_bytes'] / n:.0f} "
            f"bytes per cell, {found['packed_bytes'] / n:.0f} as written, with gzip; peak memory "
            f"{written['peak_gb']:.2f} GB, {written['masks_gb']:.2f} of it the masks; every "
            "outline is valid and has the area of its pixels",
        ),
    ]


class InMemory:
    """A mask as exports read it."""

    def __init__(self, labels):
        self.labels, self.shape = labels, labels.shape

    def read(self, y0, y1):
        """Return rows `y0` to `y1`, clipped to the image."""
        return self.labels[max(y0, 0) : y1]


def tile():
    """Return the mask with labels from 1 without gaps, (h, w) uint32."""
    import numpy as np
    import tifffile

    labels = tifffile.imread(MASK)
    _, ranks = np.unique(labels, return_inverse=True)
    return ranks.reshape(labels.shape).astype(np.uint32)


def repeated(labels):
    """Return the mask side by side with itself, `REPEATS` times, with new labels each time."""
    import numpy as np

    n, (down, across) = labels.max(), REPEATS
    whole = np.tile(labels, REPEATS)
    for k in range(down * across):
        y, x = (index * side for index, side in zip(divmod(k, across), labels.shape, strict=True))
        part = whole[y : y + labels.shape[0], x : x + labels.shape[1]]
        part[part > 0] += np.uint32(k * n)
    return whole


def find_contours() -> dict:
    """Worker: scikit-image's outlines, object by object."""
    import numpy as np
    from clocks import best_of
    from skimage import measure

    labels = tile()

    def outline():
        regions = measure.regionprops(labels)
        return [measure.find_contours(np.pad(region.image, 1), 0.5) for region in regions]

    return {"seconds": best_of(outline, 1)[0]}


def outlines() -> dict:
    """Worker: our outlines."""
    from clocks import best_of

    from cellquilt.images.polygons import trace

    labels = InMemory(tile())
    seconds, found = best_of(lambda: trace(labels), 5)
    return {"seconds": seconds, "n_cells": len(found.labels)}


def write(path: str) -> dict:
    """Worker: write the cells; means are generated on request, as if read."""
    import numpy as np
    import pandas as pd
    from clocks import best_of
    from scipy import ndimage as ndi

    from cellquilt.cells.cell_table import Cells
    from cellquilt.exports import geojson

    cell = tile()
    inside = ndi.minimum_filter(cell, 5) == ndi.maximum_filter(cell, 5)
    masks = {"cell": repeated(cell), "nucleus": repeated(np.where(inside, cell, 0))}
    n = int(masks["cell"].max())
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.uniform(0, 300, n) for name in geojson.MEASUREMENTS})
    rows = rows.assign(cell_id=np.arange(1, n + 1), status="matched")

    class Random(Cells):
        def means(self, compartment, measure="mean"):
            return rng.gamma(2, 300, (n, N_CHANNELS)).astype(np.float32)

    facts = {
        "sample": "codex",
        "segmenter": "mesmer",
        "channels": [{"column": f"marker {k}"} for k in range(N_CHANNELS)],
    }
    readers = {name: InMemory(labels) for name, labels in masks.items()}
    cells = Random(rows, facts, readers, Path("codex.parquet"), np.arange(n))
    seconds, written = best_of(lambda: geojson.write(cells, Path(path).parent), 1)
    written.rename(path)
    masks_gb = sum(labels.nbytes for labels in masks.values()) / 1e9
    return {"seconds": seconds, "n_cells": n, "masks_gb": masks_gb}


def check(path: str) -> dict:
    """Worker: read every feature; compare areas with the masks' pixels."""
    import gzip
    import json

    import numpy as np
    import shapely

    areas = np.bincount(tile().ravel())[1:]
    plain, n, equal = 0, 0, True
    with gzip.open(path, "rb") as lines:
        for line in lines:
            plain += len(line)
            if not line.startswith(b'{"type":"Feature",'):
                continue
            feature = json.loads(line.rstrip(b",\n"))
            geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
            equal &= geometry.is_valid and geometry.area == areas[n % len(areas)]
            n += 1
    equal = bool(equal) and n == len(areas) * REPEATS[0] * REPEATS[1]
    return {"equal": equal, "plain_bytes": plain, "packed_bytes": Path(path).stat().st_size}
