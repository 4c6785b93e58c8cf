"""The facts that Cellquilt needs from OME-XML: planes, channel names and pixel size."""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import ome_types
from lxml import etree
from ome_types.model import OME, Channel, Image, Pixels, TiffData, UnitsLength
from pydantic import ValidationError

from ..errors import DataError, reason
from .pixel_size import square, unit_of

MICRON = UnitsLength.MICROMETER.value

_KEPT_ELEMENTS = {
    "OME": {"Image", "BinaryOnly"},
    "Image": {"Pixels"},
    "Pixels": {"Channel", "TiffData"},
    "TiffData": {"UUID"},
}
_KEPT_ATTRIBUTES = {
    "OME": {"UUID"},
    "BinaryOnly": {"MetadataFile", "UUID"},
    "Image": {"ID", "Name"},
    "Pixels": {"ID", "DimensionOrder", "Type", "SizeX", "SizeY", "SizeC", "SizeZ", "SizeT"}
    | {f"PhysicalSize{axis}{suffix}" for axis in "XY" for suffix in ("", "Unit")},
    "Channel": {"ID", "Name", "Fluor", "SamplesPerPixel"},
    "TiffData": {"IFD", "PlaneCount", "FirstC", "FirstZ", "FirstT"},
    "UUID": {"FileName"},
}
# What may come before a document type: spaces, comments and instructions
_DOCUMENT_TYPE = re.compile(r"(?:\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


class File(Protocol):
    """A file of an OME-TIFF, with its pages."""

    pages: Sequence[object]


Page = tuple[File, int]


@dataclass(frozen=True)
class OmeImage:
    """One ``Image`` of an OME-TIFF.

    Attributes
    ----------
    height, width : int
        SizeY and SizeX (px).
    sizes : dict of str to int
        Number of planes along C, Z and T.
    names : tuple of (str or None)
        Channel names, None where there is none.
    pages : dict of (int, int, int) to (File, int)
        File and page (IFD) of the plane (c, z, t).
    mpp, mpp_problem : (float or None), (str or None)
        Pixel size (um/px), and why it cannot be used; see `pixel_size.square`.
    name : str or None
    """

    height: int
    width: int
    sizes: dict[str, int]
    names: tuple[str | None, ...]
    pages: dict[tuple[int, int, int], Page]
    mpp: float | None
    mpp_problem: str | None
    name: str | None = None


def is_ome_xml(text: str) -> bool:
    """Return whether `text` is meant as OME-XML, well-formed or not."""
    begins = re.search(r"<(\w+:)?OME[\s>]", text[:4096]) is not None
    return begins or text.rstrip("\0 \r\n\t").endswith(("</OME>", ":OME>"))


def images(ome: OME, path: Path, file_of: Callable[[TiffData.UUID | None], File]) -> list[OmeImage]:
    """Return the images that OME-XML describes.

    Parameters
    ----------
    ome : OME
    path : Path
        The file that has it, for messages.
    file_of : callable
        Returns the file that a ``UUID`` names, and without one the file itself.

    Raises
    ------
    DataError
        No images, or planes that have no page of their own.
    """
    if not ome.images:
        raise DataError(f"{path}: its OME-XML describes no image; export the slide again")
    return [_image(image, path, file_of) for image in ome.images]


def image_names(xml: str, path: Path) -> list[str | None]:
    """Return the names of the images that OME-XML describes.

    Raises
    ------
    DataError
        XML malformed or against the OME schema.
    """
    return [image.name for image in parse(xml, path).images]


def parse(xml: str, path: Path) -> OME:
    """Return `xml` as ome-types' objects, after dropping all that is not needed.

    Real files are often off the schema in what does not matter here (instruments,
    annotations, enumerations), which must not make a good slide unreadable; and a slide's
    thousands of ``Plane`` elements take seconds to parse.

    Raises
    ------
    DataError
        XML malformed or against the OME schema.
    """
    # The declaration may name the encoding of a file that the text once came from.
    text = re.sub(r"^\s*<\?xml.*?\?>", "", xml, flags=re.DOTALL)
    if _DOCUMENT_TYPE.match(text):
        raise DataError(
            f"{path}: its OME-XML has a document type (<!DOCTYPE>), whose entities are not read;"
            " write it without by tiffcomment -set (Bio-Formats) or export the slide again"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ome-types corrects irregular IDs with a warning
            etree.fromstring(text)
            ome = ome_types.from_xml(text, transformations=[_prune])
        if not isinstance(ome, OME):  # any element of the schema can be a document
            raise ValueError(f"it begins with {type(ome).__name__}, and not with OME")
        return ome
    except (etree.LxmlError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: its OME-XML is malformed ({_problem(error)}); correct it by"
            " tiffcomment -set (Bio-Formats) or export the slide again"
        ) from error


def _problem(error: Exception) -> str:
    """Return what is wrong in a line, without the parsers' addenda."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return reason(f"{error.title} {'.'.join(map(str, first['loc']))}: {first['msg']}")
    if isinstance(error, etree.XMLSyntaxError):
        return reason(error.msg)
    return reason(error)


def _prune(tree: etree._ElementTree) -> etree._ElementTree:
    """Drop elements and attributes that are not needed, and correct lengths and their units."""
    for element in list(tree.getroot().iter(etree.Element)):
        name = etree.QName(element).localname
        for child in list(element):
            if not isinstance(child.tag, str) or (
                etree.QName(child).localname not in _KEPT_ELEMENTS.get(name, ())
            ):
                element.remove(child)
        # In their order, in which lxml finds each at once
        for attribute in list(element.attrib):
            if attribute not in _KEPT_ATTRIBUTES.get(name, ()):
                del element.attrib[attribute]
        if name == "Pixels":
            for axis in "XY":
                _correct_physical_size(element.attrib, f"PhysicalSize{axis}")
    return tree


def _correct_physical_size(attributes: etree._Attrib, key: str) -> None:
    """Make a size or unit that the schema refuses one that `image_mpp` can override."""
    try:
        usable = 0 < float(attributes.get(key, "1")) < math.inf
    except ValueError:
        usable = False
    if not usable:
        del attributes[key]
    unit = attributes.get(f"{key}Unit", MICRON)
    attributes[f"{key}Unit"] = unit_of(unit) or (unit if unit == "pixel" else "reference frame")


def _image(image: Image, path: Path, file_of: Callable[[TiffData.UUID | None], File]) -> OmeImage:
    pixels = image.pixels
    samples = pixels.channels[0].samples_per_pixel or 1 if pixels.channels else 1
    sizes = {"C": pixels.size_c // samples, "Z": pixels.size_z, "T": pixels.size_t}
    blocks = [(block, file_of(block.uuid)) for block in pixels.tiff_data_blocks or [TiffData()]]
    n_pages = [len(file.pages) for file in {id(file): file for _, file in blocks}.values()]
    if math.prod(sizes.values()) > sum(n_pages):
        # Before there is a list of so many
        _refuse_missing(path, sizes, sum(n_pages), n_pages)
    names = [_name(channel) for channel in pixels.channels]
    if len(names) > sizes["C"]:
        raise DataError(
            f"{path}: its OME-XML has {len(names)} channels but SizeC {pixels.size_c};"
            " export the slide again"
        )
    mpp, mpp_problem = _pixel_size(pixels)
    return OmeImage(
        height=pixels.size_y,
        width=pixels.size_x,
        sizes=sizes,
        names=(*names, *[None] * (sizes["C"] - len(names))),
        pages=_pages(blocks, pixels.dimension_order.value[2:], sizes, path, n_pages),
        mpp=mpp,
        mpp_problem=mpp_problem,
        name=image.name,
    )


def _name(channel: Channel) -> str | None:
    """Return a channel's name or, where some writers have nothing else, its fluorophore."""
    return channel.name if (channel.name or "").strip() else channel.fluor


def _pages(
    blocks: Sequence[tuple[TiffData, File]],
    order: str,
    sizes: dict[str, int],
    path: Path,
    n_pages: Sequence[int],
) -> dict[tuple[int, int, int], Page]:
    """Return file and page of each plane (c, z, t), by the rules for ``TiffData``.

    Source: OME-TIFF specification, "The TiffData element": a block starts at plane FirstC,
    FirstZ, FirstT and page IFD (0 where absent) and goes on in DimensionOrder for
    PlaneCount planes: 1 where only IFD is given, else as many as the file has pages. Where
    blocks contradict each other, those with an IFD win: some writers leave out an IFD of 0. Of
    those without, the one that starts later wins, since the earlier one only goes on into it.
    """
    total = math.prod(sizes.values())

    def start_of(block: TiffData) -> int:
        first = {"C": block.first_c, "Z": block.first_z, "T": block.first_t}
        if any(first[axis] >= sizes[axis] for axis in order):
            _refuse_beyond(path, sizes)
        return first[order[0]] + sizes[order[0]] * (
            first[order[1]] + sizes[order[1]] * first[order[2]]
        )

    pages: dict[tuple[int, int, int], Page] = {}
    for block, file in sorted(blocks, key=lambda b: (_has_ifd(b[0]), start_of(b[0]))):
        start, count = start_of(block), block.plane_count
        if count is None:
            count = 1 if _has_ifd(block) else min(len(file.pages), total - start)
        if start + count > total:
            _refuse_beyond(path, sizes)
        for plane in range(start, start + count):
            at: dict[str, int] = {}
            rest = plane
            for axis in order:
                rest, at[axis] = divmod(rest, sizes[axis])
            pages[at["C"], at["Z"], at["T"]] = file, block.ifd + plane - start
    there = sum(page < len(file.pages) for file, page in pages.values())
    if there < total:
        _refuse_missing(path, sizes, there, n_pages)
    if len({(id(file), page) for file, page in pages.values()}) < total:
        raise DataError(
            f"{path}: its OME-XML gives several planes ({_named(sizes)}) the same page;"
            " export the slide again"
        )
    return pages


def _refuse_beyond(path: Path, sizes: dict[str, int]) -> NoReturn:
    raise DataError(
        f"{path}: the TiffData of its OME-XML go beyond {_named(sizes)}; export the slide again"
    )


def _has_ifd(block: TiffData) -> bool:
    return "ifd" in block.model_fields_set


def _refuse_missing(
    path: Path, sizes: dict[str, int], there: int, n_pages: Sequence[int]
) -> NoReturn:
    files = "the file, which has" if len(n_pages) == 1 else f"its {len(n_pages)} files, which have"
    raise DataError(
        f"{path}: its OME-XML promises {math.prod(sizes.values())} planes ({_named(sizes)}) but"
        f" only {there} of them are in {files} {sum(n_pages)} page(s); copy or export it again"
    )


def _named(sizes: dict[str, int]) -> str:
    return ", ".join(f"Size{axis} {size}" for axis, size in sizes.items())


def _pixel_size(pixels: Pixels) -> tuple[float | None, str | None]:
    x = pixels.physical_size_x, pixels.physical_size_x_unit.value
    y = pixels.physical_size_y, pixels.physical_size_y_unit.value
    return square({"PhysicalSizeX": x, "PhysicalSizeY": y})
