"""The one reader of slide images: channels, pixel size, and windows of pixels.

OME-TIFF first; ImageJ hyperstacks, QPTIFF and plain stacks of pages too. All that the headers
tell is checked when a slide is opened, before any work on pixels.
"""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import tifffile

from ..errors import DataError
from ..images.strict_tifffile import strict_tifffile
from ..images.tiff_limits import check_claim
from .ome_xml import differ
from .tiff_stack import Plane, Stack, find_stack, size_of_tiff

log = logging.getLogger("cellquilt")

MPP_RANGE = (0.05, 5.0)  # um/px; outside is a slip of unit, not a microscope
_DECODED_BYTES = 1 << 30  # decoded tiles kept for the next read, over all channels
_TOLD = 600  # characters of a list of channels in a message
_LARGEST = 1e37  # of a float, whose sums and differences are finite in 32 bits
_MPP_MEND = "give --image_mpp (um/px) or the samplesheet's image_mpp column"


@dataclass(frozen=True)
class Channel:
    """A channel of a slide: its 0-based index and its name."""

    index: int
    name: str


class Slide:
    """An open slide image; use it as a context manager, in one thread at a time.

    Attributes
    ----------
    path : Path
    size_bytes : int
        Size of the file.
    height, width : int
        Size of level 0 (px).
    dtype : numpy.dtype
        Type of pixel, in native byte order.
    channels : tuple of Channel
    image_mpp : float or None
        Pixel size in the file (um/px); None where absent or unusable.
    image_mpp_problem : str or None
        Why the pixel size in the file is unusable.
    image_mpp_source : str
        Where `image_mpp` is from: 'ome-xml' or 'qptiff'.
    """

    def __init__(self, path: Path, size: int, tif: tifffile.TiffFile, stack: Stack, z: int, t: int):
        self.path, self.size_bytes, self._tif = path, size, tif
        self.height, self.width = stack.height, stack.width
        self.channels = tuple(
            Channel(index, _one_line(name) or f"Channel {index}")
            for index, name in enumerate(stack.names)
        )
        self.image_mpp, self.image_mpp_problem = stack.mpp, stack.mpp_problem
        self.image_mpp_source = stack.mpp_source
        self._planes = [stack.planes[channel.index, z, t] for channel in self.channels]
        self.dtype = np.dtype(self._planes[0].page.dtype).newbyteorder("=")
        self._decoders = ThreadPoolExecutor(min(os.process_cpu_count() or 1, 8))
        self._decoded: dict[int, dict[int, np.ndarray | None]] = {}

    def __enter__(self) -> Self:
        """Return the slide itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the slide."""
        self.close()

    def close(self) -> None:
        """Close the file and free what is kept of it."""
        self._decoders.shutdown()
        self._decoded.clear()
        self._tif.close()

    def read(
        self, channel_index: int, y0: int, y1: int, x0: int = 0, x1: int | None = None
    ) -> np.ndarray:
        """Return a window of a channel, decoding only the tiles or strips that it touches.

        What a read decodes is kept for the channel's next one: strips of any height from the
        top down, overlapping or not, decode each tile once.

        Parameters
        ----------
        channel_index : int
        y0, y1, x0, x1 : int
            Rows y0 to y1 - 1 and columns x0 to x1 - 1 (px); without `x1`, to the right edge.

        Returns
        -------
        ndarray
            (y1 - y0, x1 - x0), of the slide's `dtype`.

        Raises
        ------
        DataError
            Pixels that cannot be decoded.
        ValueError
            A window that is not within the slide.
        """
        x1 = self.width if x1 is None else x1
        if not (0 <= y0 <= y1 <= self.height and 0 <= x0 <= x1 <= self.width):
            raise ValueError(f"window {y0}:{y1}, {x0}:{x1} not in {self.height} x {self.width} px")
        page, offset = plane = self._planes[channel_index]
        if offset is not None:
            stored = page.dtype.newbyteorder(self._tif.byteorder)
            pixels = np.memmap(self.path, stored, "r", offset, (self.height, self.width))
            return np.array(pixels[y0:y1, x0:x1], self.dtype)
        window = np.zeros((y1 - y0, x1 - x0), self.dtype)
        if not window.size:
            return window
        height, width = page.chunks
        across = page.chunked[1]
        wanted = [
            row * across + column
            for row in range(y0 // height, (y1 - 1) // height + 1)
            for column in range(x0 // width, (x1 - 1) // width + 1)
        ]
        for index, tile in self._tiles(channel_index, plane, wanted).items():
            y, x = index // across * height, index % across * width
            top, left = max(y, y0), max(x, x0)
            bottom, right = min(y + height, y1), min(x + width, x1)
            window[top - y0 : bottom - y0, left - x0 : right - x0] = (
                page.nodata if tile is None else tile[top - y : bottom - y, left - x : right - x]
            )
        return window

    def release(self, channel_index: int) -> None:
        """Free what is kept of a channel that will not be read again."""
        self._decoded.pop(channel_index, None)

    def _tiles(
        self, channel_index: int, plane: Plane, wanted: Sequence[int]
    ) -> dict[int, np.ndarray | None]:
        """Return the decoded tiles or strips of the numbers `wanted`; None for unwritten ones."""
        page = plane.page
        kept = self._decoded.pop(channel_index, {})
        tiles = {index: kept[index] for index in wanted if index in kept}
        missing = [index for index in wanted if index not in kept]
        del kept

        def decode(segment: tuple[bytes | None, int]) -> tuple[int, np.ndarray | None]:
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            check_claim(page, segment[0])
            pixels = page.decode(*segment, **tables)[0]
            return segment[1], None if pixels is None else pixels[0, :, :, 0]

        with strict_tifffile(self.path):
            for batch in self._tif.filehandle.read_segments(
                [int(page.dataoffsets[index]) for index in missing],
                [int(page.databytecounts[index]) for index in missing],
                indices=missing,
                buffersize=1 << 26,
                flat=False,
            ):
                tiles.update(self._decoders.map(decode, batch))
        self._decoded[channel_index] = tiles
        if sum(map(_bytes_of, self._decoded.values())) > _DECODED_BYTES:
            self._decoded = {channel_index: tiles}
        return tiles


def _one_line(name: str | None) -> str:
    """Return a name without line breaks and control characters, for tables and messages."""
    return " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f]+", name or "")).strip()


