"""What of a file is the slide: its scene, its planes along Z and T, and what its channels are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import DataError

PROJECTIONS = ("max", "mean")
AXES = "CZT"


@dataclass(frozen=True)
class Selection:
    """What a user says of a file that holds more than one plane per channel.

    Attributes
    ----------
    z : int, 'max', 'mean' or None
        0-based plane along Z, or the projection over all of them.
    t : int or None
        0-based plane along T.
    scene : str or None
        Name or 0-based index of one of several images.
    channels_axis : {'C', 'Z', 'T'}
        Axis along which the channels lie.
    names : tuple of str, optional
        Of the channels, in place of the file's own; see `markers.read_markers`.
    """

    z: int | str | None = None
    t: int | None = None
    scene: str | None = None
    channels_axis: str = "C"
    names: tuple[str, ...] | None = None

    def facts(self) -> dict[str, int | str | None]:
        """Return all but the names, as INGEST's facts have them in ``image``."""
        return {
            "z": self.z,
            "t": self.t,
            "scene": self.scene,
            "channels_axis": self.channels_axis,
        }

    @classmethod
    def of_facts(cls, image: Mapping) -> "Selection":
        """Return the selection of ``image`` in INGEST's facts, see `facts`."""
        names = tuple(image["channels"]) if image.get("named_by") else None
        axis = image.get("channels_axis", "C")
        return cls(image.get("z"), image.get("t"), image.get("scene"), axis, names)


AS_IT_IS = Selection()


def z_of(text: str) -> int | str:
    """Return a plane along Z or a projection, as it is given on a command line."""
    if text in PROJECTIONS:
        return text
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    raise ValueError(f"'{text}' is neither a plane (from 0) nor one of {', '.join(PROJECTIONS)}")


def choose_planes(
    path: Path, sizes: Mapping[str, int], selection: Selection, names: Sequence[str] = ()
) -> tuple[list[int], int]:
    """Return the 0-based planes along Z that are read, and the one along T.

    Parameters
    ----------
    path : Path
        The slide, for the message.
    sizes : dict of str to int
        Number of planes along C, Z and T.
    selection : Selection
    names : sequence of str
        Of the planes, where they look like names of channels, see `channel_like`.

    Returns
    -------
    (list of int, int)
        Several planes along Z only for a projection.

    Raises
    ------
    DataError
        No such plane, or none given where there are several.
    """
    if selection.z in PROJECTIONS:
        zs = list(range(sizes["Z"]))
    else:
        zs = [_index_along("Z", selection.z, sizes, path, names)]
    return zs, _index_along("T", selection.t, sizes, path, names)


def _index_along(
    axis: str, index: int | None, sizes: Mapping[str, int], path: Path, names: Sequence[str]
) -> int:
    size, option = sizes[axis], axis.lower()
    if index is None and size == 1:
        return 0
    if index is None:
        projection = f", or --z {' or '.join(PROJECTIONS)} over all" if axis == "Z" else ""
        hint = f"; {as_channels(axis, names)}" if sizes.get("C") == 1 else ""
        raise DataError(
            f"{path}: holds {size} planes along {axis}, Cellquilt segments one:"
            f" choose it with --{option} (0 to {size - 1}{projection}){hint}"
        )
    if not 0 <= index < size:
        raise DataError(f"{path}: no plane {index} along {axis}; --{option} may be 0 to {size - 1}")
    return index


def file_axes(path: Path, sizes: Mapping[str, int], selection: Selection) -> str:
    """Return the axes of a file that are the slide's C, Z and T: 'ZCT' with channels along Z.

    Raises
    ------
    DataError
        Channels lie along another axis than C, and along C, too.
    """
    axis = selection.channels_axis
    if axis == "C" or sizes[axis] == 1:
        return AXES
    if sizes["C"] > 1:
        raise DataError(
            f"{path}: holds {sizes['C']} planes along C and {sizes[axis]} along {axis};"
            f" with --channels_axis {axis} it may hold one along C. Leave that out"
        )
    return AXES.translate(str.maketrans(f"C{axis}", f"{axis}C"))


def as_channels(axis: str, names: Sequence[str]) -> str:
    """Return how to read planes along `axis` as channels, for a message."""
    suggest = f", as their names suggest ({listed([f'{name:.30}' for name in names])})"
    return f"if they are channels{suggest if names else ''}, add --channels_axis {axis}"


def channel_like(names: Sequence[str | None]) -> bool:
    """Return whether planes along Z or T have names as channels do: no two alike, not numbered."""
    given = [one_line(name) for name in names]
    if len(given) < 2 or not all(given) or len(set(given)) < len(given):
        return False
    return len({re.sub(r"\d+", "", name) for name in given}) > 1


def choose_scene(path: Path, scenes: Sequence[tuple[str | None, str]], scene: str) -> int:
    """Return the index of the scene that a user names.

    Parameters
    ----------
    path : Path
    scenes : sequence of (str or None, str)
        Name and size of each, in the file's order.
    scene : str
        Name (whole, in any case) or 0-based index; a name wins over an index.

    Raises
    ------
    DataError
        No such scene, or several of that name.
    """
    wanted = scene.strip().casefold()
    named = [k for k, (name, _) in enumerate(scenes) if one_line(name).casefold() == wanted]
    if len(named) == 1:
        return named[0]
    if not named and wanted.isdecimal() and int(wanted) < len(scenes):
        return int(wanted)
    what = f"several scenes are called '{scene:.99}'" if named else f"no scene '{scene:.99}'"
    raise DataError(f"{path}: {what}; --scene may be {scenes_listed(scenes)}")


class Image(Protocol):
    """One of several images of a file."""

    name: str | None
    height: int
    width: int
    size: str


def slide_among[T: Image](path: Path, images: Sequence[T], scenes: Sequence[Image]) -> T:
    """Return the only image that can be the slide.

    Parameters
    ----------
    path : Path
    images : sequence of Image
        Of which one may be the slide.
    scenes : sequence of Image
        All in the file, for the message.

    Raises
    ------
    DataError
        Several of like size.
    """
    largest, *others = sorted(images, key=lambda image: -image.height * image.width)
    # A level of a pyramid or a thumbnail has at most half the side, rounded up.
    if any(3 * o.height * o.width > largest.height * largest.width for o in others):
        listing = scenes_listed([(image.name, image.size) for image in scenes])
        raise DataError(
            f"{path}: holds several images and none is clearly the slide; choose one with"
            f" --scene: {listing}"
        )
    return largest


def scenes_listed(scenes: Sequence[tuple[str | None, str]]) -> str:
    """Return scenes with index, name and size, for a message."""
    return listed(
        [
            f"{index}{f' ({one_line(name):.40})' if one_line(name) else ''}: {size} px"
            for index, (name, size) in enumerate(scenes)
        ],
        most=5,
    )


def one_line(name: str | None) -> str:
    """Return a name without line breaks and control characters, for tables and messages."""
    return " ".join(re.split(r"[\s\x00-\x1f\x7f-\x9f]+", name or "")).strip()


def listed(items: Sequence[str], most: int = 3) -> str:
    """Return the first `most` items for a message, with an ellipsis where there are more."""
    return ", ".join([*items[:most], *["..."] * (len(items) > most)])
