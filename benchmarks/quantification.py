"""QUANTIFY against scikit-image's regionprops_table in a loop over the channels; its memory.

The CODEX mosaic of 4,096 x 4,096 px with the 8 channels of the tile and Mesmer's cells in it.
Theirs holds everything in memory; ours starts from the files. For memory the channels are repeated,
or the mosaic vertically.
"""

from pathlib import Path

import fixtures
from bench import Bench, Row

SIDE, MPP = 4096, 0.5
SHAPES = (
    *("label", "area", "centroid", "axis_major_length", "axis_minor_length"),
    *("eccentricity", "solidity", "extent", "orientation"),
)
# Channels and how often the mosaic is repeated downwards; the first is the one that is timed.
MEASURES = ("median", "std", "p90", "max", "sum", "boundary")
SAMPLES = ((8, 1), (40, 1), (8, 4))


def rows(bench: Bench) -> list[Row]:
    maps = fixtures.maps(bench, f"mosaic {SIDE}", MPP)
    bench.call("runtime", "label_mosaic", maps=maps, folder=bench.scratch)
    found = {}
    for channels, times in SAMPLES:
        folder = bench.scratch / f"{channels}x{times}"
        bench.call("runtime", "write_sample", folder=folder, channels=channels, times=times)
        found[channels, times] = quantify(
            bench, folder, repeat=3 if (channels, times) == SAMPLES[0] else 1
        )
    (channels, times), most = SAMPLES[1], ",".join(MEASURES)
    folder = bench.scratch / f"{channels}x{times}"
    all_of_them = quantify(bench, folder, 1, "--measures", most)
    first = bench.scratch / "8x1"
    theirs = bench.call("runtime", "peer", cpus=1, folder=first)
    best = found[SAMPLES[0]]
    what = f"all cells of {SIDE}^2 px, 8 channels"
    note = (
        f"CPU time, one core; {theirs['n_cells']} cells; theirs: shapes {theirs['shapes']:.0f} s, "
        f"means {theirs['means']:.0f} s, of cells, nuclei and cytoplasm, without reading; ours "
        "with decoding and writing; equal to 1e-6"
    )
    return [
        Row(
            what,
            "scikit-image, regionprops_table, one call per channel",
            best["seconds"],
            theirs["seconds"],
            theirs["equal"],
            note,
            20,
        ),
        *(memory_row(channels, times, found, theirs["n_cells"]) for channels, times in SAMPLES[1:]),
        Row(
            f"all measures and the ring, {channels} channels",
            "Cellquilt, the mean alone",
            all_of_them["seconds"],
            found[channels, times]["seconds"],
            None,  # tests compare them with numpy
            f"peak memory {all_of_them['peak_gb']:.2f} GB",
            1 / 3,
        ),
    ]


def memory_row(channels: int, times: int, found: dict, n_cells: int) -> Row:
    peak, least = found[channels, times]["peak_gb"], found[SAMPLES[0]]["peak_gb"]
    more = (times - 1) * n_cells
    cost = f"; {(peak - least) * 1e9 / more:.0f} bytes per cell" if more else ""
    return Row(
        f"memory with {channels} channels, {SIDE * times} rows",
        "",
        found[channels, times]["seconds"],
        None,
        peak < least * 1.1 + more * 1000 / 1e9,
        f"peak memory {peak:.2f} GB; {least:.2f} GB with 8 channels, {SIDE} rows{cost}",
    )


def quantify(bench: Bench, folder: Path, repeat: int, *options: str) -> dict:
    """REPAIR and QUANTIFY a sample; return the fastest report of QUANTIFY, on one core."""
    masks = folder / "segmentation" / "mesmer-sample"
    bench.step(
        "repair", "--cell", masks / "cell_original.ome.tif",
        "--nucleus", masks / "nucleus_original.ome.tif",
        "--facts", folder / "sample.json", "--outdir", folder,
    )  # fmt: skip
    reports = [
        bench.step(
            "quantify", "--image", folder / "slide.ome.tif", "--facts", folder / "sample.json",
            "--provenance", folder / "provenance.json", "--uncertified", folder / "uncertified.csv",
            "--matches", folder / "matches.csv", "--masks", *sorted(masks.glob("*.ome.tif")),
            "--outdir", folder, *options, cpus=1,
        )
        for _ in range(repeat)
    ]  # fmt: skip
    return min(reports, key=lambda report: report["seconds"])


