"""Measures besides the mean, against numpy on the same pixels of each cell."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from support.steps import quantified, repaired

from cellquilt.cells import cell_table, measures
from cellquilt.cells.measures import NAMES, Asked
from cellquilt.errors import DataError
from cellquilt.exports import geojson
from cellquilt.images.label_image import LabelReader, write_label_image
from cellquilt.reports.methods.cells import MEASURES as SAID

ALL = Asked(NAMES, boundary=True)
OF_NUMPY = {  # of (channels, n) pixels
    "mean": lambda pixels: np.mean(pixels, axis=1),
    "median": lambda pixels: np.median(pixels, axis=1),
    "std": lambda pixels: np.std(pixels, axis=1),
    "p90": lambda pixels: np.percentile(pixels, 90, axis=1),
    "max": lambda pixels: np.max(pixels, axis=1),
    "sum": lambda pixels: np.sum(pixels, axis=1),
}


def labels_of(path: Path) -> np.ndarray:
    with LabelReader(path) as labels:
        return labels.read(0, labels.shape[0])


def ring_of(labels: np.ndarray, mpp: float) -> np.ndarray:
    """Return the ring by its definition, one step to a neighbour at a time."""
    radius = max(1 / mpp, 1)
    reach = int(radius)
    is_near = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx > radius**2 + 1e-9:
                continue
            here = np.s_[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
            there = np.s_[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
            is_near[here] |= labels[here] != labels[there]
    return np.where(is_near, labels, 0)


def by_label(labels: np.ndarray, image: np.ndarray) -> dict[int, np.ndarray]:
    """Return the pixels of each object, (channels, n) float64."""
    places = np.flatnonzero(labels)
    order = places[np.argsort(labels.ravel()[places], kind="stable")]
    found, starts = np.unique(labels.ravel()[order], return_index=True)
    pixels = image.reshape(len(image), -1)[:, order].astype(np.float64)
    parts = np.split(pixels, starts[1:], axis=1)
    return dict(zip(found.tolist(), parts, strict=True))


def check(path: Path, image: np.ndarray, masks: dict[str, np.ndarray]) -> int:
    """Compare all measures of the rows with numpy's; `masks` are by their column of labels."""
    rows = cell_table.read(path)
    names = [channel["column"] for channel in cell_table.read_facts(path)["channels"]]
    compared = 0
    for compartment, (column, labels) in masks.items():
        pixels = by_label(labels, image)
        wanted = rows[column].map(lambda label, of=pixels: label in of, na_action="ignore")
        chosen = wanted.fillna(False).to_numpy(bool)
        assert chosen.sum() == len(pixels)
        for measure in NAMES:
            columns = [cell_table.intensity_column(compartment, name, measure) for name in names]
            found = rows[columns].to_numpy("float64", na_value=np.nan)
            labels_there = rows.loc[chosen, column]
            expected = np.float32([OF_NUMPY[measure](pixels[label]) for label in labels_there])
            exact = {"rtol": 0, "atol": 0} if measure in ("median", "p90", "max") else {}
            settings = {"rtol": 2e-7, "atol": 1e-12} | exact
            np.testing.assert_allclose(
                found[chosen], expected, **settings, err_msg=f"{compartment} {measure}"
            )
            assert np.isnan(found[~chosen]).all()
            compared += expected.size
    return compared


def write_slide(path: Path, image: np.ndarray) -> Path:
    metadata = {"axes": "CYX", "Channel": {"Name": [f"c{k}" for k in range(len(image))]}}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def masks() -> tuple[np.ndarray, np.ndarray]:
    """Return cells and nuclei of all kinds: of one pixel, in parts, side by side, at the edges."""
    rng = np.random.default_rng(5)
    cells = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((13, 11), int)).astype(np.uint32)
    cells[rng.random(cells.shape) < 0.03] = 0  # holes
    cells[20:60:3, 40:44] = 31  # in parts, through many others
    cells[3, 3] = 32  # one pixel, as a hole of another
    cells[64, 65] = 33  # and at a corner
    cells[50, :] = 34  # from edge to edge
    nuclei = np.zeros_like(cells)
    inside = np.kron(np.ones((5, 6)), np.pad(np.ones((5, 5)), ((4, 4), (3, 3)))) > 0
    nuclei[inside] = cells[inside]
    nuclei[nuclei == 7] = 0  # a cell without nucleus
    nuclei[25:27, 8:14] = 40  # a nucleus of two cells
    return cells, nuclei


