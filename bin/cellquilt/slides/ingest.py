"""From a slide's channels to the normalised two-channel store and the facts about it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .. import provenance
from ..cli import Progress
from ..errors import DataError
from ..handoff import stores
from ..images.strips import STRIP_PIXELS, Scratch, strip_rows
from ..tiling.patches import block_lattice, block_statistics
from ..tiling.pixel_grid import MODEL_MPP, Grid
from . import normalise
from .channel_choice import refuse_shared_channel, resolve_channels
from .channel_content import ChannelContent, notices_of
from .checksums import checksums_of
from .notice import Notice
from .pixel_size import resolve_image_mpp
from .readers import open_slide
from .region_file import read_regions
from .selection import Selection
from .slide import Channel, Slide, check_finite

log = logging.getLogger("cellquilt")

MIN_MODEL_SIDE = 2


@dataclass(frozen=True)
class Request:
    """What a user asks of one slide.

    Attributes
    ----------
    sample : str
    image : Path or sequence of Path
        See `readers.open_slide`.
    nuclear, membrane : str
        Channels, see `channel_choice.resolve_channels`.
    image_mpp : float, optional
        Pixel size (um/px), in place of the file's own.
    nuclear_combine, combine : {'max', 'mean'}
        How several nuclear and several membrane channels become one.
    selection : Selection
    named_by : str, optional
        File that the names of `selection` are from.
    roi : Path, optional
        Regions of interest, see `region_file.read_regions`. The whole slide is normalised.
    checksummed : sequence of Path
        Files and folders whose SHA-256 is wanted, see `checksums.checksums_of`.
    """

    sample: str
    image: Path | Sequence[Path]
    nuclear: str
    membrane: str = ""
    image_mpp: float | None = None
    combine: str = "max"
    nuclear_combine: str = "max"
    selection: Selection = Selection()
    named_by: str | None = None
    roi: Path | None = None
    checksummed: Sequence[Path] = ()


@dataclass
class _Image:
    """Channels that become one of the two images of Mesmer's input."""

    role: str
    channels: tuple[Channel, ...]
    combine: str
    scales: list[float | None] = field(default_factory=list)

    @property
    def is_combined(self) -> bool:
        return len(self.channels) > 1


@dataclass
class _Source:
    """The images of Mesmer's input as rows of the slide, before normalisation."""

    slide: Slide
    images: list[_Image]
    contents: dict[int, ChannelContent] = field(default_factory=dict)

    @property
    def has_membrane(self) -> bool:
        return len(self.images) == 2

    @property
    def dtype(self) -> np.dtype:
        """The file's own dtype; float32 where several channels are combined."""
        combined = any(image.is_combined for image in self.images)
        return np.dtype(np.float32) if combined else self.slide.dtype

    def strips(self) -> Iterator[tuple[int, int]]:
        """Yield (y0, y1) of strips of the slide."""
        return _strips((self.slide.height, self.slide.width))

    def read(self, index: int, y0: int, y1: int) -> np.ndarray:
        """Return input rows [y0, y1) of the nuclear (0) or membrane (1) image."""
        image = self.images[index]
        if not image.is_combined:
            return self._pixels(image.channels[0], y0, y1).astype(self.dtype, copy=False)
        scaled = [
            self._pixels(channel, y0, y1).astype(np.float32) / np.float32(scale)
            for channel, scale in zip(image.channels, image.scales, strict=True)
            if scale is not None
        ]
        if not scaled:
            return np.zeros((y1 - y0, self.slide.width), np.float32)
        stack = np.stack(scaled)
        return stack.max(axis=0) if image.combine == "max" else stack.mean(axis=0)

    def _pixels(self, channel: Channel, y0: int, y1: int) -> np.ndarray:
        rows = self.slide.read(channel.index, y0, y1)
        if rows.dtype.kind == "f":
            check_finite(rows, self.slide, channel, y0)
        self.contents.setdefault(channel.index, ChannelContent()).add(rows, y0)
        return rows

    def ceiling(self, index: int) -> float | None:
        """Return where the pixels of an image were cut off, after all of them were read.

        None where they were not, and of several channels, which are combined.
        """
        image = self.images[index]
        found = None if image.is_combined else self.contents[image.channels[0].index].ceiling()
        return found and found[0]

    def notices(self, statistics: Sequence[normalise.Channel]) -> Iterator[Notice]:
        """Yield what is to be known of the channels, after all of them were read."""
        for image, found in zip(self.images, statistics, strict=True):
            for channel in image.channels:
                content, blank = self.contents[channel.index], found.constant
                yield from notices_of(content, self.slide, channel, image.role, blank)


