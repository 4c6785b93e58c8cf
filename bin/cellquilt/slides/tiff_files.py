"""The files of a slide of TIFFs: opened and checked, with a bounded number open at a time.

What tifffile passes over in silence, such as a file that is cut off, is an error here.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import tifffile
from ome_types.model import OME

from ..errors import DataError
from ..images import tiff_limits
from ..images.strict_tifffile import DAMAGED, strict_tifffile
from . import ome_xml
from .file_head import head_of, is_companion, is_tiff, not_a_tiff

ONE_PAGE_A_CHANNEL = "Cellquilt needs one greyscale page per channel"
_MAX_OPEN = 32  # of the 256 or more that a process may have
_MAX_XML = 20_000_000  # bytes of a companion; a thousand planes are 0.3 MB
_ROOT_UUID = re.compile(r"<(?:\w+:)?OME\s[^<>]*?\bUUID\s*=\s*[\"']([^\"'<>]*)")


@dataclass(frozen=True, eq=False)
class Source:
    """A file of a slide: a TIFF, or the OME-XML that lies beside its TIFFs (the companion).

    Attributes
    ----------
    path : Path
    size : int
        In bytes.
    xml : str
        OME-XML, or what the description of the first page is instead.
    tif : TiffFile or None
        None of a companion.
    pages : list of TiffPage
    labels : list of (str or None)
        Names that the pages have themselves.
    """

    path: Path
    size: int
    xml: str
    tif: tifffile.TiffFile | None = None
    pages: list[tifffile.TiffPage] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)

    @cached_property
    def ome(self) -> OME | None:
        """The OME-XML, None of a TIFF without."""
        return ome_xml.parse(self.xml, self.path) if ome_xml.is_ome_xml(self.xml) else None

    @property
    def uuid(self) -> str | None:
        """The UUID that a file of an OME-TIFF gives itself."""
        found = _ROOT_UUID.search(self.xml) if ome_xml.is_ome_xml(self.xml) else None
        return found[1].strip().lower() if found else None


class TiffFiles:
    """The files of a slide by path; a context manager that closes them."""

    def __init__(self) -> None:
        self._sources: dict[Path, Source] = {}
        self._of: dict[tifffile.TiffFile, Source] = {}
        self._open: dict[tifffile.TiffFile, None] = {}  # the least recently used first

    def __enter__(self) -> Self:
        """Return the files themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self.close()

    def close(self) -> None:
        """Close the files."""
        for tif in self._open:
            tif.filehandle.close()
        self._open.clear()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.size for source in self._sources.values())

    def open(self, path: Path) -> Source:
        """Return a file, open, and checked the first time.

        Raises
        ------
        DataError
            Neither a TIFF nor OME-XML, or one that is damaged.
        """
        if path not in self._sources:
            head = head_of(path)
            if is_tiff(head):
                self._sources[path] = self._opened(path)
            elif is_companion(head):
                self._sources[path] = _companion(path)
            else:
                raise not_a_tiff(path, head)
        source = self._sources[path]
        if source.tif is not None:
            self._use(source.tif)
        return source

    def _opened(self, path: Path) -> Source:
        size = path.stat().st_size
        with strict_tifffile(path):
            tif = tifffile.TiffFile(path, _multifile=False)
            self._use(tif)
            tiff_limits.check_pages(tif, path)
            pages = list(tif.pages)
            if not pages:
                raise ValueError("no pages")
            for index, page in enumerate(pages):
                _check_complete(page, index, path, size)
            labels = [_page_name(page) for page in pages]
            source = Source(path, size, pages[0].description, tif, pages, labels)
        self._of[tif] = source
        return source

    def _use(self, tif: tifffile.TiffFile) -> None:
        """Open a file again if it is closed, and close the least recently used one of too many."""
        self._open.pop(tif, None)
        if tif.filehandle.closed:
            tif.filehandle.open()
        self._open[tif] = None
        if len(self._open) > _MAX_OPEN:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.filehandle.close()

    def of(self, page: tifffile.TiffPage) -> Source:
        """Return the file of a page."""
        return self._of[page.parent]

    def read_segments(self, page: tifffile.TiffPage, indices: Sequence[int]):
        """Return an iterator over lists of (bytes or None, index) of tiles or strips of a page."""
        self._use(page.parent)
        return page.parent.filehandle.read_segments(
            [int(page.dataoffsets[index]) for index in indices],
            [int(page.databytecounts[index]) for index in indices],
            indices=indices,
            buffersize=1 << 26,
            flat=False,
        )


def _companion(path: Path) -> Source:
    size = path.stat().st_size
    if size > _MAX_XML:
        raise DataError(f"{path}: OME-XML of {size:,} bytes, more than the {_MAX_XML:,} read")
    return Source(path, size, path.read_text("utf-8-sig", "replace"))


def refuse_truncated(path: Path, size: int, end: int) -> None:
    """Raise `DataError` if pixels go on to a byte `end` beyond the size of a file."""
    if end > size:
        raise DataError(
            f"{path}: truncated: its pixels go on to byte {end:,}, it ends at {size:,}; {DAMAGED}"
        )


def _check_complete(page: tifffile.TiffPage, index: int, path: Path, size: int) -> None:
    if not (page.size and page.imagelength and page.imagewidth):
        raise DataError(
            f"{path}: page {index} is an image of {page.imagelength} x {page.imagewidth} px,"
            " without pixels; export it again"
        )
    if max(page.imagedepth, page.tiledepth) > 1:
        raise DataError(f"{path}: its pages are volumes; {ONE_PAGE_A_CHANNEL}")
    offsets = np.asarray(page.dataoffsets, np.uint64)
    counts = np.asarray(page.databytecounts, np.uint64)
    if len(offsets) != len(counts) or len(offsets) < math.prod(page.chunked):
        raise DataError(f"{path}: page {index} lacks the places of its pixels; {DAMAGED}")
    refuse_truncated(path, size, int((offsets + counts).max(where=counts > 0, initial=0)))


def _page_name(page: tifffile.TiffPage) -> str | None:
    """Return the target of a MIBI page's JSON, or the tag PageName; None without."""
    try:
        name = json.loads(page.description)["channel.target"]
    except (ValueError, TypeError, KeyError, RecursionError):
        name = page.tags.valueof(285)
    return name if isinstance(name, str) else None
