"""The slide's channels, beside the labels of formats that have a place for an image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

from ..handoff.step_files import check_facts
from ..slides.channel_choice import shown_channels
from ..slides.readers import reopen_slide
from ..slides.slide import Slide
from .zarr_pyramid import fill_pyramid

# What a viewer shows at first: of the pixels of a channel's smallest level, but its zeros
_SHOWN = 1.0, 99.8
# Of viewers that add colours up, more channels at once are a grey
N_ACTIVE = 4
_COLOURS = ("0000FF", "00FF00", "FF0000", "FFFFFF", "00FFFF", "FF00FF", "FFFF00")


@dataclass(frozen=True)
class Picture:
    """Channels of a slide: of the plane or projection that was segmented.

    Attributes
    ----------
    slide : Slide
        Open.
    channels : tuple of int
        Their indices.
    names : tuple of str
        Unique, as in the table of cells.
    places : dict
        Patches and regions, see `viewer.places.read_places`.
    """

    slide: Slide
    channels: tuple[int, ...]
    names: tuple[str, ...]
    places: Mapping[str, list] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels, in this machine's order of bytes."""
        return self.slide.dtype.newbyteorder("=")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return len(self.channels), self.slide.height, self.slide.width

    def fill(self, levels: Sequence[zarr.Array], folder: Path) -> list[dict]:
        """Write the channels to the levels of a pyramid, (c, y, x), one after the other.

        Parameters
        ----------
        levels : sequence of zarr.Array
            See `zarr_pyramid.fill_pyramid`.
        folder : Path
            Where a quarter of a channel lies while this works.

        Returns
        -------
        list of dict
            What NGFF's ``omero`` says of each channel.
        """
        described = []
        for number, (channel, name) in enumerate(zip(self.channels, self.names, strict=True)):
            ends = [np.inf, -np.inf]
            fill_pyramid(levels, self._rows_of(channel, ends), folder, (number,))
            self.slide.release(channel)
            low, high = shown_range(levels[-1][number])
            described.append(
                {
                    "label": name,
                    "color": _COLOURS[number % len(_COLOURS)],
                    "active": number < N_ACTIVE,
                    "window": {"min": ends[0], "max": ends[1], "start": low, "end": high},
                }
            )
        return described

    def _rows_of(self, channel: int, ends: list[float]) -> Callable[[int, int], np.ndarray]:
        """Return what reads rows of a channel, and keeps the least and the largest value."""

        def rows(y0: int, y1: int) -> np.ndarray:
            found = self.slide.read(channel, y0, y1)
            finite = found[np.isfinite(found)] if found.dtype.kind == "f" else found
            if finite.size:
                ends[:] = min(ends[0], float(finite.min())), max(ends[1], float(finite.max()))
            return found

        return rows


def shown_range(level: np.ndarray) -> tuple[float, float]:
    """Return the range of a channel to show at first, from some of its pixels."""
    values = level[np.isfinite(level) & (level != 0)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, _SHOWN))
    return (low, high) if low < high else (0.0, max(high, 1.0))


@contextmanager
def open_picture(
    images: Sequence[Path],
    table: Path,
    facts: dict,
    spec: str,
    places: Mapping[str, list] | None = None,
) -> Iterator[Picture]:
    """Open the channels of a slide that are wanted beside its labels.

    Parameters
    ----------
    images : sequence of Path
        The files of the slide.
    table : Path
        Its table of cells, for a message.
    facts : dict
        Of the table, see `cell_table.read_facts`.
    spec : str
        See `channel_choice.shown_channels`.
    places : dict, optional
        See `Picture`.

    Raises
    ------
    DataError
        If there is no such channel, or the slide is not the one that was measured.
    """
    known = check_facts(facts, table, "QUANTIFY", needs_image=True)
    names = [channel["name"] for channel in facts["channels"]]
    known = known | {"image": known["image"] | {"channels": names}}
    with reopen_slide(images, known) as slide:
        chosen = shown_channels(slide, spec)
        columns = {channel["index"]: channel["column"] for channel in facts["channels"]}
        indices = tuple(channel.index for channel in chosen)
        names = tuple(columns[index] for index in indices)
        yield Picture(slide, indices, names, places or {})
