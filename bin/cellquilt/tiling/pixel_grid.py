"""The two pixel grids of a slide, input and model, and the exact way between them.

deepcell resizes an image to the model's 0.5 um/px with ``skimage.transform.resize`` (linear,
anti-aliased) and labels back with order 0, over the whole image at once. Both are local, so any
strip of rows can be had alone, bit for bit, as long as every coordinate is computed as for the
whole image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage as ndi

MODEL_MPP = 0.5


@dataclass(frozen=True)
class Grid:
    """Geometry of a slide on its own grid and on the model's.

    Attributes
    ----------
    height, width : int
        Size of the input image in pixels.
    image_mpp : float
        Its pixel size in um.
    """

    height: int
    width: int
    image_mpp: float

    @classmethod
    def of(cls, facts: dict) -> Self:
        """Return the grids of the slide that INGEST's facts describe."""
        return cls(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])

    @property
    def model_shape(self) -> tuple[int, int]:
        """Height and width on the model's grid, in pixels."""
        if self.image_mpp == MODEL_MPP:
            return self.height, self.width
        scale = self.image_mpp / MODEL_MPP
        return int(self.height * scale), int(self.width * scale)

    @property
    def resized(self) -> bool:
        """Whether the two grids differ."""
        return self.model_shape != (self.height, self.width)

    def to_model(
        self,
        read: Callable[[int, int], np.ndarray],
        start: int,
        stop: int,
        limits: tuple[float, float] | None,
    ) -> np.ndarray:
        """Return model rows [start, stop) of a channel.

        Parameters
        ----------
        read : callable
            ``read(y0, y1)`` gives input rows as a (y1 - y0, width) array.
        start, stop : int
            Model rows.
        limits : tuple of float or None
            Minimum and maximum of the whole slide over both of Mesmer's channels, to which
            resizing clips; not used where the grids are the same.

        Returns
        -------
        (stop - start, model width) ndarray of the input's dtype
            Integers are truncated, as ``deepcell_toolbox.utils.resize`` does.
        """
        if not self.resized:
            return read(start, stop)
        model_height, model_width = self.model_shape
        factors = np.divide((self.height, self.width), (model_height, model_width))
        sigmas = np.maximum(0, (factors - 1) / 2)
        rows = _centres(self.height, model_height)[start:stop]
        reach = int(4 * sigmas[0] + 0.5) + 1
        first = max(int(np.floor(rows[0])) - reach, 0)
        last = min(int(np.floor(rows[-1])) + 2 + reach, self.height)

        window = read(first, last)
        dtype = window.dtype
        window = window.astype(np.float32 if dtype.char in "ef" else np.float64)
        window = ndi.gaussian_filter(window, sigmas, mode="constant")
        at = np.meshgrid(rows - first, _centres(self.width, model_width), indexing="ij")
        result = ndi.map_coordinates(window, at, window.dtype, order=1, mode="grid-constant")

        low, high = limits
        outside = (result == 0) if not low <= 0 <= high else None
        np.clip(result, low, high, out=result)
        if outside is not None:
            result[outside] = 0
        return result.astype(dtype)

    def label_rows(self) -> np.ndarray:
        """Return the model row that each input row takes its label from, (height,) int64."""
        return _nearest(self.model_shape[0], self.height)

    def label_cols(self) -> np.ndarray:
        """Return the model column that each input column takes its label from, (width,) int64."""
        return _nearest(self.model_shape[1], self.width)


def _centres(n_in: int, n_out: int) -> np.ndarray:
    """Return where the centres of `n_out` pixels lie on a grid of `n_in`, as ``ndi.zoom`` does."""
    return (np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5


def _nearest(n_in: int, n_out: int) -> np.ndarray:
    """Return the pixel of `n_in` that each of `n_out` takes with order 0, as ``ndi.zoom`` does."""
    if n_in == n_out:
        return np.arange(n_out)
    source = np.arange(n_in, dtype=np.int64)
    return ndi.zoom(source, n_out / n_in, order=0, mode="grid-constant", cval=-1, grid_mode=True)
