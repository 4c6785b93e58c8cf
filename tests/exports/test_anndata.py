"""The table of h5ad and SpatialData, as older readers know it, with columns of a user's own."""

import datetime
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from support.steps import quantified, repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.exports.anndata import plain
from cellquilt.synthetic.tissue import generate_tissue

pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.filterwarnings("ignore:Element type `labels` not supported:UserWarning"),
]

CURRENT = version("anndata")
CHANNELS = ["DAPI", "CD45", "PanCK", "Vimentin", "µ/ü", "Auto"]
SAMPLES = ("tonsil", "tonsil_1")
MPP = 0.5
# What anndataR 1 reads (its R/read_h5ad_helpers.R) of what anndata 0.10 writes
KNOWN = {
    *(("array", "0.2.0"), ("string-array", "0.2.0"), ("categorical", "0.2.0")),
    *(("dataframe", "0.2.0"), ("string", "0.2.0"), ("numeric-scalar", "0.2.0")),
    *(("dict", "0.1.0"), ("nullable-integer", "0.1.0"), ("nullable-boolean", "0.1.0")),
    *(("csr_matrix", "0.1.0"), ("csc_matrix", "0.1.0")),
}
DAY = datetime.date(2026, 11, 28)


def own_columns(n: int) -> dict[str, pd.Series]:
    """Return columns of a user's own, of each kind with and without missing values."""
    every = np.arange(n)
    text = pd.Series([f"P {k}" for k in every], dtype="string")
    return {
        "patient": text,
        "stage": pd.Series(["II"] * n, dtype="string"),
        "partly known": text.where(every % 3 > 0),
        "never known": pd.Series([None] * n, dtype="string"),
        "nothing": pd.Series([None] * n, dtype=object),
        "grade/WHO": pd.Series(["low", "high"] * n, dtype=object)[:n],
        "age": pd.Series(every, dtype="Int64"),
        "age partly known": pd.Series(every, dtype="Int64").where(every % 3 > 0),
        "dose": pd.Series(every / 4, dtype="Float64").where(every % 3 > 0),
        "relapse": pd.Series(every % 2 == 0, dtype="boolean").where(every % 3 > 0),
        "taken": pd.Series([DAY] * n, dtype=object),
        "scanned": pd.Series([pd.Timestamp(DAY)] * n),
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, Path]:
    """Return the tables of two samples, as .h5ad, by file name.

    Those of SpatialData, whose Zarr older versions do not open, are the same groups and arrays.
    """
    found = {}
    for seed, name in enumerate(SAMPLES):
        folder = tmp_path_factory.mktemp("tables") / name
        tissue = generate_tissue(150, 200, seed=seed, empty_width=20)
        masks, matches = repaired(folder, tissue.cell_truth, tissue.nucleus_truth, MPP, name)
        slide, path = folder / "slide.ome.tif", folder / "t.parquet"
        metadata = {"axes": "CYX", "Channel": {"Name": CHANNELS}}
        tifffile.imwrite(slide, tissue.image, ome=True, photometric="minisblack", metadata=metadata)
        quantified(path, slide, masks, matches, MPP)
        with cell_table.open_cells(path, masks, "all") as cells:
            rows = cells.rows.assign(**own_columns(len(cells.rows)))
            cells = replace(cells, rows=rows, facts=cells.facts | {"sample": name})
            for each in ("h5ad", "spatialdata"):
                exports.writer(each)(cells, folder)
        found[f"{name}.h5ad"] = folder / "anndata" / f"{name}.h5ad"
        store = zarr.open_group(folder / "zarr" / f"{name}.sdata.zarr", mode="r")
        copy_table(store["tables/table"], folder / f"{name}-sdata.h5ad")
        found[f"{name}-sdata.h5ad"] = folder / f"{name}-sdata.h5ad"
    return found


