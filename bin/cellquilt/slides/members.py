"""The files of an OME-TIFF of several: which one has the metadata, and where the others are.

Source: OME-TIFF specification, "Multi-file OME-TIFF filesets": a ``UUID`` names the file of a
plane, and ``BinaryOnly`` the one with the metadata, which may be a text beside the TIFFs (the
companion).
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from ome_types.model import OME, TiffData

from ..errors import DataError
from . import ome_xml
from .file_head import may_be_image
from .notice import Notice
from .selection import listed, one_line
from .tiff_files import Source, TiffFiles

_ELSEWHERE = re.compile(r"[/\\\x00-\x1f]|^\.{1,2}$")
_SUFFIXES = {".tif", ".tiff", ".ome", ".btf", ".tf2", ".tf8"}
_MAX_BESIDE = 1000  # files of a folder that are asked for a UUID


def is_part(source: Source) -> bool:
    """Return whether a file says that it is one of several."""
    if source.ome is None:
        return False
    keys = _keys(source.ome)
    return source.ome.binary_only is not None or not source.pages or not _is_one_file(keys)


def _keys(ome: OME) -> list[tuple[str, str]]:
    """Return UUID and name of each file that OME-XML names, in its order."""
    blocks = [block for image in ome.images for block in image.pixels.tiff_data_blocks]
    return list(dict.fromkeys(_key(block.uuid) for block in blocks if block.uuid is not None))


def _key(uuid: TiffData.UUID) -> tuple[str, str]:
    return uuid.value.lower(), uuid.file_name or ""


def _is_one_file(keys: Sequence[tuple[str, str]]) -> bool:
    """Return whether UUIDs and names are those of one file, some of them left out."""
    return len({uuid for uuid, _ in keys}) <= 1 and len({name for _, name in keys if name}) <= 1


def _quoted(name: str) -> str:
    return one_line(name)[:99]


class Members:
    """The files of an OME-TIFF, found from one of them.

    Parameters
    ----------
    files : TiffFiles
    named : Source
        With OME-XML.
    given : sequence of Path
        All files that are given, the named one among them. Others may lie beside it.

    Attributes
    ----------
    notices : list of Notice
        On those that may be of another slide.

    Raises
    ------
    DataError
        A file that is not there, or one that is given and not named.
    """

    def __init__(self, files: TiffFiles, named: Source, given: Sequence[Path]):
        self._files, self._named = files, named
        self._given = {path.name: path for path in given}
        self._images = [path for path in given if may_be_image(path)]
        self._missing: list[str] = []
        self.notices: list[Notice] = []
        self._holder = self._holder_of_metadata()
        self._of = self._all_found()
        self._refuse_others()

    def images(self) -> list[ome_xml.OmeImage]:
        """Return the images that the metadata describe; a `ome_xml.File` is a `Source`."""
        return ome_xml.images(self._holder.ome, self._holder.path, self._file_of)

    def _file_of(self, uuid: TiffData.UUID | None) -> Source:
        if uuid is not None:
            return self._of[_key(uuid)]
        if not self._holder.pages:
            raise DataError(
                f"{self._holder.path}: does not say in which TIFF its planes are; name the TIFF, or"
                " export the slide again"
            )
        return self._holder

    def _holder_of_metadata(self) -> Source:
        binary = self._named.ome.binary_only
        if binary is None:
            return self._named
        holder = self._find(binary.metadata_file, binary.uuid.lower())
        self._refuse_missing()
        if holder.ome is None or holder.ome.binary_only is not None:
            raise DataError(
                f"{self._named.path}: says that its metadata are in {holder.path.name}, which has"
                " none; export the slide again"
            )
        return holder

    def _all_found(self) -> dict[tuple[str, str], Source]:
        """Return the file of each UUID and name in the metadata."""
        holder, keys = self._holder, _keys(self._holder.ome)
        names = {name for _, name in keys}
        # One file that names itself may have been renamed
        is_itself = holder.uuid in (None, *dict(keys)) or holder.path.name in names
        if holder.pages and is_itself and _is_one_file(keys):
            return dict.fromkeys(keys, holder)
        found = {}
        for uuid, name in keys:
            is_renamed = uuid == self._named.uuid and self._named.path.name not in names
            found[uuid, name] = self._named if is_renamed else self._find(name, uuid)
        self._refuse_missing()
        return found

    def _find(self, name: str, uuid: str) -> Source | None:
        """Return the file of a name or, where its UUID is another, of a UUID; None if missing."""
        if _ELSEWHERE.search(name):
            raise DataError(
                f"{self._named.path}: names '{_quoted(name)}' as another of its files; all of"
                " them must lie in one folder, and be named without it"
            )
        path = self._given.get(name, self._named.path.parent / name)
        # Path.is_file raises where a name is too long
        by_name = self._files.open(path) if os.path.isfile(path) else None
        if by_name and by_name.uuid in (None, uuid):
            return by_name
        by_uuid = next(self._with(uuid), None)
        if by_name and not by_uuid and by_name is not self._named:
            text = (
                f"{name}: has another UUID than {self._named.path.name} gives it; check that both"
            )
            self.notices.append(Notice("member_uuid_differs", f"{text} are of one slide."))
        if not by_name and not by_uuid:
            self._missing.append(name or uuid)
        return by_uuid or by_name

    def _with(self, uuid: str) -> Iterator[Source]:
        """Yield the files that have a UUID: of those given, or else of those beside."""
        for path in self._images:
            if self._files.open(path).uuid == uuid:
                yield self._files.open(path)
        if len(self._given) == 1 and uuid in self._beside:
            yield self._files.open(self._beside[uuid])

    @cached_property
    def _beside(self) -> dict[str | None, Path]:
        """The files beside the named one by their UUID."""
        found, beside = {}, []
        with suppress(OSError):
            beside = list(self._named.path.parent.iterdir())
        for path in sorted(p for p in beside if p.suffix.lower() in _SUFFIXES)[:_MAX_BESIDE]:
            with suppress(DataError, OSError), TiffFiles() as files:
                found.setdefault(files.open(path).uuid, path)
        return found

    def _refuse_missing(self) -> None:
        if self._missing:
            names = listed([f"'{_quoted(name)}'" for name in self._missing])
            raise DataError(
                f"{self._named.path}: is one file of an OME-TIFF of several, and"
                f" {self._named.path.parent} has no {names}; put all of its files into one folder"
            )

    def _refuse_others(self) -> None:
        """Refuse an image that is given and not named, so that no part of a slide is left out."""
        known = {source.path for source in (self._holder, *self._of.values())}
        for path in self._images:
            if path not in known:
                raise DataError(
                    f"{path}: is not among the files that {self._holder.path.name} names as those"
                    " of one OME-TIFF; leave it out, or give each slide a folder"
                )
