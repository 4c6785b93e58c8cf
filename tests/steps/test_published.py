"""Which run the published files are of: records of runs that follow each other in one folder."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from system.faults.runs import DEMO, EVERYTHING, REPO, Run, kill, running, step_of

BOTH = ["segmentation/mesmer-a/cell.ome.tif", "matches.csv", "zarr/a.sdata.zarr"]
ONE = ["segmentation/mesmer-a/nucleus.ome.tif"]


def run(
    text: str, end: str = "complete", publishes: list[str] | dict = ("sample.json",), **more
) -> dict:
    """Return a run of sample a, as records.nf takes it."""
    given = publishes if isinstance(publishes, dict) else {"a": publishes}
    return {"text": text, "end": end, "slides": {"a": "one.tif"}, "publishes": given} | more


STORIES = {
    "complete": [
        run("A", publishes=[*BOTH, "sample.json"]),
        run("B", publishes=[*ONE, "sample.json"]),
        run("C", publishes=[*BOTH, "sample.json"]),
    ],
    "killed": [
        run("A", publishes=[*BOTH, "sample.json"]),
        run("B", "killed", ["anndata/a.h5ad*", "zarr/a.ome.zarr*", "overlay.png"]),
        run("C", "killed", ["evaluation.json*"]),
        run("D", publishes=[*ONE, "sample.json"]),
    ],
    "failed": [
        run("A", publishes=BOTH),
        run("B", "failed", []),
        run("C", "failed", ["sample.json"]),
        run("D", publishes=ONE),
    ],
    "refused": [
        run("A", publishes=BOTH),
        run("B", publishes=[], refused=["a"]),
        run("C", publishes=["sample.json"], refused=["a"]),
        run("D", slides={"a": "other.tif"}),
    ],
    "elsewhere": [run("A", publishes=BOTH), run("B", publishes=["sample.json", "!overlay.png"])],
    "first fails": [run("A", "failed", []), run("B", "failed", ["sample.json"])],
    "user": [
        run("A", publishes=BOTH, user={"a/notes.txt": "mine", "a/anndata/a.h5ad": "mine"}),
        run("B", "killed", ONE, user={"a/segmentation/mesmer-a/mine.tif": "mine"}),
        run("C", user={"a/qc/mine/params.yml": "mine"}),
    ],
    "no record": [run("A", user={"a/matches.csv": "old", "a/overlay.png": "old"})],
    "slide": [
        run("A", slides={"a": "one.tif", "b": "one.tif", "c": "one.tif"}),
        run("B", slides={"a": "other.tif", "b": "larger/one.tif", "c": "one.tif", "d": "one.tif"}),
        run("C", "killed", ONE, slides={"a": "other.tif"}, overwrite=True),
        run("D", slides={"a": "other.tif"}),
        run("E"),
    ],
    "slide after kill": [
        run("A", "killed", slides={"a": "other.tif"}),
        run("B"),
        run("C", "killed", []),
        run("D", slides={"a": "other.tif"}),
    ],
    "links": [
        run("A", "killed", user={"store/kept": "mine", "a/zarr/notes": "mine"}),
        run("B", "killed", [], links={"a/qc": "a", "a/zarr/a.sdata.zarr": "store"}),
        run("C"),
    ],
    "samples": [
        run("A"),
        run("B", slides={"b": "one.tif"}, publishes={"b": ["sample.json"], "": ["report.html"]}),
    ],
    "of the run": [
        run("A", publishes={"": ["report.html", "multiqc/cellquilt_a_mqc.json"]}),
        run("B", publishes={"": ["report.html"]}, user={"multiqc/mine_mqc.json": "mine"}),
    ],
    "training": [
        run("A", mode="train", publishes={"": ["networks/nuclear-conv5-seed1.keras"]}),
        run("B", "killed", mode="train", publishes={"": ["nuclear/networks.csv*"]}),
        run("C", mode="train", publishes={"": ["networks/nuclear-conv6-seed1.keras"]}),
    ],
    "damaged": [
        run("A", user={"a/files.json": '{"files": ["../../one.tif"]}'}),
        run("B", user={"a/files.json": '{"files": "sample.json"}'}),
        run("C", user={"a/files.json": "mine"}),
    ],
}


@pytest.fixture(scope="module")
def told(repo, nextflow_command, tmp_path_factory) -> dict[str, list[dict[str, str]]]:
    """Return the files after each run of every story, by path."""
    folder = tmp_path_factory.mktemp("stories")
    for story in STORIES:
        for name in ("one.tif", "other.tif", "larger/one.tif"):
            path = folder / story / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    (folder / "stories.json").write_text(json.dumps(STORIES))
    project = tmp_path_factory.mktemp("project")
    script = (repo / "tests" / "steps" / "records.nf").read_text()
    (project / "main.nf").write_text(script.replace("'../../", "'./"))
    for name in ("workflows", "assets"):
        (project / name).symlink_to(repo / name)
    options = ["--stories", "stories.json", "--results", "results.json"]
    done = nextflow_command("run", project, *options, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "results.json").read_text())


def files(tree: dict[str, str], folder: str = "a/") -> dict[str, str]:
    """Return the texts of a folder's files but for the record, by path."""
    paths = [path for path in tree if path.startswith(folder) and path[-1] != "/"]
    found = {path.removeprefix(folder): tree[path] for path in paths}
    return {path: text for path, text in found.items() if path != "files.json"}


