"""What GitHub reads: workflows, issue forms, the citation file. And what a release says.

Nothing here runs a workflow. actionlint, where it is on PATH, knows more of their form.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cellquilt import __version__

REPO = Path(__file__).resolve().parents[2]
GITHUB = REPO / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
# What a job may do beyond reading: only what a release makes
WRITES = {("release.yml", "image", "packages"), ("release.yml", "release", "contents")}


def read(path: Path) -> dict:
    """Return what a file says; YAML 1.1 takes the key "on" for true."""
    found = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs(path: Path) -> dict[str, dict]:
    return read(path)["jobs"]


def commands(path: Path) -> Iterator[str]:
    for job in jobs(path).values():
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


def targets(script: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z-]+)", re.sub(r"^ *#.*|WARNING.*", "", script, flags=re.M)))


def test_the_workflows_make_what_ci_run_makes():
    """It is what decides; so they can neither do less nor more."""
    decides = targets((REPO / ".ci" / "run").read_text())
    assert decides == {"test", "test-full"}
    made = set().union(*(targets(text) for path in WORKFLOWS for text in commands(path)))
    assert made == decides
    there = re.findall(r"^([a-z-]+):.*##", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert decides <= set(there)
    assert jobs(GITHUB / "workflows" / "release.yml")["tests"]["uses"].endswith("/tests.yml")


def test_actionlint_finds_nothing():
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("no actionlint on PATH: go install github.com/rhysd/actionlint/cmd/actionlint")
    done = subprocess.run([program, "-no-color", *WORKFLOWS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_what_the_workflows_start_is_there():
    started = [text for path in WORKFLOWS for text in commands(path)]
    tools = re.findall(r"(?:tools|tests)/[\w.-]+", "\n".join(started))
    assert {"tools/build-images.sh", "tools/supply-chain.sh", "tools/release-notes.sh"} <= {*tools}
    assert all(os.access(REPO / tool, os.X_OK) for tool in tools)
    for path in WORKFLOWS:
        for job in jobs(path).values():
            if job.get("uses", "").startswith("./"):
                assert "workflow_call" in read(REPO / job["uses"])["on"]
            needs = job.get("needs", [])
            assert {needs} if isinstance(needs, str) else {*needs} <= jobs(path).keys()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_few(path):
    for uses in re.findall(r"uses: *(.+)$", path.read_text(), re.MULTILINE):
        pinned = r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
        assert uses.startswith("./") or re.fullmatch(pinned, uses), uses
    assert "pull_request_target" not in read(path)["on"]
    given = {(path.name, "", *right) for right in read(path)["permissions"].items()}
    for name, job in jobs(path).items():
        given |= {(path.name, name, *right) for right in job.get("permissions", {}).items()}
    assert {right[:3] for right in given if right[3] != "read"} <= WRITES
    assert all(right[3] in ("read", "write") for right in given)
    for job in jobs(path).values():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_script_is_made_of_what_others_wrote(path):
    """A branch's name put into a script by an expression would be run."""
    assert [text for text in commands(path) if "${{" in text] == []


def test_a_release_has_every_image_and_no_registry_of_its_own():
    text = (GITHUB / "workflows" / "release.yml").read_text()
    (listed,) = re.findall(r"fromJSON\(vars\.IMAGES \|\| '(.+?)'\)", text)
    build = (REPO / "tools" / "build-images.sh").read_text()
    there = re.findall(r"^ +([a-z-]+)\)(?: build |$)", build, re.MULTILINE)
    assert sorted(json.loads(listed)) == sorted(there)
    assert re.findall(r"\b(?:[a-z0-9-]+\.)+(?:io|com|org|net)\b", text) == []
    assert text.count("vars.REGISTRY") == 2 and "GITHUB_REPOSITORY_OWNER" in text
    # the version's tag starts it, and nothing else does
    (pattern,) = read(GITHUB / "workflows" / "release.yml")["on"]["push"]["tags"]
    assert re.fullmatch(pattern.replace(".", r"\."), __version__)


@pytest.mark.parametrize("arguments", [[], ["--push", "registry.example/lab"]])
def test_images_are_pushed_where_that_is_asked_for(tmp_path, arguments):
    """By a docker that writes down what it is told."""
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/told\n')
    (tmp_path / "docker").chmod(0o755)
    settings = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [REPO / "tools" / "build-images.sh", *arguments, "runtime-gpu", "export", "--", "-q"]
    subprocess.run(command, env=settings, check=True, capture_output=True)
    told = (tmp_path / "told").read_text().splitlines()
    built = [re.search(r"--tag (\S+)", line)[1] for line in told if line.startswith("build ")]
    assert built == [f"cellquilt/runtime:{__version__}-gpu", f"cellquilt/export:{__version__}"]
    assert all(" -q " in line for line in told if line.startswith("build "))
    wanted = [f"registry.example/lab/{name}" for name in built] if arguments else []
    assert [line.split()[1] for line in told if line.startswith("push ")] == wanted
    tagged = [line.split()[1:] for line in told if line.startswith("tag ")]
    assert tagged == [list(pair) for pair in zip(built, wanted, strict=False)]


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_issue_forms_have_what_github_asks_of_them(form):
    found = read(form)
    assert {"name", "description", "body"} <= found.keys()
    assert found.keys() <= {"name", "description", "body", "labels", "title"}
    questions = [part for part in found["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in questions}) == len(questions) > 1
    assert any(part.get("validations", {}).get("required") for part in questions)
    for part in found["body"]:
        assert part["type"] in ("markdown", "textarea", "input", "dropdown")
        assert ("value" if part["type"] == "markdown" else "label") in part["attributes"]
        assert part["type"] != "dropdown" or len(part["attributes"]["options"]) > 1


def test_citing_names_the_version_the_licence_and_the_authors():
    """Those that the licence and the manifest name."""
    cited = read(REPO / "CITATION.cff")
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert {"message", "title"} <= cited.keys()
    assert "CITATIONS.md" in cited["message"]
    manifest = re.search(
        r"^manifest \{\n(.*?)^\}", (REPO / "nextflow.config").read_text(), re.M | re.S
    )
    assert cited["version"] == re.search(r" version += '(.+)'", manifest[1])[1] == __version__
    assert cited["license"] == re.search(r" license += '(.+)'", manifest[1])[1]
    names = [author["name"] for author in cited["authors"]]
    assert names == re.findall(r"name: '(.+?)'", manifest[1])
    licence = (REPO / "LICENSE").read_text()
    assert licence.startswith(f"{cited['license']} License\n")
    assert re.search(r"^Copyright \(c\) \d+ (.+)$", licence, re.MULTILINE)[1] in names


def notes(version: str) -> subprocess.CompletedProcess:
    command = [REPO / "tools" / "release-notes.sh", version]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_release_says_what_the_changelog_says_of_it():
    done = notes(__version__)
    changes = (REPO / "CHANGELOG.md").read_text()
    part = re.search(rf"^## {re.escape(__version__)}\n(.*?)(?=^## |\Z)", changes, re.M | re.S)[1]
    assert (done.returncode, done.stdout.strip()) == (0, part.strip())


def test_a_tag_that_is_not_the_version_makes_no_release():
    done = notes("9.9.9")
    assert done.returncode == 1
    assert f"the version in nextflow.config is {__version__}, and not 9.9.9" in done.stderr
