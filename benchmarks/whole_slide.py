"""Whole slides through all steps: time and memory of each, and whether the cost per pixel stays.

Mosaics of the CODEX tile at 0.5 um: 10,080 and 20,160 px wide with the network, 50,000 px with a
stand-in for it, which returns recorded maps at once. One process per step, with both cores.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import fixtures
from bench import Bench, Row

SIDES = {10_080: "network", 20_160: "network", 50_000: "stand-in"}
TILE, MPP = 512, 0.5
CHANNELS = {"nuclear": 0, "membrane": 2, "third": 1}  # of the tile
LIMIT_GB, MAX_GROWTH = 2.0, 1.15


def rows(bench: Bench) -> Iterator[Row]:
    small_cost = None
    for side, network in SIDES.items():
        folder = bench.scratch / str(side)
        taken = run(bench, folder, side, network)
        shutil.rmtree(folder)  # the next needs its room
        yield from (row_of(step, side, reports) for step, reports in taken.items())
        cost = sum(report["cpu_s"] for reports in taken.values() for report in reports) / side**2
        if small_cost is None:
            small_cost = cost
        elif network == "network":
            yield growth_row(side, cost, min(SIDES), small_cost)


def row_of(step: str, side: int, reports: list[dict]) -> Row:
    peak = max(report["peak_gb"] for report in reports)
    cpu = sum(report["cpu_s"] for report in reports)
    tasks = f"{len(reports)} task{'s' * (len(reports) > 1)}"
    return Row(
        f"{step} of {side:,}^2 px",
        "",
        sum(report["wall_s"] for report in reports),
        None,
        peak <= LIMIT_GB or step.startswith("SEGMENT"),
        f"wall, {tasks}, with their start; {cpu:.0f} s of processor time, "
        f"{1e9 * cpu / side**2:.0f} ns a pixel; peak memory of a task {peak:.2f} GB, pages of "
        "mapped files included",
    )


def growth_row(side: int, cost: float, small: int, small_cost: float) -> Row:
    return Row(
        f"all steps of {side:,}^2 px, processor seconds a Mpx",
        f"the same at {small:,}^2 px",
        1e6 * cost,
        1e6 * small_cost,
        None,
        f"{cost / small_cost:.2f} times (target: at most {MAX_GROWTH})",
        1 / MAX_GROWTH,
    )


def run(bench: Bench, folder: Path, side: int, network: str) -> dict[str, list[dict]]:
    """Run all steps as the pipeline does; return what each task of a step reports."""
    out, cut = folder / "codex", folder / "cut"
    cut.mkdir(parents=True)
    slide, table = folder / "codex.ome.tif", folder / "patches.csv"
    facts, store = out / "sample.json", out / "normalised.zip"
    taken: dict[str, list[dict]] = defaultdict(list)

    def step(script: str, *arguments: object, environment: str = "runtime") -> None:
        found = bench.step(script, *arguments, environment=environment)
        taken[script.upper()].append(found)

    bench.call("runtime", "write_slide", path=slide, side=side)
    step(
        "ingest", "--sample", "codex", "--image", slide, "--nuclear", "nuclear",
        "--membrane", "membrane", "--outdir", out,
    )  # fmt: skip
    step("patch", "--store", store, "--table", table, "--outdir", cut)
    labels = []
    for pixels in sorted(cut.glob("*.pixels.zip")):
        maps, labelled = (
            pixels.with_name(pixels.name.replace("pixels", name)) for name in ("maps", "labels")
        )
        labels.append(labelled)
        if network == "stand-in":
            given = {"pixels": pixels, "labels": labelled, "milliseconds": 0, "n_processes": 2}
            recorded = fixtures.maps(bench, "mosaic 4096", MPP) / "whole.maps.zip"
            found = bench.call("runtime", "stand_in", subject="device", maps=recorded, **given)
            found |= {"cpu_s": found["cpu_s"] + found["label_cpu_s"], "wall_s": found["seconds"]}
            taken["SEGMENT without the network"].append(found)
        else:
            step("segment", "--pixels", pixels, "--networks", fixtures.model(bench), "--maps", maps)
            step("label", "--maps", maps, "--labels", labelled)
            maps.unlink()
        pixels.unlink()
    step("stitch", "--facts", facts, "--patches", table, "--labels", *labels, "--outdir", out)
    finish(step, folder)
    return taken


def finish(step, folder: Path) -> None:
    """Run what comes after STITCH."""
    out, slide = folder / "codex", folder / "codex.ome.tif"
    facts, masks = out / "sample.json", out / "segmentation" / "mesmer-codex"
    step(
        "repair", "--cell", masks / "cell_original.ome.tif",
        "--nucleus", masks / "nucleus_original.ome.tif",
        "--uncertified", out / "uncertified.csv", "--facts", facts, "--outdir", out,
    )  # fmt: skip
    images = sorted(masks.glob("*.ome.tif"))
    cells = out / "quantification" / "codex.parquet"
    step(
        "quantify", "--image", slide, "--facts", facts, "--provenance", out / "provenance.json",
        "--uncertified", out / "uncertified.csv", "--matches", out / "matches.csv",
        "--patches", out / "patches_metadata.csv",
        "--masks", *images, "--outdir", out,
    )  # fmt: skip
    step(
        "export", "--tables", cells, "--masks", *images, "--outdir", folder / "exported",
        environment="export",
    )  # fmt: skip
    step(
        "draw", "--store", out / "normalised.zip", "--table", cells,
        "--patches", out / "patches_metadata.csv", "--provenance", out / "provenance.json",
        "--counts", out / "stitch.json", out / "repair_metrics.json",
        "--masks", *images, "--outdir", out,
    )  # fmt: skip


def write_slide(path: str, side: int) -> None:
    """Worker: write the mosaic, tile by tile."""
    import numpy as np
    import tifffile

    planes = tifffile.imread(fixtures.SHARED / "codex_tile" / "codex_tile.ome.tif")
    planes = planes[list(CHANNELS.values())]
    height, width = planes.shape[1:]

    def tiles():
        for plane in planes:
            for y in range(0, side, TILE):
                rows = np.arange(y, min(y + TILE, side)) % height
                for x in range(0, side, TILE):
                    yield plane[np.ix_(rows, np.arange(x, min(x + TILE, side)) % width)]

    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
    metadata |= {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        tiff.write(
            tiles(), shape=(len(planes), side, side), dtype=planes.dtype, tile=(TILE, TILE),
            compression="zlib", photometric="minisblack", metadata=metadata, buffersize=1 << 25,
        )  # fmt: skip
