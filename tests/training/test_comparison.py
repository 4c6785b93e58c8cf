"""The comparison of pixel classifiers: its tables, its ensembles, its plots, its refusals."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from scipy import stats

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.training.comparison import comparison_table, network_table, read_networks, read_truth
from cellquilt.training.comparison_plot import areas_um2, choose_crop, mean_curve
from cellquilt.training.ensembles import ensemble_table, judge_choices, recommend
from cellquilt.training.pixel_classes import classes_of
from cellquilt.training.scores import DEFAULT, label_region, object_scores, pixel_scores

N_CELLS = 12
SHAPE = (80, 120)
BOXES = {"validation": (0, 80, 200, 320), "test": (0, 80, 400, 520)}


def cells() -> np.ndarray:
    """Return 12 disks that do not touch, (80, 120) uint32."""
    y, x = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint32)
    for k in range(N_CELLS):
        cy, cx = 15 + 25 * (k // 4), 15 + 30 * (k % 4)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 64] = k + 1
    labels[40:49, 20:26] = labels[40, 15]  # and one with an arm towards another, for an edge
    labels[40:49, 26:46] = labels[40, 45]
    return labels


TRUTH = cells()
CLASSES = classes_of(TRUTH, 3)


def seen(missed: tuple[int, ...] = (), certainty: float = 0.95) -> np.ndarray:
    """Return probabilities of cell and edge of a network that is right but for some cells."""
    result = np.full((2, *SHAPE), 0.02, np.float32)
    result[0][CLASSES == 1] = certainty
    result[1][CLASSES == 2] = certainty
    result[:, np.isin(TRUTH, missed)] = 0.02
    return result


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Return a function that writes what TRAIN would of one network, and returns the files."""

    def make(
        architecture: str = "reference",
        seed: int = 1,
        found: np.ndarray | dict[str, np.ndarray] | None = None,
        truth: np.ndarray = TRUTH,
        boxes: dict[str, tuple] = BOXES,
        flops: int = 1000,
        steps: int = 4,
        **facts,
    ) -> dict[str, Path]:
        found = seen() if found is None else found
        parts = found if isinstance(found, dict) else dict.fromkeys(BOXES, found)
        name = f"whole-cell-{architecture}-seed{seed}"
        scores = {}
        for part, probabilities in parts.items():
            of_cells = object_scores([label_region(probabilities, DEFAULT)], [truth])
            scores[part] = {**pixel_scores([probabilities], [CLASSES]), **of_cells}
        card = {
            **{"architecture": architecture, "compartment": "whole-cell"},
            "thresholds": asdict(DEFAULT),
            **{"n_parameters": 10, "flops_a_patch": 10 * flops, "flops_a_pixel": flops},
            "training": {"seed": seed, "seconds": 2.0 * seed, "best_step": 2, "images": [boxes]},
            **{"scores": scores, "inference_s_per_mpx": 3.0},
        }
        files = {
            kind: tmp_path / f"{name}{suffix}"
            for kind, suffix in (
                *(("cards", ".json"), ("curves", ".curve.csv")),
                ("probabilities", ".probabilities.zip"),
            )
        }
        files["cards"].write_text(json.dumps(card | facts))
        points = [(step, 1.0, seed / step, 1 - seed / 10 / step) for step in range(1, steps + 1)]
        columns = ("train_cross_entropy", "validation_cross_entropy", "validation_accuracy")
        pd.DataFrame(points, columns=["step", *columns]).to_csv(files["curves"], index=False)
        with stores.create(files["probabilities"], {}) as group:
            for part, probabilities in parts.items():
                y0, y1, x0, x1 = np.subtract(boxes[part], np.repeat(BOXES[part][::2], 2))
                contents = {
                    "probabilities": probabilities.astype(np.float16),
                    "labels": truth,
                    "classes": classes_of(truth, 3),
                    "image": np.stack([truth > 0, CLASSES == 2]).astype(np.float16),
                }
                for kind, array in contents.items():
                    cut = array[..., y0:y1, x0:x1]
                    where = f"{part}/0/{kind}"
                    stores.new_array(group, where, cut.shape, cut.dtype, cut.shape)[:] = cut
        return files

    return make


def read(*networks: dict[str, Path]):
    """Return networks and their truth."""
    kinds = ("cards", "curves", "probabilities")
    found = read_networks(*([files[kind] for files in networks] for kind in kinds))
    return found, read_truth(found)


def row_of(table: pd.DataFrame, kind: str, median: int, architecture: str = "reference"):
    """Return the one row of a choice."""
    by = ["kind", "architecture", "median_px"]
    return table.set_index(by).sort_index().loc[(kind, architecture, median)]


