"""Small slides share tasks: which slides share one, and that all they give is that of the steps."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.slides import pixels, write
from support.steps import write_slide
from system.faults.runs import RECORD, Run, files_of, step_of

from cellquilt.synthetic.tissue import generate_tissue

HEADER = ["sample", "image", "nuclear", "membrane", "stage"]


def write_sheet(folder: Path, rows: list[list[str]]) -> None:
    (folder / "sheet.csv").write_text("".join(f"{','.join(row)}\n" for row in [HEADER, *rows]))


def bundles_of(work: Path) -> dict[Path, list[str]]:
    """Return the samples of each CHAIN task, by its folder."""
    found = {}
    for script in work.glob("*/*/.command.sh"):
        slides = re.search(r"<<'SLIDES'\n(.+)\n", script.read_text())
        if slides:
            found[script.parent] = [slide["sample"] for slide in json.loads(slides[1])]
    return found


def test_a_changed_row_runs_its_bundle_and_no_other(nextflow, tmp_path):
    """With 70 slides in bundles of at most 32."""
    write(tmp_path / "a.ome.tif", pixels((1, 64, 64)))
    rows = [[f"field{n}", "a.ome.tif", "0", "", "I"] for n in range(70)]
    options = ["--input", "sheet.csv", "--segmenter", "pixelcnn", "--formats", "none", "-stub"]

    def run(*more: str) -> tuple[list[list[str]], int]:
        """Return the samples of each new CHAIN task, and how many tasks were cached."""
        write_sheet(tmp_path, rows)
        before = bundles_of(tmp_path / "work")
        done = nextflow(*options, *more, folder=tmp_path, accept=False)
        assert done.returncode == 0, done.stdout + done.stderr
        after = bundles_of(tmp_path / "work")
        new = [after[folder] for folder in after.keys() - before.keys()]
        assert done.stdout.count("Submitted process > SEGMENTATION:MASKS:BUNDLES:CHAIN") == len(new)
        return new, done.stdout.count("Cached process > SEGMENTATION:MASKS:BUNDLES:CHAIN")

    first, n_cached = run()
    assert n_cached == 0
    assert max(map(len, first)) <= 32
    assert sorted(sum(first, [])) == sorted(name for name, *_ in rows)
    assert len(list(tmp_path.glob("results/*/summary.json"))) == len(rows)

    # a row of one bundle is removed, and one of another is changed
    removed, *_ = rows.pop()
    (shrunk,) = [set(bundle) for bundle in first if removed in bundle]
    changed = next(bundle for bundle in first if removed not in bundle)
    next(row for row in rows if row[0] == changed[0])[-1] = "II"
    again, n_cached = run("-resume")
    assert n_cached == len(first) - 2
    assert sorted(map(sorted, again)) == sorted(map(sorted, [shrunk - {removed}, changed]))


SLIDES = {"first": 200, "nuclei": 200, "torn": 200, "large": 300}
# With two slides a bundle, of both the task fails: one each time as killed, the other by a bug
FAILING = """
process {
    withName: 'CHAIN' {
        beforeScript = { metas*.id.contains('torn') ? 'exit 137' : 'exit 1' }
    }
}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Run, Run]:
    """Return two runs of four slides, one of them torn; both go on at a time.

    In the first one a slide of the bundle has too many pixels. In the second one all go step by
    step, since the tasks of both bundles fail.
    """
    given = {"bundled": ("", "--bundle_max_mpx", "0.05")}
    given["fallen-back"] = (FAILING, "--bundle_slides", "2")

    def prepare(name: str) -> Run:
        config, *options = given[name]
        folder = tmp_path_factory.mktemp(name)
        rows = []
        for seed, (sample, side) in enumerate(SLIDES.items()):
            tissue = np.moveaxis(generate_tissue(side, side, seed=seed).image[[0, 2]], 0, -1)
            slide = write_slide(folder / f"{sample}.ome.tif", tissue)
            membrane = "" if sample == "nuclei" else "membrane"
            rows.append([sample, slide.name, "nuclear", membrane, "I"])
        content = (folder / "torn.ome.tif").read_bytes()
        (folder / "torn.ome.tif").write_bytes(content[: len(content) // 2])
        write_sheet(folder, rows)
        (folder / "own.config").write_text(config)
        common = ["-profile", "local", "--segmenter", "pixelcnn", "--input", "sheet.csv"]
        return Run(folder, (*common, *options), folder / "own.config")

    found = [prepare(name) for name in given]
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(Run.finish, found))
    assert codes == [1, 1], [run.said for run in found]  # of the torn slide
    return tuple(found)


def tasks_of(run: Run, step: str) -> list[tuple[str, str]]:
    """Return tag and exit code of each attempt of a step's tasks."""
    rows = [task for task in run.tasks if step_of(task["name"]) == step]
    return sorted((row["name"].partition(" ")[2], row["exit"]) for row in rows)


def test_a_slide_with_too_many_pixels_goes_step_by_step(runs):
    bundled, _ = runs
    assert tasks_of(bundled, "CHAIN") == [("(first and 3 more)", "0")]
    assert tasks_of(bundled, "INGEST") == [("(large)", "0")]
    assert tasks_of(bundled, "DRAW") == [("(large)", "0")]
    assert tasks_of(bundled, "EXPORT") == [("(first and 1 more)", "0"), ("(large)", "0")]


def test_slides_of_tasks_that_fail_go_step_by_step(runs):
    """A task that is killed is tried once more, one with a bug is not."""
    _, fallen_back = runs
    assert tasks_of(fallen_back, "CHAIN") == [
        ("(first and 1 more)", "1"),
        *[("(nuclei and 1 more)", "137")] * 2,
    ]
    assert len(tasks_of(fallen_back, "INGEST")) == len(SLIDES)
    assert len(tasks_of(fallen_back, "DRAW")) == len(SLIDES) - 1


def test_all_that_is_published_is_that_of_the_steps(runs):
    found, expected = (run.published() for run in runs)
    assert sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []
    for sample in SLIDES.keys() - {"torn"}:
        kinds = {path.split("/")[1] for path in found if path.startswith(f"{sample}/")}
        assert kinds >= {"segmentation", "quantification", "anndata", "geojson", "report.html"}
        first, second = (json.loads((run.results / sample / RECORD).read_text()) for run in runs)
        assert first["files"] == second["files"]


def test_a_refused_slide_is_named_as_by_the_step(runs):
    """On the console, and in the table of samples."""
    first, second = (re.findall(r"^ +torn, INGEST: .+$", run.said, re.M) for run in runs)
    assert len(first) == 1 and first == second
    with (runs[0].results / "samples.csv").open() as file:
        reasons = {row["sample"]: row["refused_reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == SLIDES.keys()
    assert [sample for sample in reasons if reasons[sample]] == ["torn"]
    assert reasons["torn"] in first[0]
    assert files_of(runs[0].results / "torn").keys() <= {RECORD}
