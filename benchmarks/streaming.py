"""Memory: a generated slide of 20,000 x 20,000 px through every step except the network.

The network's maps are replaced by maps made from the ground truth, in the format of SEGMENT. The
slide is a tissue of 2,500 x 2,500 px, repeated. One process per step; LABEL once per task.
"""

from pathlib import Path

from bench import Bench, Row

SIDE, PERIOD, MPP = 20_000, 2_500, 0.5
LIMIT_GB = 4 * 2**30 / 1e9
CHANNELS = {"DAPI": 0, "PanCK": 2}


def rows(bench: Bench) -> list[Row]:
    folder, out = bench.scratch, bench.scratch / "slide"
    slide, table, facts = folder / "slide.ome.tif", folder / "patches.csv", out / "sample.json"
    bench.call("runtime", "write_slide", path=slide)
    taken: dict[str, list[dict]] = {}

    def step(script: str, *arguments: object) -> None:
        taken.setdefault(script.upper(), []).append(bench.step(script, *arguments))

    store, masks = out / "normalised.zip", out / "segmentation" / "mesmer-slide"
    step(
        "ingest", "--sample", "slide", "--image", slide, "--nuclear", "DAPI",
        "--membrane", "PanCK", "--outdir", out,
    )  # fmt: skip
    step("patch", "--store", store, "--table", table, "--outdir", folder)
    labels = []
    for pixels in sorted(folder.glob("task-*.pixels.zip")):
        maps, labelled = (
            pixels.with_name(pixels.name.replace("pixels", name)) for name in ("maps", "labels")
        )
        bench.call("runtime", "write_maps", pixels=pixels, target=maps, truth=folder / "maps.npy")
        step("label", "--maps", maps, "--labels", labelled)
        maps.unlink()
        labels.append(labelled)
    step("stitch", "--facts", facts, "--patches", table, "--labels", *labels, "--outdir", out)
    step(
        "repair", "--cell", masks / "cell_original.ome.tif",
        "--nucleus", masks / "nucleus_original.ome.tif",
        "--uncertified", out / "uncertified.csv", "--facts", facts, "--outdir", out,
    )  # fmt: skip
    images = sorted(masks.glob("*.ome.tif"))
    step(
        "quantify", "--image", slide, "--facts", facts, "--provenance", out / "provenance.json",
        "--uncertified", out / "uncertified.csv", "--matches", out / "matches.csv",
        "--patches", out / "patches_metadata.csv",
        "--masks", *images, "--outdir", out,
    )  # fmt: skip
    step(
        "draw", "--store", store, "--table", out / "quantification" / "slide.parquet",
        "--patches", out / "patches_metadata.csv", "--provenance", out / "provenance.json",
        "--counts", out / "stitch.json", out / "repair_metrics.json",
        "--masks", *images, "--outdir", out,
    )  # fmt: skip
    return [row_of(name, reports) for name, reports in taken.items()]


def row_of(name: str, reports: list[dict]) -> Row:
    peak = max(report["peak_gb"] for report in reports)
    return Row(
        f"{name} of {SIDE}^2 px",
        "",
        sum(report["seconds"] for report in reports),
        None,
        peak <= LIMIT_GB,
        f"{len(reports)} task{'s' * (len(reports) > 1)}, wall; peak memory of a task "
        f"{peak:.2f} GB (target: at most {LIMIT_GB:.2f}), pages of mapped files included",
    )


def write_slide(path: str) -> None:
    """Worker: write the slide, and beside it the maps that stand for the network's."""
    import numpy as np
    import tifffile

    from cellquilt.synthetic.tissue import generate_tissue

    tissue = generate_tissue(PERIOD, PERIOD, seed=7, empty_width=0)
    np.save(Path(path).with_name("maps.npy"), true_maps(tissue))
    planes = tissue.image[list(CHANNELS.values())]

    def tiles():
        for plane in planes:
            for y in range(0, SIDE, 512):
                rows = np.arange(y, min(y + 512, SIDE)) % PERIOD
                for x in range(0, SIDE, 512):
                    yield plane[np.ix_(rows, np.arange(x, min(x + 512, SIDE)) % PERIOD)]

    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    metadata |= {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        tiff.write(
            tiles(), shape=(len(planes), SIDE, SIDE), dtype=np.uint16, tile=(512, 512),
            compression="zlib", photometric="minisblack", metadata=metadata, buffersize=1 << 25,
        )  # fmt: skip


def true_maps(tissue):
    """Return maps that Mesmer might give of the truth, (4, h, w) float32, in SEGMENT's order."""
    import numpy as np
    from scipy import ndimage as ndi

    from cellquilt.images.label_rows import boundaries

    maps = []
    for labels in (tissue.cell_truth, tissue.nucleus_truth):
        depth = ndi.distance_transform_edt((labels > 0) & (boundaries(labels) == 0))
        deepest = np.maximum(ndi.maximum(depth, labels, np.arange(labels.max() + 1)), 1)
        maps.append(ndi.gaussian_filter(depth / deepest[labels] * (labels > 0), 1))
        maps.append(ndi.gaussian_filter((labels > 0).astype(np.float32), 1))
    return np.stack(maps).astype(np.float32)


def write_maps(pixels: str, target: str, truth: str) -> None:
    """Worker: write a task's store of maps, as SEGMENT does; 0 in the lattice's padding."""
    import numpy as np

    from cellquilt.handoff import stores
    from cellquilt.tiling.lattice import STRIDE, TILE
    from cellquilt.tiling.task_store import lattice_of

    maps = np.load(truth)
    with stores.read(Path(pixels)) as task:
        attributes = dict(task.attrs) | {
            "model": {"name": "the generator's truth"},
            "blank_interior_max": {"whole-cell": 0.0, "nuclear": 0.0},
        }
    lattice = lattice_of(attributes)
    rows, cols = (
        axis.source(first * STRIDE, (last - 1) * STRIDE + TILE)
        for axis, (first, last) in (
            (lattice.rows, attributes["tile_rows"]),
            (lattice.cols, attributes["tile_cols"]),
        )
    )
    with stores.create(Path(target), attributes) as store:
        shape = (len(maps), rows.size, cols.size)
        array = stores.new_array(store, "maps", shape, "float32", (1, STRIDE, stores.CHUNK))
        for top in range(0, rows.size, STRIDE):
            band = rows[top : top + STRIDE]
            values = maps[:, band % PERIOD][:, :, cols % PERIOD]
            array[:, top : top + STRIDE] = values * ((band >= 0)[:, None] & (cols >= 0))
