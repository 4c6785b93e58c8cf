"""Cellquilt from Python gives what a run of the pipeline gives, as its page and notebook show."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from support.maps import crowded_maps

import cellquilt
from cellquilt.cells.object_f1 import object_f1
from cellquilt.cells.repair import repair as repair_step
from cellquilt.errors import DataError
from cellquilt.front.masks import Masks
from cellquilt.handoff.step_files import read_matches
from cellquilt.images.label_image import write_label_image
from cellquilt.labelling import pixel_maps
from cellquilt.labelling.certificate import Maps, label_window
from cellquilt.segmenters.mesmer import THRESHOLDS
from cellquilt.tiling.box import Box
from cellquilt.tiling.lattice import plan
from cellquilt.tiling.patches import plan_patches
from cellquilt.tiling.tasks import Cut

BOTH = ("cell", "nucleus", "cytoplasm", "cell_original", "nucleus_original")
OF_PATCHES = ["flag_out_of_focus", "flag_saturated", "is_flagged"]


def test_importing_it_imports_nothing_else(repo):
    """Neither another part of the package nor a library; so it takes a few milliseconds."""
    code = "import sys; before = set(sys.modules); import cellquilt; dir(cellquilt);"
    code += "print(*set(sys.modules) - before)"
    where = {"cwd": repo / "bin", "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code], **where, check=True)
    assert done.stdout.split() == ["cellquilt"]


def test_its_functions_are_documented_and_no_others_are_there():
    for name in cellquilt.__all__:
        text = getattr(cellquilt, name).__doc__
        for part in ("Parameters", "Returns", "Raises"):
            assert re.search(rf"^ *{part}\n *-+$", text, re.M), (name, part)
        assert name in dir(cellquilt)
    with pytest.raises(AttributeError, match="no attribute 'segments'"):
        cellquilt.segments  # noqa: B018


def equal(found: Masks, sample, names=BOTH) -> None:
    """Compare masks and tables with the files of a run."""
    for name in names:
        written = tifffile.imread(sample.mask_files[name])
        assert written.max() > 20 and np.array_equal(getattr(found, name), written), name


def equal_tables(found: pd.DataFrame, written: pd.DataFrame) -> None:
    assert list(found) == list(written) and len(found) == len(written) > 20
    pd.testing.assert_frame_equal(
        found.convert_dtypes(), written.convert_dtypes(), check_exact=True, check_dtype=False
    )


def test_segment_gives_the_masks_of_a_run(folder, channels):
    sample = cellquilt.read_results(folder / "results")["demo"]
    found = cellquilt.segment(channels, 0.5)
    equal(found, sample)
    equal_tables(found.matches, read_matches(sample.folder / "matches.csv"))
    written = sample.masks()
    assert found.metrics == {k: v for k, v in written.metrics.items() if k != "sample"}
    assert len(found.uncertified) == len(written.uncertified) == 0


def test_segment_of_a_nuclear_channel_alone_and_of_a_memory_map(folder, channels, tmp_path):
    sample = cellquilt.read_results(folder / "results")["nuclei"]
    np.save(tmp_path / "dapi.npy", channels[0])
    found = cellquilt.segment(np.load(tmp_path / "dapi.npy", mmap_mode="r"), 0.4)
    equal(found, sample, ["nucleus"])
    assert found.cell is None and found.matches is None
    given = pd.DataFrame(cellquilt.quantify(channels, 0.4, found, ["DAPI", "CD45", "PanCK"]))
    columns = [name for name in given if name not in OF_PATCHES]
    equal_tables(given[columns], sample.cells[columns])


def test_segment_in_a_program_that_uses_tensorflow(repo):
    """Its threads and devices cannot be changed any more."""
    code = "import cellquilt, numpy, tensorflow; tensorflow.config.threading"
    code += ".set_intra_op_parallelism_threads(1); tensorflow.ones(2) + 1;"
    code += "image = numpy.ones((70, 80), 'uint8');"
    code += "print(cellquilt.segment(image, 0.5, 'nuclei', cpus=2).nucleus.shape)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=repo / "bin", capture_output=True, text=True)
    assert done.stdout.strip() == "(70, 80)", done.stderr


def test_segment_by_the_network_for_nuclei(tissue, channels):
    found = cellquilt.segment(channels, 0.5, "nuclei")
    assert found.cell is None
    assert object_f1(found.nucleus, tissue.nucleus_truth)["f1"] > 0.9


@pytest.fixture
def run(folder, monkeypatch):
    """Return a function that runs pieces of a page, in a folder beside that of the results."""
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    monkeypatch.setenv("MPLBACKEND", "Agg")

    def work(where: Path, page: str, pieces: list[str], known: dict) -> dict:
        monkeypatch.chdir(where)
        for number, piece in enumerate(pieces, 1):
            exec(compile(piece, f"{page}, piece {number}", "exec"), known)
        return known

    return work


def test_segment_by_mesmer_gives_mesmers_labels(mesmer_model, mesmer_predictions, tissue_image):
    """Those of `Mesmer.predict` of the whole image."""
    image = np.moveaxis(tissue_image[:100, :180], -1, 0)
    found = cellquilt.segment(image, 0.5, mesmer_model)
    expected = mesmer_predictions["small"]["labels"]
    assert expected.max() > 10
    assert np.array_equal(found.cell_original, expected[..., 0])
    assert np.array_equal(found.nucleus_original, expected[..., 1])


def test_what_the_page_shows(repo, folder, run, mesmer_model, capsys):
    text = (repo / "docs" / "python.md").read_text()
    pieces = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(pieces) == text.count("```python") == 5
    (folder / "mesmer.zip").symlink_to(mesmer_model)
    known = run(folder, "python.md", pieces, {"maps": crowded_maps(1)})
    assert known["labels"].max() > 50 and known["masks"].cell.max() > 20
    assert len(known["table"]) > 20 and len(known["one"]) == len(np.unique(known["own_nuclei"])) - 1
    assert "cells with a nucleus" in capsys.readouterr().out


def test_results_of_a_run_are_read(folder, tissue):
    samples = cellquilt.read_results(str(folder / "results"))
    assert list(samples) == ["demo", "nuclei"]
    demo = samples["demo"]
    assert (demo.image_mpp, demo.segmenter) == (0.5, "pixelcnn")
    assert demo.channels == list(tissue.channels)
    mask = tifffile.imread(demo.mask_files["cell"])
    assert np.array_equal(demo.mask(), mask) and np.array_equal(demo.mask("cell", 5, 9), mask[5:9])
    equal(demo.masks(), demo)
    assert demo.patches["n_cells"].sum() == demo.mask("cell_original").max()
    matched = demo.cells[demo.cells["status"] == "matched"]
    assert set(matched["cell_id"]) == set(np.unique(mask)) - {0}


def test_quantify_gives_the_table_of_a_run(folder, tissue):
    sample = cellquilt.read_results(folder / "results")["demo"]
    found = cellquilt.quantify(tissue.image, 0.5, sample.masks(), tissue.channels)
    columns = [name for name in found if name not in OF_PATCHES]
    equal_tables(found[columns], sample.cells[columns])
    one = cellquilt.quantify(tissue.image[0], 0.5, sample.mask("nucleus").astype(np.int64))
    rows = sample.cells[sample.cells["status"] == "matched"]
    expected = rows["nucleus_mean_DAPI"].to_numpy()
    np.testing.assert_allclose(one["cell_mean_Channel 0"], expected, rtol=1e-6)


def test_repair_of_arrays_is_that_of_files(tissue, tmp_path):
    """Also of labels with gaps and of another type."""
    gaps = np.concatenate([[0], np.sort(np.random.default_rng(1).permutation(9999)[:2000])])
    cell, nucleus = gaps[tissue.cell_truth], np.roll(tissue.nucleus_truth, 3, axis=1)
    found = cellquilt.repair(cell, nucleus.astype(np.uint16), 0.5)
    files = [tmp_path / f"{name}.ome.tif" for name in ("cell", "nucleus")]
    for path, labels in zip(files, (cell, nucleus), strict=True):
        write_label_image(path, labels.astype(np.uint32), 0.5, "labels")
    repair_step(*files, {"sample": "a", "image_mpp": 0.5}, None, "own", tmp_path / "out")
    for name in BOTH[:3]:
        written = tifffile.imread(next((tmp_path / "out").rglob(f"{name}.ome.tif")))
        assert written.max() > 20 and np.array_equal(getattr(found, name), written), name
    equal_tables(found.matches, read_matches(tmp_path / "out" / "matches.csv"))
    assert found.metrics["n_trimmed"] > 20
    without = cellquilt.repair(cell, nucleus).matches
    assert not [name for name in without if "um" in name.split("_")[-1]] and len(without) > 20


@pytest.mark.parametrize("kind", ["maxima_interior", "class_probabilities"])
def test_label_gives_the_labels_of_all_maps_at_once(kind):
    """Patches change nothing; nor does a threshold of one's own."""
    maps = crowded_maps(3, (420, 1750))
    assert len(plan_patches(plan(*maps.shape[1:]), Cut().patch_size)) == 2
    given = {"median": 3} if kind == "class_probabilities" else {"interior_threshold": 0.3}
    found = cellquilt.label(maps, "nuclear", kind, **given)
    first, second = maps
    if kind == "class_probabilities":
        whole = pixel_maps.maps_of(first, second, 3)
        first, second = whole.maxima, whole.interior
    limits = THRESHOLDS["nucleus"]
    limits = type(limits)(**vars(limits) | given)
    source = Maps(first.shape, lambda box: (box.crop(first), box.crop(second)), lambda _: True)
    expected = label_window(source, Box(0, first.shape[0], 0, first.shape[1]), 0, limits)
    assert expected.labels.max() > 500 and np.array_equal(found, expected.labels)


