"""Names of channels in a table beside the slide."""

import numpy as np
import pytest
from support.slides import names, pixels, refused, write

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.slides import ingest as ingesting
from cellquilt.slides.channel_choice import resolve_channels
from cellquilt.slides.markers import read_markers
from cellquilt.slides.readers import open_slide, reopen_slide
from cellquilt.slides.selection import Selection

MCMICRO = "channel_number,cycle_number,marker_name\n2,1,CD45\n1,1,DNA1\n3,2,PanCK\n"
STEINBOCK = "channel,name,keep,ilastik\nIr191,DNA1,1,1\nXe131,Xe,0,\nIr193,DNA2,1,2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DNA1\nCD45\n\nPanCK\n", ("DNA1", "CD45", "PanCK")),
        ("\ufeffDNA1\r\nCD45, T cells\r\n".replace(",", ""), ("DNA1", "CD45 T cells")),
        (MCMICRO, ("DNA1", "CD45", "PanCK")),
        (MCMICRO.replace(",", ";"), ("DNA1", "CD45", "PanCK")),
        (MCMICRO.replace(",", "\t").upper(), ("DNA1", "CD45", "PANCK")),
        ('marker_name\n"CD45, RA"\nDNA\n', ("CD45, RA", "DNA")),
        (STEINBOCK, ("DNA1", "DNA2")),
        (STEINBOCK.replace(",1,", ",True,").replace(",0,", ",False,"), ("DNA1", "DNA2")),
    ],
)
def test_names_of_a_table(tmp_path, text, expected):
    (tmp_path / "markers.csv").write_text(text, encoding="utf-8")
    assert read_markers(tmp_path / "markers.csv") == expected


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "has no names; it needs one name a line, or a column marker_name"),
        (b"a,b\nc,d\n", "line 1 has 2 values; it needs"),
        (MCMICRO.replace("2,1", "x,1").encode(), "line 2: channel_number 'x' is no whole number"),
        (MCMICRO.replace("2,1", "1,1").encode(), "a channel_number occurs twice"),
        (STEINBOCK.replace(",0,", ",maybe,").encode(), "line 3: keep is 'maybe'; it must be 0"),
        (b"name,keep\nDNA,0\n", "has no rows with a channel"),
        (b"\xff\xfe\x00", "cannot be read as text"),
        (b"x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_other_files_are_refused(tmp_path, content, match):
    (tmp_path / "markers.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"markers\.csv: .*{match}"):
        read_markers(tmp_path / "markers.csv")


def test_names_of_a_table_are_the_channels(tmp_path):
    path = write(tmp_path / "slide.ome.tif", pixels(), metadata=names("a", "b", "c"))
    given = Selection(names=("DNA1", "CD45", "PanCK"))
    with open_slide(path, given) as slide:
        assert [channel.name for channel in slide.channels] == ["DNA1", "CD45", "PanCK"]
    refused(path, "has 3 channels, and --markers names 2; correct one", names=("DNA1", "CD45"))
    request = ingesting.Request("s", path, "DNA1", "PanCK", 0.5, selection=given, named_by="m.csv")
    facts = ingesting.ingest(request, tmp_path / "store.zip")
    assert facts["image"]["named_by"] == "m.csv"
    with reopen_slide(path, facts) as slide:
        assert slide.channels[0].name == "DNA1"


# Several nuclear channels


@pytest.mark.parametrize("combine", ["max", "mean"])
@pytest.mark.parametrize("dtype", ["uint16", "uint8", "float32"])
def test_nuclear_channels_are_combined_as_membranes_are(tmp_path, dtype, combine):
    """What they give is the image that a user would have combined beforehand."""
    data = np.abs(pixels((3, 150, 110), dtype))
    data[1] //= 3
    slide = write(tmp_path / "a.ome.tif", data, metadata=names("DNA1", "DNA2", "CD45"))
    scaled = []
    for plane in data[:2]:
        found = np.percentile(plane[plane > 0].astype(np.float64), 99.9)
        scaled.append(plane.astype(np.float32) / np.float32(found))
    image = np.stack(scaled).max(axis=0) if combine == "max" else np.stack(scaled).mean(axis=0)
    joined = np.stack([image, data[2].astype(np.float32)])
    one = write(tmp_path / "b.ome.tif", joined, metadata=names("DNA", "CD45"))
    arrays = {}
    for path, nuclear in ((slide, "DNA1; dna2"), (one, "DNA")):
        request = ingesting.Request("s", path, nuclear, "CD45", 0.5, nuclear_combine=combine)
        facts = ingesting.ingest(request, tmp_path / f"{path.stem}.zip")
        with stores.read(tmp_path / f"{path.stem}.zip") as group:
            arrays[nuclear] = group["codes"][:], group["lut"][:]
        expected = combine if ";" in nuclear else None
        assert (len(facts["nuclear"]), facts["nuclear_combine"]) == (1 + (";" in nuclear), expected)
    for found, expected in zip(*arrays.values(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_name_with_a_semicolon_is_one_channel(tmp_path):
    path = write(tmp_path / "a.ome.tif", pixels(), metadata=names("a;b", "a", "b"))
    with open_slide(path) as slide:
        assert [channel.index for channel in resolve_channels(slide, "a;b", "nuclear")] == [0]
        assert [channel.index for channel in resolve_channels(slide, "b;a", "nuclear")] == [2, 1]
        with pytest.raises(DataError, match="nuclear channel 1 .* is given twice in 'a;1'"):
            resolve_channels(slide, "a;1", "nuclear")
