"""The mask of four planes that HuBMAP's SPRM and CellSegmentationEvaluator read."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from .. import outputs
from ..cells.cell_table import Cells
from ..images.label_rows import boundary_rows

TILE = 512
PLANES = ("cells", "nuclei", "cell_boundaries", "nucleus_boundaries")


def write(cells: Cells, folder: Path) -> Path:
    """Write ``hubmap/<sample>_mask.ome.tiff``: cells, nuclei and the boundaries of both.

    uint32, BigTIFF, zlib, axes CYX. CellSegmentationEvaluator reads the planes by their order;
    SPRM by order and name. Memory holds a row of tiles.

    Parameters
    ----------
    cells : Cells
        Of both compartments.
    folder : Path
        The sample's.
    """
    sample, image_mpp = cells.facts["sample"], cells.facts["image_mpp"]
    path = folder / "hubmap" / f"{sample}_mask.ome.tiff"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal cells are equal files: the table tells one set of masks from another.
    with open(cells.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(cells.order.tobytes())
    metadata = {
        "axes": "CYX",
        "UUID": uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()).urn,
        "Name": sample,
        "Channel": {"Name": list(PLANES)},
        "PhysicalSizeX": image_mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": image_mpp,
        "PhysicalSizeYUnit": "µm",
    }
    with (
        outputs.whole(path) as partial,
        tifffile.TiffWriter(partial, bigtiff=True, byteorder="<", ome=True) as tiff,
    ):
        tiff.write(
            _tiles(cells),
            shape=(len(PLANES), *cells.masks["cell"].shape),
            dtype=np.uint32,
            tile=(TILE, TILE),
            compression="zlib",
            photometric="minisblack",
            resolution=(1e4 / image_mpp, 1e4 / image_mpp),
            resolutionunit="CENTIMETER",
            software=False,
            metadata=metadata,
        )
    return path


def _tiles(cells: Cells) -> Iterator[np.ndarray]:
    """Yield the planes' tiles in raster order, those at the far edges padded with zeros."""
    cell, nucleus = cells.masks["cell"], cells.masks["nucleus"]
    strips = (
        cell.read,
        nucleus.read,
        lambda y0, y1: boundary_rows(cell, y0, y1),
        lambda y0, y1: boundary_rows(nucleus, y0, y1),
    )
    height, width = cell.shape
    for strip in strips:
        for y in range(0, height, TILE):
            band = strip(y, min(y + TILE, height))
            for x in range(0, width, TILE):
                part = band[:, x : x + TILE]
                yield np.pad(part, [(0, TILE - side) for side in part.shape])
