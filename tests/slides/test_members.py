"""An OME-TIFF of several files is read whole, whichever of them is named, or a file is missing."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from support.slides import (
    ROOT,
    UUID,
    binary_only,
    channels_of,
    ome_xml,
    pixels,
    refused,
    set_xml,
    write,
    write_set,
)

from cellquilt.errors import DataError
from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection

NAMES = ["marker 0", "marker 1", "marker 2"]


def is_whole(path, data, **selected):
    """Assert that a slide has the channels of `data`."""
    found = channels_of(path, **selected)
    assert list(found) == NAMES[: len(data)]
    np.testing.assert_array_equal(np.stack(list(found.values())), data)


@pytest.fixture(params=[False, True], ids=["each has the metadata", "companion"])
def members(request, tmp_path):
    """Return the files of an OME-TIFF of three channels."""
    return write_set(tmp_path / "set", pixels(), companion=request.param)


def test_any_member_may_be_named_alone_or_with_the_others(members):
    for named in members:
        is_whole(named, pixels())
        is_whole([named, *(path for path in members if path != named)], pixels())
    is_whole(members[0].parent, pixels())
    with open_slide(members[1]) as slide:
        assert slide.path == members[1]
        assert slide.size_bytes == sum(path.stat().st_size for path in members)
        assert slide.notices == []


def test_reported_set(shared_data):
    paths = sorted((shared_data / "reported" / "multifile").iterdir())
    expected = [tifffile.imread(path, key=0) for path in paths]
    for path in paths:
        found = channels_of(path)
        assert list(found) == ["DAPI", "CD45", "PanCK"]
        np.testing.assert_array_equal(list(found.values()), expected)


def test_members_linked_from_elsewhere_lie_beside_the_link(members, tmp_path):
    """Nextflow stages each file as a link, perhaps of another name and into a folder of its own."""
    apart = [tmp_path / "apart" / str(k) / path.name for k, path in enumerate(members)]
    staged = tmp_path / "staged"
    staged.mkdir()
    for path, place in zip(members, apart, strict=True):
        place.parent.mkdir(parents=True)
        shutil.move(path, place)
        (staged / path.name).symlink_to(place)
    is_whole(staged / members[0].name, pixels())
    is_whole(apart, pixels())  # each in its folder, all given
    is_whole(apart[::-1], pixels())


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_missing_member_is_named_with_the_folder(members, lost):
    members[lost].unlink()
    named = members[lost - 1]
    told = f"OME-TIFF of several, and {named.parent} has no 'set_C{lost}.ome.tif'; put all of"
    refused(named, f"is one file of an {told} its files into one folder")


def test_a_member_in_another_folder_that_was_not_given_is_missing(members, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / members[1].name).symlink_to(members[1])
    refused(elsewhere / members[1].name, "has no 'set")


def test_renamed_members_are_known_by_their_uuid(members):
    renamed = [path.with_name(f"{path.name[4:6]} of Tuesday.ome.tif") for path in members[:3]]
    for path, new in zip(members, renamed, strict=False):
        path.rename(new)
    for named in [*renamed, *members[3:]]:
        is_whole(named, pixels())
    is_whole([*renamed, *members[3:]], pixels())


def test_members_whose_names_were_exchanged_are_known_by_their_uuid(members):
    first, second, *_ = members
    first.rename(first.parent / "other")
    second.rename(first)
    (first.parent / "other").rename(second)
    for named in members:
        is_whole(named, pixels())


def test_a_renamed_companion_is_known_by_its_uuid(tmp_path):
    *members, companion = write_set(tmp_path / "set", pixels(), companion=True)
    companion = companion.rename(companion.with_name("all.companion.ome"))
    is_whole(members[0], pixels())
    companion.unlink()
    refused(members[0], "has no 'set.companion.ome'; put all of its files into one folder")


def test_a_copy_of_a_member_is_read_itself(tmp_path):
    members = write_set(tmp_path / "set", pixels())
    copy = members[0].with_name("copy.ome.tif")
    other = pixels()
    other[0] = 7
    tifffile.imwrite(copy, other[0], description=tifffile.tiffcomment(members[0]), metadata=None)
    is_whole(copy, other)


def test_members_without_a_uuid_are_known_by_their_names(tmp_path):
    """A companion can be written for TIFFs that know nothing of it."""
    members = write_set(tmp_path / "set", pixels(), companion=True)
    for path, plane in zip(members, pixels(), strict=False):
        tifffile.imwrite(path, plane, metadata=None)
    is_whole(members[3], pixels())
    is_whole(members, pixels())
    is_whole(members[3].parent, pixels())


def test_a_member_of_another_uuid_is_noticed(tmp_path):
    members = write_set(tmp_path / "set", pixels())
    for path, plane in zip(members[1:], pixels()[1:], strict=True):
        tifffile.imwrite(path, plane[None], ome=True)  # with a UUID of its own
    is_whole(members[0], pixels())
    with open_slide(members[0]) as slide:
        texts = [notice.text for notice in slide.notices]
        assert {notice.code for notice in slide.notices} == {"member_uuid_differs"}
    assert texts[0].startswith("set_C1.ome.tif: has another UUID than set_C0.ome.tif gives it;")


def test_one_text_in_all_members(tmp_path):
    """With the UUID of one of them, as simple writers do it; then names decide."""
    files = [(f"{c}.ome.tif", UUID.format(c)) for c in range(3)]
    xml = set_xml(files, UUID.format(0))
    for (name, _), plane in zip(files, pixels(), strict=True):
        write(tmp_path / name, plane[None], xml)
    for name, _ in files:
        is_whole(tmp_path / name, pixels())


def test_one_uuid_for_all_members(tmp_path):
    files = [(f"{c}.ome.tif", UUID.format(0)) for c in range(3)]
    for (name, _), plane in zip(files, pixels(), strict=True):
        write(tmp_path / name, plane[None], set_xml(files, UUID.format(0)))
    is_whole(tmp_path / "1.ome.tif", pixels())


@pytest.mark.parametrize("blocks", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("further", ["", 'IFD="0"', 'PlaneCount="1"'])
def test_members_with_further_pages(tmp_path, blocks, further):
    """A member may have a thumbnail that no block means; blocks come in any order."""
    data = pixels()
    inside = "".join(
        f'<TiffData FirstC="{c}" {further}><UUID FileName="{c}.tif">{UUID.format(c)}</UUID>'
        "</TiffData>"
        for c in blocks
    )
    for c in range(3):
        with tifffile.TiffWriter(tmp_path / f"{c}.tif") as tif:
            xml = ome_xml(3, inside=inside, root=f'UUID="{UUID.format(c)}"')
            options = {"metadata": None, "contiguous": False, "photometric": "minisblack"}
            tif.write(data[c], description=xml, **options)
            tif.write(data[c, :50, :50], **options)
    found = channels_of(tmp_path / "1.tif")
    np.testing.assert_array_equal(list(found.values()), data)


def test_several_pages_in_each_member(tmp_path):
    """As Micro-Manager splits what is too large, with the metadata in the first file alone."""
    data = pixels((6, 20, 24), "uint8")
    first, second = UUID.format(0), UUID.format(1)
    inside = (
        f'<TiffData IFD="0" PlaneCount="4"><UUID FileName="a.ome.tif">{first}</UUID></TiffData>'
        '<TiffData FirstC="1" FirstZ="1" IFD="0" PlaneCount="2">'
        f'<UUID FileName="a_1.ome.tif">{second}</UUID></TiffData>'
    )
    xml = ome_xml(2, (24, 20), inside=inside, root=f'UUID="{first}"')
    xml = xml.replace('SizeZ="1"', 'SizeZ="3"').replace("XYCZT", "XYZCT")
    write(tmp_path / "a.ome.tif", data[:4], xml)
    write(tmp_path / "a_1.ome.tif", data[4:], binary_only(second, "a.ome.tif"))
    for name in ("a.ome.tif", "a_1.ome.tif"):
        for z, expected in ((0, data[[0, 3]]), (2, data[[2, 5]])):
            found = channels_of(tmp_path / name, z=z)
            np.testing.assert_array_equal(list(found.values()), expected)


def test_z_stack_of_a_file_for_each_plane(tmp_path):
    data = pixels((5, 30, 40))
    members = write_set(tmp_path / "set", data, companion=True, axis="Z")
    refused(members[2], r"holds 5 planes along Z, .*--z \(0 to 4, or --z max or mean")
    is_whole(members[2], data[3:4], z=3)
    is_whole(members[5], data.max(axis=0)[None], z="max")


def test_real_companion_of_a_z_stack(shared_data, tmp_path):
    """Of the five planes two are there; the others are made of the first."""
    source = shared_data / "ome_variants"
    told = "'multifile-Z3.ome.tiff', 'multifile-Z4.ome.tiff', 'multifile-Z5.ome.tiff'; put"
    for name in ("multifile.companion.ome", "multifile-Z1.ome.tiff", "multifile-Z2.ome.tiff"):
        refused(source / name, f"is one file of an OME-TIFF of several, and .* has no {told}")
    uuids = ["f4927e53-35eb-45b3-ac16-a9255a58860c", "25097c6a-c144-45fa-af9f-f10b1c045288"]
    uuids.append("07a89384-e358-44dc-94d8-40e786ed9655")
    for name in ("multifile.companion.ome", "multifile-Z1.ome.tiff", "multifile-Z2.ome.tiff"):
        shutil.copy(source / name, tmp_path / name)
    first = (source / "multifile-Z1.ome.tiff").read_bytes()
    for z, uuid in enumerate(uuids, start=3):
        content = first.replace(b"4978087c-a670-4b12-af53-256c62d8d101", uuid.encode())
        (tmp_path / f"multifile-Z{z}.ome.tiff").write_bytes(content)
    planes = [
        tifffile.imread(source / f"multifile-Z{z}.ome.tiff", is_ome=False) for z in (1, 2, 1, 1, 1)
    ]
    for path in tmp_path.iterdir():
        for z, plane in enumerate(planes):
            np.testing.assert_array_equal(channels_of(path, z=z)["Channel 0"], plane)
        projected = channels_of(path, z="max")["Channel 0"]
        np.testing.assert_array_equal(projected, np.max(planes, axis=0))


def test_scenes_in_files_of_their_own(tmp_path):
    """Micro-Manager's positions."""
    files = [(f"{c}.ome.tif", UUID.format(c)) for c in range(2)]
    images = "".join(
        f'<Image ID="Image:{c}" Name="Pos{c}"><Pixels ID="Pixels:{c}" DimensionOrder="XYCZT"'
        ' Type="uint16" SizeX="110" SizeY="150" SizeC="1" SizeZ="1" SizeT="1">'
        f'<Channel ID="Channel:{c}:0" Name="marker 0"/><TiffData IFD="0">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData></Pixels></Image>'
        for c, (name, uuid) in enumerate(files)
    )
    for (name, uuid), plane in zip(files, pixels(), strict=False):
        write(tmp_path / name, plane[None], f'<OME {ROOT} UUID="{uuid}">{images}</OME>')
    refused(tmp_path / "0.ome.tif", r"with --scene: 0 \(Pos0\): 150 x 110 px, 1 \(Pos1\)")
    is_whole(tmp_path / "0.ome.tif", pixels()[1:2], scene="Pos1")


