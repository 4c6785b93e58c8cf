"""What else was measured than means, as each format names it; and the view of Vitessce."""

import gzip
import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import spatialdata
import tifffile
import zarr
from support.steps import quantified, repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.cells.measures import NAMES, Asked
from cellquilt.errors import DataError
from cellquilt.synthetic.tissue import generate_tissue

pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.filterwarnings("ignore:Element type `labels` not supported:UserWarning"),
]

SAMPLE, CHANNELS = "one", ["DAPI", "CD4/µ", "CD4/µ", "Area", "<b>", "Area_intensity_sum"]
UNIQUE = ["DAPI", "CD4/µ", "CD4/µ_2", "Area", "<b>", "Area_intensity_sum"]
PARTS = ("cell", "nucleus", "cytoplasm", "boundary")
FORMATS = ["csv", "h5ad", "geojson", "spatialdata", "ome-zarr"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the exports of a slide of which all was measured, and of which means were."""
    tissue = generate_tissue(200, 260, seed=7, empty_width=30)
    found = {}
    for name, asked in {"all": Asked(NAMES, boundary=True), "means": Asked()}.items():
        folder = tmp_path_factory.mktemp(name) / SAMPLE
        masks, matches = repaired(folder, tissue.cell_truth, tissue.nucleus_truth, 0.5, SAMPLE)
        slide = folder / "slide.ome.tif"
        metadata = {"axes": "CYX", "Channel": {"Name": CHANNELS}}
        options = {"ome": True, "photometric": "minisblack", "metadata": metadata}
        image = tissue.image + np.arange(len(CHANNELS), dtype=np.uint16)[:, None, None]
        tifffile.imwrite(slide, image, **options)
        table = folder / "quantification" / f"{SAMPLE}.parquet"
        quantified(table, slide, masks, matches, asked=asked)
        with cell_table.open_cells(table, masks) as cells:
            exports.export(cells, FORMATS, folder)
        found[name] = folder
    return found


@pytest.fixture(scope="module")
def rows(folders) -> pd.DataFrame:
    rows = cell_table.read(folders["all"] / "quantification" / f"{SAMPLE}.parquet")
    assert len(rows := rows[rows["status"] == "matched"]) > 20
    return rows.sort_values("cell_id")


def values(rows: pd.DataFrame, part: str, measure: str) -> np.ndarray:
    columns = [cell_table.intensity_column(part, name, measure) for name in UNIQUE]
    return rows[columns].to_numpy("float64", na_value=np.nan).astype(np.float32)


def layers_of(table: anndata.AnnData) -> dict[tuple[str, str], np.ndarray]:
    """Return X and the layers by compartment and measure, from their names."""
    found = {("cell", "mean"): table.X}
    for name in table.layers:
        if name is not None:
            part, _, measure = name.partition("_")
            found[part, measure or "mean"] = table.layers[name]
    return found


@pytest.mark.parametrize("kind", ["h5ad", "spatialdata"])
def test_layers_of_anndata_are_the_columns_of_the_table(kind, folders, rows):
    if kind == "h5ad":
        table = anndata.read_h5ad(folders["all"] / "anndata" / f"{SAMPLE}.h5ad")
    else:
        store = folders["all"] / "zarr" / f"{SAMPLE}.sdata.zarr"
        table = spatialdata.read_zarr(store)["table"]
    found = layers_of(table)
    assert set(found) == {(part, measure) for part in PARTS for measure in NAMES}
    for (part, measure), layer in found.items():
        np.testing.assert_array_equal(np.asarray(layer), values(rows, part, measure))
    assert not [name for name in table.obs if "_p90_" in name]


def test_backgrounds_are_in_uns_in_the_order_of_the_channels(folders):
    for folder in folders.values():
        table = anndata.read_h5ad(folder / "anndata" / f"{SAMPLE}.h5ad")
        assert table.var_names.tolist() == UNIQUE
        markers = cell_table.read_markers(folder / "quantification" / f"{SAMPLE}.parquet")
        expected = [marker["background"] for marker in markers]
        assert table.uns["cellquilt"]["background"].tolist() == expected
        assert len(set(expected)) > 1


def test_geojson_names_measurements_as_qupath_does(folders, rows):
    with gzip.open(folders["all"] / "geojson" / f"{SAMPLE}.cells.geojson.gz") as file:
        features = json.load(file)["features"]
    said = ("Mean", "Median", "Std.Dev.", "Percentile 90", "Max", "Sum")
    titles = {"cell": "Cell", "nucleus": "Nucleus", "cytoplasm": "Cytoplasm"}
    titles["boundary"] = "Membrane"
    for part, title in titles.items():
        for measure, name in zip(NAMES, said, strict=True):
            expected = values(rows, part, measure)
            for k, channel in enumerate(UNIQUE):
                key = f"{channel}: {title}: {name}"
                found = [
                    feature["properties"]["measurements"].get(key, np.nan) for feature in features
                ]
                np.testing.assert_allclose(found, expected[:, k], rtol=1e-6, err_msg=key)


def test_csv_has_measures_of_the_cell_after_all_else(folders, rows):
    csv = pd.read_csv(folders["all"] / "quantification" / f"{SAMPLE}--mesmer_cell.csv")
    plain = pd.read_csv(folders["means"] / "quantification" / f"{SAMPLE}--mesmer_cell.csv")
    n = len(plain.columns)
    pd.testing.assert_frame_equal(csv[csv.columns[:n]], plain)
    more = [measure for measure in NAMES if measure != "mean"]
    expected = np.hstack([values(rows, "cell", measure) for measure in more])
    np.testing.assert_allclose(csv[csv.columns[n:]].to_numpy(), expected, rtol=1e-6)
    names = csv.columns.tolist()
    # Area is a column of the layout, and two channels could want one name
    assert names[n] == "DAPI_intensity_median" and "Area_2_intensity_sum" in names
    assert len(set(names)) == len(names)


def test_without_more_measures_files_say_nothing_of_them(folders):
    folder = folders["means"]
    facts = cell_table.read_facts(folder / "quantification" / f"{SAMPLE}.parquet")
    assert not {"measures", "boundary_um"} & set(facts)
    assert facts["provenance"][-1]["parameters"] == {}
    table = anndata.read_h5ad(folder / "anndata" / f"{SAMPLE}.h5ad")
    assert {name for name in table.layers if name} == {"nucleus", "cytoplasm"}


@pytest.mark.parametrize("damage", [{"measures": ["mode"]}, {"measures": "mean"}])
def test_a_damaged_list_of_measures_is_refused(damage, folders, tmp_path):
    import pyarrow.parquet as pq

    table = pq.read_table(folders["all"] / "quantification" / f"{SAMPLE}.parquet")
    facts = json.loads(table.schema.metadata[cell_table.FACTS]) | damage
    path = tmp_path / "x.parquet"
    pq.write_table(table.replace_schema_metadata({cell_table.FACTS: json.dumps(facts)}), path)
    masks = folders["all"] / "segmentation" / f"mesmer-{SAMPLE}"
    paths = {name: masks / f"{name}.ome.tif" for name in ("cell", "nucleus")}
    with (
        pytest.raises(DataError, match="list of measures is damaged"),
        cell_table.open_cells(path, paths),
    ):
        pass


def test_the_view_of_vitessce_names_what_is_there(folders, rows):
    """That it is valid by Vitessce's own schema is looked at by hand, see docs/outputs.md."""
    folder = folders["all"]
    view = json.loads((folder / "vitessce.json").read_text())
    files = view["datasets"][0]["files"]
    assert [file["fileType"].partition(".")[0] for file in files] == [
        *("image", "obsSegmentations", "obsSegmentations", "anndata")
    ]
    image, cell, nucleus, table = (
        zarr.open_group(folder / file["url"], mode="r") for file in files
    )
    assert image.attrs["omero"] and cell.attrs["image-label"] and nucleus.attrs["image-label"]
    assert table.metadata.zarr_format == 2
    options = files[-1]["options"]
    paths = [options["obsFeatureMatrix"]["path"], *(of["path"] for of in options["obsSets"])]
    assert paths == ["X", "obs/is_flagged", "obs/status"] and all(path in table for path in paths)
    cells = anndata.read_zarr(folder / files[-1]["url"])
    # Vitessce finds a cell by its value in the mask
    labels = np.unique(cell["0"][:])
    assert cells.obs_names.tolist() == [str(label) for label in labels[labels > 0]]
    np.testing.assert_array_equal(cells.X, values(rows, "cell", "mean"))
    assert cells.var_names.tolist() == UNIQUE
    flagged = rows["is_flagged"].map({True: "yes", False: "no"})
    assert cells.obs["is_flagged"].tolist() == flagged.tolist()
    space = view["coordinationSpace"]
    for place in view["layout"]:
        for kind, scope in place["coordinationScopes"].items():
            for name in [scope] if isinstance(scope, str) else scope:
                assert name in space[kind]
    for kinds in space["metaCoordinationScopesBy"]["cells"].values():
        for kind, scopes in kinds.items():
            for scope in scopes.values():
                assert {scope} if isinstance(scope, str) else set(scope) <= set(space[kind])


def test_there_is_no_view_without_both_formats(folders, tmp_path):
    folder = folders["means"]
    masks = folder / "segmentation" / f"mesmer-{SAMPLE}"
    paths = {name: masks / f"{name}.ome.tif" for name in ("cell", "nucleus")}
    with cell_table.open_cells(folder / "quantification" / f"{SAMPLE}.parquet", paths) as cells:
        exports.export(cells, ["h5ad"], tmp_path)
    assert not (tmp_path / "vitessce.json").exists()
