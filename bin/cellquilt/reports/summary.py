"""What a person reads first: the counts of a sample."""

from pathlib import Path

import numpy as np

from ..cells.object_f1 import object_f1
from ..compartments import PLURALS
from ..errors import DataError
from ..images.label_image import LabelReader
from ..segmenters import DEFAULT
from .findings import plural

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
        intersection over union of 0.5, are there with their truth only. ``notices`` are
        INGEST's and ADOPT's.

    Raises
    ------
    DataError
        If no mask is of cells or nuclei, or one is not of this slide.
    """
    sample, image = facts["sample"], facts["image"]
    shape = image["height"], image["width"]
    if not any(found(masks, compartment) for compartment in PLURALS):
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
        "segmentation": f"segmentation/{counts.get('segmenter', DEFAULT)}-{sample}",
        "overlay": overlay,
        "notices": [*facts.get("notices", []), *counts.get("notices", [])],
    }
    for compartment in PLURALS:
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
        plural(summary[f"n_{objects}"], name, objects)
        for name, objects in PLURALS.items()
        if summary[f"n_{objects}"] is not None
    ]
    if summary["n_matched"] is not None:
        fractions = [
            f"{summary[f'{compartment}_matched_fraction']:.1%} of {objects}"
            for compartment, objects in PLURALS.items()
            if summary[f"{compartment}_matched_fraction"] is not None
        ]
        share = f" ({', '.join(fractions)})" if fractions else ""
        parts.append(f"{summary['n_matched']:,} matched{share}")
    scores = [
        f"{summary[f'f1_{compartment}']:.3f} {objects}"
        for compartment, objects in PLURALS.items()
        if summary.get(f"f1_{compartment}") is not None
    ]
    if scores:
        parts.append(f"F1 against truth: {', '.join(scores)}")
    if summary["n_unproved_patches"] is not None:
        left = unverified(summary)
        parts.append(f"tiling not verified: {left}" if left else "tiling verified")
    return shortened(summary["sample"], 32), size, "  ·  ".join(parts)


def unverified(summary: dict) -> str:
    """Return in a few words what is not proved to be as in the whole image; '' where all is."""
    unproved = [
        (summary[f"n_uncertified_{objects}"], name, objects) for name, objects in PLURALS.items()
    ]
    parts = [plural(n, one, several) for n, one, several in unproved if n]
    if n := summary["n_unproved_patches"]:
        parts.append(f"{plural(n, 'patch', 'patches')} skipped without proof")
    return ", ".join(parts)


def certified_fraction(summary: dict) -> float | None:
    """Return the share of a sample's objects whose tiling is verified.

    None without any, and of masks of one's own, whose making is not known.
    """
    if all(summary[f"n_uncertified_{objects}"] is None for objects in PLURALS.values()):
        return None
    n_found = sum(summary[f"n_{objects}"] or 0 for objects in PLURALS.values())
    n_doubtful = sum(summary[f"n_uncertified_{objects}"] or 0 for objects in PLURALS.values())
    return 1 - n_doubtful / n_found if n_found else None


def shortened(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"
