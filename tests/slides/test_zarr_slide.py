"""OME-Zarr is read as the same pixels in a TIFF are."""

import itertools
import os

import numcodecs
import numpy as np
import pytest
import zarr
from support.slides import names, pixels, refused, write
from support.zarrs import change, write_image, write_zarr, zipped

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.slides import zarr_slide
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection

V2 = {
    "blosc": {"compressors": numcodecs.Blosc("lz4", shuffle=2)},
    "zstd": {"compressors": numcodecs.Zstd()},
    "zlib": {"compressors": numcodecs.Zlib()},
    "gzip": {"compressors": numcodecs.GZip()},
    "lz4": {"compressors": numcodecs.LZ4()},
    "bz2": {"compressors": numcodecs.BZ2()},
    "lzma": {"compressors": numcodecs.LZMA()},
    "raw": {"compressors": None},
    "slashes": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "order F": {"order": "F", "compressors": numcodecs.Zlib()},
    "shuffle": {"filters": [numcodecs.Shuffle(2)], "compressors": numcodecs.Zlib()},
}
V3 = {
    "zstd": {},
    "blosc": {"compressors": zarr.codecs.BloscCodec()},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "checksum": {"compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()]},
    "raw": {"compressors": None},
    "big-endian": {"serializer": zarr.codecs.BytesCodec(endian="big")},
    "transposed": {"filters": zarr.codecs.TransposeCodec(order=(2, 0, 1))},
    "dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "shards": {"shards": (3, 128, 96)},
    "a shard a channel": {"shards": (1, 192, 144), "compressors": zarr.codecs.BloscCodec()},
    "large chunks": {"chunks": (3, 200, 300)},
}
LAYOUTS = [("0.4", kind) for kind in V2] + [("0.5", kind) for kind in V3]
DTYPES = ["uint8", "uint16", "uint32", "int16", "float32"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.zarr"


def zarr_of(path, data, version, kind="zstd", **given):
    return write_zarr(path, data, version, **((V2 if version == "0.4" else V3)[kind] | given))


def reads_as(path, data, **selected):
    """Assert that all channels are read, in strips that overlap and in windows."""
    with open_slide(path, Selection(**selected)) as slide:
        height, width = data.shape[1:]
        assert (slide.height, slide.width, slide.dtype) == (height, width, data.dtype)
        assert len(slide.channels) == len(data)
        for channel, plane in enumerate(data):
            for y in range(0, height, 50):
                top, bottom = max(y - 5, 0), min(y + 55, height)
                rows = slide.read(channel, top, bottom)
                assert rows.dtype == slide.dtype and rows.dtype.isnative
                np.testing.assert_array_equal(rows, plane[top:bottom])
            for y0, y1, x0, x1 in [
                (0, height, 0, width),
                (height // 2 - 1, height // 2 + 1, width // 2 - 1, width // 2 + 1),
                (height - 1, height, 3, 9),
            ]:
                window = slide.read(channel, y0, y1, x0, x1)
                np.testing.assert_array_equal(window, plane[y0:y1, x0:x1])
            slide.release(channel)
        return [notice.code for notice in slide.notices]


# Pixels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("version", "kind"), LAYOUTS)
def test_pixels_are_those_of_the_array(path, version, kind, dtype):
    data = pixels(dtype=dtype)
    reads_as(zarr_of(path, data, version, kind), data)


@pytest.mark.filterwarnings("ignore:Numcodecs codecs")
@pytest.mark.parametrize("dtype", ["<u2", ">u2", ">i2", ">f4", "<u4", "|u1", "<f2", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_byte_orders_and_filters_of_version_2(path, dtype, order):
    data = pixels(dtype=dtype)
    filters = [numcodecs.Delta(dtype), numcodecs.Shuffle(data.itemsize)]
    write_zarr(path, data, filters=filters[1:] if data.dtype.kind == "f" else filters, order=order)
    reads_as(path, data.astype(data.dtype.newbyteorder("=")))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ingest_gives_what_it_gives_of_a_tiff(tmp_path, version):
    """As a folder with a pyramid, as a zip and as a zip of the folder, with the file's own size."""
    data = pixels()
    micron = {"PhysicalSizeX": 0.4, "PhysicalSizeXUnit": "µm"}
    micron |= {"PhysicalSizeY": 0.4, "PhysicalSizeYUnit": "µm"}
    told = {"metadata": names("DAPI", "CD45", "PanCK") | micron}
    paths = [write(tmp_path / "slide.ome.tif", data, **told)]
    given = {"names": ("DAPI", "CD45", "PanCK"), "mpp": 0.4, "levels": 3}
    paths += [zarr_of(tmp_path / "slide.zarr", data, version, **given)]
    paths += [zipped(paths[1], tmp_path / "slide.ozx")]
    paths += [zipped(paths[1], tmp_path / "slide.zip", "slide.zarr/", compression=8)]
    found = []
    for path in paths:
        store = tmp_path / "store.zip"
        facts = ingest(Request("s", path, "DAPI", "CD45;PanCK"), store)
        with stores.read(store) as group:
            found.append((facts, group["codes"][:], group["lut"][:]))
    (expected, *arrays), *others = found
    for facts, *own in others:
        for array, other in zip(own, arrays, strict=True):
            np.testing.assert_array_equal(array, other)
        assert (expected["image_mpp_source"], facts["image_mpp_source"]) == ("ome-xml", "ome-zarr")
        assert facts["image_mpp"] == expected["image_mpp"] == 0.4
        assert facts["normalisation"] == expected["normalisation"]
        kept = ("height", "width", "dtype", "channels", "z", "t")
        assert {k: facts["image"][k] for k in kept} == {k: expected["image"][k] for k in kept}
    chunks = sum(file.stat().st_size for file in (paths[1] / "0").rglob("*") if file.is_file())
    assert others[0][0]["image"]["size_bytes"] == chunks
    assert others[1][0]["image"]["size_bytes"] == paths[2].stat().st_size


@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "czyx", "tcyx", "tzyx", "tczyx"])
def test_any_axes(path, axes):
    data = pixels([{"t": 3, "c": 2, "z": 4, "y": 70, "x": 50}[axis] for axis in axes])
    write_zarr(path, data, axes=axes)
    selected = {"t": 2, "z": 1}
    at = tuple(selected.get(axis, slice(None)) for axis in axes)
    expected = data[at].reshape(-1, 70, 50)
    reads_as(path, expected, **{axis: n for axis, n in selected.items() if axis in axes})


def test_projection_and_planes(path):
    data = pixels((2, 5, 70, 50))
    write_zarr(path, data, "0.5", "czyx", chunks=(1, 3, 32, 32))
    reads_as(path, data.max(axis=1), z="max")
    mean = data.astype("float64").sum(axis=1) / 5
    reads_as(path, mean.astype("float32"), z="mean")
    refused(path, r"holds 5 planes along Z, .*--z \(0 to 4, or --z max or mean")
    refused(path, "no plane 5 along Z; --z may be 0 to 4", z=5)


@pytest.mark.parametrize("axis", ["Z", "T"])
def test_channels_along_another_axis(path, axis):
    data = pixels((3, 70, 50))
    write_zarr(path, data, axes=f"{axis.lower()}yx", names=["stack"])
    codes = reads_as(path, data, channels_axis=axis)
    assert codes == ["channel_names_made_up"]
    with open_slide(path, Selection(channels_axis=axis, names=("a", "b", "c"))) as slide:
        assert [channel.name for channel in slide.channels] == ["a", "b", "c"]


def test_a_file_with_channels_along_two_axes(path):
    write_zarr(path, pixels((2, 3, 20, 24)), axes="czyx")
    refused(path, "holds 2 planes along C and 3 along Z; .*may hold one along C", channels_axis="Z")


@pytest.mark.parametrize(("version", "kind"), [("0.4", "zstd"), ("0.5", "shards")])
def test_strips_from_the_top_decode_each_chunk_once(path, version, kind, monkeypatch):
    """Whatever the height of the strips, with the halo that CLAHE needs, channels in turn."""
    from cellquilt.slides import zarr_array

    data = pixels()
    zarr_of(path, data, version, kind)
    decoded = []
    decode = zarr_array._DECOMPRESS["zstd"]
    counted = {"zstd": lambda *a, **k: decoded.append(1) or decode(*a, **k)}
    monkeypatch.setattr(zarr_array, "_DECOMPRESS", zarr_array._DECOMPRESS | counted)
    with open_slide(path) as slide:
        for y, channel in itertools.product(range(0, 150, 20), (0, 1)):
            top, bottom = max(y - 5, 0), min(y + 25, 150)
            rows = slide.read(channel, top, bottom)
            np.testing.assert_array_equal(rows, data[channel, top:bottom])
        assert len(decoded) == 2 * 3 * 3
        decoded.clear()
        slide.read(2, 0, 10, 50, 60)
        assert len(decoded) == 1


def test_only_the_chunks_that_are_needed_are_read(path, monkeypatch):
    data = pixels((8, 512, 512))
    write_zarr(path, data, "0.5", chunks=(1, 64, 64), shards=(8, 512, 512), compressors=None)
    read = []
    whole = zarr_slide.ZarrFiles.read

    def counted(self, *where):
        read.append(whole(self, *where))
        return read[-1]

    monkeypatch.setattr(zarr_slide.ZarrFiles, "read", counted)
    with open_slide(path) as slide:
        read.clear()
        np.testing.assert_array_equal(slide.read(3, 0, 512), data[3])
    assert sum(map(len, read)) < 1.05 * data[3].nbytes


# Pixel size and names


@pytest.mark.parametrize(
    ("unit", "mpp", "expected"),
    [
        *(("micrometer", 0.65, 0.65), ("nanometer", 325, 0.325), ("millimeter", 0.0005, 0.5)),
        *(("picometer", 5e5, 0.5), ("angstrom", 5000, 0.5), ("µm", 0.5, 0.5)),
    ],
)
def test_pixel_size_is_in_the_unit_of_the_axes(path, unit, mpp, expected):
    write_zarr(path, pixels((1, 40, 50)), mpp=mpp, unit=unit)
    with open_slide(path) as slide:
        found, source = resolve_image_mpp(slide, None)
        assert (found, source) == (pytest.approx(expected), "ome-zarr")


def test_the_scale_of_all_levels_is_a_factor(path):
    write_zarr(path, pixels((1, 40, 50)), mpp=1.0)
    factor = [{"type": "scale", "scale": [1, 0.65, 0.65]}, {"type": "translation"}]
    change(path / ".zattrs", "multiscales", 0, "coordinateTransformations", value=factor)
    with open_slide(path) as slide:
        assert slide.image_mpp == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("scale", "unit", "match"),
    [
        ([1, 1.0, 1.0], None, "has no pixel size; give --image_mpp"),
        ([1, 0.5, 0.5], None, r"scale along X is 0.5 without a unit; give --image_mpp"),
        ([1, 0.5, 0.5], "pixel", "scale along X is 0.5 'pixel', which is no length"),
        ([1, 0.5, 0.7], "micrometer", r"scale along Y \(0.5 um\) differ by more than 1 %"),
        ([1, "a", 0.7], "micrometer", "has no pixel size"),
        ([0.5, 0.5], "micrometer", "has no pixel size"),
        ([1, 10**400, 0.5], "micrometer", "has no pixel size"),
    ],
)
def test_pixel_size_that_must_be_given(path, scale, unit, match):
    write_zarr(path, pixels((1, 40, 50)), unit=unit)
    step = [{"type": "scale", "scale": scale}]
    place = ("multiscales", 0, "datasets", 0, "coordinateTransformations")
    change(path / ".zattrs", *place, value=step)
    with open_slide(path) as slide:
        with pytest.raises(DataError, match=match):
            resolve_image_mpp(slide, None)
        assert resolve_image_mpp(slide, 0.65) == (0.65, "parameter")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_names_are_those_of_omero(path, version):
    write_zarr(path, pixels(), version, names=["DAPI", "a\nb"])
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "a b", "Channel 2"]
        assert [notice.code for notice in slide.notices] == ["channel_names_made_up"]


def test_more_names_than_channels(path):
    write_zarr(path, pixels(), names=list("abcd"))
    refused(path, r"metadata \(omero\) name 4 channels, and the image has 3; correct them")
    with open_slide(path, Selection(names=("d", "e", "f"))) as slide:
        assert slide.channels[0].name == "d"


# Scenes


def layout(path, version="0.4", listed=False, xml=None, **scenes):
    """Write images as bioformats2raw does, of which `scenes` has the pixels by their name."""
    root = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    ome = root.create_group("OME")
    told = ({"bioformats2raw.layout": 3}, {"series": [*map(str, range(len(scenes)))]})
    for group, each in ((root, told[0]), (ome, told[1] if listed else {})):
        group.attrs.update(each if version == "0.4" else {"ome": {"version": version} | each})
    for number, data in enumerate(scenes.values()):
        write_image(root.create_group(str(number)), data, version)
    images = "".join(
        f'<Image ID="Image:{n}" Name="{name}"><Pixels ID="Pixels:{n}" DimensionOrder="XYZCT"'
        f' Type="uint16" SizeX="9" SizeY="9" SizeC="1" SizeZ="1" SizeT="1"><MetadataOnly/></Pixels>'
        "</Image>"
        for n, name in enumerate(scenes)
    )
    root = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    (path / "OME" / "METADATA.ome.xml").write_text(xml or f"{root}{images}</OME>")
    return path


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_scenes_by_name_and_index(path, version, listed):
    left, right = pixels((2, 50, 60)), pixels((3, 50, 60), seed=1)
    layout(path, version, listed, left=left, right=right)
    refused(path, r"choose one with --scene: 0 \(left\): 50 x 60 px, 1 \(right\): 50 x 60 px")
    refused(path, r"no scene '2'; --scene may be 0 \(left\)", scene="2")
    for scene, data in {"0": left, "Right": right}.items():
        reads_as(path, data, scene=scene)
    reads_as(path / "1", right)
    reads_as(zipped(path, path.with_suffix(".zip")), right, scene="right")


def test_a_scene_alone_and_one_beside_a_thumbnail(path, tmp_path):
    data = pixels((2, 100, 120))
    reads_as(layout(path, whole=data), data)
    reads_as(layout(tmp_path / "two.zarr", macro=data[:, :30, :30], whole=data), data)


def test_names_of_scenes_that_cannot_be_read_do_not_matter(path):
    layout(path, xml="<OME", left=pixels((1, 50, 60)), right=pixels((1, 50, 60)))
    refused(path, "--scene: 0: 50 x 60 px, 1: 50 x 60 px")


# What is no slide


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_groups_that_are_no_image(path, version):
    group = zarr.create_group(path, zarr_format=2 if version == "0.4" else 3)
    for told, match in (
        ({"plate": {"wells": [{"path": "B/3"}]}}, rf"is a plate .*for example {path}/B/3/0$"),
        ({"plate": {"wells": [{"path": "../../x"}]}}, rf"is a plate .*for example {path}/A/1/0$"),
        ({"well": {"images": [{"path": "2"}]}}, rf"plate or well .*for example {path}/2$"),
        ({"labels": ["cell"]}, "holds labels and not an image; give the image, a folder above"),
        ({}, "is no OME-Zarr image, since its metadata have no multiscales; .*give its folder"),
        ({"bioformats2raw.layout": 3}, "is no OME-Zarr image"),
        ({"multiscales": [{}]}, "its multiscales name no dataset"),
        ({"multiscales": 3, "omero": 4}, "its multiscales name no dataset"),
    ):
        group.attrs.put(told if version == "0.4" else {"ome": told})
        refused(path, match)
    write_image(group, pixels(), version)
    refused(path / "0", "is no OME-Zarr image")
    change(
        path / (".zattrs" if version == "0.4" else "zarr.json"),
        *(() if version == "0.4" else ("attributes", "ome")),
        "image-label",
        value={"version": version},
    )
    refused(path, "holds labels and not an image")


def test_versions_and_axes_that_are_not_read(path):
    write_zarr(path, pixels())
    told = path / ".zattrs"
    change(told, "multiscales", 0, "version", value="0.6-dev")
    refused(path, "is OME-Zarr 0.6-dev, which is not read; write it again as OME-Zarr 0.4 or 0.5")
    for axes in ("cxy", "ccyx", "ayx", "yx", [3, None, {}]):
        change(told, "multiscales", 0, "version", value="0.4")
        change(
            told, "multiscales", 0, "axes", value=[a if a is None else {"name": a} for a in axes]
        )
        refused(path, "cannot tell what its axes are")


def test_axes_of_before_0_4(path):
    data = pixels((1, 3, 1, 50, 60))
    write_zarr(path, data, axes="tczyx")
    told = path / ".zattrs"
    change(told, "multiscales", 0, "axes", value=list("tczyx"))
    reads_as(path, data[0, :, 0])
    change(told, "multiscales", 0, "axes", value=None)
    reads_as(path, data[0, :, 0])


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "complex64"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_pixels_that_are_no_intensities(path, version, dtype):
    write_zarr(path, np.zeros((1, 20, 30), dtype), version)
    refused(
        path, f"pixels are of type {dtype}; Cellquilt reads integers of 8 to 32 bits and floats"
    )


def test_zips_that_are_no_zarr(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    path = zipped(tmp_path, tmp_path / "a.zip")
    refused(path, "is no OME-Zarr image")


def test_the_path_of_a_link_is_followed(path, tmp_path):
    """As Nextflow puts inputs into a task."""
    data = pixels()
    write_zarr(path, data)
    (tmp_path / "task").symlink_to(path)
    reads_as(tmp_path / "task", data)


# Not wholly there


def chunk(path, number):
    """Return the file of a chunk, whose number is such as 1/0/2."""
    ends = (number, number.replace("/", "."))
    files = (file for file in (path / "0").rglob("*") if file.is_file())
    return next(file for file in files if file.as_posix().endswith(ends))


@pytest.mark.parametrize(("version", "kind"), LAYOUTS[:-3])
@pytest.mark.parametrize("packed", [True, False])
def test_chunks_that_were_never_written(path, version, kind, packed):
    data = pixels()
    zarr_of(path, data, version, kind, fill_value=7)
    for number in ("1/0/1", "2/2/2"):
        chunk(path, number).unlink()
    data[1, :64, 48:96] = data[2, 128:, 96:] = 7
    if packed:
        path = zipped(path, path.with_suffix(".zip"))
    assert reads_as(path, data) == ["channel_names_made_up", "unwritten_tiles"]
    with open_slide(path) as slide:
        text = f"{path.name}: 2 chunks were never written and are read as their fill value; copy"
        assert slide.notices[1].text.startswith(text)


def test_a_channel_and_a_slide_without_chunks(path):
    data = pixels((3, 64, 48))
    write_zarr(path, data)
    chunk(path, "1/0/0").unlink()
    with open_slide(path) as slide:
        assert "1 chunks were never written" in slide.notices[1].text
        assert "among them all of channel 1;" in slide.notices[1].text
    for number in "02":
        chunk(path, f"{number}/0/0").unlink()
    refused(path, r"truncated or damaged \(it has no chunk of its pixels\); copy")


def test_chunks_are_counted_up_to_a_bound(path, monkeypatch):
    write_zarr(path, pixels())
    chunk(path, "1/0/1").unlink()
    monkeypatch.setattr(zarr_slide, "_MAX_COUNTED", 8)
    with open_slide(path) as slide:
        assert [notice.code for notice in slide.notices] == ["channel_names_made_up"]
        assert slide.size_bytes is None


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "lzma"])  # others have no checksum
def test_flipped_bytes_are_found_when_they_are_read(path, kind):
    zarr_of(path, pixels(), "0.4", kind)
    file = chunk(path, "1/1/0")
    file.write_bytes(file.read_bytes()[:16] + bytes(9) + file.read_bytes()[40:])
    with open_slide(path) as slide:
        slide.read(1, 0, 64)
        problem = (
            r"truncated or damaged \(channel 1, rows 64 to 127: .*\); copy, download or export"
        )
        with pytest.raises(DataError, match=f"{path.name}: {problem}"):
            slide.read(1, 60, 70)
        slide.read(0, 60, 70)


