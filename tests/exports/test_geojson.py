"""GeoJSON of cells, read with GDAL, shapely and a strict parser.

QuPath itself is not available here; the requirements of its reader (keys, UUIDs, numbers) are
asserted.
"""

import gzip
import json
import math
import uuid
import zlib
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely
import tifffile
from scipy import ndimage
from support.steps import quantified, repaired

from cellquilt.cells import cell_table
from cellquilt.errors import DataError
from cellquilt.exports import geojson
from cellquilt.images.label_image import write_label_image

SAMPLE, MPP = "one", 0.5
CHANNELS = ["DAPI", "CD4", "CD4", 'a "b" \\', "β µ", "100 % {a}"]
UNIQUE = ["DAPI", "CD4", "CD4_2", 'a "b" \\', "β µ", "100 % {a}"]


def parsed(path):
    """Return the features of a file that is JSON and nothing beyond: no NaN, no key twice."""

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), "a key comes twice"
        return dict(pairs)

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    text = gzip.decompress(path.read_bytes()).decode("utf-8")
    found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    assert found["type"] == "FeatureCollection" and set(found) == {"type", "features"}
    return found["features"]


def tissue(n_without_nucleus=4):
    """Return 30 cells (one with a hole, one of two parts, at all edges) and the nuclei of most."""
    cell = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((9, 8), int))
    cell[4, 3] = 0
    cell[18:27, 3] = 0
    inside = ndimage.minimum_filter(cell, 5) == ndimage.maximum_filter(cell, 5)
    return cell, np.where(inside & (cell <= 30 - n_without_nucleus), cell, 0)


@pytest.fixture
def measured(tmp_path):
    """Return a function that has masks measured and opens the table, as EXPORT does."""

    def make(which="all", names=CHANNELS, **masks):
        shape = next(iter(masks.values())).shape
        rng = np.random.default_rng(5)
        image = 10 ** rng.uniform(-9, 9, (len(names), *shape))
        image[:, 0, 0] = np.nan
        image[0, :9, 16:24] = 0
        folder = tmp_path / "in"
        folder.mkdir()
        slide = folder / "slide.ome.tif"
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        tifffile.imwrite(slide, image.astype(np.float32), ome=True, metadata=metadata)
        if len(masks) == 2:
            paths, matches = repaired(folder, masks["cell"], masks["nucleus"], MPP)
            matches["nucleus_certified"] = matches["nucleus_certified"] & (matches["label"] != 8)
        else:
            ((name, labels),) = masks.items()
            paths, matches = {name: folder / f"{name}.ome.tif"}, None
            write_label_image(paths[name], labels.astype(np.uint32), MPP, name)
        table = quantified(folder / f"{SAMPLE}.parquet", slide, paths, matches, MPP)
        return cell_table.open_cells(table, paths, which)

    return make


def pixels(geometry, size):
    """Return the pixels of a GeoJSON geometry, (height, width) bool."""
    y, x = np.indices(size) + 0.5
    return shapely.contains_xy(shapely.from_geojson(json.dumps(geometry)), x, y)


@pytest.mark.parametrize("which", ["all", "matched"])
def test_features_are_what_qupath_reads(measured, tmp_path, which):
    cell, nucleus = tissue()
    with measured(which, cell=cell, nucleus=nucleus) as cells:
        path = geojson.write(cells, tmp_path)
        masks = {name: mask.read(0, len(cell)) for name, mask in cells.masks.items()}
    assert path == tmp_path / "geojson" / f"{SAMPLE}.cells.geojson.gz"
    features = parsed(path)
    assert len(features) == {"all": 30, "matched": 26}[which]
    for number, feature in enumerate(features, 1):
        assert feature["type"] == "Feature"
        assert str(uuid.UUID(feature["id"])) == feature["id"]
        properties = feature["properties"]
        assert properties["objectType"] == "cell"
        assert properties["name"] == str(number)
        assert "classification" not in properties
        matched = number <= 26
        assert properties["metadata"] == {
            "label": str(number),
            "sample": SAMPLE,
            "status": "matched" if matched else "no_nucleus",
        }
        assert all(type(value) is float for value in properties["measurements"].values())
        for key, name in {"geometry": "cell", "nucleusGeometry": "nucleus"}.items():
            assert (key in feature) == (matched or name == "cell")
            if key in feature:
                own = masks[name] == number
                assert np.array_equal(pixels(feature[key], own.shape), own)
    assert len({feature["id"] for feature in features}) == len(features)
    assert {feature["geometry"]["type"] for feature in features} == {"Polygon", "MultiPolygon"}


