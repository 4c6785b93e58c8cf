"""The pixel size of a slide: as its file or its user gives it."""

import math
from collections.abc import Mapping

from ..errors import DataError
from .notice import Notice
from .slide import Slide

MPP_RANGE = (0.05, 5.0)  # um/px; outside is a slip of unit, not a microscope
_REMEDY = "give --image_mpp (um/px) or the samplesheet's image_mpp column"
_SI_PREFIXES = {
    **{"Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1},
    **{"": 0, "d": -1, "c": -2, "m": -3, "µ": -6, "n": -9, "p": -12, "f": -15, "a": -18},
    **{"z": -21, "y": -24},
}
# Every unit of the OME schema that is a length, in um; "pixel" and "reference frame" are not.
UM_PER_UNIT = {
    **{f"{prefix}m": 10.0 ** (power + 6) for prefix, power in _SI_PREFIXES.items()},
    **{"Å": 1e-4, "thou": 25.4, "li": 25.4e3 / 12, "in": 25.4e3, "ft": 304.8e3, "yd": 914.4e3},
    **{"mi": 1.609344e9, "pt": 25.4e3 / 72},
    **{"ua": 1.495978707e17, "ly": 9.4607304725808e21, "pc": 3.0856775814913673e22},
}
_PREFIX_NAMES = {
    **{"exa": "E", "peta": "P", "tera": "T", "giga": "G", "mega": "M", "kilo": "k", "hecto": "h"},
    **{"": "", "deci": "d", "centi": "c", "milli": "m", "micro": "µ", "nano": "n", "pico": "p"},
    **{"femto": "f", "atto": "a", "zepto": "z"},
}
# Other spellings, of ImageJ's users, OME-XML and OME-Zarr, in lower case and the singular
_SPELLINGS = {
    **{f"{name}met{end}": f"{p}m" for name, p in _PREFIX_NAMES.items() for end in ("er", "re")},
    **{"micron": "µm", "um": "µm", "inch": "in", "inche": "in", '"': "in", "angstrom": "Å"},
    **{"foot": "ft", "yard": "yd", "mile": "mi", "parsec": "pc"},
}


def unit_of(text: str) -> str | None:
    r"""Return the unit of the OME schema that a file means, None where it is no length.

    ImageJ writes the micro sign as ``\u00B5``, others as the Greek letter.
    """
    unit = text.strip().replace("\\u00B5", "µ").replace("\N{GREEK SMALL LETTER MU}", "µ")
    return unit if unit in UM_PER_UNIT else _SPELLINGS.get(unit.casefold().removesuffix("s"))


def square(sizes: Mapping[str, tuple[float | None, str]]) -> tuple[float | None, str | None]:
    """Return the pixel size (um/px) that a file gives, and what is wrong with it.

    Parameters
    ----------
    sizes : dict of str to (float or None, str)
        Size and unit by name, along X and then along Y; None where there is none.

    Returns
    -------
    (float or None, str or None)
        Without a problem, the size along X or, where that is missing, along Y; None without
        any. Of pixels that are not square, the size along X and a problem; of a size without
        length, None and a problem.
    """
    found: dict[str, float] = {}
    for name, (size, unit) in sizes.items():
        if size is None or not 0 < size < math.inf:
            continue
        known = unit_of(unit)
        if known is None:
            what = f"'{unit:.99}', which is no length" if unit.strip() else "without a unit"
            return None, f"{name} is {size:g} {what}"
        found[name] = size * UM_PER_UNIT[known]
    if not found:
        return None, None
    mpp, *others = found.values()
    if others and differ(mpp, others[0]):
        stated = " and ".join(f"{name} ({size:g} um)" for name, size in found.items())
        return mpp, f"{stated} differ by more than 1 %"
    return mpp, None


def resolve_image_mpp(slide: Slide, override: float | None) -> tuple[float, str]:
    """Return the pixel size (um/px) and its source: 'parameter', or `Slide.image_mpp_source`.

    A size that contradicts the file, or that the file does not plainly state, is added to the
    slide's notices.

    Raises
    ------
    DataError
        Neither given nor in the file, unusable in the file, or outside 0.05 to 5 um/px.
    """
    problem = slide.image_mpp_problem
    if override is None and problem:
        raise DataError(f"{slide.path}: {problem}; {_REMEDY}")
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
    slide.notices += _contradiction(slide, mpp)
    if source == "tiff":
        slide.notices.append(
            Notice(
                "pixel_size_from_resolution",
                f"{slide.path.name}: only the resolution in its TIFF tags gives a pixel size,"
                f" {mpp:g} um/px, which is used; if it is not the microscope's, {_REMEDY}.",
            )
        )
    return mpp, source


def _contradiction(slide: Slide, mpp: float) -> list[Notice]:
    """Return a notice if the pixel size in use is not that of the file."""
    own, problem = slide.image_mpp, slide.image_mpp_problem
    if own is None or not (problem or differ(mpp, own)):
        return []
    stated = f"the file's own {slide.image_mpp_source} has {own:g} um/px"
    return [
        Notice(
            "pixel_size_contradicts_file",
            f"{slide.path.name}: image_mpp {mpp:g} is used, {problem or stated}; check which"
            " is right, since a wrong size gives wrong cells.",
        )
    ]


def differ(one: float, other: float) -> bool:
    """Return whether two pixel sizes differ by more than 1 %."""
    return max(one, other) > 1.01 * min(one, other)
