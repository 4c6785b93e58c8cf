"""Opens slides, by the reader of their format.

To add a format, write a subclass of `Slide` in a file beside this one and add it to `READERS`. A
reader imports heavy libraries in its `open`, so that no format waits for the libraries of another.
"""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from ..images.strict_tifffile import DAMAGED
from .other_formats import hint_of
from .selection import AS_IT_IS, Selection
from .slide import Slide
from .tiff_slide import TiffSlide

# The first that recognises a path opens it.
READERS: tuple[type[Slide], ...] = (TiffSlide,)

_HEAD_BYTES = 4096


def open_slide(path: str | Path | Sequence[Path], selection: Selection = AS_IT_IS) -> Slide:
    """Open a slide and check all that can be checked without decoding pixels.

    Parameters
    ----------
    path : str or Path, or sequence of Path
        OME-TIFF, ImageJ hyperstack, QPTIFF, or TIFF with one page per channel. Of a slide in
        several files, all of them.
    selection : Selection
        Planes and scene; needed where there is more than one.

    Raises
    ------
    DataError
        Not a slide that can be read whole and without guessing; the message says what to do.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else list(path)
    head = _head(paths[0])
    for reader in READERS:
        if reader.recognises(paths, head):
            return reader.open(paths, selection)
    raise _unknown(paths[0], head)


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


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, none of a folder."""
    try:
        if path.is_dir():
            return b""
        if not path.is_file() and path.exists():
            raise DataError(f"{path}: not a file but a pipe or device; give the image itself")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; correct the path of the image") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise DataError(f"{path}: empty file; {DAMAGED}")
    return head


def _unknown(path: Path, head: bytes) -> DataError:
    """Return the error for a path that no reader recognises."""
    if path.is_dir():
        return DataError(f"{path}: cannot be read ({os.strerror(errno.EISDIR)})")
    from . import ome_xml  # with ome-types, which takes a second to import

    hint = hint_of(path, head) or ("convert it to OME-TIFF, for example by bfconvert (Bio-Formats)")
    if head.startswith(b"version https://git-lfs"):
        hint = "it is a Git LFS pointer: fetch the image itself by git lfs pull"
    elif re.match(rb"\s*<(!doctype\s+)?html", head, re.IGNORECASE):
        hint = "it is an HTML page, which a failed download leaves behind: download it again"
    elif ome_xml.is_ome_xml(head.decode("utf-8", "replace")):
        hint = f"it is the metadata of a multi-file OME-TIFF; {ome_xml.MULTI_FILE_ADVICE}"
    return DataError(f"{path}: not a TIFF; {hint}")
