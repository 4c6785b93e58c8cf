"""The package as people install it: in fresh environments, used from another folder."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest

from cellquilt import __version__

# Without optimising, which takes a third of the time and changes no result
CC = '#!/bin/sh\nexec cc "$@" -O0\n'
USE = """
import sys
from importlib.util import find_spec
from time import perf_counter

start = perf_counter()
import cellquilt
seconds = perf_counter() - start
assert not {"numpy", "pandas", "cellquilt_kernels"} & set(sys.modules)
import numpy as np

given = np.load("given.npz")
sample = cellquilt.read_results("results")["demo"]
masks = cellquilt.repair(given["cell_original"], given["nucleus_original"], 0.5)
for name in ("cell", "nucleus", "cytoplasm"):
    assert np.array_equal(getattr(masks, name), given[name]), name
    assert np.array_equal(sample.mask(name), given[name]), name
table = cellquilt.quantify(given["image"], 0.5, masks, sample.channels)
assert table["cell_mean_CD45"].equals(sample.cells["cell_mean_CD45"])
assert cellquilt.label(given["maps"]).max() > 50
if find_spec("tensorflow"):
    found = cellquilt.segment(given["image"][:3], 0.5)
    for name in ("cell", "nucleus", "cytoplasm", "cell_original", "nucleus_original"):
        assert np.array_equal(getattr(found, name), given[name]), name
else:
    try:
        cellquilt.segment(given["image"][:3], 0.5)
    except ImportError as error:
        assert "pip install '.[tensorflow]'" in str(error)
print(cellquilt.__version__, cellquilt.__file__, "tensorflow" in sys.modules, round(seconds, 3))
"""


def names_of(text: str) -> set[str]:
    """Return the packages that lines of requirements name, without versions."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return {re.split("[=<>~]", line)[0] for line in lines if line and not line.startswith("-")}


def test_what_it_needs_is_what_the_steps_need(repo):
    """Of all steps but MODEL and EVALUATE, in the environments of the containers."""
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime, export = (
        names_of("".join(path.read_text() for path in (repo / "containers" / folder).glob(files)))
        for folder, files in (("runtime", "requirements*.in"), ("export", "requirements.in"))
    )
    own = names_of("\n".join(project["dependencies"]))
    more = {name: names_of("\n".join(lines)) for name, lines in extras.items()}
    in_gpu_image = {name for name in runtime if name.startswith("tensorflow[")}
    assert own | more["tensorflow"] | more["reports"] == runtime - in_gpu_image
    assert export - runtime == more["formats"]
    pinned = (repo / "containers" / "runtime" / "requirements-cpu.in").read_text()
    assert extras["tensorflow"][0] in pinned  # so that its masks are those of a run


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_it_is_installed_and_used_elsewhere(repo, folder, tissue, tmp_path, version):
    """Of the oldest Python non-editable from the clone, with TensorFlow; else a wheel, without."""
    from support.maps import crowded_maps

    from cellquilt.front.results import read_results

    tools = f'. "{repo}/tools/common.sh"; find_uv; echo "$UV"; find_python {version}'
    said = subprocess.run(["bash", "-ec", tools], capture_output=True, text=True, check=True)
    uv, python = said.stdout.split()
    environment = tmp_path / "environment"
    if subprocess.run(
        [uv, "venv", "-q", "--no-project", "--python", python, environment]
    ).returncode:
        pytest.skip(f"there is no Python {version}, and uv could not fetch one")
    compiler = tmp_path / "cc"
    compiler.write_text(CC)
    compiler.chmod(0o755)
    settings = os.environ | {"CC": str(compiler), "PYTHONPATH": ""}

    def run(*command: object) -> str:
        done = subprocess.run(
            [uv, *command], env=settings, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    what = f"{repo}[tensorflow]"
    if version != "3.12":
        run("build", "-q", "--wheel", "--python", environment / "bin" / "python", "-o", "w", repo)
        (what,) = (tmp_path / "w").glob("*.whl")
        assert what.name.startswith(f"cellquilt-{__version__}-cp{version.replace('.', '')}")
    lock = (repo / "containers" / "runtime" / "requirements-cpu.lock").read_text()
    versions = tmp_path / "versions.txt"
    versions.write_text("\n".join(re.findall(r"^[a-z].*==\S+", lock, re.M)))
    where = ["-q", "--python", environment / "bin" / "python", "--constraints", versions]
    run("pip", "install", *where, what)
    left = ("build", "*.egg-info", "bin/*.egg-info", "kernels/**/*.c", "kernels/**/*.so")
    assert [path for pattern in left for path in repo.glob(pattern)] == []

    sample = read_results(folder / "results")["demo"]
    names = ("cell", "nucleus", "cytoplasm", "cell_original", "nucleus_original")
    arrays = {name: sample.mask(name) for name in names}
    np.savez(tmp_path / "given.npz", image=tissue.image, maps=crowded_maps(1), **arrays)
    (tmp_path / "results").symlink_to(folder / "results")
    command = [environment / "bin" / "python", "-c", USE]
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, place, loaded, _seconds = done.stdout.split()
    assert found == __version__ and Path(place).is_relative_to(environment)
    assert loaded == str(version == "3.12")
