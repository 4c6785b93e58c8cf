"""The images: built as a user builds them, and the demo run in them with minimal rights.

Every task runs as uid 1000 without capabilities, on a read-only root file system, without
network access. The base images are replaced by images of Debian packages, since no registry is
accessible here.
"""

import filecmp
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parsers import V2

from system.faults.scenes import ALL, PER_TASK, STEPS, TISSUE, whole_run

pytestmark = pytest.mark.slow

CONTAINER_TESTS = "tests/system/container"

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BASES = {
    **{"runtime": "trixie:13", "export": "trixie:13", "evaluate": "trixie:13"},
    **{"deepcell": "python:3.10"},
}
LARGEST = {"runtime": 2.5e9, "export": 1.5e9, "evaluate": 1e9, "deepcell": 1.5e9}
SEALED = "--user 1000:1000 --read-only --cap-drop all --security-opt no-new-privileges"
# What the runs themselves write: times, and where they ran
OWN = {"report.html", "execution_report.html", "execution_trace.txt"}
OWN |= {"cellquilt_software_mqc_versions.yml", "files.json"}  # the second names the run


@pytest.fixture(scope="module")
def images(repo, podman, bases) -> dict[str, dict]:
    """Return what podman tells of each image, once tools/build-images.sh has built it."""
    settings = os.environ | {"CONTAINERS_CONF": str(repo / CONTAINER_TESTS / "containers.conf")}
    network = ["--isolation=chroot", "--network=host"]
    if BUNDLE.exists():
        network += ["-v", f"{BUNDLE}:/run/ca.crt:ro"]
        network += [
            "--build-arg",
            "PIP_CERT=/run/ca.crt",
            "--build-arg",
            "SSL_CERT_FILE=/run/ca.crt",
        ]
    for image, base in BASES.items():
        options = [*network, "--build-arg", f"BASE_IMAGE=localhost/base/{base}"]
        subprocess.run(
            [repo / "tools/build-images.sh", image, "--", *options],
            env=settings,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return {
        name: json.loads(podman("image", "inspect", f"localhost/cellquilt/{name}:0.1.0"))[0]
        for name in BASES
    }


def run_in(folder: Path, repo: Path, *options: str | Path, parser: dict[str, str] | None = None):
    """Run the pipeline in a folder with a profile and other options."""
    command = [repo / "tools" / "nextflow", "run", repo, "-ansi-log", "false", *options]
    settings = {"CONTAINERS_CONF": str(repo / CONTAINER_TESTS / "containers.conf")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | settings | (parser or {}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def sealed_run(repo, images, mesmer_weights, tmp_path_factory) -> Iterator[Path]:
    """Return the folder of the demo's runs in the images, with as few rights as can be.

    One goes step by step and labels in SEGMENT's tasks, by processes of their own; the other by a
    task for small slides, and publishes in ``bundled``.
    """
    folder = tmp_path_factory.mktemp("sealed")
    # uid 1000 reads the scripts and the weights, which may lie in a folder of root's
    shutil.copytree(repo, folder / "cellquilt", ignore=shutil.ignore_patterns(".git"))
    shutil.copy(mesmer_weights, folder)
    sealed = f"includeConfig '{TISSUE}'\npodman.runOptions = '{SEALED}'\n"
    (folder / "sealed.config").write_text(sealed)
    # for uid 1000 to come to the folders of tasks, which belong to who runs Nextflow
    modes = {path: path.stat().st_mode for path in [folder, *folder.parents[:2]]}
    for path, mode in modes.items():
        path.chmod(mode | 0o755)
    before = os.umask(0)
    try:
        options = ["-c", folder / "sealed.config", "-profile", "demo,podman", *PER_TASK]
        options += ["--accept_mesmer_license", "--mesmer_model", folder / mesmer_weights.name]
        for more in (
            [*ALL, *STEPS, "--keep_maps", "false"],
            ["-resume", "--outdir", "bundled", "--formats", "none"],
        ):
            run_in(folder, folder / "cellquilt", *options, *more)
    finally:
        os.umask(before)
    yield folder
    for path, mode in modes.items():
        path.chmod(mode)


def published(results: Path) -> dict[str, Path]:
    """Return the files of a run by their path in the results."""
    found = (path for path in results.rglob("*") if path.is_file() and path.name not in OWN)
    return {str(path.relative_to(results)): path for path in found}


def test_outputs_in_containers_are_those_without(sealed_run, of_all_workers):
    whole = whole_run("mesmer", of_all_workers)
    inside, outside = published(sealed_run / "results"), published(whole.results)
    assert inside.keys() == outside.keys()
    different = {name for name in inside if not filecmp.cmp(inside[name], outside[name], False)}
    assert different == set()
    bundled = {n: path for n, path in published(sealed_run / "bundled").items() if "demo/" in n}
    masks = [name for name in bundled if filecmp.cmp(bundled[name], outside[name], False)]
    assert sum("/segmentation/" in name for name in masks) == 7


def test_every_task_ran_sealed(sealed_run):
    commands = [path.read_text() for path in sealed_run.glob("work/*/*/.command.run")]
    runs = [re.search(r"podman run .*", text)[0] for text in commands]
    assert len(runs) == 14
    assert all(SEALED in run for run in runs)
    model = [run for run in runs if "cellquilt/deepcell" in run]
    assert len(model) == 1
    assert all("--network none" in run for run in runs if run not in model)
    owners = {path.stat().st_uid for path in sealed_run.glob("work/*/*/*.zip")}
    assert owners == {1000}


@pytest.mark.parametrize("name", BASES)
def test_image_is_small_and_has_what_a_task_needs_only(podman, images, name):
    found = images[name]
    assert found["Size"] <= LARGEST[name]
    assert found["Config"]["User"] == "1000:1000"
    assert not found["Config"].get("Entrypoint")
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == f"cellquilt/{name}"
    inside = podman(
        *("run", "--rm", "--read-only", "--network", "none", f"localhost/cellquilt/{name}:0.1.0"),
        *("bash", "-c", "id -u; command -v ps python gcc cc jupyter; touch /x 2>&1; ls -A /tmp"),
    )
    assert inside.splitlines() == [
        "1000",
        "/usr/bin/ps",
        "/opt/cellquilt/bin/python",
        "touch: cannot touch '/x': Read-only file system",
    ]
    settings = dict(entry.split("=", 1) for entry in found["Config"]["Env"])
    assert settings["HOME"] == "/tmp"
    assert ("NVIDIA_VISIBLE_DEVICES" in settings) == (name == "runtime")


def test_kernels_were_compiled_ahead_of_time(podman, images):
    for name in ("runtime", "export"):
        image = f"localhost/cellquilt/{name}:0.1.0"
        code = "import cellquilt_kernels.flood as k; print(k.__file__)"
        assert podman("run", "--rm", "--read-only", image, "python", "-c", code).endswith(".so\n")


def test_slides_of_several_files_elsewhere(repo, images, shared_data, tmp_path):
    """Files of a slide that lie in no folder of the run are mounted, all of them."""
    elsewhere = tmp_path / "elsewhere"
    for name in ("channel_folder", "multifile"):
        shutil.copytree(shared_data / "reported" / name, elsewhere / name)
    (tmp_path / "run").mkdir()
    square = [[60, 50], [150, 50], [150, 140], [60, 140], [60, 50]]
    region = {"type": "Polygon", "coordinates": [square]}
    (elsewhere / "roi.geojson").write_text(json.dumps(region))
    folder, member = elsewhere / "channel_folder", elsewhere / "multifile" / "set_C1.ome.tif"
    rows = ["sample,image,nuclear,roi", f"folder,{folder},HH3,"]
    rows += [f"pattern,{folder}/*.tif,HH3,{elsewhere}/roi.geojson", f"member,{member},0,"]
    (tmp_path / "run" / "sheet.csv").write_text("\n".join(rows) + "\n")
    options = ["-profile", "podman", "--input", "sheet.csv", "--segmenter", "pixelcnn"]
    options += ["--image_mpp", "0.5", "--compartment", "nuclear", "--formats", "none"]
    found = {}
    for way, more in {"bundled": [], "steps": [*STEPS, "--keep_maps", "false"]}.items():
        run_in(tmp_path / "run", repo, *options, *more, "--outdir", way, parser=V2)
        found[way] = {
            name: path.read_bytes()
            for name, path in published(tmp_path / "run" / way).items()
            if "/segmentation/" in name or name.endswith("sample.json")
        }
    assert len(found["steps"]) == 3 * 3
    assert found["steps"] == found["bundled"]
    texts = {name: text for name, text in found["steps"].items() if name.endswith(".json")}
    facts = {name.split("/")[0]: json.loads(text) for name, text in texts.items()}
    for sample in ("folder", "pattern"):
        assert facts[sample]["image"]["channels"] == ["CD45", "ECAD", "HH3"]
    assert len(facts["member"]["image"]["channels"]) == 3
    assert [region["um2"] for region in facts["pattern"]["regions"]] == [90 * 90 / 4]
