"""From a network's maps to label images, of arrays."""

import logging
from dataclasses import replace

import numpy as np

from ..compartments import OPTIONS
from ..errors import DataError
from ..labelling import pixel_maps
from ..labelling.certificate import Maps, label_patch
from ..labelling.map_store import CLASS_PROBABILITIES, MAXIMA_INTERIOR
from ..segmenters.mesmer import THRESHOLDS
from ..tiling.box import Box
from ..tiling.lattice import plan
from ..tiling.patches import plan_patches
from ..tiling.tasks import Cut

log = logging.getLogger("cellquilt")


def label(
    maps: np.ndarray,
    compartment: str = "whole-cell",
    kind: str = MAXIMA_INTERIOR,
    **thresholds: float,
) -> np.ndarray:
    """Grow cells, or nuclei, from a network's maps by a watershed, patch by patch; as LABEL does.

    The result is that of ``deep_watershed`` of deepcell-toolbox over all of the maps at once, and
    memory is, beside maps and labels, that of a patch. Where that is not proved for a cell, there
    is a warning in the log ``cellquilt``.

    Parameters
    ----------
    maps : (2, h, w) array of float
        At the network's pixel size, 0.5 um for Mesmer. Anything with ``shape`` that gives arrays
        of windows, such as a memory map.
    compartment : {'whole-cell', 'nuclear'}
        Whose thresholds of Mesmer are the defaults.
    kind : {'maxima_interior', 'class_probabilities'}
        What the two maps are: the height of a cell's maximum and the probability of its interior,
        as Mesmer's; or the probabilities of the classes cell and edge, of a pixel classifier.
    **thresholds
        Some of the attributes of `labelling.thresholds.Thresholds`, such as
        ``interior_threshold=0.3``.

    Returns
    -------
    (h, w) ndarray of uint32
        0 is background; cells are numbered from 1 in the raster order of their markers.

    Raises
    ------
    DataError
        If the maps do not have that shape, or there is no such compartment, kind or threshold.

    References
    ----------
    Greenwald et al., Nat Biotechnol 40:555, 2022, https://doi.org/10.1038/s41587-021-01094-0.
    """
    if len(np.shape(maps)) != 3 or len(maps) != 2:
        raise DataError(f"maps: have the shape {np.shape(maps)}; give two maps, (2, h, w).")
    if compartment not in OPTIONS:
        raise DataError(f"compartment: {compartment!r} is none of {', '.join(OPTIONS)}.")
    if kind not in (kinds := (MAXIMA_INTERIOR, CLASS_PROBABILITIES)):
        raise DataError(f"kind: {kind!r} is none of {', '.join(kinds)}.")
    try:
        limits = replace(THRESHOLDS[OPTIONS[compartment]], **thresholds)
    except TypeError as error:
        raise DataError(f"thresholds: {error}.") from error
    shape = height, width = maps.shape[1:]
    context = pixel_maps.reach(limits.median) if kind == CLASS_PROBABILITIES else 0

    def read(box: Box) -> tuple[np.ndarray, np.ndarray]:
        y0, y1, x0, x1 = outer = box.grown(context, shape)
        first, second = (np.asarray(maps[k, y0:y1, x0:x1], np.float32) for k in range(2))
        if kind == CLASS_PROBABILITIES:
            found = pixel_maps.maps_of(first, second, limits.median)
            first, second = found.maxima, found.interior
        inner = box.within(outer)
        return inner.crop(first), inner.crop(second)

    source = Maps(shape, read, lambda box: True)
    cut, markers, n_doubtful = Cut(), [np.zeros((0, 2), np.int64)], 0
    labels, n_labels = np.zeros((height, width), np.uint32), 0
    for patch in plan_patches(plan(height, width), cut.patch_size):
        cells, _ = label_patch(source, patch.core, cut.halo, limits)
        (y, x), (rows, cols) = cells.origin, cells.labels.shape
        target = labels[y : y + rows, x : x + cols]
        free = (target == 0) & (cells.labels > 0)
        target[free] = cells.labels[free] + np.uint32(n_labels)
        markers.append(cells.markers)
        n_labels += len(cells.markers)
        n_doubtful += int((~cells.certified).sum())
    if n_doubtful:
        log.warning("label: %d cells are not proved to be those of all maps at once", n_doubtful)
    y, x = np.concatenate(markers).T
    numbers = np.zeros(n_labels + 1, np.uint32)
    numbers[1 + np.lexsort((x, y))] = np.arange(1, n_labels + 1)
    return np.take(numbers, labels, out=labels)