def test_a_file_that_is_given_and_not_named(members, tmp_path):
    other = write(members[0].parent / "other.ome.tif", pixels((1, 150, 110)))
    for given in (members[0].parent, [*members, other]):
        with pytest.raises(DataError, match=f"^{other}: is not among the files that set"):
            open_slide(given)
    is_whole(members[0], pixels())


@pytest.mark.parametrize("name", ["../b.ome.tif", "/etc/passwd", "a\\b.tif", "..", ".", "a&#10;b"])
def test_names_that_lead_elsewhere(tmp_path, name):
    files = [("a.ome.tif", UUID.format(0)), (name, UUID.format(1))]
    path = write(tmp_path / "a.ome.tif", pixels()[:1], set_xml(files, UUID.format(0)))
    refused(path, "as another of its files; all of them must lie in one folder, and be named with")
    write(tmp_path / "a.ome.tif", pixels()[:1], binary_only(UUID.format(0), name))
    refused(path, "as another of its files; all of them must lie in one folder")


def test_metadata_in_a_circle(tmp_path):
    for own, other in ("ab", "ba", "cc"):
        write(tmp_path / own, pixels()[:1], binary_only(UUID.format(0), other))
    refused(tmp_path / "a", "says that its metadata are in b, which has none; export")
    refused(tmp_path / "c", "says that its metadata are in c, which has none")
    tifffile.imwrite(tmp_path / "b", pixels()[0])
    refused(tmp_path / "a", "says that its metadata are in b, which has none")


