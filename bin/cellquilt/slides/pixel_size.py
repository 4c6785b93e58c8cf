"""The pixel size of a slide: as its file or its user gives it."""

import logging

from ..errors import DataError
from .slide import Slide

log = logging.getLogger("cellquilt")

MPP_RANGE = (0.05, 5.0)  # um/px; outside is a slip of unit, not a microscope
_REMEDY = "give --image_mpp (um/px) or the samplesheet's image_mpp column"


def resolve_image_mpp(slide: Slide, override: float | None) -> tuple[float, str]:
    """Return the pixel size (um/px) and its source: 'parameter', 'ome-xml' or 'qptiff'.

    Raises
    ------
    DataError
        Neither given nor in the file, unusable in the file, or outside 0.05 to 5 um/px.
    """
    if override is None and slide.image_mpp_problem:
        raise DataError(f"{slide.path}: {slide.image_mpp_problem}; {_REMEDY}")
    mpp = slide.image_mpp if override is None else override
    source = slide.image_mpp_source if override is None else "parameter"
    if mpp is None:
        raise DataError(f"{slide.path}: has no pixel size; {_REMEDY}")
    if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        origin = "given as parameter" if source == "parameter" else f"of its {source}"
        raise DataError(
            f"{slide.path}: the pixel size {origin}, {mpp:g} um/px, is absurd (not in"
            f" {MPP_RANGE[0]:g} to {MPP_RANGE[1]:g}); {_REMEDY}"
        )
    if slide.image_mpp is not None and differ(mpp, slide.image_mpp):
        log.warning(
            "%s: image_mpp %g is used, the file's own %s has %g um/px",
            slide.path,
            mpp,
            slide.image_mpp_source,
            slide.image_mpp,
        )
    return mpp, source


def differ(one: float, other: float) -> bool:
    """Return whether two pixel sizes differ by more than 1 %."""
    return max(one, other) > 1.01 * min(one, other)
