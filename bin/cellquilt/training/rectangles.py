"""What each of the rectangles is for that a person drew around labelled objects."""

from collections.abc import Sequence

from .pixel_classes import VALIDATION_SHARE

CUT = "cut"


def assigned(parts: Sequence[str], counts: Sequence[int], held_out: float) -> list[str]:
    """Return for each rectangle 'train', 'validation', 'test', or 'cut' into what is missing.

    A person says what a rectangle is for by its class. Where none is for validation, or for the
    test, the last ones to learn from are; where these are too few, each of them is cut.

    Parameters
    ----------
    parts : sequence of {'train', 'validation', 'test'}
        By the classes, in the order of images and files.
    counts : sequence of int
        Labelled pixels in each.
    held_out : float
        Share of what is labelled for the test; 0 where there is one.
    """
    found = list(parts)
    wanted = {"test": held_out} if held_out else {}
    if "validation" not in parts:
        wanted["validation"] = held_out / 2 or VALIDATION_SHARE
    free = [k for k, part in enumerate(parts) if part == "train" and counts[k]]
    if len(free) <= len(wanted):
        return [CUT if wanted and k in free else part for k, part in enumerate(parts)]
    total = sum(counts[k] for k in free)
    for left, (part, share) in zip(range(len(wanted), 0, -1), wanted.items(), strict=True):
        taken = 0
        while not taken or (taken < share * total and len(free) > left):
            taken += counts[free[-1]]
            found[free.pop()] = part
    return found
