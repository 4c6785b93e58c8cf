"""Which pages of a TIFF make up the slide, and whether they are all there.

What tifffile passes over in silence, such as planes that are missing, is an error here.
"""

import itertools
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile

from ..errors import DataError
from ..images import tiff_limits
from ..images.strict_tifffile import DAMAGED
from . import ome_xml

log = logging.getLogger("cellquilt")

_NAMED_IMAGES = 5
_ONE_PAGE_A_CHANNEL = "Cellquilt needs one greyscale page per channel"


class Plane(NamedTuple):
    """A page, and where its pixels begin if they lie in the file as they are (else None)."""

    page: tifffile.TiffPage
    offset: int | None


@dataclass(frozen=True)
class Stack:
    """An image of a TIFF: planes (c, z, t) of one size, its channels' names, its pixel size."""

    height: int
    width: int
    sizes: dict[str, int]
    names: tuple[str | None, ...]
    planes: dict[tuple[int, int, int], Plane]
    mpp: float | None = None
    mpp_problem: str | None = None
    mpp_source: str = "ome-xml"

    @property
    def samples(self) -> int:
        """Samples per pixel: more than one where colours share a page."""
        return next(iter(self.planes.values())).page.samplesperpixel


def find_stack(tif: tifffile.TiffFile, path: Path, size: int) -> Stack:
    """Return the slide among the images of `tif`: level 0, without thumbnails and labels.

    Raises
    ------
    DataError
        File of `size` bytes truncated, pages missing, colour images only, or several images
        of which none is clearly the slide.
    """
    tiff_limits.check_pages(tif, path)
    pages = list(tif.pages)
    if not pages:
        raise ValueError("no pages")
    for index, page in enumerate(pages):
        _check_complete(page, index, path, size)
    if all(page.samplesperpixel > 1 for page in pages):
        stacks = []
    elif ome_xml.is_ome_xml(pages[0].description):
        images = ome_xml.parse(pages[0].description, path, len(pages))
        stacks = [_ome_stack(image, pages) for image in images]
    else:
        stacks = [_plain_stack(series.levels[0], tif, path) for series in tif.series]
    grey = [stack for stack in stacks if stack.samples == 1]
    if not grey:
        raise DataError(
            f"{path}: {pages[0].samplesperpixel} samples per pixel (RGB brightfield, or channels"
            f" interleaved in a page); {_ONE_PAGE_A_CHANNEL}"
        )
    largest, *others = sorted(grey, key=lambda stack: -stack.height * stack.width)
    # A level of a pyramid or a thumbnail has at most half the side, rounded up.
    rivals = [o for o in others if 3 * o.height * o.width > largest.height * largest.width]
    if rivals:
        sizes = [f"{s.height} x {s.width}" for s in [largest, *rivals]]
        sides = ", ".join([*sizes[:_NAMED_IMAGES], *["..."] * (len(sizes) > _NAMED_IMAGES)])
        raise DataError(
            f"{path}: holds several images ({sides} px) and none is clearly the slide;"
            " write each to a separate file, for example by bfconvert -series"
        )
    _check_planes(largest, path, size)
    return largest


def _check_complete(page: tifffile.TiffPage, index: int, path: Path, size: int) -> None:
    if not (page.size and page.imagelength and page.imagewidth):
        raise DataError(
            f"{path}: page {index} is an image of {page.imagelength} x {page.imagewidth} px,"
            " without pixels; export it again"
        )
    if max(page.imagedepth, page.tiledepth) > 1:
        raise DataError(f"{path}: its pages are volumes; {_ONE_PAGE_A_CHANNEL}")
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    if len(offsets) != len(counts) or len(offsets) < math.prod(page.chunked):
        raise DataError(f"{path}: page {index} lacks the places of its pixels; {DAMAGED}")
    _refuse_truncated(path, size, int((offsets + counts).max(where=counts > 0, initial=0)))


def _refuse_truncated(path: Path, size: int, end: int) -> None:
    if end > size:
        raise DataError(
            f"{path}: truncated: its pixels go on to byte {end:,}, it ends at {size:,}; {DAMAGED}"
        )