LABELS = np.ones((4, 5), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cellquilt.repair(LABELS, LABELS[:3]), r"cell is \(4, 5\) px and nucleus \(3, 5\)"),
        (lambda: cellquilt.repair(LABELS + 0.5, LABELS), "cell: labels must be integers, not floa"),
        (lambda: cellquilt.repair(LABELS, LABELS[0]), r"nucleus: has the shape \(5,\); a label"),
        (
            lambda: cellquilt.repair(LABELS, -LABELS.astype(int)),
            "nucleus: labels must not be negative",
        ),
        (lambda: cellquilt.label(LABELS), r"maps: have the shape \(4, 5\); give two maps"),
        (lambda: cellquilt.label(np.zeros((2, 9, 9)), "cell"), "compartment: 'cell' is none of"),
        (lambda: cellquilt.label(np.zeros((2, 9, 9)), kind="x"), "kind: 'x' is none of maxima_"),
        (lambda: cellquilt.label(np.zeros((2, 9, 9)), height=1), "thresholds: .*'height'"),
        (lambda: cellquilt.quantify(LABELS, 0.5, LABELS[1:]), r"cell mask is \(3, 5\) px and the"),
        (lambda: cellquilt.quantify(LABELS, 0.5, LABELS, ["a", "b"]), "has 1 channels .* 2 names"),
        (lambda: cellquilt.quantify(LABELS, 500, LABELS), "image_mpp: 500 is not in 0.05 to 5 um"),
        (lambda: cellquilt.quantify(LABELS * 1j, 0.5, LABELS), "image: pixels are of type complex"),
        (lambda: cellquilt.segment(LABELS[0], 0.5), r"image: has the shape \(5,\); give \(c, h"),
        (
            lambda: cellquilt.segment(LABELS, 0.5, "a.keras"),
            "model: .*/a.keras is no file; give 'p",
        ),
        (lambda: cellquilt.segment(LABELS, 0.5, []), "model: no file is given; give 'pixelcnn'"),
        (lambda: cellquilt.segment(LABELS, 0.5, compartment="all"), "compartment: 'all' is none"),
        (lambda: cellquilt.read_results("nowhere"), "nowhere: has no sample with masks; give the"),
    ],
)
def test_what_cannot_be_used_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_a_mask_that_is_not_there_is_named(folder):
    sample = cellquilt.read_results(folder / "results")["nuclei"]
    with pytest.raises(DataError, match="has no mask 'cell', but nucleus, nucleus_boundary"):
        sample.mask("cell")


def test_every_function_is_on_the_page(repo):
    text = (repo / "docs" / "python.md").read_text()
    assert all(f"cellquilt.{name}(" in text for name in cellquilt.__all__)


def test_the_notebook(repo, folder, run, capsys):
    """It is stored without outputs."""
    import matplotlib.pyplot as plt

    cells = json.loads((repo / "docs" / "results.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []
    known = run(folder / "docs", "results.ipynb", ["".join(cell["source"]) for cell in code], {})
    said = capsys.readouterr().out
    assert "channels: DAPI CD45" in said and "have no flag" in said and "with a nucleus" in said
    assert len(plt.get_fignums()) == 4
    plt.close("all")
    assert known["own"].cell.max() > 20 and len(known["table"]) > 20
