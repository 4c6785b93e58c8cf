"""OME-XML assigns pages to channels, or gives an error with the remedy."""

import numpy as np
import pytest
import tifffile
from support.slides import ROOT, ome_xml, pixels, refused, write

from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection

UUID = "urn:uuid:00000000-0000-4000-8000-00000000000{}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.ome.tif"


def test_xml_promises_more_planes_than_pages(path):
    write(path, pixels(), ome_xml(5))
    refused(
        path,
        r"promises 5 planes \(SizeC 5, SizeZ 1, SizeT 1\) but only 3 of them are in the file,"
        r" which has 3 page\(s\); copy or export it again",
    )


def test_xml_names_fewer_planes_than_it_promises(path):
    write(path, pixels(), ome_xml(3, inside='<TiffData IFD="0" PlaneCount="2"/>'))
    refused(path, "promises 3 planes .* only 2 of them")


def test_xml_gives_all_planes_one_page(path):
    inside = "".join(f'<TiffData FirstC="{c}" PlaneCount="1"/>' for c in range(3))
    write(path, pixels(), ome_xml(3, inside=inside))
    refused(path, "several planes .* the same page; export")


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<TiffData/>",
        '<TiffData FirstC="0" IFD="0"/><TiffData FirstC="1" PlaneCount="2" IFD="1"/>',
    ],
)
def test_forms_of_tiffdata(path, inside):
    data = pixels()
    write(path, data, ome_xml(3, inside=inside))
    with open_slide(path) as slide:
        for channel in range(3):
            np.testing.assert_array_equal(slide.read(channel, 0, 150), data[channel])


@pytest.mark.parametrize(
    "blocks",
    [
        ['FirstC="0" IFD="1"', 'FirstC="2" IFD="2"', 'FirstC="1"'],
        ['FirstC="0" IFD="1"', 'FirstC="1" IFD="0"', 'FirstC="2" IFD="2"', ""],
        ['FirstC="0" IFD="1" PlaneCount="1"', 'FirstC="1" IFD="0"', 'FirstC="0" PlaneCount="3"'],
        ['FirstC="1"', 'FirstC="0" IFD="1"', 'FirstC="2" IFD="2"'],
        ['FirstC="2" IFD="2"', 'FirstC="1"', 'FirstC="0" IFD="1" PlaneCount="1"'],
    ],
)
def test_blocks_with_an_ifd_win_over_those_without(path, blocks):
    data = pixels()
    inside = "".join(f"<TiffData {block}/>" for block in blocks)
    write(path, data, ome_xml(3, inside=inside))
    with open_slide(path) as slide:
        for channel, page in enumerate((1, 0, 2)):
            np.testing.assert_array_equal(slide.read(channel, 0, 150), data[page])


def test_pages_in_another_order(path):
    data = pixels()
    inside = "".join(f'<TiffData FirstC="{c}" IFD="{2 - c}"/>' for c in (2, 1, 0))
    write(path, data, ome_xml(3, inside=inside))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 150), data[2])


def test_a_tiffdata_for_each_plane(path):
    """As Bio-Formats writes it, here with the pages in no order."""
    data = pixels((24, 20, 30), "uint8")
    planes = [(c, z, t) for c in range(2) for z in range(3) for t in range(4)]
    pages = np.random.default_rng(1).permutation(24)
    inside = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="{t}" IFD="{page}" PlaneCount="1"/>'
        for (c, z, t), page in zip(planes, pages, strict=True)
    )
    xml = ome_xml(2, (30, 20), inside=inside)
    write(path, data, xml.replace('SizeZ="1" SizeT="1"', 'SizeZ="3" SizeT="4"'))
    for (c, z, t), page in zip(planes, pages, strict=True):
        with open_slide(path, Selection(z=z, t=t)) as slide:
            np.testing.assert_array_equal(slide.read(c, 0, 20), data[page])


@pytest.mark.parametrize("first", ['FirstC="1" IFD="0" PlaneCount="6"', 'FirstC="3" IFD="0"'])
def test_tiffdata_beyond_the_sizes(path, first):
    xml = ome_xml(3, inside=f"<TiffData/><TiffData {first}/>").replace('SizeZ="1"', 'SizeZ="2"')
    write(path, pixels((6, 150, 110)), xml)
    refused(path, "TiffData of its OME-XML go beyond SizeC 3, SizeZ 2, SizeT 1; export")


