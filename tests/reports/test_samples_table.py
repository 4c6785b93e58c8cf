"""samples.csv: a row for each sample of a run."""

import copy
import csv
import io

import pandas as pd
import pytest

from cellquilt.reports import index, samples_table
from cellquilt.reports.findings import findings

TEXT = 'a "quoted", text;\nof two lines, =SUM(A1)'
REFUSALS = [
    {"sample": "torn", "step": "INGEST", "message": TEXT},
    {"sample": "both", "step": "EXPORT", "message": "too many channels"},
    {"sample": "both", "step": "", "message": "a task failed"},
]


@pytest.fixture(scope="module")
def own(samples) -> list[dict]:
    """Return samples with columns of the user's, one of them with the name of another."""
    given = {"NA": {"stage": TEXT, "height": 1.75, "id": 7}, "b": {"stage": "", "id": None}}
    both, nuclear = copy.deepcopy(samples["both"]), copy.deepcopy(samples["nuclear"])
    nuclear["patches"]["skipped"] |= {"n": 1, "area_fraction": 0.25}
    return [
        both | {"sample": "NA", "columns": given["NA"], "evaluation": {"quality_score": 1.25}},
        nuclear | {"sample": "b", "columns": given["b"]},
    ]


def test_it_comes_back_as_it_was(own):
    text = samples_table.render(own, REFUSALS)
    table = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
    table = table.set_index("sample").astype(object)
    assert list(table.index) == ["NA", "b", "both", "torn"]
    first, second = table.loc["NA"], table.loc["b"]
    for name, value in own[0]["summary"].items():
        if name.startswith(("n_", "f1_")) or name.endswith("fraction"):
            assert first[name] == value or (value is None and pd.isna(first[name])), name
    for flag, n in own[0]["summary"]["flags"].items():
        assert first[f"n_flag_{flag}"] == n
    assert (first["height"], first["own_height"]) == (300, 1.75)
    assert (first["stage"], first["id"], first["quality_score"]) == (TEXT, 7, 1.25)
    median = own[0]["distributions"]["cell_area_um2"]["quantiles"]["0.5"]
    assert first["median_cell_area_um2"] == median
    assert second[["n_cells", "median_cell_area_um2", "id", "stage", "refused_step"]].isna().all()
    assert second[["n_flagged", "n_flag_edge"]].isna().all()
    (note,) = findings(own[1])
    assert list(second[["n_urgent", "n_findings", "findings"]]) == [0, 1, note.text]
    assert list(table.loc["torn", ["refused_step", "refused_reason"]]) == ["INGEST", TEXT]
    assert table.loc["torn"].notna().sum() == 2
    reasons = "too many channels; a task failed"
    assert table.loc["both", "refused_reason"] == reasons


def test_every_row_has_every_field(own):
    rows = list(csv.reader(io.StringIO(samples_table.render(own, REFUSALS)), strict=True))
    assert {len(row) for row in rows} == {len(samples_table.COLUMNS) + 3}
    assert len(set(rows[0])) == len(rows[0])
    assert [row[rows[0].index("n_cells")] for row in rows[1:]][1:] == ["", "", ""]


def test_an_entry_of_the_index_gives_the_same_table(own):
    assert samples_table.render(list(map(index.entry, own))) == samples_table.render(own)


def test_columns_of_the_user_never_share_a_name(samples):
    sample = samples["both"] | {"columns": {"own_image": 1, "image": 2, "sample": 3}}
    header, values = list(csv.reader(io.StringIO(samples_table.render([sample]))))
    found = dict(zip(header, values, strict=True))
    assert len(found) == len(header) and found["own_sample"] == "3"
    assert (found["own_image"], found["own_own_image"]) == ("1", "2")


def test_every_column_is_described(repo):
    text = (repo / "docs" / "outputs.md").read_text()
    section = text[text.index("## `samples.csv`") :]
    section = section[: section.index("\n## ")]
    assert [name for name in samples_table.COLUMNS if f"`{name}`" not in section] == []
