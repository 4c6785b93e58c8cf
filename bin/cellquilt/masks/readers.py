"""Opens masks of other tools: label TIFFs, labels of OME-Zarr, polygons in GeoJSON."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import DataError
from ..images.label_image import LabelReader
from ..images.label_rows import LabelRows
from ..slides.file_head import head_of, is_tiff
from ..slides.zarr_slide import ZarrLabels
from .outlines import OutlineMask, is_geojson

_ZIP = (b"PK\3\4", b"PK\5\6")
# What else tools save labels as, and how to have them save a TIFF
_OTHERS = {
    b"\x89PNG": "a PNG, which holds 65,535 labels at most: save masks as TIFF, in Cellpose with"
    " --save_tif or io.save_masks(..., tif=True)",
    b"\x93NUMPY": "an array of NumPy: save it by tifffile.imwrite('mask.tif', labels,"
    " compression='zlib'); of Cellpose's _seg.npy these are"
    " np.load(file, allow_pickle=True).item()['masks']",
}


class OwnMask(LabelRows, Protocol):
    """A mask of another tool, as rows of labels.

    Attributes
    ----------
    dtype : numpy.dtype or None
        Type of the labels in the file; None where it has polygons.
    notes : list of str
        What a person should know of it, complete once all of it was read.
    """

    dtype: np.dtype | None
    notes: list[str]


class _Labels:
    """Labels of a file whose reader has rows of a type and a shape, as `OwnMask`."""

    def __init__(self, labels: LabelReader | ZarrLabels):
        self._labels = labels
        self.shape, self.dtype = labels.shape, labels.dtype
        self.notes: list[str] = []

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        return self._labels.read(y0, y1)

    def __enter__(self) -> "_Labels":
        return self

    def __exit__(self, *_: object) -> None:
        self._labels.__exit__(None, None, None)


def open_mask(
    path: Path, shape: tuple[int, int], compartment: str, scratch: Path
) -> AbstractContextManager[OwnMask]:
    """Open a mask of a slide, and check what can be checked before its pixels are read.

    Parameters
    ----------
    path : Path
        A TIFF of one 2-D image of integers, whatever its layout, or as InstanSeg writes it; an
        OME-Zarr's labels, in a folder or a zip, or an OME-Zarr with one set of labels; or GeoJSON
        whose features are polygons in pixels of the slide, numbered from 1 in their order.
    shape : (int, int)
        Height and width of the slide (px).
    compartment : {'cell', 'nucleus'}
        Of which it is. Of GeoJSON with both, nuclei are what QuPath calls ``nucleusGeometry``, or
        what is classified as nuclei beside others as cells.
    scratch : Path
        Folder for polygons that become pixels, 4 bytes each.

    Raises
    ------
    DataError
        Not such a file, or a mask of another size.
    """
    if path.is_dir():
        opened: LabelReader | ZarrLabels = ZarrLabels.find(path)
    else:
        head = head_of(path)
        if is_geojson(head):
            return OutlineMask(path, shape, compartment, scratch)
        if what := next((what for mark, what in _OTHERS.items() if head.startswith(mark)), None):
            raise DataError(f"{path}: is {what}.")
        if not is_tiff(head) and not head.startswith(_ZIP):
            raise DataError(
                f"{path}: is no label TIFF, OME-Zarr or GeoJSON; save the {compartment} mask as one"
                " of these, such as by tifffile.imwrite('mask.tif', labels, compression='zlib')."
            )
        opened = _label_tiff(path, compartment) if is_tiff(head) else ZarrLabels.find(path)
    mask = _Labels(opened)
    if mask.shape != shape:
        with mask:
            raise DataError(f"{path}: {_other_size(mask.shape, shape, compartment)}")
    return mask


def _label_tiff(path: Path, compartment: str) -> LabelReader:
    """Open a label TIFF; InstanSeg puts nuclei and cells into one, in this order."""
    pages = {"nucleus": 0, "cell": 1} if path.stem.endswith("_instanseg_prediction") else {}
    return LabelReader(path, pages.get(compartment))


def check_mask(path: Path, shape: tuple[int, int], compartment: str) -> None:
    """Refuse what `open_mask` would, as far as a file's header tells; of polygons it tells nothing.

    Parameters
    ----------
    path, shape, compartment
        See `open_mask`.

    Raises
    ------
    DataError
        As `open_mask`.
    """
    if path.is_dir() or not is_geojson(head_of(path)):
        with open_mask(path, shape, compartment, Path()):
            pass


def _other_size(found: tuple[int, int], slide: tuple[int, int], compartment: str) -> str:
    """Return what is wrong with a mask's size, and the likely way to put it right."""
    sizes = " and the slide ".join(f"{height} x {width} px" for height, width in (found, slide))
    ratios = [own / other for own, other in zip(slide, found, strict=True)]
    if found == slide[::-1]:
        hint = "its rows are the slide's columns: transpose it"
    elif found[0] == slide[0] or abs(ratios[0] / ratios[1] - 1) > 0.02:
        hint = "give the mask of this slide, not of a part of it"
    else:
        hint = (
            f"it was made at {1 / ratios[0]:.4g} times the slide's size: enlarge it without mixing"
            " labels, by skimage.transform.resize(mask, shape, order=0, preserve_range=True,"
            " anti_aliasing=False).astype(mask.dtype)"
        )
    return f"the {compartment} mask is {sizes}; {hint}."
