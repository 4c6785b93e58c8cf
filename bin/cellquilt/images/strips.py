"""Images in strips of rows, so that memory follows the strip and not the slide."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

STRIP_PIXELS = 1 << 22


def strip_rows(
    shape: tuple[int, int],
    rows: int | None = None,
    pixels: int = STRIP_PIXELS,
    multiple: int = 1,
) -> Iterator[tuple[int, int]]:
    """Yield (y0, y1) of successive strips of an image.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    rows : int, optional
        Height of a strip; by default it has about `pixels` pixels.
    pixels : int
    multiple : int
        Of which the default height is a multiple.
    """
    height, width = shape
    rows = rows or max(pixels // width // multiple, 1) * multiple
    for y0 in range(0, height, rows):
        yield y0, min(y0 + rows, height)


def pyramid_steps(shape: tuple[int, int], side: int) -> list[int]:
    """Return the steps of a pyramid's levels: 1, 2, 4 and so on, until `side` px hold the image.

    >>> pyramid_steps((3000, 5000), 1024)
    [1, 2, 4, 8]
    """
    steps = [1]
    while max(shape) > side * steps[-1]:
        steps.append(2 * steps[-1])
    return steps


class Scratch:
    """A 2-D image on disk, read and written in strips of rows; zero until written.

    Not mapped into memory, where its pages would count as the process's own: a strip is copied
    from and to the file, which has no name and goes with the object. The disk space is reserved
    at once, so that a full disk is an error here and not in the middle of the work.

    Parameters
    ----------
    folder : Path
        Where the file lies.
    shape : (int, int)
        Height and width in pixels.
    dtype : dtype-like
        Of a pixel.

    Raises
    ------
    OSError
        If the disk has no room for it.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: npt.DTypeLike):
        self.shape, self.dtype = (int(shape[0]), int(shape[1])), np.dtype(dtype)
        self._row_bytes = self.shape[1] * self.dtype.itemsize
        self._file, name = tempfile.mkstemp(prefix=".scratch-", dir=folder)
        weakref.finalize(self, os.close, self._file)
        os.unlink(name)
        size = self.shape[0] * self._row_bytes
        try:
            os.posix_fallocate(self._file, 0, size)
        except OSError as error:
            what = f"{error.strerror}: {size / 1e9:.1f} GB of scratch space"
            raise OSError(error.errno, what, str(folder)) from error

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return a copy of the rows, (rows, width); a step skips the rows between."""
        taken = range(*rows.indices(self.shape[0]))
        strip = np.empty((len(taken), self.shape[1]), self.dtype)
        if taken.step == 1:
            self._read(strip, taken.start)
        else:
            for line, row in zip(strip, taken, strict=True):
                self._read(line, row)
        return strip

    def __setitem__(self, rows: slice, strip: np.ndarray) -> None:
        """Write successive rows, (rows, width) and of a type that casts to the image's own."""
        y0, y1, step = rows.indices(self.shape[0])
        if step != 1 or strip.shape != (y1 - y0, self.shape[1]):
            raise ValueError(f"{strip.shape} px do not fit rows {y0}:{y1}:{step} of {self.shape}")
        pixels = np.ascontiguousarray(strip.astype(self.dtype, casting="same_kind", copy=False))
        left, offset = memoryview(pixels.view(np.uint8).reshape(-1)), y0 * self._row_bytes
        while left:
            written = os.pwrite(self._file, left, offset)
            left, offset = left[written:], offset + written

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image), as a label image's reader."""
        return self[max(y0, 0) : max(y1, 0)]

    def _read(self, target: np.ndarray, row: int) -> None:
        left, offset = memoryview(target.view(np.uint8).reshape(-1)), row * self._row_bytes
        while left:
            got = os.preadv(self._file, [left], offset)
            left, offset = left[got:], offset + got