def record(tree: dict[str, str], path: str = "a/files.json") -> dict:
    return json.loads(tree[path])


def texts(names: list[str], text: str) -> dict[str, str]:
    """Return the files of one run: a Zarr store has a part."""
    return {f"{name}/part" if name.endswith(".zarr") else name: text for name in names}


def listed(names: list[str]) -> list[str]:
    return sorted(f"{name}/" if name.endswith(".zarr") else name for name in names)


def test_a_run_replaces_the_files_of_the_one_before(told):
    for tree, names, text in zip(told["complete"], (BOTH, ONE, BOTH), "ABC", strict=True):
        assert files(tree) == texts([*names, "sample.json"], text)
        found = record(tree)
        assert found["files"] == listed([*names, "sample.json"])
        assert found["image"] == {"name": "one.tif", "bytes": len("one.tif")}
        assert found["state"] == "complete" and set(found) - {"foreign"} == set(found)


def test_no_story_leaves_an_empty_folder_or_half_a_record(told):
    for tree in (tree for trees in told.values() for tree in trees):
        for folder in (path for path in tree if path.endswith("/")):
            assert any(path.startswith(folder) and path[-1] != "/" for path in tree), folder
        assert not [path for path in tree if path.endswith(".partial")]


def test_after_kills_all_that_is_of_the_runs_is_replaced(told):
    first, killed, again, last = told["killed"]
    left = texts([*BOTH, "sample.json"], "A") | texts(["anndata/a.h5ad", "overlay.png"], "B")
    assert files(killed) == left | {"zarr/a.ome.zarr/part": "B"}
    assert record(killed)["state"] == "running"
    assert record(killed)["files"] == record(first)["files"]
    assert record(again)["files"] == listed(
        [*BOTH, "sample.json", "anndata/a.h5ad", "overlay.png", "zarr/a.ome.zarr"]
    )
    assert files(last) == texts([*ONE, "sample.json"], "D")


def test_a_run_that_fails_removes_nothing(told):
    first, empty, failed, last = told["failed"]
    assert empty == first
    assert files(failed) == texts(BOTH, "A") | {"sample.json": "C"}
    assert record(failed)["state"] == "incomplete"
    assert record(failed)["files"] == listed([*BOTH, "sample.json"])
    assert files(last) == texts(ONE, "D")


def test_a_refused_slide_keeps_what_it_had_or_has_what_came(told):
    first, nothing, some, last = told["refused"]
    assert files(nothing) == files(first) and record(nothing) == record(first)
    assert files(some) == {"sample.json": "C"}
    assert (record(some)["state"], record(some)["image"]) == ("refused", None)
    assert files(last) == {"sample.json": "D"} and record(last)["state"] == "complete"


