"""Label images: the one writer and the one reader of their files.

A label image is 2-D; 0 is background and every other value one object. All functions work in
strips of rows, so that memory does not grow with the slide.
"""

import hashlib
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import tifffile
import zarr

from .. import outputs
from ..errors import DataError, reason
from . import tiff_limits
from .strict_tifffile import strict_tifffile
from .strips import Scratch, pyramid_steps, strip_rows

TILE = 512
_ENCODED_AT_ONCE = 1 << 26  # bytes of tiles that are handed to the threads that compress them
_NO_UUID = uuid.UUID(int=0).urn
_MAX_LABEL = 2**32 - 1


def masks_folder(outdir: Path, sample: str, segmenter: str) -> Path:
    """Return where a sample's label images lie, in MCMICRO's layout."""
    return outdir / "segmentation" / f"{segmenter}-{sample}"


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Return label images by what they hold, such as ``"cell_original"``, from their names."""
    return {path.name.removesuffix(".ome.tif"): path for path in paths}


def masks_of(paths: Sequence[Path], sample: str, segmenter: str) -> dict[str, Path]:
    """Return a sample's label images by what they hold.

    Parameters
    ----------
    paths : list of Path
        Those images, or the folders of the images of several samples, see `masks_folder`.
    sample, segmenter : str
    """
    name = masks_folder(Path(), sample, segmenter).name
    folders = [path for path in paths if path.name == name]
    return by_name([path for folder in folders for path in folder.iterdir()] or paths)


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


def write_label_image(
    path: Path, labels: np.ndarray | Scratch, image_mpp: float, name: str, cpus: int = 1
) -> None:
    """Write a (height, width) uint32 label image; see `write_label_strips`."""
    strips = (labels[y0:y1] for y0, y1 in strip_rows(labels.shape))
    if labels.dtype != np.uint32 or len(labels.shape) != 2:
        raise ValueError(f"labels must be 2-D uint32, not {len(labels.shape)}-D {labels.dtype}")
    write_label_strips(path, labels.shape, strips, image_mpp, name, cpus)


def write_label_strips(
    path: Path,
    shape: tuple[int, int],
    strips: Iterable[np.ndarray],
    image_mpp: float,
    name: str,
    cpus: int = 1,
) -> None:
    """Write a label image as a tiled, pyramidal OME-TIFF while its rows arrive.

    uint32, BigTIFF, zlib; each level of the pyramid takes every second pixel of the one below,
    until the longer side is at most 512 px. Equal labels, pixel size and name give equal
    files: the OME-XML's UUID is derived from them. The file appears under its name only when
    it is complete. Memory holds a row of tiles; the disk, beside the file, a quarter of the image.

    Parameters
    ----------
    path : Path
        Where to write, by custom ``*.ome.tif``.
    shape : (int, int)
        Height and width in pixels.
    strips : iterable of (rows, width) uint32
        The label image from the top down, in strips of any height.
    image_mpp : float
        Pixel size in um.
    name : str
        Channel name, such as ``"cell"``.
    cpus : int
        Threads that compress.

    Raises
    ------
    ValueError
        If the strips are not all of the image's rows.
    """
    path = Path(path)
    steps = pyramid_steps(shape, TILE)
    metadata = ome_metadata("YX", _NO_UUID, name, [name], image_mpp)
    half = Scratch(path.parent, (-(-shape[0] // 2), -(-shape[1] // 2)), np.uint32)
    digest = hashlib.sha256(f"{shape} {image_mpp!r} {name}\n".encode())
    with outputs.whole(path) as partial:
        with tifffile.TiffWriter(partial, bigtiff=True, byteorder="<", ome=True) as tiff:
            for step in steps:
                bands = (
                    _keep(_bands(strips, shape), digest, half) if step == 1 else _level(half, step)
                )
                tiff.write(
                    tiles(bands),
                    shape=tuple(-(-side // step) for side in shape),
                    **tile_options(image_mpp * step),
                    subifds=len(steps) - 1 if step == 1 else None,
                    subfiletype=0 if step == 1 else 1,
                    metadata=metadata if step == 1 else None,
                    maxworkers=cpus,
                    buffersize=_ENCODED_AT_ONCE,
                )
        _set_uuid(partial, uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()))


def _keep(
    bands: Iterable[np.ndarray], digest: "hashlib._Hash", half: Scratch
) -> Iterator[np.ndarray]:
    """Yield the image's rows of tiles, digest them, and keep every second pixel in `half`."""
    y = 0
    for band in bands:
        digest.update(np.ascontiguousarray(band, "<u4"))
        half[y // 2 : (y + len(band) + 1) // 2] = band[::2, ::2]
        y += len(band)
        yield band


def _bands(strips: Iterable[np.ndarray], shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Cut the strips of an image into strips of a tile's height, the last one shorter."""
    height, width = shape
    source, rest = iter(strips), np.zeros((0, width), np.uint32)
    for y in range(0, height, TILE):
        parts, wanted = [], min(TILE, height - y)
        while wanted:
            if not len(rest):
                rest = next(source, None)
                if rest is None:
                    raise ValueError(f"the strips end {height - y} rows before the image does")
                if rest.shape[1:] != (width,) or rest.dtype != np.uint32:
                    raise ValueError(f"a strip is {rest.dtype} {rest.shape}, not {width} px wide")
            parts.append(rest[:wanted])
            wanted -= len(parts[-1])
            rest = rest[len(parts[-1]) :]
        if y + TILE >= height and (len(rest) or next(source, None) is not None):
            raise ValueError(f"the strips have more rows than the image's {height}")
        yield np.concatenate(parts)


def _level(half: Scratch, step: int) -> Iterator[np.ndarray]:
    """Yield every `step`-th pixel of the image whose every second pixel is given, in bands."""
    skip = step // 2
    for y in range(0, half.shape[0], TILE * skip):
        yield half[y : y + TILE * skip : skip][:, ::skip]


def ome_metadata(
    axes: str, content_uuid: str, name: str, channels: list[str], image_mpp: float
) -> dict:
    """Return what tifffile writes as the OME-XML of label images of a pixel size (um)."""
    return {
        "axes": axes,
        "UUID": content_uuid,
        "Name": name,
        "Channel": {"Name": channels},
        "PhysicalSizeX": image_mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": image_mpp,
        "PhysicalSizeYUnit": "µm",
    }


def tile_options(mpp: float) -> dict:
    """Return tifffile's options for `tiles` of labels, of a pixel size in um."""
    return {
        "dtype": np.uint32,
        "tile": (TILE, TILE),
        "compression": "zlib",
        "photometric": "minisblack",
        "resolution": (1e4 / mpp, 1e4 / mpp),
        "resolutionunit": "CENTIMETER",
        "software": False,  # whose version would make equal labels unequal files
    }


def tiles(bands: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the tiles of bands of rows, (TILE, TILE) uint32, padded with zeros at the far edges.

    Parameters
    ----------
    bands : iterable of (rows, width) uint32
        From the top down, each of `TILE` rows but for the last one of an image.
    """
    for band in bands:
        for x in range(0, band.shape[1], TILE):
            part = band[:, x : x + TILE]
            tile = np.zeros((TILE, TILE), np.uint32)
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _set_uuid(path: Path, content: uuid.UUID) -> None:
    """Put the UUID of the content, known once all is written, where `_NO_UUID` stands."""
    with tifffile.TiffFile(path) as tiff:
        description = tiff.pages.first.tags["ImageDescription"]
    with open(path, "r+b") as file:
        file.seek(description.valueoffset)
        xml = file.read(description.count).replace(_NO_UUID.encode(), content.urn.encode())
        file.seek(description.valueoffset)
        file.write(xml)


class _Contiguous:
    """Rows of an uncompressed image in one piece of a file, of which a map would keep all."""

    def __init__(self, path: Path, dtype: np.dtype, offset: int, shape: tuple[int, int]):
        self.path, self.dtype, self.offset, self.shape = path, dtype, offset, shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        y0, y1, _ = rows.indices(self.shape[0])
        width = self.shape[1]
        offset, n = self.offset + y0 * width * self.dtype.itemsize, max(y1 - y0, 0) * width
        return np.fromfile(self.path, self.dtype, n, offset=offset).reshape(-1, width)


class LabelReader:
    """Rows of a label image, from any 2-D TIFF of integers; a context manager.

    Parameters
    ----------
    path : Path
        OME-TIFF or plain TIFF; only full resolution is read.
    page : int, optional
        Which to read of a file of several pages, which is refused otherwise.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    dtype : numpy.dtype
        Type of pixel in the file.

    Raises
    ------
    DataError
        If the file is no TIFF, damaged, not 2-D or not of integers.
    """

    def __init__(self, path: Path, page: int | None = None):
        self.path = Path(path)
        try:
            if self.path.exists() and not self.path.is_file():
                raise OSError("not a file")  # a pipe would be waited for
            # As OME-TIFF, tifffile would open other files that the metadata name.
            with strict_tifffile(self.path):
                self._file = tifffile.TiffFile(path, is_ome=False)
        except OSError as error:
            problem = f"cannot be read as a TIFF label image: {reason(error)}"
            raise DataError(f"{path}: {problem}") from error
        try:
            with strict_tifffile(self.path):
                self._level = self._open_level(page)
        except BaseException:
            self._file.close()
            raise
        self.shape: tuple[int, int] = self._level.shape
        self.dtype = np.dtype(self._level.dtype)
        # A band is a row of tiles; the last two serve strips that overlap by context rows.
        chunk = getattr(self._level, "chunks", (1,))[0]
        self._band_rows = chunk * max(1, TILE // chunk)
        self._band = lru_cache(maxsize=2)(self._read_band)

    def _open_level(self, number: int | None) -> "zarr.Array | _Contiguous":
        tiff_limits.check_pages(self._file, self.path)
        series = self._file.series[0]
        if number is not None and series.ndim == 3 and len(self._file.pages) > number:
            series = self._file.pages[number]
        elif series.keyframe.ndim == 2 and math.prod(series.shape) == series.keyframe.size:
            series = series.keyframe  # of more axes, each of one
        if series.ndim != 2 or series.dtype is None or series.dtype.kind not in "iu":
            raise DataError(
                f"{self.path}: holds {series.dtype} of shape {series.shape}; a label image is 2-D "
                "and of integers. Convert it, one compartment a file."
            )
        page: tifffile.TiffPage = series.keyframe
        if len(page.dataoffsets) != math.prod(page.chunked):
            # tifffile would read what is missing as background.
            raise DataError(f"{self.path}: is truncated; write or copy it again.")
        if page.compression not in tiff_limits.LOSSLESS:
            codec = getattr(page.compression, "name", page.compression)
            raise DataError(f"{self.path}: is compressed by {codec}; write it again with zlib.")
        size = self.path.stat().st_size
        tiff_limits.check_plausible(*page.shape, page.dtype.itemsize, 1, self.path, size)
        if not page.is_contiguous:
            tiff_limits.check_extent(page, self.path)
            return zarr.open_array(series.aszarr(level=0), mode="r")
        # Its one strip may be the whole image, of which a few rows are wanted at a time
        if page.dataoffsets[0] + page.nbytes > size:
            raise DataError(f"{self.path}: is truncated; write or copy it again.")
        dtype = page.dtype.newbyteorder(self._file.byteorder)
        return _Contiguous(self.path, dtype, page.dataoffsets[0], page.shape)

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
        except Exception as error:  # each codec raises a class of its own
            raise DataError(f"{self.path}: rows {rows.start} on: {reason(error)}") from error

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
