"""Every format, read with its own reader: the same cells with the same numbers in all of them."""

import gzip
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import anndata
import numpy as np
import ome_zarr.io
import ome_zarr.reader
import ome_zarr_models
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
import spatialdata
import tifffile
import zarr
from scipy import ndimage as ndi
from skimage.segmentation import find_boundaries
from spatialdata.models import TableModel
from support.steps import quantified, repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.errors import DataError
from cellquilt.exports.zarr_pyramid import fill_pyramid
from cellquilt.images.label_image import write_label_image
from cellquilt.synthetic.tissue import generate_tissue

# of the libraries' own making, and that labels are matched to a table by rows and not by pixels
pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.filterwarnings("ignore:Element type `labels` not supported:UserWarning"),
]

SAMPLE, MPP = "one", 0.37745
WITHOUT_SLIDE = [name for name in exports.FORMATS if name not in exports.SHOWING]
ODD_NAMES = ["DAPI", "CD4", "CD4", 'a, "b"', "µ/ü", "Area"]
OWN_COLUMNS = ["X_centroid", "Y_centroid", "Area", "MajorAxisLength", "MinorAxisLength"]
OWN_COLUMNS += ["Eccentricity", "Solidity", "Extent", "Orientation"]


@dataclass
class Sample:
    """A measured slide, and its export, that is written once."""

    image: np.ndarray
    table: Path
    masks: dict[str, Path]
    which: str
    folder: Path

    @property
    def compartment(self):
        return "nucleus" if list(self.masks) == ["nucleus"] else "cell"

    @cached_property
    def sdata(self):
        return spatialdata.read_zarr(zarr_of(self, "sdata"))

    def write(self, *formats, folder=None):
        with cell_table.open_cells(self.table, self.masks, self.which) as cells:
            for name in formats:
                exports.writer(name)(cells, folder or self.folder)

    def rows(self):
        """Return the table's rows of the exported cells, by id."""
        rows = cell_table.read(self.table).dropna(subset="cell_id")
        if len(self.masks) > 1 and self.which != "all":
            rows = rows[rows["status"] == "matched"]
        if self.which == "unflagged":
            rows = rows[~rows["is_flagged"]]
        return rows.set_index(rows["cell_id"].to_numpy(int)).sort_index()

    def expected(self):
        """Return centroid, area and the first channel's mean of each cell in the table, by id."""
        name, rows = self.compartment, self.rows()
        of = ("centroid_x_px", "centroid_y_px", "area_px", "mean_DAPI")
        found = rows[[f"{name}_{column}" for column in of]].astype(float)
        return found.set_axis(["x", "y", "area", "mean"], axis=1)


def measure(folder, image, names, masks, **options):
    """Measure an image (channels, height, width); return the table and the masks' paths.

    Of both compartments these are matched, of one it is taken as it is.
    """
    folder.mkdir()
    slide, table = folder / "slide.ome.tif", folder / f"{SAMPLE}.parquet"
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(slide, image, ome=True, photometric="minisblack", metadata=metadata)
    if len(masks) == 2:
        paths, matches = repaired(folder, masks["cell"], masks["nucleus"], MPP)
        return quantified(table, slide, paths, matches, MPP, **options), paths
    ((name, labels),) = masks.items()
    path = folder / f"{name}.ome.tif"
    write_label_image(path, labels.astype(np.uint32), MPP, name)
    return quantified(table, slide, {name: path}, None, MPP, **options), {name: path}


def squares(*corners, side=9, shape=(60, 70)):
    """Return labels, from 1 up, of squares with their upper left corners there."""
    labels = np.zeros(shape, np.uint32)
    for label, (y, x) in enumerate(corners, start=1):
        labels[max(y, 0) : y + side, max(x, 0) : x + side] = label
    return labels


