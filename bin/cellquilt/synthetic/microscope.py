"""What optics and camera make of a generated tissue's light."""

import hashlib
import uuid
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from .. import outputs

CAMERA_OFFSET = 100.0
COUNTS_PER_PHOTON = 8.0
READ_NOISE = 3.0
PSF_SIGMA = 1.0

_STRIP_ROWS = 256


def photograph(rng: np.random.Generator, photons: np.ndarray, right: int) -> np.ndarray:
    """Blur light as a lens does, light it unevenly and expose a camera to it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of shot and read noise.
    photons : (height, width) float32
        Light that leaves each pixel of the section, in photons.
    right : int
        Column from which on no light reaches the camera.

    Returns
    -------
    (height, width) uint16
        Counts: `CAMERA_OFFSET` + `COUNTS_PER_PHOTON` a photon (Poisson) + read noise (normal,
        `READ_NOISE` counts).
    """
    light = _glow(ndimage.gaussian_filter(photons, PSF_SIGMA)) * _illumination(photons.shape)
    light = light.clip(0)  # running sums leave rounding errors below zero
    light[:, right:] = 0
    counts = np.empty(light.shape, np.uint16)
    for top in range(0, len(light), _STRIP_ROWS):  # Poisson works in 64 bits: a strip at a time
        strip = light[top : top + _STRIP_ROWS]
        signal = CAMERA_OFFSET + COUNTS_PER_PHOTON * rng.poisson(strip)
        signal += READ_NOISE * rng.standard_normal(strip.shape).astype(np.float32)
        counts[top : top + _STRIP_ROWS] = signal.round().clip(0, 65535)
    return counts


def _glow(light: np.ndarray) -> np.ndarray:
    """Add the haze of what lies out of focus: a share of the light, blurred by about 10 px."""
    blurred = ndimage.uniform_filter(ndimage.uniform_filter(light, 25), 25)
    return light + 0.12 * blurred


def _illumination(shape: tuple[int, int]) -> np.ndarray:
    """Return the lamp's share of full light at each pixel, 15 % less in the corners."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) ** 2 for n in shape)
    return 1 - 0.075 * (y[:, None] + x[None])


def write_image(path: Path, image: np.ndarray, channels: tuple[str, ...], image_mpp: float) -> None:
    """Write a multi-channel image as a tiled, pyramidal OME-TIFF.

    Each level of the pyramid is the mean of 2 x 2 pixels of the one below, until the longer
    side is at most 512 px. Equal arguments give equal files: the OME-XML's UUID is derived
    from them.

    Parameters
    ----------
    path : Path
        Where to write, by custom ``*.ome.tif``.
    image : (channels, height, width) uint16
        Counts.
    channels : tuple of str
        Channel names.
    image_mpp : float
        Pixel size in um.
    """
    digest = hashlib.sha256(f"{image.shape} {channels} {image_mpp!r}\n".encode())
    digest.update(np.ascontiguousarray(image, "<u2"))
    levels = [image]
    while max(levels[-1].shape[1:]) > 512:
        levels.append(_halved(levels[-1]))
    metadata = {
        "axes": "CYX",
        "UUID": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest())}",
        "Name": "generated tissue",
        "Channel": {"Name": list(channels)},
        "PhysicalSizeX": image_mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": image_mpp,
        "PhysicalSizeYUnit": "µm",
    }
    large = image.nbytes > 2**31
    with (
        outputs.whole(path) as partial,
        tifffile.TiffWriter(partial, bigtiff=large, byteorder="<", ome=True) as tiff,
    ):
        for index, level in enumerate(levels):
            per_cm = 1e4 / (image_mpp * 2**index)
            tiff.write(
                level,
                tile=(256, 256),
                compression="zlib",
                photometric="minisblack",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                software=False,
                subifds=None if index else len(levels) - 1,
                subfiletype=1 if index else 0,
                metadata=None if index else metadata,
            )


def _halved(image: np.ndarray) -> np.ndarray:
    """Return the mean of each 2 x 2 pixels of each plane; an odd last row or column doubles."""
    _, height, width = image.shape
    return np.stack(
        [
            np.pad(plane, ((0, height % 2), (0, width % 2)), "edge")
            .reshape((height + 1) // 2, 2, (width + 1) // 2, 2)
            .mean(axis=(1, 3), dtype=np.float32)
            .round()
            .astype(np.uint16)
            for plane in image
        ]
    )
