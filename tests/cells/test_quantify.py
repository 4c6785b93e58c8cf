"""The table of cells against scikit-image's regionprops, and for equal input in other forms."""

import json
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from skimage.measure import regionprops_table
from support.steps import quantified, repaired

from cellquilt.cells import cell_table
from cellquilt.cells.objects import check_masks, open_objects
from cellquilt.cells.quantify import quantify
from cellquilt.errors import DataError
from cellquilt.images.label_image import LabelReader, write_label_image
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide, reopen_slide
from cellquilt.slides.selection import Selection

SHAPES = {
    "area_px": "area",
    "centroid_y_px": "centroid-0",
    "centroid_x_px": "centroid-1",
    "major_axis_px": "axis_major_length",
    "minor_axis_px": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "extent": "extent",
}


def labels_of(path: Path) -> np.ndarray:
    with LabelReader(path) as labels:
        return labels.read(0, labels.shape[0])


PROPERTIES = ("orientation", *sorted({name.partition("-")[0] for name in SHAPES.values()}))


def expected(labels: np.ndarray, image: np.ndarray, shapes=PROPERTIES) -> pd.DataFrame:
    """Return shapes and means of an image (channels, h, w), by label."""
    table = regionprops_table(
        labels, np.moveaxis(image, 0, -1), properties=["label", "intensity_mean", *shapes]
    )
    return pd.DataFrame(table).set_index("label")


def check(rows: pd.DataFrame, compartment: str, table: pd.DataFrame, names: list[str]) -> None:
    """Compare rows with those of regionprops, in their order."""
    assert len(rows) == len(table) > 0
    for ours, theirs in SHAPES.items():
        found = rows[f"{compartment}_{ours}"].to_numpy("float64")
        np.testing.assert_allclose(found, table[theirs], rtol=1e-6, atol=1e-6, err_msg=ours)
    angle = rows[f"{compartment}_orientation_rad"].to_numpy() - table["orientation"].to_numpy()
    np.testing.assert_allclose((angle + np.pi / 2) % np.pi, np.pi / 2, atol=1e-6)
    check_means(rows, compartment, table, names)