def cases():
    """Return the image, the channels' names, and the masks of each kind of slide."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 4000, (6, 60, 70)).astype(np.uint16)
    tissue = generate_tissue(300, 350, seed=7, empty_width=100)
    both = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    corners = (-4, -4), (-4, 65), (55, -4), (55, 65), (25, 30)
    inner = [(y + 2, x + 2) for y, x in corners]
    edges = {"cell": squares(*corners), "nucleus": squares(*inner, side=5)}
    edges["cell"][59, 20:40] = 6
    middle = {"cell": squares((20, 30)), "nucleus": squares((22, 32), side=5)}
    unmatched = {
        "cell": squares((5, 5), (5, 30), (30, 5), (30, 30)),
        "nucleus": squares((32, 32), (7, 7), (50, 60), side=4),
    }
    dotted = noise.astype(np.float32)
    dotted[0, 26, 36] = np.nan
    return {
        "tissue": (tissue.image, ODD_NAMES, both),
        "empty": (noise, ODD_NAMES, {name: 0 * mask for name, mask in middle.items()}),
        "one cell": (noise, ODD_NAMES, middle),
        "edges": (noise, ODD_NAMES, edges),
        "unmatched": (noise, ODD_NAMES, unmatched),
        "no match": (noise, ODD_NAMES, {"cell": squares((5, 5)), "nucleus": squares((40, 40))}),
        "not finite": (dotted, ODD_NAMES, unmatched),
        "nuclear": (tissue.image, ODD_NAMES, {"nucleus": tissue.nucleus_truth}),
        "whole-cell": (tissue.image, ODD_NAMES, {"cell": tissue.cell_truth}),
        "one channel": (noise[:1], ["DAPI"], middle),
    }


SLIDES = cases()
# of the tissue some cells are within, and some are not
LIMITS = {"max_mismatch": 0.4, "min_cell_um2": 30, "max_nucleus_um2": 40}
EXPORTS = [(name, "matched") for name in SLIDES if name != "no match"]
EXPORTS += [(name, "unflagged") for name in ("tissue", "edges", "nuclear", "whole-cell")]
EXPORTS += [(name, "all") for name in ("tissue", "empty", "unmatched", "no match")]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return a function that measures one of `SLIDES`, once, with `LIMITS` or without."""

    @cache
    def measured(name, limited=True):
        limits = {"limits": LIMITS} if limited else {}
        return measure(tmp_path_factory.mktemp("measured") / "in", *SLIDES[name], **limits)

    return measured


@pytest.fixture(scope="module", params=EXPORTS, ids="-".join)
def sample(request, measured, tmp_path_factory):
    name, which = request.param
    image, _, masks = SLIDES[name]
    sample = Sample(image, *measured(name), which, tmp_path_factory.mktemp("sample") / "out")
    sample.write(*(name for name in WITHOUT_SLIDE if name != "hubmap" or len(masks) == 2))
    return sample


def of_pixels(labels, image):
    """Return what `Sample.expected` does, of a label image."""
    ids = np.unique(labels[labels > 0])
    found = {"area": ndi.sum_labels(np.ones(labels.shape), labels, ids)}
    found["mean"] = ndi.mean(image[0].astype(float), labels, ids) if len(ids) else []
    centres = np.array(ndi.center_of_mass(labels > 0, labels, ids)).reshape(len(ids), 2)
    found |= {"y": centres[:, 0], "x": centres[:, 1]}
    return pd.DataFrame(found, index=ids.astype(int))


def of_csv(sample):
    table = pd.read_csv(csv_of(sample)).set_index("CellID")
    # as scimap takes it apart
    markers = table.loc[:, :"X_centroid"].iloc[:, :-1]
    columns = {"X_centroid": "x", "Y_centroid": "y", "Area": "area"}
    return table[list(columns)].rename(columns=columns).assign(mean=markers.iloc[:, 0])


def of_table(table):
    where = pd.DataFrame(table.obsm["spatial"], table.obs["cell_id"].to_numpy(int), ["x", "y"])
    area = table.obs[[name for name in table.obs if name.endswith("l_area_px")]]
    if area.empty:
        area = table.obs[["nucleus_area_px"]]
    return where.assign(area=area.to_numpy(float)[:, 0], mean=table.X[:, 0])


def of_ome_zarr(sample):
    location = ome_zarr.io.parse_url(zarr_of(sample, "ome") / "labels" / sample.compartment)
    (node,) = ome_zarr.reader.Reader(location)()
    return of_pixels(np.asarray(node.data[0]), sample.image)


def of_hubmap(sample):
    planes = tifffile.imread(sample.folder / "hubmap" / f"{SAMPLE}_mask.ome.tiff")
    return of_pixels(planes[0], sample.image)


