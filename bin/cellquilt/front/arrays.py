"""Arrays as the steps take images: label images and slides, read in rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from ..errors import DataError
from ..images.label_image import as_labels
from ..slides.pixel_size import MPP_RANGE
from ..slides.selection import AS_IT_IS, Selection
from ..slides.slide import Slide, check_type


class LabelArray:
    """An array of labels as `images.label_rows.LabelRows`.

    Parameters
    ----------
    labels : (h, w) ndarray of integer
    name : str
        What a message calls it.

    Raises
    ------
    DataError
        If it is no label image.
    """

    def __init__(self, labels: np.ndarray, name: str):
        found = np.asarray(labels)
        if found.ndim != 2 or not found.size:
            raise DataError(f"{name}: has the shape {found.shape}; a label image is (h, w).")
        try:
            self.labels = np.ascontiguousarray(as_labels(found))
        except ValueError as error:
            raise DataError(f"{name}: {error}.") from error
        self.shape: tuple[int, int] = found.shape

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        return self.labels[max(y0, 0) : max(y1, 0)]


class ArraySlide(Slide):
    """An array as a slide.

    Parameters
    ----------
    image : (c, h, w) or (h, w) array
        Anything with ``shape`` and ``dtype`` that gives arrays of windows, such as a memory map.
    image_mpp : float
        Pixel size (um).
    channels : sequence of str, optional
        Their names; by default ``Channel 0`` and so on.

    Raises
    ------
    DataError
        If it is no image of that many channels, or the pixel size is absurd.
    """

    def __init__(self, image: np.ndarray, image_mpp: float, channels: Sequence[str] | None = None):
        if not hasattr(image, "dtype"):
            image = np.asarray(image)
        if len(image.shape) not in (2, 3) or 0 in image.shape:
            raise DataError(f"image: has the shape {tuple(image.shape)}; give (c, h, w) or (h, w).")
        n_channels = image.shape[0] if len(image.shape) == 3 else 1
        made_up = [f"Channel {index}" for index in range(n_channels)]
        names = made_up if channels is None else list(channels)
        if len(names) != n_channels:
            raise DataError(
                f"image: has {n_channels} channels (shape {tuple(image.shape)}) and {len(names)}"
                " names; give (c, h, w) and a name for each channel."
            )
        if not MPP_RANGE[0] <= image_mpp <= MPP_RANGE[1]:
            low, high = MPP_RANGE
            raise DataError(f"image_mpp: {image_mpp:g} is not in {low:g} to {high:g} um/px.")
        check_type(image.dtype, Path("image"))
        self._image = image
        super().__init__(
            Path("image"),
            AS_IT_IS,
            size_bytes=None,
            shape=tuple(image.shape[-2:]),
            dtype=image.dtype,
            names=names,
            zs=[0],
            t=0,
            image_mpp=float(image_mpp),
        )

    @staticmethod
    def recognises(paths: Sequence[Path], head: bytes) -> bool:
        """Return False, since an array is no file."""
        return False

    @classmethod
    def open(cls, paths: Sequence[Path], selection: Selection) -> Self:
        """Raise `TypeError`: an array is given as it is, and not opened."""
        raise TypeError("an array has no file")

    def close(self) -> None:
        """Do nothing: the array is its owner's."""

    def release(self, channel: int) -> None:
        """Do nothing: nothing is kept."""

    def _read(self, channel: int, z: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        window = slice(y0, y1), slice(x0, x1)
        where = window if len(self._image.shape) == 2 else (channel, *window)
        return np.asarray(self._image[where]).astype(self.dtype, copy=False)
