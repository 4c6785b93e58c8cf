"""Images with labels, as a pixel classifier learns from them and is tested on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from . import stores
from .architectures import CLASSES
from .errors import DataError
from .grid import Grid
from .label_image import LabelReader
from .pixel_card import INPUTS
from .pixel_classes import (
    Box,
    Regions,
    check_classes,
    check_labels,
    classes_of,
    on_model_grid,
    split,
)

SPLITS = ("train", "test")
AUGMENTS = ("none", "flip", "full")


@dataclass(frozen=True)
class Example:
    """An image with labels on the model's grid.

    Attributes
    ----------
    name : str
        Of the label image's file.
    image : (h, w, c) ndarray of float32
        As INGEST normalises it.
    labels : (h, w) ndarray of uint32
    classes : (h, w) ndarray of uint8
    regions : Regions
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    regions: Regions


def channels_of(store: Path, compartment: str) -> tuple[str, ...]:
    """Return which of `INPUTS` a network for a compartment of a slide sees."""
    with stores.read(store) as slide:
        both = compartment == "whole-cell" and slide.attrs["facts"]["membrane"]
    return INPUTS if both else INPUTS[:1]


def read_example(
    store: Path,
    labels: Path,
    n_channels: int,
    part: str,
    edge_width: int,
    held_out: float,
    radius: int,
) -> Example:
    """Read a slide that INGEST has normalised, with its labels.

    Parameters
    ----------
    store, labels : Path
        Store of INGEST, and the label image on the slide's own pixels.
    n_channels : int
        How many of `INPUTS` are seen.
    part : {'train', 'test'}
        Whether the image is to learn from, or for the test as a whole.
    edge_width : int
        See `pixel_classes.classes_of`.
    held_out : float
        See `pixel_classes.split`.
    radius : int
        Of a patch.

    Raises
    ------
    DataError
        If the labels are not of this slide, or nothing can be learnt from them.
    """
    with stores.read(store) as slide:
        facts = slide.attrs["facts"]
        codes, lut = slide["codes"][:n_channels], slide["lut"][:n_channels]
    if n_channels > len(INPUTS[: 2 if facts["membrane"] else 1]):
        raise DataError(
            f"{facts['image']['name']}: has no membrane channel, and other images have."
        )
    image = np.stack([table[part] for table, part in zip(lut, codes, strict=True)], axis=-1)
    grid = Grid(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])
    with LabelReader(labels) as reader:
        if reader.shape != (grid.height, grid.width):
            raise DataError(
                f"{labels.name}: is {reader.shape[0]} x {reader.shape[1]} px and the image "
                f"{facts['image']['name']} {grid.height} x {grid.width} px; give the labels of "
                "this image, at full resolution."
            )
        found = on_model_grid(reader.read(0, grid.height), grid)
    check_labels(found, labels.name)
    whole = (0, found.shape[0], 0, found.shape[1])
    regions = Regions(None, None, whole)
    if part == "train":
        regions = split(found, held_out, radius, labels.name)
    return Example(labels.name, image, found, classes_of(found, edge_width), regions)


def check_parts(examples: list[Example], edge_width: int) -> None:
    """Raise `DataError` where a class is missing in what is learnt, chosen by or tested."""
    for part, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        boxes = list(parts_of(examples, part))
        if not boxes:
            raise DataError(
                f"--labels: there is no image for {name}; give one with split "
                f"'{'test' if part == 'test' else 'train'}' in the samplesheet, or --held_out "
                "above 0."
            )
        check_classes([crop(e.classes, box) for e, box in boxes], edge_width, name)


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """Return a box of an image (h, w, ...)."""
    return image[box[0] : box[1], box[2] : box[3]]


class Patches:
    """Patches around pixels of one part of the examples, drawn by class.

    Parameters
    ----------
    examples : list of Example
    part : {'train', 'validation'}
    radius : int
        Of a patch; the image is reflected at its edges.
    """

    def __init__(self, examples: list[Example], part: str, radius: int):
        self.side = 2 * radius + 1
        around = ((radius, radius), (radius, radius), (0, 0))
        self._images, places = [], []
        for example, box in parts_of(examples, part):
            classes = crop(example.classes, box)
            y, x = np.indices(classes.shape, np.int32).reshape(2, -1)
            number = np.full(y.size, len(self._images), np.int32)
            places.append((classes.ravel(), number, y + box[0], x + box[2]))
            self._images.append(np.pad(example.image, around, "reflect"))
        classes, *where = (np.concatenate(parts) for parts in zip(*places, strict=True))
        table = np.stack(where, axis=1)
        self._places = [table[classes == number] for number in range(len(CLASSES))]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw patches: a class uniformly, then one of its pixels uniformly.

        Returns
        -------
        patches : (n, side, side, c) ndarray of float32
        classes : (n,) ndarray of int32
            Of their middle pixels.
        """
        classes = rng.integers(0, len(CLASSES), n, dtype=np.int32)
        patches = np.empty((n, self.side, self.side, self._images[0].shape[-1]), np.float32)
        for patch, chosen in zip(patches, classes, strict=True):
            places = self._places[chosen]
            number, y, x = places[rng.integers(0, len(places))]
            patch[:] = self._images[number][y : y + self.side, x : x + self.side]
        return patches, classes


def augmented(patches: np.ndarray, rng: np.random.Generator, how: str) -> np.ndarray:
    """Return patches turned and mirrored and, if `how` is 'full', seen by other microscopes.

    Parameters
    ----------
    patches : (n, side, side, c) ndarray of float32
        In [0, 1].
    rng : Generator
    how : {'none', 'flip', 'full'}
        'flip' draws one of the eight turns and mirrorings of each; 'full' also changes gamma,
        contrast, offset and noise of each channel, and blurs half of the patches.
    """
    if how == "none":
        return patches
    turned = np.empty_like(patches)
    for target, patch, turn in zip(turned, patches, rng.integers(0, 8, len(patches)), strict=True):
        patch = np.rot90(patch, turn % 4)
        target[:] = patch[::-1] if turn > 3 else patch
    if how == "flip":
        return turned
    per_channel = (len(patches), 1, 1, patches.shape[-1])
    half = len(patches) // 2
    sigma = rng.uniform(0.3, 1.2)
    turned[:half] = ndi.gaussian_filter(turned[:half], (0, sigma, sigma, 0))
    turned **= np.exp(rng.uniform(-0.5, 0.5, per_channel)).astype(np.float32)
    turned *= rng.uniform(0.6, 1.2, per_channel).astype(np.float32)
    turned += rng.uniform(-0.05, 0.05, per_channel).astype(np.float32)
    spread = rng.uniform(0, 0.06, per_channel).astype(np.float32)
    turned += spread * rng.standard_normal(patches.shape, np.float32)
    return turned.clip(0, 1)


def parts_of(examples: list[Example], part: str) -> Iterator[tuple[Example, Box]]:
    """Yield the examples that have a part, with its box."""
    for example in examples:
        box = getattr(example.regions, part)
        if box is not None:
            yield example, box
