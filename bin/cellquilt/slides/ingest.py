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
from ..tiling.lattice import plan
from ..tiling.patches import block_statistics
from ..tiling.pixel_grid import MODEL_MPP, Grid
from . import normalise
from .channel_choice import refuse_shared_channel, resolve_channel, resolve_channels
from .channel_content import ChannelContent, notices_of
from .notice import Notice
from .pixel_size import resolve_image_mpp
from .readers import open_slide
from .slide import Channel, Slide, check_finite

log = logging.getLogger("cellquilt")

MIN_MODEL_SIDE = 2


@dataclass(frozen=True)
class Request:
    """What a user asks of one slide."""

    sample: str
    image: Path
    nuclear: str
    membrane: str = ""
    image_mpp: float | None = None
    combine: str = "max"
    z: int | None = None
    t: int | None = None


@dataclass
class _Source:
    """The two images of Mesmer's input as rows of the slide, before normalisation."""

    slide: Slide
    nuclear: Channel
    membrane: list[Channel]
    combine: str
    scales: list[float | None] = field(default_factory=list)
    contents: dict[int, ChannelContent] = field(default_factory=dict)

    @property
    def n_channels(self) -> int:
        return 2 if self.membrane else 1

    @property
    def dtype(self) -> np.dtype:
        """The file's own dtype; float32 where several membrane channels are combined."""
        return self.slide.dtype if len(self.membrane) < 2 else np.dtype(np.float32)

    def strips(self) -> Iterator[tuple[int, int]]:
        """Yield (y0, y1) of strips of the slide."""
        return _strips((self.slide.height, self.slide.width))

    def read(self, index: int, y0: int, y1: int) -> np.ndarray:
        """Return input rows [y0, y1) of the nuclear (0) or membrane (1) image."""
        if index == 0:
            return self._pixels(self.nuclear, y0, y1).astype(self.dtype, copy=False)
        if len(self.membrane) == 1:
            return self._pixels(self.membrane[0], y0, y1)
        scaled = [
            self._pixels(channel, y0, y1).astype(np.float32) / np.float32(scale)
            for channel, scale in zip(self.membrane, self.scales, strict=True)
            if scale is not None
        ]
        if not scaled:
            return np.zeros((y1 - y0, self.slide.width), np.float32)
        stack = np.stack(scaled)
        return stack.max(axis=0) if self.combine == "max" else stack.mean(axis=0)

    def _pixels(self, channel: Channel, y0: int, y1: int) -> np.ndarray:
        rows = self.slide.read(channel.index, y0, y1)
        if rows.dtype.kind == "f":
            check_finite(rows, self.slide, channel, y0)
        self.contents.setdefault(channel.index, ChannelContent()).add(rows, y0)
        return rows

    def ceiling(self, index: int) -> float | None:
        """Return where the pixels of an image were cut off, after all of them were read.

        None where they were not, and of several membrane channels, which are combined.
        """
        channel = self.nuclear if index == 0 else self.membrane[0]
        combined = index == 1 and len(self.membrane) > 1
        found = None if combined else self.contents[channel.index].ceiling()
        return found and found[0]

    def notices(self, statistics: Sequence[normalise.Channel]) -> Iterator[Notice]:
        """Yield what is to be known of the channels, after all of them were read."""
        for channel in [self.nuclear, *self.membrane]:
            role = "nuclear" if channel == self.nuclear else "membrane"
            blank = statistics[role == "membrane"].constant
            yield from notices_of(self.contents[channel.index], self.slide, channel, role, blank)


