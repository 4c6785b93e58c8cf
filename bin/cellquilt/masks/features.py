"""The features of a GeoJSON file one by one, however large it is."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..errors import DataError, reason

_GZIP = b"\x1f\x8b"
_READ = 1 << 20  # characters at a time
_MOST_OF_A_FEATURE = 1 << 25  # characters: outlines of a million corners
_MOST_BEFORE = 1 << 20  # characters before the first feature
_FEATURES = re.compile(r'"features"\s*:\s*\[')
_EXPORT = "export cells or detections as GeoJSON from QuPath, or give a label image"


def features(path: Path) -> Iterator[dict]:
    """Yield the features of a GeoJSON file in their order; memory holds one.

    Parameters
    ----------
    path : Path
        A FeatureCollection or a list of features, may be gzipped.

    Raises
    ------
    DataError
        No such file; damaged, or ended, before its list of features does.
    """
    try:
        with _open(path) as file:
            yield from _features(file, path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: is no GeoJSON ({reason(error)}); {_EXPORT}.") from error


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    return (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8-sig")


def _features(file: TextIO, path: Path) -> Iterator[dict]:
    text = file.read(_MOST_BEFORE).lstrip()
    found = _FEATURES.search(text)
    if not text.startswith("[") and not found:
        raise DataError(f"{path}: is no GeoJSON of features; {_EXPORT}.")
    at = 1 if text.startswith("[") else found.end()
    decoder, number = json.JSONDecoder(), 1
    while True:
        at = _next(text, at)
        if text[at : at + 1] == "]":
            return
        try:
            feature, at = decoder.raw_decode(text, at)
        except ValueError as error:
            more = file.read(_READ)
            if not more or len(text) - at > _MOST_OF_A_FEATURE:
                problem = "ends within" if not more else "has no JSON, or too much, in"
                raise DataError(
                    f"{path}: {problem} feature {number:,} ({reason(error)}); export it again."
                ) from error
            text, at = text[at:] + more, 0
            continue
        if not isinstance(feature, dict):
            raise DataError(f"{path}: feature {number:,} is none; {_EXPORT}.")
        yield feature
        number += 1


def _next(text: str, at: int) -> int:
    """Return where the next feature begins, or the list or the text ends."""
    while at < len(text) and text[at] in ", \n\r\t":
        at += 1
    return at
