"""A slide of any format as the pipeline sees it: channels, pixel size, windows of pixels."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ..errors import DataError
from .notice import Notice

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
    notices : iterable of Notice
        What the reader noticed; what all readers share is noticed here.

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
    image_mpp, image_mpp_problem : (float or None), (str or None)
        Pixel size in the file (um/px), and why it cannot be used; see `pixel_size.square`.
    image_mpp_source : str
        Where `image_mpp` is from: 'ome-xml', 'qptiff', 'imagej' or 'tiff'.
    notices : list of Notice
        What a person should read of this slide; steps add to it.
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
        notices: Iterable[Notice] = (),
    ):
        self.path, self.size_bytes = path, size_bytes
        self.height, self.width = shape
        self.dtype = np.dtype(dtype).newbyteorder("=")
        given = [_one_line(name) for name in names]
        self.channels = tuple(
            Channel(index, name or f"Channel {index}") for index, name in enumerate(given)
        )
        self.notices = [*notices, *_notices_of_names(path, given)]
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


def listed(items: Sequence[str], most: int = 3) -> str:
    """Return the first `most` items for a message, with an ellipsis where there are more."""
    return ", ".join([*items[:most], *["..."] * (len(items) > most)])


def choose_plane(
    path: Path,
    sizes: Mapping[str, int],
    z: int | None,
    t: int | None,
    names: Sequence[str] = (),
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
    names : sequence of str
        Of the planes, where they look like names of channels, see `channel_like`.

    Raises
    ------
    DataError
        No such plane, or none given where there are several.
    """
    given = {"Z": z, "T": t}
    return tuple(_index_along(axis, given[axis], sizes, path, names) for axis in "ZT")


def _index_along(
    axis: str, index: int | None, sizes: Mapping[str, int], path: Path, names: Sequence[str]
) -> int:
    size, option = sizes[axis], axis.lower()
    if index is None and size == 1:
        return 0
    if index is None:
        raise DataError(
            f"{path}: holds {size} planes along {axis}, Cellquilt segments one:"
            f" choose it with --{option} (0 to {size - 1})"
            + (f"; {as_channels(size, names)}" if sizes.get("C") == 1 else "")
        )
    if not 0 <= index < size:
        raise DataError(f"{path}: no plane {index} along {axis}; --{option} may be 0 to {size - 1}")
    return index


def as_channels(size: int, names: Sequence[str]) -> str:
    """Return how to correct a file whose channels lie along Z or T, for a message."""
    suggest = f", as their names suggest ({listed([f'{name:.30}' for name in names])})"
    return (
        f"if they are channels{suggest if names else ''}, make them so in Fiji: Image > Properties,"
        f" Channels (c) {size}, Slices (z) 1, Frames (t) 1; save as TIFF"
    )


def channel_like(names: Sequence[str | None]) -> bool:
    """Return whether planes along Z or T have names as channels do: no two alike, not numbered."""
    given = [_one_line(name) for name in names]
    if len(given) < 2 or not all(given) or len(set(given)) < len(given):
        return False
    return len({re.sub(r"\d+", "", name) for name in given}) > 1


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
