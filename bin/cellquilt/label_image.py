"""Label images: the one writer, the one reader, and their boundaries.

A label image is 2-D; 0 is background and every other value one object. All functions work in
strips of rows, so that memory does not grow with the slide.
"""

import hashlib
import math
import os
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import tifffile
import zarr

from .errors import DataError

TILE = 512
_STRIP_PIXELS = 1 << 22
_MAX_LABEL = 2**32 - 1


def masks_folder(outdir: Path, sample: str) -> Path:
    """Return where a sample's label images lie, in MCMICRO's layout."""
    return outdir / "segmentation" / f"mesmer-{sample}"


def as_labels(array: np.ndarray) -> np.ndarray:
    """Return the array as uint32.

    Raises
    ------
    ValueError
        If its type is no integer, or a value is negative or above 2^32 - 1.
    """
    if array.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, not {array.dtype}")
    if array.size and array.dtype.kind == "i" and array.min() < 0:
        raise ValueError(f"labels must not be negative, and one is {array.min()}")
    if array.size and array.dtype.itemsize == 8 and array.max() > _MAX_LABEL:
        raise ValueError(f"labels must not exceed {_MAX_LABEL}, and one is {array.max()}")
    return array.astype(np.uint32, copy=False)


def strip_rows(shape: tuple[int, int], rows: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield (y0, y1) of successive strips of `rows` rows, by default of about 4 Mpx."""
    height, width = shape
    rows = rows or max(1, _STRIP_PIXELS // width)
    for y0 in range(0, height, rows):
        yield y0, min(y0 + rows, height)


def boundaries(labels: np.ndarray) -> np.ndarray:
    """Return the inner boundary of every object, as labels.

    A boundary pixel has an upper, lower, left or right neighbour of another value. The image
    edge is no boundary. A strip of a larger image needs one more row on either side, whose
    own result is to be dropped; see `boundary_rows`.

    Parameters
    ----------
    labels : (height, width) integer
        Label image.

    Returns
    -------
    (height, width) array of the same type
        The label on boundary pixels, 0 elsewhere: where
        ``skimage.segmentation.find_boundaries(labels, connectivity=1, mode="inner")``.
    """
    boundary = np.zeros(labels.shape, bool)
    change = labels[1:] != labels[:-1]
    boundary[1:] |= change
    boundary[:-1] |= change
    change = labels[:, 1:] != labels[:, :-1]
    boundary[:, 1:] |= change
    boundary[:, :-1] |= change
    return np.where(boundary, labels, 0)


def boundary_rows(labels: np.ndarray, y0: int, y1: int) -> np.ndarray:
    """Return rows `y0` to `y1` of the image's boundaries, reading one row more on either side."""
    above = min(y0, 1)
    return boundaries(labels[y0 - above : y1 + 1])[above : above + y1 - y0]


def scratch_labels(path: Path, shape: tuple[int, int]) -> np.memmap:
    """Return a writable uint32 array of zeros in a new file.

    The disk space is reserved at once: a full disk is an error here, and not a bus error when
    a page is written later.
    """
    with open(path, "xb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
    return np.memmap(path, np.uint32, "r+", shape=shape)


def write_label_image(path: Path, labels: np.ndarray, image_mpp: float, name: str) -> None:
    """Write a label image as a tiled, pyramidal OME-TIFF.

    uint32, BigTIFF, zlib; each level of the pyramid takes every second pixel of the one below,
    until the longer side is at most 512 px. Equal labels, pixel size and name give equal
    files: the OME-XML's UUID is derived from them. The file appears under its name only when
    it is complete.

    Parameters
    ----------
    path : Path
        Where to write, by custom ``*.ome.tif``.
    labels : (height, width) uint32
        Label image, may be a `numpy.memmap`; read tile by tile.
    image_mpp : float
        Pixel size in um.
    name : str
        Channel name, such as ``"cell"``.
    """
    if labels.dtype != np.uint32 or labels.ndim != 2:
        raise ValueError(f"labels must be 2-D uint32, not {labels.ndim}-D {labels.dtype}")
    path = Path(path)
    steps = [1]
    while max(labels.shape) > TILE * steps[-1]:
        steps.append(2 * steps[-1])
    metadata = {
        "axes": "YX",
        "UUID": f"urn:uuid:{_content_uuid(labels, image_mpp, name)}",
        "Name": name,
        "Channel": {"Name": [name]},
        "PhysicalSizeX": image_mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": image_mpp,
        "PhysicalSizeYUnit": "µm",
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tifffile.TiffWriter(partial, bigtiff=True, byteorder="<", ome=True) as tiff:
            for step in steps:
                level = labels[::step, ::step]
                per_cm = 1e4 / (image_mpp * step)
                tiff.write(
                    _tiles(level),
                    shape=level.shape,
                    dtype=np.uint32,
                    tile=(TILE, TILE),
                    compression="zlib",
                    photometric="minisblack",
                    resolution=(per_cm, per_cm),
                    resolutionunit="CENTIMETER",
                    software=False,
                    subifds=len(steps) - 1 if step == 1 else None,
                    subfiletype=0 if step == 1 else 1,
                    metadata=metadata if step == 1 else None,
                )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _content_uuid(labels: np.ndarray, image_mpp: float, name: str) -> uuid.UUID:
    digest = hashlib.sha256(f"{labels.shape} {image_mpp!r} {name}\n".encode())
    for y0, y1 in strip_rows(labels.shape):
        digest.update(np.ascontiguousarray(labels[y0:y1], "<u4"))
    return uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest())


def _tiles(level: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the tiles of a level in raster order, padded with zeros at the far edges."""
    height, width = level.shape
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            part = level[y : y + TILE, x : x + TILE]
            tile = np.zeros((TILE, TILE), np.uint32)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


class LabelReader:
    """Rows of a label image, from any 2-D TIFF of integers; a context manager.

    Parameters
    ----------
    path : Path
        OME-TIFF or plain TIFF; only full resolution is read.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.

    Raises
    ------
    DataError
        If the file is no TIFF, damaged, not 2-D or not of integers.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self._file = tifffile.TiffFile(path)
        except (OSError, tifffile.TiffFileError) as error:
            raise DataError(f"{path}: cannot be read as a TIFF label image: {error}") from error
        try:
            series = self._file.series[0]
            if series.ndim != 2 or series.dtype is None or series.dtype.kind not in "iu":
                raise DataError(
                    f"{path}: holds {series.dtype} of shape {series.shape}; a label image is 2-D "
                    "and of integers. Convert it, one compartment a file."
                )
            page = series.keyframe
            if len(page.dataoffsets) != math.prod(page.chunked):
                # tifffile would read what is missing as background.
                raise DataError(f"{path}: is truncated; write or copy it again.")
            self._level = zarr.open_array(series.aszarr(level=0), mode="r")
        except BaseException:
            self._file.close()
            raise
        self.shape: tuple[int, int] = self._level.shape
        # A band is a row of tiles; the last two serve strips that overlap by context rows.
        chunk = self._level.chunks[0]
        self._band_rows = chunk * max(1, TILE // chunk)
        self._band = lru_cache(maxsize=2)(self._read_band)

    def __enter__(self) -> "LabelReader":
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._band.cache_clear()
        self._file.close()

    def _read_band(self, band: int) -> np.ndarray:
        rows = slice(band * self._band_rows, (band + 1) * self._band_rows)
        try:
            return as_labels(np.asarray(self._level[rows]))
        except Exception as error:
            raise DataError(f"{self.path}: rows {rows.start} on: {error}") from error

    def read(self, y0: int, y1: int) -> np.ndarray:
        """Return rows `y0` to `y1` (exclusive, clipped to the image) as (rows, width) uint32."""
        y0, y1 = max(y0, 0), min(y1, self.shape[0])
        strip = np.empty((y1 - y0, self.shape[1]), np.uint32)
        for band in range(y0 // self._band_rows, -(-y1 // self._band_rows)):
            top = band * self._band_rows
            rows = self._band(band)[max(y0 - top, 0) : y1 - top]
            start = max(top - y0, 0)
            strip[start : start + len(rows)] = rows
        return strip
