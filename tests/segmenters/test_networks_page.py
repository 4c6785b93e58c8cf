"""docs/networks.md: its blocks of Python, one after the other, and masks of the network."""

import json
import re
from dataclasses import fields

import numpy as np
import pytest
import tifffile
from support.steps import write_slide

from cellquilt.cells.object_f1 import object_f1
from cellquilt.labelling.thresholds import Thresholds
from cellquilt.networks import card
from cellquilt.synthetic.tissue import generate_tissue


@pytest.fixture(scope="module")
def page(repo) -> str:
    return (repo / "docs" / "networks.md").read_text()


@pytest.fixture(scope="module")
def made(bin_script, tensorflow_forks, page, tmp_path_factory):
    """Run the page on a tissue; return the folder, and what the network should find in another."""
    folder = tmp_path_factory.mktemp("page")
    tissues = {
        name: generate_tissue(330, 400, seed=seed, empty_width=0)
        for name, seed in (("slide", 3), ("b", 4))
    }
    for name, tissue in tissues.items():
        write_slide(folder / f"{name}.ome.tif", np.moveaxis(tissue.image[[0, 2]], 0, -1))
    tifffile.imwrite(folder / "nuclei.tif", tissues["slide"].nucleus_truth.astype(np.uint16))
    ingest = ["--sample", "slide", "--image", "slide.ome.tif", "--nuclear", "nuclear"]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    (folder / "page.py").write_text(code)
    done = bin_script("ingest", *ingest, "--outdir", "slide", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = tensorflow_forks.run(folder / "page.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, tissues["b"].nucleus_truth


def test_the_network_of_the_page_finds_the_nuclei_of_a_slide_it_has_not_seen(bin_script, made):
    folder, truth = made
    slide = {"sample": "b", "images": ["b.ome.tif"], "nuclear": "nuclear", "compartment": "nuclear"}
    slide |= {"segmenter": "network", "tile": 320, "stride": 240, "columns": {}}
    networks = ["--networks", "network=net", "--left", "left"]
    done = bin_script("chain", *networks, cwd=folder, input=json.dumps([slide]))
    assert done.returncode == 0, done.stderr
    found = tifffile.imread(folder / "b" / "segmentation" / "network-b" / "nucleus.ome.tif")
    assert object_f1(found, truth)["f1"] > 0.7
    counts = json.loads((folder / "b" / "stitch.json").read_text())
    assert counts["n_nuclei"] == len(np.unique(found)) - 1 > 50
    assert (folder / "b" / "uncertified.csv").read_text().count("\n") == 1
    provenance = json.loads((folder / "b" / "provenance.json").read_text())
    assert provenance["model"]["name"] == "U-Net of one tissue"
    assert [step["step"] for step in provenance["steps"]][2] == "INFER"


def test_the_page_has_every_field_of_a_card(page):
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", page.split("## The card")[1], re.M))
    names = {*card._KNOWN, *card._OF_OUTPUT}
    assert set(rows) == names
    assert f"32 to {card.MAX_TILE}, a multiple of {card.STEP}" in rows["tile"]
    example = re.search(r"card = (\{.*?^\})", page, re.M | re.S)[1]
    assert all(f'"{field.name}"' in example for field in fields(Thresholds))
    assert all(f"`{kind}`" in page for kind in card.KINDS)
