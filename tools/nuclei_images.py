"""What the network for nuclei learns from: images of BBBC038, crowds of their nuclei, tissues."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from crowds import crowd, cut
from scipy import ndimage as ndi

from cellquilt.slides import normalise
from cellquilt.synthetic.tissue import generate_tissue
from cellquilt.tiling.pixel_grid import MODEL_MPP, Grid
from cellquilt.training.pixel_classes import on_model_grid
from cellquilt.training.unet_patches import Scene
from cellquilt.training.unet_recipe import SIDE

KEPT_OUT, VALIDATION = 15, 10  # per cent of the images, by the digests of their names
PARTS = ("train", "validation", "kept_out")
# Pixel sizes are not known: an image's scale follows from the median area of its nuclei, in model
# pixels; 240 are 60 um2
AREA = 240.0
AREAS = (45.0, 520.0)
# Seeds, not the demo's, and pixel sizes
TISSUES = {201: 0.5, 202: 0.4, 203: 0.32, 204: 0.6, 205: 0.27}
TISSUE_UM = 448


def part_of(name: str) -> str:
    """Return what an image is for: training, choosing thresholds, or scores."""
    share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 100
    if share < KEPT_OUT:
        return "kept_out"
    return "validation" if share < KEPT_OUT + VALIDATION else "train"


def normalised(image: np.ndarray) -> np.ndarray:
    """Normalise a whole image as INGEST does, float32."""
    top = normalise.TopValues(image.size)
    top.add(image)
    channel = normalise.channel_of(top, image.min(), image.max(), image.dtype)
    if channel.constant:
        return np.zeros(image.shape, np.float32)
    grey = normalise.grey_levels(image, channel)
    codes = normalise.clahe_rows(grey, 0, 0, len(image))
    return normalise.float_of_code(int(codes.min()), int(codes.max()))[codes]


def to_model(image: np.ndarray, mpp: float) -> np.ndarray:
    """Bring an image to the model's pixel size as INGEST does."""
    grid = Grid(*image.shape, mpp)
    limits = min(0, image.min()), image.max()
    return grid.to_model(lambda y0, y1: image[y0:y1], 0, grid.model_shape[0], limits)


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image, float32, as another microscope could have taken it."""
    if rng.random() < 0.4:
        image = ndi.gaussian_filter(image, rng.uniform(0.3, 1.3))
    if rng.random() < 0.5:
        image = image ** np.exp(rng.uniform(-0.4, 0.4)).astype(np.float32)
    if rng.random() < 0.3:
        coarse = rng.random((3, 3)).astype(np.float32)
        zoom = [n / 3 for n in image.shape]
        uneven = ndi.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
        image = image + rng.uniform(0, 0.15) * image.max() * uneven
    if rng.random() < 0.5:
        noise = rng.normal(0, 1, image.shape).astype(np.float32)
        image = image + noise * rng.uniform(0, 0.06) * np.percentile(image, 99.5)
    return image.clip(0).astype(np.float32)


@dataclass(frozen=True)
class Image:
    """An image with the nuclei that a person saw in it."""

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    median_area_px: float

    def mpp(self, area: float) -> float:
        """Return the pixel size at which the median nucleus has an area in model pixels."""
        return MODEL_MPP * float(np.sqrt(area / self.median_area_px))

    def scenes(self, n: int) -> list[Scene]:
        """Return it `n` times, the first time as it is segmented."""
        seed = int(hashlib.sha256(self.name.encode()).hexdigest()[8:16], 16)
        image = self.pixels.astype(np.float32) / 255
        found = []
        for variant in range(n):
            rng = np.random.Generator(np.random.PCG64([seed, variant]))
            area = AREA if variant == 0 else float(np.exp(rng.uniform(*np.log(AREAS))))
            mpp = self.mpp(area)
            pixels = to_model(image, mpp)
            pixels = normalised(varied(pixels, rng) if variant else pixels)
            labels = on_model_grid(self.labels, Grid(*self.labels.shape, mpp))
            found.append(Scene.of(pixels, labels))
        return found


def images_of(folder: Path, part: str) -> Iterator[Image]:
    """Yield the images of a part."""
    with open(folder / "index.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if part_of(row["name"]) == part]
    for row in rows:
        name = row["name"]
        pixels = tifffile.imread(folder / f"{name}.image.tif")
        labels = tifffile.imread(folder / f"{name}.nuclei.tif").astype(np.int32)
        yield Image(name, pixels, labels, float(row["median_area_px"]))


def crowds_of(images: Sequence[Image], n: int, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield crowds of the nuclei of images, as they are segmented, and their labels."""
    nuclei = []
    for image in images:
        own = int(hashlib.sha256(image.name.encode()).hexdigest()[16:24], 16)
        rng = np.random.Generator(np.random.PCG64(own))
        nuclei += cut(image.pixels, image.labels, image.median_area_px, rng)
    for number in range(n):
        light, labels = crowd(
            nuclei, np.random.Generator(np.random.PCG64([seed, number])), 2 * SIDE
        )
        yield normalised(light), labels


def tissue_of(seed: int, mpp: float, size_um: int) -> tuple[np.ndarray, np.ndarray]:
    """Return light and labels of a generated tissue's nuclei at the model's pixel size."""
    side = round(size_um / mpp)
    tissue = generate_tissue(side, side, seed, empty_width=side // 16)
    light = to_model(tissue.image[0].astype(np.float32) / 2**16, mpp)
    return light, on_model_grid(tissue.nucleus_truth.astype(np.int32), Grid(side, side, mpp))


def tissue_scenes() -> list[Scene]:
    """Return generated tissues, each twice."""
    found = []
    for seed, mpp in TISSUES.items():
        light, labels = tissue_of(seed, mpp, TISSUE_UM)
        rng = np.random.Generator(np.random.PCG64(seed))
        for pixels in (light, varied(light, rng)):
            found.append(Scene.of(normalised(pixels), labels))
    return found
