"""SpatialData: labels, shapes and table in one store, with the transformation to um."""

from pathlib import Path

import dask.array as da
import geopandas
import numpy as np
import spatialdata
import zarr
from spatialdata.models import Labels2DModel, ShapesModel, TableModel
from spatialdata.transformations import Scale

from .. import outputs
from ..cells.cell_table import Cells
from ..images.polygons import OutlineReader
from ..images.strips import pyramid_steps
from . import anndata
from .zarr_pyramid import CHUNK, fill_pyramid


def write(cells: Cells, folder: Path, _cpus: int = 1) -> Path:
    """Write ``zarr/<sample>.sdata.zarr``.

    ``cell_labels`` and ``nucleus_labels`` (multiscale, uint32), ``cell_shapes`` and
    ``nucleus_shapes`` (polygons in pixel corner coordinates, indexed by the cell's id) and
    ``table``, see `cellquilt.exports.anndata.table`, which annotates the labels of the cells. All
    are transformed to the coordinate system ``global``, which is in um from the slide's upper
    left corner. Shapes that no cell has are left out: the format has no empty ones.
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
    attrs = {"cellquilt": {"global": "micrometer", "image_mpp": image_mpp}}
    data = spatialdata.SpatialData.init_from_elements(elements, attrs=attrs)
    # Pixels that are zero take no place; the others follow row by row, and shapes one by one.
    with outputs.whole(path) as partial:
        data.write(partial, raster_compressor={"zstd": 3}, consolidate_metadata=False)
        # An empty `raw` is of a type that anndata before 0.12 does not know.
        del zarr.open_group(partial / "tables" / "table", mode="r+")["raw"]
        for name, mask in cells.masks.items():
            group = zarr.open_group(partial / "labels" / anndata.region(name), mode="r+")
            datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
            fill_pyramid([group[level["path"]] for level in datasets], mask.read, path.parent)
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
