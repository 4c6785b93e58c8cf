"""What tools/setup.sh looks for before it installs anything, and how the demo tells its stages.

Nothing is installed: the programs on PATH are chosen, and the cache is empty.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

# Debian has these on every machine
ESSENTIAL = ("basename", "bash", "cat", "cut", "dirname", "env", "head", "mkdir", "readlink")
ESSENTIAL += ("realpath", "rm", "sed", "sha256sum", "sort", "timeout", "touch", "uname")
# What is looked for, and the Debian package of each
PACKAGES = {
    "java": "default-jre-headless",
    "mvn": "maven",
    "python3": "python3-pip",
    "ps": "procps",
    "cc": "gcc libc6-dev",
    "git": "git",
}
NAMES = {"java": "Java 17 or newer", "mvn": "Maven", "python3": "uv, or a python3 with pip"}
NAMES |= {"ps": "ps", "cc": "a C compiler", "git": "git"}


@pytest.fixture
def look(repo, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that looks for what a machine with these programs lacks."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    for name in ESSENTIAL:
        (programs / name).symlink_to(shutil.which(name))

    def run(*options: str, **fakes: str) -> subprocess.CompletedProcess:
        for name, text in fakes.items():
            (programs / name).unlink(missing_ok=True)
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
        command = [repo / "tools" / "setup.sh", "--look", *options]
        settings = {"PATH": str(programs), "HOME": str(home)}
        done = subprocess.run(command, env=settings, capture_output=True, text=True)
        assert list(home.iterdir()) == []  # it only looked
        return done

    return run


HERE = {
    "java": "echo 'openjdk version \"21.0.1\" 2025-10-01' >&2",
    **dict.fromkeys(("mvn", "python3", "ps", "cc", "git"), "exit 0"),
}


def listed(done: subprocess.CompletedProcess) -> tuple[list[str], str]:
    """Return what is named as missing, and the packages that have it."""
    assert done.returncode == 1
    packages = re.search(r"as root: apt-get install (.+)$", done.stderr, re.MULTILINE)
    return re.findall(r"^  - (.+)$", done.stderr, re.MULTILINE), packages[1]


def test_a_bare_machine_is_told_everything_at_once(look):
    missing, packages = listed(look())
    assert len(missing) == len(NAMES)
    for text in NAMES.values():
        assert [line for line in missing if line.startswith(text)], text
    assert packages == " ".join(PACKAGES.values())


@pytest.mark.parametrize("absent", PACKAGES)
def test_what_is_there_is_not_asked_for(look, absent):
    missing, packages = listed(look(**{k: v for k, v in HERE.items() if k != absent}))
    assert len(missing) == 1 and missing[0].startswith(NAMES[absent])
    assert packages == PACKAGES[absent]


@pytest.mark.parametrize(
    ("target", "absent", "needed"),
    [
        ("nextflow", "cc", False),
        ("nextflow", "java", True),
        ("export", "java", False),
        ("export", "git", False),
        ("deepcell", "cc", True),
        ("readers", "cc", False),
        ("evaluate", "python3", True),
    ],
)
def test_of_one_environment_only_what_it_takes(look, target, absent, needed):
    done = look(target, **{k: v for k, v in HERE.items() if k != absent})
    assert done.returncode == needed, done.stderr


def test_nothing_is_asked_of_a_machine_that_has_all(look):
    done = look(**HERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_java_that_is_too_old_is_missing(look):
    old = {"java": "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2"}
    missing, packages = listed(look(**HERE | old))
    assert missing[0].startswith("Java 17 or newer") and packages == PACKAGES["java"]


def test_a_nextflow_on_path_needs_no_maven(look):
    there = {k: v for k, v in HERE.items() if k not in ("mvn", "java")}
    assert look(nextflow="echo nextflow version 25.10.1", **there).returncode == 0
    missing, _ = listed(look(nextflow="echo nextflow version 24.10.1", **there))
    assert len(missing) == 2


def test_a_compiler_without_headers_is_missing(look):
    missing, packages = listed(look(**HERE | {"cc": "exit 1"}))
    assert missing[0].startswith("a C compiler with its headers") and "libc6-dev" in packages


def test_a_python_without_headers_is_missing(look):
    """The Python that would be used: of another, which uv would fetch, nothing is known."""
    python = 'case "$2" in *Python.h*) exit 1 ;; *) echo "$0" ;; esac'
    missing, packages = listed(look(**HERE | {"python3.13": python}))
    assert re.fullmatch("the headers of .*/python3.13", missing[0])
    assert packages == "python3.13-dev"


@pytest.mark.parametrize("machine", ["Darwin arm64", "Linux aarch64"])
def test_another_machine_is_sent_to_the_readme(repo, look, machine):
    done = look(**HERE | {"uname": f"echo {machine}"})
    assert done.returncode == 1 and machine in done.stderr
    named = re.search(r"README\.md, under (.+), says", done.stderr)[1]
    assert f"\n## {named}\n" in (repo / "README.md").read_text()
    assert look("nextflow", **HERE).returncode == 0  # which runs there, too


def test_the_demo_tells_what_it_does_and_how_long_it_took(repo, tmp_path):
    """With a Nextflow that does nothing; the results of such a run are not there."""
    nextflow = tmp_path / "nextflow"
    nextflow.write_text('#!/bin/sh\n[ "$1" = -v ] && echo nextflow version 26.04.0\nexit 0\n')
    nextflow.chmod(0o755)
    settings = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [repo / "tools" / "demo.sh"],
        env=settings | {"CELLQUILT_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    stages = re.findall(r"^demo: (\d of \d)[^:]*: done in \d+ s$", done.stderr, re.MULTILINE)
    assert stages == ["1 of 2", "2 of 2"]