def of_sdata(sample):
    return of_table(sample.sdata["table"])


def of_geojson(sample):
    with gzip.open(sample.folder / "geojson" / f"{SAMPLE}.cells.geojson.gz") as file:
        features = json.load(file)["features"]
    found = pd.DataFrame({"x": [], "y": [], "area": [], "mean": []})
    mean = f"DAPI: {sample.compartment.capitalize()}: Mean"
    for feature in features:
        outline, known = shapely.geometry.shape(feature["geometry"]), feature["properties"]
        centre = np.array(outline.centroid.coords[0]) - 0.5
        row = [*centre, outline.area, known["measurements"].get(mean, np.nan)]
        found.loc[int(known["metadata"]["label"])] = row
    return found.set_axis(found.index.astype(int))


READERS = {"csv": of_csv, "h5ad": lambda sample: of_table(h5ad_of(sample))}
READERS |= {"spatialdata": of_sdata, "ome-zarr": of_ome_zarr, "hubmap": of_hubmap}
READERS |= {"geojson": of_geojson}


def csv_of(sample):
    name = f"{SAMPLE}--mesmer_{sample.compartment}.csv"
    return sample.folder / "quantification" / name


def h5ad_of(sample):
    return anndata.read_h5ad(sample.folder / "anndata" / f"{SAMPLE}.h5ad")


def zarr_of(sample, kind):
    return sample.folder / "zarr" / f"{SAMPLE}.{kind}.zarr"


@pytest.mark.parametrize("name", READERS)
def test_same_cells_and_numbers_as_in_the_table(sample, name):
    if name == "hubmap" and len(sample.masks) == 1:  # its mask is of both compartments
        assert not (sample.folder / "hubmap").exists()
        return
    expected, found = sample.expected(), READERS[name](sample).sort_index()
    assert found.index.tolist() == expected.index.tolist()
    found = found[expected.columns].astype(float)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_csv_is_in_mcmicros_layout(sample):
    table = pd.read_csv(csv_of(sample))
    names = ["DAPI", "CD4", "CD4_2", 'a, "b"', "µ/ü", "Area_2"][: len(sample.image)]
    assert table.columns.tolist() == ["CellID", *names, *OWN_COLUMNS]
    assert (table["Area"] == sample.expected()["area"].to_numpy()).all()
    rows = sample.rows()
    same = {"MajorAxisLength": "major_axis_px", "Orientation": "orientation_rad"}
    for column, of in same.items():
        expected = rows[f"{sample.compartment}_{of}"]
        np.testing.assert_allclose(table[column].astype(float), expected, rtol=1e-12)
    markers = pd.read_csv(sample.folder / "markers.csv")
    assert markers["marker_name"].tolist() == names
    assert markers["channel_number"].tolist() == list(range(1, len(names) + 1))
    # the only table there, which spatialdata-io takes each for one of cells
    assert [path.name for path in csv_of(sample).parent.iterdir()] == [csv_of(sample).name]


def test_h5ad_holds_all_that_is_known(sample):
    table, rows, name = h5ad_of(sample), sample.rows(), sample.compartment
    TableModel().validate(table)
    n_channels = len(sample.image)
    assert table.obs_names.tolist() == [f"{SAMPLE}_{label}" for label in rows.index]
    assert table.X.dtype == np.float32
    columns = ["DAPI", "CD4", "CD4_2", 'a, "b"', "µ/ü", "Area"][:n_channels]
    assert table.var_names.tolist() == columns
    assert table.var["name"].tolist() == ODD_NAMES[:n_channels]
    assert table.var["channel_index"].tolist() == list(range(n_channels))
    layers = {part: table.layers[part] for part in table.layers if part}  # X is None among them
    assert set(layers) == ({"nucleus", "cytoplasm"} if len(sample.masks) > 1 else set())
    for part, means in {name: table.X, **layers}.items():
        expected = rows[[f"{part}_mean_{column}" for column in columns]].to_numpy(np.float32)
        np.testing.assert_array_equal(means, expected)
    known = {column for column in rows if "_mean_" not in column}
    assert set(table.obs) == known | {"sample", "region"}
    for column in known:
        found, expected = table.obs[column], rows[column]
        assert (found.isna().to_numpy() == expected.isna().to_numpy()).all(), column
        same = found.dropna().to_numpy() == expected.dropna().to_numpy()
        assert same.all(), column
    assert table.obsm["spatial"].dtype == np.float64
    facts = table.uns["cellquilt"]
    assert (facts["sample"], facts["image_mpp"]) == (SAMPLE, MPP)
    assert json.loads(facts["provenance"]) == cell_table.read_facts(sample.table)["provenance"]


