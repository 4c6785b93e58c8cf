"""Runs of many small slides: how many jobs they are, and what is said of hundreds of samples."""

import csv
import json
import re
from pathlib import Path

import pytest
from support.slides import pixels, write

N_ROWS = 100
MOST_JOBS = 60 * N_ROWS // 500  # 500 rows are at most 60 jobs; benchmarks/rows.py runs them


HEADER = "sample,image,nuclear,membrane,age\n"
STUB = ["--segmenter", "pixelcnn", "-stub"]


@pytest.fixture(scope="module")
def hundred(nextflow, tmp_path_factory) -> tuple[Path, list[str], str]:
    """Run a hundred slides; return the folder, the rows of their sheet and what was said."""
    folder = tmp_path_factory.mktemp("hundred")
    write(folder / "a.ome.tif", pixels((1, 64, 64)))
    rows = [f"patient{n // 20:03d}_core-{n % 20:02d},a.ome.tif,0,,{n}\n" for n in range(N_ROWS)]
    (folder / "sheet.csv").write_text(HEADER + "".join(rows))
    done = nextflow("--input", "sheet.csv", *STUB, folder=folder, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, rows, done.stdout


def test_a_hundred_slides_are_a_few_jobs_and_a_few_lines(hundred):
    folder, _, said = hundred
    with (folder / "results" / "pipeline_info" / "execution_trace.txt").open() as file:
        tasks = list(csv.DictReader(file, delimiter="\t"))
    assert len(tasks) <= MOST_JOBS
    records = [json.loads(path.read_text()) for path in folder.glob("results/*/files.json")]
    assert len(records) == N_ROWS + 1  # and that of the run
    assert {record["state"] for record in records} == {"complete"}
    warnings = [line for line in said.splitlines() if line.startswith("WARN")]
    assert [warning.partition("sheet.csv, ")[2] for warning in warnings] == [
        "row 2, and 99 other rows: no membrane channel is named: nuclear segmentation only."
    ]
    end = said[said.index("Cellquilt is done") :].strip()
    assert end == (
        "Cellquilt is done: 100 samples, 200 cells, 200 nuclei, 200 matched; results/report.html "
        "shows them, results/samples.csv lists them"
    )


def bundles_of(work: Path) -> dict[Path, list[str]]:
    """Return the samples of each CHAIN task, by its folder."""
    found = {}
    for script in work.glob("*/*/.command.sh"):
        slides = re.search(r"<<'SLIDES'\n(.+)\n", script.read_text())
        if slides:
            found[script.parent] = [slide["sample"] for slide in json.loads(slides[1])]
    return found


def test_a_changed_row_runs_its_bundle_and_no_other(nextflow, hundred, tmp_path):
    """With a hundred slides in bundles of at most 32."""
    folder, rows, said = hundred
    bundles = bundles_of(folder / "work")
    first = list(bundles.values())
    chain = "process > SEGMENTATION:MASKS:BUNDLES:CHAIN"
    assert said.count(f"Submitted {chain}") == len(first) and f"Cached {chain}" not in said
    assert max(map(len, first)) <= 32
    assert sorted(sum(first, [])) == sorted(row.split(",")[0] for row in rows)
    assert len(list(folder.glob("results/*/summary.json"))) == len(rows)

    # a row of one bundle is removed, and one of another is changed
    *kept, last = rows
    removed = last.split(",")[0]
    (shrunk,) = [set(bundle) for bundle in first if removed in bundle]
    changed = next(bundle for bundle in first if removed not in bundle)
    at = next(n for n, row in enumerate(kept) if row.split(",")[0] == changed[0])
    head, _, age = kept[at].rpartition(",")
    kept[at] = f"{head},1{age}"  # still a number: 00 would make the column text, of all rows
    (folder / "changed.csv").write_text(HEADER + "".join(kept))
    options = ["--input", "changed.csv", *STUB, "-resume", "--outdir", tmp_path]
    done = nextflow(*options, folder=folder, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nextflow 25.04.4 writes its own report and trace to results/" in done.stdout
    after = bundles_of(folder / "work")
    again = [after[task] for task in after.keys() - bundles.keys()]
    assert done.stdout.count(f"Submitted {chain}") == len(again)
    assert done.stdout.count(f"Cached {chain}") == len(first) - 2
    assert sorted(map(sorted, again)) == sorted(map(sorted, [shrunk - {removed}, changed]))


def summary(number: int, **more: object) -> dict:
    name = f"core-{number:03d}"
    counts = {"n_cells": 10, "n_nuclei": 11, "n_matched": 9}
    return {"sample": name, "segmentation": f"segmentation/mesmer-{name}"} | counts | more


def notice(code: str, text: str) -> dict:
    return {"code": code, "text": text}


@pytest.fixture(scope="module")
def told(repo, nextflow_command, tmp_path_factory) -> dict:
    """Return what is said of each run, by its name, and all warnings."""
    rare, frequent = notice("rare", "is odd."), notice("frequent", "of 500 kinds.")
    one = dict.fromkeys(("n_cells", "n_nuclei", "n_matched", "n_uncertified_cells"), 1)
    uncertified = [summary(k, **one, n_unproved_patches=1) for k in range(60)]
    many = [summary(k) for k in range(500)]
    many[7] |= {"n_cells": 0, "n_nuclei": 0, "n_matched": 0}
    many[8] |= {"n_uncertified_cells": 3, "notices": [rare]}
    for k in range(100, 500):
        many[k]["notices"] = [notice("frequent", f"core-{k}.tif: {frequent['text']}")]
    refusals = [{"sample": f"s{k}", "step": "INGEST", "message": "no."} for k in range(120)]
    runs = {
        "few": {"summaries": [summary(1, notices=[rare]), summary(2)]},
        "many": {"summaries": many},
        "flagged": {"summaries": uncertified},
    }
    problems = [f"row {k}: wrong." for k in range(120)]
    for name, run in runs.items():
        few = name == "few"
        run |= {
            "refusals": refusals[: 1 if few else None],
            "problems": problems[: 2 if few else None],
        }
    folder = tmp_path_factory.mktemp("messages")
    (folder / "runs.json").write_text(json.dumps(runs))
    project = tmp_path_factory.mktemp("project")
    script = (repo / "tests" / "steps" / "messages.nf").read_text()
    (project / "main.nf").write_text(script.replace("'../../", "'./"))
    (project / "workflows").symlink_to(repo / "workflows")
    options = ["--runs", "runs.json", "--results", "r.json"]
    done = nextflow_command("run", project, *options, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    warnings = [line[5:].strip() for line in done.stdout.splitlines() if line.startswith("WARN")]
    return json.loads((folder / "r.json").read_text()) | {"warnings": warnings}


def test_few_samples_have_a_line_each(told):
    said = told["few"]
    assert said["summary"].splitlines() == [
        "Cellquilt is done; results/report.html shows it",
        *(
            f"  core-00{k}: 10 cells, 11 nuclei, 9 matched; masks in "
            f"results/core-00{k}/segmentation/mesmer-core-00{k}"
            for k in (1, 2)
        ),
    ]
    assert said["problems"] == "row 0: wrong.\nrow 1: wrong."
    assert "One slide was refused" in said["refused"] and " more" not in said["refused"]


def test_of_many_samples_only_those_that_need_attention_have_a_line(told):
    head, *lines = told["many"]["summary"].splitlines()
    assert head == (
        "Cellquilt is done: 500 samples, 4990 cells, 5489 nuclei, 4491 matched; "
        "results/report.html shows them, results/samples.csv lists them"
    )
    assert [line.partition("; masks")[0] for line in lines] == [
        "  core-007: 0 cells, 0 nuclei, 0 matched",
        "  core-008: 10 cells, 11 nuclei, 9 matched, 3 cells not tiling verified",
    ]
    _, *lines = told["flagged"]["summary"].splitlines()
    assert lines[0].partition("; masks")[0] == (
        "  core-000: 1 cell, 1 nucleus, 1 matched, 1 cell not tiling verified, "
        "1 patch skipped without proof"
    )
    assert len(lines) == 51 and lines[-1] == "  and 10 more, in results/samples.csv"


def test_notices_of_many_samples_are_a_warning_for_each_kind(told):
    assert told["warnings"] == [
        "core-001: is odd.",
        "core-007: no cells were found; its masks are empty.",
        "core-008: is odd.",
        "400 samples (core-100, core-101, core-102 ...) have notices of one kind, for example "
        "core-100: core-100.tif: of 500 kinds.",
    ]


def test_long_lists_of_refusals_are_cut(told):
    assert told["many"]["problems"].splitlines()[49:] == [
        "row 49: wrong.",
        "and 70 more; correct these first.",
    ]
    lines = told["many"]["refused"].splitlines()
    assert lines[0] == "120 slides were refused; all else is done, in results."
    assert lines[50:52] == ["  s49, INGEST: no.", "  and 70 more, in results/samples.csv"]
