"""Small slides share tasks, and all they give is that of the steps."""

import csv
import json
import re
from pathlib import Path

import pytest
from support.cohort import GOOD, REFUSED, SIDES, Cohort
from support.slides import pixels, write
from system.faults.runs import RECORD, Run, files_of, step_of

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


@pytest.fixture(scope="module")
def runs(cohort: Cohort) -> tuple[Run, Run]:
    """Return a run in a bundle, of which one slide has too many pixels, and one step by step."""
    return cohort.bundled, cohort.by_steps


def tasks_of(run: Run, step: str) -> list[tuple[str, str]]:
    """Return tag and exit code of each attempt of a step's tasks."""
    rows = [task for task in run.tasks if step_of(task["name"]) == step]
    return sorted((row["name"].partition(" ")[2], row["exit"]) for row in rows)


def test_a_slide_with_too_many_pixels_goes_step_by_step(runs):
    bundled, _ = runs
    assert tasks_of(bundled, "CHAIN") == [("(channel and 5 more)", "0")]
    assert tasks_of(bundled, "INGEST") == [("(large)", "0")]
    assert tasks_of(bundled, "DRAW") == [("(large)", "0")]
    assert tasks_of(bundled, "EXPORT") == [("(first and 1 more)", "0"), ("(large)", "0")]


def test_slides_of_tasks_that_fail_go_step_by_step(runs):
    """A task that is killed is tried once more, one with a bug is not."""
    _, by_steps = runs
    assert tasks_of(by_steps, "CHAIN") == [
        ("(channel and 1 more)", "1"),
        ("(first and 1 more)", "1"),
        *[("(nuclei and 1 more)", "137")] * 2,
    ]
    assert len(tasks_of(by_steps, "INGEST")) == len(SIDES)
    assert len(tasks_of(by_steps, "DRAW")) == len(GOOD)


def test_all_that_is_published_is_that_of_the_steps(runs):
    found, expected = (run.published() for run in runs)
    assert sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []
    for sample in GOOD:
        kinds = {path.split("/")[1] for path in found if path.startswith(f"{sample}/")}
        assert kinds >= {"segmentation", "quantification", "anndata", "geojson", "report.html"}
        summary = json.loads(found[f"{sample}/summary.json"])
        assert summary["n_nuclei"] > 20
        first, second = (json.loads((run.results / sample / RECORD).read_text()) for run in runs)
        assert first["files"] == second["files"]


def test_a_refused_slide_is_named_as_by_the_step(runs):
    """On the console, and in the table of samples."""
    told = [re.findall(r"^ +\w+, [A-Z]+: .+$", run.said, re.M) for run in runs]
    assert len(told[0]) == len(REFUSED) and told[0] == told[1]
    with (runs[0].results / "samples.csv").open() as file:
        reasons = {row["sample"]: row["refused_reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == SIDES.keys()
    assert {sample for sample in reasons if reasons[sample]} == REFUSED.keys()
    (torn,) = [line for line in told[0] if line.split()[0] == "torn,"]
    assert reasons["torn"] in torn
    assert files_of(runs[0].results / "torn").keys() <= {RECORD}
