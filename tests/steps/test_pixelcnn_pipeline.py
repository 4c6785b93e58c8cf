"""Training a pixel classifier and segmenting with it, on real Nextflow and real TensorFlow."""

import csv
import json
import re
from pathlib import Path

import anndata
import pytest
import tifffile
from support.cohort import Cohort
from support.parsers import V1
from system.faults.runs import files_of

from cellquilt.cells import cell_table
from cellquilt.cells.object_f1 import object_f1
from cellquilt.pixelcnn.card import read_card

CHANNELS = ["--nuclear", "DAPI", "--membrane", "CD45;PanCK"]
TINY = ["--architectures", "compact,mine", "--seeds", "1,2", "--train_steps", "24"]
MINE = """
mine:
  patch: 15
  layers:
    - {conv: 4, filters: 8}
    - {pool: 2}
    - {conv: 6, filters: 16}
"""


@pytest.fixture(scope="module")
def tissue(bin_script, tmp_path_factory) -> Path:
    """Return the folder of a tissue of about 140 cells beside bare glass, with its truth."""
    folder = tmp_path_factory.mktemp("tissue")
    size = ["--height", "330", "--width", "700", "--seed", "3"]
    assert bin_script("generate", *size, "--outdir", folder).returncode == 0
    return folder


def training(tissue: Path, *options) -> list:
    return [
        *("--mode", "train", "--image", tissue / "tissue.ome.tif", *CHANNELS),
        *("--labels", tissue / "cell_truth.ome.tif", *options),
    ]


