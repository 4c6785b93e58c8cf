"""A network's card: what it takes and gives, so that it can run on slides as Mesmer does."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..compartments import OPTIONS, option_of
from ..errors import DataError, reason
from ..labelling.map_store import CLASS_PROBABILITIES, MAXIMA_INTERIOR, CompartmentMaps
from ..labelling.pixel_maps import MAX_MEDIAN
from ..labelling.thresholds import Thresholds
from ..tiling.lattice import Geometry
from ..tiling.patches import SMOOTHING_SIGMA
from ..tiling.pixel_grid import MODEL_MPP

CARD = "card.json"
FORMAT = 1
MAX_CARD_BYTES = 1 << 20
MAX_TEXT = 200
MAX_SAID = 600  # letters; the first problems are said
INPUTS = ("nuclear", "membrane")
NORMALISATION = "clahe"
KINDS = (MAXIMA_INTERIOR, CLASS_PROBABILITIES)
STEP = 16  # px; tiles are compared with each other by squares of it
MAX_TILE = 1024  # px; a batch of two has to fit a device
MAX_MAPS = 64
MAX_PIXELS = 10_000  # a threshold in pixels is far below

_TEXTS = ("name", "licence", "reference")
_NEEDED = (
    *("format", "name", "tile", "stride", "channels", "normalisation", "um_per_pixel"),
    *("outputs", "licence"),
)
_KNOWN = (*_NEEDED, "reference")
_OF_OUTPUT = ("kind", "maps", "thresholds")


@dataclass(frozen=True)
class Card:
    """What a network takes and gives.

    Attributes
    ----------
    name : str
    geometry : Geometry
        Of its tiles.
    n_channels : int
        How many of `INPUTS` it sees, normalised over the whole slide as Mesmer's are.
    compartments : dict
        Compartment ('cell', 'nucleus') to its maps, see `map_store.CompartmentMaps`.
    n_maps : int
        How many maps it gives of a tile.
    licence, reference : str
    """

    name: str
    geometry: Geometry
    n_channels: int
    compartments: Mapping[str, CompartmentMaps]
    n_maps: int
    licence: str
    reference: str = ""

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what it takes."""
        return self.geometry.tile, self.geometry.tile, self.n_channels

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Height, width and number of the maps that it gives of a tile."""
        return self.geometry.tile, self.geometry.tile, self.n_maps


def read_card(path: Path, shown: str) -> dict:
    """Return what a file of a card says, as JSON; `shown` names the network in messages.

    Raises
    ------
    DataError
        If there is no such file, or it is no JSON object.
    """
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError("it is too long")
        said = json.loads(path.read_bytes(), object_pairs_hook=_without_doubles)
        if not isinstance(said, dict):
            raise ValueError("it is no JSON object")
    except FileNotFoundError as error:
        raise DataError(f"{shown}: has no {CARD}; docs/networks.md says what is in it.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{shown}: {CARD} cannot be read ({reason(error)}).") from error
    return said


def _without_doubles(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{double!r:.99} stands there twice")
    return found


def card_of(said: Mapping, shown: str) -> Card:
    """Return the card that JSON is.

    Parameters
    ----------
    said : dict
        See `read_card`.
    shown : str
        Names the network in messages.

    Raises
    ------
    DataError
        If a field is missing, unknown or wrong; all that are, with what is allowed.
    """
    problems = [f"{name}: is missing" for name in _NEEDED if name not in said]
    problems += [_unknown(name, _KNOWN) for name in said if name not in _KNOWN]
    for name, (is_right, allowed) in _FIELDS.items():
        if name in said and not is_right(said[name]):
            problems.append(f"{name} {_shown(said[name])}: must be {allowed}")
    if not problems and 2 * said["stride"] < said["tile"]:
        problems.append(
            f"stride {said['stride']}: must be at least half of tile, {said['tile'] // 2}"
        )
    if not problems and said["stride"] > said["tile"] - STEP:
        problems.append(
            f"stride {said['stride']}: must leave {STEP} px of overlap or more, so at most"
            f" {said['tile'] - STEP}"
        )
    if isinstance(said.get("outputs"), dict):
        problems += _output_problems(said["outputs"])
    if problems:
        raise DataError(f"{shown}: {CARD}: {_first(problems)}.")
    outputs = {OPTIONS[option]: _maps_of(output) for option, output in said["outputs"].items()}
    planes = [plane for maps in outputs.values() for plane in maps.planes]
    return Card(
        said["name"],
        Geometry(said["tile"], said["stride"]),
        len(said["channels"]),
        {name: outputs[name] for name in OPTIONS.values() if name in outputs},
        max(planes) + 1,
        said["licence"],
        said.get("reference", ""),
    )


def check(card: Card, compartments: tuple[str, ...], slide: Mapping) -> None:
    """Raise `DataError` where a network does not fit what is asked of a slide.

    Parameters
    ----------
    card : Card
    compartments : tuple of str
        What is to be segmented: 'cell', 'nucleus' or both.
    slide : dict
        Facts of the slide.
    """
    if set(compartments) - set(card.compartments):
        has = option_of([name for name in OPTIONS.values() if name in card.compartments])
        raise DataError(
            f"{card.name}: its card has maps for --compartment {has} only; give that"
            f"{', or --expand_um, which makes cells of nuclei' if has == 'nuclear' else ''}."
        )
    if "cell" in compartments and card.n_channels == len(INPUTS) and not slide["membrane"]:
        raise DataError(
            f"{card.name}: needs a membrane channel for cells, and the slide"
            f" {slide['image']['name']} is given without; name one with --membrane."
        )


def _first(problems: list[str]) -> str:
    """Return as many as make a message that can be read."""
    n_said = 1
    while n_said < len(problems) and len("; ".join(problems[: n_said + 1])) <= MAX_SAID:
        n_said += 1
    left = len(problems) - n_said
    return "; ".join(problems[:n_said] + [f"and {left} more"] * bool(left))


def _maps_of(output: Mapping) -> CompartmentMaps:
    return CompartmentMaps(
        output["kind"], tuple(output["maps"]), Thresholds(**output["thresholds"])
    )


def _output_problems(outputs: Mapping) -> list[str]:
    problems = []
    for option, output in outputs.items():
        where = f"outputs {_shown(option)}"
        if option not in OPTIONS or not isinstance(output, dict):
            problems.append(
                f"{where}: must be {' or '.join(OPTIONS)}, each with {', '.join(_OF_OUTPUT)}"
            )
            continue
        problems += [f"{where}: {name} is missing" for name in _OF_OUTPUT if name not in output]
        problems += [
            f"{where}: {_unknown(name, _OF_OUTPUT)}" for name in output if name not in _OF_OUTPUT
        ]
        if "kind" in output and output["kind"] not in KINDS:
            shown = _shown(output["kind"])
            problems.append(f"{where}: kind {shown}: must be {' or '.join(KINDS)}")
        if "maps" in output and not _are_planes(output["maps"]):
            problems.append(
                f"{where}: maps {_shown(output['maps'])}: must be two numbers from 0 to"
                f" {MAX_MAPS - 1}, of those that the network gives: of {MAXIMA_INTERIOR} the maxima"
                f" and the interior, of {CLASS_PROBABILITIES} the cell and its edge"
            )
        if "thresholds" in output:
            problems += [f"{where}: {text}" for text in _threshold_problems(output)]
    return problems


def _threshold_problems(output: Mapping) -> list[str]:
    given = output["thresholds"]
    if not isinstance(given, dict):
        return [f"thresholds {_shown(given)}: must have {', '.join(_THRESHOLDS)}"]
    problems = [
        f"thresholds: {name} is missing"
        for name in _THRESHOLDS
        if name not in given and name != "median"
    ]
    problems += [
        f"thresholds: {_unknown(name, _THRESHOLDS)}" for name in given if name not in _THRESHOLDS
    ]
    for name, (is_right, allowed) in _THRESHOLDS.items():
        if name in given and not is_right(given[name]):
            problems.append(f"thresholds: {name} {_shown(given[name])}: must be {allowed}")
    if output.get("kind") == MAXIMA_INTERIOR and given.get("median", 1) != 1:
        problems.append(f"thresholds: median: is for {CLASS_PROBABILITIES}; leave it out")
    return problems


def _unknown(name: str, known: tuple[str, ...] | Mapping) -> str:
    return f"{_shown(name)}: is not among {', '.join(known)}"


def _shown(value: object) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


type Rule = tuple[Callable[[object], bool], str]


def _whole(low: int, high: int, multiple: int = 1) -> Rule:
    def is_right(value: object) -> bool:
        return type(value) is int and low <= value <= high and value % multiple == 0

    kind = f"a multiple of {multiple}" if multiple > 1 else "a whole number"
    return is_right, f"{kind} from {low} to {high}"


def _number(low: float, high: float) -> Rule:
    def is_right(value: object) -> bool:
        return type(value) in (int, float) and low <= value <= high

    return is_right, f"a number from {low:g} to {high:g}"


def _only(*values: object) -> Rule:
    def is_right(value: object) -> bool:
        return any(type(value) is type(one) and value == one for one in values)

    return is_right, " or ".join(map(json.dumps, values))


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= MAX_TEXT and value.isprintable()


def _is_mpp(value: object) -> bool:
    return type(value) in (int, float) and value == MODEL_MPP


def _are_planes(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and value[0] != value[1]
        and all(type(plane) is int and 0 <= plane < MAX_MAPS for plane in value)
    )


_FIELDS: dict[str, Rule] = {
    "format": _only(FORMAT),
    **dict.fromkeys(_TEXTS, (_text, f"a text on one line, of {MAX_TEXT} letters at most")),
    "tile": _whole(2 * STEP, MAX_TILE, STEP),
    "stride": _whole(STEP, MAX_TILE - STEP, STEP),
    "channels": _only(list(INPUTS[:1]), list(INPUTS)),
    "normalisation": _only(NORMALISATION),
    "um_per_pixel": (
        _is_mpp,
        f"{MODEL_MPP:g}, to which slides are resampled; train at that, or resample in the network",
    ),
    "outputs": (
        lambda value: isinstance(value, dict) and bool(value),
        f"an object with {' or '.join(OPTIONS)}, or both",
    ),
}
_THRESHOLDS: dict[str, Rule] = {
    "maxima_threshold": _number(0, 1e6),
    "interior_threshold": _number(0, 1),
    "interior_smooth": _number(0, SMOOTHING_SIGMA),
    "small_objects_threshold": _whole(0, MAX_PIXELS),
    "fill_holes_threshold": _whole(0, MAX_PIXELS),
    "radius": _whole(1, 100),
    "median": (
        lambda value: type(value) is int and 1 <= value <= MAX_MEDIAN and value % 2 == 1,
        f"an odd number from 1, for none, to {MAX_MEDIAN}",
    ),
}
