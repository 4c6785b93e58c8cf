"""A slide of which regions of interest are wanted, against all of it: SEGMENT's time by area.

And whether the cells and nuclei of the regions are those of the whole slide, to the pixel.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import fixtures
from bench import Bench, Row

SIDE, MPP = 6144, 0.5
COMPARTMENTS = ("cell", "nucleus")
PATCH_SIZES = (1536, 384)
# Of the slide: a core of a tissue microarray, a region that a pathologist draws, half of it
REGIONS = {
    "one disc of 1 mm": [(1500, 1500, 1000)],
    "four discs of 0.6 mm": [(y, x, 600) for y in (1200, 4700) for x in (1200, 4700)],
    "half of it": [(0, 0, None)],
}


def rows(bench: Bench) -> Iterator[Row]:
    slide = fixtures.slide(bench, f"mosaic {SIDE}", MPP)
    whole = {size: segmented(bench, slide, size, None) for size in PATCH_SIZES}
    for number, (title, places) in enumerate(REGIONS.items()):
        roi = bench.scratch / f"{number}.geojson"
        area = write_regions(roi, places)
        for size in PATCH_SIZES:
            part = segmented(bench, slide, size, roi)
            given = {"part": part["folder"], "whole": whole[size]["folder"]}
            same = bench.call("runtime", "compare", **given)
            yield Row(
                f"SEGMENT of {title} in {SIDE:,}^2 px, patches of {size} px",
                "all of the slide",
                part["cpu_s"],
                whole[size]["cpu_s"],
                same["n"] > 0 and same["n_different"] == same["n_doubtful"] == 0,
                f"processor time; {area:.0%} of the area, {part['pixels'] / SIDE**2:.0%} is "
                f"segmented, in {part['cpu_s'] / whole[size]['cpu_s']:.0%} of the time; of "
                f"{same['n']:,} cells and nuclei in the regions {same['n_different']} differ from "
                f"those of the whole slide and {same['n_doubtful']} are not tiling verified",
            )


def segmented(bench: Bench, slide: Path, patch_size: int, roi: Path | None) -> dict:
    """Segment a slide; return SEGMENT's processor time, the pixels of its patches, and the folder.

    The folder has what STITCH writes of the sample.
    """
    folder = bench.scratch / f"{patch_size}-{roi.stem if roi else 'whole'}"
    cut = folder / "cut"
    cut.mkdir(parents=True)
    bench.step(
        "ingest", "--sample", "codex", "--image", slide, "--nuclear", "nuclear", "--membrane",
        "membrane", *(["--roi", roi] if roi else []), "--outdir", folder,
    )  # fmt: skip
    bench.step(
        "patch", "--store", folder / "normalised.zip", "--patch_size", patch_size,
        "--table", folder / "patches.csv", "--outdir", cut,
    )  # fmt: skip
    found, cpu_s = bench.call("runtime", "count", table=folder / "patches.csv"), 0.0
    for pixels in sorted(cut.glob("*.pixels.zip")):
        maps = cut / pixels.name.replace("pixels", "maps")
        cpu_s += fixtures.segment(bench, pixels, maps)["cpu_s"]
        bench.step("label", "--maps", maps, "--labels", cut / maps.name.replace("maps", "labels"))
        maps.unlink()
        pixels.unlink()
    bench.step(
        "stitch", "--facts", folder / "sample.json", "--patches", folder / "patches.csv",
        "--labels", *sorted(cut.glob("*.labels.zip")), "--outdir", folder,
    )  # fmt: skip
    return found | {"cpu_s": cpu_s, "folder": folder}


def count(table: str) -> dict:
    """Worker: how many pixels the patches have that are segmented."""
    import pandas as pd

    patches = pd.read_csv(table).query("task >= 0")
    return {"pixels": int((patches["height"] * patches["width"]).sum())}


def compare(part: str, whole: str) -> dict:
    """Worker: how many objects of regions there are, and how many are not those of all."""
    import numpy as np
    import pandas as pd
    import tifffile

    found = {"n": 0, "n_different": 0, "n_doubtful": 0}
    inside = pd.read_csv(Path(part) / "regions.csv").dropna(subset="roi")
    doubtful = pd.read_csv(Path(part) / "uncertified.csv")
    for compartment in COMPARTMENTS:
        name = f"segmentation/mesmer-codex/{compartment}_original.ome.tif"
        ours, theirs = (tifffile.imread(Path(folder) / name).ravel() for folder in (part, whole))
        sizes, sizes_of_all = np.bincount(ours), np.bincount(theirs)
        # An object is the same if all its pixels, and no others, have one label in the other mask
        both, shared = np.unique((np.int64(ours) << 32) | theirs, return_counts=True)
        label, other = both >> 32, both & 0xFFFFFFFF
        same = label[(other > 0) & (shared == sizes[label]) & (shared == sizes_of_all[other])]
        wanted = inside.loc[inside["compartment"] == compartment, "label"]
        listed = doubtful.loc[doubtful["compartment"] == compartment, "label"]
        found["n"] += len(wanted)
        found["n_different"] += int((~wanted.isin(same)).sum())
        found["n_doubtful"] += int(wanted.isin(listed).sum())
    return found


def write_regions(path: Path, places: list) -> float:
    """Write discs, or the upper half of the slide, as GeoJSON; return their part of its area."""
    import math

    features, area = [], 0.0
    for number, (y, x, radius) in enumerate(places):
        if radius is None:
            ring = [[0, 0], [SIDE, 0], [SIDE, SIDE / 2], [0, SIDE / 2], [0, 0]]
            area += SIDE**2 / 2
        else:
            turn = [math.tau * k / 64 for k in (*range(64), 0)]
            ring = [[x + radius * math.cos(a), y + radius * math.sin(a)] for a in turn]
            area += math.pi * radius**2
        geometry = {"type": "Polygon", "coordinates": [ring]}
        name = {"name": f"region {number}"}
        features.append({"type": "Feature", "geometry": geometry, "properties": name})
    path.write_text(json.dumps(features))
    return area / SIDE**2
