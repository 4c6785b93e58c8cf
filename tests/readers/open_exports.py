"""Open a sample's exports with the tools of their users; write what each found as JSON.

Runs in the readers' environment, see tests/exports/test_readers.py; uses no code of this
repository. Arguments: the sample's folder, its name, and the JSON to write.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

warnings.filterwarnings("ignore")

import geopandas  # noqa: E402
import numpy as np  # noqa: E402
import ome_zarr_models  # noqa: E402
import pandas as pd  # noqa: E402
import spatialdata  # noqa: E402
import spatialdata_io  # noqa: E402
import squidpy  # noqa: E402
import tifffile  # noqa: E402
from anndata import read_h5ad  # noqa: E402
from napari.layers import Image, Labels  # noqa: E402
from napari_ome_zarr import napari_get_reader  # noqa: E402
from skimage.measure import regionprops_table  # noqa: E402

READERS: dict[str, Callable] = {}


def reader(function: Callable) -> Callable:
    READERS[function.__name__] = function
    return function


def found(ids, x, y, area, mean=None, **more) -> dict:
    """Return the cells by id: x and y from the centre of the first pixel, area, first channel."""
    means = [None] * len(ids) if mean is None else np.asarray(mean, float).tolist()
    columns = (np.asarray(values, float).tolist() for values in (x, y, area))
    names = [str(int(label)) for label in ids]
    return {"cells": dict(zip(names, zip(*columns, means, strict=True), strict=True)), **more}


def of_labels(labels: np.ndarray, **more) -> dict:
    table = regionprops_table(labels, properties=("label", "centroid", "area"))
    return found(
        table["label"],
        *(table["centroid-1"], table["centroid-0"], table["area"]),
        shape=labels.shape,
        **more,
    )


def of_table(table, area: str, **more) -> dict:
    x, y = table.obsm["spatial"].T
    ids = table.obs["cell_id" if "cell_id" in table.obs else "CellID"]
    channels = table.var_names.tolist()
    return found(ids, x, y, table.obs[area], table.X[:, 0], channels=channels, **more)


def of_shapes(shapes, ids, **more) -> dict:
    """Corners of pixels are whole numbers in shapes, centres are in the others."""
    valid = bool(shapes.geometry.is_valid.all())
    centres = shapes.geometry.centroid
    return found(ids, centres.x - 0.5, centres.y - 0.5, shapes.geometry.area, valid=valid, **more)


@reader
def anndata(folder: Path, sample: str) -> dict:
    return of_table(read_h5ad(folder / "anndata" / f"{sample}.h5ad"), "cell_area_px")


@reader
def squidpy_graph(folder: Path, sample: str) -> dict:
    table = read_h5ad(folder / "anndata" / f"{sample}.h5ad")
    squidpy.gr.spatial_neighbors(table, coord_type="generic", n_neighs=4)
    squidpy.gr.spatial_autocorr(table, mode="moran")
    neighbours = table.obsp["spatial_connectivities"]
    moran = table.uns["moranI"]["I"]
    # which cells are near which is only right if x and y are paired with the right cells
    _, column = neighbours[0].nonzero()
    apart = np.hypot(*(table.obsm["spatial"] - table.obsm["spatial"][0]).T)
    nearest = set(np.argsort(apart)[1:5].tolist())
    return of_table(
        table, "cell_area_px", nearest=nearest == set(column.tolist()), n_moran=len(moran)
    )


@reader
def mcmicro(folder: Path, sample: str) -> dict:
    data = spatialdata_io.mcmicro(folder)
    (table,) = data.tables.values()
    names = {"images": list(data.images), "labels": sorted(data.labels)}
    labels = np.asarray(data[f"{sample}_cell"])
    inside = labels.shape == data[f"{sample}_image"].shape[1:]
    ids = np.unique(labels)[1:].tolist() == sorted(table.obs["CellID"])
    return of_table(table, "Area", **names, labels_fit=bool(inside and ids))


@reader
def spatialdata_table(folder: Path, sample: str) -> dict:
    data = spatialdata.read_zarr(folder / "zarr" / f"{sample}.sdata.zarr")
    element, table = spatialdata.match_element_to_table(data, "cell_labels", "table")
    (x, y) = (spatialdata.get_extent(data["cell_labels"])[axis] for axis in "xy")
    return of_table(table, "cell_area_px", elements=sorted(element), extent_um=[*x, *y])


@reader
def spatialdata_labels(folder: Path, sample: str) -> dict:
    data = spatialdata.read_zarr(folder / "zarr" / f"{sample}.sdata.zarr")
    return of_labels(np.asarray(data["cell_labels"]["scale0"]["image"]))


@reader
def spatialdata_shapes(folder: Path, sample: str) -> dict:
    data = spatialdata.read_zarr(folder / "zarr" / f"{sample}.sdata.zarr")
    shapes = data["cell_shapes"]
    in_um = spatialdata.transform(shapes, to_coordinate_system="global")
    scale = float(np.sqrt(in_um.geometry.area.sum() / shapes.geometry.area.sum()))
    return of_shapes(shapes, shapes.index, scale=scale)


@reader
def napari(folder: Path, sample: str) -> dict:
    path = str(folder / "zarr" / f"{sample}.ome.zarr")
    layers = [
        {"image": Image, "labels": Labels}[kind](levels, **options)
        for levels, options, kind in napari_get_reader(path)(path)
    ]
    (cells,) = (part for part in layers if isinstance(part, Labels) and part.name == "cell")
    kinds = sorted(f"{type(layer).__name__} {layer.name}" for layer in layers)
    return of_labels(np.asarray(cells.data[0]), kinds=kinds, scale=cells.scale.tolist())


@reader
def ome_zarr_model(folder: Path, sample: str) -> dict:
    """The validator of the specification."""
    import zarr

    group = zarr.open_group(folder / "zarr" / f"{sample}.ome.zarr", mode="r")
    image = ome_zarr_models.open_ome_zarr(group)
    label = ome_zarr_models.open_ome_zarr(group["labels/cell"])
    kinds = [
        f"{type(part).__module__.split('.')[1]}.{type(part).__name__}" for part in (image, label)
    ]
    return of_labels(np.asarray(group["labels/cell/0"]), kinds=kinds)


def of_image(levels, names, scale, labels) -> dict:
    """Return what there is of the slide, and the cells of the labels beside it."""
    pixels = np.asarray(levels[0])
    sums = pixels.sum(axis=(1, 2), dtype=np.int64).tolist()
    found = {"names": list(names), "shape_of_image": pixels.shape, "n_levels": len(levels)}
    return of_labels(np.asarray(labels), **found, sums=sums, scale=scale)


@reader
def spatialdata_image(folder: Path, sample: str) -> dict:
    data = spatialdata.read_zarr(folder / "with_image" / "zarr" / f"{sample}.sdata.zarr")
    image = data["image"]
    levels = [image[level]["image"] for level in image.children]
    extent = spatialdata.get_extent(image)
    scale = [extent[axis][1] / levels[0].sizes[axis] for axis in "yx"]
    names = spatialdata.models.get_channel_names(image)
    return of_image(levels, names, scale, data["cell_labels"]["scale0"]["image"])


@reader
def ome_zarr_image(folder: Path, sample: str) -> dict:
    """The validator of the specification, and ome-zarr-py."""
    import zarr
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path = folder / "with_image" / "zarr" / f"{sample}.ome.zarr"
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))
    names = [channel.label for channel in image.attributes.omero.channels]
    nodes = list(Reader(parse_url(path))())
    transformations = nodes[0].metadata["coordinateTransformations"][0]
    (scale,) = (part["scale"] for part in transformations if part["type"] == "scale")
    assert nodes[0].metadata["channel_names"] == names
    (cells,) = (node for node in nodes if node.zarr.basename() == "cell")
    return of_image(nodes[0].data, names, scale[-2:], cells.data[0])


@reader
def napari_image(folder: Path, sample: str) -> dict:
    path = str(folder / "with_image" / "zarr" / f"{sample}.ome.zarr")
    layers = napari_get_reader(path)(path)
    shown = [(data, known) for data, known, kind in layers if kind == "image"]
    (cells,) = (data for data, known, _ in layers if known["name"] == "cell")
    levels = [np.stack(each) for each in zip(*(data for data, _ in shown), strict=True)]
    names = [known["name"].removeprefix(f"{sample}: ") for _, known in shown]
    return of_image(levels, names, list(shown[0][1]["scale"]), cells[0])


@reader
def geojson(folder: Path, sample: str) -> dict:
    """GDAL, by pyogrio; measurements as QuPath takes them, from the text."""
    import gzip

    path = folder / "geojson" / f"{sample}.cells.geojson.gz"
    shapes = geopandas.read_file(f"/vsigzip/{path.resolve()}", engine="pyogrio")
    features = json.loads(gzip.decompress(path.read_bytes()))["features"]
    told = [feature["properties"]["measurements"] for feature in features]
    (first,) = (name for name in told[0] if name.endswith(": Cell: Mean") and name[:4] == "DAPI")
    cells = of_shapes(shapes, shapes["name"].astype(int), types=sorted(set(shapes["objectType"])))
    for (label, cell), measurements in zip(cells["cells"].items(), told, strict=True):
        cells["cells"][label] = (*cell[:3], measurements[first])
    return cells


@reader
def planes(folder: Path, sample: str) -> dict:
    """CellSegmentationEvaluator on the first two planes; its reader of images is not installed."""
    sys.modules["aicsimageio"] = SimpleNamespace(AICSImage=None)
    from CellSegmentationEvaluator.single_method_eval import single_method_eval

    with tifffile.TiffFile(folder / "hubmap" / f"{sample}_mask.ome.tiff") as file:
        masks = file.series[0].asarray()
        axes = file.series[0].axes
    pixels = tifffile.imread(folder / "registration" / f"{sample}.ome.tif")
    image, mask = pixels[None, :, None], masks[None, :, None].astype(np.int64)
    size = {"pixelsizex": 1.0, "pixelsizey": 1.0}
    given = {"img": None, "data": image, "name": sample}, {"img": None, "data": mask}
    metrics = single_method_eval(*given, None, None, **size)
    metrics.pop("QualityScore")  # NaN, as its model is lists, which scikit-learn 1.9 refuses
    flat = {f"{of}: {n}": float(value) for of, part in metrics.items() for n, value in part.items()}
    return of_labels(masks[0], axes=axes, n_planes=len(masks), metrics=flat)


@reader
def parquet(folder: Path, sample: str) -> dict:
    table = pd.read_parquet(folder / "quantification" / f"{sample}.parquet")
    cells = table[table["status"] == "matched"]
    places = (cells["cell_centroid_x_px"], cells["cell_centroid_y_px"])
    return found(cells["cell_id"], *places, cells["cell_area_px"], cells["cell_mean_DAPI"])


def main() -> None:
    folder, sample, report = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    opened = {name: function(folder, sample) for name, function in READERS.items()}
    report.write_text(json.dumps(opened, default=list))


if __name__ == "__main__":
    main()
