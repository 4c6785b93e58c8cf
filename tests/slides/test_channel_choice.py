"""Channel selection: which channels of a slide a user means."""

import numpy as np
import pytest
from support.slides import names, ome_xml, pixels, write

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.slides.channel_choice import (
    refuse_shared_channel,
    resolve_channel,
    resolve_channels,
)
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide


@pytest.fixture
def panel(tmp_path):
    path, given = tmp_path / "slide.ome.tif", names("DAPI", "CD45", "cd45", "1", "DNA", "DNA")
    write(path, pixels((6, 20, 30)), metadata=given)
    with open_slide(path) as slide:
        yield slide


@pytest.mark.parametrize(
    ("spec", "index"),
    [("DAPI", 0), (" dapi ", 0), ("0", 0), ("CD45", 1), ("cd45", 2), ("1", 3), ("2", 2), ("5", 5)],
)
def test_channel_by_name_or_index(panel, spec, index):
    assert resolve_channel(panel, spec, "nuclear") == panel.channels[index]


@pytest.mark.parametrize("spec", ["DAP", "6", "-1", "", "1.0"])
def test_no_such_channel(panel, spec):
    with pytest.raises(DataError) as caught:
        resolve_channel(panel, spec, "nuclear")
    assert str(caught.value) == (
        f"{panel.path}: no nuclear channel '{spec}'; give --nuclear a name or index of"
        " 0: DAPI, 1: CD45, 2: cd45, 3: 1, 4: DNA, 5: DNA"
    )


@pytest.mark.parametrize(("spec", "indices"), [("dna", "4, 5"), ("Cd45", "1, 2")])
def test_duplicate_name(panel, spec, indices):
    with pytest.raises(DataError) as caught:
        resolve_channel(panel, spec, "membrane")
    assert str(caught.value) == (
        f"{panel.path}: membrane channel '{spec}' is ambiguous, channels {indices} have that name;"
        " give --membrane the index"
    )


def test_several_channels_keep_their_order(panel):
    found = resolve_channels(panel, " 5; DAPI ;CD45;", "membrane")
    assert [channel.index for channel in found] == [5, 0, 1]


def test_a_comma_between_membrane_channels_is_not_taken_for_one(panel, tmp_path):
    """A name that has a comma is a name all the same."""
    hint = r"no membrane channel 'CD45,DNA' \(channels are separated by ';', not by commas\); give"
    with pytest.raises(DataError, match=hint):
        resolve_channels(panel, "CD45,DNA;1", "membrane")
    path = tmp_path / "comma.ome.tif"
    write(path, pixels((2, 20, 30)), metadata=names("DAPI", "IgG1,k"))
    with open_slide(path) as slide:
        assert [c.index for c in resolve_channels(slide, "DAPI;igg1,K", "membrane")] == [0, 1]


def test_channel_given_twice(panel):
    with pytest.raises(
        DataError, match=r"membrane channel 1 \('CD45'\) is given twice in 'CD45;.*"
    ):
        resolve_channels(panel, "CD45;DAPI;CD45", "membrane")


def test_no_channel_given(panel):
    with pytest.raises(DataError, match="no membrane channel given; name it with --membrane"):
        resolve_channels(panel, " ; ", "membrane")


def test_nuclear_channel_among_the_membrane_ones(panel):
    nuclear, other = panel.channels[:2]
    refuse_shared_channel(panel, [nuclear], [other])
    with pytest.raises(
        DataError, match=r"channel 0 \('DAPI'\) is given as nuclear and as membrane"
    ):
        refuse_shared_channel(panel, [nuclear], [other, nuclear])


def test_reported_two_nuclear_channels(shared_data, tmp_path):
    """IMC's DNA1 and DNA2 become one image, each divided by its own percentile."""
    path = shared_data / "reported" / "two_dna.ome.tif"

    def ingested(image, nuclear):
        facts = ingest(Request("s", image, nuclear), tmp_path / "store.zip")
        with stores.read(tmp_path / "store.zip") as store:
            return facts, store["codes"][0], store["lut"][0]

    facts, *found = ingested(path, "DNA1;DNA2")
    assert [channel["name"] for channel in facts["nuclear"]] == ["DNA1", "DNA2"]
    with open_slide(path) as slide:
        scaled = [
            slide.read(index, 0, slide.height).astype(np.float32) / np.float32(scale)
            for index, scale in enumerate(facts["normalisation"]["nuclear_scales"])
        ]
        pixel = 'PhysicalSizeX="1" PhysicalSizeY="1"'
    combined = np.maximum(*scaled)[None]
    xml = ome_xml(1, combined.shape[:0:-1], pixel_attributes=pixel).replace("uint16", "float")
    _, *expected = ingested(write(tmp_path / "one.ome.tif", combined, xml), "0")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
