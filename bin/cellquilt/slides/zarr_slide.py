"""The reader of OME-Zarr 0.4 and 0.5, in a folder or in a zip."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ..errors import DataError, reason
from ..images.label_image import as_labels
from .notice import Notice
from .selection import AS_IT_IS, AXES, Selection, choose_planes, file_axes, listed
from .slide import Slide, check_type
from .zarr_files import METADATA, ZarrFiles
from .zarr_metadata import ZarrImage, find_image, find_labels

_DECODED_BYTES = 1 << 30  # decoded rows of chunks kept for the next read, over all channels
_MAX_COUNTED = 100_000  # files; of an array of more, neither number nor bytes are known


class _Block(NamedTuple):
    """Decoded pixels of whole chunks, and the row and column at which they begin."""

    y0: int
    x0: int
    pixels: np.ndarray


class ZarrSlide(Slide):
    """The full resolution of an OME-Zarr image, at one plane of z and t."""

    _check_type = staticmethod(check_type)

    def __init__(self, files: ZarrFiles, image: ZarrImage, selection: Selection):
        from .zarr_array import open_array

        path, axes = files.path, file_axes(files.path, image.sizes, selection)
        sizes = {axis: image.sizes[own] for axis, own in zip(AXES, axes, strict=True)}
        zs, t = choose_planes(path, sizes, selection)
        counted = dict(itertools.islice(files.sizes(image.key), _MAX_COUNTED + 1))
        is_whole = len(counted) <= _MAX_COUNTED
        n_bytes = path.stat().st_size if path.is_file() else sum(counted.values())
        self._files, self._array = files, open_array(files, image, n_bytes, self._check_type)
        # Where a channel's plane along Z is: the axes of the file but the last two
        self._planes = {
            (c, z): tuple(dict(zip(axes, (c, z, t), strict=True))[axis] for axis in image.axes[:-2])
            for c in range(sizes["C"])
            for z in zs
        }
        super().__init__(
            path,
            selection,
            size_bytes=n_bytes if is_whole or path.is_file() else None,
            shape=(image.height, image.width),
            dtype=self._array.dtype,
            names=_names(files, image if axes == AXES else None, selection, sizes["C"]),
            zs=zs,
            t=t,
            image_mpp=image.mpp,
            image_mpp_problem=image.mpp_problem,
            image_mpp_source="ome-zarr",
        )
        self._kept: dict[tuple[int, int], _Block] = {}
        if is_whole:
            self.notices += self._unwritten(counted)

    @staticmethod
    def recognises(paths: Sequence[Path], head: bytes) -> bool:
        """Return whether a folder has metadata of Zarr, or a file begins as a zip."""
        if len(paths) > 1:
            return False
        is_zip = head[:4] in {b"PK\3\4", b"PK\5\6"}
        return is_zip or any(os.path.isfile(paths[0] / name) for name in METADATA)

    @classmethod
    def open(cls, paths: Sequence[Path], selection: Selection) -> Self:
        """Open an OME-Zarr and check its metadata, see `readers.open_slide`."""
        (path,) = paths
        files = ZarrFiles(path)
        try:
            return cls(files, find_image(files, selection), selection)
        except BaseException:
            files.close()
            raise

    def close(self) -> None:
        """Close the file and free what is kept of it."""
        self._kept.clear()
        self._files.close()

    def release(self, channel: int) -> None:
        """Free what is kept of a channel that will not be read again."""
        for plane in [plane for plane in self._kept if plane[0] == channel]:
            del self._kept[plane]

    def _read(self, channel: int, z: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        height, width = self._array.pixels.chunks[-2:]
        top, left = y0 // height * height, x0 // width * width
        bottom = min(-(-y1 // height) * height, self.height)
        right = min(-(-x1 // width) * width, self.width)
        block = self._block((channel, z), top, bottom, left, right)
        y, x = block.y0, block.x0
        return block.pixels[y0 - y : y1 - y, x0 - x : x1 - x].copy()

    def _block(self, plane: tuple[int, int], y0: int, y1: int, x0: int, x1: int) -> _Block:
        """Return the chunks of a window; rows that the last read has decoded are those."""
        kept = self._kept.pop(plane, None)
        pixels = np.empty((0, x1 - x0), self._array.dtype)
        if kept is not None and kept.y0 <= y0 and kept.x0 <= x0:
            rows = kept.pixels[y0 - kept.y0 : y1 - kept.y0, x0 - kept.x0 : x1 - kept.x0]
            pixels = rows if rows.shape[1] == x1 - x0 else pixels
        below = y0 + len(pixels)
        if below < y1:
            decoded = self._decode(plane, below, y1, x0, x1)
            pixels = np.concatenate([pixels, decoded]) if len(pixels) else decoded
        self._kept[plane] = block = _Block(y0, x0, pixels)
        if sum(each.pixels.nbytes for each in self._kept.values()) > _DECODED_BYTES:
            self._kept = {plane: block}
        return block

    def _decode(self, plane: tuple[int, int], y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        import zarr

        what = f"channel {plane[0]}, rows {y0} to {y1 - 1}"
        with self._damaged(what), zarr.config.set({"async.concurrency": self._array.concurrency}):
            where = (*self._planes[plane], slice(y0, y1), slice(x0, x1))
            return np.asarray(self._array.pixels[where], self._array.dtype)

    @contextmanager
    def _damaged(self, what: str) -> Iterator[None]:
        """Turn what zarr and its codecs raise into `DataError`."""
        try:
            yield
        except Exception as error:  # each codec raises a class of its own
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            if isinstance(error, DataError | MemoryError | OSError):
                raise error from None
            raise self._files.damaged(f"{what}: {reason(error)}") from error

    def _unwritten(self, keys: Iterable[str]) -> Iterator[Notice]:
        """Yield a notice of chunks that are not there; refuse a slide that has none."""
        of_channel: dict[int, set[tuple[int, ...]]] = {}
        for (channel, _), plane in self._planes.items():
            of_channel.setdefault(channel, set()).add(self._array.chunks_of(plane))
        written = self._array.written(keys)
        planes = set().union(*of_channel.values())
        missing = len(planes) * self._array.files_a_plane - sum(written[plane] for plane in planes)
        empty = [str(c) for c, own in of_channel.items() if not any(written[at] for at in own)]
        if len(empty) == len(self.channels):
            raise self._files.damaged("it has no chunk of its pixels")
        if missing:
            whole = f", among them all of channel {listed(empty)}" if empty else ""
            text = f"{missing} chunks were never written and are read as their fill value{whole}"
            text = f"{self.path.name}: {text}; copy or export it again if that is wrong."
            yield Notice("unwritten_tiles", text)


class ZarrLabels:
    """Labels of an OME-Zarr, as rows; a context manager. What was never written is background.

    Attributes
    ----------
    path : Path
    shape : (int, int)
        Height and width in pixels.
    dtype : numpy.dtype
        Type of pixel in the file.
    """

    def __init__(self, slide: ZarrSlide):
        self._slide, self.path = slide, slide.path
        self.shape, self.dtype = (slide.height, slide.width), slide.dtype

    @classmethod
    def find(cls, path: Path) -> Self:
        """Open the labels of a folder or zip: its own, or those of the image that it is.

        Raises
        ------
        DataError
            No OME-Zarr, several sets of labels, or labels that are not 2-D or no integers.
        """
        files = ZarrFiles(path)
        try:
            slide = _LabelSlide(files, find_labels(files), AS_IT_IS)
            if len(slide.channels) > 1:
                raise DataError(
                    f"{path}: has {len(slide.channels)} channels; a mask has one: write each"
                    " compartment as labels of its own"
                )
            return cls(slide)
        except BaseException:
            files.close()
            raise

    def __enter__(self) -> Self:
        """Return the labels."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._slide.close()

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        y0, y1 = max(y0, 0), min(y1, self.shape[0])
        try:
            return as_labels(self._slide.read(0, y0, y1))
        except ValueError as error:
            raise DataError(f"{self.path}: rows {y0} on: {reason(error)}") from error


class _LabelSlide(ZarrSlide):
    """Labels as a slide of one channel."""

    @staticmethod
    def _check_type(dtype: np.dtype | str, path: Path) -> None:
        if isinstance(dtype, str) or dtype.kind not in "iu":
            raise DataError(f"{path}: holds {dtype!s:.20}; labels are integers")

    def _unwritten(self, _keys: Iterable[str]) -> Iterator[Notice]:
        return iter(())


def _names(
    files: ZarrFiles, image: ZarrImage | None, selection: Selection, n: int
) -> list[str | None]:
    """Return a name for each of n channels, None where the image has none or they are not asked."""
    names = image.names if image and selection.names is None else ()
    if len(names) > n:
        raise DataError(
            f"{files.path}: its metadata (omero) name {len(names)} channels, and the image has {n};"
            " correct them, or name the channels with --markers"
        )
    return [*names, *[None] * (n - len(names))]