def _check_planes(stack: Stack, path: Path, size: int) -> None:
    """Refuse pages whose pixels cannot be had, or cannot be intensities."""
    planes = stack.planes.values()
    dtypes = {str(plane.page.dtype) for plane in planes}
    if len(dtypes) > 1:
        raise DataError(
            f"{path}: channels differ in the type of pixel ({', '.join(sorted(dtypes))});"
            " convert them to one type"
        )
    itemsize = max(plane.page.dtype.itemsize if plane.page.dtype else 1 for plane in planes)
    tiff_limits.check_plausible(stack.height, stack.width, itemsize, len(planes), path, size)
    empty = 0
    for page, offset in planes:
        if page.shape != (stack.height, stack.width):
            raise DataError(
                f"{path}: page {page.index} is {' x '.join(map(str, page.shape))} px, its OME-XML"
                f" has SizeY x SizeX {stack.height} x {stack.width}; export the slide again"
            )
        _check_type(page, path)
        if offset is not None:
            _refuse_truncated(path, size, offset + page.nbytes)
        else:
            tiff_limits.check_extent(page, path)
        empty_here = sum(count == 0 for count in page.databytecounts)
        if empty_here == len(page.databytecounts):
            raise DataError(f"{path}: page {page.index} has no pixels; {DAMAGED}")
        empty += empty_here
    if empty:
        log.warning("%s: %d tiles or strips were never written and read as zeros", path, empty)


def _check_type(page: tifffile.TiffPage, path: Path) -> None:
    kind, bits = page.dtype.kind if page.dtype else "", page.bitspersample
    if not kind or kind not in "uif" or (kind in "ui" and bits > 32):
        raise DataError(
            f"{path}: pixels are of type {page.dtype or f'{bits} bits'}; Cellquilt reads integers"
            " of 8 to 32 bits and floats: convert the slide"
        )
    try:
        tiff_limits.check_compression(page)
        page.decode(None, 0)  # makes the decoder without reading
    except (ValueError, NotImplementedError) as error:
        codec = getattr(page.compression, "name", page.compression)
        raise DataError(
            f"{path}: compression {codec} cannot be read ({error}); write it again, for example"
            " by bfconvert -compression zlib (Bio-Formats)"
        ) from error


def _plane(page: tifffile.TiffPage) -> Plane:
    as_is = page.is_final and page.dataoffsets[0] > 0
    return Plane(page, int(page.dataoffsets[0]) if as_is else None)


def _ome_stack(image: ome_xml.OmeImage, pages: list[tifffile.TiffPage]) -> Stack:
    return Stack(
        height=image.height,
        width=image.width,
        sizes=image.sizes,
        names=image.names,
        planes={where: _plane(pages[index]) for where, index in image.pages.items()},
        mpp=image.mpp,
        mpp_problem=image.mpp_problem,
    )


def _plain_stack(series: tifffile.TiffPageSeries, tif: tifffile.TiffFile, path: Path) -> Stack:
    """Return a series of a TIFF without OME-XML: ImageJ's, QPTIFF's, or pages in a row."""
    lead = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1]
    lead = [(axis, n) for axis, n in lead if axis not in "YXS"]
    if [axis for axis, _ in lead] in (["I"], ["Q"]):
        log.warning("%s: its pages have no named axis; each is taken as a channel", path)
        lead = [("C", lead[0][1])]
    sizes = {"C": 1, "Z": 1, "T": 1} | dict(lead)
    if len(sizes) > 3:
        raise DataError(
            f"{path}: cannot tell what its axes {series.axes} of {series.shape} are; write it as"
            " OME-TIFF with the axes CYX"
        )
    page, first = series.keyframe, series.dataoffset
    labels = _labels(tif, math.prod(sizes.values()))
    names: list[str | None] = [None] * sizes["C"]
    planes: dict[tuple[int, int, int], Plane] = {}
    for number, where in enumerate(itertools.product(*(range(n) for _, n in lead))):
        at = {"C": 0, "Z": 0, "T": 0} | {
            axis: index for (axis, _), index in zip(lead, where, strict=True)
        }
        # ImageJ writes one page for many contiguous planes.
        planes[at["C"], at["Z"], at["T"]] = (
            Plane(page, first + number * page.nbytes) if first else _plane(series[number].aspage())
        )
        names[at["C"]] = names[at["C"]] or labels[number]
    return Stack(
        height=page.imagelength,
        width=page.imagewidth,
        sizes=sizes,
        names=tuple(names),
        planes=planes,
        mpp=_qptiff_mpp(page) if tif.is_qpi else None,
        mpp_source="qptiff" if tif.is_qpi else "ome-xml",
    )


def _labels(tif: tifffile.TiffFile, n_planes: int) -> list[str | None]:
    """Return the name of each plane from ImageJ's labels or QPTIFF's XML, None without."""
    found: list[str | None] = []
    if tif.is_imagej:
        labels = (tif.imagej_metadata or {}).get("Labels", [])
        found = [label.strip().partition("\n")[0] or None for label in labels]
    elif tif.is_qpi:
        for page in tif.pages[:n_planes]:
            xml = ElementTree.fromstring(page.description)
            found.append(xml.findtext("Biomarker") or xml.findtext("Name"))
    return found if len(found) == n_planes else [None] * n_planes


def _qptiff_mpp(page: tifffile.TiffPage) -> float | None:
    per_um = page.get_resolution(unit="MICROMETER")[0]
    return 1 / per_um if per_um > 0 else None