def check_means(rows: pd.DataFrame, compartment: str, table: pd.DataFrame, names: list) -> None:
    for k, name in enumerate(names):
        found = rows[cell_table.intensity_column(compartment, name)].to_numpy("float64")
        np.testing.assert_allclose(found, table[f"intensity_mean-{k}"], rtol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def codex(shared_data, mesmer_predictions, tmp_path_factory):
    """The CODEX tile with all of its 8 channels, Mesmer's masks of it, and their table."""
    folder = tmp_path_factory.mktemp("codex")
    slide = shared_data / "codex_tile" / "codex_tile.ome.tif"
    labels = mesmer_predictions["codex tile"]["labels"]
    masks, matches = repaired(folder, labels[..., 0], labels[..., 1], 0.37745)
    path = quantified(folder / "codex.parquet", slide, masks, matches, 0.37745)
    return slide, masks, matches, path


def test_every_number_of_the_codex_tile_is_that_of_regionprops(codex):
    slide, masks, _, path = codex
    image = tifffile.imread(slide)
    rows, names = cell_table.read(path), ["nucleus", "cytoplasm", "membrane"]
    names += [channel["column"] for channel in cell_table.read_facts(path)["channels"][3:]]
    cell, nucleus = labels_of(masks["cell"]), labels_of(masks["nucleus"])
    original = {name: labels_of(masks[f"{name}_original"]) for name in ("cell", "nucleus")}

    cells = rows[rows["cell_label"].notna()]
    check(cells, "cell", expected(original["cell"], image).loc[cells["cell_label"]], names)
    matched = rows[rows["status"] == "matched"].set_index("cell_id", drop=False)
    assert matched.index.tolist() == list(range(1, len(matched) + 1))
    of_cells, of_nuclei = expected(cell, image), expected(nucleus, image)
    check(matched, "cell", of_cells, names)
    check(matched, "nucleus", of_nuclei, names)
    lone = rows[rows["status"].isin(["extra_nucleus", "no_cell"])]
    check(lone, "nucleus", expected(original["nucleus"], image).loc[lone["nucleus_label"]], names)
    cytoplasm = expected(np.where(nucleus == 0, cell, 0), image, shapes=("area",))
    assert matched["cytoplasm_area_px"].tolist() == cytoplasm["area"].tolist()
    check_means(matched, "cytoplasm", cytoplasm, names)
    ratio = of_nuclei["area"] / of_cells["area"]
    np.testing.assert_allclose(matched["nuclear_to_cell_ratio"], ratio)


def test_rows_are_those_of_the_matches(codex):
    _, _, matches, path = codex
    rows = cell_table.read(path)
    for name in ("cell_label", "nucleus_label", "status", "trimmed_px", "mismatch"):
        pd.testing.assert_series_equal(rows[name], matches[name].astype(rows[name].dtype))
    np.testing.assert_allclose(rows["cell_centroid_x_um"], matches["cell_centroid_x_um"], atol=1e-4)
    assert rows["cell_id"].dropna().is_unique
    alone = rows["status"].isin(["no_nucleus", "nucleus_taken"])
    n_matched = int((rows["status"] == "matched").sum())
    assert rows["cell_id"][alone].tolist() == list(
        range(n_matched + 1, n_matched + 1 + int(alone.sum()))
    )
    means = [name for name in rows if name.startswith(("nucleus_mean", "cytoplasm_mean"))]
    assert rows.loc[alone, means].isna().all(axis=None)
    assert rows.loc[rows["cell_label"].isna(), ["cell_id", "cell_area_px"]].isna().all(axis=None)


@pytest.mark.parametrize("cpus", [1, 3])
def test_strips_of_any_height_give_the_same_file(codex, tmp_path, cpus):
    slide, masks, matches, path = codex
    for pixels in (1344, 1344 * 37):
        again = quantified(
            tmp_path / "codex.parquet", slide, masks, matches, 0.37745, pixels=pixels, cpus=cpus
        )
        assert again.read_bytes() == path.read_bytes()


def test_rows_written_in_many_batches_are_the_same(codex, tmp_path, monkeypatch):
    slide, masks, matches, path = codex
    monkeypatch.setattr("cellquilt.cells.quantify._BATCH", 1000)
    text = pd.concat([matches["status"].iloc[:10], matches["status"].iloc[10:]])  # in two chunks
    matches = matches.assign(status=text.astype("string[pyarrow]"))
    again = quantified(tmp_path / "codex.parquet", slide, masks, matches, 0.37745)
    pd.testing.assert_frame_equal(cell_table.read(again), cell_table.read(path))


def test_another_type_of_pixel_gives_the_same_numbers(codex, tmp_path):
    slide, masks, matches, path = codex
    image = tifffile.imread(slide)
    for dtype in ("float32", "int32"):
        other = tmp_path / f"{dtype}.ome.tif"
        names = [channel["name"] for channel in cell_table.read_facts(path)["channels"]]
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        tifffile.imwrite(other, image.astype(dtype), metadata=metadata, photometric="minisblack")
        again = quantified(tmp_path / "codex.parquet", other, masks, matches, 0.37745)
        pd.testing.assert_frame_equal(cell_table.read(again), cell_table.read(path))


def test_cells_opened_for_exports_are_those_of_their_masks(codex):
    _, masks, _, path = codex
    for which in cell_table.WHICH:
        with cell_table.open_cells(path, masks, which) as cells:
            for name, mask in cells.masks.items():
                labels = mask.read(0, mask.shape[0])
                found = np.bincount(labels.ravel(), minlength=cells.rows["cell_id"].max() + 1)
                areas = cells.rows[f"{name}_area_px"].to_numpy("float64", na_value=0)
                assert found[cells.rows["cell_id"]].tolist() == areas.tolist()
            means = cells.means("cell")
            column = cell_table.read(path)["cell_mean_membrane"][cells.order]
            assert means[:, 2].tolist() == column.tolist()
            ids = range(1, len(cells.rows) + 1)
            if which == "unflagged":  # a cell keeps its id
                rows = cell_table.read(path).query("status == 'matched' and not is_flagged")
                ids = rows["cell_id"]
                assert 0 < len(rows) < ids.max()
            assert cells.rows["cell_id"].tolist() == list(ids)


SQUARES = np.kron(np.arange(16).reshape(4, 4), np.ones((6, 6), int)).astype(np.uint32)


def write_slide(path: Path, image: np.ndarray, names: list[str]) -> Path:
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(path, image, ome=True, metadata=metadata, photometric="minisblack")
    return path


def test_own_columns_have_one_value_in_all_rows(codex, tmp_path):
    slide, masks, matches, path = codex
    own = cell_table.read_columns('{"id": 12, "dose": 1.0, "age": null, "stage": "II", "t n": ""}')
    table = quantified(tmp_path / "own.parquet", slide, masks, matches, 0.37745, own=own)
    rows = pq.read_table(table)
    types = dict(zip(own, map(str, rows.select(list(own)).schema.types), strict=True))
    assert types == {
        **{"id": "int64", "dose": "double", "age": "double"},
        **{"stage": "string", "t n": "string"},
    }
    for name, value in (own | {"t n": None}).items():
        assert set(rows[name].to_pylist()) == {value}
    assert cell_table.own_columns(cell_table.read_facts(table), table) == own
    assert rows.drop_columns(list(own)).equals(pq.read_table(path))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": [1]}', '{"a": true}', f'{{"a": {1 << 63}}}'])
def test_own_columns_that_are_none_are_refused(text):
    with pytest.raises(DataError, match="--columns: "):
        cell_table.read_columns(text)


@pytest.mark.parametrize("column", [0, 9, -1])
def test_own_columns_named_like_one_of_the_table_are_refused(column, codex, tmp_path):
    slide, masks, matches, path = codex
    name = pq.read_schema(path).names[column]
    with pytest.raises(DataError, match=f"column {re.escape(name)} is one of the table of cells"):
        quantified(tmp_path / "x.parquet", slide, masks, matches, 0.37745, own={name: 1})


def test_channels_of_one_name_stay_distinct(tmp_path):
    image = np.stack([np.full(SQUARES.shape, k, np.uint16) for k in range(4)])
    slide = write_slide(tmp_path / "s.ome.tif", image, ["CD4", "CD4", "CD4_2", "CD4"])
    write_label_image(tmp_path / "cell.ome.tif", SQUARES, 0.5, "cell")
    masks = {"cell": tmp_path / "cell.ome.tif"}
    rows = cell_table.read(quantified(tmp_path / "s.parquet", slide, masks))
    means = {name: rows[name].unique().tolist() for name in rows if "mean" in name}
    columns = ["CD4", "CD4_3", "CD4_2", "CD4_4"]
    assert means == {f"cell_mean_{name}": [k] for k, name in enumerate(columns)}


@pytest.mark.parametrize("compartment", ["cell", "nucleus"])
def test_one_compartment_alone(compartment, tmp_path):
    labels = np.where(SQUARES == 5, 0, SQUARES)  # a label may be missing
    slide = write_slide(tmp_path / "s.ome.tif", SQUARES[None].astype(np.uint16), ["a"])
    path = tmp_path / f"{compartment}.ome.tif"
    write_label_image(path, labels, 0.5, compartment)
    table = quantified(tmp_path / "s.parquet", slide, {compartment: path})
    rows = cell_table.read(table)
    present = [label for label in range(1, 16) if label != 5]
    assert rows["cell_id"].tolist() == rows[f"{compartment}_mean_a"].tolist() == present
    other = {"cell": "nucleus", "nucleus": "cell"}[compartment]
    others = (f"{other}_", "cytoplasm", "status")
    assert [name for name in rows if name.startswith(others)] in ([], ["cell_id"])
    with cell_table.open_cells(table, {compartment: path}) as cells:
        assert cells.compartments == (compartment,)
        assert cells.masks[compartment].read(0, 30).max() == 15


@pytest.mark.parametrize("both", [True, False])
def test_a_slide_without_cells(both, tmp_path):
    nothing = np.zeros((20, 30), np.uint32)
    slide = write_slide(tmp_path / "s.ome.tif", np.ones((2, 20, 30), np.uint16), ["a", "b"])
    masks, matches = repaired(tmp_path / "masks", nothing, nothing)
    table = quantified(tmp_path / "s.parquet", slide, masks, matches if both else None)
    rows = cell_table.read(table)
    assert len(rows) == 0
    assert {"cell_id", "cell_area_px", "cell_mean_b"} <= set(rows)
    with cell_table.open_cells(table, masks) as cells:
        assert cells.means("cell").shape == (0, 2)


def test_tables_of_any_slide_have_the_same_columns(tmp_path):
    """So that those of several samples can be put together, even where one has no cells."""
    one = np.pad(np.ones((8, 8), np.uint32), 6)
    masks = {
        "both": (one, np.where(np.pad(np.ones((4, 4)), 8) > 0, one, 0)),
        "cells": (one, 0 * one),
        "nuclei": (0 * one, one),
        "none": (0 * one, 0 * one),
    }
    slide = write_slide(tmp_path / "s.ome.tif", np.ones((1, 20, 20), np.uint16), ["a"])
    schemas = {}
    for name, pair in masks.items():
        paths, matches = repaired(tmp_path / name, *pair)
        matches.to_csv(tmp_path / name / "matches.csv", index=False)
        read = pd.read_csv(tmp_path / name / "matches.csv", dtype_backend="numpy_nullable")
        table = quantified(tmp_path / f"{name}.parquet", slide, paths, read)
        schemas[name] = pq.read_schema(table).remove_metadata()
    assert all(schema == schemas["both"] for schema in schemas.values())
    assert schemas["none"].field("status").type in (pa.string(), pa.large_string())


def notices_of(table):
    return [(notice["code"], notice["text"]) for notice in cell_table.read_facts(table)["notices"]]


def test_a_nucleus_that_fills_its_cell_leaves_no_cytoplasm(tmp_path):
    full = np.ones((9, 9), np.uint32)  # beyond the image's edge nothing is missing
    slide = write_slide(tmp_path / "s.ome.tif", full[None].astype(np.uint16), ["a"])
    masks, matches = repaired(tmp_path / "masks", full, full)
    rows = cell_table.read(quantified(tmp_path / "s.parquet", slide, masks, matches))
    assert rows[["cytoplasm_area_px", "cell_mean_a", "nucleus_mean_a"]].to_numpy().tolist() == [
        [0, 1, 1]
    ]
    assert rows["cytoplasm_mean_a"].isna().all()
    ((code, text),) = notices_of(tmp_path / "s.parquet")
    assert code == "constant_channel" and "same value in all pixels: 0 ('a')" in text


def test_pixels_that_are_not_finite_spoil_only_what_they_are_in(tmp_path):
    cells = np.zeros((20, 40), np.uint32)
    cells[2:18, 2:18], cells[2:18, 22:38] = 1, 2
    nuclei = np.where(np.pad(np.ones((8, 8)), ((6, 6), (6, 26))) > 0, 1, 0).astype(np.uint32)
    nuclei[6:14, 26:34] = 2
    image = np.ones((2, 20, 40), np.float32)
    image[0, 10, 10] = np.nan  # in the first nucleus
    slide = write_slide(tmp_path / "s.ome.tif", image, ["bad", "good"])
    masks, matches = repaired(tmp_path / "masks", cells, nuclei)
    rows = cell_table.read(quantified(tmp_path / "s.parquet", slide, masks, matches))
    assert rows["nucleus_mean_bad"].isna().tolist() == [True, False]
    assert rows["cell_mean_bad"].isna().tolist() == [True, False]
    assert rows["cytoplasm_mean_bad"].tolist() == [1, 1]
    assert rows["cell_mean_good"].tolist() == [1, 1]
    text = dict(notices_of(tmp_path / "s.parquet"))["pixels_not_finite"]
    assert "in channel 0 ('bad', 1 means of the cell), 0 ('bad', 1 means of the nucleus)" in text


def test_channels_that_are_measured_only_are_looked_at_too(tmp_path):
    cells = np.zeros((60, 80), np.uint32)
    cells[5:50, 5:70] = 1
    noise = np.random.default_rng(1).integers(1, 4000, (5, 60, 80)).astype(np.uint16)
    noise[[0, 2]] = 7
    noise[[1, 3]] = np.minimum(noise[[1, 3]], 3000)
    slide = write_slide(tmp_path / "s.ome.tif", noise, ["DAPI", "CD45", "blank", "hot", "CD3"])
    table = tmp_path / "s.parquet"
    with open_slide(slide) as image, ExitStack() as files:
        write_label_image(tmp_path / "cell.ome.tif", cells, 0.5, "cell")
        objects = open_objects(files, {"cell": tmp_path / "cell.ome.tif"}, None, None)
        facts = {"sample": "s", "image": {"name": "a.tif", "height": 60, "width": 80}}
        facts |= {"image_mpp": 0.5, "nuclear": [{"index": 0}], "membrane": [{"index": 1}]}
        quantify(image, objects, facts, "mesmer", [], table)
    assert [(code, re.findall(r"\d \('\w+'\)", text)) for code, text in notices_of(table)] == [
        ("constant_channel", ["2 ('blank')"]),
        ("saturated_channel", ["3 ('hot')"]),
    ]


def test_masks_of_another_run_are_refused(codex, tmp_path):
    slide, masks, matches, _ = codex
    wrong = matches.copy()
    wrong.loc[4, "cell_area_px"] += 1
    with pytest.raises(DataError, match="codex: cell 5 has .* px in the mask and .* of one run"):
        quantified(tmp_path / "codex.parquet", slide, masks, wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"height": 1007}, {"width": 1345}, {"channels": ["a", "b"]}, {"channels": ["b"]}]
)
def test_another_slide_is_refused(tmp_path, wrong):
    slide = write_slide(tmp_path / "s.ome.tif", np.ones((1, 1008, 1344), np.uint8), ["a"])
    image = {"height": 1008, "width": 1344, "channels": ["a"]}
    reopen_slide(slide, {"sample": "x", "image": image}).close()
    with pytest.raises(DataError, match="give the same image"):
        reopen_slide(slide, {"sample": "x", "image": image | wrong})


