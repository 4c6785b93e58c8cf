"""The batching study: what it recommends, and a real one on a small slide."""

import csv
import json
import re
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from support.parsers import V1

from cellquilt.tuning import measure
from cellquilt.tuning.measure import MEASURED, Setting, Task, choose
from cellquilt.tuning.recommend import CHOICE, read_rows, recommend

ROW = {
    "image": "small",
    "patch_size": 384,
    "patches_per_task": 4,
    "batch_size": 4,
    "tasks": 1,
    "threads": 2,
    "device": "cpu",
    "processor": "a processor",
    "precision": "float32",
    "xla": False,
    "machine_memory_gb": 16.0,
    "slide_patches": 9,
    "slide_tasks": 3,
    "slide_tiles": 100,
    "slide_mpx": 4.0,
    "tiles_per_mpx": 25.0,
    "tile_redundancy": 1.2,
}
MEASURED_ROW = dict.fromkeys(MEASURED, 1.0) | {
    "device_name": "cpu",
    "batch_size_used": 4,
    "start_s": 10.0,
    "seconds": 20.0,
    "seconds_per_tile": 0.2,
    "peak_memory_gb": 2.0,
}


@pytest.fixture
def table_of(tmp_path):
    """Return a function that makes the table of measurements that differ from `ROW` as given."""

    def make(*changes: dict) -> pd.DataFrame:
        paths = [tmp_path / f"{number}.csv" for number in range(len(changes))]
        for path, change in zip(paths, changes, strict=True):
            used = {"batch_size_used": change["batch_size"]} if "batch_size" in change else {}
            pd.DataFrame([ROW | MEASURED_ROW | used | change]).to_csv(path, index=False)
        return read_rows(paths)

    return make


def test_slide_time_holds_all_tiles_and_the_start_of_every_round_of_tasks(table_of):
    table = table_of(
        {"batch_size": 2, "start_s": 9.0},
        {"batch_size": 4, "start_s": 11.0},
        {"batch_size": 8, "start_s": 50.0},
        {"tasks": 2, "seconds_per_tile": 0.1, "start_s": 20.0},
    )
    by_choice = table.set_index(["tasks", "batch_size"])["slide_s"]
    assert by_choice[1].tolist() == [100 * 0.2 + 3 * 11] * 3
    assert by_choice[2, 4] == 100 * 0.1 + 2 * 20
    assert table["slide_mpx_per_s"].tolist() == (4 / table["slide_s"]).tolist()


def test_fastest_for_the_largest_slide_is_recommended(table_of):
    large = {"image": "large", "slide_mpx": 40.0, "slide_tiles": 1000}
    found = recommend(
        table_of(
            large | {"patch_size": 768, "seconds_per_tile": 0.1},
            large | {"patch_size": 1536, "seconds_per_tile": 0.3},
            {"patch_size": 768, "seconds_per_tile": 0.4},
            {"patch_size": 1536, "seconds_per_tile": 0.2},
        ),
        None,
    )
    assert [(one["image"], one["patch_size"]) for one in found["by_image"]] == [
        ("small", 1536),
        ("large", 768),
    ]
    assert found["recommended"] == found["by_image"][1]
    assert found["command"] == (
        "nextflow run . --device cpu --patch_size 768 --patches_per_task 4 --batch_size 4"
    )
    assert found["tasks_at_a_time"] == "process { withName: 'SEGMENT' { cpus = 2; maxForks = 1 } }"
    assert len(found["tile_grid"]) == 4


def test_of_equally_fast_ones_the_one_of_least_memory_is_recommended(table_of):
    found = recommend(
        table_of(
            {"batch_size": 2, "seconds_per_tile": 0.205, "peak_memory_gb": 1.5},
            {"batch_size": 4, "seconds_per_tile": 0.2, "peak_memory_gb": 2.0},
            {"batch_size": 8, "seconds_per_tile": 0.3, "peak_memory_gb": 1.0},
        ),
        None,
    )
    assert found["recommended"]["batch_size"] == 2


def test_what_does_not_fit_is_left_out_with_its_reason(table_of):
    table = table_of(
        {"batch_size": 2},
        {"batch_size": 4, "seconds_per_tile": 0.1, "peak_memory_gb": 5.0, "tasks": 2},
        {"batch_size": 8, "seconds_per_tile": 0.1, "batch_size_used": 4},
        {"batch_size": 16} | dict.fromkeys(MEASURED),
    )
    found = recommend(table, 8.0)
    assert found["recommended"]["batch_size"] == 2
    reasons = {one["batch_size"]: one["reason"] for one in found["not_candidates"]}
    assert "more memory" in reasons[4] and "smaller batches" in reasons[8]
    assert "killed" in reasons[16]
    assert recommend(table, 12.0)["recommended"]["batch_size"] == 4, "5 GB twice fit"
    nothing = recommend(table, 1.0)
    assert nothing["recommended"] is None and nothing["command"] is None
    json.dumps(nothing, allow_nan=False)


def test_recommended_options_say_how_the_network_was_computed(table_of):
    found = recommend(table_of({"precision": "bfloat16"}), None)
    assert found["command"].endswith("--batch_size 4 --precision bfloat16")
    found = recommend(table_of({"device": "gpu", "precision": "tf32", "xla": True}), None)
    assert "--device gpu" in found["command"]
    assert found["command"].endswith("--batch_size 4 --precision tf32 --xla")


