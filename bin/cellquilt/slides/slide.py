"""A slide of any format as the pipeline sees it: channels, pixel size, windows of pixels."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from ..errors import DataError
from .notice import Notice
from .selection import Selection, listed, one_line

_LARGEST = 1e37  # of a float, whose sums and differences are finite in 32 bits


@dataclass(frozen=True)
class Channel:
    """A channel of a slide: its 0-based index and its name."""

    index: int
    name: str


class Slide(ABC):
    """An open slide image; use it as a context manager, in one thread at a time.

    Each format has a subclass, its reader; see `readers.READERS`. A reader implements the abstract
    methods. Windows, names and planes are checked here, for all readers alike.

    Parameters
    ----------
    path : Path
    selection : Selection
        As the reader was given it.
    size_bytes : int or None
        Size of the file, or of all files of the slide; None where they are too many to be counted.
    shape : (int, int)
        Height and width of level 0 (px).
    dtype : numpy.dtype
        Type of pixel, in any byte order.
    names : iterable of (str or None)
        Names of the channels in order, as they are in the file; None where there is none.
    zs, t : list of int, int
        0-based planes that are read, see `selection.choose_planes`.
    image_mpp, image_mpp_problem, image_mpp_source
        See the attributes.
    notices : iterable of Notice
        What the reader noticed; what all readers share is noticed here.

    Attributes
    ----------
    path : Path
    size_bytes : int or None
    height, width : int
        Size of level 0 (px).
    dtype : numpy.dtype
        Type of pixel of what is read, in native byte order: that of the file, and a float for
        the mean of several planes.
    channels : tuple of Channel
    selection : Selection
        With the planes that are read: `z` is 0 along an axis with one plane only.
    image_mpp, image_mpp_problem : (float or None), (str or None)
        Pixel size in the file (um/px), and why it cannot be used; see `pixel_size.square`.
    image_mpp_source : str
        Where `image_mpp` is from: 'ome-xml', 'ome-zarr', 'qptiff', 'imagej' or 'tiff'.
    notices : list of Notice
        What a person should read of this slide; steps add to it.
    """

    def __init__(
        self,
        path: Path,
        selection: Selection,
        *,
        size_bytes: int | None,
        shape: tuple[int, int],
        dtype: np.dtype,
        names: Iterable[str | None],
        zs: Sequence[int],
        t: int,
        image_mpp: float | None = None,
        image_mpp_problem: str | None = None,
        image_mpp_source: str = "ome-xml",
        notices: Iterable[Notice] = (),
    ):
        self.path, self.size_bytes = path, size_bytes
        self.height, self.width = shape
        self._zs, self._stored = list(zs), np.dtype(dtype).newbyteorder("=")
        self.selection = replace(selection, z=zs[0] if len(zs) == 1 else selection.z, t=t)
        is_mean = len(zs) > 1 and selection.z == "mean"
        self.dtype = _dtype_of_mean(self._stored) if is_mean else self._stored
        given = [one_line(name) for name in _names(path, list(names), selection)]
        self.channels = tuple(
            Channel(index, name or f"Channel {index}") for index, name in enumerate(given)
        )
        self.notices = [*notices, *_notices_of_names(path, given)]
        self.image_mpp, self.image_mpp_problem = image_mpp, image_mpp_problem
        self.image_mpp_source = image_mpp_source

    @staticmethod
    @abstractmethod
    def recognises(paths: Sequence[Path], head: bytes) -> bool:
        """Return whether files are a slide of this format, damaged or not.

        Parameters
        ----------
        paths : sequence of Path
            A file or folder that is there, or the files of a slide that has several.
        head : bytes
            The first 4,096 bytes of the file; empty for a folder and for several files.
        """

    @classmethod
    @abstractmethod
    def open(cls, paths: Sequence[Path], selection: Selection) -> "Slide":
        """Open a slide that `recognises` accepts; see `readers.open_slide`."""

    @abstractmethod
    def close(self) -> None:
        """Close the file and free what is kept of it."""

    @abstractmethod
    def release(self, channel: int) -> None:
        """Free what is kept of a channel (its index) that will not be read again."""

    @abstractmethod
    def _read(self, channel: int, z: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        """Return a window of a plane along Z, of the type of the file.

        It has pixels and lies within the slide.
        """

    def __enter__(self) -> Self:
        """Return the slide itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the slide."""
        self.close()

    def read(
        self, channel: int, y0: int, y1: int, x0: int = 0, x1: int | None = None
    ) -> np.ndarray:
        """Return a window of a channel, decoding only the tiles or strips that it touches.

        What a read decodes is kept for the channel's next one: strips of any height from the
        top down, overlapping or not, decode each tile once.

        Parameters
        ----------
        channel : int
            Index.
        y0, y1, x0, x1 : int
            Rows y0 to y1 - 1 and columns x0 to x1 - 1 (px); without `x1`, to the right edge.

        Returns
        -------
        ndarray
            (y1 - y0, x1 - x0), of the slide's `dtype`: of several planes along Z their projection.

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
        if y0 == y1 or x0 == x1:
            return np.zeros((y1 - y0, x1 - x0), self.dtype)
        first, *others = self._zs
        pixels = self._read(channel, first, y0, y1, x0, x1)
        if not others:
            return pixels
        if self.selection.z == "max":
            for z in others:
                np.maximum(pixels, self._read(channel, z, y0, y1, x0, x1), out=pixels)
            return pixels
        total = pixels.astype(np.float64)
        for z in others:
            total += self._read(channel, z, y0, y1, x0, x1)
        return (total / len(self._zs)).astype(self.dtype)