def test_ensemble_of_networks_with_different_errors_beats_each_of_them(write):
    # each misses four cells of its own, that the other two see
    missed = [range(first, first + 4) for first in (1, 5, 9)]
    networks, truth = read(
        *(write(seed=seed, found=seen(tuple(lost))) for seed, lost in enumerate(missed, 1))
    )
    judged = judge_choices(networks, truth)
    table = ensemble_table(judged)
    for median in (1, 5):
        single, together = (row_of(table, kind, median) for kind in ("single", "ensemble"))
        assert single["f1"] == pytest.approx(2 * 8 / (8 + N_CELLS))
        assert (single["n_predicted"], single["n_truth"]) == (8, N_CELLS)
        assert (together["f1"], together["n_predicted"]) == (1, N_CELLS)
        assert (single["n_networks"], together["n_networks"]) == (3, 3)
        assert together["pixel_accuracy"] > single["pixel_accuracy"] + 0.05
        assert together["flops_a_pixel"] == 3 * single["flops_a_pixel"]
    assert set(table["kind"]) == {"single", "ensemble"}, "there is one architecture only"

    best = recommend("whole-cell", judged)
    names = [f"whole-cell-reference-seed{seed}.keras" for seed in (1, 2, 3)]
    assert best["recommended"]["models"] == names
    assert best["recommended"]["f1"] == 1
    found = best["recommended"]["thresholds"]
    assert best["options"] == (
        "--segmenter pixelcnn --compartment whole-cell"
        f" --whole_cell_maxima_threshold {found['maxima_threshold']}"
        f" --whole_cell_interior_threshold {found['interior_threshold']}"
        f" --whole_cell_median {found['median']}"
    )


def test_median_filter_mends_single_pixels(write):
    noisy = seen()
    y, x = np.random.default_rng(5).integers(0, SHAPE, (300, 2)).T
    noisy[:, y, x] = np.where(noisy[0, y, x] > 0.5, 0.02, [[0.95], [0.02]])
    table = ensemble_table(judge_choices(*read(write(found=noisy))))
    raw, filtered = (row_of(table, "single", median) for median in (1, 5))
    assert raw["pixel_accuracy"] == pytest.approx(1 - len({*zip(y, x, strict=True)}) / y.size / 32)
    assert filtered["pixel_accuracy"] > raw["pixel_accuracy"]


def test_thresholds_are_those_of_the_validation_part(write):
    # on validation, what is below 0.5 is no cell; on the test, all cells are
    grey = seen()
    grey[0][CLASSES == 0] = 0.45
    faint = seen(certainty=0.45)
    judged = judge_choices(*read(write(found={"validation": grey, "test": faint})))
    row = row_of(judged, "single", 5)
    assert row["thresholds"]["interior_threshold"] >= 0.5 and row["validation_f1"] == 1
    assert row["f1"] == 0, "lower thresholds would find all of them"
    other = judge_choices(*read(write(found={"validation": faint, "test": faint})))
    assert row_of(other, "single", 5)["f1"] == 1


def test_of_equally_good_choices_the_one_of_fewest_flops_is_recommended(write):
    judged = judge_choices(
        *read(write(flops=1000), write("compact", flops=100), write("compact", 2, flops=100))
    )
    assert set(judged["validation_f1"]) == {1.0}
    assert set(judged["kind"]) == {"single", "ensemble", "ensemble of all"}
    best = recommend("whole-cell", judged)["recommended"]
    assert best["models"] == ["whole-cell-compact-seed1.keras"]


def test_nothing_found_is_the_worst_and_no_failure(write):
    nothing = seen(tuple(range(N_CELLS + 1)))
    judged = judge_choices(*read(write(found=nothing), write("conv5", found=seen((1,)))))
    assert row_of(judged, "single", 5)["f1"] == 0
    best = recommend("whole-cell", judged)["recommended"]
    assert best["models"] == ["whole-cell-conv5-seed1.keras"]


def test_comparison_has_means_and_intervals_of_replicates(write):
    found = [seen(tuple(range(1, 1 + n))) for n in (1, 2, 4)]
    files = [write(seed=seed, found=image) for seed, image in enumerate(found, 1)]
    networks, _ = read(*files, write("compact", found=seen()))
    table = network_table(networks)
    compared = comparison_table(table).set_index("architecture")
    assert compared.index.tolist() == ["reference", "compact"], "as the table of architectures"
    row = compared.loc["reference"]
    values = [pixel_scores([image], [CLASSES])["pixel_accuracy"] for image in found]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert row["pixel_accuracy"] == pytest.approx(np.mean(values))
    assert row["pixel_accuracy_low"] == pytest.approx(low)
    assert row["pixel_accuracy_high"] == pytest.approx(high)
    assert (row["n_replicates"], row["training_s"], row["n_truth"]) == (3, 4.0, N_CELLS)
    assert row["recall_other_low"] == row["recall_other_high"] == 1, "equal replicates are certain"
    assert row["f1"] == pytest.approx(np.mean([2 * n / (n + N_CELLS) for n in (11, 10, 8)]))
    alone = compared.loc["compact"]
    assert alone["n_replicates"] == 1 and alone["pixel_accuracy"] == 1
    assert np.isnan(alone["pixel_accuracy_low"]) and np.isnan(alone["pixel_accuracy_high"])


