"""Label images: what other tools read from them, and reading them back."""

import numpy as np
import ome_types
import pytest
import tifffile

from cellquilt.errors import DataError
from cellquilt.images.label_image import LabelReader, write_label_image, write_label_strips
from cellquilt.images.strips import Scratch, strip_rows

MPP = 0.37745


def random_labels(height, width, seed=0, largest=2**32 - 1):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, largest, (-(-height // 7), -(-width // 9)), np.uint32, endpoint=True)
    blocks[rng.random(blocks.shape) < 0.3] = 0
    return np.kron(blocks, np.ones((7, 9), np.uint32))[:height, :width]


@pytest.fixture(scope="module")
def labels():
    return random_labels(1100, 1501)


@pytest.fixture(scope="module")
def written(labels, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "cell.ome.tif"
    write_label_image(path, labels, MPP, "cell")
    return path


def test_metadata_is_valid_and_complete(written):
    with tifffile.TiffFile(written) as tiff:
        xml = tiff.ome_metadata
    ome_types.validate_xml(xml)
    pixels = ome_types.from_tiff(written).images[0].pixels
    assert (pixels.size_y, pixels.size_x, pixels.size_c) == (1100, 1501, 1)
    assert (pixels.physical_size_x, pixels.physical_size_y) == (MPP, MPP)
    assert pixels.physical_size_x_unit.value == pixels.physical_size_y_unit.value == "µm"
    assert [channel.name for channel in pixels.channels] == ["cell"]
    assert pixels.type.value == "uint32"


def test_tiff_layout(written):
    with tifffile.TiffFile(written) as tiff:
        page = tiff.pages[0]
        assert tiff.is_bigtiff and tiff.is_ome and len(tiff.pages) == 1
        assert (page.tilelength, page.tilewidth) == (512, 512)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.dtype == np.uint32
        assert page.get_resolution(tifffile.RESUNIT.MICROMETER)[0] == pytest.approx(1 / MPP)


def test_pyramid_takes_every_second_pixel(written, labels):
    with tifffile.TiffFile(written) as tiff:
        [series] = tiff.series
        assert [level.shape for level in series.levels] == [(1100, 1501), (550, 751), (275, 376)]
        for step, level in zip((1, 2, 4), series.levels, strict=True):
            np.testing.assert_array_equal(level.asarray(), labels[::step, ::step])


@pytest.mark.parametrize(
    ("shape", "levels"), [((512, 512), 1), ((1, 1), 1), ((3, 513), 2), ((1025, 20), 3)]
)
def test_number_of_levels(tmp_path, shape, levels):
    path = tmp_path / "cell.ome.tif"
    labels = random_labels(*shape)
    write_label_image(path, labels, MPP, "cell")
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series[0].levels) == levels
    np.testing.assert_array_equal(tifffile.imread(path), labels)


def test_equal_masks_are_equal_files(written, labels, tmp_path):
    path = tmp_path / "other.ome.tif"

    def content(labels, mpp=MPP, name="cell"):
        write_label_image(path, labels, mpp, name)
        return path.read_bytes()

    on_disk = Scratch(tmp_path, labels.shape, np.uint32)
    on_disk[:] = labels
    changed = labels.copy()
    changed[700, 3] += 1
    assert content(labels) == written.read_bytes()
    assert content(on_disk) == written.read_bytes()
    assert content(np.asfortranarray(labels)) == written.read_bytes()
    others = [content(changed), content(labels, mpp=0.5), content(labels, name="nucleus")]
    others += [content(labels.reshape(1501, 1100)), written.read_bytes()]
    assert len(set(others)) == 5
    uuids = set()
    for other in others:
        path.write_bytes(other)
        uuids.add(ome_types.from_tiff(path).uuid)
    assert len(uuids) == 5


@pytest.mark.parametrize("rows", [1, 7, 511, 512, 513, 1100])
def test_height_of_the_strips_does_not_change_the_file(written, labels, tmp_path, rows):
    path = tmp_path / "strips.ome.tif"
    strips = (labels[y0:y1] for y0, y1 in strip_rows(labels.shape, rows))
    write_label_strips(path, labels.shape, strips, MPP, "cell")
    assert path.read_bytes() == written.read_bytes()


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (range(1099), slice(None), "the strips end 76 rows before"),
        (range(1101), slice(None), "more rows than the image's 1100"),
        (range(1100), slice(1500), "uint32 .1, 1500., not 1501 px wide"),
    ],
)
def test_refuses_strips_that_are_not_the_image(labels, tmp_path, rows, columns, message):
    path = tmp_path / "cell.ome.tif"
    strips = (labels[None, y % len(labels), columns] for y in rows)
    with pytest.raises(ValueError, match=message):
        write_label_strips(path, labels.shape, strips, MPP, "cell")
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_nothing_and_keeps_the_old_file(written, tmp_path):
    path = tmp_path / "cell.ome.tif"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="uint32"):
        write_label_image(path, np.zeros((5, 5), np.uint16), MPP, "cell")
    with pytest.raises(ZeroDivisionError):  # the file is open by then
        write_label_image(path, np.zeros((5, 5), np.uint32), 0, "cell")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["cell.ome.tif"]


