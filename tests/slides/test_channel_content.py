"""Channels that are constant, saturated, or labels and no image; and images that are none of it."""

import numpy as np
import pytest
import tifffile
from support.slides import names, pixels, write

from cellquilt.slides.channel_content import ChannelContent, notices_of
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide
from cellquilt.slides.slide import Channel

DISKS = np.zeros((200, 300), np.uint16)
for _label, (_y, _x) in enumerate(np.ndindex(6, 9), start=1):
    _rows, _columns = np.ogrid[:200, :300]
    DISKS[(_rows - 20 - 32 * _y) ** 2 + (_columns - 20 - 32 * _x) ** 2 < 140] = _label


def codes(image, channel=0):
    """Return the codes of an image that is read in overlapping strips, some of them twice."""

    class Array:
        path, width = DISKS_PATH, image.shape[1]

        @staticmethod
        def read(_channel, y0, y1):
            return image[y0:y1]

    content = ChannelContent()
    for _ in range(2):
        for y0 in range(0, len(image), 64):
            content.add(image[max(y0 - 9, 0) : y0 + 64], max(y0 - 9, 0))
    found = notices_of(content, Array, Channel(channel, "DAPI"), "nuclear", blank=False)
    return [notice.code for notice in found]


DISKS_PATH = type("Path", (), {"name": "slide.tif"})


def shades(high, dtype, n=5000, seed=1):
    """Return smooth spots over noise, up to about `high`."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:200, :300]
    image = np.zeros((200, 300))
    for cy, cx in rng.integers(0, 300, (60, 2)):
        image += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 80)
    return (high * (image / image.max() + rng.random(image.shape) / 20) / 1.1).astype(dtype)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((200, 300), "uint16"), ["constant_channel"]),
        (np.full((200, 300), 7.5, "float32"), ["constant_channel"]),
        (DISKS, ["label_image"]),
        (DISKS.astype("float32"), ["label_image"]),
        (DISKS.astype("int32") * 1000, ["label_image"]),
        (DISKS % 3 + (DISKS > 0), ["label_image"]),
        ((DISKS > 0).astype("uint8"), ["binary_image"]),
        ((DISKS > 0).astype("uint8") * 255, ["binary_image"]),
        (np.minimum(shades(65535, "uint16") * 3.0, 65535).astype("uint16"), ["saturated_channel"]),
        (np.minimum(shades(4095, "uint16") * 3, 4095), ["saturated_channel"]),
        (np.minimum(shades(3.0, "float32"), 1), ["saturated_channel"]),
        (shades(255, "uint8"), []),
        (shades(40, "uint8"), []),
        (shades(4095, "uint16"), []),
        (shades(1.0, "float32"), []),
        (np.random.default_rng(1).poisson(0.05, (200, 300)).astype("uint8"), []),
        (np.random.default_rng(1).poisson(0.5, (200, 300)).astype("float32"), []),
        (pixels((200, 300)), []),
    ],
)
def test_what_a_channel_is(image, expected):
    assert codes(image) == expected


def test_labels_are_found_and_images_are_left_alone_in_real_data(shared_data):
    folders = [shared_data / name for name in ("codex_tile", "cytokit_pair", "dsb2018")]
    paths = [path for folder in folders for path in sorted(folder.glob("*.tif"))]
    assert len(paths) > 9
    for path in paths:
        image = tifffile.imread(path)
        labels = any(name in path.name for name in ("mask", "nuclei", "cells"))
        for channel in image.reshape(-1, *image.shape[-2:]):
            found = codes(channel)
            assert found == [] or labels, path
            assert not labels or found in (["label_image"], ["binary_image"]), path


def test_ingest_writes_what_it_noticed(tmp_path):
    data = np.stack([DISKS, np.full_like(DISKS, 3), shades(4095, "uint16")])
    path = write(tmp_path / "slide.ome.tif", data, metadata=names("labels", "blank", "good"))
    for membrane, expected in {
        "blank": ["label_image", "constant_channel"],
        "good;blank": ["label_image", "constant_channel"],
        "": ["no_membrane_channel", "label_image"],
    }.items():
        facts = ingest(Request("s", path, "labels", membrane, 0.4), tmp_path / "store.zip")
        assert [notice["code"] for notice in facts["notices"]] == expected
    assert ingest(Request("s", path, "good", "labels", 0.5), tmp_path / "s.zip")["notices"] == [
        {
            "code": "label_image",
            "text": "slide.ome.tif: membrane channel 0 ('labels') has regions of one value each"
            " (54 values), as a label image does, and is segmented as an image; give the image it"
            " was made of.",
        }
    ]


def test_a_blank_channel_with_a_speck_is_noticed(tmp_path):
    data = np.full((2, 200, 300), 9, np.uint16)
    data[1, 50, 50] = 4000
    path = write(tmp_path / "slide.ome.tif", data, metadata=names("a", "b"))
    with open_slide(path) as slide:
        assert slide.notices == []
    facts = ingest(Request("s", path, "b", "", 0.5), tmp_path / "store.zip")
    assert [notice["code"] for notice in facts["notices"]][1:] == ["constant_channel"]
