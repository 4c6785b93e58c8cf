"""The reader of TIFFs: OME-TIFF of one or several files, ImageJ hyperstacks, QPTIFF and others."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from ..cli import cpu_count
from ..images.strict_tifffile import strict_tifffile
from ..images.tiff_limits import check_claim
from .file_head import is_companion, is_tiff
from .notice import Notice
from .selection import Selection, as_channels, choose_planes
from .slide import Slide

if TYPE_CHECKING:
    from .tiff_files import TiffFiles
    from .tiff_stack import Stack

_DECODED_BYTES = 1 << 30  # decoded tiles kept for the next read, over all channels


class TiffSlide(Slide):
    """TIFFs whose pages are the channels, at one plane of z and t."""

    def __init__(self, path: Path, selection: Selection, files: "TiffFiles", stack: "Stack"):
        planes = stack.plane_names
        zs, t = choose_planes(path, stack.sizes, selection, planes)
        super().__init__(
            path,
            selection,
            size_bytes=files.size,
            shape=(stack.height, stack.width),
            dtype=stack.dtype,
            names=stack.names,
            zs=zs,
            t=t,
            image_mpp=stack.mpp,
            image_mpp_problem=stack.mpp_problem,
            image_mpp_source=stack.mpp_source,
            notices=stack.notices,
        )
        self._files = files
        self._planes = {
            (channel.index, z): stack.planes[channel.index, z, t]
            for channel in self.channels
            for z in zs
        }
        self._decoders = ThreadPoolExecutor(min(cpu_count(), 8))
        self._decoded: dict[tuple[int, int], dict[int, np.ndarray | None]] = {}
        if planes:
            axis = "Z" if stack.sizes["Z"] > 1 else "T"
            what = f"the {selection.z} of all planes" if len(zs) > 1 else f"plane {max(*zs, t)}"
            text = f"{path.name}: {what} of {len(planes)} alone is segmented; "
            text += f"{as_channels(axis, planes)}."
            self.notices.append(Notice("planes_look_like_channels", text))

    @staticmethod
    def recognises(paths: Sequence[Path], head: bytes) -> bool:
        """Return whether a file begins as TIFF, or as the OME-XML of several."""
        return len(paths) == 1 and (is_tiff(head) or is_companion(head))

    @classmethod
    def open(cls, paths: Sequence[Path], selection: Selection) -> Self:
        """Open a TIFF and check its pages and metadata, see `readers.open_slide`."""
        from .tiff_files import TiffFiles  # with ome-types, which takes a second to import

        with ExitStack() as on_error:
            files = on_error.enter_context(TiffFiles())
            slide = cls(paths[0], selection, files, cls._stack_of(files, paths, selection))
            on_error.pop_all()
        return slide

    @staticmethod
    def _stack_of(files: "TiffFiles", paths: Sequence[Path], selection: Selection) -> "Stack":
        from .tiff_stack import find_stack

        return find_stack(files, paths[0], selection, paths)

    def close(self) -> None:
        """Close the files and free what is kept of them."""
        self._decoders.shutdown()
        self._decoded.clear()
        self._files.close()

    def _read(self, channel: int, z: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        page, offset = self._planes[channel, z]
        native = page.dtype.newbyteorder("=")
        if offset is not None:
            stored = page.dtype.newbyteorder(page.parent.byteorder)
            path = page.parent.filehandle.path
            pixels = np.memmap(path, stored, "r", offset, (self.height, self.width))
            return np.array(pixels[y0:y1, x0:x1], native)
        window = np.zeros((y1 - y0, x1 - x0), native)
        height, width = page.chunks
        across = page.chunked[1]
        wanted = [
            row * across + column
            for row in range(y0 // height, (y1 - 1) // height + 1)
            for column in range(x0 // width, (x1 - 1) // width + 1)
        ]
        for index, tile in self._tiles((channel, z), wanted).items():
            y, x = index // across * height, index % across * width
            top, left = max(y, y0), max(x, x0)
            bottom, right = min(y + height, y1), min(x + width, x1)
            window[top - y0 : bottom - y0, left - x0 : right - x0] = (
                page.nodata if tile is None else tile[top - y : bottom - y, left - x : right - x]
            )
        return window

    def release(self, channel: int) -> None:
        """Free what is kept of a channel that will not be read again."""
        for plane in [plane for plane in self._decoded if plane[0] == channel]:
            del self._decoded[plane]

    def _tiles(self, plane: tuple[int, int], wanted: Sequence[int]) -> dict[int, np.ndarray | None]:
        """Return the tiles or strips of the numbers `wanted` of a channel at a plane along Z.

        None stands for those that were never written.
        """
        page = self._planes[plane].page
        kept = self._decoded.pop(plane, {})
        tiles = {index: kept[index] for index in wanted if index in kept}
        missing = [index for index in wanted if index not in kept]
        del kept

        def decode(segment: tuple[bytes | None, int]) -> tuple[int, np.ndarray | None]:
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            check_claim(page, segment[0])
            pixels = page.decode(*segment, **tables)[0]
            return segment[1], None if pixels is None else pixels[0, :, :, 0]

        with strict_tifffile(self._files.of(page).path):
            for batch in self._files.read_segments(page, missing):
                tiles.update(self._decoders.map(decode, batch))
        self._decoded[plane] = tiles
        if sum(map(_bytes_of, self._decoded.values())) > _DECODED_BYTES:
            self._decoded = {plane: tiles}
        return tiles


def _bytes_of(tiles: dict[int, np.ndarray | None]) -> int:
    return sum(tile.nbytes for tile in tiles.values() if tile is not None)