@pytest.mark.parametrize(
    ("at_least", "max_tiles", "expected"),
    [(1, 1, 1), (1, 50, 1), (1, 51, 2), (3, 1, 3), (1, 999, 4)],
)
def test_whole_tasks_are_measured_until_there_are_enough_tiles(at_least, max_tiles, expected):
    tiles = frozenset((row, 0) for row in range(50))
    slide = [Task(Path(f"{n}"), tiles, 1, 1, 1) for n in range(4)]
    assert len(list(choose(slide, at_least, max_tiles))) == expected


def test_tasks_at_the_same_time_share_a_gpu_that_no_other_task_has(tmp_path, monkeypatch):
    """Those of other runs, which let tasks share one, included."""
    setting = Setting(tmp_path / "mesmer.zip", "gpu", 2, 4, 2, "float32", False, 0.1, tmp_path)
    monkeypatch.setattr(measure.gpu_lock, "read_uuids", lambda: ["GPU-1", "GPU-2"])
    monkeypatch.setattr(measure.model_archive, "unpacked", lambda _: nullcontext((tmp_path, {})))

    def run_here(number, *_):
        pool = MagicMock()
        pool.__enter__.return_value = pool

        def submit(function, stores, setting, folder, card, gpu, spawned):
            with measure.gpu_lock.take(["GPU-1", "GPU-2"], 2, tmp_path) as other:
                return MagicMock(result=lambda: (number, gpu.uuid, other.uuid))

        pool.submit = submit
        return pool

    monkeypatch.setattr(measure, "ProcessPoolExecutor", run_here)
    assert measure._run([], setting) == [(2, "GPU-1", "GPU-2")] * 2


@pytest.fixture(scope="module")
def study(nextflow, tmp_path_factory):
    """Run a study of a small generated slide, cut into four tasks of one patch."""
    folder = tmp_path_factory.mktemp("study")
    sizes = ["--benchmark_image_sizes", "410", "--benchmark_patch_sizes", "192"]
    runs = ["--benchmark_patches_per_task", "1", "--benchmark_batch_sizes", "4"]
    tasks = ["--benchmark_tasks", "1,2,5"]
    done = nextflow("--mode", "benchmark", *sizes, *runs, *tasks, folder=folder, env=V1)
    assert done.returncode == 0, done.stdout + done.stderr
    return done, folder / "results" / "benchmark"


@pytest.fixture(scope="module")
def rows(study) -> list[dict[str, str]]:
    with (study[1] / "benchmark.csv").open() as file:
        return list(csv.DictReader(file))


def test_study_measures_every_combination_that_there_can_be(rows):
    chosen = [tuple(int(row[name]) for name in CHOICE) for row in rows]
    assert chosen == [(192, 1, 4, 1), (192, 1, 4, 2)], "four tasks are no five"
    assert {row["image"] for row in rows} == {"generated-410"}
    assert [row["threads"] for row in rows] == ["2", "1"]
    # 410 px are 2 x 2 tiles, and each of the four patches needs them all
    assert [(row["slide_tasks"], row["tiles"]) for row in rows] == [("4", "16")] * 2
    assert [float(row["tile_redundancy"]) for row in rows] == [4, 4]


def test_study_measures_time_and_memory(rows):
    for row in rows:
        seconds = {name: float(row[f"{name}_s"]) for name in ("start", "read", "network", "blend")}
        assert min(seconds.values()) > 0
        spent = (seconds["network"] + seconds["blend"]) / int(row["tasks"])
        assert spent <= float(row["seconds"]) * 1.001
        assert float(row["mpx_per_s"]) == pytest.approx(0.1681 / float(row["seconds"]), rel=1e-3)
        assert 0.5 < float(row["peak_memory_gb"]) < 8
        assert row["batch_size_used"] == "4" and row["device_memory_gb"] == ""


def test_study_recommends_what_it_measured(study, rows):
    done, folder = study
    found = json.loads((folder / "recommendation.json").read_text())
    best = found["recommended"]
    assert found["command"] in done.stdout
    (row,) = [row for row in rows if all(row[name] == str(best[name]) for name in CHOICE)]
    least = min(float(row["slide_s"]) for row in rows)
    assert float(row["slide_s"]) == pytest.approx(best["slide_s"], rel=1e-3)
    assert least * 0.999 <= best["slide_s"] <= least * 1.031  # the table is rounded
    for name in ("throughput", "peak_memory"):
        assert np.ptp(imread(folder / f"{name}.png")) > 0.5, "not a blank picture"


def test_study_runs_one_measurement_at_a_time_and_publishes_nothing_else(study):
    done, folder = study
    assert {path.name for path in folder.iterdir()} == {
        *("benchmark.csv", "recommendation.json", "throughput.png", "peak_memory.png"),
        "files.json",
    }
    assert {path.name for path in folder.parent.iterdir()} == {"benchmark", "pipeline_info"}
    with (folder.parent / "pipeline_info" / "execution_trace.txt").open() as file:
        tasks = list(csv.DictReader(file, delimiter="\t"))
    order = [re.match(r"BENCHMARK:(\w+)", task["name"])[1] for task in tasks]
    assert order.count("MEASURE") == 2
    assert order.index("MEASURE") > max(n for n, name in enumerate(order) if name == "PATCH")


def test_every_column_and_field_of_the_study_is_described(study, rows, repo):
    page = (repo / "docs" / "outputs.md").read_text()
    (described,) = re.findall(
        r"^## The batching study\n.*?(?=^## )", page, re.DOTALL | re.MULTILINE
    )
    found = json.loads((study[1] / "recommendation.json").read_text())
    for name in [*rows[0], *found, *found["recommended"], *found["tile_grid"][0]]:
        assert f"`{name}`" in described, name