def test_measurements_are_those_of_the_table(measured, tmp_path):
    cell, nucleus = tissue()
    with measured(cell=cell, nucleus=nucleus) as cells:
        features = parsed(geojson.write(cells, tmp_path))
        rows = cells.rows
        expected = {
            f"{channel}: {name}: Mean": cells.means(name.lower())[:, k]
            for name in ("Cell", "Nucleus", "Cytoplasm")
            for k, channel in enumerate(UNIQUE)
        }
    for name in ("Cell", "Nucleus"):
        expected |= {
            f"{name}: Area µm^2": rows[f"{name.lower()}_area_um2"],
            f"{name}: Major axis µm": rows[f"{name.lower()}_major_axis_um"],
            f"{name}: Minor axis µm": rows[f"{name.lower()}_minor_axis_um"],
            f"{name}: Eccentricity": rows[f"{name.lower()}_eccentricity"],
            f"{name}: Solidity": rows[f"{name.lower()}_solidity"],
            f"{name}: Extent": rows[f"{name.lower()}_extent"],
            f"{name}: Orientation rad": rows[f"{name.lower()}_orientation_rad"],
        }
    expected["Cytoplasm: Area µm^2"] = rows["cytoplasm_area_um2"]
    expected["Nucleus/Cell area ratio"] = rows["nuclear_to_cell_ratio"]
    expected["Nucleus: Mismatch"] = rows["mismatch"]
    expected["Flagged"], expected["Flag: Edge"] = rows["is_flagged"], rows["flag_edge"]
    expected["Flag: Uncertified"] = rows["flag_uncertified"]
    for name in ("Out of focus", "Saturated"):
        expected[f"Flag: {name}"] = rows["is_flagged"] & False
    assert rows["flag_edge"].sum() == 18 and rows.index[rows["flag_uncertified"]].tolist() == [7]
    found = [feature["properties"]["measurements"] for feature in features]
    assert set().union(*found) == set(expected)
    for name, column in expected.items():
        values = column.to_numpy(float, na_value=np.nan) if hasattr(column, "array") else column
        for measurements, value in zip(found, values.tolist(), strict=True):
            assert (name in measurements) == math.isfinite(value)
            if name in measurements:
                assert measurements[name] == pytest.approx(value, rel=6e-7, abs=0)
    assert "DAPI: Cell: Mean" not in found[0], "a pixel of it is NaN"
    assert found[2]["DAPI: Cell: Mean"] == 0
    areas = [
        shapely.from_geojson(json.dumps(feature["geometry"])).area * MPP**2 for feature in features
    ]
    assert areas == [measurements["Cell: Area µm^2"] for measurements in found]


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.0, 123456789.5, -2.5e-7, 5e-324, 1.7e308, 9.99999999, 1.0000005]
)
def test_rounding(value):
    (rounded,) = geojson.significant(np.array([value]))
    assert rounded == pytest.approx(value, rel=5.1e-7, abs=1e-290)
    assert np.isnan(geojson.significant(np.array([np.nan])))


def test_gdal_reads_real_cells(measured, tmp_path, shared_data):
    cell = tifffile.imread(shared_data / "codex_tile" / "mask_DeepCell-0.9.0_membrane.tif")
    with measured(names=["DAPI"], cell=cell) as cells:
        path = geojson.write(cells, tmp_path)
    frame = geopandas.read_file(f"/vsigzip/{path}")
    labels, areas = np.unique(cell[cell > 0], return_counts=True)
    assert frame["name"].astype(int).tolist() == labels.tolist()
    assert frame["objectType"].eq("cell").all()
    assert frame["id"].is_unique
    assert frame.geometry.is_valid.all()
    assert np.array_equal(shapely.area(frame.geometry.to_numpy()), areas)


