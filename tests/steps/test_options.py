"""What the workflows make of what a user gives: parameters, samplesheets, files of architectures.

Nextflow takes long to start, so that calls.nf looks at many sets of parameters in one run.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SLIDES = "sample,image,nuclear,membrane,image_mpp\n"
EXAMPLES = "sample,image,labels,split,nuclear,membrane,image_mpp\n"
# As Nextflow 26 hands them on: strings, whatever their type
SEGMENT = {"mode": "segment", "segmenter": "pixelcnn", "compartment": "both"}
SEGMENT |= {"precision": "float32", "image_mpp": "0.5"}
TRAIN = {"mode": "train", "compartment": "nuclear", "architectures": "compact", "held_out": "0.2"}
SIZE = "Pixel size in um; empty to take it from --image_mpp or the OME-XML."
LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)

# Files of architectures, and what is said of each; nothing where its names are taken
TABLES = {
    "a table": ("# mine\nmine: {patch: 31, layers: []}\n", None),
    "with a merged one": ("<<: {mine: {}}\n", None),
    "a list that holds itself": ("mine: &a [*a]\n", None),
    "a list": ("- mine\n", "must map names of architectures to their patch and layers, as bin"),
    "empty": ("", "must map names of architectures"),
    "indented by tabs": ("mine:\n\tpatch: 31\n", "line 2, column 1"),
    "not closed": ("mine: [1, 2\n", "expected ',' or ']'"),
    "a name that stands twice": ("mine: 1\nmine: 2\n", "found duplicate key mine"),
    "aliases of aliases": (LAUGHS, "Number of aliases"),
    "nested 5,000 deep": ("[" * 5000, "Nesting Depth exceeded"),
    "an object": ("mine: !!java.net.URL ['http://localhost']\n", "tag is not allowed"),
    "not in UTF-8": (b"mine: \xff", "Malformed"),
    "4 MB": ("mine: " + "x" * 4_000_000, "exceeds the limit"),
    "names that are none": ("1: {}\non: {}\n? [mine]\n: {}\n", "there is no such architecture"),
}

# Names as Nextflow hands them on, how they were written, and what is said of them
NAMES = {
    "swapped": ("nuclaer", "--nuclaer DAPI", "Did you mean --nuclear?"),
    "left out": ("imge", "--imge=a.tif", "Did you mean --image?"),
    "doubled": ("membranne", "--membranne CD45", "Did you mean --membrane?"),
    "wrong at its start": ("pacth_size", "--pacth_size 384", "Did you mean --patch_size?"),
    "of other words": ("nucleus_radius", "--nucleus_radius 2", "Did you mean --nuclear_radius?"),
    "dash": ("patchSize", "--patch-size 384", "Did you mean --patch_size?"),
    "camelCase": ("imageMpp", "--imageMpp 0.5", "Did you mean --image_mpp?"),
    "mistyped camelCase": ("wholeCelRadius", "--wholeCelRadius 2", "mean --whole_cell_radius?"),
    "capitals": ("OUTDIR", "--OUTDIR out", "Did you mean --outdir?"),
    "no underscore": ("patchespertask", "--patchespertask 4", "mean --patches_per_task?"),
    "with a name that is there": ("noXla", "--no-xla", "Did you mean --xla false?"),
    "beginning": ("arch", "--arch conv5", "--architectures, --architecture_file?"),
    "one of its words": ("mpp", "--mpp 0.5", "Did you mean --image_mpp?"),
    "a word too much": ("nuclear_channel", "--nuclear_channel 0", "Did you mean --nuclear?"),
    "as long as near": ("model", "--model a.keras", "Did you mean --mode, --models?"),
    "like none": ("foo", "--foo", "All of them: nextflow run . --help full"),
    "after a value with spaces": ("halos", "--sample 'a b --seed 3' --halos 9", "mean --halo?"),
    "after an escaped value": ("tt", "--outdir it\\'s\\ here --tt 1", "Did you mean --t?"),
}
# What institutions' configurations of nf-core set
OF_SITES = ["config_profile_name", "config_profile_contact", "config_profile_url", "max_memory"]
OF_SITES += ["max_cpus", "max_time", "custom_config_version", "custom_config_base", "igenomesBase"]


@pytest.fixture(scope="module")
def look(repo, tmp_path_factory) -> Callable[..., dict[str, dict]]:
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
        done = subprocess.run(
            [repo / "tools" / "nextflow", "run", project, *options],
            cwd=folder,
            env=os.environ | {"NXF_ANSI_LOG": "false"} | env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((folder / "results.json").read_text()) | {"log": done.stdout}

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with two empty files: existence is all that is asked of a sheet's."""
    path = tmp_path_factory.mktemp("sheets")
    for name in ("a.tif", "[labels].tif"):
        (path / name).touch()
    return path


