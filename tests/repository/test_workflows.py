"""What the Nextflow sources must not do, since only a cloud or a failure would show it."""

import re

import pytest

FOLDERS = ("main.nf", "workflows", "subworkflows", "modules", "tests/steps/outsider")


@pytest.fixture(scope="module")
def sources(repo) -> dict[str, str]:
    """Return the Nextflow sources without comments, by path."""
    found = {}
    for name in FOLDERS:
        path = repo / name
        for file in [path] if path.is_file() else sorted(path.rglob("*.nf")):
            found[str(file.relative_to(repo))] = re.sub(r"//.*", "", file.read_text())
    assert len(found) > 25
    return found


@pytest.mark.parametrize("operator", ["collectFile", "splitCsv"])
def test_no_operator_does_what_steps_or_functions_do(sources, operator):
    """A failure interrupts collectFile, in a cloud with errors that hide it.

    splitCsv drops values that are beyond the header.
    """
    assert [path for path, text in sources.items() if operator in text] == []


def test_every_join_that_can_lack_a_side_is_meant(sources):
    """A remainder puts null where a file was expected, as an empty mask once was made of."""
    found = {path: text.count("remainder: true") for path, text in sources.items()}
    assert {path: n for path, n in found.items() if n} == {
        "workflows/segment.nf": 2,  # slides that have no end; those of which a result has none
        "subworkflows/bundles/main.nf": 1,  # bundles of which the task failed: the steps take them
        "subworkflows/masks/main.nf": 2,  # labels that STITCH compares with the patches
    }
