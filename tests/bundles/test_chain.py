"""Small slides that share a process: each has the files of its steps, whatever the others do."""

import json
from collections.abc import Callable, Iterator
from itertools import batched
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.segmentation import expand_labels
from support.steps import write_slide
from system.faults.runs import files_of

from cellquilt import segmenters
from cellquilt.bundles.chain import Settings, chain
from cellquilt.bundles.slide import Slide
from cellquilt.cells import measures
from cellquilt.errors import DataError, SlideError
from cellquilt.labelling.map_store import Destination

# Of QUANTIFY, for every way to the same files
LIMITS = ["--min_nucleus_um2", "30", "--max_cell_um2", "200", "--max_mismatch", "0.1"]
MEASURES = ["--measures", "median,boundary"]
COMPARTMENTS = {"pair": "both", "nuclei": "nuclear", "cells": "whole-cell"}


@pytest.fixture(scope="module")
def networks(repo) -> list[Path]:
    return [repo / "assets" / "networks" / f"{name}.keras" for name in ("whole-cell", "nuclear")]


@pytest.fixture(scope="module")
def slides(tissue_image, tmp_path_factory) -> list[dict]:
    """Return fields of a tissue as chain.py reads them, one of each compartment."""
    folder = tmp_path_factory.mktemp("fields")
    rows = []
    for k, (sample, compartment) in enumerate(COMPARTMENTS.items()):
        field = tissue_image[100 + 60 * k :, 300:][:230, :210]
        path = write_slide(folder / f"{sample}.ome.tif", field, 0.4 + 0.1 * k)
        channels = {"nuclear": "nuclear", "membrane": "membrane"}
        own = {"compartment": compartment, "segmenter": "pixelcnn", "columns": {"donor": k}}
        rows.append({"sample": sample, "images": [str(path)], **channels, **own})
    return rows


@pytest.fixture(scope="module")
def script(bin_script) -> Callable[..., str]:
    """Return a function that runs a script of bin/ in a folder, and gives what it says."""

    def run(name: str, *options: object, folder: Path, given: str = "", code: int = 0) -> str:
        done = bin_script(name, *options, cwd=folder, input=given)
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


@pytest.fixture(scope="module")
def chained(script, networks) -> Callable[..., tuple[dict[str, bytes], str]]:
    """Return a function that runs chain.py over slides in a folder that is made.

    It gives the files of the folder, and what the script says.
    """

    def run(folder: Path, slides: list[dict], *options: object, only=networks, code: int = 0):
        folder.mkdir(parents=True)
        settings = ["--networks", *only, "--left", "left.txt", *LIMITS, *MEASURES]
        given = json.dumps(slides)
        said = script("chain", *settings, *options, folder=folder, given=given, code=code)
        return files_of(folder), said

    return run


@pytest.fixture(scope="module")
def together(chained, slides, tmp_path_factory) -> dict[str, bytes]:
    """Return the files of all slides, which have as many pixels as they may have: 230 x 210."""
    options = ["--to_table", "--max_mpx", "0.0483"]
    return chained(tmp_path_factory.mktemp("chained") / "together", slides, *options)[0]


def of(files: dict[str, bytes], sample: str) -> dict[str, bytes]:
    """Return the files of a sample, with what REPORT reads."""
    heads = f"{sample}/", f"_reports/{sample}/"
    return {path: content for path, content in files.items() if path.startswith(heads)}


def stepwise(script, networks, slide: dict, folder: Path, *grown: str) -> dict[str, bytes]:
    """Do each step of a slide by its own script; STITCH with the options `grown`."""
    sample, compartment = slide["sample"], slide["compartment"]
    own, work = folder / sample, folder / "work"
    work.mkdir(parents=True)

    def step(name: str, *options: object):
        script(name, *options, folder=work)

    channels = ["--nuclear", slide["nuclear"], "--membrane", slide["membrane"]]
    image, pixelcnn = slide["images"][0], ["--segmenter", "pixelcnn"]
    step("ingest", "--sample", sample, "--image", image, *channels, "--outdir", own)
    (own / "normalised.zip").rename(work / "normalised.zip")
    facts = ["--facts", own / "sample.json"]
    step("patch", "--store", "normalised.zip", "--table", "patches.csv")
    wanted = ["--compartment", slide.get("segmented", compartment)]
    given = ["--pixels", "task-00000.pixels.zip", "--networks", *networks, *pixelcnn]
    step("segment", *given, *wanted, "--maps", "maps.zip")
    step("label", "--maps", "maps.zip", *wanted, "--labels", "labels.zip")
    given = [*facts, "--patches", "patches.csv", "--labels", "labels.zip", *pixelcnn]
    step("stitch", *given, "--compartment", compartment, *grown, "--outdir", own)
    masks, counts, pairs = own / "segmentation" / f"pixelcnn-{sample}", [own / "stitch.json"], []
    doubtful = ["--uncertified", own / "uncertified.csv"]
    if compartment == "both":
        both = [masks / f"{name}_original.ome.tif" for name in ("cell", "nucleus")]
        given = ["--cell", both[0], "--nucleus", both[1], *facts, *doubtful, *pixelcnn]
        step("repair", *given, "--outdir", own)
        counts.append(own / "repair_metrics.json")
        pairs = ["--matches", own / "matches.csv"]
    images = ["--masks", *sorted(masks.iterdir())]
    provenance = ["--provenance", own / "provenance.json"]
    columns = ["--columns", json.dumps(slide["columns"]), *pixelcnn]
    patches = ["--patches", own / "patches_metadata.csv"]
    given = ["--image", image, *facts, *provenance, *doubtful, *patches, *images, *pairs, *columns]
    step("quantify", *given, *LIMITS, *MEASURES, "--outdir", own)
    table = own / "quantification" / f"{sample}.parquet"
    given = ["--store", "normalised.zip", "--table", table, *patches, *provenance, *images]
    step("draw", *given, "--counts", *counts, "--outdir", own)
    report = folder / "_reports" / sample
    report.mkdir(parents=True)
    (own / "report.json").rename(report / "report.json")
    return of(files_of(folder), sample)


