"""What takes long and is shared: a look at many sets of parameters, and runs of many slides."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cohort import Cohort, run_cohort
from support.once import make_once


@pytest.fixture(scope="module")
def look(repo, nextflow_command, tmp_path_factory) -> Callable[..., dict[str, dict]]:
    """Return a function that has the workflows look at sets of parameters.

    It takes another schema of samplesheets, where one is given, and more of Nextflow's environment.
    """

    def run(folder: Path, sets: dict[str, dict], schema: dict | None = None, **env: str) -> dict:
        (folder / "sets.json").write_text(json.dumps(sets))
        project = tmp_path_factory.mktemp("project")
        script = (repo / "tests" / "steps" / "calls.nf").read_text()
        (project / "main.nf").write_text(script.replace("'../../", "'./"))
        for name in ("workflows", "bin", "nextflow_schema.json"):
            (project / name).symlink_to(repo / name)
        (project / "assets").mkdir()
        own = (repo / "assets" / "schema_input.json").read_text()
        (project / "assets" / "schema_input.json").write_text(json.dumps(schema) if schema else own)
        options = ["--sets", "sets.json", "--results", "results.json"]
        done = nextflow_command("run", project, *options, folder=folder, **env)
        assert done.returncode == 0, done.stdout
        return json.loads((folder / "results.json").read_text()) | {"log": done.stdout}

    return run


@pytest.fixture(scope="session")
def cohort(nextflow, of_all_workers) -> Cohort:
    """Return slides of which some are refused, run in bundles and step by step."""
    folder = of_all_workers / "cohort"

    def make(marker: Path) -> None:
        run_cohort(nextflow, folder)
        marker.touch()

    make_once(of_all_workers / "cohort.done", make)
    return Cohort(folder)
