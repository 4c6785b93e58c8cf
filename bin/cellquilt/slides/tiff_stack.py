"""Which pages of a TIFF make up the slide, and whether they are all there.

What tifffile passes over in silence, such as planes that are missing, is an error here.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile

from ..errors import DataError, reason
from ..images import tiff_limits
from ..images.strict_tifffile import DAMAGED, strict_tifffile
from . import ome_xml
from .members import Members
from .notice import Notice
from .pixel_size import MPP_RANGE, square
from .selection import AXES, Selection, channel_like, choose_scene, file_axes, slide_among
from .slide import check_type
from .tiff_files import ONE_PAGE_A_CHANNEL, Source, TiffFiles, refuse_truncated

# Of the tag ResolutionUnit; 1 is none.
_UNIT_OF_RESOLUTION = {2: "in", 3: "cm", 4: "mm", 5: "µm"}
# What Bio-Formats' importer labels a slice with in ImageJ: "c:1/3 z:1/2 - slide.czi"
_SLICE_LABEL = re.compile(r"[czt]:\d+/\d+([ ;][czt]:\d+/\d+)*( - .*)?")


class Plane(NamedTuple):
    """A page, and where its pixels begin if they lie in the file as they are (else None)."""

    page: tifffile.TiffPage
    offset: int | None


@dataclass(frozen=True)
class Stack:
    """An image of a TIFF: planes (c, z, t) of one size, its channels' names, its pixel size.

    `labels` are those of its planes, by the same key, where the file has some; `name` is its own.
    """

    height: int
    width: int
    sizes: dict[str, int]
    names: tuple[str | None, ...]
    planes: dict[tuple[int, int, int], Plane]
    labels: dict[tuple[int, int, int], str | None]
    mpp: float | None = None
    mpp_problem: str | None = None
    mpp_source: str = "ome-xml"
    name: str | None = None
    notices: tuple[Notice, ...] = ()

    @property
    def size(self) -> str:
        """Height and width, for a message."""
        return f"{self.height} x {self.width}"

    @property
    def dtype(self) -> np.dtype:
        """Type of pixel, of all planes."""
        return next(iter(self.planes.values())).page.dtype

    @property
    def plane_names(self) -> tuple[str, ...]:
        """Labels of planes along Z or T, of one channel, that look like names of channels."""
        names = tuple(self.labels[at] for at in sorted(self.labels))
        one_axis = self.sizes["C"] == 1 and min(self.sizes["Z"], self.sizes["T"]) == 1
        return names if one_axis and channel_like(names) else ()

    @property
    def samples(self) -> int:
        """Samples per pixel: more than one where colours share a page."""
        return next(iter(self.planes.values())).page.samplesperpixel


def find_stack(files: TiffFiles, path: Path, selection: Selection, given: Sequence[Path]) -> Stack:
    """Return the slide among the images of a TIFF: level 0, without thumbnails and labels.

    Parameters
    ----------
    files : TiffFiles
        Gets the files that are opened.
    path : Path
        TIFF, or the companion of several.
    selection : Selection
    given : sequence of Path
        `path`, and of an OME-TIFF of several files the others that are given; see `Members`.

    Raises
    ------
    DataError
        File truncated, pages or files missing, colour images only, or several images of which
        none is clearly the slide and none is selected.
    """
    source, notices = files.open(path), []
    with strict_tifffile(path):
        if source.pages and all(page.samplesperpixel > 1 for page in source.pages):
            stacks = []
        elif source.ome is not None:
            members = Members(files, source, given)
            stacks = [_ome_stack(image) for image in members.images()]
            notices = members.notices
        else:
            stacks = [_plain_stack(series.levels[0], source) for series in source.tif.series]
        stack = along_c(_slide_among(stacks, source, selection), path, selection)
        notices += _check_planes(stack, files, path)
    return replace(stack, notices=(*stack.notices, *notices))


def _slide_among(stacks: list[Stack], source: Source, selection: Selection) -> Stack:
    """Return the selected scene, or the only image that can be the slide."""
    path = source.path
    if selection.scene is not None:
        scenes = [(stack.name, stack.size) for stack in stacks]
        chosen = [stacks[choose_scene(path, scenes, selection.scene)]] if stacks else []
    else:
        chosen = stacks
    grey = [stack for stack in chosen if stack.samples == 1]
    if not grey:
        samples = chosen[0].samples if chosen else source.pages[0].samplesperpixel
        raise DataError(
            f"{path}: {samples} samples per pixel (RGB brightfield, or channels"
            f" interleaved in a page); {ONE_PAGE_A_CHANNEL}"
        )
    return slide_among(path, grey, stacks)


def along_c(stack: Stack, path: Path, selection: Selection) -> Stack:
    """Return a stack whose channels lie along Z or T, as `selection` says, along C."""
    axes = file_axes(path, stack.sizes, selection)
    if axes == AXES:
        return stack

    def turned(by_plane: Mapping[tuple[int, int, int], object]) -> dict:
        return {tuple(at[AXES.index(a)] for a in axes): value for at, value in by_plane.items()}

    labels = turned(stack.labels)
    sizes = {axis: stack.sizes[own] for axis, own in zip(AXES, axes, strict=True)}
    names = tuple(_channel_name(labels, channel) for channel in range(sizes["C"]))
    planes = turned(stack.planes)
    return replace(stack, sizes=sizes, planes=planes, labels=labels, names=names)


def _check_planes(stack: Stack, files: TiffFiles, path: Path) -> list[Notice]:
    """Refuse pages whose pixels cannot be had, or cannot be intensities; notice missing tiles."""
    planes = stack.planes.values()
    first = next(iter(planes)).page
    for page, _ in planes:
        if page.dtype != first.dtype:
            both = ", ".join(sorted([str(page.dtype), str(first.dtype)]))
            raise DataError(
                f"{files.of(page).path}: channels differ in the type of pixel ({both});"
                " convert them to one type"
            )
    itemsize = first.dtype.itemsize if first.dtype else 1
    size = sum(source.size for source in {files.of(plane.page) for plane in planes})
    tiff_limits.check_plausible(stack.height, stack.width, itemsize, len(planes), path, size)
    empty = 0
    for page, offset in planes:
        own = files.of(page)
        if page.shape != (stack.height, stack.width):
            raise DataError(
                f"{own.path}: page {page.index} is {' x '.join(map(str, page.shape))} px, its"
                f" OME-XML has SizeY x SizeX {stack.height} x {stack.width}; export the slide again"
            )
        _check_type(page, own.path)
        if offset is not None:
            refuse_truncated(own.path, own.size, offset + page.nbytes)
        else:
            tiff_limits.check_extent(page, own.path)
        empty_here = sum(count == 0 for count in page.databytecounts)
        if empty_here == len(page.databytecounts):
            raise DataError(f"{own.path}: page {page.index} has no pixels; {DAMAGED}")
        empty += empty_here
    if not empty:
        return []
    text = f"{empty} tiles or strips were never written and are read as zeros, without cells"
    return [Notice("unwritten_tiles", f"{path.name}: {text}; export it again if that is wrong.")]


def _check_type(page: tifffile.TiffPage, path: Path) -> None:
    check_type(page.dtype or f"{page.bitspersample} bits", path)
    try:
        tiff_limits.check_compression(page)
        page.decode(None, 0)  # makes the decoder without reading
    except (ValueError, NotImplementedError) as error:
        codec, why = getattr(page.compression, "name", page.compression), reason(error)
        raise DataError(
            f"{path}: compression {codec} cannot be read ({why}); write it again, for example"
            " by bfconvert -compression zlib (Bio-Formats)"
        ) from error


def _plane(page: tifffile.TiffPage) -> Plane:
    as_is = page.is_final and page.dataoffsets[0] > 0
    return Plane(page, int(page.dataoffsets[0]) if as_is else None)


def _ome_stack(image: ome_xml.OmeImage) -> Stack:
    return Stack(
        height=image.height,
        width=image.width,
        sizes=image.sizes,
        names=image.names,
        planes={at: _plane(source.pages[page]) for at, (source, page) in image.pages.items()},
        mpp=image.mpp,
        mpp_problem=image.mpp_problem,
        labels={at: source.labels[page] for at, (source, page) in image.pages.items()},
        name=image.name,
    )


def _plain_stack(series: tifffile.TiffPageSeries, source: Source) -> Stack:
    """Return a series of a TIFF without OME-XML: ImageJ's, QPTIFF's, or pages in a row."""
    path, tif = source.path, source.tif
    lead = [(axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1]
    lead = [(axis, n) for axis, n in lead if axis not in "YXS"]
    notices = []
    if [axis for axis, _ in lead] in (["I"], ["Q"]):
        lead = [("C", lead[0][1])]
        text = f"{path.name}: its pages have no named axis; each of {lead[0][1]} is taken as a"
        text += " channel. If they are planes along Z or T, write it as OME-TIFF."
        notices.append(Notice("pages_taken_as_channels", text))
    sizes = {"C": 1, "Z": 1, "T": 1} | dict(lead)
    if len(sizes) > 3:
        raise DataError(
            f"{path}: cannot tell what its axes {series.axes} of {series.shape} are; write it as"
            " OME-TIFF with the axes CYX"
        )
    page, first = series.keyframe, series.dataoffset
    planes: dict[tuple[int, int, int], Plane] = {}
    for number, where in enumerate(itertools.product(*(range(n) for _, n in lead))):
        at = {"C": 0, "Z": 0, "T": 0} | {
            axis: index for (axis, _), index in zip(lead, where, strict=True)
        }
        # ImageJ writes one page for many contiguous planes.
        planes[at["C"], at["Z"], at["T"]] = (
            Plane(page, first + number * page.nbytes) if first else _plane(series[number].aspage())
        )
    own = [part.index for part in series.pages if part is not None]
    labels = dict(zip(planes, _labels(source, own, len(planes)), strict=True))
    mpp, problem, source = _resolution(page, tif)
    return Stack(
        height=page.imagelength,
        width=page.imagewidth,
        sizes=sizes,
        names=tuple(_channel_name(labels, channel) for channel in range(sizes["C"])),
        planes=planes,
        mpp=mpp,
        mpp_problem=problem,
        mpp_source=source,
        labels=labels,
        name=series.name or None,
        notices=tuple(notices),
    )


def _channel_name(labels: Mapping[tuple[int, int, int], str | None], channel: int) -> str | None:
    """Return what the labels of all planes of a channel agree on; others name slices."""
    found = {label for (c, _, _), label in labels.items() if c == channel and label}
    return found.pop() if len(found) == 1 else None


def _labels(source: Source, own: Sequence[int], n_planes: int) -> list[str | None]:
    """Return the name of each plane: ImageJ's label, QPTIFF's, or that of its page; else None."""
    tif, found = source.tif, []
    if tif.is_imagej:
        labels = (tif.imagej_metadata or {}).get("Labels", [])
        found = [label.strip().partition("\n")[0] or None for label in labels]
        found = [None if label and _SLICE_LABEL.fullmatch(label) else label for label in found]
    elif tif.is_qpi:
        for index in own:
            description = source.pages[index].description or "<none/>"  # of a thumbnail
            xml = ElementTree.fromstring(description)
            found.append(xml.findtext("Biomarker") or xml.findtext("Name"))
    else:
        found = [source.labels[index] for index in own]
    return found if len(found) == n_planes else [None] * n_planes


def _resolution(
    page: tifffile.TiffPage, tif: tifffile.TiffFile
) -> tuple[float | None, str | None, str]:
    """Return pixel size, problem and source of a TIFF without OME-XML; see `pixel_size.square`.

    ImageJ states the unit of the resolution beside it. Without, it is the tag's; and then it is
    that of a print unless it can be a microscope's.
    """
    metadata = tif.imagej_metadata or {}
    tagged = _UNIT_OF_RESOLUTION.get(page.tags.valueof(296, default=2))
    units = [metadata.get("unit"), metadata.get("yunit", metadata.get("unit"))]
    sizes = {}
    for axis, code, unit in zip("XY", (282, 283), units, strict=True):
        try:
            pixels, length = page.tags.valueof(code, default=(0, 1))
            size = length / pixels if pixels else None
        except (TypeError, ValueError):
            size = None
        unit = tagged if unit is None else str(unit)
        sizes[f"pixel size along {axis}"] = (None if unit is None else size, unit or "")
    mpp, problem = square(sizes)
    source = "qptiff" if tif.is_qpi else "tiff" if units[0] is None else "imagej"
    if source == "tiff" and mpp is not None and not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        return None, None, source
    return mpp, problem, source