@pytest.mark.parametrize("sample", COMPARTMENTS)
def test_a_slide_of_a_bundle_has_the_files_of_its_steps(
    script, networks, slides, together, tmp_path, sample
):
    slide = next(slide for slide in slides if slide["sample"] == sample)
    expected = stepwise(script, networks, slide, tmp_path)
    found = of(together, sample)
    assert len(found) > 10 and sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []


def test_cells_that_are_grown_nuclei(script, chained, networks, slides, tmp_path):
    """Of a slide without membrane, by the network for nuclei alone."""
    slide = slides[0] | {"membrane": "", "segmented": "nuclear", "sample": "grown"}
    grown = ["--expand_um", "1.7"]
    options = [*grown, "--to_table"]
    together, _ = chained(tmp_path / "bundle", [slide], *options, only=networks[1:])
    found = of(together, "grown")
    expected = stepwise(script, networks[1:], slide, tmp_path / "steps", *grown)
    assert sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []
    masks = tmp_path / "bundle" / "grown" / "segmentation" / "pixelcnn-grown"
    nuclei = tifffile.imread(masks / "nucleus_original.ome.tif")
    cells = tifffile.imread(masks / "cell_original.ome.tif")
    assert np.array_equal(cells, expand_labels(nuclei, 1.7 / 0.4)) and nuclei.max() > 20
    metrics = json.loads(found["grown/repair_metrics.json"])
    assert metrics["n_matched"] == metrics["n_cells"] == metrics["n_nuclei"] == nuclei.max()
    report = json.loads(found["_reports/grown/report.json"])
    assert report["expand_um"] == 1.7
    assert "cells are nuclei grown by 1.7 µm" in found["grown/report.html"].decode()

    # Those of a region of interest are the whole slide's, and as sure
    square = [[60, 50], [150, 50], [150, 160], [60, 160], [60, 50]]
    region = tmp_path / "roi.geojson"
    region.write_text(json.dumps({"type": "Polygon", "coordinates": [square]}))
    part = slide | {"sample": "part", "roi": str(region)}
    chained(tmp_path / "part", [part], *grown, only=networks[1:])
    inside = tifffile.imread(
        tmp_path / "part" / "part" / "segmentation" / "pixelcnn-part" / "cell.ome.tif"
    )
    whole = tifffile.imread(masks / "cell.ome.tif")
    kept = np.unique(whole[inside > 0])
    assert 5 < len(kept) == inside.max() < whole.max() and kept[0] > 0
    assert np.array_equal(inside > 0, np.isin(whole, kept))
    matches = pd.read_csv(tmp_path / "part" / "part" / "matches.csv")
    assert matches["cell_certified"].all() and set(matches["roi"]) == {"region 1"}


def test_nothing_else_is_left_behind(together):
    assert {path.split("/")[0] for path in together} == {*COMPARTMENTS, "_reports", "left.txt"}
    assert together["left.txt"] == b""


def test_a_slide_alone(chained, slides, together, tmp_path):
    alone, _ = chained(tmp_path / "one", slides[1:2], "--to_table")
    assert of(alone, "nuclei") == of(together, "nuclei")


def test_masks_are_the_end_unless_tables_are_asked_for(chained, slides, together, tmp_path):
    found, _ = chained(tmp_path / "masks", slides[:1])
    later = {"quantification/pair.parquet", "overlay.png", "report.html", "summary.json"}
    expected = {
        path: content
        for path, content in of(together, "pair").items()
        if path.startswith("pair/") and path.removeprefix("pair/") not in later
    }
    assert of(found, "pair") == expected


def test_a_refused_slide_is_named_and_the_others_are_as_without_it_in_any_order(
    chained, slides, together, tmp_path
):
    wrong = slides[0] | {"sample": "wrong", "membrane": "CD45"}
    given = [wrong, *slides[::-1]]
    options = ["--to_table", "--refusals", "_refused"]
    found, said = chained(tmp_path / "kept", given, *options)
    (refused,) = [path for path in found if path.startswith("_refused/")]
    assert refused == "_refused/INGEST/wrong.txt"
    assert "pair.ome.tif: no membrane channel 'CD45'; give" in found[refused].decode()
    assert of(found, "wrong") == {} and "refused: " in said
    del found[refused]
    assert found == together
    found, said = chained(tmp_path / "fast", given, "--to_table", code=65)
    assert "ERROR: " in said and "no membrane channel 'CD45'" in said


