"""From a label image to the classes of its pixels, and the regions that are learnt and tested."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from ..errors import DataError
from ..pixelcnn.architectures import CELL, CLASSES, EDGE, OTHER
from ..tiling.box import Box
from ..tiling.pixel_grid import Grid

MIN_EDGE_WIDTH = 2
VALIDATION_SHARE = 0.15  # of an image of which nothing is held out for the test
MIN_REGION = 32  # px along the cut axis, below which a region is too small to judge by


def on_model_grid(labels: np.ndarray, grid: Grid) -> np.ndarray:
    """Return a slide's label image on the model's grid, by its nearest pixels.

    Parameters
    ----------
    labels : (height, width) ndarray of uint32
    grid : Grid

    Returns
    -------
    (model height, model width) ndarray of uint32
    """
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) * (size / n)).astype(np.int64), size - 1)
        for n, size in zip(grid.model_shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def classes_of(labels: np.ndarray, edge_width: int) -> np.ndarray:
    """Return the class of each pixel: edge near two cells, else cell inside one, else other.

    Parameters
    ----------
    labels : (h, w) ndarray of uint32
        Label image.
    edge_width : int
        Width in pixels of the band between two cells that touch: an edge pixel has two of them
        within half of it. The band lies on both alike, so that an odd width, which reaches further
        at corners, gives a band of one pixel less. A narrow gap between two cells is edge as well.

    Returns
    -------
    (h, w) ndarray of uint8
        Indices into `CLASSES`.
    """
    reach = edge_width // 2
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    near = y * y + x * x <= (edge_width / 2) ** 2
    highest = ndi.maximum_filter(labels, footprint=near)
    nothing = np.iinfo(labels.dtype).max
    lowest = ndi.minimum_filter(np.where(labels == 0, nothing, labels), footprint=near)
    classes = np.where(labels > 0, CELL, OTHER).astype(np.uint8)
    classes[(lowest != nothing) & (lowest != highest)] = EDGE
    return classes


@dataclass(frozen=True)
class Regions:
    """The parts of an image; None where it has no such part."""

    train: Box | None
    validation: Box | None
    test: Box | None


def split(
    labels: np.ndarray, held_out: float, radius: int, name: str, has_validation: bool = True
) -> Regions:
    """Cut an image across its longer side: to learn from, to choose by, and to test on.

    No field of one part reaches into another: a field's radius is left out between them.

    Parameters
    ----------
    labels : (h, w) ndarray of uint32
        Label image. Parts are shares of its labelled pixels, since slides have bare glass.
    held_out : float
        Share for the test, and half of it again for validation; 0 for no test.
    radius : int
        Of a field in pixels.
    name : str
        Of the image, for the error.
    has_validation : bool
        Whether a part of it is for validation; without, a part of it is for the test.

    Raises
    ------
    DataError
        If a part would be too small.
    """
    shape = labels.shape
    axis = int(shape[1] >= shape[0])
    labelled = np.cumsum(np.count_nonzero(labels, axis=1 - axis))

    def cut(share: float) -> int:
        return int(np.searchsorted(labelled, (1 - share) * labelled[-1]))

    length = shape[axis]
    test = cut(held_out) if held_out else length
    gap = radius if held_out else 0
    validation = cut(held_out * 1.5 if held_out else VALIDATION_SHARE) - gap
    starts = [0, validation, test]
    stops = [validation - radius, test - gap, length]
    if not has_validation:
        starts, stops = [0, test, test], [test - radius, length, length]
    lengths = [stop - start for start, stop in zip(starts, stops, strict=True)]
    if min(lengths[: 3 if held_out and has_validation else 2]) < MIN_REGION:
        raise DataError(
            f"{name}: an image of {shape[0]} x {shape[1]} px is too small to be cut into parts for "
            f"training, validation and test of at least {MIN_REGION} px each; give a larger image, "
            "change --held_out, or give a second image with split 'test' in the samplesheet."
        )
    boxes = [
        Box(start, stop, 0, shape[1]) if axis == 0 else Box(0, shape[0], start, stop)
        for start, stop in zip(starts, stops, strict=True)
    ]
    if not has_validation:
        return Regions(boxes[0], None, boxes[1])
    return Regions(boxes[0], boxes[1], boxes[2] if held_out else None)


def check_labels(labels: np.ndarray, name: str) -> None:
    """Raise `DataError` where a label image cannot be learnt from as a whole."""
    found = np.unique(labels)
    n_cells = np.count_nonzero(found)
    if n_cells < 2:
        what = "no cell" if n_cells == 0 else "one cell only"
        raise DataError(
            f"{name}: holds {what}; every cell needs a unique number, and a network needs "
            "many cells. Number the cells of a mask first, for example with "
            "skimage.measure.label."
        )
    if found[0] != 0:
        raise DataError(
            f"{name}: has no background: no pixel is 0, so that the class 'other' cannot be "
            "learnt. Set what is no cell to 0, or give an image with some background."
        )


def check_classes(classes: list[np.ndarray], edge_width: int, part: str) -> None:
    """Raise `DataError` where a class has no pixel in a part of the images.

    Parameters
    ----------
    classes : list of (h, w) ndarray of uint8
        Of the part.
    edge_width : int
    part : {'training', 'validation', 'test'}
    """
    counts = sum(np.bincount(image.ravel(), minlength=len(CLASSES)) for image in classes)
    for name, count in zip(CLASSES, counts, strict=True):
        if count:
            continue
        advice = {
            "edge": f"no two cells come within --edge_width {edge_width} px (of 0.5 um) of each "
            "other; a larger width takes cells with a gap between them too",
            "cell": "no cell lies in it, or --edge_width covers the cells",
            "other": "no background lies in it",
        }[name]
        raise DataError(
            f"--labels: the part for {part} has no pixel of class '{name}': {advice}. Give another "
            "image or change --held_out."
        )