def _bytes_of(tiles: dict[int, np.ndarray | None]) -> int:
    return sum(tile.nbytes for tile in tiles.values() if tile is not None)


def open_slide(path: str | Path, z: int | None = None, t: int | None = None) -> Slide:
    """Open a slide and check everything that its headers tell.

    Parameters
    ----------
    path : str or Path
        OME-TIFF, ImageJ hyperstack, QPTIFF, or TIFF with one page per channel.
    z, t : int, optional
        0-based plane along Z and T; needed where there is more than one.

    Raises
    ------
    DataError
        Not a slide that can be read whole and without guessing; the message tells the mend.
    """
    path = Path(path)
    size = size_of_tiff(path)
    with ExitStack() as on_error:
        with strict_tifffile(path):
            tif = on_error.enter_context(tifffile.TiffFile(path))
            stack = find_stack(tif, path, size)
        z = _index_along("z", z, stack.sizes["Z"], path)
        t = _index_along("t", t, stack.sizes["T"], path)
        on_error.pop_all()
    return Slide(path, size, tif, stack, z, t)


def _index_along(axis: str, index: int | None, size: int, path: Path) -> int:
    if index is None and size == 1:
        return 0
    if index is None:
        raise DataError(
            f"{path}: holds {size} planes along {axis.upper()}, Cellquilt segments one:"
            f" choose it with --{axis} (0 to {size - 1})"
        )
    if not 0 <= index < size:
        raise DataError(
            f"{path}: no plane {index} along {axis.upper()}; --{axis} may be 0 to {size - 1}"
        )
    return index


