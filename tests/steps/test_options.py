"""What the workflows make of what a user gives: parameters, samplesheets, files of architectures.

Nextflow takes long to start, so that calls.nf looks at many sets of parameters in one run.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.parameters import SEGMENT, TRAIN
from support.parsers import V1

SLIDES = "sample,image,nuclear,membrane,image_mpp\n"
EXAMPLES = "sample,image,labels,split,nuclear,membrane,image_mpp\n"
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

NETWORKS = Path(__file__).resolve().parents[2] / "assets" / "networks"
CLASSIFIER, UNET = NETWORKS / "nuclear.keras", NETWORKS / "unet" / "nuclei.keras"
NETWORK = SEGMENT | {"image": "{folder}/a.tif", "nuclear": "0", "segmenter": "network"}

# Parameters that do not go together, or name what is not there, and what is said of each. The
# files are in a folder that is put for {folder}
APART = {
    "nothing to segment": (SEGMENT | {"nuclear": "0"}, "Give one of --input samplesheet.csv, --im"),
    "no channel": (SEGMENT | {"image": "{folder}/a.tif"}, "a.tif needs --nuclear"),
    "a registry that is not seen": (
        SEGMENT | {"demo": "true", "registry": "registry.example"},
        "--registry has no effect with NXF_SYNTAX_PARSER=v2 and Nextflow 25.04",
    ),
    "a token that is not seen": (
        SEGMENT | {"demo": "true", "mesmer_source": "deepcell"},
        "--mesmer_source deepcell has no effect with NXF_SYNTAX_PARSER=v2",
    ),
    "no image": (
        SEGMENT | {"image": "no.tif", "nuclear": "0"},
        "--image: image no.tif does not ex",
    ),
    "a mask that nothing takes": (
        SEGMENT | {"image": "{folder}/a.tif", "nuclear": "0", "cell_mask": "{folder}/a.tif"},
        "is for --segmenter masks; add that, or leave it out.",
    ),
    "masks without any": (
        SEGMENT | {"image": "{folder}/a.tif", "nuclear": "0", "segmenter": "pixelcnn,masks"},
        "needs a mask of cells or of nuclei, and none is named; give cell_mask or nucleus_mask.",
    ),
    "thresholds of several segmenters": (
        SEGMENT
        | {"image": "{folder}/a.tif", "nuclear": "0", "segmenter": "pixelcnn,masks"}
        | {"cell_mask": "{folder}/a.tif", "whole_cell_radius": "3"},
        "--whole_cell_radius 3 is of one segmenter, and --segmenter pixelcnn,masks has several;",
    ),
    "a network that nothing runs": (
        SEGMENT | {"image": "{folder}/a.tif", "nuclear": "0", "network": "{folder}"},
        "--network {folder} is for --segmenter network; add that, or leave it out.",
    ),
    "no network is given": (
        NETWORK,
        "--segmenter network needs --network, the folder or .zip of your network",
    ),
    "no network there": (
        NETWORK | {"network": "no"},
        "--network no does not exist; check the path",
    ),
    "a network without a card": (
        NETWORK | {"network": "{folder}"},
        "--network {folder} has no card.json; docs/networks.md says what is in it.",
    ),
    "a slide for a network": (
        NETWORK | {"network": "{folder}/a.tif"},
        "a.tif is no folder or .zip with a card.json that can be read (",
    ),
    "a card without tiles": (
        NETWORK | {"network": "{folder}/bare"},
        "bare has a card.json without tile and stride and outputs, or with something else there;",
    ),
    "a network of nuclei for cells": (
        NETWORK | {"network": "{folder}/net.zip", "membrane": "1"},
        "net.zip: its card has maps of nuclear only, and a is to be segmented as whole-cell, too;"
        " add --compartment nuclear, or --expand_um, which makes cells of nuclei.",
    ),
    "a mask of many slides": (
        SEGMENT
        | {"input": "{folder}/a.tif", "segmenter": "masks", "nucleus_mask": "{folder}/a.tif"},
        "--nucleus_mask {folder}/a.tif is for --image: of the slides of --input, it is the column"
        " nucleus_mask of the samplesheet; leave it out.",
    ),
    "a name of many slides": (
        SEGMENT | {"input": "{folder}/a.tif", "nuclear": "0", "sample": "a"},
        "--sample a is for --image: of the slides of --input, it is the column sample of the",
    ),
    "labels of many slides": (
        TRAIN | {"input": "{folder}/a.tif", "labels": "{folder}/[l].tif"},
        "[l].tif is for --image: of the slides of --input, it is the column labels of the",
    ),
    "no such segmenter": (
        SEGMENT | {"image": "{folder}/a.tif", "nuclear": "0", "segmenter": "mesmer,cellpose"},
        "--segmenter mesmer,cellpose: must be ",
    ),
    "no labels": (TRAIN | {"image": "{folder}/a.tif", "nuclear": "0"}, "needs --labels"),
    "two compartments": (
        TRAIN
        | {"image": "{folder}/a.tif", "labels": "{folder}/[l].tif", "nuclear": "0"}
        | {"compartment": "both"},
        "needs --compartment whole-cell or --compartment nuclear",
    ),
    "no such architecture": (
        TRAIN | {"demo": "true", "architectures": "refrence"},
        "there is no such architecture",
    ),
    "no file of architectures": (
        TRAIN | {"demo": "true", "architecture_file": "no.yaml"},
        "no.yaml does not exist; check the path",
    ),
    "no network": (
        SEGMENT | {"demo": "true", "models": "no.keras"},
        "--models no.keras does not exi",
    ),
    "a network of a segmenter that is not asked for": (
        SEGMENT | {"demo": "true", "models": "{folder}/unet.keras"},
        "--models {folder}/unet.keras: is for --segmenter nuclei, by its card; add that, or leave",
    ),
    "a pixel classifier for nuclei": (
        SEGMENT
        | {"demo": "true", "segmenter": "nuclei", "compartment": "nuclear"}
        | {"models": "{folder}/classifier.keras"},
        "classifier.keras: is for --segmenter pixelcnn, by its card; add that, or leave it out.",
    ),
    "two networks for nuclei": (
        SEGMENT
        | {"demo": "true", "segmenter": "nuclei,pixelcnn"}
        | {"models": "{folder}/unet.keras,{folder}/of/other.keras,{folder}/classifier.keras"},
        "/of/other.keras: --segmenter nuclei runs one network; give one of them.",
    ),
    "networks for no segmenter that takes them": (
        NETWORK | {"network": "{folder}/net.zip", "models": "{folder}/unet.keras"},
        "unet.keras is for --segmenter pixelcnn or nuclei; add that, or leave it out.",
    ),
    "a network for nuclei to be trained on cells": (
        TRAIN
        | {"demo": "true", "compartment": "whole-cell", "architectures": "compact,unet,unet-new"},
        "--architectures unet,unet-new: finds nuclei; give labels of nuclei with --compartment nuc",
    ),
    "two networks of a name": (
        SEGMENT | {"demo": "true", "models": "{folder}/a.keras,{folder}/of/a.keras"},
        "2 files are called a.keras",
    ),
    "of the other segmenter": (
        SEGMENT | {"demo": "true", "xla": "true"},
        "are for --segmenter mesmer",
    ),
    "minimum above maximum": (
        SEGMENT | {"demo": "true", "min_cell_um2": "1e2", "max_cell_um2": "99.5"},
        "--min_cell_um2 1E+2 is above --max_cell_um2 99.5, so that every cell would be flagged;",
    ),
    "minimum above maximum, of nuclei": (
        SEGMENT | {"demo": "true", "min_nucleus_um2": "9", "max_nucleus_um2": "0"},
        "--min_nucleus_um2 9 is above --max_nucleus_um2 0, so that every nucleus would be flagged",
    ),
    "a negative area": (
        SEGMENT | {"demo": "true", "max_nucleus_um2": "-1"},
        "--max_nucleus_um2 -1: must be at least 0. Flag larger nuclei",
    ),
    "grown nuclei alone": (
        SEGMENT | {"demo": "true", "expand_um": "4", "compartment": "nuclear"},
        "--expand_um 4 makes whole cells of nuclei, so that there are both; leave out --compartment"
        " nuclear, or --expand_um.",
    ),
    "cells of the network for nuclei": (
        SEGMENT | {"demo": "true", "segmenter": "nuclei"},
        "--segmenter nuclei finds nuclei, and whole cells are asked for; add --expand_um with a",
    ),
    "cells of the network for nuclei, beside others": (
        SEGMENT | {"demo": "true", "segmenter": "pixelcnn,nuclei", "compartment": "whole-cell"},
        "--segmenter nuclei finds nuclei, and whole cells are asked for; add --expand_um with a",
    ),
    "an image without a format for it": (
        SEGMENT | {"demo": "true", "export_image": "all", "formats": "csv,h5ad"},
        "--export_image all is for formats with images; add ome-zarr, spatialdata or viewer to"
        " --formats, or leave it out.",
    ),
    "grown too far": (
        SEGMENT | {"demo": "true", "expand_um": "51"},
        "--expand_um 51: must be at most 50. Make cells of nuclei",
    ),
    "a mismatch above 1": (
        SEGMENT | {"demo": "true", "max_mismatch": "1.01"},
        "--max_mismatch 1.01: must be at most 1. Flag cells of which",
    ),
    "a measure that is none": (
        SEGMENT | {"demo": "true", "measures": "mean,meadian,sum"},
        "must be a list of mean, median, std, p90, max, sum, boundary, and meadian is none of them;"
        " did you mean median?",
    ),
    "an area in words": (
        SEGMENT | {"demo": "true", "min_cell_um2": "small"},
        "--min_cell_um2 small: must be a number. Flag smaller cells",
    ),
    "cells to export of no kind": (
        SEGMENT | {"demo": "true", "export_cells": "flagged"},
        "--export_cells flagged: must be one of matched, unflagged, all. Cells to export",
    ),
    "a plane of no form": (
        SEGMENT | {"demo": "true", "z": "all"},
        "--z all: must be of the form (0|[1-9][0-9]*|max|mean). Plane of a z-stack, from 0, or max",
    ),
    "no file of markers": (
        SEGMENT | {"demo": "true", "markers": "no.csv"},
        "--markers no.csv does not exist; check the path",
    ),
    "no file of regions": (
        SEGMENT | {"image": "a.tif", "nuclear": "0", "roi": "no.geojson"},
        "--roi no.geojson does not exist; check the path",
    ),
    "regions of the demo": (
        SEGMENT | {"demo": "true", "roi": "a.geojson"},
        "--roi a.geojson is for your own slides, to segment them; leave it out.",
    ),
    "an axis of no channels": (
        SEGMENT | {"demo": "true", "channels_axis": "X"},
        "--channels_axis X: must be one of C, Z, T. Axis along which the channels lie",
    ),
    "a pattern without quotes": (
        SEGMENT
        | {"image": "{folder}/a.tif", "nuclear": "0"}
        | {
            "commandLine": "nextflow run . --image {folder}/a.tif {folder}/b.tif '{folder}/c d.tif'"
        },
        "a.tif: {folder}/b.tif, {folder}/c d.tif would not be read; put a pattern in quotes, as",
    ),
    "of another mode": (SEGMENT | {"mode": "benchmark", "demo": "true"}, "measures Mesmer"),
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
def folder(tmp_path_factory) -> Path:
    """Return a folder with empty files: existence is all that is asked of them."""
    path = tmp_path_factory.mktemp("sheets")
    (path / "of").mkdir()
    for name in ("a.tif", "[l].tif", "a.keras", "of/a.keras"):
        (path / name).touch()
    for name, network in (("classifier", CLASSIFIER), ("unet", UNET), ("of/other", UNET)):
        shutil.copy(network, path / f"{name}.keras")
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
    examples = "a,a.tif,[l].tif,,0,,\nb,a.tif,[l].tif,test,0,CD45,5\n"
    wrong = "a,a.tif,,train,0,,9\nb,a.tif,b.tif,,,,\n"
    for_test = "a,a.tif,[l].tif,test,0,,\n"
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
        | {"demo": "true", **dict.fromkeys(OF_SITES, "x"), "genomes": {"a": {"fasta": "b"}}}
        | {"patchsize": 5, "commandLine": "nextflow run . -c 'my site.config' --demo"},
        "grown": SEGMENT | {"image": str(folder / "a.tif"), "nuclear": "0", "expand_um": "4.5"},
        "limits": SEGMENT
        | {"demo": "true", "max_mismatch": "1", "min_cell_um2": "0", "max_nucleus_um2": "30.5"}
        | {"min_nucleus_um2": "30.5", "max_cell_um2": "", "export_cells": "unflagged"}
        | {"measures": "median, boundary,p90"},
        "typed": TRAIN
        | {"demo": "true", "xla": "false", "halo": "96", "learning_rate": "1e-3", "z": ""}
        | {"architectures": "compact,conv5,compact", "seeds": "2,01,2", "t": None},
    }
    for kind, (given, _) in APART.items():
        named = {key: value.replace("{folder}", str(folder)) for key, value in given.items()}
        sets[f"apart: {kind}"] = named
    for number, (kind, (text, _)) in enumerate(TABLES.items()):
        path = folder / f"table{number}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        own = {"architectures": "compact,mine", "architecture_file": str(path)}
        sets[kind] = TRAIN | {"demo": "true"} | own
    # Where a file of that name is beside the samplesheet, a parameter's path still counts from here
    (folder / "defaults").mkdir()
    (folder / "defaults" / "a.keras").touch()
    header = f"sample,image,{','.join(BOTH_WAYS)}\n"
    given = {name: values[0] for name, values in BOTH_WAYS.items()}
    files = {name: tuple(folder / path for path in BOTH_WAYS[name]) for name in ("markers", "roi")}
    columns = (BOTH_WAYS | files).values()
    first, second = (",".join(map(str, values)) for values in zip(*columns, strict=True))
    image = folder / "a.tif"
    for kind, text in {
        "columns": f"{header}a,{image},{first}\nb,{image},{second}\n",
        "parameters": f"sample,image\na,{image}\n",
        "both": f"{header}a,{image}{',' * len(BOTH_WAYS)}\nb,{image},{second}\n",
    }.items():
        own = {} if kind == "columns" else given
        sets[f"defaults: {kind}"] = SEGMENT | own | sheet(f"defaults/{kind}.csv", text)
    text = f"sample,image,labels\na,{image},{image}\n"
    shared = {name: given[name] for name in ("nuclear", "membrane")}
    sets["defaults: examples"] = TRAIN | shared | sheet("defaults/examples.csv", text)
    (folder / "bare").mkdir()
    (folder / "bare" / "card.json").write_text('{"tile": "320"}')
    for side, stride in ((320, 240), (256, 192)):
        said = {"tile": side, "stride": stride, "outputs": {"nuclear": {}}}
        with zipfile.ZipFile(folder / ("net.zip" if side == 320 else "plain.zip"), "w") as archive:
            archive.writestr("net/card.json", json.dumps(said))
    given = {"image": str(folder / "a.tif"), "nuclear": "0", "membrane": "1"}
    given |= {"segmenter": "pixelcnn,network", "compartment": "nuclear"}
    for name in ("net", "plain"):
        sets[name] = SEGMENT | given | {"network": str(folder / f"{name}.zip")}
    return look(folder, sets | sheets_in(folder))


def test_results_of_a_network_have_its_tiles(results):
    """Where they are Mesmer's, they have what others have, with which they share their patches."""
    for name, tiles in {"net": {"tile": 320, "stride": 240}, "plain": {}}.items():
        ((meta, _),) = results[name]["slides"]
        other, network = meta["results"]
        assert {key: network[key] for key in ("tile", "stride") if key in network} == tiles
        assert network["segmenter"] == "network" and "tile" not in other


