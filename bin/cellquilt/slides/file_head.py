"""What the first bytes of a file say of its kind, and the refusal of one that is no slide."""

import re
from pathlib import Path

from ..errors import DataError
from ..images.strict_tifffile import DAMAGED
from .other_formats import hint_of

_HEAD_BYTES = 4096
# What programs leave beside images, but for hidden files
_NO_IMAGES = {".csv", ".tsv", ".txt", ".xml", ".json", ".db", ".ini"}
_TIFF = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_OME_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:.*<)?(\w+:)?OME[\s>]", re.DOTALL)


def head_of(path: Path) -> bytes:
    """Return the first 4,096 bytes of a file, none of a folder.

    Raises
    ------
    DataError
        No such file, none that can be read, or an empty one.
    """
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


def may_be_image(path: Path) -> bool:
    """Return whether a file in a folder of images should be one, by its name."""
    return path.suffix.lower() not in _NO_IMAGES


def is_tiff(head: bytes) -> bool:
    """Return whether a file begins as TIFF or BigTIFF of either byte order."""
    return head[:4] in _TIFF


def is_companion(head: bytes) -> bool:
    """Return whether a file begins as OME-XML that is a text of its own, beside its TIFFs."""
    return _OME_XML.match(head) is not None


def not_a_tiff(path: Path, head: bytes) -> DataError:
    """Return the error for a file that is none, with what it is instead."""
    hint = hint_of(path, head) or "convert it to OME-TIFF, for example by bfconvert (Bio-Formats)"
    if head.startswith(b"version https://git-lfs"):
        hint = "it is a Git LFS pointer: fetch the image itself by git lfs pull"
    elif re.match(rb"\s*<(!doctype\s+)?html", head, re.IGNORECASE):
        hint = "it is an HTML page, which a failed download leaves behind: download it again"
    return DataError(f"{path}: not a TIFF; {hint}")