def test_the_path_that_a_slide_is_staged_at_is_not_shown(script, networks, slides, tmp_path):
    where = tmp_path / "staged"
    image = where / "_slides" / "1" / "pair.ome.tif"
    image.parent.mkdir(parents=True)
    image.symlink_to(slides[0]["images"][0])
    wrong = slides[0] | {"images": ["_slides/1/pair.ome.tif"], "nuclear": "HH3"}
    given = ["--networks", *networks, "--left", "left.txt"]
    said = script("chain", *given, folder=where, given=json.dumps([wrong]), code=65)
    assert "ERROR: pair.ome.tif: no nuclear channel 'HH3'; give --nuclear" in said


def test_a_slide_of_too_many_pixels_is_left(chained, slides, together, tmp_path):
    assert of(together, "pair") and together["left.txt"] == b""
    found, said = chained(tmp_path / "y", slides[:1], "--max_mpx", "0.0482")
    assert found == {"left.txt": b"pair\n"} and "pair has too many pixels" in said


@pytest.mark.parametrize("given", ["", "{}", "[1]", '[{"sample": "a"}]', '[{"samples": "a"}]'])
def test_an_input_that_names_no_slides_is_refused(script, networks, tmp_path, given):
    options = ["--networks", *networks, "--left", "left.txt"]
    said = script("chain", *options, folder=tmp_path, given=given, code=65)
    assert "ERROR: standard input: has no slides as JSON (" in said


@pytest.fixture(scope="module")
def runner(networks) -> Iterator[segmenters.Runner]:
    """Return the pixel classifiers, loaded."""
    with pytest.MonkeyPatch.context() as patch:
        # TensorFlow takes a number of threads before it is first used alone, maybe by another test
        patch.setattr("cellquilt.networks.tile_network.select_device", lambda *_: "cpu")
        yield segmenters.load("pixelcnn", segmenters.Settings(networks, "cpu", 2))


class Failing:
    """A segmenter that fails on a sample, and else is the real one."""

    def __init__(self, runner: segmenters.Runner, error: Exception):
        self.runner, self.error, self.n_calls = runner, error, 0

    def segment(self, pixels: Path, compartment: str, destination: Destination) -> None:
        self.n_calls += 1
        if self.n_calls == 2:
            raise self.error
        self.runner.segment(pixels, compartment, destination)


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of the code"), MemoryError(), OSError(2, "gone"), SlideError()]
)
def test_an_error_that_is_not_the_runs_leaves_the_other_slides_as_they_are(
    runner, slides, together, tmp_path, monkeypatch, error
):
    monkeypatch.chdir(tmp_path)
    failing, refused = Failing(runner, error), []
    rows = [Slide(**slide | {"images": [Path(slide["images"][0])]}) for slide in slides]
    limits = {name.removeprefix("--"): float(n) for name, n in batched(LIMITS, 2, strict=True)}
    settings = Settings(limits=limits, measures=measures.parse(MEASURES[1]))
    left = chain(rows, settings, lambda _: failing, Path(), lambda *found: refused.append(found))
    found = files_of(tmp_path)
    for sample in ("pair", "cells"):
        assert of(found, sample) == of(together, sample)
    if isinstance(error, SlideError):  # as of its own task: what the steps before gave stays
        assert left == [] and [found[:2] for found in refused] == [("nuclei", "SEGMENT")]
        assert list(of(found, "nuclei")) == ["nuclei/sample.json"]
    else:
        assert left == ["nuclei"] and refused == [] and of(found, "nuclei") == {}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), DataError("the model")])
def test_an_error_of_the_run_ends_it(networks, slides, tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    rows = [Slide(**slide | {"images": [Path(slide["images"][0])]}) for slide in slides]

    def load(_):
        raise error

    with pytest.raises(type(error)):
        chain(rows, Settings(), load, Path(), lambda *_: None)


def test_mesmer_gives_a_slide_of_a_bundle_what_it_gives_alone(
    script, mesmer_model, codex_image, tmp_path
):
    rows = []
    for name, size in {"a": 250, "b": 210}.items():
        path = write_slide(tmp_path / f"{name}.ome.tif", codex_image[200:][:size, :size], 0.5)
        channels = {"nuclear": "nuclear", "membrane": "membrane"}
        rows.append({"sample": name, "images": [str(path)], **channels})
    found = {}
    for name, given in {"both": rows, "alone": rows[1:]}.items():
        (tmp_path / name).mkdir()
        options = ["--networks", mesmer_model, "--left", "left.txt"]
        script("chain", *options, folder=tmp_path / name, given=json.dumps(given))
        found[name] = of(files_of(tmp_path / name), "b")
    assert len(found["both"]) > 10 and found["both"] == found["alone"]
    assert np.frombuffer(found["both"]["b/matches.csv"], np.uint8).size > 1000
