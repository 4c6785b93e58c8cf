"""What needs attention, by its cause."""

from cellquilt.quality.causes import CAUSES
from cellquilt.reports.findings import Finding, by_cause


def finding(urgent, text, *causes):
    return Finding(urgent, "code", text, causes=tuple(CAUSES[code] for code in causes))


def test_findings_of_one_cause_are_together_with_the_cause_that_most_name_next():
    found = [
        finding(True, "a", "swapped_channels", "not_nuclear"),
        finding(True, "b"),
        finding(True, "c", "out_of_focus", "swapped_channels"),
        finding(True, "d", "out_of_focus", "saturated"),
        finding(False, "e", "out_of_focus", "saturated"),
        finding(False, "f"),
        finding(False, "g", "stitching"),
    ]
    groups = by_cause(found)
    assert ["".join(f.text for f in group.findings) for group in groups] == [
        *("cde", "a", "b", "f", "g")
    ]
    assert [[cause.code for cause in group.causes] for group in groups] == [
        *(["out_of_focus", "saturated"], ["swapped_channels", "not_nuclear"]),
        *([], [], ["stitching"]),
    ]
    assert [group.urgent for group in groups] == [True, True, True, False, False]
    assert by_cause([]) == []