def test_slides_have_the_values_of_their_rows(results, folder):
    """A slide without a size has that of --image_mpp."""
    image = str(folder / "a.tif")
    first, second = results["slides"]["slides"]
    shared = {"segmenter": "pixelcnn"}
    nuclei = {"id": "a", "nuclear": "0", "membrane": "", "image_mpp": 0.5, "compartment": "nuclear"}
    both = {"id": "b", "nuclear": "DAPI", "membrane": "CD45;2", "image_mpp": 0.45}
    assert first == [nuclei | shared, [image]]
    assert second == [both | {"compartment": "both"} | shared, [image]]
    assert [meta["id"] for meta, _ in results["one image"]["slides"]] == ["a"]
    warning = "no membrane channel is named: nuclear segmentation only."
    places = re.findall(rf"WARN: (.+): {warning}$", results["log"], re.MULTILINE)
    # what is from there on is of sheets_in
    assert places[: places.index("sheet0.csv, row 3")] == ["slides.csv, row 2", "--image"]


# Parameters that are columns too: two values of each, as typed
BOTH_WAYS = {"nuclear": ("DNA1;DNA2", "0"), "membrane": ("CD45", "PanCK"), "z": ("max", "0")}
BOTH_WAYS |= {"image_mpp": ("0.25", "1"), "t": ("2", "0"), "scene": ("Series 1", "0")}
BOTH_WAYS |= dict.fromkeys(("markers", "roi"), ("a.keras", "[l].tif"))