def test_more_labels_than_uint16(tmp_path):
    labels = np.arange(300 * 301, dtype=np.uint32).reshape(300, 301)
    write_label_image(tmp_path / "cell.ome.tif", labels, MPP, "cell")
    with LabelReader(tmp_path / "cell.ome.tif") as reader:
        np.testing.assert_array_equal(reader.read(0, 300), labels)


@pytest.mark.parametrize("rows", [1, 100, 512, 513, 1100])
def test_read_in_strips_with_context(written, labels, rows):
    with LabelReader(written) as reader:
        assert reader.shape == labels.shape
        for y0, y1 in strip_rows(reader.shape, rows):
            np.testing.assert_array_equal(
                reader.read(y0 - 1, y1 + 1), labels[max(y0 - 1, 0) : y1 + 1]
            )


@pytest.mark.parametrize("dtype", ["<u1", "<u2", ">u2", ">u4", "<i4", ">i8"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 3}, {"tile": (16, 32)}, {}])
def test_reads_any_integer_tiff(tmp_path, dtype, layout):
    labels = random_labels(60, 70, largest=127)
    tifffile.imwrite(tmp_path / "plain.tif", labels.astype(dtype), byteorder=dtype[0], **layout)
    with LabelReader(tmp_path / "plain.tif") as reader:
        found = reader.read(20, 60)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, labels[20:])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((5, 5), np.float32), "bad.tif: holds float32 of shape .5, 5.; a label image is"),
        (np.ones((2, 5, 5), np.uint16), "bad.tif: holds uint16 of shape .2, 5, 5.; a label image"),
        (np.full((5, 5), -1, np.int32), "bad.tif: rows 0 on: labels must not be negative"),
        (np.full((5, 5), 2**32, np.uint64), "bad.tif: rows 0 on: labels must not exceed"),
    ],
)
def test_refuses_what_is_no_label_image(tmp_path, array, message):
    tifffile.imwrite(tmp_path / "bad.tif", array, photometric="minisblack")
    with pytest.raises(DataError, match=message), LabelReader(tmp_path / "bad.tif") as reader:
        reader.read(0, 5)


@pytest.mark.parametrize("kept", [0.25, 0.001, 0])
@pytest.mark.parametrize("compressed", [True, False])
def test_refuses_a_truncated_file(written, labels, tmp_path, compressed, kept):
    path = tmp_path / "cut.tif"
    if not compressed:
        tifffile.imwrite(path, labels)
    content = (written if compressed else path).read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match="cut.tif: "), LabelReader(path) as reader:
        reader.read(0, reader.shape[0])


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.tif: cannot be read"):
        LabelReader(tmp_path / "none.tif")
