"""Which channels look nuclear and which look like membranes, without masks."""

import runpy
import sys

import numpy as np
import pytest
from support.slides import names, write

from cellquilt.slides.channel_structure import WINDOW_PX, Structure, structure, structures
from cellquilt.slides.readers import open_slide
from cellquilt.synthetic.tissue import generate_tissue


def test_spots_look_nuclear_and_lines_like_membranes():
    y, x = np.mgrid[:200, :200].astype(np.float32)
    spots = np.exp(-(((y + 10) % 20 - 10) ** 2 + ((x + 10) % 20 - 10) ** 2) / 40)
    lines = np.exp(-(((x + 10) % 20 - 10) ** 2) / 2)
    of_spots, of_lines = (structure([image], 0.5) for image in (spots, lines))
    assert of_spots.nuclear > 2 * of_lines.nuclear
    assert of_lines.membrane > 5 * of_spots.membrane


@pytest.mark.parametrize("value", [0, 7, np.nan, np.inf])
def test_constant_channels_look_like_nothing(value):
    assert structure([np.full((20, 30), value, np.float32)], 0.5) == Structure(0, 0)


def order(found, role: str) -> list[str]:
    return [channel.name for channel, _ in sorted(found, key=lambda one: -getattr(one[1], role))]


def test_ranks_of_the_demo(tmp_path):
    """The tissue of --demo, which is larger than the windows."""
    tissue = generate_tissue(1024, 1312, seed=7)
    write(tmp_path / "demo.ome.tif", tissue.image, metadata=names(*tissue.channels))
    with open_slide(tmp_path / "demo.ome.tif") as slide:
        assert min(slide.height, slide.width) > WINDOW_PX
        found = list(structures(slide, 0.5))
    assert order(found, "nuclear")[0] == "DAPI"
    assert order(found, "membrane")[:2] == ["CD45", "PanCK"]


def test_the_script_ranks_the_codex_tile(shared_data, repo, monkeypatch, capsys):
    slide = shared_data / "codex_tile" / "codex_tile.ome.tif"
    monkeypatch.setattr(sys, "argv", ["channels.py", "--image", str(slide)])
    runpy.run_path(str(repo / "bin" / "channels.py"), run_name="__main__")
    said = capsys.readouterr().out
    nuclear, membrane = (
        [line.split(": ")[1] for line in part.splitlines()[1:9]]
        for part in said.split("the likeliest first")[1:]
    )
    assert nuclear[0] == "nucleus"
    assert set(membrane[:2]) == {"membrane", "CH_7"}
