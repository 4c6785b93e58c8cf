"""A network with a card beside masks of one's own: Nextflow's steps, and the same in a bundle."""

import json

import numpy as np
import pytest
import tifffile
from support.steps import write_slide
from support.toys import write_toy

from cellquilt.synthetic.tissue import generate_tissue

TILES = {"tile": 160, "stride": 128}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a slide, a mask of its nuclei, and a network."""
    folder = tmp_path_factory.mktemp("network")
    tissue = generate_tissue(250, 300, seed=3, empty_width=0)
    write_slide(folder / "slide.ome.tif", np.moveaxis(tissue.image[[0, 2]], 0, -1))
    tifffile.imwrite(folder / "nuclei.tif", tissue.nucleus_truth.astype(np.uint16))
    write_toy(folder / "net", **TILES)
    return folder


@pytest.fixture(scope="module")
def steps(nextflow, folder):
    """Return the results of separate steps, cut into many patches, and what the run said."""
    slide = ["--image", "slide.ome.tif", "--nuclear", "nuclear", "--nucleus_mask", "nuclei.tif"]
    cut = ["--bundle_slides", "0", "--patch_size", "192", "--patches_per_task", "1"]
    options = ["--segmenter", "masks,network", "--network", "net", "--compartment", "nuclear"]
    done = nextflow(*slide, *cut, *options, "--formats", "none", folder=folder, accept=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results", done.stdout


def test_each_lattice_is_cut_once_and_the_network_is_looked_at_first(steps):
    results, said = steps
    for step, n in {"INGEST": 1, "PATCH": 2, "STITCH": 1, "ADOPT": 1}.items():
        assert said.count(f"Submitted process > SEGMENTATION:MASKS:{step} ") == n, step
    assert said.count("SEGMENTATION:NETWORK") == 1
    assert said.count("MAPS:INFER") > 1
    assert (results / "slide" / "comparison.html").exists()
    provenance = json.loads((results / "slide-network" / "provenance.json").read_text())
    assert {key: provenance["model"][key] for key in TILES} == TILES


def test_a_bundle_of_one_patch_gives_the_same_masks(bin_script, folder, steps):
    results, _ = steps
    slide = {"slide": "slide", "images": [str(folder / "slide.ome.tif")], "nuclear": "nuclear"}
    slide |= {"compartment": "nuclear", "nucleus_mask": str(folder / "nuclei.tif")}
    slides = [
        slide | {"sample": "slide-masks", "segmenter": "masks"},
        slide | {"sample": "slide-network", "segmenter": "network", **TILES},
    ]
    (folder / "bundle").mkdir()
    options = ["--left", "left", "--networks", f"network={folder / 'net'}", "--patch_size", "9999"]
    done = bin_script("chain", *options, cwd=folder / "bundle", input=json.dumps(slides))
    assert done.returncode == 0, done.stderr
    for name in ("masks", "network"):
        path = f"slide-{name}/segmentation/{name}-slide-{name}/nucleus.ome.tif"
        assert (folder / "bundle" / path).read_bytes() == (results / path).read_bytes()
        assert tifffile.imread(results / path).max() > 50
    for name in ("stitch.json", "uncertified.csv"):
        found, expected = (top / "slide-network" / name for top in (folder / "bundle", results))
        assert found.read_bytes() == expected.read_bytes()