def test_mean_curve_ends_with_the_replicate_that_stopped_first(write):
    networks, _ = read(write(seed=1, steps=4), write(seed=3, steps=3))
    mean = mean_curve([network.curve for network in networks], "validation_cross_entropy")
    assert mean.index.tolist() == [1, 2, 3]
    assert mean.tolist() == pytest.approx([2, 1, 2 / 3])


def test_networks_with_other_patches_are_compared_where_both_were_tested(write):
    later = {"validation": (0, 80, 203, 320), "test": (0, 80, 428, 520)}
    networks, truth = read(write(), write("wide", boxes=later))
    assert [truth.labels[part][0].shape for part in BOXES] == [(80, 117), (80, 92)]
    table = judge_choices(networks, truth)
    assert set(table["f1"]) == {1.0} and set(table["n_truth"]) == {9}


def test_networks_that_do_not_belong_together_are_refused(write):
    first, second = write(), write(seed=2)
    second["curves"].rename(second["curves"].with_name("other.curve.csv"))
    second["curves"] = second["curves"].with_name("other.curve.csv")
    with pytest.raises(DataError, match=r"other\.json: is missing"):
        read(first, second)
    with pytest.raises(DataError, match="nuclear and whole-cell cannot be compared"):
        read(first, write(seed=3, compartment="nuclear"))
    with pytest.raises(DataError, match="seed4: was not tested on the same labels"):
        read(first, write(seed=4, truth=np.roll(TRUTH, 1, axis=0)))
    elsewhere = {"validation": (0, 80, 200, 320), "test": (0, 80, 520, 640)}
    with pytest.raises(DataError, match="conv5-seed5: was not tested on the same labels"):
        read(first, write("conv5", 5, boxes=elsewhere | {"train": None}))


def test_crop_is_where_the_cells_are():
    empty, full = np.zeros((300, 300), np.uint32), np.zeros((400, 1000), np.uint32)
    full[240:400:10, 850:1000:10] = np.arange(1, 241).reshape(16, 15)
    assert choose_crop([empty, full]) == (1, slice(144, 400), slice(744, 1000))
    assert choose_crop([empty])[0] == 0


def test_cut_cells_have_no_size():
    labels = np.zeros((20, 20), np.uint32)
    labels[:4, :4], labels[5:9, 5:11] = 1, 2
    assert areas_um2([labels, labels * 0]).tolist() == [24 * 0.25]
    assert areas_um2([]).tolist() == []


@pytest.fixture
def compare(bin_script, tmp_path):
    """Return a function that runs the script on files of networks."""

    def run(files: list[dict[str, Path]], name: str = "out") -> Path:
        options = [
            part
            for kind in ("cards", "curves", "probabilities")
            for part in (f"--{kind}", *(network[kind] for network in files))
        ]
        folder = tmp_path / name
        done = bin_script("compare", *options, "--outdir", folder)
        assert done.returncode == 0, done.stderr
        return folder

    return run


def test_every_output_is_written_and_the_same_in_any_order(write, compare):
    files = [write(seed=seed, found=seen((seed,)), steps=3 + seed) for seed in (1, 2)]
    files += [write("conv5", found=seen((4, 5))), write("own", found=seen((1, 2, 3)))]
    folder, again = compare(files), compare(files[::-1], "again")
    tables = {"comparison": 3, "networks": 4, "ensembles": 3 * (3 + 1 + 1)}
    plots = ("learning_curves", "probabilities", "cell_sizes")
    names = {f"{n}.csv" for n in tables} | {f"{n}.png" for n in plots}
    names |= {"comparison.json", "report.html"}
    assert {path.name for path in folder.iterdir()} == names
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name
    for name, n_rows in tables.items():
        with (folder / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == n_rows, name
    for name in plots:
        picture = imread(folder / f"{name}.png")
        assert picture.shape[1] > 800 and np.ptp(picture[..., :3]) > 0.5, name
    found = json.loads((folder / "comparison.json").read_text())
    assert found["compartment"] == "whole-cell" and found["n_networks"] == 4
    assert len(found["ensembles"]) == tables["ensembles"]
    assert found["recommended"]["models"] and found["recommended"]["thresholds"]


def test_one_network_that_finds_nothing_can_still_be_looked_at(write, compare):
    folder = compare([write(found=seen(tuple(range(N_CELLS + 1))))])
    with (folder / "comparison.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["pixel_accuracy_low"] == "" and float(row["pixel_accuracy"]) > 0.5