def test_the_table_of_columns_has_the_parameters_that_are_their_defaults(repo):
    """Those of one slide alone are refused beside a samplesheet, see APART."""
    sheet = json.loads((repo / "assets" / "schema_input.json").read_text())
    groups = json.loads((repo / "nextflow_schema.json").read_text())["$defs"].values()
    known = {name for group in groups for name in group["properties"]}
    both = [name for name in sheet["items"]["properties"] if name in known]
    of_one = {"sample", "image", "labels", "cell_mask", "nucleus_mask"}
    assert sheet["parameters"] == [name for name in both if name not in of_one]
    assert sheet["parameters"] == sorted(BOTH_WAYS, key=both.index)


@pytest.mark.parametrize("number", [0, 1])
def test_a_parameter_is_the_default_of_its_column(results, folder, number):
    """Whether the column is missing, or empty in a row; a value in it counts before."""
    slides = {name: results[f"defaults: {name}"] for name in ("columns", "parameters", "both")}
    expected = slides["columns"]["slides"][number], [*slides["columns"]["extras"].values()][number]
    meta, extras = expected[0][0], expected[1]
    assert [str(meta[key]) for key in ("nuclear", "membrane", "z", "t", "scene", "image_mpp")] == [
        BOTH_WAYS[key][number] for key in ("nuclear", "membrane", "z", "t", "scene", "image_mpp")
    ]
    assert {Path(extras[key]).name for key in ("markers", "roi")} == {BOTH_WAYS["roi"][number]}
    assert meta["compartment"] == "both"
    found = slides["both"]
    assert (found["slides"][number], [*found["extras"].values()][number]) == expected
    if number == 0:
        found = slides["parameters"]
        assert (found["slides"][0], found["extras"]["a"]) == expected
        warned = [line for line in results["log"].splitlines() if "no membrane channel" in line]
        assert not any("defaults" in line for line in warned)


