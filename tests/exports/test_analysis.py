"""The recipe of scanpy and squidpy in docs/analysis.md, run as it stands there."""

import re
from pathlib import Path

import anndata
import matplotlib.image
import numpy as np
import pytest
import tifffile
from support.steps import quantified, repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.synthetic.tissue import CHANNELS, generate_tissue

pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.filterwarnings("ignore:Element type `labels` not supported:UserWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repo, readers) -> Path:
    """Return where the recipe ran, beside the results of two samples."""
    folder = tmp_path_factory.mktemp("analysis")
    for name, seed in {"a": 7, "b": 11}.items():
        sample, tissue = folder / "results" / name, generate_tissue(300, 300, seed, empty_width=40)
        masks, matches = repaired(sample, tissue.cell_truth, tissue.nucleus_truth, 0.5, name)
        metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}}
        options = {"ome": True, "photometric": "minisblack", "metadata": metadata}
        tifffile.imwrite(sample / "slide.ome.tif", tissue.image, **options)
        table = sample / "quantification" / f"{name}.parquet"
        quantified(table, sample / "slide.ome.tif", masks, matches)
        with cell_table.open_cells(table, masks) as cells:
            exports.export(cells, ["h5ad"], sample)
    page = (repo / "docs" / "analysis.md").read_text()
    ((_, recipe),) = re.findall(r"^## (scanpy and squidpy)$(.*?)^## ", page, re.M | re.S)
    blocks = re.findall(r"^```python\n(.*?)^```$", recipe, re.M | re.S)
    assert len(blocks) == 5
    (folder / "recipe.py").write_text("import matplotlib\nmatplotlib.use('Agg')\n")
    with open(folder / "recipe.py", "a") as file:
        file.writelines(blocks)
    readers(folder / "recipe.py", folder=folder)
    return folder


def test_cells_of_all_samples_are_clustered_by_what_they_show(folder):
    cells = anndata.read_h5ad(folder / "cells.h5ad")
    expected = {}
    for name in ("a", "b"):
        table = anndata.read_h5ad(folder / "results" / name / "anndata" / f"{name}.h5ad")
        expected[name] = int((~table.obs["is_flagged"]).sum())
        own = cells[cells.obs["sample"] == name]
        raw = table[own.obs_names].X
        assert np.array_equal(own.layers["raw"], raw)
    assert cells.obs["sample"].value_counts().to_dict() == expected
    # Epithelium, which the generated tissue has, is in clusters of its own
    ck = cells[:, "PanCK"].layers["raw"].ravel()
    means = [
        ck[cells.obs["cluster"] == name].mean() for name in cells.obs["cluster"].cat.categories
    ]
    assert max(means) > 3 * min(means)
    assert cells.uns["cluster_nhood_enrichment"]["zscore"].shape == (8, 8)


@pytest.mark.parametrize("name", ["clusters.png", "where.png"])
def test_plots_show_something(name, folder):
    picture = matplotlib.image.imread(folder / name)[..., :3]
    colours = np.unique((picture * 255).round().reshape(-1, 3), axis=0)
    assert len(colours) > 50 and min(picture.shape[:2]) > 200
