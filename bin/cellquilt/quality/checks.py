"""The checks of a sample: each has a figure, limits at two levels, and what may be the cause.

How the limits were found, and how often they are wrong, is in docs/quality.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .causes import CAUSES, OF_SIZE, Cause, Figures, evidence

N_CAUSES = 2  # that are named
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Check:
    """A check.

    Attributes
    ----------
    code : str
        Its own, of all its findings.
    figure : str
        Its name, see `figures.figures`; or of summary.json.
    text : str
        What is found, with the value as ``{}``.
    unit : str
        How values are written, as a format.
    note, urgent : (float or None, float or None)
        Lowest and highest value without a finding of this level; None where there is no limit.
    causes : tuple of str
        Codes of what may be the cause, the likeliest first as long as no figure speaks for one.
    """

    code: str
    figure: str
    text: str
    unit: str
    note: Range
    urgent: Range
    causes: tuple[str, ...]

    def judge(self, value: float | None) -> bool | None:
        """Return whether a value is urgent; None where there is nothing to say."""
        if value is None:
            return None
        if _outside(value, self.urgent):
            return True
        return False if _outside(value, self.note) else None

    def limit(self, value: float, urgent: bool) -> str:
        """Return in words which limit a value is beyond."""
        low, high = self.urgent if urgent else self.note
        below = low is not None and value < low
        level, side = "urgent" if urgent else "a note", "below" if below else "above"
        return f"{level} {side} {self.unit.format(low if below else high)}"


def _outside(value: float, limits: Range) -> bool:
    low, high = limits
    return (low is not None and value < low) or (high is not None and value > high)


@dataclass(frozen=True)
class Judgement:
    """What a check found: its level, a sentence, the figure, its limit, and likely causes."""

    check: Check
    value: float
    urgent: bool
    causes: tuple[Cause, ...]

    @property
    def text(self) -> str:
        """What was found."""
        return self.check.text.format(self.figure)

    @property
    def figure(self) -> str:
        """The figure as it is shown."""
        return self.check.unit.format(self.value)

    @property
    def limit(self) -> str:
        """Which limit it is beyond."""
        return self.check.limit(self.value, self.urgent)


NONE: Range = (None, None)
_SHARE = "{:.1%}"
_UM2 = "{:.0f} µm²"
_OF_CHANNELS = ("swapped_channels", "not_nuclear")
_OF_PAIRS = (
    *("unknown_tissue", "shifted_channels", *_OF_CHANNELS, "not_membrane"),
    *("out_of_focus", *OF_SIZE, "saturated", "mask", "no_tissue"),
)

CHECKS = (
    Check(
        "few_matched",
        "cell_matched_fraction",
        "Only {} of the cells have a nucleus.",
        _SHARE,
        note=(0.88, None),
        urgent=(0.7, None),
        causes=_OF_PAIRS,
    ),
    Check(
        "few_matched",
        "nucleus_matched_fraction",
        "Only {} of the nuclei have a cell.",
        _SHARE,
        note=(0.88, None),
        urgent=(0.7, None),
        causes=_OF_PAIRS,
    ),
    Check(
        "mismatch",
        "mean_mismatch",
        "On average {} of a nucleus lies outside of its cell.",
        _SHARE,
        note=(None, 0.2),
        urgent=(None, 0.27),
        causes=_OF_PAIRS,
    ),
    Check(
        "nuclei_outside",
        "nuclei_outside",
        "{} of the matched cells have a nucleus of which more than half lies outside.",
        _SHARE,
        note=(None, 0.05),
        urgent=(None, 0.1),
        causes=_OF_PAIRS,
    ),
    Check(
        "extra_nuclei",
        "extra_nuclei",
        "{} of the nuclei lie in a cell that has another one.",
        _SHARE,
        note=(None, 0.05),
        urgent=(None, 0.09),
        causes=("unknown_tissue", "crowded_nuclei", *_OF_PAIRS),
    ),
    Check(
        "nuclei_taken",
        "nuclei_taken",
        "{} of the cells share their nucleus with another cell.",
        _SHARE,
        note=(None, 0.05),
        urgent=(None, 0.095),
        causes=_OF_PAIRS,
    ),
    Check(
        "nuclei_per_cell",
        "nuclei_per_cell",
        "There are {} nuclei to a cell.",
        "{:.2f}",
        note=(0.85, 1.15),
        urgent=(0.65, 1.5),
        causes=_OF_PAIRS,
    ),
    Check(
        "cells_smaller",
        "cells_smaller",
        "{} of the matched cells are smaller than their nucleus was before it was trimmed.",
        _SHARE,
        note=(None, 0.25),
        urgent=(None, 0.6),
        causes=_OF_PAIRS,
    ),
    Check(
        "nuclear_size",
        "nuclear_size_um2",
        "Nuclei have {} by masks and spots of the nuclear channel; in sections of tissue 25 to 75.",
        _UM2,
        note=(24.0, 75.0),
        urgent=(20.0, 108.0),
        causes=(*OF_SIZE, "other_cells", "unknown_tissue", *_OF_CHANNELS, "out_of_focus"),
    ),
    Check(
        "nuclear_area",
        "nucleus_um2",
        "The median nucleus has {} before trimming; in sections of tissue it has 25 to 80.",
        _UM2,
        note=(20.0, 90.0),
        urgent=(10.0, 200.0),
        causes=(*OF_SIZE, "other_cells", "unknown_tissue"),
    ),
    Check(
        "nuclear_spots",
        "blob_um2",
        "The nuclear channel has spots of {}; in sections of tissue they have 20 to 80.",
        _UM2,
        note=(18.0, 85.0),
        urgent=(5.0, 300.0),
        causes=(*OF_SIZE, "other_cells", *_OF_CHANNELS, "out_of_focus"),
    ),
    Check(
        "on_glass",
        "on_glass",
        "{} of the objects lie where the slide shows no structure.",
        _SHARE,
        note=(None, 0.1),
        urgent=NONE,
        causes=("no_tissue", "not_nuclear"),
    ),
    Check(
        "no_signal",
        "signal",
        "Only {} of the slide shows any structure.",
        _SHARE,
        note=(0.1, None),
        urgent=(0.02, None),
        causes=("no_tissue", "not_nuclear"),
    ),
    Check(
        "patches_saturated",
        "saturated_area",
        "{} of the slide is in saturated patches.",
        _SHARE,
        note=(None, 0.0),
        urgent=NONE,
        causes=("saturated",),
    ),
    Check(
        "focus",
        "focus",
        "The focus of the median patch is {}; a slide in focus has 0.65 and more.",
        "{:.2f}",
        note=(0.6, None),
        urgent=NONE,
        causes=("out_of_focus", "pixel_size_too_large"),
    ),
    Check(
        "out_of_focus",
        "out_of_focus_area",
        "{} of the slide is out of focus.",
        _SHARE,
        note=(None, 0.05),
        urgent=(None, 0.5),
        causes=("out_of_focus", "pixel_size_too_large"),
    ),
    Check(
        "nuclear_channel",
        "nuclear_roundness",
        "The nuclear channel does not look like one: its bright spots have a roundness of {}.",
        "{:.3f}",
        note=(0.168, None),
        urgent=(0.163, None),
        causes=("not_nuclear", "swapped_channels"),
    ),
    Check(
        "membrane_channel",
        "membrane_rounder",
        "The membrane channel has spots as round as the nuclear one's, or rounder: by {}.",
        "{:.3f}",
        note=(None, -0.01),
        urgent=(None, 0.01),
        causes=("swapped_channels", "not_membrane", "not_nuclear"),
    ),
    Check(
        "nuclear_outside",
        "nuclear_inside",
        "In only {} of the cells the nuclear channel is brighter in the nucleus than around it.",
        _SHARE,
        note=(0.9, None),
        urgent=(0.75, None),
        causes=("swapped_channels", "not_nuclear", "unknown_tissue", "shifted_channels"),
    ),
    Check(
        "membrane_inside",
        "membrane_inside",
        "In {} of the cells the membrane channel is brighter in the nucleus than around it.",
        _SHARE,
        note=(None, 0.65),
        urgent=NONE,
        causes=("swapped_channels", "not_membrane", "not_nuclear"),
    ),
    Check(
        "seams",
        "seams_um",
        "The brightness jumps every {}, along all of the slide.",
        "{:.0f} µm",
        note=(None, 0.0),
        urgent=NONE,
        causes=("stitching",),
    ),
    Check(
        "border_jump",
        "border_jump",
        "The density changes {} times as much at the borders of patches as within them.",
        "{:.1f}",
        note=(None, 3.0),
        urgent=NONE,
        causes=("patches",),
    ),
)
# What is no figure, and its likely causes: codes of findings and of notices.
OTHERS = {
    "nothing_found": ("no_tissue", "not_nuclear", "swapped_channels", "unknown_tissue"),
    "nothing_segmented": ("no_tissue", "not_nuclear"),
    "no_cells_found": ("unknown_tissue", *_OF_CHANNELS, *OF_SIZE, "no_tissue"),
    "no_nuclei_found": ("unknown_tissue", *_OF_CHANNELS, *OF_SIZE, "no_tissue"),
    "constant_channel": ("no_tissue", "not_nuclear"),
    "label_image": ("mask",),
    "binary_image": ("mask",),
    "saturated_channel": ("saturated",),
    "pixel_size_contradicts_file": OF_SIZE,
}


def judge(figures: Figures, notices: Iterable[str] = ()) -> list[Judgement]:
    """Return what the checks find, in the order of `CHECKS`.

    Parameters
    ----------
    figures : dict
        By name; what is missing or None is not checked.
    notices : iterable of str
        Codes of the slide's notices, which speak for causes too.
    """
    speaks = evidence(figures, frozenset(notices))
    found = []
    for check in CHECKS:
        value = figures.get(check.figure)
        if (urgent := check.judge(value)) is not None:
            found.append(Judgement(check, value, urgent, _ranked(check.causes, speaks)))
    return found


def causes_of(code: str, figures: Figures, notices: Iterable[str] = ()) -> tuple[Cause, ...]:
    """Return the likely causes of a finding that is no check's, the likeliest first."""
    return _ranked(OTHERS.get(code, ()), evidence(figures, frozenset(notices)))


def _ranked(codes: Iterable[str], speaks: dict[str, float]) -> tuple[Cause, ...]:
    """Return the causes that most speaks for; those of equal standing keep their order."""
    ranked = sorted(dict.fromkeys(codes), key=lambda code: -speaks[code])
    if any(speaks[code] for code in OF_SIZE):  # for one, and so against the other
        ranked = [code for code in ranked if code not in OF_SIZE or speaks[code]]
    if speaks["pixel_size_too_small"]:
        ranked = [code for code in ranked if code != "other_cells"]  # whose nuclei are large
    return tuple(CAUSES[code] for code in ranked[:N_CAUSES])