def test_a_parameter_is_the_default_of_examples_too(results):
    ((meta, *_),) = results["defaults: examples"]["slides"]
    assert (meta["nuclear"], meta["membrane"]) == ("DNA1;DNA2", "CD45")


def test_without_membrane_cells_may_be_grown_nuclei(results, folder):
    """How far is not in meta, so that another distance repeats no task of the network."""
    (found,) = results["grown"]["slides"]
    meta = {"id": "a", "nuclear": "0", "membrane": "", "image_mpp": 0.5, "segmenter": "pixelcnn"}
    assert found == [
        meta | {"compartment": "both", "segmented": "nuclear"},
        [str(folder / "a.tif")],
    ]
    assert results["grown"]["options"]["expand_um"] == 4.5


def test_a_pixel_size_outside_the_schemas_range_is_refused(results):
    assert results["sizes"]["refused"] == [
        f"sizes.csv, row 2: image_mpp '50' is not at most 5. {SIZE}",
        f"sizes.csv, row 3: image_mpp '0' is not at least 0.05. {SIZE}",
        f"sizes.csv, row 4: image_mpp 'half' is not a number. {SIZE}",
    ]


def test_examples_have_labels_and_a_split(results, folder):
    first, second = results["examples"]["slides"]
    assert first[1:] == second[1:] == [[str(folder / "a.tif")], str(folder / "[l].tif")]
    assert (first[0]["split"], second[0]["split"]) == ("train", "test")
    no_labels, size, no_file, no_channel = results["no labels"]["refused"]
    assert no_labels.startswith("wrong.csv, row 2: no label image is named. Label image of the")
    assert size == f"wrong.csv, row 2: image_mpp '9' is not at most 5. {SIZE}"
    assert no_file.startswith("wrong.csv, row 3: labels b.tif does not exist; check the path")
    assert no_channel.startswith("wrong.csv, row 3: no nuclear channel is named; fill in")
    (refused,) = results["all for the test"]["refused"]
    assert "no row has split 'train'" in refused


