"""What may have gone wrong with a sample, and which figures speak for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | None]

# Of nuclei, um2: from where it speaks for a wrong pixel size, and from where it is certain
SMALL, SMALLEST = 24.0, 18.0
LARGE, LARGEST = 75.0, 95.0
# Blobs over ridges: what looks nuclear, and by how much one channel does so more than another
ROUND, ROUNDER = 0.165, 0.015
BLURRED = 0.5
GLASS = 0.5  # of the objects
NO_SIGNAL = 0.02  # of the slide
CUT_OFF = 0.02  # of the pixels


@dataclass(frozen=True)
class Cause:
    """A likely cause.

    Attributes
    ----------
    code : str
    text, remedy : str
        What may be the case, and what to do then.
    evidence : callable
        Takes figures and notices' codes; returns how strongly they speak for it, 0 to 1, where 0
        is that they say nothing.
    """

    code: str
    text: str
    remedy: str
    evidence: Callable[[Figures, frozenset[str]], float] = lambda figures, notices: 0.0


def _above(value: float | None, limit: float, certain: float) -> float:
    """Return 0 up to a limit and 1 from where it is certain on; either may be the larger one."""
    if value is None:
        return 0.0
    return min(max((value - limit) / (certain - limit), 0.0), 1.0)


def _not_nuclear(figures: Figures, notices: frozenset[str]) -> float:
    return _above(figures.get("nuclear_roundness"), ROUND, ROUND - 0.02)


CAUSES = {
    cause.code: cause
    for cause in (
        Cause(
            "mask",
            "a channel is a mask or a label image, not an image",
            "give the image that it was made of",
            lambda figures, notices: float(bool(notices & {"label_image", "binary_image"})),
        ),
        Cause(
            "no_tissue",
            "there is no tissue where objects were found, only bare glass",
            "check that this is the right scene or plane; skip glass with --patch_qc signal",
            lambda figures, notices: max(
                _above(figures.get("on_glass"), 0.2, GLASS),
                _above(figures.get("signal"), NO_SIGNAL, 0.0),
            ),
        ),
        Cause(
            "saturated",
            "the signal is saturated, so that nuclei that touch run together",
            "expose for a shorter time, or convert without clipping",
            lambda figures, notices: max(
                _above(figures.get("saturated"), CUT_OFF / 2, CUT_OFF),
                0.5 * ("saturated_channel" in notices),
            ),
        ),
        Cause(
            "swapped_channels",
            "nuclear and membrane channel are swapped",
            "exchange --nuclear and --membrane",
            lambda figures, notices: _above(figures.get("membrane_rounder"), 0.0, ROUNDER),
        ),
        Cause(
            "pixel_size_too_large",
            "the pixel size is too large",
            "check the pixel size in the samplesheet (image_mpp) or the file; try half of it",
            lambda figures, notices: _above(figures.get("nuclear_size_um2"), LARGE, LARGEST),
        ),
        Cause(
            "pixel_size_too_small",
            "the pixel size is too small",
            "check the pixel size in the samplesheet (image_mpp) or the file; try twice as much",
            lambda figures, notices: _above(figures.get("nuclear_size_um2"), SMALL, SMALLEST),
        ),
        Cause(
            "out_of_focus",
            "the slide is out of focus, or was blurred afterwards",
            "scan again, or take the unprocessed image",
            lambda figures, notices: _above(figures.get("focus"), BLURRED + 0.05, BLURRED - 0.05),
        ),
        Cause(
            "not_nuclear",
            "the nuclear channel is no stain of nuclei",
            "choose a DNA or histone channel as --nuclear",
            _not_nuclear,
        ),
        Cause(
            "not_membrane",
            "the membrane channel marks nuclei, not membranes",
            "choose a channel of membranes or cytoplasm as --membrane",
            lambda figures, notices: _above(figures.get("membrane_inside"), 0.7, 0.9),
        ),
        Cause(
            "unknown_tissue",
            "the network was not trained on such a tissue or stain",
            "try another --segmenter, or train one, see training.md",
        ),
        Cause(
            "shifted_channels",
            "nuclear and membrane channel are shifted against each other",
            "register the channels, or take both from one cycle",
        ),
        Cause(
            "crowded_nuclei",
            "nuclei lie over each other, as in thick sections",
            "look at the crops; leave out cells of large mismatch",
        ),
        Cause(
            "other_cells",
            "these are cultured cells, whose nuclei are several times as large as in sections",
            "if so, ignore this",
        ),
        Cause(
            "stitching",
            "the scanner's fields were joined without evening out their illumination",
            "correct the illumination, for example with BaSiC, before comparing intensities",
        ),
        Cause(
            "patches",
            "cells at the borders of patches were lost",
            "run again with a wider --halo, and report this as a bug",
        ),
    )
}


OF_SIZE = ("pixel_size_too_large", "pixel_size_too_small")
OF_LOOKS = ("mask", "no_tissue", "saturated", "swapped_channels", "not_nuclear", "out_of_focus")


def evidence(figures: Figures, notices: frozenset[str]) -> dict[str, float]:
    """Return how strongly figures and notices speak for each cause, by its code.

    What changes the looks of nuclei changes their size too, so that a wrong pixel size counts half
    beside it; and swapped channels are why the nuclear channel does not look like one.
    """
    found = {code: cause.evidence(figures, notices) for code, cause in CAUSES.items()}
    found["not_nuclear"] *= 1 - found["swapped_channels"] / 2
    looks = max(found[code] for code in OF_LOOKS)
    for code in OF_SIZE:
        found[code] *= 1 - looks / 2
    return found