def masks_of(outdir: Path) -> dict[str, bytes]:
    folder = outdir / "tissue" / "segmentation" / "pixelcnn-tissue"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def trained(nextflow, tissue, tmp_path_factory) -> Path:
    """Train two architectures, one from a file, with two seeds; return the results."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "mine.yaml").write_text(MINE)
    options = ["--compartment", "whole-cell", "--architecture_file", "mine.yaml"]
    options += ["--learning_rate", "0.005", "--held_out", "0.3", "--data_license", "it's ours"]
    done = nextflow(*training(tissue, *TINY, *options), folder=folder, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Mesmer" not in done.stdout
    return folder / "results" / "training"


def test_networks_learn_and_say_how_they_were_made(trained):
    names = {path.name for path in (trained / "networks").glob("*.keras")}
    kinds = ("compact-seed1", "compact-seed2", "mine-seed1", "mine-seed2")
    assert names == {f"whole-cell-{kind}.keras" for kind in kinds}
    for name in names:
        card = read_card(trained / "networks" / name)
        assert card["channels"] == ["nuclear", "membrane"]
        assert card["training"]["data_license"] == "it's ours"
        assert card["training"]["cpus"] == 1
        with open(trained / "networks" / name.replace(".keras", ".curve.csv")) as file:
            curve = list(csv.DictReader(file))
        # equally frequent classes: a third is what guessing gets
        assert max(float(point["validation_accuracy"]) for point in curve) > 0.6
        assert (trained / "networks" / name.replace(".keras", ".json")).exists()


def test_architectures_are_compared(trained):
    folder = trained / "whole-cell"
    with open(folder / "comparison.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["architecture"], row["n_replicates"]) for row in rows] == [
        ("compact", "2"),
        ("mine", "2"),
    ]
    assert {path.name for path in folder.iterdir()} == {
        *("comparison.csv", "comparison.json", "ensembles.csv", "networks.csv"),
        *("cell_sizes.png", "learning_curves.png", "probabilities.png", "report.html"),
    }
    recommended = json.loads((folder / "comparison.json").read_text())["recommended"]["models"]
    page = (folder / "report.html").read_text()
    assert all(f"results/training/networks/{name}" in page for name in recommended)
    assert all((trained / "networks" / name).exists() for name in recommended)


def test_masks_do_not_depend_on_how_the_slide_is_cut(
    bin_script, nextflow, trained, tissue, tmp_path
):
    """Step by step in small patches, and in a small slide's task."""
    models = sorted((trained / "networks").glob("*compact*.keras"))
    options = ["--segmenter", "pixelcnn", "--models", ",".join(map(str, models))]
    options += ["--image", tissue / "tissue.ome.tif", *CHANNELS, "--compartment", "whole-cell"]
    options += ["--patch_size", "192", "--patches_per_task", "4", "--bundle_slides", "0"]
    options += ["--formats", "none", "--outdir", tmp_path / "192"]
    done = nextflow(*options, folder=tmp_path, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    slide = {"sample": "tissue", "images": [str(tissue / "tissue.ome.tif")], "nuclear": "DAPI"}
    slide |= {"membrane": CHANNELS[3], "compartment": "whole-cell", "segmenter": "pixelcnn"}
    options = ["--networks", *models, "--left", "left", "--batch_size", "2"]
    done = bin_script("chain", *options, cwd=tmp_path, input=json.dumps([slide]))
    assert done.returncode == 0, done.stderr
    found = [masks_of(folder) for folder in (tmp_path / "192", tmp_path)]
    assert found[0] == found[1]
    assert set(found[0]) == {"cell.ome.tif", "cell_boundary.ome.tif"}
    mask = tmp_path / "192" / "tissue" / "segmentation" / "pixelcnn-tissue" / "cell.ome.tif"
    truth = tifffile.imread(tissue / "cell_truth.ome.tif")
    assert object_f1(tifffile.imread(mask), truth)["f1"] > 0.5
    provenance = json.loads((tmp_path / "192" / "tissue" / "provenance.json").read_text())
    cards = provenance["model"]["networks"]
    assert [card["training"]["seed"] for card in cards] == [1, 2]
    assert [step["step"] for step in provenance["steps"]][2] == "CLASSIFY"


def test_other_limits_of_flags_repeat_the_table_and_not_the_network(
    nextflow, cohort: Cohort, tmp_path
):
    """Also where the slide is alone, whose masks are as they were."""
    sheet = cohort.write_sheet(tmp_path, ["large"])
    options = ["--input", sheet, "--segmenter", "pixelcnn", "--bundle_slides", "0"]
    options += ["--min_cell_um2", "40", "--max_mismatch", "0.3", "--export_cells", "unflagged"]
    options += ["--formats", "csv,h5ad", *cohort.resume_in(tmp_path)]
    done = nextflow(*options, folder=tmp_path, accept=False, env=V1)
    assert done.returncode == 0, done.stdout + done.stderr
    repeated = set(re.findall(r"Submitted process > \S*?(\w+)(?: |$)", done.stdout, re.MULTILINE))
    assert repeated == {"QUANTIFY", "EXPORT", "DRAW", "REPORT"}
    assert "Cached process > SEGMENTATION:MASKS:MAPS:CLASSIFY" in done.stdout

    folder = tmp_path / "results" / "large"
    rows = cell_table.read(folder / "quantification" / "large.parquet")
    cells = rows[rows["cell_id"].notna()]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["flag_limits"] == {"max_mismatch": 0.3, "min_cell_um2": 40}
    assert summary["n_flagged"] == cells["is_flagged"].sum() > 0
    assert summary["flags"]["small_cell"] == (cells["cell_area_um2"] < 40).sum() > 0
    with open(tmp_path / "results" / "samples.csv") as file:
        (row,) = csv.DictReader(file)
    assert row["n_flagged"] == str(summary["n_flagged"]) and row["n_flag_large_cell"] == ""
    assert {flag: int(row[f"n_flag_{flag}"]) for flag in summary["flags"]} == summary["flags"]
    table = anndata.read_h5ad(folder / "anndata" / "large.h5ad")
    kept = cells[(cells["status"] == "matched") & ~cells["is_flagged"]]
    assert table.obs["cell_id"].tolist() == kept["cell_id"].tolist() != []
    assert not table.obs["is_flagged"].any()
    masks = files_of(folder / "segmentation")
    assert masks == files_of(cohort.by_steps.results / "large" / "segmentation") != {}


def test_the_embedded_networks_are_free_and_good_on_tissue(cohort: Cohort):
    assert "licensed" not in cohort.bundled.said
    folder = cohort.bundled.results / "large"
    truths = {"cell": cohort.large.cell_truth, "nucleus": cohort.large.nucleus_truth}
    for mask, truth in truths.items():
        path = folder / "segmentation" / "pixelcnn-large" / f"{mask}_original.ome.tif"
        assert object_f1(tifffile.imread(path), truth)["f1"] > 0.85
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["n_uncertified_cells"], summary["n_uncertified_nuclei"]) == (0, 0)
    assert summary["n_matched"] > 100


def test_the_embedded_networks_are_small_and_say_what_they_learnt_from(repo):
    files = sorted((repo / "assets" / "networks").glob("*.keras"))
    assert [file.stem for file in files] == ["nuclear", "whole-cell"]
    assert sum(file.stat().st_size for file in files) < 2e6
    for file in files:
        card = read_card(file)
        assert card["compartment"] == file.stem
        assert "Cellquilt (MIT)" in card["training"]["data_license"]
