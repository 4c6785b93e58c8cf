"""Every kind of TIFF slide is read correctly."""

import shutil

import numpy as np
import pytest
import tifffile
from support.slides import LAYOUTS, forget_tiles, names, ome_xml, pixels, refused, write

from cellquilt.errors import DataError
from cellquilt.slides.channel_choice import resolve_channel, resolve_channels
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection
from cellquilt.slides.slide import Channel, check_finite


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.ome.tif"


# Pixels


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_pixels_are_those_of_the_file(path, dtype, layout, byteorder):
    data = pixels(dtype=dtype)
    write(path, data, byteorder=byteorder, **LAYOUTS[layout])
    with open_slide(path) as slide:
        assert (slide.height, slide.width, slide.dtype) == (150, 110, np.dtype(dtype))
        assert slide.size_bytes == path.stat().st_size
        for channel in range(3):
            rows = [slide.read(channel, y, min(y + 41, 150)) for y in range(0, 150, 41)]
            assert all(row.dtype == slide.dtype and row.dtype.isnative for row in rows)
            np.testing.assert_array_equal(np.concatenate(rows), data[channel])
        for y0, y1, x0, x1 in [(0, 150, 0, 110), (63, 65, 47, 49), (149, 150, 109, 110)]:
            window = slide.read(1, y0, y1, x0, x1)
            np.testing.assert_array_equal(window, data[1, y0:y1, x0:x1])
        assert slide.read(0, 30, 30).shape == (0, 110)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32"])
def test_other_types_of_pixel(tmp_path, dtype):
    path = tmp_path / "plain.tif"  # OME-XML knows no float16
    data = pixels(dtype=dtype)
    options = {"tile": (64, 64), "compression": "zlib", "metadata": {"axes": "CYX"}}
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    with open_slide(path) as slide:
        assert slide.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(slide.read(2, 0, 150), data[2])


def test_bigtiff(path):
    data = pixels()
    write(path, data, bigtiff=True, tile=(64, 64))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(1, 10, 140), data[1, 10:140])


def test_level_0_of_a_subifd_pyramid(path):
    data = pixels()
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(data, subifds=2, tile=(32, 32), metadata={"axes": "CYX"})
        for step in (2, 4):
            tif.write(data[:, ::step, ::step], subfiletype=1, tile=(32, 32), metadata=None)
    with open_slide(path) as slide:
        assert (slide.height, slide.width, len(slide.channels)) == (150, 110, 3)
        np.testing.assert_array_equal(slide.read(2, 0, 150), data[2])


@pytest.mark.parametrize("xml", [True, False])
def test_level_0_of_a_flat_pyramid(path, xml):
    """Levels as images of their own, with OME-XML that describes them, and without."""
    data = pixels()
    description = ome_xml().replace(
        "</OME>",
        '<Image ID="Image:1"><Pixels ID="Pixels:1" DimensionOrder="XYCZT" Type="uint16"'
        ' SizeX="55" SizeY="75" SizeC="3" SizeZ="1" SizeT="1">'
        '<TiffData IFD="3" PlaneCount="3"/></Pixels></Image></OME>',
    )
    with tifffile.TiffWriter(path) as tif:
        options = {"metadata": None, "photometric": "minisblack", "contiguous": False}
        tif.write(data, description=description.encode() if xml else None, **options)
        tif.write(data[:, ::2, ::2], subfiletype=1, **options)
    with open_slide(path) as slide:
        assert (slide.height, slide.width, len(slide.channels)) == (150, 110, 3)
        np.testing.assert_array_equal(slide.read(1, 0, 150), data[1])


