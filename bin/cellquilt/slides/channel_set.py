"""The reader of slides in several files: one channel each, or an OME-TIFF of several."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from .file_head import head_of, is_companion, is_tiff, may_be_image, not_a_tiff
from .pixel_size import differ
from .selection import Selection, listed
from .tiff_slide import TiffSlide

if TYPE_CHECKING:
    from .tiff_files import TiffFiles
    from .tiff_stack import Stack

_ZARR = (".zgroup", ".zattrs", "zarr.json")
_TEXTS = {".ome", ".xml"}  # of an OME-TIFF's metadata
_NO_IMAGES = "holds no images of a channel each"
_MAX_FILES = 5000  # a panel has a hundred channels, a stack fewer planes
_SUFFIX = re.compile(r"(\.ome)?\.(tiff?|btf|tf[28]|qptiff)$", re.IGNORECASE)


class ChannelSet(TiffSlide):
    """Files in a folder or list: each a channel, named after the file, in natural order of names.

    Where one of them says that it is part of an OME-TIFF, they are the files of that.
    """

    @staticmethod
    def recognises(paths: Sequence[Path], head: bytes) -> bool:
        """Return whether these are several files, or a folder that is no Zarr."""
        (path, *others) = paths
        is_zarr = any(os.path.exists(path / name) for name in _ZARR)
        return bool(others) or os.path.isdir(path) and not is_zarr

    @staticmethod
    def _stack_of(files: "TiffFiles", paths: Sequence[Path], selection: Selection) -> "Stack":
        from .members import is_part
        from .tiff_stack import find_stack

        found = _files_of(paths)
        images = _images_among(found, paths[0])
        # The text with the metadata first, of which the TIFFs need not know
        for image in sorted(images, key=lambda p: (p.suffix not in _TEXTS, p != paths[0])):
            if is_part(files.open(image)):
                return find_stack(files, image, selection, found)
        return _joined(images, [find_stack(files, image, selection, [image]) for image in images])


def _files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files of a folder or a list, but for hidden ones.

    Raises
    ------
    DataError
        A folder with none but folders, or a list with a folder.
    """
    is_folder = len(paths) == 1
    try:
        found = list(paths[0].iterdir()) if is_folder else paths
    except OSError as error:
        raise DataError(f"{paths[0]}: cannot be read ({error.strerror})") from error
    found = [path for path in found if not path.name.startswith(".")]
    folders = {path for path in found if os.path.isdir(path)}
    files = [path for path in found if path not in folders]
    if folders and not is_folder:
        raise DataError(f"{min(folders)}: is a folder among the files of a slide; leave it out")
    if folders and not any(map(may_be_image, files)):
        names = listed(sorted(path.name for path in folders))
        raise DataError(f"{paths[0]}: {_NO_IMAGES}; give one of its folders ({names})")
    return files


def _images_among(found: Sequence[Path], named: Path) -> list[Path]:
    """Return the files that are images, in the natural order of their names.

    Raises
    ------
    DataError
        None, or a file that is neither an image nor what usually lies beside images.
    """
    images = [path for path in found if may_be_image(path)]
    if named in found and named.suffix.lower() == ".xml" and is_companion(head_of(named)):
        images.append(named)
    if not images:
        raise DataError(f"{named}: {_NO_IMAGES}; give the folder that has them")
    if len(images) > _MAX_FILES:
        raise DataError(
            f"{named}: {len(images):,} files are more than the {_MAX_FILES:,} that a slide may"
            " have; give each slide a folder"
        )
    for path in images:
        head = head_of(path)
        if not (is_tiff(head) or is_companion(head)):
            raise DataError(f"{not_a_tiff(path, head)}, or keep it apart from the files of a slide")
    return sorted(images, key=_order)


def _order(path: Path) -> tuple[list[str | int], str]:
    """Return what sorts c2 before c10."""
    parts = re.split(r"([0-9]+)", name_of(path).casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def name_of(path: Path) -> str:
    """Return the name of the channel that a file holds: its own, without the suffix of a TIFF."""
    return _SUFFIX.sub("", path.name)


def _joined(paths: Sequence[Path], stacks: Sequence["Stack"]) -> "Stack":
    """Return the slide whose channels are stacks of one channel each."""
    first = stacks[0]
    for path, stack in zip(paths, stacks, strict=True):
        if stack.sizes["C"] > 1:
            raise DataError(
                f"{path}: holds {stack.sizes['C']} channels, and of several files each is one"
                " channel; give this file alone, or write a file for each channel"
            )
        for what, own, other in (
            ("size", f"{stack.size} px", f"{first.size} px"),
            ("type of pixel", stack.dtype, first.dtype),
            ("number of planes", _planes_of(stack), _planes_of(first)),
        ):
            if own != other:
                raise DataError(
                    f"{path}: its {what} is {own}, and that of {paths[0].name} is {other};"
                    " all files of a slide must be alike in this"
                )
    mpp, problem, source = _pixel_size(paths, stacks)
    return replace(
        first,
        sizes=first.sizes | {"C": len(stacks)},
        names=tuple(map(name_of, paths)),
        planes=_by_channel([stack.planes for stack in stacks]),
        labels=_by_channel([stack.labels for stack in stacks]),
        mpp=mpp,
        mpp_problem=problem,
        mpp_source=source,
        notices=tuple(notice for stack in stacks for notice in stack.notices),
    )


def _planes_of(stack: "Stack") -> str:
    return f"{stack.sizes['Z']} along Z and {stack.sizes['T']} along T"


def _by_channel(of_files: Sequence[Mapping[tuple[int, int, int], object]]) -> dict:
    """Return what each file has by (0, z, t), by (c, z, t)."""
    return {
        (channel, z, t): value
        for channel, of_file in enumerate(of_files)
        for (_, z, t), value in of_file.items()
    }


def _pixel_size(
    paths: Sequence[Path], stacks: Sequence["Stack"]
) -> tuple[float | None, str | None, str]:
    """Return pixel size, problem and source: those of the first file that has a size."""
    sized = [(path, s) for path, s in zip(paths, stacks, strict=True) if s.mpp or s.mpp_problem]
    if not sized:
        return None, None, stacks[0].mpp_source
    path, first = sized[0]
    for other_path, other in sized:
        if other.mpp_problem:
            return other.mpp, f"{other_path.name}: {other.mpp_problem}", other.mpp_source
        if differ(first.mpp, other.mpp):
            problem = (
                f"the pixel sizes of {path.name} ({first.mpp:g} um) and {other_path.name}"
                f" ({other.mpp:g} um) differ by more than 1 %"
            )
            return first.mpp, problem, first.mpp_source
    return first.mpp, None, first.mpp_source