@pytest.fixture(scope="module")
def sheet(folder) -> Callable[[str, str], dict[str, str]]:
    """Return a function that writes a samplesheet, and returns the parameter that gives it."""

    def write(name: str, text: str) -> dict[str, str]:
        (folder / name).write_text(text)
        return {"input": str(folder / name)}

    return write


@pytest.fixture(scope="module")
def results(look, folder, sheet) -> dict[str, dict]:
    """Return what came of all sets of parameters with the pipeline's own schemas."""
    slides = "a,a.tif,0,,\nb,a.tif,DAPI,CD45;2,0.450\n"
    sizes = "a,a.tif,0,,50\nb,a.tif,0,,0\nc,a.tif,0,,half\nd,a.tif,0,,5\n"
    examples = "a,a.tif,[labels].tif,,0,,\nb,a.tif,[labels].tif,test,0,CD45,5\n"
    wrong = "a,a.tif,,train,0,,9\nb,a.tif,b.tif,,,,\n"
    for_test = "a,a.tif,[labels].tif,test,0,,\n"
    sets = {
        "slides": SEGMENT | sheet("slides.csv", SLIDES + slides),
        "sizes": SEGMENT | sheet("sizes.csv", SLIDES + sizes),
        "examples": TRAIN | sheet("examples.csv", EXAMPLES + examples),
        "no labels": TRAIN | sheet("wrong.csv", EXAMPLES + wrong),
        "all for the test": TRAIN | sheet("test.csv", EXAMPLES + for_test),
        "examples to segment": SEGMENT | sheet("examples.csv", EXAMPLES + examples),
        "one image": SEGMENT | {"image": str(folder / "a.tif"), "nuclear": "0"},
        "names": {name: "x" for name, *_ in NAMES.values()}
        | {
            "commandLine": "nextflow run . " + " ".join(written for _, written, _ in NAMES.values())
        },
        "twins": {"patch-size": 5, "patchSize": 5, "commandLine": "nextflow run . --patch-size 5"},
        "groups": {"image": {"path": "a.tif"}, "input": {"seed": 1}, "membrane": ["CD45", "PanCK"]}
        | {"patches": {"patchSize": 5, "of": {"halo": 1}}}
        | {"commandLine": "nextflow run . --image.path a.tif --patches.patchSize 5"},
        "of a site": SEGMENT
        | {"demo": True, **dict.fromkeys(OF_SITES, "x"), "genomes": {"a": {"fasta": "b"}}}
        | {"patchsize": 5, "commandLine": "nextflow run . -c 'my site.config' --demo"},
        "typed": TRAIN
        | {"demo": "true", "xla": "false", "halo": "96", "learning_rate": "1e-3", "z": ""}
        | {"architectures": "compact,conv5,compact", "seeds": "2,01,2", "t": None},
    }
    for number, (kind, (text, _)) in enumerate(TABLES.items()):
        path = folder / f"table{number}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        own = {"architectures": "compact,mine", "architecture_file": str(path)}
        sets[kind] = TRAIN | {"demo": "true"} | own
    return look(folder, sets)