@pytest.mark.parametrize("order", ["CZT", "ZCT", "TZC", "ZTC", "CTZ", "TCZ"])
def test_plane_of_z_and_t_in_any_dimension_order(path, order):
    sizes = {"C": 2, "Z": 3, "T": 4}
    data = pixels((*[sizes[axis] for axis in reversed(order)], 20, 24), "uint8")
    write(path, data, metadata={"axes": f"{order[::-1]}YX"})
    with open_slide(path, Selection(z=1, t=3)) as slide:
        assert (slide.selection.z, slide.selection.t) == (1, 3)
        axes = order[::-1]
        for channel in range(2):
            where = {"C": channel, "Z": 1, "T": 3}
            expected = data[tuple(where[axis] for axis in axes)]
            np.testing.assert_array_equal(slide.read(channel, 0, 20), expected)
    refused(path, r"holds 3 planes along Z, .*--z \(0 to 2, or --z max or mean", t=3)
    refused(path, r"holds 4 planes along T, .*--t \(0 to 3\)", z=0)
    refused(path, r"no plane 3 along Z; --z may be 0 to 2", z=3, t=0)
    refused(path, r"no plane -1 along T; --t may be 0 to 3", z=0, t=-1)


def test_a_plane_may_be_chosen_where_there_is_one(path):
    write(path, pixels())
    for given in ({}, {"z": 0, "t": 0}):
        with open_slide(path, Selection(**given)) as slide:
            assert (slide.selection.z, slide.selection.t) == (0, 0)
    refused(path, "no plane 1 along Z", z=1)


@pytest.mark.parametrize("layout", ["zlib-tiles", "lzw-strips", "one-strip"])
def test_strips_from_the_top_decode_each_tile_once(path, layout):
    """Whatever the height of the strips, with the halo that CLAHE needs, channels in turn."""
    data = pixels()
    write(path, data, **LAYOUTS[layout])
    with open_slide(path) as slide:
        decoded = []
        for channel in (0, 1):
            page = slide._planes[channel, 0].page
            decode = page.decode

            def counted(segment, index, _decode=decode, _channel=channel, **tables):
                decoded.append((_channel, index))
                return _decode(segment, index, **tables)

            page.decode = counted
        for y in range(0, 150, 20):
            for channel in (0, 1):
                top, bottom = max(y - 5, 0), min(y + 25, 150)
                np.testing.assert_array_equal(
                    slide.read(channel, top, bottom), data[channel, top:bottom]
                )
        per_page = len(slide._planes[0, 0].page.dataoffsets)
        assert sorted(decoded) == [(c, i) for c in (0, 1) for i in range(per_page)]
        decoded.clear()
        if layout == "zlib-tiles":
            slide.read(0, 0, 10, 50, 60)
            assert decoded == [(0, 1)]


def codes_of(slide):
    return [notice.code for notice in slide.notices]


def test_unwritten_tiles_read_as_zeros_with_a_notice(path):
    data = pixels((1, 128, 128))
    write(path, data, tile=(64, 64), compression="zlib")
    forget_tiles(path, {0, 1})
    data[0, :64] = 0
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 128), data[0])
    assert codes_of(slide) == ["unwritten_tiles"]
    assert "slide.ome.tif: 2 tiles or strips were never written" in slide.notices[0].text


def test_a_window_outside_the_slide_is_a_mistake_of_the_caller(path):
    write(path, pixels())
    with open_slide(path) as slide, pytest.raises(ValueError, match="not in 150 x 110 px"):
        slide.read(0, 100, 151)


# Other kinds of TIFF


def test_imagej_hyperstack(tmp_path):
    path = tmp_path / "hyperstack.tif"
    data = pixels((2, 3, 40, 50), "uint16")
    labels = [f"{name}\nacquired" for _ in range(2) for name in ("DAPI", "CD45", "PanCK")]
    metadata = {"axes": "ZCYX", "Labels": labels}
    tifffile.imwrite(path, data, imagej=True, byteorder=">", metadata=metadata)
    with open_slide(path, Selection(z=1)) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "CD45", "PanCK"]
        assert slide.image_mpp is None
        np.testing.assert_array_equal(slide.read(2, 5, 35), data[1, 2, 5:35])
    refused(path, r"--z \(0 to 1, or --z max or mean over all\)")


