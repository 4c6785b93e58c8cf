"""The viewer of a mosaic of the CODEX tile: what it takes and weighs, and how it goes in a browser.

Cells are those of the tile's published mask, repeated; a nucleus is a cell without its outer two
pixels. Chromium draws by software, without a window, from files on a disk.
"""

import sys
import time
from pathlib import Path

from bench import ROOT, SHARED, Bench, Row

REPEATS, SAMPLE, MPP = (6, 6), "codex", 0.37745
MASK = SHARED / "codex_tile" / "mask_DeepCell-0.9.0_membrane.tif"
FIRST_S, FRAMES_S, PIXEL_BYTES, CELL_BYTES, VALUE_BYTES, FILES = 2, 30, 2.5, 60, 2, 2000


def rows(bench: Bench, repeats: tuple[int, int] = REPEATS) -> list[Row]:
    """Return the rows; fewer repeats than the tables have make a try of the script shorter."""
    made = bench.call("runtime", "measured", folder=bench.scratch, repeats=list(repeats))
    export = bench.step(
        "export", "--tables", made["table"], "--masks", *made["masks"], "--formats", "viewer",
        "--image", made["slide"], "--cpus", 2, "--outdir", bench.scratch / "out",
        environment="export",
    )  # fmt: skip
    folder = bench.scratch / "out" / SAMPLE / "viewer"
    heavy = weight(folder)
    (height, width), n_channels, n = made["shape"], made["n_channels"], made["n_cells"]
    what = f"{width:,} x {height:,} px, {n_channels} channels, {n:,} cells"
    a_pixel = heavy["tiles"] / (height * width * n_channels)
    a_cell, most = heavy["cells"] / n, CELL_BYTES + VALUE_BYTES * made["n_values"]
    shown = bench.call("dev", "shown", page=folder / "index.html")
    slow = min(shown["panning"], shown["zooming"])
    return [
        Row(
            f"EXPORT of the viewer of {what}",
            "",
            export["wall_s"],
            None,
            a_pixel <= PIXEL_BYTES and a_cell <= most and heavy["files"] <= FILES,
            f"wall, with its start; {export['cpu_s']:.0f} s of processor time, peak memory "
            f"{export['peak_gb']:.2f} GB; {a_pixel:.2f} bytes a pixel and channel (target: at most "
            f"{PIXEL_BYTES}), {a_cell:.0f} a cell of {made['n_values']} columns (at most {most}); "
            f"{heavy['files']} files (at most {FILES})",
        ),
        Row(
            f"first view of {what}",
            "",
            shown["first_s"],
            None,
            shown["first_s"] <= FIRST_S,
            f"until a picture of the page shows the slide (target: at most {FIRST_S} s)",
        ),
        Row(
            f"a frame of {what}",
            "",
            1 / slow if slow else None,
            None,
            slow >= FRAMES_S and not shown["complaints"],
            f"frames a second by Chromium's trace: {shown['panning']:.0f} moving, "
            f"{shown['zooming']:.0f} zooming (target: at least {FRAMES_S}); drawn by software",
        ),
    ]


