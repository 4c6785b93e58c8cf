"""Images with labels, as a network learns from them and is tested on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from ..errors import DataError
from ..handoff import stores
from ..images.label_image import LabelReader
from ..pixelcnn.architectures import CLASSES
from ..pixelcnn.card import INPUTS
from ..tiling.box import Box
from ..tiling.pixel_grid import Grid
from .pixel_classes import (
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
    name, labels_name : str
        Of the files.
    image : (h, w, c) ndarray of float32
        As INGEST normalises it.
    labels : (h, w) ndarray of uint32
    classes : (h, w) ndarray of uint8
    regions : Regions
    """

    name: str
    labels_name: str
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
        Of a field.

    Raises
    ------
    DataError
        If the labels are not of this slide, or nothing can be learnt from them.
    """
    with stores.read(store) as slide:
        facts = slide.attrs["facts"]
        codes, lut = slide["codes"][:n_channels], slide["lut"][:n_channels]
    image = np.stack([table[plane] for table, plane in zip(lut, codes, strict=True)], axis=-1)
    grid = Grid.of(facts)
    with LabelReader(labels) as reader:
        if reader.shape != (grid.height, grid.width):
            raise DataError(
                f"{labels.name}: is {reader.shape[0]} x {reader.shape[1]} px and the image "
                f"{facts['image']['name']} {grid.height} x {grid.width} px; give the labels of "
                "this image, at full resolution."
            )
        found = on_model_grid(reader.read(0, grid.height), grid)
    name = facts["image"]["name"]
    where = f"{labels.name} of {name}"
    check_labels(found, where)
    whole = Box(0, found.shape[0], 0, found.shape[1])
    regions = Regions(None, None, whole)
    if part == "train":
        regions = split(found, held_out, radius, where)
    classes = classes_of(found, edge_width)
    return Example(name, labels.name, image, found, classes, regions)


def check_parts(examples: list[Example], edge_width: int) -> None:
    """Raise `DataError` where a class is missing in what is learnt, chosen by or tested."""
    for name, boxes in _each_part(examples):
        check_classes([box.crop(e.classes) for e, box in boxes], edge_width, name)


def check_objects(examples: list[Example]) -> None:
    """Raise `DataError` where there is no object in what is learnt, chosen by or tested."""
    for name, boxes in _each_part(examples):
        if not any(box.crop(example.labels).any() for example, box in boxes):
            raise DataError(
                f"--labels: the part for {name} has no nucleus. Give another image or change"
                " --held_out."
            )


def _each_part(examples: list[Example]) -> Iterator[tuple[str, list[tuple[Example, Box]]]]:
    for part, name in (("train", "training"), ("validation", "validation"), ("test", "test")):
        boxes = list(parts_of(examples, part))
        if not boxes:
            wanted = "'test', or --held_out above 0" if part == "test" else "'train'"
            raise DataError(
                f"--labels: there is no image for {name}; give one with split {wanted}."
            )
        yield name, boxes


class Fields:
    """Fields around pixels of one part of the examples, drawn by class.

    Parameters
    ----------
    examples : list of Example
    part : {'train', 'validation'}
    radius : int
        Of a field; the image is reflected at its edges.
    """

    def __init__(self, examples: list[Example], part: str, radius: int):
        self.side = 2 * radius + 1
        around = ((radius, radius), (radius, radius), (0, 0))
        self._images: list[np.ndarray] = []
        self._boxes: list[Box] = []
        self._places: list[list[np.ndarray]] = [[] for _ in CLASSES]  # by class and image
        for example, box in parts_of(examples, part):
            classes = box.crop(example.classes).ravel()
            for number, places in enumerate(self._places):
                places.append(np.flatnonzero(classes == number))
            self._images.append(np.pad(example.image, around, "reflect"))
            self._boxes.append(box)
        self._ends = [np.cumsum([len(found) for found in places]) for places in self._places]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw fields: a class uniformly, then one of its pixels uniformly.

        Returns
        -------
        fields : (n, side, side, c) ndarray of float32
        classes : (n,) ndarray of int32
            Of their middle pixels.
        """
        classes = rng.integers(0, len(CLASSES), n, dtype=np.int32)
        fields = np.empty((n, self.side, self.side, self._images[0].shape[-1]), np.float32)
        for field, chosen in zip(fields, classes, strict=True):
            number, y, x = self._place(chosen, rng.integers(0, self._ends[chosen][-1]))
            field[:] = self._images[number][y : y + self.side, x : x + self.side]
        return fields, classes

    def _place(self, chosen: int, rank: int) -> tuple[int, int, int]:
        """Return image, row and column of one of the pixels of a class."""
        ends = self._ends[chosen]
        number = int(np.searchsorted(ends, rank, side="right"))
        before = ends[number - 1] if number else 0
        y0, _, x0, x1 = self._boxes[number]
        y, x = divmod(int(self._places[chosen][number][rank - before]), x1 - x0)
        return number, y0 + y, x0 + x


def augmented(fields: np.ndarray, rng: np.random.Generator, how: str) -> np.ndarray:
    """Return fields turned and mirrored and, if `how` is 'full', seen by other microscopes.

    Parameters
    ----------
    fields : (n, side, side, c) ndarray of float32
        In [0, 1].
    rng : Generator
    how : {'none', 'flip', 'full'}
        'flip' draws one of the eight turns and mirrorings of each; 'full' also changes gamma,
        contrast, offset and noise of each channel, and blurs half of the fields.
    """
    if how == "none":
        return fields
    turned = np.empty_like(fields)
    for target, field, turn in zip(turned, fields, rng.integers(0, 8, len(fields)), strict=True):
        field = np.rot90(field, turn % 4)
        target[:] = field[::-1] if turn > 3 else field
    if how == "flip":
        return turned
    per_channel = (len(fields), 1, 1, fields.shape[-1])
    half = len(fields) // 2
    sigma = rng.uniform(0.3, 1.6)
    turned[:half] = ndi.gaussian_filter(turned[:half], (0, sigma, sigma, 0))
    turned **= np.exp(rng.uniform(-0.6, 0.6, per_channel)).astype(np.float32)
    # down to a third: a cell may have little of a stain
    turned *= rng.uniform(0.3, 1.2, per_channel).astype(np.float32)
    turned += rng.uniform(-0.05, 0.08, per_channel).astype(np.float32)
    spread = rng.uniform(0, 0.06, per_channel).astype(np.float32)
    turned += spread * rng.standard_normal(fields.shape, np.float32)
    return turned.clip(0, 1)


def parts_of(examples: list[Example], part: str) -> Iterator[tuple[Example, Box]]:
    """Yield the examples that have a part, with its box."""
    for example in examples:
        box = getattr(example.regions, part)
        if box is not None:
            yield example, box