@pytest.mark.parametrize(("version", "kind"), LAYOUTS)
@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 64])
def test_chunks_that_are_cut_or_of_something_else(path, version, kind, content):
    zarr_of(path, pixels(), version, kind)
    file = max((file for file in (path / "0").rglob("*") if file.is_file()), key=os.path.getsize)
    file.write_bytes(content)
    with open_slide(path) as slide, pytest.raises(DataError, match="truncated or damaged"):
        for channel in range(3):
            slide.read(channel, 0, 150)


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_truncated_zip(path, part):
    packed = zipped(write_zarr(path, pixels()), path.with_suffix(".zip"))
    content = packed.read_bytes()
    packed.write_bytes(content[: int(part * len(content))])
    refused(packed, "truncated or damaged")


def test_metadata_that_are_cut(path):
    write_zarr(path, pixels())
    (path / "0" / ".zarray").write_text("{")
    refused(path, r"truncated or damaged \(0/.zarray: .*\); copy")
    (path / "0" / ".zarray").unlink()
    refused(path, r"truncated or damaged \(there is no array 0, its full resolution\)")


# Files of other writers


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_ome_zarr_py_writes(path, version):
    from ome_zarr import writer
    from ome_zarr.format import format_from_version
    from ome_zarr_models.common.omero import Omero

    data = pixels((3, 300, 200))
    fmt = format_from_version(version)
    group = zarr.create_group(path, zarr_format=fmt.zarr_format)
    size = {"c": 1.0, "y": 0.65, "x": 0.65}
    units = {"y": "micrometer", "x": "micrometer"}
    window = {"min": 0, "max": 1, "start": 0, "end": 1}
    channels = [{"label": name, "color": "ffffff", "window": window} for name in ("DAPI", "a", "b")]
    omero = Omero(channels=channels)
    writer.write_image(data, group, fmt=fmt, axes="cyx", scale=size, axes_units=units, omero=omero)
    assert reads_as(path, data) == []
    with open_slide(path) as slide:
        assert [channel.name for channel in slide.channels] == ["DAPI", "a", "b"]
        assert resolve_image_mpp(slide, None) == (0.65, "ome-zarr")
