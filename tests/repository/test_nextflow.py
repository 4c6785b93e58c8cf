"""tools/nextflow paints no line over in a log file; `nextflow lint .` finds every included file."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

PIPELINE = """
process HELLO {
    input:
    val name

    script:
    "sleep 1"
}

workflow {
    HELLO(channel.of('a', 'b', 'c'))
}
"""


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NXF_ANSI_LOG"} | more


@pytest.fixture
def on_path(tmp_path) -> str:
    """Return a PATH that begins with a Nextflow that says what it is given."""
    fake = tmp_path / "bin" / "nextflow"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\n[ "$1" = -v ] && echo nextflow version 26.04.0 || echo "<$NXF_ANSI_LOG>"\n'
    )
    fake.chmod(0o755)
    return f"{fake.parent}{os.pathsep}{os.environ['PATH']}"


def test_a_log_of_a_run_has_no_painted_line(repo, tmp_path):
    (tmp_path / "main.nf").write_text(PIPELINE)
    with (tmp_path / "log").open("wb") as log:
        command = [repo / "tools" / "nextflow", "run", "main.nf"]
        subprocess.run(command, cwd=tmp_path, env=environment(), stdout=log, check=True)
    said = (tmp_path / "log").read_bytes()
    assert said.count(b"Submitted process > HELLO") == 3
    assert b"\x1b" not in said and b"\r" not in said


@pytest.mark.parametrize(("given", "told"), [({}, "false"), ({"NXF_ANSI_LOG": "true"}, "true")])
def test_the_nextflow_on_path_is_told_so_too_unless_the_user_wants_it(repo, on_path, given, told):
    command = [repo / "tools" / "nextflow", "run", "main.nf"]
    settings = environment(PATH=on_path, **given)
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
    assert done.stdout == f"<{told}>\n"


def test_a_terminal_is_left_to_nextflow(repo, on_path):
    ours, theirs = pty.openpty()
    command = [repo / "tools" / "nextflow", "run", "main.nf"]
    subprocess.run(command, env=environment(PATH=on_path), stdout=theirs, check=True)
    os.close(theirs)
    assert os.read(ours, 99) == b"<>\r\n"
    os.close(ours)


def test_every_way_to_run_goes_through_it(repo):
    """So that the demo and the networks' training leave readable logs as well."""
    for tool in (repo / "tools").glob("*.sh"):
        for line in tool.read_text().splitlines():
            if "nextflow run" in line or 'nextflow" run' in line:
                assert "tools/nextflow" in line or line.lstrip().startswith("#"), Path(tool).name


def test_what_a_script_includes_is_there_where_the_script_lies(repo):
    listed = subprocess.run(
        ["git", "ls-files", "*.nf"], cwd=repo, capture_output=True, text=True, check=True
    )
    scripts = [repo / name for name in listed.stdout.split()]
    assert len(scripts) > 30
    for script in scripts:
        for name in re.findall(r"\bfrom '(\..*)'", script.read_text()):
            assert (script.parent / f"{name}.nf").is_file(), f"{script}: {name}"
