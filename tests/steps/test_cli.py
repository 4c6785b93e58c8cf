"""Arguments that several scripts of bin/ share."""

import pytest

from cellquilt import cli


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], False),
        (["--xla"], True),
        (["--xla", "--cpus", "2"], True),
        (["--xla=true"], True),
        (["--xla=false"], False),
    ],
)
def test_a_switch_takes_what_nextflow_writes_or_nothing(words, expected):
    arguments = cli.parser("")
    arguments.add_argument("--xla", **cli.SWITCH)
    arguments.add_argument("--cpus")
    assert arguments.parse_args(words).xla is expected


@pytest.mark.parametrize("text", ["", "yes", "True", "0"])
def test_a_switch_takes_nothing_else(capsys, text):
    arguments = cli.parser("")
    arguments.add_argument("--xla", **cli.SWITCH)
    with pytest.raises(SystemExit):
        arguments.parse_args([f"--xla={text}"])
    assert f"--xla: must be true or false, not '{text}'" in capsys.readouterr().err