def test_columns_of_another_mode_are_refused(results):
    assert results["examples to segment"]["refused"] == [
        f"examples.csv: column {name} is for --mode train; add that, or leave it out."
        for name in ("labels", "split")
    ]


# As spreadsheets and people write the same two slides
WRITTEN = {
    "commas": SLIDES + "a,a.tif,0,1;2,0.325\nb,a.tif,α,,\n",
    "semicolons": "SAMPLE;a.tif;0;'1;2';0,325\nb;a.tif;α;;\n",
    "tabs": "SAMPLE\ta.tif\t0\t1;2\t0,325\nb\ta.tif\tα\t\t\n",
    "decimal points with semicolons": "SAMPLE;a.tif;0;'1;2';.325\nb;a.tif;α\n",
    "a line that names the separator": "sep=;\nSAMPLE;a.tif;0;'1;2';0,325\nb;a.tif;α;;\n",
    "that line in quotes": "'sep=,',,,,\nSAMPLE,a.tif,0,1;2,0.325\nb,a.tif,α,,\n",
    "another separator": "SEP=|\nSAMPLE|a.tif|0|1;2|0,325\nb|a.tif|α||\n",
    "quotes": "'sample', 'image','nuclear' ,'membrane','image_mpp'\n"
    "'a',\"a.tif\",'0', '1;2' ,0.325\n'b',a.tif,'α','',''\n",
    "empty columns": SLIDES.strip() + ",,\na,a.tif,0,1;2,0.325,,,\nb,a.tif,α,,, ,\n",
    "an empty column between": SLIDES.replace("nuclear", ",nuclear")
    + "a,a.tif,,0,1;2,0.325\nb,a.tif,,α,\n",
    "an empty column with a name": SLIDES.strip() + ",stage\na,a.tif,0,1;2,0.325,\nb,a.tif,α\n",
    "empty rows": "\n,,\n" + SLIDES + "\n\na,a.tif,0,1;2,0.325\n , ,,\nb,a.tif,α,,\n,,,,\n,,,,\n",
    "no line end": SLIDES + "a,a.tif,0,1;2,0.325\nb,a.tif,α,,",
    "spaces": SLIDES.replace(",", " , ") + " a, a.tif ,0\u00a0,1;2,0.325\nb,a.tif,α, ,\n",
}
LINE_ENDS = {"": "\n", ", CRLF": "\r\n", ", CR": "\r"}
ENCODINGS = {"": "utf-8", ", with BOM": "utf-8-sig", ", UTF-16": "utf-16"}


def sheets_in(folder: Path) -> dict[str, dict]:
    """Return parameters with samplesheets that are written in many ways, or wrong in one."""
    sets: dict[str, dict] = {}

    def add(kind: str, content: bytes, given: dict) -> None:
        path = folder / f"sheet{len(sets)}.csv"
        path.write_bytes(content)
        sets[kind] = given | {"input": str(path)}

    for kind, text in WRITTEN.items():
        text = re.sub("(?m)^SAMPLE(.)", lambda m: SLIDES.replace(",", m[1]) + f"a{m[1]}", text)
        text = text.replace("'", '"')
        for ends, line_end in LINE_ENDS.items():
            for encoding, name in ENCODINGS.items():
                content = text.replace("\n", line_end).encode(name)
                add(kind + ends + encoding, content, SEGMENT)
    for kind, (text, _) in WRONG_SHEETS.items():
        add(kind, text if isinstance(text, bytes) else text.encode(), SEGMENT)
    add("own columns", OWN.encode(), SEGMENT)
    add("own columns, semicolons", OWN_SEMICOLONS.encode(), SEGMENT)
    add("own columns to train", TRAIN_OWN.encode(), TRAIN)
    for name in UNSTAGEABLE | {"a1.tif"}:
        (folder / name).touch()
    rows = [f'n{n},"{name}",0\n' for n, name in enumerate(UNSTAGEABLE)]
    add("names that cannot be staged", ("sample,image,nuclear\n" + "".join(rows)).encode(), SEGMENT)
    for name in STAGEABLE:
        (folder / name).touch()
        quoted = name.replace('"', '""')
        add(f"staged: {name}", f'sample,image,nuclear\na,"{quoted}",0\n'.encode(), SEGMENT)
        sets[f"image: {name}"] = SEGMENT | {"image": str(folder / name), "nuclear": "0"}
    sets["a folder"] = SEGMENT | {"input": str(folder)}
    sets["nowhere"] = SEGMENT | {"input": "nowhere://bucket/sheet.csv"}
    return {f"sheet: {kind}": given for kind, given in sets.items()}


