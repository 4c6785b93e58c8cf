"""A folder that a browser opens by a double click: slide, outlines and cells, without a server.

A page from a disk may load scripts and nothing else, so that data are scripts, too, see
`packs`. What the page does is in ``page/``; OpenSeadragon moves and zooms there.
"""

import json
import shutil
from pathlib import Path

from ... import __version__, outputs
from ...cells.cell_table import Cells
from ..picture import N_ACTIVE, Picture
from . import channel_tiles
from .cells import write_cells

PAGE = Path(__file__).with_name("page")
_COLOURS = ("#3d6bff", "#2fd04b", "#ff3b30", "#ffd60a", "#00d5e0", "#ff4fd8", "#ffffff", "#ff9500")


def write(cells: Cells, folder: Path, cpus: int = 1, picture: Picture | None = None) -> Path:
    """Write ``viewer/``, whose ``index.html`` shows the slide and its cells.

    Memory holds rows of tiles, the table, and the outlines of some cells.

    Parameters
    ----------
    cells : Cells
    folder : Path
        The sample's.
    cpus : int
        That compress; they change no file.
    picture : Picture
        The channels to show.

    Returns
    -------
    Path
        The folder.
    """
    if picture is None:
        raise ValueError("the viewer shows the slide; give it")
    path = folder / "viewer"
    path.parent.mkdir(parents=True, exist_ok=True)
    with outputs.whole(path) as part:
        part.mkdir()
        for file in sorted(PAGE.iterdir()):
            shutil.copyfile(file, part / file.name)
        shape = picture.shape[1:]
        side = channel_tiles.tiles_a_side(shape, len(picture.channels))
        channels = _described(cells, picture)
        for number, channel in enumerate(picture.channels):
            tiles = f"tiles/{number}"
            channels[number] |= channel_tiles.write_channel(
                picture.slide, channel, part, tiles, side, cpus
            )
        facts = {
            "sample": cells.facts["sample"],
            "image": cells.facts["image"]["name"],
            "height": shape[0],
            "width": shape[1],
            "mpp": cells.facts["image_mpp"],
            "tile": channel_tiles.TILE,
            "side": side,
            "channels": channels,
            "patches": picture.places.get("patches", []),
            "regions": picture.places.get("regions", []),
            "cells": write_cells(cells, part, cpus),
            "cellquilt": __version__,
            "provenance": cells.facts["provenance"],
        }
        text = json.dumps(facts, separators=(",", ":"))
        (part / "slide.js").write_text(f"cellquilt.show({text});\n")
    return path


def _described(cells: Cells, picture: Picture) -> list[dict]:
    """Return of each channel the name, a colour and whether it is shown at first.

    At first those are shown that were segmented, the nuclei in blue and the membrane in green,
    as in the report; where they are not among the channels, the first ones.
    """
    steps = {step.get("step"): step.get("parameters", {}) for step in cells.facts["provenance"]}
    given = steps.get("INGEST", {})
    n = len(picture.names)
    nuclear, membrane = (
        [k for k in range(n) if _is_named(cells, picture, k, given.get(role))]
        for role in ("nuclear", "membrane")
    )
    first = nuclear + membrane
    active = first[:N_ACTIVE] or list(range(min(N_ACTIVE, n)))
    order = first + [k for k in range(n) if k not in first] if nuclear else list(range(n))
    return [
        {
            "name": name,
            "colour": _COLOURS[order.index(k) % len(_COLOURS)],
            "active": k in active,
        }
        for k, name in enumerate(picture.names)
    ]


def _is_named(cells: Cells, picture: Picture, k: int, spec: object) -> bool:
    """Return whether a parameter names channel `k` of the picture, by its name or index."""
    index = picture.channels[k]
    known = {channel["index"]: channel["name"] for channel in cells.facts["channels"]}
    names = [part.strip() for part in spec.split(";")] if isinstance(spec, str) else []
    return known.get(index) in names or str(index) in names