def test_links_in_a_circle(members):
    members[1].unlink()
    members[1].symlink_to(members[1].name)
    refused(members[0], "has no 'set_C1.ome.tif'")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (pixels((140, 110)), "page 0 is 140 x 110 px, its OME-XML has SizeY x SizeX 150 x 110"),
        (np.zeros((150, 110, 3), "uint16"), "page 0 is 150 x 110 x 3 px"),
    ],
)
def test_a_member_of_another_size(members, data, match):
    tifffile.imwrite(members[1], data, metadata=None)
    with pytest.raises(DataError, match=f"^{members[1]}: {match}"):
        open_slide(members[0])


def test_a_member_of_another_type(members):
    tifffile.imwrite(members[1], pixels((150, 110), "uint8"), metadata=None)
    told = r"channels differ in the type of pixel \(uint16, uint8\); convert them to one type"
    with pytest.raises(DataError, match=f"^{members[1]}: {told}"):
        open_slide(members[0])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a TIFF; it is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n", "not a TIFF; convert"),
        (b"II*\0\xff\xff\0\0", "truncated or damaged"),
        ("half", "truncated"),
    ],
)
def test_a_member_that_is_damaged_or_no_tiff_is_named(members, content, match):
    whole = members[1].read_bytes()
    members[1].write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(DataError, match=f"^{members[1]}: {match}"):
        open_slide(members[0])