def test_nothing_is_removed_for_files_that_are_published_elsewhere(told):
    _, last = told["elsewhere"]
    assert files(last) == texts(BOTH, "A") | {"sample.json": "B"}
    assert record(last)["state"] == "incomplete"


def test_a_first_run_that_fails_lists_what_is_there(told):
    empty, failed = told["first fails"]
    assert empty == {}
    assert record(failed)["files"] == ["sample.json"]
    assert record(failed)["image"] is None


def test_what_no_run_wrote_stays(told):
    first, killed, last = told["user"]
    assert record(first)["files"] == listed(BOTH)  # of the user's h5ad nothing
    mine = dict.fromkeys(["notes.txt", "anndata/a.h5ad"], "mine")
    mine["segmentation/mesmer-a/mine.tif"] = "mine"
    assert files(killed) == mine | texts(BOTH, "A") | texts(ONE, "B")
    assert files(last) == mine | {"qc/mine/params.yml": "mine", "sample.json": "C"}
    (tree,) = told["no record"]
    old = {"matches.csv": "old", "overlay.png": "old"}
    assert files(tree) == old | {"sample.json": "A"}


def test_another_slide_is_refused_until_it_may_overwrite(told):
    first, refused, killed, again, back = told["slide"]
    assert {path: text for path, text in refused.items() if path != "refused"} == first
    lines = refused["refused"].splitlines()
    assert [line.partition(" has the results of another slide: ")[2] for line in lines] == [
        f"one.tif (7 bytes), and sample {sample} is {slide}. Give another --outdir, name the "
        "sample differently, or replace them with --overwrite."
        for sample, slide in {"a": "other.tif (9 bytes)", "b": "one.tif (14 bytes)"}.items()
    ]
    assert all(f"/results/{sample} has" in line for sample, line in zip("ab", lines, strict=True))
    assert "refused" not in killed and record(killed)["image"] is None
    assert files(again) == {"sample.json": "D"}  # the user had said so before the kill
    assert "is one.tif (7 bytes)" in back["refused"]


def test_a_slide_that_never_finished_is_no_other_slide(told):
    _, first, killed, refused = told["slide after kill"]
    assert record(first)["image"]["name"] == "one.tif"
    assert record(killed)["state"] == "running"
    assert "another slide: one.tif" in refused["refused"]


def test_links_are_removed_and_not_followed(told):
    _, linked, last = told["links"]
    assert files(linked)["zarr/a.sdata.zarr"] == "link"
    assert files(last) == {"sample.json": "C", "qc": "link", "zarr/notes": "mine"}
    assert last["store/kept"] == "mine"


def test_other_samples_in_the_folder_are_left_alone(told):
    first, second = told["samples"]
    assert files(second) == files(first) and record(second) == record(first)
    assert files(second, "b/") == {"sample.json": "B"}


def test_files_of_the_whole_run_have_a_record(told):
    first, second = told["of the run"]
    names = record(first, "pipeline_info/files.json")["files"]
    assert names == ["multiqc/cellquilt_a_mqc.json", "report.html"]
    assert files(second, "multiqc/") == {"mine_mqc.json": "mine"}
    assert record(second, "pipeline_info/files.json")["files"] == ["report.html"]


def test_networks_of_an_earlier_training_do_not_stay(told):
    *_, last = told["training"]
    assert files(last, "training/") == {"networks/nuclear-conv6-seed1.keras": "C"}


def test_a_record_that_is_none_of_ours_is_refused(told):
    for tree in told["damaged"]:
        assert "a/files.json: is no list of published files; move it away" in tree["refused"]
        assert "one.tif" not in files(tree)


