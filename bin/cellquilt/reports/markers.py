"""The channels on a sample's page: how each looks, and which look nuclear or like membranes."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..cells.markers import positions

# In a list of the likeliest channels, before those of the run that come later
N_LISTED = 5
# A difference of contrasts that is not due to where outlines happen to run
_CLEARLY = 0.03
ROLES = ("nuclear", "membrane")
SIZE = 160, 40


@dataclass(frozen=True)
class Ranking:
    """The channels by how nuclear or how membranous they look.

    Attributes
    ----------
    role : {'nuclear', 'membrane'}
    listed : list of dict
        The likeliest markers, and the run's own where they come later; see `described`.
    scale : float
        The largest contrast of those, of either sign.
    better : str or None
        The likeliest channel where its contrast is clearly larger than that of what was used.
    """

    role: str
    listed: list[dict]
    scale: float
    better: str | None


def described(markers: Sequence[dict], facts: dict) -> list[dict]:
    """Return the markers as report.json has them.

    Parameters
    ----------
    markers : sequence of dict
        See `cell_table.read_markers`, in the slide's order.
    facts : dict
        INGEST's, for the channels that were segmented.

    Returns
    -------
    list of dict
        Each also with ``role``, what it was segmented as or None, and ``nuclear_rank`` and
        ``membrane_rank``, from 1 for the largest contrast; None without a contrast.
    """
    roles = {channel["index"]: role for role in ROLES for channel in facts[role]}
    found = [marker | {"role": roles.get(k)} for k, marker in enumerate(markers)]
    for role in ROLES:
        contrast = f"{role}_contrast"
        known = [marker for marker in found if marker[contrast] is not None]
        known.sort(key=lambda marker: -marker[contrast])
        ranks = {marker["name"]: rank for rank, marker in enumerate(known, 1)}
        for marker in found:
            marker[f"{role}_rank"] = ranks.get(marker["name"])
    return found


def rankings(markers: Sequence[dict]) -> list[Ranking]:
    """Return the rankings of several markers, by nuclear and by membrane contrast.

    Without masks of what one is of, or of fewer than two markers, it is left out.
    """
    found = []
    for role in ROLES:
        rank = f"{role}_rank"
        known = sorted((m for m in markers if m[rank]), key=lambda marker: marker[rank])
        if len(known) < 2:
            continue
        listed = [m for m in known if m[rank] <= N_LISTED or m["role"] == role]
        contrast = f"{role}_contrast"
        used = [marker[contrast] for marker in known if marker["role"] == role]
        clear = used and known[0][contrast] > max(max(used), 0) + _CLEARLY
        scale = max(abs(marker[contrast]) for marker in listed) or 1.0
        found.append(Ranking(role, listed, scale, known[0]["name"] if clear else None))
    return found


def bars(means: dict) -> str:
    """Return the histogram of a marker's means as an SVG path, `SIZE` wide and high."""
    width, height = SIZE
    counts = means["counts"]
    top, step = max(*counts, 1), width / len(counts)
    edges = "".join(
        f"V{height * (1 - count / top):.1f}H{(k + 1) * step:g}" for k, count in enumerate(counts)
    )
    return f"M0 {height}{edges}V{height}z"


def places(means: dict) -> tuple[float, float, float]:
    """Return where the quartiles of a marker's means are drawn."""
    width = SIZE[0]
    at = positions(means["quartiles"], means["low"], means["high"], means["cofactor"])
    low, middle, high = (min(max(float(place), 0.0), 1.0) * width for place in at)
    return low, middle, high
