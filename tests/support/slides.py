"""Slides of any kind for the tests: noise, OME-XML, files, and the form of error messages."""

import re

import numpy as np
import pytest
import tifffile

from cellquilt.errors import DataError
from cellquilt.slides.readers import open_slide
from cellquilt.slides.selection import Selection

ROOT = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
LAYOUTS = {
    "contiguous": {},
    "strips": {"rowsperstrip": 7},
    "lzw-strips": {"rowsperstrip": 7, "compression": "lzw", "predictor": True},
    "one-strip": {"rowsperstrip": 150, "compression": "zlib"},
    "tiles": {"tile": (64, 48)},
    "zlib-tiles": {"tile": (64, 48), "compression": "zlib"},
    "zstd-tiles": {"tile": (32, 128), "compression": "zstd"},
}


def pixels(shape=(3, 150, 110), dtype="uint16", seed=0):
    """Return noise that fills the range of `dtype`."""
    noise = np.random.default_rng(seed).random(shape)
    if np.dtype(dtype).kind == "f":
        return (noise * 100 - 50).astype(dtype)
    limits = np.iinfo(dtype)
    return (limits.min + noise * (float(limits.max) - limits.min)).astype(dtype)


def ome_xml(planes=3, size=(110, 150), pixel_attributes="", inside=None, root="", tail=""):
    """Return OME-XML for `planes` channels of `size` (x, y), with what is put into it."""
    if inside is None:
        channels = "".join(f'<Channel ID="Channel:0:{c}"/>' for c in range(planes))
        inside = f'{channels}<TiffData IFD="0" PlaneCount="{planes}"/>'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {ROOT} {root}><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{size[0]}"'
        f' SizeY="{size[1]}" SizeC="{planes}" SizeZ="1" SizeT="1" {pixel_attributes}>{inside}'
        f"</Pixels></Image>{tail}</OME>"
    )


def write(path, data, xml=None, **options):
    """Write pages with `xml` as their description; without it, as tifffile's own OME-TIFF."""
    options = {"photometric": "minisblack"} | options
    if xml is not None:
        tifffile.imwrite(path, data, description=xml.encode(), metadata=None, **options)
    else:
        metadata = {"axes": "CYX"} | options.pop("metadata", {})
        tifffile.imwrite(path, data, ome=True, metadata=metadata, **options)
    return path


def names(*given):
    return {"Channel": {"Name": list(given)}}


def refused(path, match, **selected):
    """Assert that opening `path` fails with a short message that names it and has `match`."""
    with pytest.raises(DataError) as caught:
        open_slide(path, Selection(**selected)).close()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert re.search(match, message), message
    assert "\n" not in message and len(message) < 400


def forget_tiles(path, indices):
    """Make tiles of the first page ones that were never written."""
    with tifffile.TiffFile(path, mode="r+") as tif:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tif.pages[0].tags[name]
            tag.overwrite([0 if i in indices else n for i, n in enumerate(tag.value)])


UUID = "urn:uuid:00000000-0000-4000-8000-{:012}"


def set_xml(files, own, size=(110, 150), axis="C", channels=None):
    """Return OME-XML whose planes along an axis are the first pages of `files`.

    `files` are (name, UUID); `own` is the UUID of the file that has the XML.
    """
    n = len(files)
    blocks = "".join(
        f'<TiffData First{axis}="{plane}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for plane, (name, uuid) in enumerate(files)
    )
    named = channels or [f"marker {c}" for c in range(n if axis == "C" else 1)]
    inside = "".join(f'<Channel ID="Channel:0:{c}" Name="{x}"/>' for c, x in enumerate(named))
    xml = ome_xml(n, size, inside=inside + blocks, root=f'UUID="{own}"')
    if axis != "C":
        xml = xml.replace(f'SizeC="{n}"', 'SizeC="1"')
        xml = xml.replace(f'Size{axis}="1"', f'Size{axis}="{n}"')
    return xml


def binary_only(own, metadata="set.companion.ome"):
    """Return OME-XML of a file whose metadata are in another."""
    uuid = UUID.format(999)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {ROOT} UUID="{own}">'
        f'<BinaryOnly MetadataFile="{metadata}" UUID="{uuid}"/></OME>'
    )


def write_set(folder, data, companion=False, axis="C", channels=None, **options):
    """Write an OME-TIFF of a file for each plane, and return them, the companion last."""
    folder.mkdir(exist_ok=True)
    files = [(f"set_{axis}{plane}.ome.tif", UUID.format(plane)) for plane in range(len(data))]
    size = data.shape[2], data.shape[1]
    written = []
    for (name, uuid), plane in zip(files, data, strict=True):
        xml = binary_only(uuid) if companion else set_xml(files, uuid, size, axis, channels)
        written.append(write(folder / name, plane[None], xml, **options))
    if companion:
        path = folder / "set.companion.ome"
        path.write_text(set_xml(files, UUID.format(999), size, axis, channels), "utf-8")
        written.append(path)
    return written


def write_channels(folder, data, channels, suffix=".tif", **options):
    """Write a TIFF for each channel, and return them."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{channel}{suffix}" for channel in channels]
    for path, plane in zip(paths, data, strict=True):
        tifffile.imwrite(path, plane, photometric="minisblack", metadata=None, **options)
    return paths


def channels_of(path, **selected):
    """Return the channels of a slide by name, with all of their pixels."""
    with open_slide(path, Selection(**selected)) as slide:
        return {c.name: slide.read(c.index, 0, slide.height) for c in slide.channels}
