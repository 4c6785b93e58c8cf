"""Dependencies and code: pinned, listed in SBOMs, and no code from data is run.

Archives with members outside of their folder are tested in test_weights.py, pickles as
images, masks, tables and networks in test_hostile.py and test_pixel_network.py.
"""

import ast
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from system.faults.runs import Run
from system.faults.scenes import whole_run

from cellquilt.mesmer import weights

REPO = Path(__file__).resolve().parents[2]
LOCKS = sorted(REPO.glob("**/*.lock"))
PROGRAMS = sorted((REPO / "bin").rglob("*.py"))
# they run what they are given; np.load and extractall only without what forbids it
RUNNING = r"""
(c?[pP]ickle|dill|marshal|cloudpickle|_pickle)\.(load|loads|Unpickler) | shelve\.open
| (joblib|torch|skops\.io)\.load | (pd|pandas)\.read_pickle | numpy\.lib\.format\.read_array
| yaml\.(load|load_all|unsafe_load|full_load|unsafe_load_all|full_load_all)
| eval | exec | compile | __import__ | os\.(system|popen|exec\w*|spawn\w*)
| subprocess\.(getoutput|getstatusoutput) | (\w+\.)*enable_unsafe_deserialization
| shutil\.unpack_archive | runpy\.\w+
"""
SOCKETS = {"socket", "ssl", "urllib.request", "http.client", "ftplib", "smtplib", "xmlrpc", "grpc"}
SOCKETS |= {"requests", "httpx", "aiohttp", "urllib3", "fsspec", "boto3", "paramiko", "asyncio"}


def tracked() -> list[Path]:
    said = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=True)
    found = [REPO / name for name in said.stdout.decode().split("\0") if name]
    return [path for path in found if path.is_file()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.relative_to(REPO).as_posix())
def test_every_locked_package_has_one_version_and_hashes(lock):
    text = re.sub(r"#.*", "", lock.read_text()).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    packages = [line for line in lines if not re.fullmatch(r"--(only|no)-binary \S+", line)]
    assert packages
    version = r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+"
    for line in packages:
        assert re.fullmatch(rf"{version}( ;[^@]*?)?( +--hash=sha256:[0-9a-f]{{64}})+", line), line


def test_every_install_checks_the_hashes():
    """Or installs what was built beside it, or this repository's own kernels."""
    own = ("--no-index", '"$CACHE"/kernels/wheel/', "/tmp/kernels")
    found = 0
    scripts = [*REPO.glob("tools/*.sh"), *REPO.glob("benchmarks/*.sh")]
    for path in [*scripts, *REPO.glob("containers/*/Containerfile")]:
        text = re.sub(r"^ *#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
        kinds = r"(?:pip (?:install|sync|wheel|download)|\"\$UV\" build) [^&;\n]*"
        installs = re.findall(kinds, text)
        found += len(installs)
        for install in installs:
            checked = "--require-hashes" in install or any(part in install for part in own)
            assert checked, f"{path.name}: {install}"
    assert found > 10


def test_no_file_names_an_index_of_its_own():
    """A mirror's address is of use to nobody else, and may hold a password."""
    option = r"(?<!no-emit-)(?:index-url|find-links)[= ]+\S|(?:PIP|UV)_\w*(?:INDEX|LINKS)\w*\s*="
    address = r"https?://[^\s'\"]+/(?:simple|pypi/simple|repository|artifactory)/"
    password = r"https?://[^\s/@'\"$<{]+:[^\s/@'\"$<{]+@"
    texts = {path: path.read_bytes() for path in tracked() if path != Path(__file__)}
    assert len(texts) > 100
    for path, contents in texts.items():
        for pattern in (option, address, password):
            found = re.search(pattern.encode(), contents)
            assert found is None, f"{path.relative_to(REPO)}: {found[0]!r}"


def calls_of(tree: ast.AST) -> Iterator[tuple[str, ast.Call, str]]:
    """Give the calls of a program: dotted name, call, and the text of the function around it."""
    around = {}
    for function in ast.walk(tree):  # outer ones come first
        if isinstance(function, ast.FunctionDef):
            around |= dict.fromkeys(ast.walk(function), function)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node, ast.unparse(around.get(node, ast.Module([], [])))


def dangers_of(source: str) -> list[str]:
    """Return what in a program could run or write what its input holds."""
    found = []
    tree = ast.parse(source)
    for name, call, function in calls_of(tree):
        options = {option.arg: ast.unparse(option.value) for option in call.keywords}
        unsafe = re.fullmatch(RUNNING, name, re.VERBOSE) is not None
        unsafe |= options.get("allow_pickle", "False") != "False"
        unsafe |= options.get("shell", "False") != "False"
        unsafe |= options.get("safe_mode", "True") != "True"
        if name.endswith((".extractall", ".extract")):
            unsafe |= "filter" not in options and ".extraction_filter = " not in function
        if unsafe:
            found.append(f"line {call.lineno}: {name}")
    # by their own names the functions would not be seen above
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in names if re.fullmatch(RUNNING, name, re.VERBOSE)]
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.relative_to(REPO).as_posix())
def test_no_program_runs_what_its_input_holds(program):
    assert dangers_of(program.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        *("pickle.load(f)", "pickle.Unpickler(f)", "from pickle import loads", "eval(text)"),
        *("np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=given)"),
        *("yaml.load(f, yaml.Loader)", "torch.load(path)", "joblib.load(path)", "os.system(text)"),
        *("subprocess.run(text, shell=True)", "keras.models.load_model(path, safe_mode=False)"),
        *("def f(a):\n    tar.extractall(a)", "zipfile.ZipFile(path).extractall()"),
        *("pandas.read_pickle(path)", "shutil.unpack_archive(path)"),
    ],
)
def test_the_search_for_them_finds_them(source):
    assert dangers_of(source)


