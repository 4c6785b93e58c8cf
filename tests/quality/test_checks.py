"""The table of checks: levels, sentences, likely causes, and what docs/quality.md says of them."""

import re

import pytest

from cellquilt.quality.causes import CAUSES
from cellquilt.quality.checks import CHECKS, N_CAUSES, OTHERS, causes_of, judge

RIGHT = {
    **{"cell_matched_fraction": 0.95, "nucleus_matched_fraction": 0.93, "mean_mismatch": 0.03},
    **{"nuclei_outside": 0.01, "extra_nuclei": 0.03, "nuclei_taken": 0.02, "nuclei_per_cell": 1.02},
    **{
        "cells_smaller": 0.0,
        "nucleus_um2": 40.0,
        "blob_um2": 32.0,
        "nuclear_size_um2": 36.0,
        "on_glass": 0.0,
        "signal": 0.9,
    },
    **{"saturated": 0.0, "saturated_area": 0.0, "focus": 0.8, "out_of_focus_area": 0.0},
    **{"nuclear_roundness": 0.2, "membrane_roundness": 0.13, "nuclear_inside": 0.98},
    **{"membrane_inside": 0.2, "membrane_rounder": -0.07, "seams_um": None, "border_jump": 1.0},
}
# What a run made wrong shows, and its cause
WRONG = [
    ({"nuclear_roundness": 0.13, "membrane_rounder": 0.07}, "swapped_channels"),
    ({"nuclear_roundness": 0.13}, "not_nuclear"),
    ({"blob_um2": 130.0, "nucleus_um2": 160.0, "nuclear_size_um2": 144.0}, "pixel_size_too_large"),
    ({"blob_um2": 8.0, "nucleus_um2": 18.0, "nuclear_size_um2": 12.0}, "pixel_size_too_small"),
    ({"focus": 0.35, "out_of_focus_area": 1.0}, "out_of_focus"),
    ({"saturated": 0.1, "saturated_area": 1.0}, "saturated"),
    ({"on_glass": 0.9, "signal": 0.0}, "no_tissue"),
]


def test_a_right_sample_has_no_finding():
    assert judge(RIGHT) == [] == judge({}) == judge(dict.fromkeys(RIGHT))


@pytest.mark.parametrize("check", CHECKS, ids=[f"{c.code}-{c.figure}" for c in CHECKS])
def test_values_beyond_a_limit_are_found_at_its_level(check):
    limits = [(check.note, False), (check.urgent, True)]
    for (low, high), urgent in limits:
        for limit, beyond in ((low, -1e-6), (high, 1e-6)):
            if limit is not None:
                assert check.judge(limit + beyond) is urgent
                assert check.judge(limit) is not urgent
    assert check.judge(None) is None


@pytest.mark.parametrize("check", CHECKS, ids=[f"{c.code}-{c.figure}" for c in CHECKS])
def test_each_check_has_a_figure_a_limit_and_causes(check):
    assert check.figure in RIGHT
    beyond = [v + d for v, d in zip(check.urgent, (-1, 1), strict=True) if v is not None]
    value = (beyond or [v + d for v, d in zip(check.note, (-1, 1), strict=True) if v is not None])[
        0
    ]
    (found,) = [j for j in judge({check.figure: value}) if j.check is check]
    assert found.figure in found.text and re.match("(urgent|a note) (above|below) .", found.limit)
    assert 0 < len(found.causes) <= N_CAUSES
    assert all(code in CAUSES for code in check.causes)


@pytest.mark.parametrize(("changes", "cause"), WRONG)
def test_what_figures_speak_for_is_named_first(changes, cause):
    matching = {"cell_matched_fraction": 0.3, "mean_mismatch": 0.5}
    found = judge(RIGHT | changes | matching)
    assert any(judged.urgent for judged in found)
    pairs = [judged for judged in found if judged.check.figure in matching]
    assert all(cause in {c.code for c in judged.causes} for judged in pairs)


def test_small_nuclei_are_not_those_of_cultured_cells():
    for found in judge(RIGHT | {"blob_um2": 7.0, "nuclear_size_um2": 14.0}):
        assert "other_cells" not in {cause.code for cause in found.causes}
    large = judge(RIGHT | {"blob_um2": 150.0, "nuclear_size_um2": 120.0})
    assert any("other_cells" in {cause.code for cause in found.causes} for found in large)


def test_without_evidence_the_network_is_named():
    (found,) = judge(RIGHT | {"cell_matched_fraction": 0.3})
    assert found.causes[0].code == "unknown_tissue"


def test_notices_speak_too():
    found = judge(RIGHT | {"cell_matched_fraction": 0.3}, ["label_image"])
    assert found[0].causes[0].code == "mask"
    for code, causes in OTHERS.items():
        assert set(causes) <= set(CAUSES)
        assert [c.code for c in causes_of(code, {})] == list(causes[:N_CAUSES])
    assert causes_of("not_certified", {}) == ()


def test_causes_are_sentences_without_their_ends():
    for code, cause in CAUSES.items():
        assert cause.code == code and re.fullmatch("[a-z_]+", code)
        assert all(
            text[0].islower() and text[-1] not in ".,;" for text in (cause.text, cause.remedy)
        )


def test_the_page_has_the_checks_and_causes(repo):
    page = (repo / "docs" / "quality.md").read_text()
    table = page[page.index("| code | figure |") :].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| ([^|]*) \| ([^|]*) \|", table, re.M)

    def limits(check, level) -> str:
        low, high = level
        parts = [("below", low), ("above", high)]
        text = " or ".join(f"{word} {check.unit.format(v)}" for word, v in parts if v is not None)
        return text or "–"

    assert rows == [
        (check.code, check.figure, limits(check, check.note), limits(check, check.urgent))
        for check in CHECKS
    ]
    causes = page[page.index("| cause | what to do |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`: (.*) \| (.*) \|$", causes, re.M) == [
        (cause.code, cause.text, cause.remedy) for cause in CAUSES.values()
    ]
