"""Patches of images with labelled nuclei, as a U-Net learns from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage as ndi

from .unet_recipe import BATCH, SIDE, Variation


def depth_of(labels: np.ndarray) -> np.ndarray:
    """Return how deep in its object each pixel is, uint8: 255 where deepest, 0 for background.

    Where the image ends an object is taken to go on.
    """
    depth = np.zeros(labels.shape, np.uint8)
    for number, box in enumerate(ndi.find_objects(labels), 1):
        if box is None:
            continue
        own = labels[box] == number
        around = [
            (int(a.start > 0), int(a.stop < n)) for a, n in zip(box, labels.shape, strict=True)
        ]
        wide = np.pad(own, around)
        far = np.ones(wide.shape) if wide.all() else ndi.distance_transform_edt(wide)
        (top, below), (left, right) = around
        # From the border, which lies between two pixels
        far = far[top : len(far) - below, left : far.shape[1] - right] - 0.5
        deepest = far[own].max()
        depth[box][own] = np.maximum(np.rint(far[own] / deepest * 255), 1)
    return depth


def gaps_of(labels: np.ndarray) -> np.ndarray:
    """Return which pixels have two objects within 2 pixels, uint8: 1 for these, 0 for others."""
    highest = ndi.maximum_filter(labels, 5)
    lowest = ndi.minimum_filter(np.where(labels > 0, labels, np.iinfo(labels.dtype).max), 5)
    return ((highest > 0) & (highest != lowest)).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """An image to cut patches from.

    Attributes
    ----------
    pixels : (h, w) ndarray of uint8
        Normalised.
    depth : (h, w) ndarray of uint8
        See `depth_of`.
    gaps : (h, w) ndarray of uint8
        See `gaps_of`.
    """

    pixels: np.ndarray
    depth: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray, labels: np.ndarray) -> "Scene":
        """Make one; what is smaller than a patch is reflected at its edges."""
        planes = np.rint(pixels * 255).astype(np.uint8), depth_of(labels), gaps_of(labels)
        return cls(*(_at_least(plane, SIDE) for plane in planes))

    def patch(self, rng: np.random.Generator, variation: Variation) -> tuple[np.ndarray, ...]:
        """Return a patch, its depth and its gaps, (side, side) float32 from 0 to 1, varied."""
        side = SIDE
        if variation.scale > 1:
            reach = np.log(variation.scale)
            side = min(round(SIDE * float(np.exp(rng.uniform(-reach, reach)))), *self.depth.shape)
        y, x = self._corner(rng, side, variation.focus)
        window = np.s_[y : y + side, x : x + side]
        planes = [self.pixels[window], self.depth[window], self.gaps[window]]
        if side != SIDE:
            planes = _resized(*planes)
        if variation.is_turned:
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            planes = [np.rot90(plane, turns) for plane in planes]
            planes = [plane[:, ::-1] if flip else plane for plane in planes]
        pixels, depth, gaps = (plane.astype(np.float32) for plane in planes)
        pixels, depth = pixels / 255, depth / 255
        return _with_contrast(pixels, rng) if variation.has_contrast else pixels, depth, gaps

    def _corner(self, rng: np.random.Generator, side: int, focus: float) -> tuple[int, int]:
        """Return the upper left corner of a window of so many pixels a side."""
        height, width = self.depth.shape
        if focus and self._ends[-1] and rng.random() < focus:
            y = int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))
            x = int(rng.choice(np.flatnonzero(self.depth[y])))
            corner = (at - int(rng.integers(side)) for at in (y, x))
            top, left = (
                min(max(at, 0), n - side) for at, n in zip(corner, (height, width), strict=True)
            )
            return top, left
        return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))

    @cached_property
    def _ends(self) -> np.ndarray:
        """How many pixels of nuclei there are down to each row."""
        return np.cumsum(np.count_nonzero(self.depth, axis=1))


def _at_least(plane: np.ndarray, side: int) -> np.ndarray:
    missing = [max(side - n, 0) for n in plane.shape]
    return np.pad(plane, [(n // 2, n - n // 2) for n in missing], "reflect")


def _resized(pixels: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return a window, its depth and its gaps at the size of a patch."""
    at = (np.arange(SIDE) + 0.5) * (len(pixels) / SIDE)
    places = np.meshgrid(at - 0.5, at - 0.5, indexing="ij")
    between = ndi.map_coordinates(pixels.astype(np.float32), places, order=1, mode="nearest")
    nearest = np.ix_(at.astype(int), at.astype(int))
    return [between, *(plane[nearest] for plane in others)]


def _with_contrast(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a patch of another contrast and brightness, and with noise."""
    if rng.random() < 0.5:
        pixels = pixels ** np.float32(np.exp(rng.uniform(-0.35, 0.35)))
    gain, offset = np.float32(rng.uniform(0.7, 1.25)), np.float32(rng.uniform(-0.05, 0.05))
    pixels = pixels * gain + offset
    if rng.random() < 0.4:
        noise = rng.standard_normal(pixels.shape, np.float32)
        pixels = pixels + noise * np.float32(rng.uniform(0, 0.08))
    return pixels


class Batches:
    """Patches by step, whatever steps were before.

    Parameters
    ----------
    images : list of list of Scene
        The variants of each; one of more pixels is drawn somewhat more often.
    seed : int
    variation : Variation
    """

    def __init__(self, images: Sequence[Sequence[Scene]], seed: int, variation: Variation):
        self._images, self._seed, self._variation = images, seed, variation
        sizes = np.array([np.mean([one.pixels.size for one in own]) for own in images]) ** 0.25
        self._shares = np.cumsum(sizes / sizes.sum())

    def of(self, step: int) -> tuple[np.ndarray, ...]:
        """Return a step's patches, depths and gaps, each (n, side, side, 1) float32."""
        rng = np.random.Generator(np.random.PCG64([self._seed, step]))
        found = [self.drawn(rng, step).patch(rng, self._variation) for _ in range(BATCH)]
        return tuple(np.stack(each)[..., None] for each in zip(*found, strict=True))

    def drawn(self, rng: np.random.Generator, step: int) -> Scene:
        """Return what a patch of a step is cut from."""
        own = self.image(rng)
        return own[rng.integers(len(own))]

    def image(self, rng: np.random.Generator) -> Sequence[Scene]:
        """Return the variants of an image that is drawn."""
        index = min(np.searchsorted(self._shares, rng.random()), len(self._images) - 1)
        return self._images[index]
