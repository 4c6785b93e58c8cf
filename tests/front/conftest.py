"""A run of the pipeline's functions, for what reads or repeats it from Python."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cellquilt import segmenters
from cellquilt.bundles.chain import Settings, chain
from cellquilt.bundles.slide import Slide
from cellquilt.synthetic.tissue import Tissue, generate_tissue, write_tissue

CPUS = 2


@pytest.fixture(scope="package")
def tissue() -> Tissue:
    """Return a small tissue with the channels of the demo's."""
    return generate_tissue(230, 420, seed=7, empty_width=60)


@pytest.fixture(scope="package")
def folder(repo, tissue, tmp_path_factory) -> Path:
    """Return a folder with the ``results`` of a run, the slide among them as in the demo's.

    The samples are demo, with two membrane channels, and nuclei, without any and at another size
    of pixels. Beside them lie masks of another tool, those of the truth.
    """
    folder = tmp_path_factory.mktemp("front")
    files = [folder / name for name in ("tissue.ome.tif", "cells.tif", "nuclei.tif")]
    write_tissue(tissue, *files)
    image, own = files[:1], {"segmenter": "pixelcnn"}
    slides = [
        Slide("demo", image, "DAPI", "CD45;PanCK", **own),
        Slide("nuclei", image, "DAPI", image_mpp=0.4, compartment="nuclear", **own),
    ]
    networks = sorted((repo / "assets" / "networks").glob("*.keras"))
    runner = segmenters.load("pixelcnn", segmenters.Settings(networks, "cpu", CPUS))

    def refuse(sample: str, step: str, error: Exception) -> None:
        raise error

    assert chain(slides, Settings(), lambda _: runner, folder / "results", refuse) == []
    shutil.move(files[0], folder / "results" / "demo")
    return folder


@pytest.fixture(scope="package")
def channels(tissue) -> np.ndarray:
    """Return DAPI, CD45 and PanCK, (3, h, w)."""
    return tissue.image[[tissue.channels.index(name) for name in ("DAPI", "CD45", "PanCK")]]