def test_spatialdata_labels_shapes_and_table_agree_in_um(sample):
    data = sample.sdata
    name, expected = sample.compartment, sample.expected()
    names = ["cell", "nucleus"] if len(sample.masks) > 1 else [name]
    elements = [f"{part}_labels" for part in names]
    shown = [part for part in names if sample.rows()[f"{part}_area_px"].notna().any()]
    elements += [f"{part}_shapes" for part in shown] + ["table"]
    assert sorted(data._shared_keys) == sorted(elements)
    assert data.coordinate_systems == ["global"]
    if expected.empty:
        return
    _, table = spatialdata.match_element_to_table(data, f"{name}_labels", "table")
    assert table.obs["cell_id"].tolist() == expected.index.tolist()
    mean = spatialdata.get_values(
        "DAPI", sdata=data, element_name=f"{name}_labels", table_name="table"
    )
    np.testing.assert_allclose(mean["DAPI"], expected["mean"], rtol=1e-6)
    for part in shown:
        shapes = spatialdata.transform(data[f"{part}_shapes"], to_coordinate_system="global")
        centres = spatialdata.get_centroids(data[f"{part}_labels"], "global").compute()
        centres = centres.loc[shapes.index]
        for axis in "xy":
            of_shape = getattr(shapes.geometry.centroid, axis)
            np.testing.assert_allclose(of_shape, centres[axis], atol=0.01 * MPP)
            rows = sample.rows().loc[shapes.index]
            from_corner = rows[f"{part}_centroid_{axis}_px"] + 0.5
            np.testing.assert_allclose(of_shape, from_corner * MPP, atol=0.01 * MPP)
        areas = sample.rows()[f"{part}_area_um2"].loc[shapes.index]
        np.testing.assert_allclose(shapes.geometry.area, areas, rtol=1e-9)
    assert data[f"{name}_shapes"].index.tolist() == expected.index.tolist()


def test_flags_are_those_of_the_table_in_every_format_with_a_table(sample):
    rows = sample.rows()
    names = [name for name in rows if name.startswith("flag_")] + ["is_flagged"]
    if len(rows) > 50 and sample.which != "unflagged":
        assert 0 < rows["is_flagged"].sum() < len(rows)
    assert not (sample.which == "unflagged" and rows["is_flagged"].any())
    expected = rows[names].astype(bool)
    for table in (h5ad_of(sample), sample.sdata["table"]):
        found = table.obs.set_index(table.obs["cell_id"].to_numpy(int))[names]
        assert set(map(str, found.dtypes)) == {"bool"}
        assert found.equals(expected)
    with gzip.open(sample.folder / "geojson" / f"{SAMPLE}.cells.geojson.gz") as file:
        features = json.load(file)["features"]
    titles = {name: f"Flag: {name[5:].replace('_', ' ').capitalize()}" for name in names}
    titles["is_flagged"] = "Flagged"
    for feature, own in zip(features, expected.to_dict("records"), strict=True):
        known = feature["properties"]["measurements"]
        assert {name: known[title] for name, title in titles.items()} == own


def test_flags_and_limits_change_nothing_in_mcmicros_csv(measured, tmp_path):
    """Of the cells that are there."""
    found = {}
    for limits in ({}, LIMITS):
        given = SLIDES["tissue"][0], *measured("tissue", limited=bool(limits))
        for which in cell_table.WHICH:
            sample = Sample(*given, which, tmp_path / f"{len(limits)}-{which}")
            sample.write("csv")
            found[len(limits), which] = csv_of(sample).read_text().splitlines()
        ids = sample.rows()["cell_id"][~sample.rows()["is_flagged"]]
        unflagged = found[len(limits), "unflagged"][1:]
        assert {int(line.partition(",")[0]) for line in unflagged} <= set(ids)
        assert set(unflagged) < set(found[len(limits), "matched"])
    for which in ("matched", "all"):
        assert found[0, which] == found[len(LIMITS), which]
    assert len(found[0, "unflagged"]) > len(found[len(LIMITS), "unflagged"]) > 1


