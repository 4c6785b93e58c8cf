"""What an OME-Zarr of version 0.4 or 0.5 says of its images: array, axes, names and pixel size.

Source: https://ngff.openmicroscopy.org/0.4/ and /0.5/. Values that are not needed may be wrong.
"""

import itertools
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ..errors import DataError
from .pixel_size import square
from .selection import AXES, Selection, choose_scene, one_line, slide_among
from .zarr_files import ZarrFiles

VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")
_AXES_BEFORE_0_3 = "tczyx"
_MAX_SCENES = 1000
_MAX_XML_BYTES = 1 << 24
_WELL = ("well", "images", "0")
_EXPORT = "write it again as OME-Zarr 0.4 or 0.5"


@dataclass(frozen=True)
class ZarrImage:
    """The full resolution of an image.

    Attributes
    ----------
    key : str
        Of the array, such as ``0``.
    array : dict
        Its metadata, of Zarr 2 or 3.
    shape, axes : tuple of int, str
        Length and letter of each axis, such as ``TCZYX``; the last two are Y and X.
    names : tuple of (str or None)
        Of the channels, as many as it has.
    mpp, mpp_problem : (float or None), (str or None)
        See `pixel_size.square`.
    name : str or None
    """

    key: str
    array: dict
    shape: tuple[int, ...]
    axes: str
    names: tuple[str | None, ...]
    mpp: float | None
    mpp_problem: str | None
    name: str | None

    @property
    def height(self) -> int:
        """Length of Y (px)."""
        return self.shape[-2]

    @property
    def width(self) -> int:
        """Length of X (px)."""
        return self.shape[-1]

    @property
    def size(self) -> str:
        """Height and width, for a message."""
        return f"{self.height} x {self.width}"

    @property
    def sizes(self) -> dict[str, int]:
        """Number of planes along C, Z and T."""
        return {"C": 1, "Z": 1, "T": 1} | dict(zip(self.axes[:-2], self.shape[:-2], strict=True))


def find_image(files: ZarrFiles, selection: Selection) -> ZarrImage:
    """Return the image that is the slide, among the scenes of a Zarr.

    Raises
    ------
    DataError
        A plate, labels or no image; several of which none is selected; metadata against the
        specification.
    """
    path, attributes = files.path, _attributes(files, "")
    if "plate" in attributes or "well" in attributes:
        raise DataError(
            f"{path}: is a plate or well of many images; give each of its fields as an image, for"
            f" example {path / _first_field(attributes)}"
        )
    if "image-label" in attributes or ("labels" in attributes and "multiscales" not in attributes):
        raise DataError(f"{path}: holds labels and not an image; give the image, a folder above")
    scenes = [""] if "multiscales" in attributes else _scenes(files, attributes)
    if not scenes:
        raise DataError(
            f"{path}: is no OME-Zarr image, since its metadata have no multiscales; if one is"
            f" within, give its folder, or {_EXPORT}"
        )
    names = _names_of_scenes(files) if len(scenes) > 1 else []
    names += [None] * (len(scenes) - len(names))
    images = [_image(files, *scene) for scene in zip(scenes, names, strict=False)]
    if selection.scene is None:
        return slide_among(path, images, images)
    sizes = [(image.name, image.size) for image in images]
    return images[choose_scene(path, sizes, selection.scene)]


def find_labels(files: ZarrFiles) -> ZarrImage:
    """Return the labels that a Zarr is, or the only ones of the image that it is.

    Raises
    ------
    DataError
        No labels, or several; metadata against the specification.
    """
    path, attributes = files.path, _attributes(files, "")
    inside = "" if "multiscales" not in attributes else "labels"
    own = _attributes(files, inside) if inside else attributes
    names = [name for name in _items(own.get("labels")) if isinstance(name, str)]
    names = [name for name in names if _is_inside(name)]
    if "image-label" in attributes or ("multiscales" in attributes and not names):
        return _image(files, "", None)
    if not names:
        raise DataError(
            f"{path}: holds no labels, since its metadata have neither multiscales nor labels;"
            f" give the folder of the labels, such as {path / 'labels/cells'}"
        )
    if len(names) > 1:
        listed = ", ".join(f"{name:.40}" for name in names[:9])
        raise DataError(
            f"{path}: has several labels ({listed}); give the folder of one, such as"
            f" {path / inside / names[0]}"
        )
    return _image(files, _join(inside, names[0]), None)


def _first_field(attributes: dict) -> str:
    """Return the place of a field of a plate or well, for a message."""
    kind, parts, default = ("plate", "wells", "A/1") if "plate" in attributes else _WELL
    named = _items(_dict(attributes[kind]).get(parts))
    first = _text(_dict(named[0]).get("path")) if named else None
    place = first if first and _is_inside(first) and len(first) < 20 else default
    return f"{place}/0" if kind == "plate" else place


def _attributes(files: ZarrFiles, group: str) -> dict:
    """Return what a group says of itself in the terms of OME-Zarr."""
    document = files.json(_join(group, "zarr.json"))
    if document is None:
        return files.json(_join(group, ".zattrs")) or {}
    attributes = _dict(document.get("attributes"))
    return _dict(attributes.get("ome", attributes))