def test_equal_cells_give_equal_files(measured, tmp_path):
    cell, nucleus = tissue()
    with measured(cell=cell, nucleus=nucleus) as cells:
        one, two = (geojson.write(cells, tmp_path / name).read_bytes() for name in "ab")
    assert one == two


def test_ids_stay_and_are_unique(measured, tmp_path):
    # This is a promise: QuPath projects refer to cells by these.
    assert geojson.object_id("a", "mesmer", 1) == "bb93a8b1-70a8-5dd5-85d7-487cd6417a9e"
    with measured(cell=tissue()[0]) as cells:
        other = [replace(cells, facts=cells.facts | changed) for changed in (
            {}, {"sample": "two"}, {"segmenter": "pixelcnn"}
        )]  # fmt: skip
        ids = [x["id"] for given in other for x in parsed(geojson.write(given, tmp_path))]
    assert len(set(ids)) == 3 * 30


@pytest.mark.parametrize("names", [("cell", "nucleus"), ("cell",), ("nucleus",)])
def test_no_cells(measured, tmp_path, names):
    with measured(**dict.fromkeys(names, np.zeros((7, 9), int))) as cells:
        path = geojson.write(cells, tmp_path)
    assert parsed(path) == []
    assert len(geopandas.read_file(f"/vsigzip/{path}")) == 0


@pytest.mark.parametrize(("name", "kind"), [("cell", "cell"), ("nucleus", "detection")])
def test_one_compartment(measured, tmp_path, name, kind):
    labels = np.zeros((7, 9), int)
    labels[6, 8] = 3
    with measured(**{name: labels}) as cells:
        (feature,) = parsed(geojson.write(cells, tmp_path))
    properties = feature["properties"]
    assert properties["objectType"] == kind
    assert properties["metadata"] == {"label": "3", "sample": SAMPLE}
    assert "nucleusGeometry" not in feature
    square = [[[8, 6], [9, 6], [9, 7], [8, 7], [8, 6]]]
    assert feature["geometry"] == {"type": "Polygon", "coordinates": square}
    assert properties["measurements"][f"{name.capitalize()}: Area µm^2"] == 0.25
    means = [key for key in properties["measurements"] if key.endswith("Mean")]
    assert means == [f"{channel}: {name.capitalize()}: Mean" for channel in UNIQUE]


def test_a_line_break_in_a_channels_name(measured, tmp_path, monkeypatch):
    with measured(cell=tissue()[0]) as cells:
        channels = [{"index": 0, "name": "CD4\nclone", "column": "CD4\nclone"}]
        renamed = replace(cells, facts=cells.facts | {"channels": channels})
        monkeypatch.setattr(cell_table.Cells, "means", lambda *_: np.full((30, 1), 2.5, np.float32))
        (feature, *_) = parsed(geojson.write(renamed, tmp_path))
    assert feature["properties"]["measurements"]["CD4\nclone: Cell: Mean"] == 2.5


def test_more_cells_than_are_written_at_once(measured, tmp_path, monkeypatch):
    cell, nucleus = tissue()
    with measured(cell=cell, nucleus=nucleus) as cells:
        whole = gzip.decompress(geojson.write(cells, tmp_path).read_bytes())
        monkeypatch.setattr(geojson, "_AT_ONCE", 7)
        parts = geojson.write(cells, tmp_path).read_bytes()
        assert gzip.decompress(parts) == whole
        monkeypatch.setattr(geojson, "OBJECTS_AT_ONCE", 14)
        assert geojson.write(cells, tmp_path).read_bytes() == parts
        monkeypatch.setattr(geojson, "_FEW", 0)
        assert geojson.write(cells, tmp_path, 2).read_bytes() == parts
    browser = zlib.decompressobj(zlib.MAX_WBITS | 16)  # takes one member
    assert browser.decompress(parts) == whole and browser.eof and not browser.unused_data


def test_masks_of_another_run(measured, tmp_path):
    with measured(cell=tissue()[0]) as cells:
        other = replace(cells, rows=cells.rows.assign(cell_id=cells.rows["cell_id"] + 1))
        with pytest.raises(DataError, match="the same run"):
            geojson.write(other, tmp_path)
    assert not [*(tmp_path / "geojson").iterdir()]