def resolve_channel(slide: Slide, spec: str, role: str) -> Channel:
    """Return the channel that `spec` names.

    Parameters
    ----------
    spec : str
        Name (whole, in any case) or 0-based index; a name wins over an index.
    role : str
        'nuclear' or 'membrane', for the message.

    Raises
    ------
    DataError
        No such channel, or several of that name.
    """
    spec = spec.strip()
    exact = [channel for channel in slide.channels if channel.name == spec]
    named = exact or [c for c in slide.channels if c.name.casefold() == spec.casefold()]
    if len(named) > 1:
        indices = ", ".join(str(channel.index) for channel in named)
        raise DataError(
            f"{slide.path}: {role} channel '{spec}' is ambiguous, channels {indices} have that"
            f" name; give --{role} the index"
        )
    if named:
        return named[0]
    if spec.isdecimal() and int(spec) < len(slide.channels):
        return slide.channels[int(spec)]
    there = ", ".join(f"{channel.index}: {channel.name}" for channel in slide.channels)
    if len(there) > _TOLD:
        there = f"{there[:_TOLD]} ... ({len(slide.channels)} channels)"
    raise DataError(
        f"{slide.path}: no {role} channel '{spec}'; give --{role} a name or index of {there}"
    )


def resolve_channels(slide: Slide, spec: str, role: str) -> tuple[Channel, ...]:
    """Return the channels of a semicolon-separated `spec` such as 'CD45;PanCK', in its order.

    Raises
    ------
    DataError
        No such channel, a name that several have, a channel given twice, or none at all.
    """
    channels = tuple(resolve_channel(slide, part, role) for part in spec.split(";") if part.strip())
    if not channels:
        raise DataError(f"{slide.path}: no {role} channel given; name it with --{role}")
    for channel in channels:
        if channels.count(channel) > 1:
            raise DataError(
                f"{slide.path}: {role} channel {channel.index} ('{channel.name:.99}') is given"
                f" twice in '{spec}'; give it once"
            )
    return channels


def refuse_shared_channel(slide: Slide, nuclear: Channel, membrane: Iterable[Channel]) -> None:
    """Raise `DataError` if a membrane channel is the nuclear one."""
    if nuclear in membrane:
        raise DataError(
            f"{slide.path}: channel {nuclear.index} ('{nuclear.name:.99}') is given as nuclear and"
            " as membrane; leave it out of --membrane"
        )


def resolve_image_mpp(slide: Slide, override: float | None) -> tuple[float, str]:
    """Return the pixel size (um/px) and its source: 'parameter', 'ome-xml' or 'qptiff'.

    Raises
    ------
    DataError
        Neither given nor in the file, unusable in the file, or outside 0.05 to 5 um/px.
    """
    if override is None and slide.image_mpp_problem:
        raise DataError(f"{slide.path}: {slide.image_mpp_problem}; {_MPP_MEND}")
    mpp = slide.image_mpp if override is None else override
    source = slide.image_mpp_source if override is None else "parameter"
    if mpp is None:
        raise DataError(f"{slide.path}: has no pixel size; {_MPP_MEND}")
    if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        told = "given as parameter" if source == "parameter" else f"of its {source}"
        raise DataError(
            f"{slide.path}: the pixel size {told}, {mpp:g} um/px, is absurd (not in"
            f" {MPP_RANGE[0]:g} to {MPP_RANGE[1]:g}); {_MPP_MEND}"
        )
    if slide.image_mpp is not None and differ(mpp, slide.image_mpp):
        log.warning(
            "%s: image_mpp %g is used, the file's own %s has %g um/px",
            slide.path,
            mpp,
            slide.image_mpp_source,
            slide.image_mpp,
        )
    return mpp, source


def check_finite(strip: np.ndarray, slide: Slide, channel: Channel, y0: int) -> None:
    """Raise `DataError` at the first NaN, infinite or absurdly large pixel of `strip`.

    Parameters
    ----------
    strip : ndarray
        (rows, columns) pixels of `channel` from row `y0` and column 0 on.
    """
    if strip.dtype.kind != "f":
        return
    usable = np.abs(strip) <= _LARGEST
    if not usable.all():
        y, x = np.unravel_index(np.argmin(usable), strip.shape)
        raise DataError(
            f"{slide.path}: channel {channel.index} ('{channel.name:.99}') is {strip[y, x]} at"
            f" pixel (y={y0 + y}, x={x}); replace NaN, infinite pixels and those beyond"
            f" {_LARGEST:g}, for example by 0"
        )
