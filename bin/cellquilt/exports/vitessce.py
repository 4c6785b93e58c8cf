"""A view of Vitessce over the OME-Zarr of a sample and its cells.

Vitessce reads AnnData as Zarr version 2; of an h5ad it wants a list of the file's parts, and of
SpatialData's version 3 it does not read everything yet (vitessce/vitessce#2450). So the cells are
written once more, with what the view shows of them.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from anndata.io import write_elem

from .. import outputs
from ..cells import flags
from ..cells.cell_table import Cells
from .anndata import plain
from .ome_zarr import COLOURS

# The schema of views that Vitessce reads since 2023, and turns into newer ones
VERSION = "1.0.16"
NAMES = {"cell": "Cells", "nucleus": "Nuclei"}


def write(cells: Cells, folder: Path) -> Path:
    """Write ``vitessce.json`` and ``zarr/<sample>.cells.zarr``, beside the sample's OME-Zarr.

    The store has the means in ``X``, and names cells by their values in the masks, by which
    Vitessce finds them. Addresses in the view are relative to the sample's folder.
    """
    sample = cells.facts["sample"]
    store = folder / "zarr" / f"{sample}.cells.zarr"
    obs, sets = _obs(cells)
    var = pd.DataFrame(index=pd.Index(cells.channels, dtype=object))
    means = cells.means(cells.compartment).astype(np.float32)
    with outputs.whole(store) as partial:
        # In parts, since anndata's own writer is about to write version 3 alone
        group = zarr.create_group(partial, zarr_format=2)
        group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        # A channel is what is asked for at once
        chunks = {"chunks": (max(len(means), 1), 1)}
        write_elem(group, "X", means, dataset_kwargs=chunks)
        write_elem(group, "obs", obs)
        write_elem(group, "var", var)
    path = folder / "vitessce.json"
    outputs.write_json(path, view(sample, list(cells.masks), sets))
    return path


def _obs(cells: Cells) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return what the view says of cells, and the columns that group them by their titles."""
    columns = {"Flagged": flags.ANY, "Region": "roi", "Status": "status"}
    sets = {title: name for title, name in columns.items() if name in cells.rows}
    columns = pd.DataFrame({name: _texts(cells.rows[name]) for name in sets.values()})
    return plain(columns, cells.rows["cell_id"].astype(str)), sets


def _texts(column: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("boolean").map({True: "yes", False: "no"}).astype("string")
    return column.astype("string").fillna("none")


def view(sample: str, masks: list[str], sets: dict[str, str]) -> dict:
    """Return the view.

    Parameters
    ----------
    sample : str
    masks : list of str
        Label images of the OME-Zarr, the one whose values are the cells' first.
    sets : dict
        Columns of ``obs`` by title, that group cells.
    """
    image = f"zarr/{sample}.ome.zarr"
    shared = dict.fromkeys(masks, "shared")
    own = {name: name for name in masks}
    of_cells = {"obsType": "cell", "featureType": "channel", "featureValueType": "mean"}
    files = [
        {"fileType": "image.ome-zarr", "url": image, "coordinationValues": {"fileUid": "image"}},
        *(
            {
                "fileType": "obsSegmentations.ome-zarr",
                "url": f"{image}/labels/{name}",
                "coordinationValues": {"fileUid": name, "obsType": "cell"},
            }
            for name in masks
        ),
        {
            "fileType": "anndata.zarr",
            "url": f"zarr/{sample}.cells.zarr",
            "options": {
                "obsFeatureMatrix": {"path": "X"},
                "obsSets": [{"name": title, "path": f"obs/{name}"} for title, name in sets.items()],
            },
            "coordinationValues": of_cells,
        },
    ]
    shared_values = {
        **{name: {"shared": value} for name, value in of_cells.items()},
        "featureSelection": {"shared": None},
        "obsColorEncoding": {"shared": "spatialChannelColor"},
        "obsHighlight": {"shared": None},
        "obsSetSelection": {"shared": None},
        "obsSetColor": {"shared": None},
        "featureValueColormap": {"shared": "viridis"},
        "featureValueColormapRange": {"shared": [0.0, 1.0]},
        "spatialTargetC": {"shared": 0},
        "spatialChannelVisible": {"shared": True},
        "spatialChannelOpacity": {"shared": 1.0},
        "spatialSegmentationFilled": {"shared": False},
        "spatialSegmentationStrokeWidth": {"shared": 1.0},
        "spatialLayerVisible": {"shared": True},
        "spatialLayerOpacity": {"shared": 1.0},
    }
    of_layer = {"spatialLayerVisible", "spatialLayerOpacity"}
    of_channel = {name: shared for name in shared_values if name not in of_layer}
    colours = {name: list(bytes.fromhex(COLOURS[name])) for name in masks}
    space = {
        "dataset": {"A": "A"},
        "fileUid": own,
        "segmentationLayer": own,
        "segmentationChannel": own,
        "spatialChannelColor": colours,
        **shared_values,
        "metaCoordinationScopes": {"cells": {"segmentationLayer": masks}},
        "metaCoordinationScopesBy": {
            "cells": {
                "segmentationLayer": {
                    "fileUid": own,
                    "segmentationChannel": {name: [name] for name in masks},
                    **dict.fromkeys(sorted(of_layer), shared),
                },
                "segmentationChannel": {**of_channel, "spatialChannelColor": own},
            }
        },
    }
    linked = {"metaCoordinationScopes": ["cells"], "metaCoordinationScopesBy": ["cells"]}
    linked = {"dataset": "A"} | linked
    chosen = ("featureSelection", "obsColorEncoding", "obsSetSelection", "obsSetColor")
    of_lists = {"dataset": "A"} | dict.fromkeys((*of_cells, *chosen), "shared")
    return {
        "version": VERSION,
        "name": sample,
        "description": "Cells of Cellquilt",
        "initStrategy": "auto",
        "datasets": [{"uid": "A", "name": sample, "files": files}],
        "coordinationSpace": space,
        "layout": [
            _placed("spatialBeta", linked, 0, 0, 8, 12),
            _placed("layerControllerBeta", linked, 8, 0, 4, 6),
            _placed("featureList", of_lists, 8, 6, 2, 6),
            _placed("obsSets", of_lists, 10, 6, 2, 6),
        ],
    }


def _placed(component: str, scopes: dict, x: int, y: int, w: int, h: int) -> dict:
    place = {"x": x, "y": y, "w": w, "h": h}
    return {"component": component, "coordinationScopes": scopes, **place}