def images(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    few = rng.integers(0, 3, (1, *shape))  # nearly all pixels are equal
    noise = rng.integers(0, 60000, (1, *shape))
    real = rng.normal(0, 1e4, (1, *shape))
    return {
        "uint8": np.concatenate([few, noise % 256]).astype(np.uint8),
        "uint16": np.concatenate([few, noise]).astype(np.uint16),
        "int8": np.concatenate([-few, noise % 256 - 128]).astype(np.int8),
        "float32": np.concatenate([few / 3, real]).astype(np.float32),
        ">f8": np.concatenate([-few, real]).astype(">f8"),
    }


@pytest.mark.parametrize(
    ("kind", "mpp"),
    [
        *((kind, 0.37745) for kind in ("uint8", "uint16", "int8", "float32", ">f8")),
        *(("uint16", mpp) for mpp in (0.25, 2.5)),
    ],
)
def test_every_measure_is_numpys_however_rows_are_streamed(kind, mpp, masks, tmp_path):
    cells, nuclei = masks
    image = images(cells.shape)[kind]
    slide = write_slide(tmp_path / "s.ome.tif", image)
    paths, matches = repaired(tmp_path / "masks", cells, nuclei, mpp)
    tables = [
        quantified(
            tmp_path / f"{pixels}" / "s.parquet",
            *(slide, paths, matches, mpp),
            asked=ALL,
            pixels=pixels,
        )
        for pixels in (1 << 22, 1, 66 * 7)
    ]
    assert len({table.read_bytes() for table in tables}) == 1
    cell, nucleus = (labels_of(paths[f"{name}_original"]) for name in ("cell", "nucleus"))
    matched = {name: labels_of(paths[name]) for name in ("cell", "nucleus")}
    # Nuclei are trimmed where they are matched, and as they were where they are alone
    alone = matches["cell_label"].isna().to_numpy()
    ids = matches["nucleus_label"][alone].to_numpy("int64")
    assert len(ids)
    paired = matches[matches["status"] == "matched"].set_index("label")
    of_pair = np.zeros(int(matched["nucleus"].max()) + 1, np.uint32)
    of_pair[paired.index.to_numpy("int64")] = paired["nucleus_label"]
    trimmed = of_pair[matched["nucleus"]]
    nuclei = np.where(trimmed == 0, np.where(np.isin(nucleus, ids), nucleus, 0), trimmed)
    cytoplasm = np.where(matched["nucleus"] == 0, matched["cell"], 0)
    compared = {
        "cell": ("cell_label", cell),
        "nucleus": ("nucleus_label", nuclei),
        "boundary": ("cell_label", ring_of(cell, mpp)),
    }
    assert check(tables[0], image, compared) > 2 * 6 * (34 + 28)
    rows = cell_table.read(tables[0])
    unmatched = np.unique(cytoplasm[cytoplasm > 0])
    assert rows["cytoplasm_max_c0"].notna().sum() == len(unmatched)
    check_cytoplasm(rows, image, cytoplasm)


def check_cytoplasm(rows, image: np.ndarray, cytoplasm: np.ndarray) -> None:
    of = rows[rows["status"] == "matched"].set_index("cell_id")
    for label, pixels in by_label(cytoplasm, image).items():
        for measure, numpys in OF_NUMPY.items():
            found = [of.loc[label, f"cytoplasm_{measure}_c{k}"] for k in range(len(image))]
            expected = np.float32(numpys(pixels))
            np.testing.assert_allclose(np.float32(found), expected, rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("compartment", ["cell", "nucleus"])
def test_one_compartment_alone_has_all_measures(compartment, masks, tmp_path):
    image = images(masks[0].shape)["uint16"]
    slide = write_slide(tmp_path / "s.ome.tif", image)
    labels = masks[compartment == "nucleus"]
    write_label_image(tmp_path / f"{compartment}.ome.tif", labels, 0.5, compartment)
    path = {compartment: tmp_path / f"{compartment}.ome.tif"}
    table = quantified(tmp_path / "s.parquet", slide, path, asked=ALL, pixels=66 * 5)
    expected = {compartment: ("cell_id", labels)}
    if compartment == "cell":
        expected["boundary"] = ("cell_id", ring_of(labels, 0.5))
    check(table, image, expected)
    parts = {name.partition("_")[0] for name in pq.read_schema(table).names if "_p90_" in name}
    assert parts == set(expected)  # nuclei alone have no membrane


def test_every_number_of_the_codex_tile_is_numpys(shared_data, mesmer_predictions, tmp_path):
    slide = shared_data / "codex_tile" / "codex_tile.ome.tif"
    labels = mesmer_predictions["codex tile"]["labels"]
    paths, matches = repaired(tmp_path, labels[..., 0], labels[..., 1], 0.37745)
    table = quantified(tmp_path / "a.parquet", slide, paths, matches, 0.37745, asked=ALL)
    image = tifffile.imread(slide)
    cell, nucleus = labels_of(paths["cell_original"]), labels_of(paths["nucleus"])
    ring = ring_of(cell, 0.37745)
    compared = check(table, image, {"cell": ("cell_label", cell), "boundary": ("cell_label", ring)})
    assert compared > 2 * 8 * 6 * 2900
    matched = cell_table.read(table).query("status == 'matched'")
    for compartment, of in {
        "nucleus": nucleus,
        "cytoplasm": np.where(nucleus == 0, labels_of(paths["cell"]), 0),
    }.items():
        pixels = by_label(of, image)
        names = [channel["column"] for channel in cell_table.read_facts(table)["channels"]]
        for measure in NAMES:
            columns = [cell_table.intensity_column(compartment, name, measure) for name in names]
            found = matched.set_index("cell_id")[columns].loc[list(pixels)].to_numpy("float64")
            expected = [OF_NUMPY[measure](of_cell) for of_cell in pixels.values()]
            np.testing.assert_allclose(found, np.float32(expected), rtol=2e-7, err_msg=measure)

    # Without more measures nothing changes, and with them what was there before
    plain = quantified(tmp_path / "b" / "a.parquet", slide, paths, matches, 0.37745)
    rows, more = pq.read_table(plain), pq.read_table(table)
    assert more.select(rows.column_names).equals(rows.replace_schema_metadata(more.schema.metadata))
    assert "measures" not in cell_table.read_facts(plain)


def test_pixels_that_are_no_numbers_spoil_only_what_they_are_in(tmp_path):
    cells = np.zeros((12, 30), np.uint32)
    cells[1:11, 1:11], cells[1:11, 15:25] = 1, 2
    image = np.arange(720, dtype=np.float32).reshape(2, 12, 30)
    image[0, 5, 5], image[1, 5, 20] = np.nan, np.inf
    slide = write_slide(tmp_path / "s.ome.tif", image)
    write_label_image(tmp_path / "cell.ome.tif", cells, 0.5, "cell")
    table = quantified(
        tmp_path / "s.parquet", slide, {"cell": tmp_path / "cell.ome.tif"}, asked=ALL
    )
    rows = cell_table.read(table)
    for measure in NAMES:
        assert rows[f"cell_{measure}_c0"].isna().tolist() == [True, False]
        assert rows[f"boundary_{measure}_c0"].notna().all()  # the pixel is further inside
    assert rows["cell_max_c1"].tolist()[1] == np.inf
    assert rows["cell_median_c1"][1] == np.median(image[1][cells == 2])


def test_every_list_of_measures_is_the_same(repo):
    groups = json.loads((repo / "nextflow_schema.json").read_text())["$defs"].values()
    (known,) = (g["properties"]["measures"] for g in groups if "measures" in g["properties"])
    assert known["list_from"] == [*NAMES, measures.BOUNDARY] and known["default"] == "mean"
    for name in known["list_from"]:
        assert re.search(known["pattern"], f"mean, {name}")
    assert not re.search(known["pattern"], "mean,mode") and not re.search(known["pattern"], "mean,")
    assert tuple(geojson.MEASURES) == tuple(SAID) == NAMES


def test_a_list_of_measures_is_read_in_any_order():
    assert measures.parse("mean") == Asked()
    assert measures.parse("sum, median") == Asked(("mean", "median", "sum"))
    assert measures.parse("boundary") == Asked(("mean",), boundary=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "mean,meadian",
            "no measure 'meadian' (did you mean median?); there are mean, median,",
        ),
        ("boundery", "did you mean boundary?"),
        ("", "there is no measure ''; there are"),
    ],
)
def test_measures_that_are_none_are_refused(text, said):
    with pytest.raises(DataError) as error:
        measures.parse(text)
    assert said in str(error.value)