def label_mosaic(maps: str, folder: str) -> None:
    """Worker: label cells and nuclei of the mosaic."""
    import numpy as np
    from fixtures import image_maps

    from cellquilt.labelling.watershed import label_cells, smooth
    from cellquilt.segmenters.mesmer import THRESHOLDS

    planes = image_maps(Path(maps))
    for name, limits, (maxima, interior) in (
        ("cell", THRESHOLDS["cell"], planes[:2]),
        ("nucleus", THRESHOLDS["nucleus"], planes[2:]),
    ):
        labels, _ = label_cells(np.ascontiguousarray(maxima), smooth(interior, limits), limits)
        np.save(Path(folder) / f"{name}.npy", labels)


def channels_of(n: int):
    """Worker: yield `n` channels of the mosaic, those of the tile again and again."""
    import numpy as np
    import tifffile

    tile = tifffile.imread(fixtures.SHARED / "codex_tile" / "codex_tile.ome.tif")
    repeats = [-(-SIDE // side) for side in tile.shape[1:]]
    for k in range(n):
        yield np.tile(tile[k % len(tile)], repeats)[:SIDE, :SIDE]


def write_sample(folder: str, channels: int, times: int) -> None:
    """Worker: write what STITCH and INGEST would of the mosaic, `times` below each other."""
    import json

    import numpy as np
    import tifffile

    from cellquilt.images.label_image import masks_folder, write_label_image

    out, names = Path(folder), [f"channel {k}" for k in range(channels)]
    masks = masks_folder(out, "sample", "mesmer")
    masks.mkdir(parents=True)
    for name in ("cell", "nucleus"):
        labels = np.load(out.parent / f"{name}.npy").astype(np.uint32)
        offset = labels.max()
        tall = np.concatenate([np.where(labels, labels + k * offset, 0) for k in range(times)])
        write_label_image(masks / f"{name}_original.ome.tif", tall, MPP, f"{name}_original")

    def tiles():
        for plane in channels_of(channels):
            for y in range(0, SIDE * times, 512):
                band = plane[y % SIDE : y % SIDE + 512]
                yield from (band[:, x : x + 512] for x in range(0, SIDE, 512))

    with tifffile.TiffWriter(out / "slide.ome.tif", bigtiff=True, ome=True) as tiff:
        tiff.write(
            tiles(), shape=(channels, SIDE * times, SIDE), dtype=np.uint16, tile=(512, 512),
            compression="zlib", photometric="minisblack",
            metadata={"axes": "CYX", "Channel": {"Name": names}},
        )  # fmt: skip
    image = {"name": "slide.ome.tif", "height": SIDE * times, "width": SIDE, "channels": names}
    facts = {"sample": "sample", "image": image, "image_mpp": MPP}
    (out / "sample.json").write_text(json.dumps(facts))
    (out / "provenance.json").write_text('{"steps": []}')
    (out / "uncertified.csv").write_text("compartment,label\n")


def peer(folder: str) -> dict:
    """Worker: the usual way, as MCQuant has it: shapes once, then one call per channel and mask."""
    import time

    import numpy as np
    from skimage.measure import regionprops_table

    from cellquilt.cells import cell_table
    from cellquilt.images.label_image import LabelReader, masks_folder

    masks = {}
    for name in ("cell", "nucleus", "cytoplasm"):
        with LabelReader(
            masks_folder(Path(folder), "sample", "mesmer") / f"{name}.ome.tif"
        ) as labels:
            masks[name] = labels.read(0, SIDE)
    planes = list(channels_of(8))
    rows = cell_table.read(Path(folder) / "quantification" / "sample.parquet")
    rows = rows[rows["status"] == "matched"]

    start = time.process_time()
    shapes = {n: regionprops_table(masks[n], properties=SHAPES) for n in ("cell", "nucleus")}
    shaped = time.process_time()
    means = {
        (name, k): regionprops_table(labels, plane, properties=("label", "intensity_mean"))
        for name, labels in masks.items()
        for k, plane in enumerate(planes)
    }
    end = time.process_time()

    equal = all(
        np.allclose(rows[f"{name}_mean_channel {k}"], found["intensity_mean"], rtol=1e-6)
        for (name, k), found in means.items()
    ) and all(
        np.allclose(rows[f"{name}_{ours}"].to_numpy("float64"), shapes[name][theirs], rtol=1e-6)
        for name in shapes
        for ours, theirs in (("solidity", "solidity"), ("major_axis_px", "axis_major_length"))
    )
    times = {"shapes": shaped - start, "means": end - shaped, "seconds": end - start}
    return {"n_cells": len(rows), "equal": bool(equal), **times}
