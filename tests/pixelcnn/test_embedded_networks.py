"""The networks in assets/networks on real tissue that was not used for training."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from support.steps import BOTH, ingest_image, plan_store, stitch_tasks

from cellquilt.cells.object_f1 import object_f1
from cellquilt.labelling.label import label

MPP = 0.37745


@pytest.fixture(scope="module")
def codex_masks(repo, codex_image, tmp_path_factory) -> list[np.ndarray]:
    """Return the cells and the nuclei that they find in the CODEX tile, by the steps' scripts."""
    folder = tmp_path_factory.mktemp("codex")
    store = ingest_image(folder / "slide", codex_image, MPP)
    _, tasks = plan_store(store, folder / "tasks", patch_size=384, patches_per_task=4)
    models = sorted((repo / "assets" / "networks").glob("*.keras"))
    labels = []
    for pixels in tasks:
        maps = folder / pixels.name.replace("pixels", "maps")
        command = [sys.executable, repo / "bin" / "segment.py", "--segmenter", "pixelcnn"]
        command += ["--pixels", pixels, "--networks", *models, "--maps", maps]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        labels.append(folder / pixels.name.replace("pixels", "labels"))
        label(maps, BOTH, labels[-1])
    stitched = stitch_tasks(labels)
    assert all(compartment.cells["certified"].all() for compartment in stitched)
    return [compartment.labels[:] for compartment in stitched]


@pytest.mark.parametrize(
    ("compartment", "expert", "bar"),
    [(0, 1, 0.38), (0, 2, 0.28), (1, 1, 0.45), (1, 2, 0.55)],
)
def test_cells_of_real_tissue_are_found(shared_data, codex_masks, compartment, expert, bar):
    """The bars lie a little below what was measured; docs/training.md has the table."""
    truth = tifffile.imread(shared_data / "codex_tile" / f"mask_expert{expert}.tif")
    assert object_f1(codex_masks[compartment], np.squeeze(truth))["f1"] > bar