@pytest.mark.parametrize(
    "xml",
    [
        ome_xml().replace("</Pixels>", ""),
        ome_xml()[:300],
        ome_xml().replace('SizeC="3"', ""),
        ome_xml().replace('SizeC="3"', 'SizeC="three"'),
        ome_xml().replace("XYCZT", "XYC"),
        ome_xml().replace("2016-06", "1066-10"),
    ],
)
def test_malformed_xml(path, xml):
    write(path, pixels(), xml)
    refused(path, r"its OME-XML is malformed \(.+\); correct it by tiffcomment -set .*or export")


def test_xml_without_image(path):
    write(path, pixels(), f"<OME {ROOT}></OME>")
    refused(path, "describes no image")


def test_more_channels_than_size_c(path):
    inside = '<Channel ID="Channel:0:0"/>' * 4 + "<TiffData/>"
    write(path, pixels(), ome_xml(3, inside=inside))
    refused(path, "has 4 channels but SizeC 3")


def test_what_is_not_needed_may_be_off_the_schema(path):
    inside = (
        '<Channel ID="c0" Name="DAPI" ContrastMethod="Unheard" Color="blue"><Foo/></Channel>'
        '<Channel ID="c1" Name="CD45"/><Channel ID="c2"/><TiffData/><Plane TheC="x"/>'
    )
    tail = "<!-- note --><Instrument><Bar/></Instrument>"
    write(path, pixels(), ome_xml(3, inside=inside, tail=tail).replace("UTF-8", "UTF-16"))
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "CD45", "Channel 2"]


@pytest.mark.parametrize("blank", ["", 'Name=""', 'Name=" "'])
def test_a_channel_without_a_name_has_that_of_its_fluorophore(path, blank):
    inside = (
        '<Channel ID="c0" Name="DNA" Fluor="DAPI"/>'
        f'<Channel ID="c1" {blank} Fluor="Cy5"/><Channel ID="c2" {blank}/><TiffData/>'
    )
    write(path, pixels(), ome_xml(3, inside=inside))
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DNA", "Cy5", "Channel 2"]


def test_older_schema(path):
    data = pixels()
    xml = ome_xml(3, pixel_attributes='PhysicalSizeX="0.4"').replace("2016-06", "2013-06")
    write(path, data, xml)
    with open_slide(path) as slide:
        assert slide.image_mpp == 0.4
        np.testing.assert_array_equal(slide.read(1, 0, 150), data[1])


def test_size_in_xml_is_not_that_of_the_pages(path):
    write(path, pixels(), ome_xml(3, size=(111, 150)))
    refused(path, "page 0 is 150 x 110 px, its OME-XML has SizeY x SizeX 150 x 111; export")


def test_channels_of_different_types(path):
    with tifffile.TiffWriter(path) as tif:
        options = {"metadata": None, "contiguous": False}
        tif.write(pixels((20, 30), "uint8"), description=ome_xml(2, (30, 20)), **options)
        tif.write(pixels((20, 30), "uint16"), **options)
    refused(path, r"differ in the type of pixel \(uint16, uint8\); convert")


def multi_file_xml(root, *files):
    inside = "".join(
        f'<TiffData FirstC="{c}" IFD="{page}" PlaneCount="1">'
        f'<UUID FileName="{name}">{UUID.format(uuid)}</UUID></TiffData>'
        for c, (name, uuid, page) in enumerate(files)
    )
    return ome_xml(len(files), inside=inside, root=f'UUID="{UUID.format(root)}"' if root else "")


def test_planes_in_other_files(path):
    xml = multi_file_xml(1, ("slide.ome.tif", 1, 0), ("other.ome.tif", 2, 0))
    write(path, pixels((1, 150, 110)), xml)
    told = f"is one file of an OME-TIFF of several, and {path.parent} has no 'other.ome.tif'; put"
    refused(path, f"{told} all of its files into one folder")


def test_all_planes_in_another_file(path):
    write(path, pixels((2, 150, 110)), multi_file_xml(1, ("other.tif", 2, 0), ("other.tif", 2, 1)))
    refused(path, "has no 'other.tif'")


def test_part_without_uuid_of_its_own(path):
    write(path, pixels((2, 150, 110)), multi_file_xml(None, ("a.tif", 1, 0), ("b.tif", 2, 0)))
    refused(path, "has no 'a.tif', 'b.tif'")


@pytest.mark.parametrize("root", [1, None])
def test_renamed_single_file(path, root):
    data = pixels((2, 150, 110))
    write(path, data, multi_file_xml(root, ("old name.tif", 1, 0), ("old name.tif", 1, 1)))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(1, 0, 150), data[1])
