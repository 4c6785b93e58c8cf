"""Files of one channel each, in a folder or a list, are a slide, or an error with the remedy."""

import os

import numpy as np
import pytest
import tifffile
from support.slides import channels_of, names, pixels, refused, write, write_channels, write_set

from cellquilt.errors import DataError
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide, reopen_slide
from cellquilt.slides.selection import Selection

PANEL = ["CD45", "ECAD", "HH3"]


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three files of one channel each."""
    write_channels(tmp_path / "s1", pixels(), PANEL)
    return tmp_path / "s1"


def is_panel(path, **selected):
    found = channels_of(path, **selected)
    assert list(found) == PANEL
    np.testing.assert_array_equal(list(found.values()), pixels())


def refused_by(paths, named, match, **selected):
    """Assert that a set is refused with a message that names a file, and has `match`."""
    with pytest.raises(DataError, match=match) as caught:
        open_slide(paths, Selection(**selected)).close()
    assert str(caught.value).startswith(f"{named}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_folder_and_list_are_the_same_slide(folder):
    is_panel(folder)
    listed = [folder / f"{name}.tif" for name in ("HH3", "CD45", "ECAD")]
    is_panel(listed)
    for path, named in ((folder, folder), (listed, listed[0])):
        with open_slide(path) as slide:
            assert slide.path == named
            assert slide.size_bytes == sum(p.stat().st_size for p in folder.iterdir())
            assert slide.notices == []
            np.testing.assert_array_equal(slide.read(1, 30, 60, 20, 50), pixels()[1, 30:60, 20:50])


def test_reported_folder(shared_data):
    folder = shared_data / "reported" / "channel_folder"
    for path in (folder, sorted(folder.iterdir())):
        found = channels_of(path)
        assert list(found) == PANEL
        for name, plane in found.items():
            np.testing.assert_array_equal(plane, tifffile.imread(folder / f"{name}.tif"))


def test_natural_order_of_names(tmp_path):
    given = ["C1", "c2", "c10", "CD4", "CD4-1", "CD31", "s1_CD45", "s1_HH3", "s2_CD3"]
    write_channels(tmp_path / "s", pixels((9, 20, 30)), given, suffix=".ome.tif")
    assert list(channels_of(tmp_path / "s")) == given
    assert list(channels_of(sorted((tmp_path / "s").iterdir()))) == given


def test_channels_are_named_after_files_without_what_stands_for_tiff(tmp_path):
    suffixes = [".tif", ".TIFF", ".ome.tif", ".OME.TIFF", ".btf", ".qptiff", "", ".ome", ".v2.tif"]
    for index, suffix in enumerate(suffixes):
        tifffile.imwrite(tmp_path / f"{index}{suffix}", pixels((20, 30)))
    expected = ["0", "1", "2", "3", "4", "5", "6", "7.ome", "8.v2"]
    with open_slide(tmp_path) as slide:
        assert [channel.name for channel in slide.channels] == expected


def test_names_in_files_do_not_count(tmp_path):
    write(tmp_path / "CD45.ome.tif", pixels()[:1], metadata=names("Cy5"))
    page = {"description": '{"channel.target": "x"}', "extratags": [(285, "s", 0, "y", True)]}
    tifffile.imwrite(tmp_path / "HH3.tif", pixels()[1], metadata=None, **page)
    assert list(channels_of(tmp_path)) == ["CD45", "HH3"]
    assert list(channels_of(tmp_path, names=("a", "b"))) == ["a", "b"]
    refused(tmp_path, "has 2 channels, and --markers names 1", names=("a",))


def test_each_file_may_be_another_kind_of_tiff(tmp_path):
    data = pixels()
    tifffile.imwrite(tmp_path / "CD45.tif", data[0], imagej=True, byteorder=">")
    write(tmp_path / "ECAD.ome.tif", data[1:2], tile=(64, 48), compression="zlib", bigtiff=True)
    with tifffile.TiffWriter(tmp_path / "HH3.tif") as tif:
        tif.write(data[2], subifds=1, tile=(32, 32))
        tif.write(data[2, ::2, ::2], subfiletype=1, tile=(32, 32))
    is_panel(tmp_path)


def test_what_usually_lies_beside_images_is_ignored(folder):
    for name in (
        "._CD45.tif",
        ".DS_Store",
        "Thumbs.db",
        "panel.csv",
        "notes.TXT",
        "a.xml",
        "b.json",
    ):
        (folder / name).write_bytes(b"x")
    (folder / "masks").mkdir()
    is_panel(folder)
    is_panel(sorted(path for path in folder.iterdir() if path.is_file()))


def test_links_are_followed(folder, tmp_path):
    staged = tmp_path / "staged"
    staged.mkdir()
    for path in folder.iterdir():
        (staged / path.name).symlink_to(path)
    (tmp_path / "link").symlink_to(folder)
    for path in (staged, tmp_path / "link"):
        is_panel(path)
    (staged / "lost.tif").symlink_to(tmp_path / "nowhere")
    refused_by(staged, staged / "lost.tif", "no such file")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", "not a TIFF; convert it to OME-TIFF, .*, or keep it apart"),
        (
            "a.jpg",
            b"\xff\xd8\xff\xe0",
            "not a TIFF; .*, or keep it apart from the files of a slide",
        ),
        ("z.tif", b"", "empty file"),
        ("z.tif", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("z.tif", b"II*\0\xff\xff\0\0", "truncated or damaged"),
        ("z.tif", "half", "truncated"),
    ],
)
def test_a_file_that_is_no_slide_is_named(folder, name, content, match):
    whole = (folder / "HH3.tif").read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    refused_by(folder, folder / name, match)
    refused_by(sorted(folder.iterdir()), folder / name, match)


def test_a_pipe_in_the_folder(folder):
    os.mkfifo(folder / "b.tif")
    refused_by(folder, folder / "b.tif", "not a file but a pipe or device")


def test_folders_without_images(tmp_path):
    refused(tmp_path, "holds no images of a channel each; give the folder that has them")
    (tmp_path / "notes.txt").write_text("x")
    refused(tmp_path, "holds no images of a channel each; give the folder that has them")
    (tmp_path / "TIFs").mkdir()
    refused(tmp_path, r"holds no images of a channel each; give one of its folders \(TIFs\)")


def test_a_folder_in_a_list(folder, tmp_path):
    refused_by([folder / "CD45.tif", folder], folder, "is a folder among the files of a slide")


def test_too_many_files(tmp_path):
    for index in range(5001):
        (tmp_path / f"{index}.tif").touch()
    refused(tmp_path, "5,001 files are more than the 5,000 that a slide may have; give each slide")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (pixels((150, 111)), "its size is 150 x 111 px, and that of CD45.tif is 150 x 110 px; all"),
        (pixels((150, 110), "uint8"), "its type of pixel is uint8, and that of CD45.tif is uint16"),
        (pixels((4, 150, 110)), "holds 4 channels, and of several files each is one channel; give"),
        (np.zeros((150, 110, 3), "uint8"), "3 samples per pixel"),
    ],
)
def test_a_file_unlike_the_others_is_named(folder, data, match):
    kind = "rgb" if data.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(folder / "ECAD.tif", data, photometric=kind, metadata=None)
    refused_by(folder, folder / "ECAD.tif", match)


# Planes, axes and scenes of each file


def test_planes_of_each_file(tmp_path):
    data = pixels((3, 4, 40, 50))
    for name, planes in zip(PANEL, data, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    refused(tmp_path, r"holds 4 planes along Z, .*--z \(0 to 3, or --z max or mean over all\)")
    for z, expected in ((2, data[:, 2]), ("max", data.max(axis=1))):
        np.testing.assert_array_equal(list(channels_of(tmp_path, z=z).values()), expected)
    told = "holds 4 channels, and of several files each is one channel"
    refused_by(tmp_path, tmp_path / "CD45.tif", told, channels_axis="Z")
    tifffile.imwrite(tmp_path / "HH3.tif", data[2, 0], imagej=True)
    told = "its number of planes is 1 along Z and 1 along T, and that of CD45.tif is 4 along Z"
    refused_by(tmp_path, tmp_path / "HH3.tif", told)


def test_a_folder_of_one_file(tmp_path):
    metadata = {"axes": "TYX"}
    tifffile.imwrite(tmp_path / "a.tif", pixels((3, 40, 50)), imagej=True, metadata=metadata)
    np.testing.assert_array_equal(channels_of(tmp_path, t=1)["a"], pixels((3, 40, 50))[1])


def test_a_scene_of_each_file(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        with tifffile.TiffWriter(tmp_path / f"{name}.ome.tif", ome=True) as tif:
            for scene in ("left", "right"):
                tif.write(pixels((50, 60), seed=seed), metadata={"axes": "YX", "Name": scene})
                seed += 2
    refused_by(tmp_path, tmp_path / "a.ome.tif", r"choose one with --scene: 0 \(left\)")
    found = channels_of(tmp_path, scene="right")
    for seed, name in ((2, "a"), (3, "b")):
        np.testing.assert_array_equal(found[name], pixels((50, 60), seed=seed))


# Pixel sizes


def sized(folder, *sizes):
    for index, (size, unit) in enumerate(sizes):
        metadata = {} if size is None else {"PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
        write(folder / f"c{index}.ome.tif", pixels((1, 20, 30)), metadata=metadata)
    return folder


def test_pixel_size_is_that_of_the_files_that_have_one(tmp_path):
    with open_slide(sized(tmp_path, (None, ""), (0.5, "µm"), (503, "nm"))) as slide:
        assert resolve_image_mpp(slide, None) == (0.5, "ome-xml")


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        (
            [(0.5, "µm"), (0.65, "µm")],
            r"the pixel sizes of c0.ome.tif \(0.5 um\) and c1.ome.tif \(0.65 um\) differ by more",
        ),
        ([(0.5, "µm"), (1, "pixel")], r"c1.ome.tif: PhysicalSizeX is 1 'pixel', which is no len"),
        ([(None, "µm"), (None, "µm")], "has no pixel size; give --image_mpp"),
    ],
)
def test_pixel_size_that_must_be_given(tmp_path, sizes, match):
    with open_slide(sized(tmp_path, *sizes)) as slide:
        with pytest.raises(DataError, match=f"^{tmp_path}: {match}"):
            resolve_image_mpp(slide, None)
        assert resolve_image_mpp(slide, 0.5) == (0.5, "parameter")


# As the pipeline uses it


def test_the_set_is_opened_again(folder, tmp_path):
    for image in (folder, sorted(folder.iterdir())):
        facts = ingest(Request("s", image, "HH3", "CD45;ECAD", 0.5), tmp_path / "store.zip")
        assert facts["image"]["channels"] == PANEL
        with reopen_slide(image, facts) as slide:
            np.testing.assert_array_equal(slide.read(2, 0, 150), pixels()[2])
    with pytest.raises(DataError, match="with 3 when it was segmented"):
        reopen_slide(folder / "CD45.tif", facts)


def test_more_files_than_can_be_open(tmp_path):
    data = pixels((60, 20, 24), "uint8")
    write_channels(tmp_path / "s", data, map(str, range(60)), tile=(16, 16), compression="zlib")
    before = len(os.listdir("/proc/self/fd"))
    with open_slide(tmp_path / "s", Selection(z=0)) as slide:
        assert len(os.listdir("/proc/self/fd")) - before <= 33
        for channel in [*slide.channels, *slide.channels]:
            np.testing.assert_array_equal(slide.read(channel.index, 0, 20), data[channel.index])
        assert len(os.listdir("/proc/self/fd")) - before <= 40
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_of_an_ome_tiff_are_that_slide(tmp_path):
    members = write_set(tmp_path / "set", pixels(), channels=["a", "b", "c"])
    for path in (tmp_path / "set", members):
        assert list(channels_of(path)) == ["a", "b", "c"]
    tifffile.imwrite(tmp_path / "set" / "a.tif", pixels()[0])
    told = "is not among the files that set_C0.ome.tif names as those of one OME-TIFF; leave it out"
    refused_by(tmp_path / "set", tmp_path / "set" / "a.tif", told)
