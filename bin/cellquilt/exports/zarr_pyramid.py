"""Pyramids of zarr arrays, written in strips of rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import zarr

from ..images.strips import Scratch

# A row of chunks is in memory at once; wide chunks make few files of a large slide.
CHUNK = (1024, 4096)


def fill_pyramid(
    levels: Sequence[zarr.Array],
    strip: Callable[[int, int], np.ndarray],
    folder: Path,
    plane: tuple[int, ...] = (),
) -> None:
    """Write an image and its pyramid, each level every second pixel of the one below.

    Parameters
    ----------
    levels : sequence of zarr.Array
        The whole image, then each half the size of the one before, rounded up or down. The last
        two axes are y and x.
    strip : callable
        Gives rows y0 to y1 of the image, (rows, width).
    folder : Path
        Where a quarter of the image lies while this works.
    plane : tuple of int
        Which plane of the arrays.
    """
    height, width = levels[0].shape[-2:]
    half = Scratch(folder, (-(-height // 2), -(-width // 2)), levels[0].dtype)
    for y0 in range(0, height, CHUNK[0]):
        y1 = min(y0 + CHUNK[0], height)
        rows = strip(y0, y1)
        levels[0][*plane, y0:y1] = rows
        half[y0 // 2 : (y1 + 1) // 2] = rows[::2, ::2]
    for number, level in enumerate(levels[1:]):
        skip, (height, width) = 2**number, level.shape[-2:]
        for y0 in range(0, height, CHUNK[0]):
            y1 = min(y0 + CHUNK[0], height)
            level[*plane, y0:y1] = half[y0 * skip : y1 * skip : skip][:, : width * skip : skip]