UNSTAGEABLE = {"$HOME.tif", "a?.tif", "*.tif", "{a,b}.tif", "{1..3}.tif", "a\tb.tif", "a\nb.tif"}
UNSTAGEABLE |= {"a[1].tif", "${x}.tif"}
STAGEABLE = (
    "-dash.tif",
    "a b'c.tif",
    'q"x.tif',
    "(1);&|.tif",
    "t_[12,45].tif",
    "{a}.tif",
    "back\\.tif",
)
STAGEABLE += ("slide", "slide.lsm", "#x.tif", "~.tif", "ünï α.tif")

OWN = (
    SLIDES.strip()
    + ",patient,id,stage,age,Größe (mm),none,weight\n"
    + "a,a.tif,0,1,,1,007,II,54,1.5,,1.5\nb,a.tif,0,1,,2,008,,,2,,'2,5'\n".replace("'", '"')
)
OWN_SEMICOLONS = "sample;image;nuclear;dose;note\na;a.tif;0;1,5;1,5\nb;a.tif;0;2;'x;\ny'\n"
OWN_SEMICOLONS = OWN_SEMICOLONS.replace("'", '"')
TRAIN_OWN = "sample,image,labels,nuclear,patient,area\na,a.tif,[l].tif,0,7,x\n"

# And what is said of each that is wrong
SHAPE = (
    "a samplesheet has the columns sample,image,nuclear,membrane,image_mpp,z,t,scene,markers,roi,"
    "cell_mask,nucleus_mask"
    " (membrane, image_mpp, z, t, scene, markers, roi, cell_mask, nucleus_mask may be missing),"
    " further ones of your own,"
    " and one row per slide."
)
NO_COLUMN = "no column sample, image, nuclear (or --nuclear for all rows)"
GONE = "does not exist; check the path, and that it can be read from here"
UNIQUE = "every row needs a unique name."
WRONG_SHEETS = {
    "the row of a file": (
        "\n" + SLIDES + '\na,a.tif,0,"x\n\ny",\n,,,,\nb,nothere.tif,0,"1\n2",\nc,a.tif,,,\n',
        [
            f", row 8: image nothere.tif {GONE}.",
            ", row 10: no nuclear channel is named; fill in the column nuclear, or give --nuclear"
            " for all rows where it is empty. Nuclear channel: name (case-insensitive) or 0-based"
            " index; several are separated by ';'; empty for that of --nuclear.",
        ],
    ),
    "more values than columns": (
        "sample,image,nuclear,membrane\nextra,a.tif,a,a/b,α-SMA\n",
        [
            ", row 2: has 5 values for 4 columns: 'α-SMA' is in none. Channels are separated by"
            " ';', and a value with the table's own separator in it needs quotes."
        ],
    ),
    "a value in a column without name": (
        SLIDES.strip() + ",,\na,a.tif,0,1,,,x\n",
        [
            ", row 2: has 7 values for 5 columns: 'x' is in none. Channels are separated by"
            " ';', and a value with the table's own separator in it needs quotes."
        ],
    ),
    "all at once": (
        "sample,image,nuclaer,image_mpp\na,.,0,50\na,nope.tif,0,x\nA,a.tif,0,,1\n"
        "multiqc,a.tif,0,\nReport.html,a.tif,0,\n..,a.tif,0,\nb,nowhere://x/a.tif,0,\n"
        "c,s3://no-such-bucket/a.tif,0,\n",
        [
            f": no column nuclear (or --nuclear for all rows); {SHAPE}",
            ": unknown column nuclaer; did you mean nuclear? A column of your own needs a name"
            " that differs more.",
            ": sample a, A differ only in capitals, which not every disk keeps apart (rows 2, 3,"
            f" 4); {UNIQUE}",
            f", row 2: image_mpp '50' is not at most 5. {SIZE}",
            f", row 3: image nope.tif {GONE}.",
            f", row 3: image_mpp 'x' is not a number. {SIZE}",
            ", row 4: has 5 values for 4 columns: '1' is in none. Channels are separated by ';',"
            " and a value with the table's own separator in it needs quotes.",
            ", row 5: sample 'multiqc' is the name of a file or folder of the run itself; choose"
            " another.",
            ", row 6: sample 'Report.html' is the name of a file or folder of the run itself;"
            " choose another.",
            ", row 7: sample '..': a sample name has letters",
            f", row 8: image nowhere://x/a.tif {GONE} (",
            f", row 9: image s3://no-such-bucket/a.tif {GONE} (",
        ],
    ),
    "names near those of columns": (
        "sample,image,nuclear,Membrane ,mpp,membrane_channels,cell_id,Area,%,Region,sex\n"
        "a,a.tif,0,1,1,1,1,1,1,1,f\n",
        [
            *(
                f": unknown column {name}; did you mean {known}? A column of your own needs a name"
                " that differs more."
                for name, known in (
                    ("Membrane", "membrane"),
                    ("mpp", "image_mpp"),
                    ("membrane_channels", "membrane"),
                )
            ),
            *(
                f": column {name} would be mistaken for one of the results'; rename it, for example"
                f" slide_{other}."
                for name, other in (
                    ("cell_id", "cellid"),
                    ("Area", "area"),
                    ("%", "note"),
                    ("Region", "region"),
                )
            ),
        ],
    ),
    "own columns of nearly one name": (
        "sample,image,nuclear,T/N,t n,nuclear\na,a.tif,0,1,1,1\n",
        [
            ": column nuclear occurs twice; give each once.",
            ": columns T/N, t n have all but the same name; rename one.",
        ],
    ),
    "a file of nearly that name": (
        SLIDES + "a,SLIDE .Lsm,0,,\n",
        [f", row 2: image SLIDE .Lsm {GONE}. Did you mean slide.lsm?"],
    ),
    "a quote that is all": (
        SLIDES + 'a,"a.tif,0,,\n',
        [
            ': row 2: a cell starts with a quote (") that is never closed; close it, or leave it'
            " out."
        ],
    ),
    "control characters": (SLIDES + 'a,"\x1b[2J\nx",0,,\n', [f", row 2: image  [2J x {GONE}."]),
    "empty": ("", [f": no rows, {NO_COLUMN}; {SHAPE}"]),
    "nothing but blank lines": (
        "\r\n\r\n\n",
        [f": no rows, {NO_COLUMN}; {SHAPE}"],
    ),
    "a slide": (b"II*\0" + bytes(range(256)), [": is not text in UTF-8; save it as 'CSV UTF-8'."]),
    "Latin-1": (
        (SLIDES + "a,a.tif,\xe4,,0.5\n").encode("latin-1"),
        [": is not text in UTF-8; save it as 'CSV UTF-8'."],
    ),
    "a quote that is not closed": (
        SLIDES + 'a,a.tif,0,1,\nb,"a.tif,0,,\n',
        [
            ': row 3: a cell starts with a quote (") that is never closed; close it, or leave it'
            " out."
        ],
    ),
    "UTF-16 without mark": (
        SLIDES.encode("utf-16-le"),
        [": is not text in UTF-8; save it as 'CSV UTF-8'."],
    ),
    "a name too long": (f"sample,image,nuclear\n{'x' * 151},a.tif,0\n", [", row 2: sample 'xxx"]),
    "no rows": (SLIDES + ",,,,\n", [f": no rows; {SHAPE}"]),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("ends", LINE_ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_samplesheet_is_read_however_it_is_written(results, kind, ends, encoding):
    slides = [meta for meta, _ in results[f"sheet: {kind}{ends}{encoding}"]["slides"]]
    keys = ("id", "nuclear", "membrane", "image_mpp")
    assert [[meta[key] for key in keys] for meta in slides] == [
        ["a", "0", "1;2", 0.325],
        ["b", "α", "", 0.5],
    ]


@pytest.mark.parametrize("kind", WRONG_SHEETS)
def test_all_that_is_wrong_with_a_samplesheet_is_said_at_once(results, kind):
    refused = results[f"sheet: {kind}"]["refused"]
    expected = WRONG_SHEETS[kind][1]
    assert len(refused) == len(expected), refused
    for message, part in zip(refused, expected, strict=True):
        assert re.fullmatch(rf"sheet\d+\.csv{re.escape(part)}.*", message), message


def test_a_folder_or_a_place_that_cannot_be_read_is_no_samplesheet(results, folder):
    assert results["sheet: a folder"]["refused"] == [f"--input {folder} is a folder; give a file."]
    (nowhere,) = results["sheet: nowhere"]["refused"]
    assert nowhere.startswith(f"--input nowhere://bucket/sheet.csv {GONE} (")


def test_own_columns_are_beside_meta_and_numbers_where_all_are(results):
    found = results["sheet: own columns"]
    assert [row["columns"] for row in found["options"]["rows"]] == [
        {"patient": 1, "id": "007", "stage": "II", "age": 54, "Größe (mm)": 1.5, "weight": "1.5"},
        {"patient": 2, "id": "008", "stage": "", "age": None, "Größe (mm)": 2, "weight": "2,5"},
    ]
    assert "patient" not in found["slides"][0][0]
    found = results["sheet: own columns, semicolons"]
    assert [row["columns"] for row in found["options"]["rows"]] == [
        {"dose": 1.5, "note": "1,5"},
        {"dose": 2, "note": "x;\ny"},
    ]
    assert len(results["sheet: own columns to train"]["slides"]) == 1
    assert ".csv: --mode train ignores the columns patient, area." in results["log"]


def test_names_that_a_shell_would_expand_are_refused(results):
    """Nextflow does not quote these characters where it links a file into a task."""
    refused = results["sheet: names that cannot be staged"]["refused"]
    assert len(refused) == len(UNSTAGEABLE)
    for message in refused:
        assert "; rename the file" in message
        assert "cannot be passed to a task by Nextflow: its path holds" in message or (
            "image a[1].tif cannot be told from a1.tif by Nextflow" in message
        )


@pytest.mark.parametrize("name", STAGEABLE)
def test_other_names_of_files_are_taken(results, name):
    for kind in ("staged", "image"):
        ((meta, (image,)),) = results[f"sheet: {kind}: {name}"]["slides"]
        assert Path(image).name == name
        assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", meta["id"])


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
    slides = "a,a.tif,,CD45,0.9\na,a.tif,,CD45,1\n"
    sets = {
        "slides": SEGMENT | {"registry": "seen"} | sheet("slides.csv", SLIDES + slides),
        "not slides": SEGMENT | sheet("other.csv", SLIDES + "A,none.tif,,CD45,2\nb,none.tif,,,\n"),
        "examples": TRAIN | sheet("examples.csv", header + "1,a,CD45,train\n2,a,CD45,\n"),
        "not examples": TRAIN
        | sheet("more.csv", header + "1,a,CD45,never\nx,a,CD45,later\n1,a,CD45,\n"),
        "no scanner": TRAIN | sheet("none.csv", EXAMPLES + "a,none.tif,,,0,CD45,\n"),
    }
    found = look(folder, sets, schema, **V1)
    assert [meta["image_mpp"] for meta, _ in found["slides"]["slides"]] == [0.9, 1]
    assert found["not slides"]["refused"] == [
        "other.csv, row 2: sample 'A' is not of the form [a-z]+. Small letters.",
        f"other.csv, row 2: image_mpp '2' is not at most 1. {SIZE}",
        "other.csv, row 3: no membrane channel is named; fill in the column membrane, or give"
        f" --membrane for all rows where it is empty. {columns['membrane']['description']}.",
    ]
    assert [meta["split"] for meta, *_ in found["examples"]["slides"]] == ["train", "test"]
    assert found["not examples"]["refused"] == [
        "more.csv: scanner 1 occurs 2 times (rows 2, 4); every row needs a unique name.",
        "more.csv, row 2: split 'never': must be train or test, or empty for train.",
        "more.csv, row 3: scanner 'x' is not a whole number. Its number.",
    ]
    (refused,) = found["no scanner"]["refused"]
    elsewhere = ("roi", "cell_mask", "nucleus_mask")
    known = ",".join(name for name in columns if name not in elsewhere)
    assert f"no column scanner; a samplesheet has the columns {known}" in refused


def test_parameters_are_typed_once(results):
    options = results["typed"]["options"]
    assert (options["demo"], options["xla"], options["halo"]) == (True, False, 96)
    assert options["learning_rate"] == 0.001
    assert options["z"] is options["t"] is None
    assert (options["architectures"], options["seeds"]) == (["compact", "conv5"], [2, 1])


def test_limits_of_flags_may_be_at_their_ends(results):
    options = results["limits"]["options"]
    names = ("max_mismatch", "min_cell_um2", "max_cell_um2", "min_nucleus_um2", "max_nucleus_um2")
    assert [options[name] for name in names] == [1, 0, None, 30.5, 30.5]
    assert options["export_cells"] == "unflagged"
    assert options["measures"] == ["median", "boundary", "p90"]


@pytest.mark.parametrize("kind", APART)
def test_what_cannot_be_is_refused(results, kind, folder):
    (refused,) = results[f"apart: {kind}"]["refused"]
    assert APART[kind][1].replace("{folder}", str(folder)) in refused


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
    assert image.startswith("--image {path=a.tif}: must be a single value. One slide")
    assert membrane.startswith("--membrane [CD45, PanCK]: must be a single value. Membrane")
    assert table.startswith("--input {seed=1}: must be a single value.")


def test_names_of_configuration_files_give_one_warning(results):
    assert "refused" not in results["of a site"]
    (line,) = re.findall("^.*config_profile_name.*$", results["log"], re.MULTILINE)
    names = f"{', '.join(OF_SITES)}, genomes, patchsize (did you mean patch_size?)."
    assert line.endswith(f"that Cellquilt does not have; they are ignored: {names}")
    assert line.startswith("WARN: Configuration files set parameters")