def copy_table(table: zarr.Group, path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update(table.attrs)
        for name, node in sorted(table.members(max_depth=None)):
            if isinstance(node, zarr.Group):
                made = file.require_group(name)
            else:
                is_text = node.dtype.kind not in "biuf"
                dtype = h5py.string_dtype() if is_text else node.dtype
                made = file.create_dataset(name, shape=node.shape, dtype=dtype)
                made[...] = np.asarray(node[...]).astype(object if is_text else node.dtype)
            made.attrs.update(node.attrs)


@pytest.fixture(scope="module")
def opened(tables, repo, cache, tmp_path_factory) -> dict[str, dict[str, dict]]:
    """Return what each version of anndata found in the tables, by the version."""
    script, found = repo / "tests" / "readers" / "open_tables.py", {}
    pythons = [cache / "envs" / f"anndata-{old}" / "bin" / "python" for old in ("0.10", "0.11")]
    pythons += [cache / "envs" / "readers" / "bin" / "python", Path(sys.executable)]
    for python in pythons:
        if not python.exists():
            pytest.fail(f"there is no {python}; tools/setup.sh readers installs it")
        report = tmp_path_factory.mktemp("opened") / "found.json"
        command = [python, "-W", "ignore", script, *tables.values(), report]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told = json.loads(report.read_text())
        found[told["version"]] = told["tables"]
    return found


def test_each_version_finds_the_same_in_the_tables(opened, tables):
    oldest, older, *newer = sorted(opened, key=lambda name: [*map(int, name.split("."))])
    assert oldest.startswith("0.10.") and older.startswith("0.11.") and len(newer) == 2
    current = opened[CURRENT]
    assert set(current) == set(tables)
    for each in (oldest, older, *newer):
        for name, expected in current.items():
            assert opened[each][name] == expected, (each, name)


def test_tables_hold_what_the_user_gave(opened):
    for name in SAMPLES:
        for file in (f"{name}.h5ad", f"{name}-sdata.h5ad"):
            table = opened[CURRENT][file]
            obs = table["columns"]["obs"]
            n = len(obs["cell_id"])
            assert n > 20 and obs["cell_id"] == list(range(1, n + 1))
            assert table["names"]["obs"] == [f"{name}_{label}" for label in obs["cell_id"]]
            assert obs["sample"] == [name] * n and obs["region"] == ["cell_labels"] * n
            assert table["columns"]["var"]["name"] == table["names"]["var"] == CHANNELS
            keys = {"region_key": "region", "instance_key": "cell_id", "region": "cell_labels"}
            assert table["uns"]["spatialdata_attrs"] == keys
            # SpatialData takes no space in a name, and neither a slash
            unlike = str.maketrans("/ ", "__") if "-sdata" in file else {ord("/"): "_"}
            for column, given in own_columns(n).items():
                if not pd.api.types.is_numeric_dtype(given.dtype):
                    given = given.astype("string")
                expected = [None if pd.isna(value) else value for value in given]
                assert obs[column.translate(unlike)] == expected, column


def test_tables_of_two_samples_can_be_put_together(tables):
    both = [anndata.read_h5ad(tables[f"{name}.h5ad"]) for name in SAMPLES]
    together = anndata.concat(both)
    assert together.obs_names.is_unique and together.n_obs == sum(map(len, both))
    assert {"patient", "stage", "sample", "cell_id"} <= set(together.obs)


def test_files_have_only_what_older_readers_know(tables):
    for path in tables.values():
        attributes: dict[str, dict] = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, node, to=attributes: to.update({name: dict(node.attrs)}))
        assert len(attributes) > 100
        types = {
            name: (known.get("encoding-type"), known.get("encoding-version"))
            for name, known in attributes.items()
        }
        assert {name: kind for name, kind in types.items() if kind not in KNOWN} == {}, path.name


def test_a_table_without_rows_has_plain_columns_too():
    frame = plain(pd.DataFrame(own_columns(3)).iloc[:0], [])
    assert len(frame) == 0 and frame.index.dtype == object
    for name, column in frame.items():
        assert column.dtype != "string" and "/" not in name
        if isinstance(column.dtype, pd.CategoricalDtype):
            assert column.cat.categories.dtype == object