def _dtype_of_mean(stored: np.dtype) -> np.dtype:
    """Return the float that holds the mean of planes; 32 bits hold what 16 bits can average."""
    return np.dtype(np.float32 if stored.itemsize <= 2 or stored == np.float32 else np.float64)


def _names(path: Path, own: list[str | None], selection: Selection) -> Sequence[str | None]:
    """Return the names of the channels: the user's, or else the file's own."""
    if selection.names is None:
        return own
    if len(selection.names) != len(own):
        raise DataError(
            f"{path}: has {len(own)} channel{'s' * (len(own) > 1)}, and --markers names"
            f" {len(selection.names)}; correct one of them"
        )
    return selection.names


def _notices_of_names(path: Path, given: Sequence[str]) -> Iterator[Notice]:
    """Yield what is to be known of channels without a name, and of those that share one."""
    unnamed = [index for index, name in enumerate(given) if not name]
    if unnamed and len(given) > 1:
        yield Notice(
            "channel_names_made_up",
            f"{path.name}: the file has names for {len(given) - len(unnamed)} of {len(given)}"
            f" channels; those without are called by their index, as 'Channel {unnamed[0]}'. Check"
            " that their order is the one you expect.",
        )
    places: dict[str, list[str]] = {}
    for index, name in enumerate(given):
        places.setdefault(name, []).append(str(index))
    shared = {name: indices for name, indices in places.items() if name and len(indices) > 1}
    if shared:
        yield Notice(
            "channel_names_duplicated",
            f"{path.name}: several channels have one name:"
            f" {listed([f"'{name:.99}' ({', '.join(n[:9])})" for name, n in shared.items()])}."
            " In tables the second and later ones get a number; check which is which.",
        )


def check_type(dtype: np.dtype | str, path: Path) -> None:
    """Raise `DataError` if pixels of a type are no intensities; a str is of none that numpy has."""
    kind = "" if isinstance(dtype, str) else dtype.kind
    if not kind or kind not in "uif" or (kind in "ui" and dtype.itemsize > 4):
        raise DataError(
            f"{path}: pixels are of type {one_line(str(dtype)):.99}; Cellquilt reads integers of 8"
            " to 32 bits and floats: convert the slide"
        )


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