def on_disk(folder: Path) -> list[str]:
    """Return what a folder has but for its record, a Zarr store and the viewer as one entry."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    stores = [re.match(r".*?\.zarr/|viewer/|.*", name) for name in names - {"files.json"}]
    return sorted({store[0] for store in stores})


def record_of(results: Path, sample: str) -> dict:
    return json.loads((results / sample / "files.json").read_text())


ALL = ["--formats", EVERYTHING, "--export_pickle", "--export_image", "PanCK;DAPI"]
FEW = ["--formats", "none", "--compartment", "nuclear"]


@pytest.fixture(scope="module")
def pixels(tmp_path_factory) -> Run:
    """Return a run of pixel classifiers that has not started yet."""
    return Run(tmp_path_factory.mktemp("pixels"), (*DEMO, "--segmenter", "pixelcnn"))


def test_records_list_exactly_what_real_runs_leave(pixels, nextflow_command, environments):
    """A run of all formats, another of few, as after a kill, and the first again."""
    folder = pixels.results / "demo"

    def finish(*options: str) -> None:
        given = ["-C", pixels.config, "run", REPO, *pixels.options, "--environments", environments]
        done = nextflow_command(*given, *options, "-ansi-log", "false", folder=pixels.folder)
        assert done.returncode == 0, done.stdout

    finish(*ALL)
    first = pixels.published()
    found = record_of(pixels.results, "demo")
    assert found["state"] == "complete" and found["image"] == {"name": "the generated tissue"}
    assert found["files"] == on_disk(folder)
    of_the_run = record_of(pixels.results, "pipeline_info")["files"]
    multiqc = [f"multiqc/{path.name}" for path in (pixels.results / "multiqc").iterdir()]
    assert of_the_run == sorted([*multiqc, "methods.txt", "report.html", "samples.csv"])
    image = json.loads((folder / "zarr" / "demo.ome.zarr" / ".zattrs").read_text())
    assert [channel["label"] for channel in image["omero"]["channels"]] == ["PanCK", "DAPI"]

    # as a kill leaves it, of a first run that has published all: what is its must be known by name
    killed = found | {"state": "running", "image": None, "files": []}
    (folder / "files.json").write_text(json.dumps(killed))
    (folder / "mine.txt").write_text("mine")
    finish(*FEW, "-resume")
    few = record_of(pixels.results, "demo")["files"]
    assert sorted([*few, "mine.txt"]) == on_disk(folder)
    assert [name for name in few if name.startswith("segmentation/")] == [
        f"segmentation/pixelcnn-demo/nucleus{of}.ome.tif" for of in ("", "_boundary")
    ]
    assert not {name.partition("/")[0] for name in few} & {"zarr", "anndata", "hubmap", "geojson"}

    finish(*ALL, "-resume")
    assert pixels.published() == first | {"demo/mine.txt": b"mine"}
    assert record_of(pixels.results, "demo")["files"] == found["files"]


def kill_at(run: Run, step: str, *options: str) -> None:
    """Resume a run, and kill Nextflow when it has submitted a step's task; wait for the orphans."""
    before = len(run.said)
    nextflow = run.start(*options, "-resume")
    while not any(step_of(name) == step for name in submitted(run.said[before:])):
        assert nextflow.poll() is None, run.said
        time.sleep(0.2)
    assert kill(nextflow.pid)
    nextflow.wait()
    while running(run.work):
        time.sleep(0.5)


def submitted(said: str) -> list[str]:
    lines = [line.partition("Submitted process > ")[2] for line in said.splitlines()]
    return [name for name in lines if name]


@pytest.mark.slow
def test_kills_of_nextflow_leave_no_file_of_another_run(pixels, environments, tmp_path):
    """Run A, B and A again with kills between; each time the files are those of a run alone.

    A is of a bundle, B step by step.
    """
    given = (*pixels.options, "--environments", environments)
    runs = {name: Run(tmp_path / name, given) for name in ("all", "few", "killed")}
    options = {"all": ALL, "few": [*FEW, "--bundle_slides", "0", "--keep_maps", "false"]}
    for run in runs.values():
        run.folder.mkdir()
        (run.folder / "log").touch()
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda name: runs[name].finish(*options[name]), options)
        assert list(codes) == [0, 0], [runs[name].said for name in options]
    killed = runs["killed"]
    for name, steps in (("all", ["CHAIN", "EXPORT"]), ("few", ["STITCH", "REPORT"]), ("all", [])):
        for step in steps:
            kill_at(killed, step, *options[name])
        assert killed.finish(*options[name], "-resume") == 0, killed.said
        assert killed.published() == runs[name].published()
        assert record_of(killed.results, "demo")["files"] == on_disk(killed.results / "demo")