def test_imagej_hyperstack_of_one_page(tmp_path):
    """ImageJ writes one page for all planes when they are more than 4 GB."""
    path = tmp_path / "large.tif"
    data = pixels((3, 40, 50), "uint16")
    description = "ImageJ=1.54f\nimages=3\nchannels=3\nhyperstack=true\n"
    tifffile.imwrite(path, data[0], description=description, metadata=None, byteorder=">")
    with path.open("ab") as file:
        file.write(data[1:].astype(">u2").tobytes())
    with open_slide(path) as slide:
        assert len(slide.channels) == 3
        for channel in range(3):
            np.testing.assert_array_equal(slide.read(channel, 0, 40), data[channel])
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "truncated or damaged")


def test_truncated_series_of_one_page(tmp_path):
    """tifffile too can write one page for all planes; only the whole file has them all."""
    path = tmp_path / "one page.tif"
    data = pixels((3, 40, 50), "uint16")
    options = {"truncate": True, "metadata": {"axes": "CYX"}}
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(2, 0, 40), data[2])
    path.write_bytes(path.read_bytes()[:-1000])
    refused(path, "truncated: its pixels go on to byte")


def test_plain_tiff_of_one_channel(tmp_path):
    path = tmp_path / "plain.tif"
    data = pixels((40, 50), "uint8")
    tifffile.imwrite(path, data)
    with open_slide(path) as slide:
        assert slide.channels == (Channel(0, "Channel 0"),)
        np.testing.assert_array_equal(slide.read(0, 0, 40), data)


def test_pages_without_named_axis_are_channels_with_a_notice(tmp_path):
    path = tmp_path / "pages.tif"
    data = pixels((4, 40, 50), "float32")
    tifffile.imwrite(path, data, metadata=None, photometric="minisblack")
    with open_slide(path) as slide:
        assert len(slide.channels) == 4
        np.testing.assert_array_equal(slide.read(3, 0, 40), data[3])
    assert codes_of(slide) == ["pages_taken_as_channels", "channel_names_made_up"]
    assert "no named axis; each of 4 is taken as a channel" in slide.notices[0].text


def pages_of(path, tags):
    """Write a page for each (description, PageName)."""
    with tifffile.TiffWriter(path) as tif:
        for page, (description, name) in zip(pixels((len(tags), 40, 50)), tags, strict=True):
            extra = [] if name is None else [(285, "s", 0, name, True)]
            tif.write(page, description=description, extratags=extra, metadata=None)
    return path


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([("", "DAPI"), ("", "CD45")], ["DAPI", "CD45"]),
        ([('{"channel.target": "HH3"}', "HH3 (90)"), ("{", "CD3 (1)")], ["HH3", "CD3 (1)"]),
        ([('{"channel.target": 7}', None), ("[" * 9999, None)], ["Channel 0", "Channel 1"]),
    ],
)
def test_names_of_pages(tmp_path, tags, expected):
    with open_slide(pages_of(tmp_path / "pages.tif", tags)) as slide:
        assert [channel.name for channel in slide.channels] == expected


def test_names_that_are_missing_or_shared_are_noticed(path):
    write(path, pixels((4, 20, 30)), metadata=names("DNA", "", "DNA", "CD45"))
    with open_slide(path) as slide:
        assert codes_of(slide) == ["channel_names_made_up", "channel_names_duplicated"]
    made_up, shared = [notice.text for notice in slide.notices]
    assert "names for 3 of 4 channels" in made_up and "'Channel 1'" in made_up
    assert "'DNA' (0, 2)" in shared


# Channels along Z or T


