"""Opens slides, by the reader of their format.

To add a format, write a subclass of `Slide` in a file beside this one and add it to `READERS`. A
reader imports heavy libraries in its `open`, so that no format waits for the libraries of another.
"""

from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from .channel_set import ChannelSet
from .file_head import head_of, not_a_tiff
from .selection import AS_IT_IS, Selection
from .slide import Slide
from .tiff_slide import TiffSlide
from .zarr_slide import ZarrSlide

# The first that recognises a path opens it.
READERS: tuple[type[Slide], ...] = (TiffSlide, ZarrSlide, ChannelSet)


def open_slide(path: str | Path | Sequence[Path], selection: Selection = AS_IT_IS) -> Slide:
    """Open a slide and check all that can be checked without decoding pixels.

    Parameters
    ----------
    path : str or Path, or sequence of Path
        OME-TIFF, ImageJ hyperstack, QPTIFF, TIFF with one page per channel, or OME-Zarr. Of a
        slide in several files, all of them, or their folder; of an OME-TIFF of several files, any
        of them.
    selection : Selection
        Planes and scene; needed where there is more than one.

    Raises
    ------
    DataError
        Not a slide that can be read whole and without guessing; the message says what to do.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else list(path)
    head = head_of(paths[0]) if len(paths) == 1 else b""
    for reader in READERS:
        if reader.recognises(paths, head):
            return reader.open(paths, selection)
    raise not_a_tiff(paths[0], head)


def reopen_slide(path: str | Path | Sequence[Path], facts: dict) -> Slide:
    """Open a slide that INGEST has read, with the same selection.

    Parameters
    ----------
    path : str or Path, or sequence of Path
    facts : dict
        INGEST's facts of the slide, see `step_files.read_facts`.

    Raises
    ------
    DataError
        As `open_slide`, and if size or channels are not those of the facts.
    """
    image = facts["image"]
    slide = open_slide(path, Selection.of_facts(image))
    size = image["height"], image["width"]
    if (slide.height, slide.width) == size and (
        [channel.name for channel in slide.channels] == image["channels"]
    ):
        return slide
    slide.close()
    raise DataError(
        f"{slide.path}: is {slide.height} x {slide.width} px with {len(slide.channels)} "
        f"channels, and sample {facts['sample']} was {size[0]} x {size[1]} px with "
        f"{len(image['channels'])} when it was segmented; give the same image."
    )
