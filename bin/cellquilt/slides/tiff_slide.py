"""The reader of TIFFs: OME-TIFF, ImageJ hyperstacks, QPTIFF and plain stacks of pages."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import tifffile

from ..images.strict_tifffile import strict_tifffile
from ..images.tiff_limits import check_claim
from .notice import Notice
from .slide import Slide, as_channels, choose_plane

if TYPE_CHECKING:
    from .tiff_stack import Plane, Stack

_DECODED_BYTES = 1 << 30  # decoded tiles kept for the next read, over all channels


class TiffSlide(Slide):
    """A TIFF whose pages are the channels, at one plane of z and t."""

    def __init__(
        self, path: Path, size: int, tif: tifffile.TiffFile, stack: "Stack", z: int, t: int
    ):
        self._tif = tif
        self._planes = [stack.planes[index, z, t] for index in range(len(stack.names))]
        self._decoders = ThreadPoolExecutor(min(os.process_cpu_count() or 1, 8))
        self._decoded: dict[int, dict[int, np.ndarray | None]] = {}
        super().__init__(
            path,
            size_bytes=size,
            shape=(stack.height, stack.width),
            dtype=self._planes[0].page.dtype,
            names=stack.names,
            z=z,
            t=t,
            image_mpp=stack.mpp,
            image_mpp_problem=stack.mpp_problem,
            image_mpp_source=stack.mpp_source,
            notices=stack.notices,
        )

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Return whether a file begins as TIFF or BigTIFF of either byte order."""
        return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}

    @classmethod
    def open(cls, path: Path, z: int | None, t: int | None) -> Self:
        """Open a TIFF and check its pages and metadata, see `readers.open_slide`."""
        from .tiff_stack import find_stack  # with ome-types, which takes a second to import

        size = path.stat().st_size
        with ExitStack() as on_error:
            with strict_tifffile(path):
                tif = on_error.enter_context(tifffile.TiffFile(path))
                stack = find_stack(tif, path, size)
            z, t = choose_plane(path, stack.sizes, z, t, stack.plane_names)
            on_error.pop_all()
        slide = cls(path, size, tif, stack, z, t)
        if stack.plane_names:
            n = len(stack.plane_names)
            text = f"{path.name}: plane {max(z, t)} of {n} alone is segmented; "
            text += f"{as_channels(n, stack.plane_names)}."
            slide.notices.append(Notice("planes_look_like_channels", text))
        return slide

    def close(self) -> None:
        """Close the file and free what is kept of it."""
        self._decoders.shutdown()
        self._decoded.clear()
        self._tif.close()

    def _read(self, channel: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        page, offset = plane = self._planes[channel]
        if offset is not None:
            stored = page.dtype.newbyteorder(self._tif.byteorder)
            pixels = np.memmap(self.path, stored, "r", offset, (self.height, self.width))
            return np.array(pixels[y0:y1, x0:x1], self.dtype)
        window = np.zeros((y1 - y0, x1 - x0), self.dtype)
        height, width = page.chunks
        across = page.chunked[1]
        wanted = [
            row * across + column
            for row in range(y0 // height, (y1 - 1) // height + 1)
            for column in range(x0 // width, (x1 - 1) // width + 1)
        ]
        for index, tile in self._tiles(channel, plane, wanted).items():
            y, x = index // across * height, index % across * width
            top, left = max(y, y0), max(x, x0)
            bottom, right = min(y + height, y1), min(x + width, x1)
            window[top - y0 : bottom - y0, left - x0 : right - x0] = (
                page.nodata if tile is None else tile[top - y : bottom - y, left - x : right - x]
            )
        return window

    def release(self, channel: int) -> None:
        """Free what is kept of a channel that will not be read again."""
        self._decoded.pop(channel, None)

    def _tiles(
        self, channel: int, plane: "Plane", wanted: Sequence[int]
    ) -> dict[int, np.ndarray | None]:
        """Return the decoded tiles or strips of the numbers `wanted`; None for unwritten ones."""
        page = plane.page
        kept = self._decoded.pop(channel, {})
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
        self._decoded[channel] = tiles
        if sum(map(_bytes_of, self._decoded.values())) > _DECODED_BYTES:
            self._decoded = {channel: tiles}
        return tiles


def _bytes_of(tiles: dict[int, np.ndarray | None]) -> int:
    return sum(tile.nbytes for tile in tiles.values() if tile is not None)