def stack(path, labels, axes="ZYX"):
    metadata = {"axes": axes, "Labels": labels}
    shape = (len(labels), 40, 50) if axes == "ZYX" else (2, len(labels) // 2, 40, 50)
    tifffile.imwrite(path, pixels(shape), imagej=True, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("labels", "like"),
    [
        (["HH3.tif", "ECAD.tif", "CD45.tif", "CD3.tif"], True),
        (["slide 1", "slide 2", "slide 3"], False),
        (["z:1/3 - a.czi", "z:2/3 - a.czi", "z:3/3 - a.czi"], False),
        (["DAPI", "DAPI", "CD45"], False),
    ],
)
def test_channels_along_z_are_suspected_by_their_names(tmp_path, labels, like):
    path = stack(tmp_path / "a.tif", labels)
    named = r"as their names suggest \(HH3.tif, ECAD.tif, CD45.tif, ...\), add --channels_axis Z"
    plain = "if they are channels, add --channels_axis Z"
    refused(path, rf"planes along Z, .*--z \(0 to .*{named if like else plain}")
    with open_slide(path, Selection(z=1)) as slide:
        assert slide.channels == (Channel(0, "Channel 0"),)
        assert codes_of(slide) == (["planes_look_like_channels"] if like else [])


@pytest.mark.parametrize(
    ("name", "axis"), [("channels_as_slices.tif", "Z"), ("channels_as_time.ome.tif", "T")]
)
def test_reported_channels_along_z_or_t(shared_data, name, axis):
    path = shared_data / "reported" / name
    refused(path, rf"as their names suggest .*, add --channels_axis {axis}")
    with tifffile.TiffFile(path) as tif:
        planes = [page.asarray() for page in tif.pages]
    with open_slide(path, Selection(channels_axis=axis)) as slide:
        assert len(slide.channels) == len(planes) > 1
        assert not any(channel.name.startswith("Channel") for channel in slide.channels)
        for channel, plane in zip(slide.channels, planes, strict=True):
            np.testing.assert_array_equal(slide.read(channel.index, 0, slide.height), plane)
    refused(path, "no plane 1 along", channels_axis=axis, **{axis.lower(): 1})


def test_channels_axis_of_a_file_that_has_channels_too(path):
    write(path, pixels((2, 3, 20, 24), "uint8"), metadata={"axes": "ZCYX"})
    refused(path, "holds 3 planes along C and 2 along Z; .*may hold one along C", channels_axis="Z")
    with open_slide(path, Selection(z=1, channels_axis="T")) as slide:
        assert len(slide.channels) == 3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32"])
def test_projections_are_those_of_numpy(path, layout, dtype):
    data = pixels((5, 2, 150, 110), dtype)
    write(path, data, metadata={"axes": "ZCYX"}, **LAYOUTS[layout])
    exact = data.astype(np.float64)
    means = (exact[0] + exact[1] + exact[2] + exact[3] + exact[4]) / 5
    for z, expected in (("max", data.max(axis=0)), ("mean", means)):
        with open_slide(path, Selection(z=z)) as slide:
            assert slide.selection.z == z
            for channel in range(2):
                rows = [slide.read(channel, y, min(y + 41, 150)) for y in range(0, 150, 41)]
                found = np.concatenate(rows)
                assert found.dtype == slide.dtype
                np.testing.assert_array_equal(found, expected[channel].astype(slide.dtype))
            slide.release(1)
    assert slide.dtype == (np.float64 if dtype == "uint32" else np.float32)


def test_a_projection_of_one_plane_is_that_plane(path):
    write(path, pixels())
    with open_slide(path, Selection(z="mean")) as slide:
        assert (slide.selection.z, slide.dtype) == (0, np.uint16)


# Scenes


def test_scenes_by_name_and_index(path):
    scenes = {"left": pixels((2, 50, 60)), "right lobe": pixels((3, 50, 60), seed=1)}
    with tifffile.TiffWriter(path, ome=True) as tif:
        for name, data in scenes.items():
            metadata = {"axes": "CYX", "Name": name}
            tif.write(data, photometric="minisblack", metadata=metadata)
    refused(path, r"choose one with --scene: 0 \(left\): 50 x 60 px, 1 \(right lobe\): 50 x 60 px")
    for scene, data in {"0": scenes["left"], "Right Lobe": scenes["right lobe"]}.items():
        with open_slide(path, Selection(scene=scene)) as slide:
            assert len(slide.channels) == len(data)
            np.testing.assert_array_equal(slide.read(1, 0, 50), data[1])
    refused(path, r"no scene '2'; --scene may be 0 \(left\)", scene="2")


def test_scene_that_is_colour(path):
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(pixels((2, 50, 60)), photometric="minisblack", metadata={"axes": "CYX"})
        tif.write(np.zeros((50, 60, 3), "uint8"), photometric="rgb", metadata={"axes": "YXS"})
    refused(path, "3 samples per pixel", scene="1")


def test_no_channel_is_named_after_a_slice(tmp_path):
    labels = [f"c:{c}/3 z:{z}/2 - slide.czi" for z in (1, 2) for c in (1, 2, 3)]
    other = [f"{c}-{z}" for z in (1, 2) for c in "abc"]
    for given in (labels, other):
        with open_slide(stack(tmp_path / "a.tif", given, "ZCYX"), Selection(z=0)) as slide:
            assert [channel.name for channel in slide.channels] == [
                "Channel 0",
                "Channel 1",
                "Channel 2",
            ]


def test_axes_of_unknown_meaning(tmp_path):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, pixels((2, 4, 40, 50), "uint8"), photometric="minisblack")
    refused(path, r"cannot tell what its axes QQYX of \(2, 4, 40, 50\) are; write it as OME-TIFF")


