"""nf-core's linter on the pipeline and its subworkflow, without network access."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

# Ask the network for a schema and for a template, so that they cannot be tried here
OFFLINE = {"actions_schema_validation": False, "files_unchanged": False}
KINDS = ("modules", "subworkflows")


def commit(folder: Path) -> None:
    """Make a git repository of a folder, which nf-core's tools want."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    commands = [["init", "-q", "-b", "master"], ["add", "-A"], [*identity, "commit", "-qm", "all"]]
    for command in commands:
        subprocess.run(["git", *command], cwd=folder, check=True)


def change(path: Path, *words: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in words:
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="module")
def template_like(repo, tmp_path_factory) -> Path:
    """Return a copy of the pipeline as nf-core's linter wants it, where nothing can be waived.

    Modules lie in modules/local, and the pipeline's name has an owner.
    """
    folder = tmp_path_factory.mktemp("template") / "cellquilt"
    tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(tracked, cwd=repo, text=True).splitlines():
        first, _, rest = name.partition("/")
        moved = f"{first}/local/{rest}" if first in KINDS else name
        if (repo / name).exists():
            (folder / moved).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repo / name, folder / moved)
    change(folder / "nextflow.config", ("'cellquilt'", "'owner/cellquilt'"))
    for path in (folder / "workflows").glob("*.nf"):
        change(path, *((f"'../{kind}/", f"'../{kind}/local/") for kind in KINDS))
    for path in (folder / "subworkflows").rglob("main.nf"):
        change(path, ("'../../modules/", "'../../../modules/local/"))
    installed = {"name": "owner/cellquilt", "homePage": "", "repos": {}}
    (folder / "modules.json").write_text(json.dumps(installed))
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def lint(repo, cache, tmp_path_factory) -> Callable[..., tuple[int, str, dict]]:
    """Return a function that lints a pipeline, and returns exit code, output and findings.

    nf-core clones its repository of modules first, of which nothing is used here: git gives it an
    empty one instead, with a schema of a subworkflow's meta.yml that asks for the least.
    """
    folder = tmp_path_factory.mktemp("nf-core")
    empty = folder / "modules"
    for kind in KINDS:
        (empty / kind / "nf-core").mkdir(parents=True)
        (empty / kind / "nf-core" / "none").touch()
    (empty / ".nf-core.yml").write_text("repository_type: modules\norg_path: nf-core\n")
    schema = {"required": ["name", "description", "keywords", "authors", "output", "components"]}
    (empty / "subworkflows" / "yaml-schema.json").write_text(json.dumps(schema))
    commit(empty)
    programs = cache / "envs" / "readers" / "bin"
    settings = os.environ | {
        **{"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{empty}.insteadOf"},
        "GIT_CONFIG_VALUE_0": "https://github.com/nf-core/modules.git",
        **{"XDG_CONFIG_HOME": str(folder / "config"), "XDG_CACHE_HOME": str(folder / "cache")},
        **{"NFCORE_NO_VERSION_CHECK": "1", "COLUMNS": "300", "PYTHONPATH": ""},
        "PATH": os.pathsep.join([str(programs), str(repo / "tools"), os.environ["PATH"]]),
    }

    def run(pipeline: Path) -> tuple[int, str, dict]:
        command = [programs / "nf-core", "pipelines", "lint", "--plain-text", "--json"]
        found = folder / "found.json"
        found.unlink(missing_ok=True)
        where = {"cwd": pipeline, "env": settings, "stdin": subprocess.DEVNULL}
        done = subprocess.run([*command, found], **where, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert found.exists(), said
        return done.returncode, said, json.loads(found.read_text())

    return run


def test_nothing_fails_but_what_is_waived(lint, template_like, repo):
    code, said, found = lint(template_like)
    assert found["tests_failed"] == [], said
    assert code == 0, said
    assert len(found["tests_pass"]) > 100
    # of modules and subworkflows it writes what is amiss, without waivers; it takes functions
    # that BUNDLES and MASKS include for modules
    amiss = re.findall(r"\d+ (?:Module|Subworkflow) Tests? \w+", said)
    assert amiss == ["4 Subworkflow Tests Warning"], said
    assert re.search(r"bundles\s+meta_include", said), said


@pytest.mark.slow
def test_every_waiver_is_needed_and_the_subworkflow_is_looked_at(
    lint, template_like, repo, tmp_path
):
    folder = tmp_path / "cellquilt"
    shutil.copytree(template_like, folder)
    config = yaml.safe_load((repo / ".nf-core.yml").read_text())
    waived = config["lint"]
    (folder / ".nf-core.yml").write_text(yaml.safe_dump(config | {"lint": OFFLINE}))
    (folder / "subworkflows" / "local" / "masks" / "meta.yml").unlink()
    code, said, found = lint(folder)
    assert code == 1
    assert "subworkflows/local/masks/meta.yml" in said
    amiss = [*found["tests_failed"], *found["tests_warned"]]
    for rule, what in waived.items():
        told = [message for name, message in amiss if name == rule]
        for part in what if isinstance(what, list) else []:
            text = "custom_config_base" if part == "custom_config" else part
            assert any(text in message for message in told), f"{rule}: {part}"
        assert told or rule in OFFLINE or rule.startswith("actions_"), rule