def test_only_model_fetches_anything():
    """Of the modules that open connections, only the one that fetches weights has any.

    Reading a Zarr takes threads of asyncio, and nothing else of it.
    """
    found = {}
    for path in PROGRAMS:
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        roots = {name for name in names if {name, name.partition(".")[0]} & SOCKETS}
        if set(re.findall(r"asyncio\.(\w+)", path.read_text())) == {"to_thread"}:
            roots -= {"asyncio"}
        found |= {path.name: roots} if roots else {}
    assert set(found) == {"weights.py"}
    users = [path for path in PROGRAMS if re.search(r"\bimport .*\bweights\b", path.read_text())]
    assert [path.name for path in users] == ["model.py"]


@pytest.fixture(scope="module")
def bills(repo, cache, tmp_path_factory) -> Path:
    """Return the bills of materials of images that no engine is asked for."""
    subprocess.run([repo / "tools" / "supply-chain.sh", "setup"], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("sbom")
    command = [cache / "envs" / "audit" / "bin" / "python", repo / "tools" / "sbom.py"]
    command += ["--environments", cache / "envs", "--outdir", folder]
    images = ["--images", "runtime:0.1.0-gpu", "deepcell:0.1.0"]
    no_engine = os.environ | {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *images], env=no_engine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("image", "lock"),
    [
        ("runtime-0.1.0-gpu", "runtime/requirements-gpu.lock"),
        ("deepcell-0.1.0", "deepcell/requirements.lock"),
    ],
)
def test_a_bill_of_materials_has_what_is_locked(bills, repo, image, lock):
    """sbom.py itself has each checked against the schema of CycloneDX before it writes it."""
    bom = json.loads((bills / f"{image}.cdx.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    own = bom["metadata"]["component"]
    assert f"{own['name']}-{own['version']}" == f"cellquilt/{image}"
    text = (repo / "containers" / lock).read_text()
    locked = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)
    named = {
        (re.sub("[-_.]+", "-", part["name"]).lower(), part["version"]) for part in bom["components"]
    }
    assert set(locked) <= named
    assert {name for name, _ in named} - {name for name, _ in locked} <= {"cellquilt-kernels"}


def test_bills_of_built_images_only(bills, repo, cache, tmp_path):
    """What a release asks for: where nothing is built, an empty list would look like an answer."""
    command = [cache / "envs" / "audit" / "bin" / "python", repo / "tools" / "sbom.py", "--built"]
    command += ["--environments", cache / "envs", "--outdir", tmp_path]
    done = subprocess.run(command, env=os.environ | {"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 1 and "no image is built" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_licences_that_bind_users_are_pointed_out(bills):
    with (bills / "licences.csv").open() as file:
        rows = list(csv.DictReader(file))
    terms = {re.sub("[-_.]+", "-", row["package"]).lower(): row["terms"] for row in rows}
    assert [name for name, kind in terms.items() if kind == "unknown"] == []
    names = ("mesmer", "deepcell", "deepcell-toolbox", "deepcell-tracking", "nvidia-cudnn-cu12")
    assert {terms[name] for name in names} == {"restricted"}
    assert terms["certifi"] == "weak copyleft"
    assert {terms[name] for name in ("numpy", "pillow", "tensorflow")} == {"permissive"}
    assert [row["terms"] for row in rows][0] == "restricted"  # they come first


def test_the_weights_are_listed_with_their_checksums(bills):
    bom = json.loads((bills / "pipeline.cdx.json").read_text())
    sums = {entry["content"] for part in bom["components"] for entry in part["hashes"]}
    assert {weights.ONNX_SHA256, weights.DEEPCELL_MD5} <= sums


def no_network() -> list[str]:
    """Return what starts a program without any network, not even to this machine."""
    for options in (["-n"], ["-rn"]):
        command = ["unshare", *options]
        if shutil.which("unshare") and subprocess.run([*command, "true"]).returncode == 0:
            return command
    pytest.skip("unshare may make no network namespace here")


@pytest.mark.slow
def test_given_the_weights_no_step_needs_a_network(of_all_workers, tmp_path):
    """All results come of a run without any, Nextflow itself included."""
    alone = no_network()
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"
        call = [sys.executable, "-c", connect, str(server.getsockname()[1])]
        assert subprocess.run(call, capture_output=True).returncode == 0
        assert subprocess.run([*alone, *call], capture_output=True).returncode != 0
    whole = whole_run("mesmer", of_all_workers)
    (model,) = whole.folder.glob("models/*/mesmer.zip")
    run = Run(tmp_path, (*whole.options, "--mesmer_model", model), starter=tuple(alone))
    assert run.finish() == 0, run.said
    assert run.published() == whole.published()
    assert (run.results / "report.html").exists()