def test_qptiff(tmp_path):
    path = tmp_path / "scan.qptiff"
    data = pixels((2, 64, 80), "uint8")
    with tifffile.TiffWriter(path) as tif:
        options = {"metadata": None, "software": "PerkinElmer-QPI"}
        for plane, name in zip(data, ("DAPI", "Opal 520"), strict=True):
            xml = (
                '<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription>'
                f"<Name>{name}</Name></PerkinElmer-QPI-ImageDescription>"
            )
            grid = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
            tif.write(plane, description=xml, **grid, **options)
        tif.write(np.zeros((16, 20, 3), "uint8"), photometric="rgb", **options)
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "Opal 520"]
        assert resolve_image_mpp(slide, None) == (0.5, "qptiff")
        np.testing.assert_array_equal(slide.read(1, 0, 64), data[1])


# Real files


def test_codex_tile(shared_data):
    with open_slide(shared_data / "codex_tile" / "codex_tile.ome.tif") as slide:
        assert (slide.height, slide.width, slide.dtype) == (1008, 1344, np.uint16)
        assert resolve_channel(slide, "Nucleus", "nuclear") == Channel(0, "nucleus")
        assert resolve_channels(slide, "CH_7; 2", "membrane")[1] == Channel(2, "membrane")
        assert resolve_image_mpp(slide, None) == (0.37745, "ome-xml")
        expected = tifffile.imread(slide.path)[2]
        rows = [slide.read(2, y, min(y + 100, 1008)) for y in range(0, 1008, 100)]
        np.testing.assert_array_equal(np.concatenate(rows), expected)


def test_bioformats_pyramid_big_endian_and_renamed(shared_data):
    path = shared_data / "ome_variants" / "2048x2048_ome6_tiled.ome.tif"
    with open_slide(path) as slide:
        assert (slide.height, slide.width, slide.dtype) == (2048, 2048, np.uint16)
        assert [channel.name for channel in slide.channels] == [
            "Channel 0",
            "Channel 1",
            "Channel 2",
        ]
        expected = tifffile.imread(path)[1]
        np.testing.assert_array_equal(slide.read(1, 1000, 1100, 900), expected[1000:1100, 900:])
        with pytest.raises(DataError, match="1 'pixel', which is no length; give --image_mpp"):
            resolve_image_mpp(slide, None)
        assert resolve_image_mpp(slide, 0.65) == (0.65, "parameter")


