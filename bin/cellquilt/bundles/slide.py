"""A slide of several that a script is given, as JSON on its standard input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, reason
from ..segmenters import DEFAULT
from ..slides.ingest import Request
from ..slides.markers import read_markers
from ..slides.selection import Selection, z_of
from ..tiling.lattice import DEFAULT as MESMERS_TILES
from ..tiling.lattice import Geometry

_EMPTY = (None, "")


@dataclass(frozen=True)
class Combining:
    """What is the same of all slides: how channels lie, and how several become one.

    Attributes
    ----------
    nuclear, membrane : {'max', 'mean'}
    axis : {'C', 'Z', 'T'}
    checksum : bool
        Whether the SHA-256 of the files is wanted.
    """

    nuclear: str = "max"
    membrane: str = "max"
    axis: str = "C"
    checksum: bool = False


@dataclass(frozen=True)
class Slide:
    """A slide of a bundle, and what segments it.

    Attributes
    ----------
    sample : str
        Of the results.
    images : list of Path
        See `slides.readers.open_slide`.
    nuclear, membrane : str
    image_mpp : float, optional
        All three as in `slides.ingest.Request`.
    compartment : {'whole-cell', 'nuclear', 'both'}
    segmented : {'nuclear'}, optional
        What the network segments of ``both``, where cells are nuclei that are grown.
    segmenter : str
    slide : str, optional
        Name of the slide where it has results of several segmenters. They follow each other, with
        equal attributes but for `sample`, `compartment`, `segmented`, `segmenter`, `tile` and
        `stride`.
    tile, stride : int, optional
        Side and distance of the network's tiles in model pixels, where they are not Mesmer's.
    columns : dict
        The user's, see `cells.cell_table.read_columns`.
    z, t, scene
        As in `slides.selection.Selection`.
    markers : Path, optional
        See `slides.markers.read_markers`.
    roi : Path, optional
        See `slides.region_file.read_regions`.
    cell_mask, nucleus_mask : Path, optional
        Masks of one's own, see `masks.readers.open_mask`.
    truth : list of Path
        Of a generated one, ``cell_truth.ome.tif`` and ``nucleus_truth.ome.tif``.
    """

    sample: str
    images: Sequence[Path]
    nuclear: str
    membrane: str = ""
    image_mpp: float | None = None
    compartment: str = "both"
    segmented: str | None = None
    segmenter: str = DEFAULT
    slide: str | None = None
    tile: int | None = None
    stride: int | None = None
    columns: Mapping[str, str | float | None] = field(default_factory=dict)
    z: int | str | None = None
    t: int | None = None
    scene: str | None = None
    markers: Path | None = None
    roi: Path | None = None
    cell_mask: Path | None = None
    nucleus_mask: Path | None = None
    truth: Sequence[Path] = ()

    @property
    def name(self) -> str:
        """Name of the slide."""
        return self.slide or self.sample

    @property
    def tiles(self) -> Geometry:
        """Of the network that segments it."""
        return Geometry(self.tile, self.stride) if self.tile and self.stride else MESMERS_TILES

    @property
    def own_masks(self) -> dict[str, Path]:
        """Masks of one's own by compartment."""
        given = {"cell": self.cell_mask, "nucleus": self.nucleus_mask}
        return {name: path for name, path in given.items() if path is not None}

    def selection(self, channels_axis: str) -> Selection:
        """Return what of its files is the slide."""
        names = read_markers(self.markers) if self.markers else None
        return Selection(self.z, self.t, self.scene, channels_axis, names)

    def request(self, channels: Combining) -> Request:
        """Return what INGEST is asked of it.

        Raises
        ------
        DataError
            If the names of its channels cannot be read.
        """
        return Request(
            self.name,
            self.images,
            self.nuclear,
            self.membrane,
            self.image_mpp,
            channels.membrane,
            channels.nuclear,
            self.selection(channels.axis),
            self.markers and self.markers.name,
            self.roi,
            inputs_of(self.images, self.markers, self.roi) if channels.checksum else (),
        )


def inputs_of(images: Sequence[Path], markers: Path | None, roi: Path | None) -> list[Path]:
    """Return all files that INGEST is given of a slide."""
    return [*images, *(path for path in (markers, roi) if path is not None)]


def slides_of(text: str) -> list[Slide]:
    """Return the slides of a JSON list of objects, whose keys are the attributes of `Slide`.

    Raises
    ------
    DataError
        If it is no such list.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, list):
            raise ValueError("no list")
        given = [{key: v for key, v in row.items() if v not in _EMPTY} for row in found]
        return [Slide(**row | _files_of(row)) for row in given]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(f"standard input: has no slides as JSON ({reason(error)}).") from error


def _files_of(row: dict) -> dict:
    """Return what a slide's object has as paths and as numbers."""
    paths = {key: [Path(name) for name in row.get(key, ())] for key in ("images", "truth")}
    single = ("markers", "roi", "cell_mask", "nucleus_mask")
    files = {key: Path(row[key]) for key in single if key in row}
    plane = {"z": z_of(str(row["z"]))} if "z" in row else {}
    return paths | files | plane
