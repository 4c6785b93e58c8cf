"""Small slides share tasks, and all they give is that of the steps."""

import csv
import json
import re

import pytest
from support.cohort import GOOD, REFUSED, SIDES, Cohort
from system.faults.runs import RECORD, Run, files_of, step_of


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