def test_signed_bytes_of_viv(shared_data, tmp_path):
    source = shared_data / "ome_variants" / "multi-channel.ome.tif"
    renamed = tmp_path / "renamed.ome.tif"
    shutil.copyfile(source, renamed)
    with open_slide(renamed) as slide:
        np.testing.assert_array_equal(slide.read(2, 0, 167), tifffile.imread(source)[2])
        with pytest.raises(DataError, match="has no pixel size; give --image_mpp"):
            resolve_image_mpp(slide, None)


def test_cytokit_pair(shared_data):
    for channel in ("CH1", "CH2"):
        path = shared_data / "cytokit_pair" / f"1_00001_Z002_{channel}.tif"
        with open_slide(path) as slide:
            np.testing.assert_array_equal(slide.read(0, 0, 128), tifffile.imread(path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pagename.tif", ["DAPI", "CD45", "PanCK"]),
        ("mibi_like.tif", ["dsDNA", "HH3", "Na-K-ATPase"]),
        ("ij_zc.tif", ["Channel 0", "Channel 1", "Channel 2"]),
    ],
)
def test_reported_names(shared_data, name, expected):
    path = shared_data / "reported" / name
    with open_slide(path, Selection(z=0)) as slide:
        assert [channel.name for channel in slide.channels] == expected


def test_reported_z_stack(shared_data):
    path = shared_data / "reported" / "z3c2.ome.tif"
    refused(path, r"holds 3 planes along Z, .*--z \(0 to 2, or --z max or mean over all\)")
    with tifffile.TiffFile(path) as tif:
        data, axes = tif.asarray(), tif.series[0].axes
    data = np.moveaxis(data, axes.index("Z"), 0)
    of_z = {0: data[0], 2: data[2], "max": data.max(axis=0), "mean": data.mean(axis=0)}
    for z, expected in of_z.items():
        with open_slide(path, Selection(z=z)) as slide:
            for channel in slide.channels:
                rows = slide.read(channel.index, 0, slide.height)
                np.testing.assert_array_equal(rows, expected[channel.index].astype(slide.dtype))


def test_reported_pixel_sizes(shared_data):
    folder = shared_data / "reported"
    with open_slide(folder / "ij_micron.tif") as slide:
        assert resolve_image_mpp(slide, None) == (pytest.approx(0.325, rel=1e-5), "imagej")
    with open_slide(folder / "qpi_aniso.qptiff") as slide:
        sizes = r"pixel size along X \(1 um\) and pixel size along Y \(0.5 um\) differ by more"
        with pytest.raises(DataError, match=sizes):
            resolve_image_mpp(slide, None)


# Pixels that are no number


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_first_pixel_that_is_not_finite(path, bad):
    data = pixels((2, 60, 50), "float32")
    data[1, 45, 7] = data[1, 45, 9] = data[1, 50, 0] = bad
    write(path, data)
    with open_slide(path) as slide:
        good, channel = slide.channels
        check_finite(slide.read(0, 0, 60), slide, good, 0)
        check_finite(slide.read(1, 0, 40), slide, channel, 0)
        with pytest.raises(DataError) as caught:
            check_finite(slide.read(1, 40, 60), slide, channel, 40)
    assert str(caught.value) == (
        f"{path}: channel 1 ('Channel 1') is {bad} at pixel (y=45, x=7);"
        " replace NaN, infinite pixels and those beyond 1e+37, for example by 0"
    )


def test_integers_are_finite(path):
    write(path, pixels())
    with open_slide(path) as slide:
        check_finite(slide.read(0, 0, 150), slide, slide.channels[0], 0)
