"""The slide beside its labels: the pixels that were segmented, at their size, with their names."""

import json
import runpy
import sys

import numpy as np
import pytest
import spatialdata
import tifffile
import zarr
from support.steps import repaired

from cellquilt import exports
from cellquilt.cells import cell_table
from cellquilt.cells.sample_table import write_table
from cellquilt.errors import DataError
from cellquilt.exports.picture import open_picture
from cellquilt.exports.zarr_pyramid import CHUNK
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.selection import Selection

SAMPLE, MPP = "one", 0.5
NAMES = ["DAPI", "CD45", "CD45", "µ/ü"]
UNIQUE = ["DAPI", "CD45", "CD45_2", "µ/ü"]
HEIGHT, WIDTH = 1100, 1030  # two rows of chunks, and a pyramid


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Return the folder of a measured slide of 3 planes, whose maximum was segmented, and it."""
    folder = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 4000, (3, 4, HEIGHT, WIDTH)).astype(np.uint16)
    planes[:, 3] = 0
    metadata = {"axes": "ZCYX", "Channel": {"Name": NAMES}}
    metadata |= {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
    slide = folder / "slide.ome.tif"
    tiles = {"tile": (256, 256), "photometric": "minisblack"}
    tifffile.imwrite(slide, planes, ome=True, metadata=metadata, **tiles)
    facts = ingest(Request(SAMPLE, slide, "DAPI", selection=Selection("max")), folder / "n.zip")
    (folder / "sample.json").write_text(json.dumps(facts))
    (folder / "provenance.json").write_text(json.dumps({"steps": []}))
    (folder / "uncertified.csv").write_text("compartment,label,y,x\n")
    cells = np.zeros((HEIGHT, WIDTH), np.uint32)
    cells[20:40, 30:60], cells[1000:1040, 1000:1025] = 1, 2
    nuclei = np.where(np.roll(cells, 2, axis=0) == cells, cells, 0)
    masks, _ = repaired(folder, cells, nuclei, MPP, SAMPLE)
    table = write_table(
        *([slide], folder / "sample.json", folder / "provenance.json"),
        *(folder / "uncertified.csv", None, list(masks.values()), folder / "matches.csv"),
        *("mesmer", {}, {}, folder),
    )
    return folder, table, masks, planes.max(axis=0)


def exported(stack, folder, spec, *formats, slide=None):
    of, table, masks, _ = stack
    with (
        cell_table.open_cells(table, masks) as cells,
        open_picture([slide or of / "slide.ome.tif"], table, cells.facts, spec) as picture,
    ):
        exports.export(cells, formats, folder, 1, picture)
    return folder / "zarr"


def test_the_projection_that_was_segmented_is_written_with_its_pyramid(stack, tmp_path):
    image = stack[3]
    group = zarr.open_group(exported(stack, tmp_path, "all", "ome-zarr") / f"{SAMPLE}.ome.zarr")
    levels = [level["path"] for level in group.attrs["multiscales"][0]["datasets"]]
    assert len(levels) == 2
    for number, name in enumerate(levels):
        step = 2**number
        assert group[name].dtype == np.uint16 and group[name].chunks[0] == 1
        np.testing.assert_array_equal(group[name][:], image[:, ::step, ::step])
        scale = group.attrs["multiscales"][0]["datasets"][number]["coordinateTransformations"]
        assert scale == [{"type": "scale", "scale": [1.0, MPP * step, MPP * step]}]
    channels = group.attrs["omero"]["channels"]
    assert [channel["label"] for channel in channels] == UNIQUE
    for channel, pixels in zip(channels, image, strict=True):
        window = channel["window"]
        assert (window["min"], window["max"]) == (pixels.min(), pixels.max())
        assert window["min"] <= window["start"] < window["end"] <= max(window["max"], 1)
    assert sorted(group["labels"].attrs["labels"]) == ["cell", "nucleus"]
    assert not list(tmp_path.rglob("*.partial*"))


def test_some_channels_in_their_order_in_spatialdata(stack, tmp_path):
    path = exported(stack, tmp_path, "3;DAPI", "spatialdata") / f"{SAMPLE}.sdata.zarr"
    data = spatialdata.read_zarr(path)
    image = data["image"]
    assert spatialdata.models.get_channel_names(image) == ["µ/ü", "DAPI"]
    np.testing.assert_array_equal(image["scale0"]["image"], stack[3][[3, 0]])
    np.testing.assert_array_equal(image["scale1"]["image"], stack[3][[3, 0], ::2, ::2])
    x, y = (spatialdata.get_extent(image)[axis] for axis in "xy")
    assert (*x, *y) == (0, WIDTH * MPP, 0, HEIGHT * MPP)
    assert {"cell_labels", "nucleus_labels", "table"} <= set(data._shared_keys)


def test_floats_with_missing_pixels(tmp_path):
    """Which QUANTIFY measures with a warning."""
    from cellquilt.exports.picture import shown_range

    level = np.array([[0, 1, 2, np.nan, np.inf, 5]], np.float32)
    low, high = shown_range(level)
    assert 1 <= low < high <= 5
    assert shown_range(np.full((2, 2), np.nan)) == shown_range(np.ones((2, 2))) == (0.0, 1.0)


def test_memory_is_that_of_a_strip(stack, tmp_path, monkeypatch):
    """The slide is read in strips of a row of chunks, each row of a channel once."""
    from cellquilt.slides.slide import Slide

    strips, read = [], Slide.read

    def noted(self, channel, y0, y1, *columns):
        strips.append((channel, y0, y1))
        return read(self, channel, y0, y1, *columns)

    monkeypatch.setattr(Slide, "read", noted)
    exported(stack, tmp_path, "all", "ome-zarr")
    rows = [(0, CHUNK[0]), (CHUNK[0], HEIGHT)]
    assert strips == [(channel, *strip) for channel in range(4) for strip in rows]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("DAPI;CD8", "no export_image channel 'CD8'; give --export_image a name or index of 0"),
        ("CD45", "'CD45' is ambiguous, channels 1, 2"),
        ("0;DAPI", "is given twice"),
    ],
)
def test_channels_that_are_none_are_refused(stack, tmp_path, spec, message):
    with pytest.raises(DataError, match=message):
        exported(stack, tmp_path, spec, "ome-zarr")


def test_another_slide_is_refused(stack, tmp_path):
    other = tmp_path / "other.ome.tif"
    metadata = {"axes": "ZCYX", "Channel": {"Name": NAMES}}
    pixels = np.ones((2, 4, 20, 20), np.uint16)
    tifffile.imwrite(other, pixels, ome=True, photometric="minisblack", metadata=metadata)
    with pytest.raises(DataError, match="is 20 x 20 px .* give the same image"):
        exported(stack, tmp_path, "all", "ome-zarr", slide=other)


def test_the_script_needs_the_slide(stack, repo, monkeypatch, capsys):
    folder, table, masks, _ = stack
    given = ["--tables", table, "--masks", *masks.values(), "--export_image", "all"]
    monkeypatch.setattr(sys, "argv", ["export.py", *map(str, given)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(repo / "bin" / "export.py"), run_name="__main__")
    assert "its files as --image" in capsys.readouterr().err