def _scenes(files: ZarrFiles, attributes: dict) -> list[str]:
    """Return the groups of the images that bioformats2raw wrote, listed or numbered."""
    if "bioformats2raw.layout" not in attributes:
        return []
    series = _attributes(files, "OME").get("series")
    if series is not None:
        found = [key for key in _items(series) if isinstance(key, str) and _is_inside(key)]
    else:
        numbers = map(str, range(_MAX_SCENES + 1))
        found = [*itertools.takewhile(lambda n: "multiscales" in _attributes(files, n), numbers)]
    if len(found) > _MAX_SCENES:
        raise DataError(
            f"{files.path}: holds more than {_MAX_SCENES:,} images; give one of them,"
            f" {files.path / '0'}"
        )
    return found


def _names_of_scenes(files: ZarrFiles) -> list[str | None]:
    from . import ome_xml  # with ome-types, which takes a second to import

    xml = files.read("OME/METADATA.ome.xml", _MAX_XML_BYTES)
    with suppress(DataError):  # of names that are not needed
        return ome_xml.image_names(xml.decode("utf-8", "replace"), files.path) if xml else []
    return []


def _image(files: ZarrFiles, group: str, name: str | None) -> ZarrImage:
    """Return the image of a group, of its first multiscales."""
    path, attributes = files.path / group, _attributes(files, group)
    multiscales = _items(attributes.get("multiscales"))
    multiscale = _dict(multiscales[0]) if multiscales else {}
    version = one_line(_text(attributes.get("version") or multiscale.get("version")))
    if version and version[:3] not in VERSIONS:
        raise DataError(f"{path}: is OME-Zarr {version:.20}, which is not read; {_EXPORT}")
    datasets = _items(multiscale.get("datasets"))
    dataset = _dict(datasets[0]) if datasets else {}
    level = _text(dataset.get("path"))
    if not level or not _is_inside(level):
        raise DataError(f"{path}: its multiscales name no dataset; {_EXPORT}")
    key = _join(group, level)
    array = files.json(_join(key, "zarr.json")) or files.json(_join(key, ".zarray"))
    if array is None:
        raise files.damaged(f"there is no array {key}, its full resolution")
    shape = tuple(_items(array.get("shape")))
    if not all(type(n) is int and 0 < n < 1 << 63 for n in shape):
        raise DataError(f"{path}: is an array of {shape!s:.99}, without pixels; export it again")
    axes = _items(multiscale.get("axes", list(_AXES_BEFORE_0_3)))
    letters = "".join(_letter(axis) for axis in axes)
    if (
        len(axes) != len(shape)
        or letters[-2:] != "YX"
        or len({*letters}) < len(axes)
        or not {*letters[:-2]} <= {*AXES}
    ):
        raise DataError(
            f"{path}: cannot tell what its axes are ({letters:.20} of {shape!s:.99}); name them"
            " t, c, z, y, x in its metadata, y and x last"
        )
    mpp, problem = square(_pixel_sizes(multiscale, dataset, axes))
    channels = _items(_dict(attributes.get("omero")).get("channels"))
    return ZarrImage(
        key=key,
        array=array,
        shape=shape,
        axes=letters,
        names=tuple(_text(_dict(channel).get("label")) for channel in channels),
        mpp=mpp,
        mpp_problem=problem,
        name=name or _text(multiscale.get("name")),
    )


def _letter(axis: Any) -> str:
    """Return the letter of an axis; until 0.3 it is a name alone."""
    name = _text(_dict(axis).get("name", axis)) or "?"
    return name.upper() if len(name) == 1 and name.isalpha() else "?"


def _pixel_sizes(
    multiscale: dict, dataset: dict, axes: list
) -> dict[str, tuple[float | None, str]]:
    """Return size and unit along X and Y, the scale of the dataset times that of all.

    A scale of 1 without unit is what writers put where they know none.
    """
    scales = [_scale(holder, len(axes)) for holder in (dataset, multiscale)]
    found = {}
    for name, axis in (("X", -1), ("Y", -2)):
        own = [scale[axis] for scale in scales if scale]
        size, unit = math.prod(own) if own else None, _text(_dict(axes[axis]).get("unit")) or ""
        found[f"scale along {name}"] = (None if size == 1 and not unit else size), unit
    return found


def _scale(holder: dict, n_axes: int) -> list[float]:
    for step in map(_dict, _items(holder.get("coordinateTransformations"))):
        scale = _items(step.get("scale"))
        if step.get("type") == "scale" and len(scale) == n_axes:
            try:
                return [float(value) for value in scale]
            except (TypeError, ValueError, OverflowError):
                return []
    return []


def _join(group: str, key: str) -> str:
    return str(PurePosixPath(group, key))


def _is_inside(key: str) -> bool:
    """Return whether a path stays within the Zarr."""
    place = PurePosixPath(key)
    return not place.is_absolute() and ".." not in place.parts and key.isprintable()


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
