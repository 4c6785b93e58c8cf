"""SpatialData: labels, shapes and table in one store, with the transformation to um."""

from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import geopandas
import numpy as np
import spatialdata
import zarr
from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel, TableModel
from spatialdata.transformations import Scale

from .. import outputs
from ..cells.cell_table import Cells
from ..images.polygons import OutlineReader
from ..images.strips import pyramid_steps
from . import anndata
from .zarr_pyramid import CHUNK, fill_pyramid

if TYPE_CHECKING:
    from .picture import Picture


IMAGE = "image"


def write(cells: Cells, folder: Path, _cpus: int = 1, picture: "Picture | None" = None) -> Path:
    """Write ``zarr/<sample>.sdata.zarr``.

    ``cell_labels`` and ``nucleus_labels`` (multiscale, uint32), ``cell_shapes`` and
    ``nucleus_shapes`` (polygons in pixel corner coordinates, indexed by the cell's id) and
    ``table``, see `cellquilt.exports.anndata.table`, which annotates the labels of the cells. All
    are transformed to the coordinate system ``global``, which is in um from the slide's upper
    left corner. Shapes that no cell has are left out: the format has no empty ones. With a picture
    its channels are the multiscale `IMAGE`.
    """
    path = folder / "zarr" / f"{cells.facts['sample']}.sdata.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    image_mpp = cells.facts["image_mpp"]
    to_um = {"global": Scale([image_mpp, image_mpp], axes=("x", "y"))}
    table = anndata.table(cells)
    spatialdata.sanitize_table(table)  # a user's own columns may have any names
    elements = {"table": TableModel.parse(table)}
    for name, mask in cells.masks.items():
        factors = [2] * (len(pyramid_steps(mask.shape, CHUNK[0])) - 1)
        elements[anndata.region(name)] = Labels2DModel.parse(
            da.zeros(mask.shape, dtype=np.uint32, chunks=CHUNK),
            dims=("y", "x"),
            scale_factors=factors,
            transformations=to_um,
            chunks=CHUNK,
        )
    if picture:
        elements[IMAGE] = Image2DModel.parse(
            da.zeros(picture.shape, dtype=picture.dtype, chunks=(1, *CHUNK)),
            dims=("c", "y", "x"),
            c_coords=list(picture.names),
            scale_factors=[2] * (len(pyramid_steps(picture.shape[1:], CHUNK[0])) - 1),
            transformations=to_um,
            chunks=(1, *CHUNK),
        )
    attrs = {"cellquilt": {"global": "micrometer", "image_mpp": image_mpp}}
    data = spatialdata.SpatialData.init_from_elements(elements, attrs=attrs)
    # Pixels that are zero take no place; the others follow row by row, and shapes one by one.
    with outputs.whole(path) as partial:
        data.write(partial, raster_compressor={"zstd": 3}, consolidate_metadata=False)
        # An empty `raw` is of a type that anndata before 0.12 does not know.
        del zarr.open_group(partial / "tables" / "table", mode="r+")["raw"]
        if picture:
            _describe(partial / "images" / IMAGE, picture, path.parent)
        for name, mask in cells.masks.items():
            _, levels = _levels(partial / "labels" / anndata.region(name))
            fill_pyramid(levels, mask.read, path.parent)
            outlines = OutlineReader(mask)
            if len(outlines.labels):
                geometries = [part.geometries() for part in outlines.parts()]
                shapes = geopandas.GeoDataFrame(
                    geometry=np.concatenate(geometries), index=outlines.labels
                )
                data[f"{name}_shapes"] = ShapesModel.parse(shapes, transformations=to_um)
                data.write_element(f"{name}_shapes")
                del data[f"{name}_shapes"]
        data.write_consolidated_metadata()
    return path


def _describe(element: Path, picture: "Picture", folder: Path) -> None:
    """Fill the levels of an image, and say how its channels are to be shown."""
    group, levels = _levels(element)
    ome = group.attrs["ome"]
    group.attrs["ome"] = ome | {"omero": {"channels": picture.fill(levels, folder)}}


def _levels(element: Path) -> tuple[zarr.Group, list[zarr.Array]]:
    group = zarr.open_group(element, mode="r+")
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    return group, [group[level["path"]] for level in datasets]
