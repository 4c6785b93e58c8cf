"""Which files an image stands for, and which plane, scene and names of channels a slide has."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from support.parameters import SEGMENT, TRAIN

SHEET = "sample,image,nuclear\n"
GONE = "does not exist; check the path, and that it can be read from here"
# Images of more than one file, as typed from the folder of the fixture image_files, and the files
# that a task is given, of which the named one is the first
IMAGES = {
    "set/set_C0.ome.tif": ["set_C0.ome.tif", "set_C1.ome.tif", "set_C2.ome.tif"],
    "set/set_C2.ome.tif": ["set_C2.ome.tif", "set_C0.ome.tif", "set_C1.ome.tif"],
    "renamed/dapi.ome.tif": ["dapi.ome.tif", "set_C1.ome.tif", "set_C2.ome.tif"],
    "companion/multifile.companion.ome": ["multifile.companion.ome"]
    + [f"multifile-Z{n}.ome.tiff" for n in range(1, 6)],
    "companion/multifile-Z2.ome.tiff": ["multifile-Z2.ome.tiff", "multifile.companion.ome"]
    + [f"multifile-Z{n}.ome.tiff" for n in (1, 3, 4, 5)],
    "big/first.ome.tif": ["first.ome.tif", "a & <b>.tif"],
    "single/renamed.ome.tif": ["renamed.ome.tif"],
    "single/torn.ome.tif": ["torn.ome.tif"],
    "channels": ["channels"],
    "slide.ome.zarr/": ["slide.ome.zarr"],
    "slide.ome.zarr/.": ["slide.ome.zarr"],
    "x.ome.zarr.zip": ["x.ome.zarr.zip"],
    "channels/c*.tif": ["c1.tif", "c2.tif", "c10.tif"],
    "channels/c?.tif": ["c1.tif", "c2.tif"],
    "channels/.*.tif": [".c4.tif"],
    "set/set_C*.ome.tif": ["set_C0.ome.tif", "set_C1.ome.tif", "set_C2.ome.tif"],
    "set/*C0*": ["set_C0.ome.tif", "set_C1.ome.tif", "set_C2.ome.tif"],
    "[1]_*.tif": ["[1]_a.tif", "[1]_b.tif"],
}
NOT_THERE = "is one file of an OME-TIFF of several, and {folder}"
WRONG_IMAGES = {
    "missing/set_C0.ome.tif": f"{NOT_THERE}/missing has no 'set_C2.ome.tif'; put all of its files",
    "missing/multifile-Z1.ome.tiff": f"{NOT_THERE}/missing has no 'multifile.companion.ome'; put",
    "alone/multifile.companion.ome": f"{NOT_THERE}/alone has no 'multifile-Z2.ome.tiff',"
    " 'multifile-Z3.ome.tiff', 'multifile-Z4.ome.tiff' and 1 more; put all of its files into one",
    "big/elsewhere.ome.tif": "is one file of an OME-TIFF of several, and names '../first.tif' as"
    " another of its files; all of them must lie in one folder, and be named without it.",
    "channels/d*.tif": "stands for no file; check the folder, and the pattern: * is any letters,",
    "no/c*.tif": "stands for no file;",
    "*/c1.tif": "has * or ? in the name of a folder; a pattern is of files in one folder.",
    "dollar/*.tif": "stands for $.tif, which cannot be passed to a task by Nextflow: its path hol",
    "nowhere://bucket/a*.tif": f"{GONE} (",
    "/": "is the root of all folders; give the folder of the slide.",
}
# The samples that are named after such images
NAMED_AFTER = {
    "channels": "channels",
    "channels/": "channels",
    "channels/*.tif": "channels",
    "channels/c*.tif": "c",
    "[1]_*.tif": "1",
    "set/set_C*.ome.tif": "set_C",
    "slide.ome.zarr": "slide",
    "slide.ome.zarr/.": "slide",
    "x.ome.zarr.zip": "x",
    "companion/multifile.companion.ome": "multifile",
}


@pytest.fixture(scope="module")
def image_files(shared_data, tmp_path_factory) -> Path:
    """Return a folder with the images of IMAGES and WRONG_IMAGES."""
    top = tmp_path_factory.mktemp("images")
    reported, variants = shared_data / "reported", shared_data / "ome_variants"
    shutil.copytree(reported / "multifile", top / "set")
    shutil.copytree(reported / "multifile", top / "renamed")
    (top / "renamed" / "set_C0.ome.tif").rename(top / "renamed" / "dapi.ome.tif")
    shutil.copytree(reported / "multifile", top / "missing")
    (top / "missing" / "set_C2.ome.tif").unlink()
    (top / "companion").mkdir()
    for name in ("multifile.companion.ome", "multifile-Z1.ome.tiff", "multifile-Z2.ome.tiff"):
        shutil.copy(variants / name, top / "companion")
    for n in (3, 4, 5):
        shutil.copy(
            variants / "multifile-Z2.ome.tiff", top / "companion" / f"multifile-Z{n}.ome.tiff"
        )
    shutil.copy(variants / "multifile-Z1.ome.tiff", top / "missing")
    (top / "alone").mkdir()
    for name in ("multifile.companion.ome", "multifile-Z1.ome.tiff"):
        shutil.copy(variants / name, top / "alone")
    (top / "single").mkdir()
    shutil.copy(variants / "64x64.ome.tif", top / "single" / "renamed.ome.tif")
    torn = (reported / "multifile" / "set_C0.ome.tif").read_bytes()[:100]
    (top / "single" / "torn.ome.tif").write_bytes(torn)

    def write(name: str, byteorder: str, *members: str) -> None:
        uuids = "".join(f"<TiffData><UUID\n FileName={member}/></TiffData>" for member in members)
        text = f"<OME>{uuids}<!-- <UUID FileName='none.tif'> --></OME>"
        kind = {"bigtiff": byteorder == ">", "byteorder": byteorder}
        tifffile.imwrite(top / name, np.zeros((9, 9), "uint8"), description=text, **kind)

    (top / "big").mkdir()
    write("big/first.ome.tif", ">", "'first.ome.tif'", '"a &amp; &#60;b&#x3e;.tif"')
    write("big/elsewhere.ome.tif", "<", "'first.ome.tif'", "'../first.tif'")
    names = [f"channels/{name}" for name in ("c1.tif", "c2.tif", "c10.tif", ".c4.tif", "names.csv")]
    names += ["slide.ome.zarr/zarr.json", "x.ome.zarr.zip", "[1]_a.tif", "[1]_b.tif"]
    for name in [*names, "big/a & <b>.tif", "dollar/$.tif", "dollar/a.tif"]:
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).touch()
    (top / "channels" / "c3.tif").mkdir()
    (top / "linked").symlink_to("set")
    (top / "many.zarr").mkdir()
    for n in range(10_001):
        (top / "many.zarr" / str(n)).touch()
    (top / "circle").mkdir()
    (top / "circle" / "again").symlink_to(".")
    (top / "circle" / "c1.tif").symlink_to(top / "set" / "set_C1.ome.tif")
    return top


@pytest.fixture(scope="module")
def results(look, image_files) -> dict[str, dict]:
    """Return what came of all sets of parameters."""
    sets = {}

    def sheet(kind: str, given: dict, text: str) -> None:
        path = image_files / f"{kind}.csv"
        path.write_text(text)
        sets[kind] = given | {"input": str(path)}

    for kind, images in {"images": IMAGES, "wrong images": WRONG_IMAGES}.items():
        rows = [f"s{n},{image},0\n" for n, image in enumerate(images)]
        sheet(kind, SEGMENT, SHEET + "".join(rows))
    folders = "".join(f"{name},{name},0\n" for name in ("linked", "many.zarr", "circle"))
    sheet("folders", SEGMENT, SHEET + folders)
    sheet("large folders", SEGMENT | {"bundle_max_mb": "0"}, SHEET + folders)
    for image in NAMED_AFTER:
        sets[f"image: {image}"] = SEGMENT | {"image": f"{image_files}/{image}", "nuclear": "0"}
    examples = "sample,image,labels,nuclear\n"
    sheet("examples", TRAIN, f"{examples}a,set/set_C*.ome.tif,channels/c1.tif,0\n")
    sheet("labels", TRAIN, f"{examples}a,set/set_C1.ome.tif,channels,0\n")
    header = "sample,image,nuclear,z,t,scene,markers,roi\n"
    planes = {"z": "2", "t": "1", "scene": "0", "markers": str(image_files / "x.ome.zarr.zip")}
    planes |= {"roi": str(image_files / "channels" / "c1.tif")}
    rows = "a,channels,0,max,0,Series 1,channels/names.csv,channels/c2.tif\n"
    sheet("planes", SEGMENT | planes, header + rows + 'b,channels,"A;B",,,,,\n')
    sheet("regions to learn from", TRAIN, f"{examples[:-1]},roi\na,x,channels/c1.tif,0,x\n")
    header = header.replace(",roi", "")
    rows = "a,channels,0,-1,-1,,no.csv\nb,channels,0,1.5,x,,channels\nc,channels,0,all,,,\n"
    sheet("wrong planes", SEGMENT, header + rows)
    rows = "a,channels,0,1,1,1,1\n"
    sheet("near", SEGMENT, f"sample,image,nuclear,Z,patient,marker,Scene\n{rows}")
    return look(image_files, sets)


def test_all_files_of_an_image_are_found(results, image_files):
    found = [images for _, images in results["images"]["slides"]]
    assert [[Path(path).name for path in paths] for paths in found] == list(IMAGES.values())
    assert all(Path(path).exists() for paths in found for path in paths)
    sizes = [row["bytes"] for row in results["images"]["options"]["rows"]]
    of_set = sum(path.stat().st_size for path in (image_files / "set").iterdir())
    assert sizes[:2] == [of_set, of_set]


def test_a_wrong_image_is_refused_before_the_start(results, image_files):
    refused = results["wrong images"]["refused"]
    assert len(refused) == len(WRONG_IMAGES)
    for number, (image, text) in enumerate(WRONG_IMAGES.items()):
        said = refused[number].replace(str(image_files), "{folder}")
        assert said.startswith(f"wrong images.csv, row {number + 2}: image {image} {text}"), said


def test_folders_are_counted_until_they_are_large(results, image_files):
    sizes = [path.stat().st_size for path in sorted((image_files / "set").iterdir())]
    found = [row["bytes"] for row in results["folders"]["options"]["rows"]]
    assert found == [sum(sizes), None, sizes[1]]
    found = [row["bytes"] for row in results["large folders"]["options"]["rows"]]
    assert found == [None] * 3


def test_labels_are_a_single_file(results):
    """The image that they belong to may be several."""
    ((_, images, labels),) = results["examples"]["slides"]
    assert (len(images), Path(labels).name) == (3, "c1.tif")
    assert results["labels"]["refused"] == [
        "labels.csv, row 2: labels channels is a folder; give a file."
    ]


@pytest.mark.parametrize("image", NAMED_AFTER)
def test_a_sample_is_named_after_its_image(results, image):
    (slide,) = results[f"image: {image}"]["slides"]
    assert slide[0]["id"] == NAMED_AFTER[image]


def test_planes_and_markers_are_those_of_the_row_or_the_parameters(results, image_files):
    """Of a slide without a choice meta has none of them, see the slides above."""
    first, second = (meta for meta, _ in results["planes"]["slides"])
    keys = ("nuclear", "z", "t", "scene")
    assert [first[key] for key in keys] == ["0", "max", 0, "Series 1"]
    assert [second[key] for key in keys] == ["A;B", "2", 1, "0"]
    markers = {sample: found["markers"] for sample, found in results["planes"]["extras"].items()}
    files = (image_files / "channels" / "names.csv", image_files / "x.ome.zarr.zip")
    assert markers == dict(zip("ab", map(str, files), strict=True))
    regions = {sample: found["roi"] for sample, found in results["planes"]["extras"].items()}
    files = (image_files / "channels" / f"c{n}.tif" for n in (2, 1))
    assert regions == dict(zip("ab", map(str, files), strict=True))
    assert "column roi is for --mode segment" in results["regions to learn from"]["refused"][0]


def test_wrong_planes_and_markers_are_refused_before_the_start(results):
    form = "must be the number of a plane, from 0, or max or mean over all of them."
    frame = "Frame of a time series, from 0; empty for that of --t."
    assert results["wrong planes"]["refused"] == [
        f"wrong planes.csv, row 2: z '-1': {form}",
        f"wrong planes.csv, row 2: t '-1' is not at least 0. {frame}",
        f"wrong planes.csv, row 2: markers no.csv {GONE}.",
        f"wrong planes.csv, row 3: z '1.5': {form}",
        f"wrong planes.csv, row 3: t 'x' is not a whole number. {frame}",
        "wrong planes.csv, row 3: markers channels is a folder; give a file.",
        f"wrong planes.csv, row 4: z 'all': {form}",
    ]
    found = [re.findall(r"did you mean (\w+)\?", said) for said in results["near"]["refused"]]
    assert found == [["z"], ["markers"], ["scene"]]


# Slides of several files in one sheet, and the files that each of their tasks has
SLIDES = {
    "pattern": ("channel_folder/*.tif", ["CD45.tif", "ECAD.tif", "HH3.tif"]),
    "folder": ("channel_folder", ["channel_folder"]),
    "set": ("multifile/set_C1.ome.tif", ["set_C1.ome.tif", "set_C0.ome.tif", "set_C2.ome.tif"]),
    "single": ("slide.ome.tif", ["slide.ome.tif"]),
}


@pytest.fixture(scope="module")
def stub_run(nextflow, shared_data, tmp_path_factory) -> Path:
    """Return the folder of a run of the pipeline's stubs on SLIDES.

    They are there twice: small, in a bundle, and step by step, for which a byte far behind the end
    makes them large.
    """
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(shared_data / "reported", folder / "small", copy_function=shutil.copyfile)
    shutil.copytree(folder / "small", folder / "large")
    for name in ("channel_folder/HH3.tif", "multifile/set_C0.ome.tif", "slide.ome.tif"):
        os.truncate(folder / "large" / name, 1_000_001)
    (folder / "names.csv").write_text("a\nb\nc\n")
    rows = [
        f"{size}_{sample},{size}/{image},0,max,names.csv\n"
        for size in ("small", "large")
        for sample, (image, _) in SLIDES.items()
    ]
    (folder / "sheet.csv").write_text("sample,image,nuclear,z,markers\n" + "".join(rows))
    options = ["--input", "sheet.csv", "--segmenter", "pixelcnn", "--bundle_max_mb", "1"]
    done = nextflow(*options, "--formats", "none", "-stub", folder=folder, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_bundle_has_all_files_of_its_slides(stub_run):
    """Each in a folder of its own, where the task looks for it."""
    scripts = {path: path.read_text() for path in stub_run.glob("work/*/*/.command.sh")}
    (task,) = (path.parent for path, text in scripts.items() if "stub.py chain" in text)
    found = re.search(r"<<'SLIDES'\n(.+)\n", scripts[task / ".command.sh"])[1]
    slides = {slide["sample"]: slide for slide in json.loads(found)}
    assert slides.keys() == {f"small_{sample}" for sample in SLIDES}
    for sample, (_, names) in SLIDES.items():
        slide = slides[f"small_{sample}"]
        assert [Path(path).name for path in slide["images"]] == names
        assert Path(slide["markers"]).name == "names.csv"
        assert (slide["z"], slide["truth"]) == ("max", [])
        assert not slide.keys() & {"t", "scene"}
        assert all((task / path).exists() for path in [*slide["images"], slide["markers"]])
    record = json.loads((stub_run / "results" / "small_set" / "files.json").read_text())
    assert record["image"]["name"] == "set_C1.ome.tif"


def test_tasks_of_a_slide_have_all_its_files(stub_run):
    for step, beside in {"ingest": "_markers/names.csv", "quantify": "_inputs/sample.json"}.items():
        tasks = {}
        for path in stub_run.glob("work/*/*/.command.sh"):
            if sample := re.search(rf"stub.py {step} --sample large_(\w+)", path.read_text()):
                tasks[sample[1]] = path.parent
        assert tasks.keys() == SLIDES.keys()
        for sample, task in tasks.items():
            found = [path.name for path in (task / "_slide").iterdir()]
            assert sorted(found) == sorted(SLIDES[sample][1])
            assert (task / beside).exists()
