"""Pictures in the text of a page: WebP in data URLs."""

import base64

import imagecodecs
import numpy as np

_HEAD = "data:image/webp;base64,"


def encode(pixels: np.ndarray, quality: int) -> str:
    """Return a picture, (h, w, 3) uint8, as a data URL; quality is from 0 to 100."""
    encoded = imagecodecs.webp_encode(pixels, level=quality, lossless=False)
    return _HEAD + base64.b64encode(encoded).decode()


def decode(url: str) -> np.ndarray:
    """Return the pixels, (h, w, 3) uint8, of a picture in a data URL."""
    return imagecodecs.webp_decode(base64.b64decode(url.removeprefix(_HEAD)))