def weight(folder: Path) -> dict[str, int]:
    """Return the bytes of tiles and of cells of a viewer, and its number of files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    sizes = {
        part: sum(
            path.stat().st_size for path in files if path.parent.is_relative_to(folder / part)
        )
        for part in ("tiles", "cells")
    }
    return sizes | {"files": len(files)}


def measured(folder: str, repeats: list[int]) -> dict:
    """Worker (runtime): write the mosaic, its masks and its table of cells."""
    from contextlib import ExitStack

    import numpy as np
    import pandas as pd
    import tifffile
    from scipy import ndimage as ndi

    from cellquilt.cells import objects
    from cellquilt.cells.quantify import quantify
    from cellquilt.cells.repair import repair
    from cellquilt.handoff.step_files import read_matches
    from cellquilt.images.label_image import by_name, masks_folder, write_label_image
    from cellquilt.slides.readers import open_slide

    tile = tifffile.imread(SHARED / "codex_tile" / "codex_tile.ome.tif")
    labels = tifffile.imread(MASK)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32)
    n, (height, width) = int(labels.max()), labels.shape
    cells = np.tile(labels, repeats)
    for k in range(repeats[0] * repeats[1]):
        y, x = (i * side for i, side in zip(divmod(k, repeats[1]), (height, width), strict=True))
        part = cells[y : y + height, x : x + width]
        part[part > 0] += np.uint32(k * n)
    inside = ndi.minimum_filter(cells, 5) == ndi.maximum_filter(cells, 5)
    found = {"cell": cells, "nucleus": np.where(inside, cells, 0)}
    into = Path(folder) / SAMPLE
    slide = into / "slide.ome.tif"
    where = masks_folder(into, SAMPLE, "mesmer")
    where.mkdir(parents=True)
    names = [f"marker {k}" for k in range(len(tile))]
    tifffile.imwrite(
        slide, np.tile(tile, (1, *repeats)), ome=True, tile=(512, 512), photometric="minisblack",
        compression="zlib", metadata={"axes": "CYX", "Channel": {"Name": names}},
    )  # fmt: skip
    for name, mask in found.items():
        write_label_image(where / f"{name}_original.ome.tif", mask, MPP, name)
    originals = [where / f"{name}_original.ome.tif" for name in found]
    certified = pd.DataFrame({"compartment": [], "label": []})
    facts = {"sample": SAMPLE, "image_mpp": MPP}
    repair(*originals, facts, certified, "mesmer", into)
    masks = by_name(where.iterdir())
    table = into / f"{SAMPLE}.parquet"
    with open_slide(slide) as image, ExitStack() as files:
        of = objects.open_objects(files, masks, read_matches(into / "matches.csv"), None)
        shape = {"name": slide.name, "height": image.height, "width": image.width}
        quantify(image, of, facts | {"image": shape}, "mesmer", [], table)
    with_cells = pd.read_parquet(table)
    return {
        "slide": str(slide),
        "table": str(table),
        "masks": [str(path) for path in masks.values()],
        "shape": cells.shape,
        "n_channels": len(tile),
        "n_cells": int((with_cells["status"] == "matched").sum()),
        "n_values": with_cells.shape[1],
    }


def shown(page: str) -> dict:
    """Worker (dev): open the viewer; time its first view, and count frames as it moves."""
    import io
    import math
    import tempfile
    from base64 import b64decode

    import numpy as np
    from PIL import Image

    sys.path.insert(0, str(ROOT / "tests"))
    from support.browser import Page

    class Traced(Page):
        """A page whose frames are counted."""

        def frames_s(self, seconds: float, act) -> float:
            """Return the frames a second that are drawn while ``act(share)`` is called, 60 a s."""
            session, self._session = self._session, None
            config = {"includedCategories": ["disabled-by-default-devtools.timeline.frame"]}
            self._send("Tracing.start", transferMode="ReportEvents", traceConfig=config)
            self._session, start = session, time.monotonic()
            while (gone := time.monotonic() - start) < seconds:
                act(gone / seconds)
                time.sleep(1 / 60)
            self._session = None
            self._send("Tracing.end")
            while not self._all("Tracing.tracingComplete"):
                self._read()
            self._session = session
            events = [one for part in self._all("Tracing.dataCollected") for one in part["value"]]
            self._events = [e for e in self._events if not e["method"].startswith("Tracing.")]
            return sum(event["name"] == "DrawFrame" for event in events) / gone

        def mouse(self, kind: str, x: float, y: float, **more) -> None:
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

        def varies(self) -> bool:
            png = b64decode(self._send("Page.captureScreenshot", format="png")["data"])
            pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
            return pixels[100:-100, 100:900].std() > 5  # the slide, without the side of controls

    with tempfile.TemporaryDirectory() as profile, Traced(None, Path(profile)) as browser:
        start = time.monotonic()
        browser.open(Path(page))
        while not browser.varies():
            assert time.monotonic() < start + 60, browser.complaints
        first = time.monotonic() - start
        browser.run("location.hash = location.hash.replace(/,[^,;]*(?=;|$)/, ',1')")
        time.sleep(2)
        held = {"button": "left", "buttons": 1}
        browser.mouse("mousePressed", 500, 450, clickCount=1, **held)

        def pan(share: float) -> None:
            x, y = (300 * f(6 * math.pi * share) for f in (math.sin, math.cos))
            browser.mouse("mouseMoved", 500 + x, 150 + y, **held)

        panning = browser.frames_s(5, pan)
        browser.mouse("mouseReleased", 500, 450, clickCount=1, **held)

        def zoom(share: float) -> None:
            delta = 40 if math.sin(6 * math.pi * share) > 0 else -40
            browser.mouse("mouseWheel", 500, 450, deltaX=0, deltaY=delta)

        zooming = browser.frames_s(5, zoom)
        found = {"first_s": first, "panning": panning, "zooming": zooming}
        return found | {"complaints": browser.complaints}