def test_a_table_without_flags_has_no_unflagged_cells(tissue, tmp_path):
    whole = pq.read_table(tissue.table)
    old = tmp_path / f"{SAMPLE}.parquet"
    pq.write_table(whole.drop_columns(["is_flagged"]), old)
    opened = cell_table.open_cells(old, tissue.masks, "unflagged")
    with pytest.raises(DataError, match=r"one\.parquet: has no flags; QUANTIFY"), opened:
        pass
    with cell_table.open_cells(old, tissue.masks) as cells:
        assert len(cells.rows) == len(tissue.rows())


def test_ome_zarr_is_valid_and_opens_as_an_image_with_labels(sample):
    path = zarr_of(sample, "ome")
    names = ["cell", "nucleus"] if len(sample.masks) > 1 else [sample.compartment]
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"))
    assert isinstance(image, ome_zarr_models.v04.Image)
    assert image.labels.attributes.labels == names
    drawing, *_ = ome_zarr.reader.Reader(ome_zarr.io.parse_url(path))()
    assert drawing.metadata["channel_names"] == names
    for name in names:
        group = zarr.open_group(path / "labels" / name, mode="r")
        ome_zarr_models.v04.ImageLabel.from_zarr(group)
        (scale,) = group.attrs["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        assert scale == {"type": "scale", "scale": [MPP, MPP]}


def check_planes(sample):
    """Compare HuBMAP's mask with its own planes, and with what the planes are to be."""
    with tifffile.TiffFile(sample.folder / "hubmap" / f"{SAMPLE}_mask.ome.tiff") as file:
        assert file.series[0].axes == "CYX"
        assert (file.series[0].dtype, file.series[0].shape[0]) == (np.uint32, 4)
        planes, xml = file.asarray(), file.ome_metadata
    names = re.findall(r'Channel ID="[^"]*" [^>]*Name="([^"]*)"', xml)
    assert names == ["cells", "nuclei", "cell_boundaries", "nucleus_boundaries"]
    assert f'PhysicalSizeX="{MPP}"' in xml
    for labels, boundaries in zip(planes[:2], planes[2:], strict=True):
        edge = find_boundaries(labels, connectivity=1, mode="inner")
        np.testing.assert_array_equal(boundaries, np.where(edge, labels, 0))
    return planes


def test_hubmap_has_the_four_planes(sample):
    if len(sample.masks) == 1:
        return
    cells, nuclei, *_ = check_planes(sample)
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])


@pytest.fixture
def tissue(measured, tmp_path):
    given = SLIDES["tissue"][0], *measured("tissue", limited=False)
    return Sample(*given, "matched", tmp_path / "out")