def ingest(request: Request, store: Path, opened: Slide | None = None) -> dict:
    """Validate a slide, normalise what segmentation needs of it, and store that.

    Parameters
    ----------
    request : Request
    store : Path
        Where the store goes: ``codes`` (2, h, w) uint16 CLAHE codes on the model's grid,
        nuclear first, ``lut`` (2, 16384) float32 from code to network input, and ``blocks``,
        the statistics that patch quality control decides on.
    opened : Slide, optional
        The slide where it is in no file; it is closed in the end.

    Returns
    -------
    dict
        The facts of ``sample.json``.

    Raises
    ------
    DataError
        If the slide, a channel or the pixel size cannot be used.
    """
    with opened or open_slide(request.image, request.selection) as slide:
        images = [_image_of(slide, request.nuclear, "nuclear", request.nuclear_combine)]
        if request.membrane:
            images.append(_image_of(slide, request.membrane, "membrane", request.combine))
            refuse_shared_channel(slide, images[0].channels, images[1].channels)
        image_mpp, mpp_source = resolve_image_mpp(slide, request.image_mpp)
        grid = grid_of(slide, image_mpp)
        regions = regions_of(request, slide, image_mpp)
        source = _Source(slide, images)
        if not source.has_membrane:
            slide.notices.append(without_membrane(slide))
        facts = {
            "sample": request.sample,
            "image": {
                "name": slide.path.name,
                "size_bytes": slide.size_bytes,
                "height": slide.height,
                "width": slide.width,
                "dtype": str(slide.dtype),
                "channels": [channel.name for channel in slide.channels],
                **slide.selection.facts(),
                "named_by": request.named_by,
            },
            "image_mpp": image_mpp,
            "image_mpp_source": mpp_source,
            "regions": regions,
            **_facts_of(images),
            "model_mpp": MODEL_MPP,
            "model_height": grid.model_shape[0],
            "model_width": grid.model_shape[1],
            "provenance": [
                provenance.of_step(
                    "INGEST",
                    nuclear=request.nuclear,
                    nuclear_combine=request.nuclear_combine,
                    membrane=request.membrane,
                    membrane_combine=request.combine,
                    image_mpp=request.image_mpp,
                    **request.selection.facts(),
                    markers=request.named_by,
                    roi=request.roi and request.roi.name,
                )
            ],
        }
        if request.checksummed:
            facts["inputs"] = checksums_of(request.checksummed)
        facts["normalisation"] = _normalise(source, grid, store, facts)
    return facts


def grid_of(slide: Slide, image_mpp: float) -> Grid:
    """Return the pixel grids of a slide.

    Raises
    ------
    DataError
        If nothing would be left of it at the model's pixel size.
    """
    grid = Grid(slide.height, slide.width, image_mpp)
    if min(grid.model_shape) < MIN_MODEL_SIDE:
        raise DataError(
            f"{slide.path.name}: {slide.height} x {slide.width} px at {image_mpp} um/px is "
            f"too small to be segmented at {MODEL_MPP} um/px; check the pixel size."
        )
    return grid


def without_membrane(slide: Slide) -> Notice:
    """Return what is to be known of a slide without a membrane channel."""
    text = f"{slide.path.name}: no membrane channel is given; pictures show the nuclear one alone."
    return Notice("no_membrane_channel", text)


def regions_of(request: Request, slide: Slide, mpp: float) -> list[dict] | None:
    """Return the facts of the regions of interest; None where none is given.

    What is to be known of them is added to the slide's notices.

    Raises
    ------
    DataError
        See `region_file.read_regions`.
    """
    if request.roi is None:
        return None
    regions, notes = read_regions(request.roi, (slide.height, slide.width))
    slide.notices += [Notice("regions", f"{request.roi.name}: {note}.") for note in notes]
    return regions.facts(mpp)


def _image_of(slide: Slide, spec: str, role: str, combine: str) -> _Image:
    return _Image(role, resolve_channels(slide, spec, role), combine)


def _facts_of(images: Sequence[_Image]) -> dict:
    """Return the channels of each image, and how they are combined where they are."""
    found = {}
    for role in ("nuclear", "membrane"):
        image = next((image for image in images if image.role == role), None)
        found[role] = [asdict(channel) for channel in image.channels] if image else []
        found[f"{role}_combine"] = image.combine if image and image.is_combined else None
    return found


