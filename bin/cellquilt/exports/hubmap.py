"""The mask of four planes that HuBMAP's SPRM and CellSegmentationEvaluator read."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from .. import outputs
from ..cells.cell_table import Cells
from ..images.label_image import TILE, ome_metadata, tile_options, tiles
from ..images.label_rows import boundary_rows
from ..images.strips import strip_rows

PLANES = ("cells", "nuclei", "cell_boundaries", "nucleus_boundaries")


def write(cells: Cells, folder: Path, cpus: int = 1) -> Path:
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
    # Equal cells give equal files: the table identifies the masks.
    with open(cells.path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(cells.order.tobytes())
    of_content = uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()).urn
    with (
        outputs.whole(path) as partial,
        tifffile.TiffWriter(partial, bigtiff=True, byteorder="<", ome=True) as tiff,
    ):
        tiff.write(
            tiles(_bands(cells)),
            shape=(len(PLANES), *cells.masks["cell"].shape),
            **tile_options(image_mpp),
            metadata=ome_metadata("CYX", of_content, sample, list(PLANES), image_mpp),
            maxworkers=cpus,
        )
    return path


def _bands(cells: Cells) -> Iterator[np.ndarray]:
    """Yield the planes one after the other, in rows of tiles."""
    cell, nucleus = cells.masks["cell"], cells.masks["nucleus"]
    planes = (
        cell.read,
        nucleus.read,
        lambda y0, y1: boundary_rows(cell, y0, y1),
        lambda y0, y1: boundary_rows(nucleus, y0, y1),
    )
    for read in planes:
        for y0, y1 in strip_rows(cell.shape, TILE):
            yield read(y0, y1)
