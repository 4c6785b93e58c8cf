"""A slide of any format as the pipeline sees it: channels, pixel size, windows of pixels."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ..errors import DataError

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
    size_bytes : int
        Size of the file, or of all files of the slide.
    shape : (int, int)
        Height and width of level 0 (px).
    dtype : numpy.dtype
        Type of pixel, in any byte order.
    names : iterable of (str or None)
        Names of the channels in order, as they are in the file; None where there is none.
    z, t : int
        0-based plane that is read, see `choose_plane`.
    image_mpp, image_mpp_problem, image_mpp_source
        See the attributes.

    Attributes
    ----------
    path : Path
    size_bytes : int
    height, width : int
        Size of level 0 (px).
    dtype : numpy.dtype
        Type of pixel, in native byte order.
    channels : tuple of Channel
    z, t : int
        0-based plane that is read; 0 along an axis with one plane only.
    image_mpp : float or None
        Pixel size in the file (um/px); None where absent or unusable.
    image_mpp_problem : str or None
        Why the pixel size in the file is unusable.
    image_mpp_source : str
        Where `image_mpp` is from: 'ome-xml' or 'qptiff'.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_bytes: int,
        shape: tuple[int, int],
        dtype: np.dtype,
        names: Iterable[str | None],
        z: int,
        t: int,
        image_mpp: float | None = None,
        image_mpp_problem: str | None = None,
        image_mpp_source: str = "ome-xml",
    ):
        self.path, self.size_bytes = path, size_bytes
        self.height, self.width = shape
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.channels = tuple(
            Channel(index, _one_line(name) or f"Channel {index}")
            for index, name in enumerate(names)
        )
        self.z, self.t = z, t
        self.image_mpp, self.image_mpp_problem = image_mpp, image_mpp_problem
        self.image_mpp_source = image_mpp_source

    @staticmethod
    @abstractmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Return whether a path is a slide of this format, damaged or not.

        Parameters
        ----------
        path : Path
            A file or folder that is there.
        head : bytes
            The first 4,096 bytes of a file; empty for a folder.
        """

    @classmethod
    @abstractmethod
    def open(cls, path: Path, z: int | None, t: int | None) -> "Slide":
        """Open a slide that `recognises` accepts; see `readers.open_slide`."""

    @abstractmethod
    def close(self) -> None:
        """Close the file and free what is kept of it."""

    @abstractmethod
    def release(self, channel: int) -> None:
        """Free what is kept of a channel (its index) that will not be read again."""

    @abstractmethod
    def _read(self, channel: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        """Return a window as `read` does; it has pixels and lies within the slide."""

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
        if y0 == y1 or x0 == x1:
            return np.zeros((y1 - y0, x1 - x0), self.dtype)
        return self._read(channel, y0, y1, x0, x1)


def _one_line(name: str | None) -> str:
    """Return a name without line breaks and control characters, for tables and messages."""
    return " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f]+", name or "")).strip()


def choose_plane(
    path: Path, sizes: Mapping[str, int], z: int | None, t: int | None
) -> tuple[int, int]:
    """Return the 0-based plane along Z and T that is to be read.

    Parameters
    ----------
    path : Path
        The slide, for the message.
    sizes : dict of str to int
        Number of planes along Z and T.
    z, t : int or None
        As a user gives them.

    Raises
    ------
    DataError
        No such plane, or none given where there are several.
    """
    return _index_along("z", z, sizes["Z"], path), _index_along("t", t, sizes["T"], path)


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
