"""OME-Zarr (NGFF 0.4): labels that napari, Vitessce and OMERO open level by level.

0.4 and not 0.5, which Vitessce does not read everywhere yet (vitessce/vitessce#2450).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr
from numcodecs import Blosc
from ome_zarr.format import FormatV04
from ome_zarr.writer import write_label_metadata, write_multiscales_metadata

from .. import outputs
from ..cells.cell_table import Cells
from ..images.label_rows import LabelRows, boundary_rows
from ..images.strips import pyramid_steps
from .zarr_pyramid import CHUNK, fill_pyramid

if TYPE_CHECKING:
    from .picture import Picture

COLOURS = {"cell": "3FA7D6", "nucleus": "F2A541"}
BOUNDARY, INSIDE = 255, 96


def write(cells: Cells, folder: Path, _cpus: int = 1, picture: "Picture | None" = None) -> Path:
    """Write ``zarr/<sample>.ome.zarr`` with ``labels/cell`` and ``labels/nucleus``.

    Labels belong to an image: the given channels of the slide, or, since these are a copy of many
    gigabytes, a drawing of the masks: a uint8 channel for each, boundaries bright and the inside
    dim. Levels take every second pixel of the one before; lengths are in um, from the centre of
    the first pixel. Memory holds a row of chunks.
    """
    path = folder / "zarr" / f"{cells.facts['sample']}.ome.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    with outputs.whole(path) as partial:
        image = zarr.create_group(partial, zarr_format=2)
        # the specification wants the image to come before its labels' group
        if picture:
            shown = _create(image, cells, picture.dtype, len(picture.channels))
            channels = picture.fill(shown, path.parent)
        else:
            shown = _create(image, cells, np.uint8, len(cells.masks))
            channels = _draw(cells, shown, path.parent)
        labels = image.create_group("labels")
        for name, mask in cells.masks.items():
            levels = _create(labels.create_group(name), cells, np.uint32)
            fill_pyramid(levels, mask.read, path.parent)
            write_label_metadata(labels, name, fmt=FormatV04())
        image.attrs["omero"] = {"channels": channels}
    return path


def _create(group: zarr.Group, cells: Cells, dtype, channels: int = 0) -> list[zarr.Array]:
    """Return new arrays for an image's levels, described in the group; 0 channels make it 2-D."""
    height, width = cells.masks[cells.compartment].shape
    before, image_mpp = ([channels] if channels else []), cells.facts["image_mpp"]
    levels, datasets = [], []
    for number, step in enumerate(pyramid_steps((height, width), CHUNK[0])):
        shape = *before, -(-height // step), -(-width // step)
        chunks = (*(1 for _ in before), *np.minimum(CHUNK, shape[-2:]).tolist())
        levels.append(
            group.create_array(
                str(number),
                shape=shape,
                chunks=chunks,
                dtype=dtype,
                fill_value=0,
                compressors=Blosc("zstd", clevel=5, shuffle=Blosc.SHUFFLE),
                chunk_key_encoding={"name": "v2", "separator": "/"},
            )
        )
        scale = [1.0 for _ in before] + [image_mpp * step] * 2
        transformations = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(number), "coordinateTransformations": transformations})
    axes = [{"name": "c", "type": "channel"} for _ in before]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    name = group.basename or cells.facts["sample"]
    write_multiscales_metadata(group, datasets, fmt=FormatV04(), axes=axes, name=name)
    return levels


def _draw(cells: Cells, levels: list[zarr.Array], folder: Path) -> list[dict]:
    """Draw the masks, and return what ``omero`` says of their channels."""
    for number, mask in enumerate(cells.masks.values()):
        fill_pyramid(levels, _drawing(mask), folder, (number,))
    return [
        {
            "label": name,
            "color": COLOURS[name],
            "active": True,
            "window": {"min": 0, "max": BOUNDARY, "start": 0, "end": BOUNDARY},
        }
        for name in cells.masks
    ]


def _drawing(labels: LabelRows) -> Callable[[int, int], np.ndarray]:
    """Return what gives rows of a picture of a mask, (rows, width) uint8."""

    def strip(y0: int, y1: int) -> np.ndarray:
        inside = (labels.read(y0, y1) != 0) * np.uint8(INSIDE)
        inside[boundary_rows(labels, y0, y1) != 0] = BOUNDARY
        return inside

    return strip
