"""Rectangles of an image."""

from typing import NamedTuple, Self

import numpy as np


class Box(NamedTuple):
    """Rows y0 to y1 - 1 and columns x0 to x1 - 1 of an image, in pixels."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    def grown(self, margin: int, shape: tuple[int, int]) -> Self:
        """Return the box and `margin` px around it, within an image of this height and width."""
        return type(self)(
            max(self.y0 - margin, 0),
            min(self.y1 + margin, shape[0]),
            max(self.x0 - margin, 0),
            min(self.x1 + margin, shape[1]),
        )

    def within(self, outer: "Box") -> Self:
        """Return where the box lies in another one, counted from that one's corner."""
        y, x = outer.y0, outer.x0
        return type(self)(self.y0 - y, self.y1 - y, self.x0 - x, self.x1 - x)

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Return the box's part of an image, (h, w, ...)."""
        return image[self.y0 : self.y1, self.x0 : self.x1]
