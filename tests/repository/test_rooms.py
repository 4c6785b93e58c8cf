"""The rooms of bin/cellquilt: who imports whom, against docs/architecture.md."""

import ast
import json
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from cellquilt.compartments import PLURALS
from cellquilt.segmenters import CHOICES, DEFAULT, SEGMENTERS

PACKAGE = Path(__file__).resolve().parents[2] / "bin" / "cellquilt"
ROOT = "(root)"
DOOR = PACKAGE / "__init__.py"  # of what Python programs use, whose room it asks once it is needed
# What runs where MODEL does, in deepcell's Python
OF_MODEL = [*sorted(PACKAGE.glob("*.py")), *sorted((PACKAGE / "mesmer").glob("*.py"))]
SCRIPTS_OF_MODEL = ("model", "stub", "versions")


def imported(file: Path) -> set[str]:
    """Return the modules of the package that a file imports, such as "tiling.box"."""
    folder = file.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def room_of(module: str) -> str:
    first = module.split(".")[0]
    return first if (PACKAGE / first).is_dir() else ROOT


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Return the other rooms that the files of each room import, anywhere in them."""
    found: dict[str, set[str]] = {}
    for file in {*PACKAGE.rglob("*.py")} - {DOOR}:
        room = room_of(file.relative_to(PACKAGE).parts[0].removesuffix(".py"))
        found.setdefault(room, set()).update(map(room_of, imported(file)))
    return {room: others - {room} for room, others in found.items()}


@pytest.fixture(scope="module")
def documented(repo) -> dict[str, set[str]]:
    """Return the table of rooms in docs/architecture.md: what each imports."""
    page = (repo / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\(root\)|[a-z]+)/?` \|[^|]*\|([^|]*)\|", page, re.MULTILINE)
    return {room: set(re.findall(r"`([a-z]+)`", others)) for room, others in rows}


def test_rooms_import_what_the_page_says(imports, documented):
    assert {room: others - {ROOT} for room, others in imports.items()} == documented


def test_the_page_names_scripts_and_functions_that_are_there(repo):
    page = (repo / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| [A-Z, ]+ \| `(\w+)\.py` \| `([\w.]+)` \|", page, re.MULTILINE)
    assert len(rows) > 10
    for script, function in rows:
        *path, name = function.split(".")
        file = PACKAGE.joinpath(*path)
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        assert re.search(rf"^def {name}\(", file.read_text(), re.M), function
        assert name in (repo / "bin" / f"{script}.py").read_text(), (script, name)


def test_no_circle_between_rooms_and_the_root_knows_none(imports):
    assert list(TopologicalSorter(imports).static_order())  # raises CycleError
    assert imports[ROOT] == set()
    assert imported(DOOR) == {"front"}


def test_modules_that_are_found_by_name_are_those_of_their_own_room():
    """A string would hide an import from the test above."""
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        if "import_module" in text:
            assert 'import_module(f".{' in text and ", __name__)" in text, file


def test_kernels_know_nothing_of_the_package(repo):
    sources = [*(repo / "kernels").rglob("*.pyx"), *(repo / "kernels").rglob("*.py")]
    assert len(sources) > 5
    for source in sources:
        assert not re.search(r"^\s*(from|import) cellquilt(\.|\s)", source.read_text(), re.M)


def test_what_runs_in_model_runs_on_python_3_10(repo, in_deepcell):
    scripts = [repo / "bin" / f"{name}.py" for name in SCRIPTS_OF_MODEL]
    compiled = "import sys; [compile(open(f).read(), f, 'exec') for f in sys.argv[1:]]"
    in_deepcell("-c", compiled, *OF_MODEL, *scripts)
    assert "usage" in in_deepcell(scripts[0], "--help")
    assert "usage" in in_deepcell(scripts[1], "--help")
    assert in_deepcell(scripts[2]).startswith("cellquilt ")


def test_what_model_imports_is_the_root_and_mesmers_room(repo):
    allowed = {str(file.relative_to(PACKAGE)) for file in OF_MODEL}
    for node in ast.walk(ast.parse((repo / "bin" / "model.py").read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cellquilt"):
            path = node.module.split(".")[1:]
            for alias in node.names:
                inner = "/".join([*path, alias.name]) + ".py"
                assert inner in allowed or "/".join(path) + ".py" in allowed, inner


@pytest.mark.parametrize(
    "room", ["labelling", "cells", "exports", "quality", "reports", "tiling", "slides"]
)
def test_no_segmenter_is_known_by_name(room):
    """Comments and docstrings may name one; code may not. Some names are plain words, too."""
    names = set(SEGMENTERS) - {"network", *PLURALS.values()}
    for file in (PACKAGE / room).rglob("*.py"):
        tree = ast.parse(file.read_text())
        documents = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                known = any(name in node.value.lower() for name in names)
                assert not known or node in documents, (file, node.value)


def test_one_list_of_segmenters(repo):
    schema = json.loads((repo / "nextflow_schema.json").read_text())["$defs"]
    (parameter,) = (
        g["properties"]["segmenter"] for g in schema.values() if "segmenter" in g["properties"]
    )
    one = "|".join(CHOICES)
    assert parameter["pattern"] == f"^({one})(,({one}))*$" and parameter["default"] == DEFAULT
    files = {path.stem for path in (PACKAGE / "segmenters").glob("*.py")} - {"__init__"}
    assert files == set(SEGMENTERS)
    subworkflow = (repo / "subworkflows" / "maps" / "main.nf").read_text()
    branches = re.findall(r"^ +(\w+): meta\.segmenter", subworkflow, re.M)
    assert branches == list(SEGMENTERS)
    assert all(f"'{name}'" in re.search(r"error\((.*)\)", subworkflow)[1] for name in branches)


def test_every_path_that_a_document_names_is_there(repo):
    tops = "assets|benchmarks|bin|conf|containers|docs|kernels|modules|subworkflows|tests|tools"
    pages = [*repo.glob("*.md"), *(repo / "docs").glob("*.md"), repo / "benchmarks" / "README.md"]
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        for path in re.findall(rf"`((?:{tops}|workflows)/[^\s`]*)`", text):
            if page.name != "CHANGELOG.md" and "<" not in path and path != "modules/local":
                assert list(repo.glob(path.split("::")[0].rstrip("/"))), (page.name, path)
