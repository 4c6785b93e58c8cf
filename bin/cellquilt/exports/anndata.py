"""AnnData: the table that scanpy, squidpy, SpatialData and TissUUmaps read."""

import json
from collections.abc import Iterable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from .. import __version__, outputs
from ..cells.cell_table import Cells, unique_names
from ..cells.measures import MEAN

INSTANCE_KEY = "cell_id"
REGION_KEY = "region"


def write(cells: Cells, folder: Path, _cpus: int = 1) -> Path:
    """Write ``anndata/<sample>.h5ad``; see `table`."""
    path = folder / "anndata" / f"{cells.facts['sample']}.h5ad"
    path.parent.mkdir(parents=True, exist_ok=True)
    with outputs.whole(path) as partial:
        table(cells).write_h5ad(partial, compression="gzip")
    return path


def region(compartment: str) -> str:
    """Return the name of a compartment's label image, as SpatialData's stores have it."""
    return f"{compartment}_labels"


def table(cells: Cells) -> anndata.AnnData:
    """Return the cells as AnnData.

    Returns
    -------
    AnnData
        ``X`` : (cells, channels) float32, means in the cell; ``layers`` nucleus and cytoplasm,
        where both compartments were segmented, and what else was measured, see `layer_of`.
        ``obs`` : all else that is known of each cell,
        which is named after sample and id, so that no two samples share a name. ``var`` :
        channels by unique name. ``obsm["spatial"]`` : (cells, 2) float64, x and y of the centroid
        in pixels, from the centre of the first pixel.
        ``uns["spatialdata_attrs"]`` : what links it to labels named as `region` says.
        ``uns["cellquilt"]`` : sample, segmenter, pixel size, version, provenance as JSON and,
        in the order of ``var``, the background of each channel.
    """
    facts, of = cells.facts, cells.compartment
    names = facts["sample"] + "_" + cells.rows[INSTANCE_KEY].astype(str)
    obs = cells.rows.assign(sample=facts["sample"], **{REGION_KEY: region(of)})
    var = pd.DataFrame(
        {
            "name": [channel["name"] for channel in facts["channels"]],
            "channel_index": [channel["index"] for channel in facts["channels"]],
        }
    )
    uns: dict = {
        "cellquilt": {
            "sample": facts["sample"],
            "segmenter": facts["segmenter"],
            "image_mpp": facts["image_mpp"],
            "version": __version__,
            "provenance": json.dumps(facts["provenance"]),
        }
    }
    background = cells.background()
    if background is not None:
        uns["cellquilt"]["background"] = background
    means = [(name, MEAN) for name in cells.compartments[1:]]
    if len(obs):  # else it annotates nothing: SpatialData refuses a region without rows
        keys = {"region_key": REGION_KEY, "instance_key": INSTANCE_KEY}
        uns["spatialdata_attrs"] = {"region": region(of), **keys}
    return anndata.AnnData(
        X=cells.means(of).astype(np.float32),
        obs=plain(obs, names),
        var=plain(var, cells.channels),
        layers={
            layer_of(*measured): cells.means(*measured).astype(np.float32)
            for measured in (*means, *cells.more_measures)
        },
        obsm={"spatial": obs[[f"{of}_centroid_x_px", f"{of}_centroid_y_px"]].to_numpy(float)},
        uns=uns,
    )


def layer_of(compartment: str, measure: str) -> str:
    """Return the layer of a measure: ``nucleus`` of its mean, else ``nucleus_median`` and so on."""
    return compartment if measure == MEAN else f"{compartment}_{measure}"


def plain(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return a frame of types that AnnData's readers have known since version 0.10.

    pandas 3 makes any text a nullable string, which readers before anndata 0.11 and R's anndataR
    refuse. Here text is categorical, and categories and names are Python objects. Numbers and
    truth values are nullable only where one is missing; what else a column holds becomes text. A
    slash in a column's name, which would be a folder in the file, becomes ``_``.

    Parameters
    ----------
    frame : DataFrame
    names : iterable of str
        Of the rows.
    """
    columns = unique_names([str(name).replace("/", "_") for name in frame])
    values = {
        name: _plain(column) for name, (_, column) in zip(columns, frame.items(), strict=True)
    }
    return pd.DataFrame(values, index=pd.Index(list(names), dtype=object))


def _plain(column: pd.Series) -> np.ndarray | pd.api.extensions.ExtensionArray:
    if not pd.api.types.is_numeric_dtype(column.dtype):  # which truth values are, too
        found = pd.Categorical(column.astype("string").astype(object))
        return found.rename_categories(found.categories.astype(object))
    if not pd.api.types.is_extension_array_dtype(column.dtype):
        return column.to_numpy()
    if pd.api.types.is_float_dtype(column.dtype) or not column.isna().any():
        return column.to_numpy(column.dtype.numpy_dtype, na_value=np.nan)
    return column.array
