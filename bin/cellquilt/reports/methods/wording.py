"""How texts on several slides are put together: what differs is said with its slides."""

from collections.abc import Callable, Mapping, Sequence

NAMED = 6  # samples or regions in a sentence; more are counted


def sentences(found: Sequence[str]) -> str:
    """Return texts as one, each with a capital; empty ones are left out."""
    return " ".join(text[0].upper() + text[1:] for text in found if text)


def said(slides: Sequence[dict], text: Callable[[Mapping], str]) -> str:
    """Return what is said of slides: once if it is the same of all, else of which it is what."""
    return _joined(slides, text, "{0} in {1}")


def each(slides: Sequence[dict], text: Callable[[Mapping], str]) -> str:
    """Return clauses on slides; where they differ, each begins with its slides."""
    return _joined(slides, text, "in {1} {0}")


def _joined(slides: Sequence[dict], text: Callable[[Mapping], str], form: str) -> str:
    groups: dict[str, list[dict]] = {}
    for slide in slides:
        groups.setdefault(text(slide), []).append(slide)
    if len(groups) == 1:
        return next(iter(groups))
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return "; ".join(form.format(said, names_of(of)) for said, of in ordered if said)


def in_which(some: list[dict], slides: list[dict]) -> str:
    """Return "in" and the names of some of the slides; nothing where it is all of them."""
    return "" if len(some) == len(slides) else f"in {names_of(some)} "


def names_of(slides: Sequence[Mapping]) -> str:
    """Return the names of slides, or how many there are."""
    names = list(dict.fromkeys(slide["sample"] for slide in slides))
    return listed(names) if len(names) <= NAMED else f"{len(names)} slides"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    *most, last = names or [""]
    return f"{', '.join(most)} and {last}" if most else last


def ended(text: str) -> str:
    """Return a text with its full stop; nothing of nothing."""
    return f"{text}." if text else ""