def test_slides_have_the_values_of_their_rows(results, folder):
    """A slide without a size has that of --image_mpp."""
    image = str(folder / "a.tif")
    first, second = results["slides"]["slides"]
    shared = {"segmenter": "pixelcnn"}
    nuclei = {"id": "a", "nuclear": "0", "membrane": "", "image_mpp": 0.5, "compartment": "nuclear"}
    both = {"id": "b", "nuclear": "DAPI", "membrane": "CD45;2", "image_mpp": 0.45}
    assert first == [nuclei | shared, image]
    assert second == [both | {"compartment": "both"} | shared, image]
    assert [meta["id"] for meta, _ in results["one image"]["slides"]] == ["a"]
    warning = "no membrane channel is named: nuclear segmentation only."
    places = re.findall(rf"WARN: (.+): {warning}$", results["log"], re.MULTILINE)
    assert places == ["slides.csv, row 2", "--image"]


def test_a_pixel_size_outside_the_schemas_range_is_refused(results):
    assert results["sizes"]["refused"] == [
        f"sizes.csv, row 2: image_mpp '50' is not at most 5. {SIZE}",
        f"sizes.csv, row 3: image_mpp '0' is not at least 0.05. {SIZE}",
        f"sizes.csv, row 4: image_mpp 'half' is not a number. {SIZE}",
    ]


def test_examples_have_labels_and_a_split(results, folder):
    first, second = results["examples"]["slides"]
    assert first[1:] == second[1:] == [str(folder / "a.tif"), str(folder / "[labels].tif")]
    assert (first[0]["split"], second[0]["split"]) == ("train", "test")
    no_labels, size, no_file, no_channel = results["no labels"]["refused"]
    assert no_labels.startswith("wrong.csv, row 2: no label image is named. Label image of the")
    assert size == f"wrong.csv, row 2: image_mpp '9' is not at most 5. {SIZE}"
    assert no_file.startswith("wrong.csv, row 3: labels b.tif does not exist; check the path")
    assert no_channel.startswith("wrong.csv, row 3: no nuclear channel is named. Nuclear")
    (refused,) = results["all for the test"]["refused"]
    assert "no row has split 'train'" in refused


def test_columns_of_another_mode_are_unknown(results):
    assert results["examples to segment"]["refused"] == [
        "examples.csv: unknown column labels, split; a samplesheet has the columns"
        " sample,image,nuclear,membrane,image_mpp (membrane, image_mpp may be missing), and one row"
        " per slide."
    ]


