"""What a person looks at first: the counts of a sample, and where to look into its masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from .contingency import Contingency, first_label
from .errors import DataError
from .label_image import LabelReader, as_labels
from .metrics import object_f1

COMPARTMENTS = {"cell": "cells", "nucleus": "nuclei"}
COUNTS = (
    "n_cells",
    "n_nuclei",
    "n_matched",
    "matched_fraction",
    "cell_matched_fraction",
    "nucleus_matched_fraction",
    "n_uncertified_cells",
    "n_uncertified_nuclei",
    "n_unproved_patches",
)
CROP_UM = 100.0
# Coarse enough to be quick on a whole slide, fine enough to meet every cell.
COARSE_MPP = 4.0


def files_by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Return label images by what they hold, such as ``"cell_original"``, from their names."""
    return {path.name.removesuffix(".ome.tif"): path for path in paths}


def found(masks: dict[str, Path], compartment: str) -> Path | None:
    """Return the mask of all objects found, or of the matched ones where it is not there."""
    return masks.get(f"{compartment}_original") or masks.get(compartment)


def summarise(
    facts: dict, counts: dict, masks: dict[str, Path], truth: dict[str, Path], overlay: str
) -> dict:
    """Return the contents of summary.json.

    Parameters
    ----------
    facts : dict
        INGEST's, of the slide.
    counts : dict
        STITCH's counts, and REPAIR's metrics where there are both compartments.
    masks : dict
        Label images by name.
    truth : dict
        ``cell_truth`` and ``nucleus_truth``, of which either may be missing.
    overlay : str
        Name of the picture beside the summary.

    Returns
    -------
    dict
        Counts and fractions that do not apply are None; ``f1_cell`` and ``f1_nucleus``, at an
        intersection over union of 0.5, are there with their truth only.

    Raises
    ------
    DataError
        If no mask is of cells or nuclei, or one is not of this slide.
    """
    sample, image = facts["sample"], facts["image"]
    shape = image["height"], image["width"]
    if not any(found(masks, compartment) for compartment in COMPARTMENTS):
        raise DataError(
            f"{sample}: none of the masks ({', '.join(masks) or 'none given'}) is cell.ome.tif "
            "or nucleus.ome.tif; give at least one of them."
        )
    for path in [*masks.values(), *truth.values()]:
        with LabelReader(path) as labels:
            if labels.shape != shape:
                raise DataError(
                    f"{path}: is {labels.shape} px and the image of {sample} {shape} px; "
                    "give the masks of this sample."
                )
    summary = {
        "sample": sample,
        "image": image["name"],
        **{name: counts.get(name) for name in COUNTS},
        "segmentation": f"segmentation/{counts.get('segmenter', 'mesmer')}-{sample}",
        "overlay": overlay,
    }
    for compartment in COMPARTMENTS:
        mask, true = found(masks, compartment), truth.get(f"{compartment}_truth")
        if mask and true:
            summary[f"f1_{compartment}"] = object_f1(_read(mask), _read(true))["f1"]
    return summary


def _read(path: Path) -> np.ndarray:
    with LabelReader(path) as labels:
        return labels.read(0, labels.shape[0])


def headlines(summary: dict, facts: dict) -> tuple[str, str, str]:
    """Return the sample's name, the size of its image, and what was found in it."""
    image = facts["image"]
    size = f"{image['width']:,} × {image['height']:,} px,  {facts['image_mpp']:.4g} µm/px"
    parts = [
        f"{summary[f'n_{objects}']:,} {objects}"
        for objects in COMPARTMENTS.values()
        if summary[f"n_{objects}"] is not None
    ]
    if summary["n_matched"] is not None:
        fractions = [
            f"{summary[f'{compartment}_matched_fraction']:.1%} of {objects}"
            for compartment, objects in COMPARTMENTS.items()
            if summary[f"{compartment}_matched_fraction"] is not None
        ]
        share = f" ({', '.join(fractions)})" if fractions else ""
        parts.append(f"{summary['n_matched']:,} matched{share}")
    scores = [
        f"{summary[f'f1_{compartment}']:.3f} {objects}"
        for compartment, objects in COMPARTMENTS.items()
        if summary.get(f"f1_{compartment}") is not None
    ]
    if scores:
        parts.append(f"F1 against truth: {', '.join(scores)}")
    if summary["n_unproved_patches"] is not None:
        parts.append(certificate(summary))
    return shortened(summary["sample"], 32), size, "  ·  ".join(parts)


