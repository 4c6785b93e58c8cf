"""AnnData: the table that scanpy, squidpy, SpatialData and TissUUmaps read."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from .. import __version__, outputs
from ..cells.cell_table import Cells

INSTANCE_KEY = "cell_id"
REGION_KEY = "region"


def write(cells: Cells, folder: Path) -> Path:
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
        where both compartments were segmented. ``obs`` : all else that is known of each cell,
        with the id as name, and of the user's columns "/" in a name, which would be a folder of
        the file, as "_". ``var`` : channels by unique name. ``obsm["spatial"]`` : (cells, 2)
        float64, x and y of the centroid in pixels, from the centre of the first pixel.
        ``uns["spatialdata_attrs"]`` : what links it to labels named as `region` says.
        ``uns["cellquilt"]`` : sample, segmenter, pixel size, version, and provenance as JSON.
    """
    facts, of = cells.facts, cells.compartment
    index = cells.rows[INSTANCE_KEY].astype(str).astype(object).to_numpy()
    obs = pd.DataFrame(
        {name.replace("/", "_"): _plain(column) for name, column in cells.rows.items()}
    )
    for name, value in (("sample", facts["sample"]), (REGION_KEY, region(of))):
        codes = np.zeros(len(obs), np.int8)
        obs[name] = pd.Categorical.from_codes(codes, pd.Index([value], dtype=object))
    obs.index = pd.Index(index, dtype=object)
    var = pd.DataFrame(
        {
            "name": np.array([channel["name"] for channel in facts["channels"]], object),
            "channel_index": np.array([channel["index"] for channel in facts["channels"]], int),
        },
        index=pd.Index(cells.channels, dtype=object),
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
    if len(obs):  # else it annotates nothing: SpatialData refuses a region without rows
        keys = {"region_key": REGION_KEY, "instance_key": INSTANCE_KEY}
        uns["spatialdata_attrs"] = {"region": region(of), **keys}
    return anndata.AnnData(
        X=cells.means(of).astype(np.float32),
        obs=obs,
        var=var,
        layers={name: cells.means(name).astype(np.float32) for name in cells.compartments[1:]},
        obsm={"spatial": obs[[f"{of}_centroid_x_px", f"{of}_centroid_y_px"]].to_numpy(float)},
        uns=uns,
    )


def _plain(column: pd.Series) -> pd.Series:
    """Return a column of a type that old readers know, where no value is missing."""
    if isinstance(column.dtype, pd.StringDtype):
        found = pd.Categorical(column.astype(object))
        # of objects: pandas' own strings are written in a way that readers before 2025 refuse
        return pd.Series(found.rename_categories(found.categories.astype(object)))
    if pd.api.types.is_extension_array_dtype(column.dtype) and not column.isna().any():
        return column.astype(column.dtype.numpy_dtype)
    return column