def test_the_rules_of_a_samplesheet_are_the_schemas(repo, look, folder, sheet):
    """Other rules in assets/schema_input.json are all that it takes for others to hold.

    This run has the strict parser, which is the usual one from Nextflow 26 on.
    """
    schema = json.loads((repo / "assets" / "schema_input.json").read_text())
    row, kinds = schema["items"], schema["$defs"]
    columns = row["properties"]
    columns["sample"] = {"type": "string", "pattern": "^[a-z]+$", "description": "Small letters"}
    columns["image_mpp"] |= {"maximum": 1}
    columns["split"] |= {"enum": ["train", "test", "later"], "default": "test"}
    columns["scanner"] = {"type": "integer", "title": "scanner", "description": "Its number"}
    del columns["image"]["exists"]
    row["required"] = ["sample", "membrane"]
    kinds["slides"]["items"]["properties"]["scanner"] = False
    kinds["examples"]["items"]["required"] = ["scanner"]
    schema["uniqueEntries"] = ["scanner"]
    header = "scanner,sample,membrane,split\n"
    slides = "a,none.tif,,CD45,0.9\na,none.tif,,CD45,1\n"
    sets = {
        "slides": SEGMENT | sheet("slides.csv", SLIDES + slides),
        "not slides": SEGMENT | sheet("other.csv", SLIDES + "A,none.tif,,CD45,2\nb,none.tif,,,\n"),
        "examples": TRAIN | sheet("examples.csv", header + "1,a,CD45,train\n2,a,CD45,\n"),
        "not examples": TRAIN
        | sheet("more.csv", header + "1,a,CD45,never\nx,a,CD45,later\n1,a,CD45,\n"),
        "no scanner": TRAIN | sheet("none.csv", EXAMPLES + "a,none.tif,,,0,CD45,\n"),
    }
    found = look(folder, sets, schema, NXF_SYNTAX_PARSER="v2")
    assert [meta["image_mpp"] for meta, _ in found["slides"]["slides"]] == [0.9, 1]
    assert found["not slides"]["refused"] == [
        "other.csv, row 2: sample 'A' is not of the form [a-z]+. Small letters.",
        f"other.csv, row 2: image_mpp '2' is not at most 1. {SIZE}",
        f"other.csv, row 3: no membrane channel is named. {columns['membrane']['description']}.",
    ]
    assert [meta["split"] for meta, *_ in found["examples"]["slides"]] == ["train", "test"]
    assert found["not examples"]["refused"] == [
        "more.csv: scanner 1 occurs 2 times; every row needs a unique name.",
        "more.csv, row 2: split 'never': must be train or test, or empty for train.",
        "more.csv, row 3: scanner 'x' is not a whole number. Its number.",
    ]
    (refused,) = found["no scanner"]["refused"]
    assert "no column scanner; a samplesheet has the columns " + ",".join(columns) in refused


def test_parameters_are_typed_once(results):
    options = results["typed"]["options"]
    assert (options["demo"], options["xla"], options["halo"]) == (True, False, 96)
    assert options["learning_rate"] == 0.001
    assert options["z"] is options["t"] is None
    assert (options["architectures"], options["seeds"]) == (["compact", "conv5"], [2, 1])


@pytest.mark.parametrize("kind", TABLES)
def test_architecture_files_are_yaml(results, kind):
    expected = TABLES[kind][1]
    if expected is None:
        assert "refused" not in results[kind]
        return
    (refused,) = results[kind]["refused"]
    assert expected in refused
    assert refused.startswith("--architecture") and len(refused) < 600
    assert ".yaml" in refused or "there is no such" in refused


@pytest.mark.parametrize("kind", NAMES)
def test_a_mistyped_name_is_refused_with_the_nearest(results, kind):
    _, written, said = NAMES[kind]
    name = re.findall(r"--(\S+?)(?:[ =]|$)", written)[-1]
    (line,) = [line for line in results["names"]["refused"] if line.startswith(f"--{name}: ")]
    assert line.startswith(f"--{name}: unknown parameter. ") and line.endswith(said)
    assert len(results["names"]["refused"]) == len(NAMES)


def test_a_name_that_nextflow_hands_on_twice_is_told_once(results):
    assert results["twins"]["refused"] == [
        "--patch-size: unknown parameter. Did you mean --patch_size?"
    ]


def test_parameters_in_groups_are_refused(results):
    *names, image, membrane, table = results["groups"]["refused"]
    assert names == [
        "--patches.patchSize: unknown parameter. Did you mean --patch_size?",
        "--patches.of.halo: unknown parameter. Did you mean --halo?",
    ]
    assert image.startswith("--image {path=a.tif}: must be a single value. One OME-TIFF")
    assert membrane.startswith("--membrane [CD45, PanCK]: must be a single value. Membrane")
    assert table.startswith("--input {seed=1}: must be a single value.")


def test_names_of_configuration_files_give_one_warning(results):
    assert "refused" not in results["of a site"]
    (line,) = re.findall("^.*config_profile_name.*$", results["log"], re.MULTILINE)
    names = f"{', '.join(OF_SITES)}, genomes, patchsize (did you mean patch_size?)."
    assert line.endswith(f"that Cellquilt does not have; they are ignored: {names}")
    assert line.startswith("WARN: Configuration files set parameters")