def certificate(summary: dict) -> str:
    """Return in a few words how much of a sample is proved to be as in the whole image."""
    unproved = {
        f"{objects} not certified": summary[f"n_uncertified_{objects}"]
        for objects in COMPARTMENTS.values()
    } | {"patches skipped without proof": summary["n_unproved_patches"]}
    return ", ".join(f"{n:,} {what}" for what, n in unproved.items() if n) or "all certified"


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


@dataclass(frozen=True)
class Crop:
    """A square of a slide: what it shows, its upper left corner and side in um, its objects."""

    title: str
    y: float
    x: float
    side: float
    n_objects: int


def object_centres(mask: Path, image_mpp: float) -> np.ndarray:
    """Return the centroids of a mask's objects.

    They are those on the coarsest level of the pyramid that has at least a pixel in 4 um; an
    object that is lost there has none.

    Parameters
    ----------
    mask : Path
        Label image.
    image_mpp : float
        Pixel size in um.

    Returns
    -------
    (n, 2) ndarray of float64
        y and x, um.
    """
    with tifffile.TiffFile(mask) as file:
        levels = file.series[0].levels
        steps = [round(max(levels[0].shape) / max(level.shape)) for level in levels]
        fine = [k for k, step in enumerate(steps) if step * image_mpp <= COARSE_MPP]
        level = max(fine, default=0)
        labels, step = as_labels(levels[level].asarray()), steps[level]
    joint = Contingency()
    joint.add(labels, np.zeros_like(labels))
    pairs = joint.pairs()
    objects = pairs.by(first_label(pairs.keys))
    return (objects.sums[:, 1:] / objects.area[:, None] * step + 0.5) * image_mpp


def choose_crops(
    centres: np.ndarray, extent: tuple[float, float], side: float = CROP_UM
) -> list[Crop]:
    """Return the densest square of a slide, and a typical one that does not overlap it.

    Typical is the square whose number of objects is nearest to the median over the squares
    with any; of several, the one nearest to the middle of the slide.

    Parameters
    ----------
    centres : (n, 2) ndarray
        y and x of the objects, um.
    extent : (float, float)
        Height and width of the slide, um.
    side : float
        Of the squares, um; cut to the slide's.

    Returns
    -------
    list of Crop
        None without objects; one where there is no room for another.
    """
    if not len(centres):
        return []
    side = min(side, *extent)
    # Squares overlap by half, so each is four cells of a grid of half their side.
    n_steps = [int(np.ceil(2 * length / side - 1e-9)) for length in extent]
    edges = [np.append(np.arange(n) * side / 2, np.inf) for n in n_steps]
    fine = np.histogram2d(*centres.T, edges)[0]
    counts = (fine[1:, 1:] + fine[1:, :-1] + fine[:-1, 1:] + fine[:-1, :-1]).ravel()
    corners = np.stack(np.meshgrid(edges[0][:-2], edges[1][:-2], indexing="ij"), axis=-1)
    corners = np.minimum(corners.reshape(-1, 2), np.subtract(extent, side))

    def crop(title: str, corner: np.ndarray) -> Crop:
        inside = ((centres >= corner) & (centres < corner + side)).all(axis=1)
        return Crop(title, *corner.tolist(), side, int(inside.sum()))

    densest = corners[counts.argmax()]
    crops = [crop("whole slide" if extent == (side, side) else "densest", densest)]
    apart = (np.abs(corners - densest) >= side).any(axis=1) & (counts > 0)
    if apart.any():
        corners, rest = corners[apart], counts[apart]
        unlike = np.abs(rest - np.median(counts[counts > 0]))
        off_centre = np.hypot(*(corners + side / 2 - np.divide(extent, 2)).T)
        crops.append(crop("typical", corners[np.lexsort((off_centre, unlike))[0]]))
    return crops