def _normalise(source: _Source, grid: Grid, store: Path, facts: dict) -> dict:
    """Run the passes over the slide and fill the store; return the statistics of both channels."""
    height, width = grid.model_shape
    for image in source.images:
        image.scales = _scales(source, image)
    limits = _limits(source) if grid.resized else None
    raw = [Scratch(store.parent, grid.model_shape, source.dtype) for _ in source.images]
    channels = [_copy_channel(source, i, grid, limits, image) for i, image in enumerate(raw)]
    source.slide.notices += source.notices(channels)
    for notice in source.slide.notices:
        log.warning("ingest: %s", notice.text)
    facts["notices"] = [asdict(notice) for notice in source.slide.notices]
    lattice = block_lattice(grid.model_shape)
    with stores.create(store, {"facts": facts}) as group:
        chunks = (1, stores.CHUNK, stores.CHUNK)
        codes = stores.new_array(group, "codes", (2, height, width), "uint16", chunks)
        lut = np.zeros((2, normalise.N_CODES), np.float32)
        statistics = []
        for index, channel in enumerate(channels):
            low, high = _equalise(raw[index], channel, codes, index)
            lut[index] = normalise.float_of_code(low, high)
            ceiling = source.ceiling(index)
            codes_of = {"code_low": low, "code_high": high}
            statistics.append({**asdict(channel), **codes_of, "ceiling": ceiling})
            blocks = block_statistics(raw[index], lattice, ceiling)
            for name, values in blocks.items():
                array = f"blocks/{index}/{name}"
                stores.new_array(group, array, values.shape, "float64", values.shape)[:] = values
        stores.new_array(group, "lut", lut.shape, "float32", lut.shape)[:] = lut
    scales = {f"{image.role}_scales": image.scales for image in source.images}
    return {"channels": statistics, "nuclear_scales": [], "membrane_scales": [], **scales}


def _scales(source: _Source, image: _Image) -> list[float | None]:
    """Return the slide-wide percentile by which each of several channels is divided."""
    if not image.is_combined:
        return []
    scales = []
    for channel in image.channels:
        top = normalise.TopValues(source.slide.height * source.slide.width)
        for y0, y1 in source.strips():
            top.add(source._pixels(channel, y0, y1))
        scales.append(top.value())
    return scales


def _limits(source: _Source) -> tuple[float, float]:
    """Return minimum and maximum over both images of the input, to which resizing clips.

    A membrane image that is not there counts as zeros, since deepcell takes it so.
    """
    low, high = (np.inf, -np.inf) if source.has_membrane else (0, 0)
    for index in range(len(source.images)):
        for y0, y1 in source.strips():
            rows = source.read(index, y0, y1)
            low, high = min(low, rows.min()), max(high, rows.max())
    return low, high


def _copy_channel(
    source: _Source,
    index: int,
    grid: Grid,
    limits: tuple[float, float] | None,
    raw: Scratch,
) -> normalise.Channel:
    """Copy one image to the model's grid in `raw` and gather its slide-wide statistics."""
    top = normalise.TopValues(raw.shape[0] * raw.shape[1])
    low, high = np.inf, -np.inf
    progress = Progress(f"ingest: read {source.images[index].role}, rows", raw.shape[0])
    for y0, y1 in _strips(raw.shape):
        rows = grid.to_model(lambda a, b: source.read(index, a, b), y0, y1, limits)
        raw[y0:y1] = rows
        top.add(rows)
        low, high = min(low, rows.min()), max(high, rows.max())
        progress.add(y1 - y0, rows.size)
    return normalise.channel_of(top, low, high, raw.dtype)


def _equalise(raw: Scratch, channel: normalise.Channel, codes, index: int) -> tuple[int, int]:
    """Fill one channel of the store with CLAHE codes; return the smallest and largest."""
    if channel.constant:
        return 0, 0
    height = raw.shape[0]
    low, high = normalise.N_CODES, 0
    progress = Progress("ingest: equalise, rows", height)
    for y0, y1 in _strips(raw.shape, stores.CHUNK):
        first, last = normalise.clahe_context(y0, y1, height)
        grey = normalise.grey_levels(raw[first:last], channel)
        rows = normalise.clahe_rows(grey, first, y0, y1)
        codes[index, y0:y1] = rows
        low, high = min(low, int(rows.min())), max(high, int(rows.max()))
        progress.add(y1 - y0, rows.size)
    return low, high


def _strips(shape: tuple[int, int], multiple: int = 128) -> Iterator[tuple[int, int]]:
    return strip_rows(shape, pixels=STRIP_PIXELS, multiple=multiple)