def test_masks_of_another_slide_are_refused(codex):
    _, masks, matches, _ = codex
    facts = {"sample": "x", "image": {"height": 1008, "width": 1345}}
    with ExitStack() as files:
        objects = open_objects(files, masks, matches, None)
        with pytest.raises(DataError, match="x: the cell mask is .* give the masks of this sample"):
            check_masks(objects, facts)


def test_a_mask_that_is_missing_is_named(codex, tmp_path):
    _, masks, matches, _ = codex
    masks = {name: path for name, path in masks.items() if name != "nucleus"}
    with ExitStack() as files, pytest.raises(DataError, match="nucleus.ome.tif is not among"):
        open_objects(files, masks, matches, None)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        cell_table.read(Path(__file__))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(DataError, match="is not a table of cells"):
        cell_table.read_facts(tmp_path / "other.parquet")


def quantify_script(bin_script, folder: Path, slide: Path, facts: dict, masks, matches) -> Path:
    """Run the script on what it is handed; return the table."""
    (folder / "sample.json").write_text(json.dumps(facts))
    (folder / "provenance.json").write_text(json.dumps({"steps": [{"step": "STITCH"}]}))
    (folder / "uncertified.csv").write_text("compartment,label\n")
    matches.to_csv(folder / "matches.csv", index=False)
    options = ["--image", slide]
    for name in ("sample.json", "provenance.json", "uncertified.csv", "matches.csv"):
        option = {"sample": "facts"}.get(Path(name).stem, Path(name).stem)
        options += [f"--{option}", folder / name]
    options += ["--masks", *masks.values(), "--outdir", folder / "out"]
    done = bin_script("quantify", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out" / "quantification" / f"{facts['sample']}.parquet"


def test_the_script(codex, bin_script, tmp_path):
    slide, masks, matches, path = codex
    facts = cell_table.read_facts(path)
    image = facts["image"] | {"channels": [channel["name"] for channel in facts["channels"]]}
    known = {"sample": "codex", "image": image, "image_mpp": 0.37745}
    table = quantify_script(bin_script, tmp_path, slide, known, masks, matches)
    pd.testing.assert_frame_equal(cell_table.read(table), cell_table.read(path))
    steps = [step["step"] for step in cell_table.read_facts(table)["provenance"]]
    assert steps == ["STITCH", "QUANTIFY"]


def test_the_plane_that_was_segmented_is_measured(bin_script, tmp_path):
    """INGEST alone is given z and t; the later steps read them from sample.json."""
    stack = np.stack([np.full((2, *SQUARES.shape), value, np.uint16) for value in (3, 70)])
    slide, metadata = tmp_path / "s.ome.tif", {"axes": "ZCYX", "PhysicalSizeX": 0.5}
    tifffile.imwrite(slide, stack, ome=True, photometric="minisblack", metadata=metadata)
    facts = ingest(Request("s", slide, "0", selection=Selection(z=1)), tmp_path / "normalised.zip")
    assert (facts["image"]["z"], facts["image"]["t"]) == (1, 0)
    masks, matches = repaired(tmp_path / "masks", SQUARES, SQUARES)
    rows = cell_table.read(quantify_script(bin_script, tmp_path, slide, facts, masks, matches))
    assert rows[["cell_mean_Channel 0", "cell_mean_Channel 1"]].eq(70).all(axis=None)