def test_a_flipped_byte_is_found_in_the_member_that_has_it(tmp_path):
    members = write_set(tmp_path / "set", pixels(), tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(members[1], _multifile=False) as tif:
        offset = tif.pages[0].dataoffsets[0]
    content = bytearray(members[1].read_bytes())
    content[offset + 30 : offset + 60] = bytes(30)
    members[1].write_bytes(content)
    with (
        open_slide(members[0]) as slide,
        pytest.raises(DataError, match=f"^{members[1]}: truncated or damaged"),
    ):
        slide.read(1, 0, 64)


def test_fewer_pages_than_the_metadata_promise(tmp_path):
    members = write_set(tmp_path / "set", pixels(), companion=True)
    companion = members[-1]
    text = companion.read_text().replace('SizeZ="1"', 'SizeZ="2"')
    companion.write_text(text)
    refused(companion, "promises 6 planes .* only 3 of them are in its 3 files, which have 3 page")
    companion.write_text(text.replace('SizeZ="2"', f'SizeZ="{2**31 - 1}"'))
    refused(companion, "promises 6442450941 planes")


@pytest.mark.parametrize(
    ("xml", "match"),
    [
        (ome_xml(3), "does not say in which TIFF its planes are; name the TIFF"),
        (ome_xml(3, inside=""), "does not say in which TIFF its planes are"),
        (f"<OME {ROOT}></OME>", "describes no image"),
        (ome_xml(3)[:300], "malformed"),
        (binary_only(UUID.format(1)), "set.companion.ome, which has none"),
        (f"<!DOCTYPE a [<!ENTITY b 'c'>]><OME {ROOT}></OME>", "document type"),
    ],
)
def test_a_companion_of_no_use(tmp_path, xml, match):
    path = tmp_path / "set.companion.ome"
    path.write_text(xml)
    refused(path, match)


def test_a_companion_of_a_gigabyte_is_not_read(tmp_path):
    path = tmp_path / "set.companion.ome"
    path.write_text(ome_xml(3))
    os.truncate(path, 1 << 30)
    refused(path, "OME-XML of 1,073,741,824 bytes, more than the 20,000,000 read")


def test_more_members_than_can_be_open(tmp_path, monkeypatch):
    data = pixels((70, 20, 24), "uint8")
    members = write_set(tmp_path / "set", data, axis="C", tile=(16, 16), compression="zlib")
    before = len(os.listdir("/proc/self/fd"))
    with open_slide(members[3]) as slide:
        for turn in range(2):
            for channel in slide.channels:
                rows = slide.read(channel.index, 8 * turn, 8 * turn + 12)
                np.testing.assert_array_equal(rows, data[channel.index, 8 * turn : 8 * turn + 12])
        assert len(os.listdir("/proc/self/fd")) - before <= 40
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_are_closed_where_opening_fails(members):
    members[1].write_bytes(b"II*\0\xff\xff\0\0")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DataError, match="damaged"):
        open_slide(members[0], Selection(z=0))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_companion_that_is_called_xml(tmp_path):
    """Beside TIFFs that know nothing of it, and of TIFFs that name it."""
    members = write_set(tmp_path / "set", pixels(), companion=True)
    companion = members[3].rename(tmp_path / "set" / "set.ome.xml")
    (tmp_path / "set" / "empty.csv").touch()
    for path, binary in zip(members, (True, False, False), strict=False):
        xml = binary_only(path.name, companion.name) if binary else None
        write(path, tifffile.imread(path, is_ome=False)[None], xml)
    is_whole(companion, pixels())
    is_whole([companion, *members[:3]], pixels())


def test_files_that_are_given_may_have_others_beside(members):
    for name in ("a.csv", "b.txt", "c.ome.xml", ".hidden"):
        (members[0].parent / name).touch()
    is_whole(sorted(members[0].parent.iterdir()), pixels())
    (members[0].parent / "folder").mkdir()
    is_whole(members[0].parent, pixels())