def ingest(request: Request, store: Path) -> dict:
    """Validate a slide, normalise what segmentation needs of it, and store that.

    Parameters
    ----------
    request : Request
    store : Path
        Where the store goes: ``codes`` (2, h, w) uint16 CLAHE codes on the model's grid,
        nuclear first, ``lut`` (2, 16384) float32 from code to network input, and ``blocks``,
        the statistics that patch quality control decides on.

    Returns
    -------
    dict
        The facts of ``sample.json``.

    Raises
    ------
    DataError
        If the slide, a channel or the pixel size cannot be used.
    """
    with open_slide(request.image, z=request.z, t=request.t) as slide:
        nuclear = resolve_channel(slide, request.nuclear, "nuclear")
        membrane = resolve_channels(slide, request.membrane, "membrane") if request.membrane else []
        refuse_shared_channel(slide, nuclear, membrane)
        image_mpp, mpp_source = resolve_image_mpp(slide, request.image_mpp)
        grid = Grid(slide.height, slide.width, image_mpp)
        if min(grid.model_shape) < MIN_MODEL_SIDE:
            raise DataError(
                f"{slide.path.name}: {slide.height} x {slide.width} px at {image_mpp} um/px is "
                f"too small to be segmented at {MODEL_MPP} um/px; check the pixel size."
            )
        if not membrane:
            text = f"{slide.path.name}: no membrane channel is given: nuclei alone are segmented."
            slide.notices.append(Notice("no_membrane_channel", text))
        source = _Source(slide, nuclear, membrane, request.combine)
        facts = {
            "sample": request.sample,
            "image": {
                "name": request.image.name,
                "size_bytes": slide.size_bytes,
                "height": slide.height,
                "width": slide.width,
                "dtype": str(slide.dtype),
                "channels": [channel.name for channel in slide.channels],
                "z": slide.z,
                "t": slide.t,
            },
            "image_mpp": image_mpp,
            "image_mpp_source": mpp_source,
            "nuclear": asdict(nuclear),
            "membrane": [asdict(channel) for channel in membrane],
            "membrane_combine": request.combine if len(membrane) > 1 else None,
            "model_mpp": MODEL_MPP,
            "model_height": grid.model_shape[0],
            "model_width": grid.model_shape[1],
            "provenance": [
                provenance.of_step(
                    "INGEST",
                    nuclear=request.nuclear,
                    membrane=request.membrane,
                    membrane_combine=request.combine,
                    image_mpp=request.image_mpp,
                    z=request.z,
                    t=request.t,
                )
            ],
        }
        facts["normalisation"] = _normalise(source, grid, store, facts)
    return facts


def _normalise(source: _Source, grid: Grid, store: Path, facts: dict) -> dict:
    """Run the passes over the slide and fill the store; return the statistics of both channels."""
    height, width = grid.model_shape
    source.scales = _membrane_scales(source)
    limits = _limits(source) if grid.resized else None
    raw = [Scratch(store.parent, grid.model_shape, source.dtype) for _ in range(source.n_channels)]
    channels = [_copy_channel(source, i, grid, limits, image) for i, image in enumerate(raw)]
    source.slide.notices += source.notices(channels)
    for notice in source.slide.notices:
        log.warning("ingest: %s", notice.text)
    facts["notices"] = [asdict(notice) for notice in source.slide.notices]
    lattice = plan(height, width)
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
    return {"channels": statistics, "membrane_scales": source.scales}


def _membrane_scales(source: _Source) -> list[float | None]:
    """Return the slide-wide percentile by which each of several membrane channels is divided."""
    if len(source.membrane) < 2:
        return []
    scales = []
    for channel in source.membrane:
        top = normalise.TopValues(source.slide.height * source.slide.width)
        for y0, y1 in source.strips():
            top.add(source._pixels(channel, y0, y1))
        scales.append(top.value())
    return scales


def _limits(source: _Source) -> tuple[float, float]:
    """Return minimum and maximum over both images of the input, to which resizing clips.

    A membrane image that is not there counts as zeros, since deepcell takes it so.
    """
    low, high = (np.inf, -np.inf) if source.membrane else (0, 0)
    for index in range(source.n_channels):
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
    progress = Progress(f"ingest: read {('nuclear', 'membrane')[index]}, rows", raw.shape[0])
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