def files_of(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_equal_input_gives_equal_files(tissue, tmp_path):
    tissue.write(*WITHOUT_SLIDE)
    first = files_of(tissue.folder)
    tissue.write(*WITHOUT_SLIDE)  # over those that are there
    tissue.write(*WITHOUT_SLIDE, folder=tmp_path / "again")
    assert files_of(tissue.folder) == first == files_of(tmp_path / "again")


def test_own_columns_follow_in_every_table(tmp_path):
    """A name that a format does not allow is changed there alone."""
    own = {"patient": 7, "dose": 1.5, "age": None, "Tumor stage": "II", "T/N": "", "CD4": "yes"}
    image, names, masks = SLIDES["one cell"]
    table, paths = measure(tmp_path / "in", image, names, masks, own=own)
    sample = Sample(image, table, paths, "matched", tmp_path / "out")
    sample.write("csv", "h5ad", "spatialdata")

    text = pd.read_csv(csv_of(sample), keep_default_na=False)
    named = ["patient", "dose", "age", "Tumor stage", "T/N", "CD4_3"]
    assert list(text)[list(text).index("Orientation") + 1 :] == named
    assert text[named].iloc[0].tolist() == [7, 1.5, "", "II", "", "yes"]
    plain = h5ad_of(sample).obs
    sdata = spatialdata.read_zarr(zarr_of(sample, "sdata"))["table"].obs
    for obs, stage in ((plain, "Tumor stage"), (sdata, "Tumor_stage")):
        assert obs["patient"].dtype == "int64" and obs["patient"].iloc[0] == 7
        assert obs["dose"].dtype == obs["age"].dtype == "float64" and np.isnan(obs["age"].iloc[0])
        assert obs[stage].tolist() == ["II"] and obs["CD4"].tolist() == ["yes"]
        assert obs["T_N"].isna().all()


def test_pyramid_takes_every_second_pixel_across_rows_of_chunks(tmp_path):
    image = np.random.default_rng(0).integers(0, 2**32, (2301, 1433), np.uint32)
    for rounding in (np.floor, np.ceil):
        shapes = [rounding(np.array(image.shape) / step).astype(int) for step in (1, 2, 4)]
        levels = [zarr.create_array({}, shape=tuple(map(int, s)), dtype="u4") for s in shapes]
        fill_pyramid(levels, lambda y0, y1: image[y0:y1], tmp_path)
        for step, level in zip((1, 2, 4), levels, strict=True):
            height, width = level.shape
            np.testing.assert_array_equal(level[:], image[::step, ::step][:height, :width])


def test_a_slide_of_several_chunks_and_levels(tmp_path):
    grid = np.arange(1, 18 * 12 + 1, dtype=np.uint32).reshape(18, 12)
    cell = np.kron(grid, np.ones((128, 110), np.uint32))  # edges where rows of chunks meet
    cell[:, 55::110] = 0
    edge = find_boundaries(cell, connectivity=1, mode="inner") & (cell > 0)
    nucleus = np.where(edge, 0, cell)
    image = np.zeros((1, *cell.shape), np.uint8)
    table, paths = measure(tmp_path / "in", image, ["DAPI"], {"cell": cell, "nucleus": nucleus})
    sample = Sample(image, table, paths, "matched", tmp_path / "out")
    sample.write("hubmap", "ome-zarr", "spatialdata")

    cells, nuclei, *_ = check_planes(sample)
    np.testing.assert_array_equal(cells, cell)
    np.testing.assert_array_equal(nuclei, nucleus)
    drawn, *_ = ome_zarr.reader.Reader(ome_zarr.io.parse_url(zarr_of(sample, "ome")))()
    picture = np.where(edge, 255, np.where(cell > 0, 96, 0))
    data = spatialdata.read_zarr(zarr_of(sample, "sdata"))
    labels = zarr.open_group(zarr_of(sample, "ome") / "labels" / "nucleus", mode="r")
    for k, step in enumerate((1, 2, 4)):
        np.testing.assert_array_equal(drawn.data[k][0], picture[::step, ::step])
        np.testing.assert_array_equal(labels[str(k)], nucleus[::step, ::step])
        np.testing.assert_array_equal(
            data["nucleus_labels"][f"scale{k}"]["image"], nucleus[::step, ::step]
        )


@pytest.fixture
def export(bin_script, tmp_path):
    def run(table, masks, *options):
        arguments = ["--tables", table, "--masks", *masks.values(), "--outdir", tmp_path / "run"]
        return bin_script("export", *arguments, *options)

    return run


def test_script_writes_the_formats_that_can_be(export, measured, tmp_path):
    done = export(*measured("nuclear"), "--formats", "hubmap, csv,csv", "--cells", "all")
    assert done.returncode == 0, done.stderr
    assert "one: no hubmap, which needs cells and nuclei" in done.stderr
    csv = tmp_path / "run" / "one" / "quantification" / "one--mesmer_nucleus.csv"
    size = csv.stat().st_size
    assert len(re.findall(rf"csv: {csv.name}, \d+\.\d s, {size} bytes", done.stderr)) == 1
    assert not (tmp_path / "run" / "one" / "hubmap").exists()


def test_script_names_the_formats_there_are(export, tissue):
    done = export(tissue.table, tissue.masks, "--formats", "csv,fcs")
    assert done.returncode == 65
    assert done.stderr.startswith("ERROR: there is no format 'fcs'; formats are csv, h5ad, geojson")


def test_formats_are_imported_only_when_asked_for(repo):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from cellquilt import exports;"
    code += "exports.writer('csv'); assert not {'anndata', 'spatialdata'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code, repo / "bin"], check=True)
