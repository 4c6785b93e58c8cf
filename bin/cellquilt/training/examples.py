"""Images with labels, as a network learns from them and is tested on them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from ..compartments import OPTIONS
from ..errors import DataError
from ..handoff import stores
from ..images.label_image import LabelReader
from ..masks.frames import Frame, read_frames
from ..masks.outlines import OutlineMask, is_geojson
from ..pixelcnn.architectures import CLASSES
from ..pixelcnn.card import INPUTS
from ..slides.file_head import head_of
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
from .rectangles import CUT, assigned

log = logging.getLogger("cellquilt")

SPLITS = ("train", "test")
AUGMENTS = ("none", "flip", "full")
AROUND = 32  # px around a rectangle that are seen, as far as any field reaches


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
    window : Box, optional
        Where it lies in the image, of which it is a rectangle and what is around that.
    """

    name: str
    labels_name: str
    image: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    regions: Regions
    window: Box | None = None


def channels_of(store: Path, compartment: str) -> tuple[str, ...]:
    """Return which of `INPUTS` a network for a compartment of a slide sees."""
    with stores.read(store) as slide:
        both = compartment == "whole-cell" and slide.attrs["facts"]["membrane"]
    return INPUTS if both else INPUTS[:1]


@dataclass(frozen=True)
class Source:
    """An image with labels, which are not read yet.

    Attributes
    ----------
    store, labels : Path
        Store of INGEST; and the label image on the slide's own pixels, or GeoJSON of QuPath.
    part : {'train', 'test'}
        Whether the image is to learn from, or for the test as a whole.
    """

    store: Path
    labels: Path
    part: str = "train"


@dataclass(frozen=True)
class _Labels:
    """An image's labels on the model's grid, and the rectangles outside of which none count."""

    source: Source
    image: str
    labels: np.ndarray
    frames: list[Frame]

    @property
    def where(self) -> str:
        return f"{self.source.labels.name} of {self.image}"

    @property
    def parts(self) -> list[str]:
        """What the rectangles are for, by their classes."""
        return [frame.part for frame in self.frames if self.source.part == "train"]

    @property
    def counts(self) -> list[int]:
        """How many pixels of objects there are in each of these."""
        boxes = [frame.box for frame in self.frames if self.source.part == "train"]
        return [int(np.count_nonzero(box.crop(self.labels))) for box in boxes]


def read_examples(
    sources: Sequence[Source],
    compartment: str,
    n_channels: int,
    edge_width: int,
    held_out: float,
    radius: int,
) -> list[Example]:
    """Read slides that INGEST has normalised, with their labels.

    Parameters
    ----------
    sources : sequence of Source
    compartment : {'whole-cell', 'nuclear'}
        What the labels are of.
    n_channels : int
        How many of `INPUTS` are seen.
    edge_width : int
        See `pixel_classes.classes_of`.
    held_out : float
        See `pixel_classes.split`; where a whole image or rectangle is for the test, nothing else
        is held out.
    radius : int
        Of a field.

    Returns
    -------
    list of Example
        One of each image, or of each rectangle that is drawn in it.

    Raises
    ------
    DataError
        If labels are not of their slide, or nothing can be learnt from them.
    """
    found = [_read_labels(source, OPTIONS[compartment]) for source in sources]
    drawn = [part for each in found for part in each.parts]
    if "test" in drawn or any(source.part == "test" for source in sources):
        held_out = 0.0
    counts = [count for each in found for count in each.counts]
    parts = iter(assigned(drawn, counts, held_out))
    examples = []
    for each in found:
        image, labels = _image_of(each.source.store, n_channels), each.labels
        name, is_test = each.source.labels.name, each.source.part == "test"
        if not each.frames:
            whole = Box(0, labels.shape[0], 0, labels.shape[1])
            part = "test" if is_test else CUT
            regions = _regions(part, labels, whole, held_out, radius, each.where)
            seen = image, labels, classes_of(labels, edge_width)
            examples.append(Example(each.image, name, *seen, regions))
        for number, frame in enumerate(each.frames, 1):
            part = "test" if is_test else next(parts)
            window = frame.box.grown(AROUND, labels.shape)
            box, own = frame.box.within(window), window.crop(labels)
            where = f"{each.where}, rectangle {number}"
            has_validation = "validation" not in drawn
            regions = _regions(part, own, box, held_out, radius, where, has_validation)
            # copied, so that of a slide no more is kept than what is drawn
            seen = window.crop(image).copy(), own.copy(), classes_of(own, edge_width)
            examples.append(Example(each.image, name, *seen, regions, window))
    return examples


def _read_labels(source: Source, compartment: str) -> _Labels:
    path = source.labels
    with stores.read(source.store) as slide:
        facts = slide.attrs["facts"]
    grid, image = Grid.of(facts), facts["image"]["name"]
    shape, frames = (grid.height, grid.width), []
    if is_geojson(head_of(path)):
        frames = [Frame(f.part, _to_model(f.box, grid)) for f in read_frames(path, shape)]
        with OutlineMask(path, shape, compartment, Path()) as mask:
            labels = mask.read(0, grid.height)
        for note in mask.notes:
            log.warning("train: %s: %s", path.name, note)
    else:
        with LabelReader(path) as reader:
            if reader.shape != shape:
                raise DataError(
                    f"{path.name}: is {reader.shape[0]} x {reader.shape[1]} px and the image "
                    f"{image} {grid.height} x {grid.width} px; give the labels of "
                    "this image, at full resolution."
                )
            labels = reader.read(0, grid.height)
    found = _Labels(source, image, on_model_grid(labels, grid), frames)
    if not frames:
        check_labels(found.labels, found.where)
    elif not any(frame.box.crop(found.labels).any() for frame in frames):
        raise DataError(
            f"{found.where}: none of its {len(frames)} rectangles contains an object; draw objects"
            " inside of them, or leave the rectangles out, so that the whole image counts."
        )
    return found


def _to_model(box: Box, grid: Grid) -> Box:
    """Return a box of the slide in pixels of the model."""
    rows, columns = np.divide(grid.model_shape, (grid.height, grid.width))
    return Box(*(round(at * rows) for at in box[:2]), *(round(at * columns) for at in box[2:]))


def _image_of(store: Path, n_channels: int) -> np.ndarray:
    with stores.read(store) as slide:
        codes, lut = slide["codes"][:n_channels], slide["lut"][:n_channels]
    return np.stack([table[plane] for table, plane in zip(lut, codes, strict=True)], axis=-1)


def _regions(
    part: str,
    labels: np.ndarray,
    box: Box,
    held_out: float,
    radius: int,
    where: str,
    has_validation: bool = True,
) -> Regions:
    """Return the parts of a box of an image, which is for one of them or to be cut."""
    if part != CUT:
        return Regions(**(dict.fromkeys(("train", "validation", "test")) | {part: box}))
    own = split(box.crop(labels), held_out, radius, where, has_validation)
    return Regions(**{name: inner and _placed(inner, box) for name, inner in vars(own).items()})


def _placed(inner: Box, outer: Box) -> Box:
    y, x = outer.y0, outer.x0
    return Box(inner.y0 + y, inner.y1 + y, inner.x0 + x, inner.x1 + x)


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
