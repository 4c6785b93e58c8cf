"""What is understood of a slide from its headers, and all that is wrong with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .. import cli
from ..errors import DataError, reason
from ..masks.readers import check_mask
from ..segmenters import DEFAULT
from ..slides.channel_choice import refuse_shared_channel, resolve_channels, shown_channels
from ..slides.ingest import Request, grid_of, regions_of, without_membrane
from ..slides.notice import Notice
from ..slides.pixel_size import resolve_image_mpp
from ..slides.readers import open_slide
from ..slides.slide import Slide
from ..tiling.lattice import DEFAULT as MESMERS_TILES
from ..tiling.lattice import Geometry
from ..tiling.regions import Regions
from .plan import Work


@dataclass
class Inspection:
    """What a check found of a slide; None or empty is what could not be told.

    Attributes
    ----------
    sample : str
    image : str, optional
        Name of its first file.
    files, size_bytes : int, optional
    height, width : int, optional
        Pixels.
    dtype : str, optional
    channels, nuclear, membrane : tuple of str
        Names of all channels, and of those that are segmented.
    image_mpp, image_mpp_source
        Pixel size (um/px), and where it is from, as in INGEST's facts.
    z, t, scene
        The planes that are read, and the image of several.
    regions : Regions, optional
        Of interest.
    notices : list of Notice
        What does not stop a run.
    problems : list of str
        What does.
    unseen : str
        Why it was not looked at.
    """

    sample: str
    image: str | None = None
    files: int | None = None
    size_bytes: int | None = None
    height: int | None = None
    width: int | None = None
    dtype: str | None = None
    channels: tuple[str, ...] = ()
    nuclear: tuple[str, ...] = ()
    membrane: tuple[str, ...] = ()
    image_mpp: float | None = None
    image_mpp_source: str | None = None
    z: int | str | None = None
    t: int | None = None
    scene: str | None = None
    regions: Regions | None = None
    notices: list[Notice] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unseen: str = ""

    @property
    def status(self) -> str:
        """Return 'ok', 'refused' or 'not looked at'."""
        return "refused" if self.problems else "not looked at" if self.unseen else "ok"

    def work(
        self,
        compartment: str,
        bundle: str | None,
        segmented: str | None = None,
        segmenter: str = DEFAULT,
        slide: str | None = None,
        tiles: Geometry = MESMERS_TILES,
    ) -> Work:
        """Return what there is to segment of it, which has no problem; see `Work`."""
        return Work(
            self.height,
            self.width,
            self.image_mpp,
            len(self.channels),
            len(self.nuclear) + len(self.membrane),
            compartment,
            bundle,
            self.regions,
            segmented,
            segmenter,
            slide,
            tiles,
        )


def inspect(
    sample: str,
    request: Callable[[], Request],
    own_masks: Mapping[str, Path] | None = None,
    shown: str = "",
) -> Inspection:
    """Return what is understood of a slide, without decoding a pixel.

    Parameters
    ----------
    sample : str
    request : callable
        Returns what INGEST would be asked; its `DataError` is a problem of the slide, too.
    own_masks : dict, optional
        By compartment, where they take the place of a segmenter's.
    shown : str
        Channels that EXPORT would be asked to write beside the labels, if any.
    """
    found = Inspection(sample)
    asked = _attempt(found, request)
    if asked is None:
        return found
    images = [asked.image] if isinstance(asked.image, str | Path) else list(asked.image)
    found.image, found.files = Path(images[0]).name, len(images)
    slide = _attempt(found, lambda: open_slide(asked.image, asked.selection))
    if slide is not None:
        with slide:
            _look(found, slide, asked, shown)
    elif (slide := _other_plane(asked)) is not None:
        with slide:
            _look(found, slide, asked, shown)
            found.z = found.t = None
    if found.height and found.width:
        size = found.height, found.width
        for name, path in (own_masks or {}).items():
            _attempt(found, partial(check_mask, path, size, name))
    return found


def _attempt[T](found: Inspection, look: Callable[[], T]) -> T | None:
    """Return what `look` does, or None where it has a problem, which is added."""
    try:
        return look()
    except DataError as error:
        found.problems.append(cli.printable(str(error)))
    except Exception as error:  # the other slides are to be looked at
        text = f"{found.image or found.sample}: cannot be read ({reason(error)})"
        found.problems.append(cli.printable(text))
    return None


def _other_plane(asked: Request) -> Slide | None:
    """Return a slide by its first plane, if it is the choice of one that was wrong.

    Channels and pixel size are the same for all. Without several channels the planes may be
    these, and nothing is known of them.
    """
    try:
        slide = open_slide(asked.image, replace(asked.selection, z=0, t=0))
    except Exception:
        return None
    if len(slide.channels) > 1:
        return slide
    slide.close()
    return None


def _look(found: Inspection, slide: Slide, asked: Request, shown: str) -> None:
    """Add what a slide is, and what does not fit what is asked of it."""
    found.size_bytes, found.height, found.width = slide.size_bytes, slide.height, slide.width
    found.dtype = str(slide.dtype)
    found.channels = tuple(channel.name for channel in slide.channels)
    found.z, found.t, found.scene = slide.selection.z, slide.selection.t, slide.selection.scene
    nuclear = _attempt(found, lambda: resolve_channels(slide, asked.nuclear, "nuclear")) or ()
    membrane = ()
    if asked.membrane:
        wanted = asked.membrane
        membrane = _attempt(found, lambda: resolve_channels(slide, wanted, "membrane")) or ()
    else:
        slide.notices.append(without_membrane(slide))
    _attempt(found, lambda: refuse_shared_channel(slide, nuclear, membrane))
    if shown:
        _attempt(found, lambda: shown_channels(slide, shown))
    found.nuclear = tuple(channel.name for channel in nuclear)
    found.membrane = tuple(channel.name for channel in membrane)
    size = _attempt(found, lambda: resolve_image_mpp(slide, asked.image_mpp))
    if size is not None:
        found.image_mpp, found.image_mpp_source = size
        _attempt(found, lambda: grid_of(slide, size[0]))
    regions = _attempt(found, lambda: regions_of(asked, slide, 1.0))
    found.regions = Regions.of({"sample": found.sample, "regions": regions})
    found.notices = slide.notices
