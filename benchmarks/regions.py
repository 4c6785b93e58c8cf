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
PATCH_SIZES = (1536, 768)  # a fourth of which those of regions have
# Centres and radii of cores of a tissue microarray, or how many polygons with random corners
REGIONS = {
    "one disc of 1 mm": [(1500, 1500, 1000)],
    "a TMA of 12 discs of 0.5 mm": [
        (y, x, 500) for y in (900, 2900, 4900) for x in (750, 2250, 3750, 5250)
    ],
    "5 random polygons": 5,
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


def write_regions(path: Path, places: list | int) -> float:
    """Write discs, or so many random polygons, as GeoJSON; return their part of the area."""
    import math
    import random

    import shapely

    chance = random.Random(7)
    if isinstance(places, int):
        middles = [[chance.uniform(600, SIDE - 600) for _ in "yx"] for _ in range(places)]
        turns = [sorted(math.tau * chance.random() for _ in range(9)) for _ in middles]
        rings = [[(turn, chance.uniform(200, 1000)) for turn in of_one] for of_one in turns]
    else:
        middles = [place[:2] for place in places]
        rings = [[(math.tau * k / 64, radius) for k in range(64)] for *_, radius in places]
    features, outlines = [], []
    for number, ((y, x), ring) in enumerate(zip(middles, rings, strict=True)):
        corners = [[x + r * math.cos(a), y + r * math.sin(a)] for a, r in [*ring, ring[0]]]
        outlines.append(shapely.Polygon(corners))
        geometry = {"type": "Polygon", "coordinates": [corners]}
        name = {"name": f"region {number}"}
        features.append({"type": "Feature", "geometry": geometry, "properties": name})
    path.write_text(json.dumps(features))
    slide = shapely.box(0, 0, SIDE, SIDE)
    return (shapely.union_all(outlines) & slide).area / SIDE**2
