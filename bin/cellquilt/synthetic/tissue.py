"""A generated multiplexed tissue whose cells and nuclei are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..errors import DataError
from ..images.label_image import write_label_image
from ..images.label_rows import boundaries
from .anatomy import BY_KIND, MATRIX, NOTHING, STROMA, Anatomy, section, smooth_noise
from .microscope import photograph, write_image

IMAGE_MPP = 0.5
CHANNELS = ("DAPI", "CD45", "PanCK", "Vimentin", "Ki67", "Autofluorescence")


@dataclass(frozen=True)
class Tissue:
    """A slide and its truth.

    Attributes
    ----------
    image : (channels, height, width) uint16
        Camera counts.
    channels : tuple of str
        Their names.
    cell_truth : (height, width) uint32
        Whole cells 1 to n, each one 4-connected piece.
    nucleus_truth : (height, width) uint32
        Nuclei: one inside a cell has that cell's label, one without cell a label above n.
        Cells without nucleus have none here.
    image_mpp : float
        Pixel size in um.
    """

    image: np.ndarray
    channels: tuple[str, ...]
    cell_truth: np.ndarray
    nucleus_truth: np.ndarray
    image_mpp: float


def generate_tissue(height: int, width: int, seed: int, empty_width: int = 416) -> Tissue:
    """Generate a tissue; equal arguments give equal bytes.

    Parameters
    ----------
    height, width : int
        Size in pixels of `IMAGE_MPP` um.
    seed : int
        Of the random numbers (PCG64).
    empty_width : int
        Width in pixels of a strip at the right without tissue, where the camera sees no light;
        `width` or more makes the whole slide empty.

    Raises
    ------
    DataError
        If height or width is below 1 or the seed negative.
    """
    if height < 1 or width < 1 or seed < 0:
        raise DataError(
            f"a tissue of {height} x {width} px with seed {seed} cannot be generated: "
            "give a height and width of at least 1 and a seed of at least 0"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    right = max(width - empty_width, 0)
    anatomy = section(rng, (height, width), right)
    image = np.empty((len(CHANNELS), height, width), np.uint16)
    for plane, photons in zip(image, _paint(rng, anatomy), strict=True):
        plane[:] = photograph(rng, photons, right)
    return Tissue(image, CHANNELS, anatomy.cells, anatomy.nuclei, IMAGE_MPP)


def _paint(rng: np.random.Generator, anatomy: Anatomy) -> Iterator[np.ndarray]:
    """Yield the light of each channel in photons, float32, in the order of `CHANNELS`."""
    layout, cells, nuclei, depth, kind = anatomy

    def expression(level: np.ndarray) -> np.ndarray:
        return (level[kind] * rng.lognormal(0, 0.35, len(kind))).astype(np.float32)

    shape = layout.shape
    membrane = boundaries(cells) > 0
    cytoplasm = (cells > 0) & (nuclei == 0) & ~membrane
    grain, clump = smooth_noise(rng, shape, 1.2), smooth_noise(rng, shape, 2.6)
    haze = _background(rng, layout) + 4 * cytoplasm
    debris = _debris(rng, layout)

    chromatin = (1 + 0.25 * grain + 0.28 * clump).clip(0.25)
    chromatin[clump < -1.7] *= 0.6  # nucleoli hold little DNA
    dapi = expression(BY_KIND.dapi)[nuclei] * depth * chromatin
    # Nuclei of another depth, dim and blurred: the same ones, elsewhere in the tissue.
    ghosts = np.roll(dapi, (61, -43), (0, 1)) * (layout != NOTHING)
    yield dapi + 0.14 * ndimage.gaussian_filter(ghosts, 3.5) + 0.3 * haze + 0.6 * debris

    patches = (1 + 0.4 * clump).clip(0.15)
    ring = membrane * patches + 0.16 * cytoplasm + 0.05
    yield expression(BY_KIND.cd45)[cells] * ring + 0.5 * haze
    keratin = membrane * patches + 0.3 * cytoplasm * (1 + 0.25 * grain).clip(0.2) + 0.06
    yield expression(BY_KIND.panck)[cells] * keratin + 0.5 * haze + 0.4 * debris
    filaments = 0.45 + np.exp(-((smooth_noise(rng, shape, 2.2) / 0.25) ** 2))
    mesh = (cytoplasm + 0.7 * membrane) * filaments
    yield expression(BY_KIND.vimentin)[cells] * mesh + 0.5 * haze

    cycling = rng.random(len(kind)) < BY_KIND.cycling[kind]
    ki67 = np.where(cycling, 160 * rng.lognormal(0, 0.5, len(kind)), 4 * (kind != MATRIX))
    yield ki67.astype(np.float32)[nuclei] * depth * (0.8 + 0.5 * (grain > 0.8)) + 0.2 * haze
    yield haze + debris


def _background(rng: np.random.Generator, layout: np.ndarray) -> np.ndarray:
    """Return autofluorescence in photons: smooth over all tissue, collagen fibres in stroma."""
    tissue = ndimage.uniform_filter((layout != NOTHING).astype(np.float32), 9)
    fibres = np.exp(-((smooth_noise(rng, layout.shape, 7) / 0.12) ** 2)) * (layout == STROMA)
    return tissue * (14 + 4 * smooth_noise(rng, layout.shape, 12)).clip(2) + 24 * fibres


def _debris(rng: np.random.Generator, layout: np.ndarray) -> np.ndarray:
    """Return bright irregular specks, in photons, about one in 200 x 200 pixels of tissue."""
    light = np.zeros(layout.shape, np.float32)
    y, x = np.nonzero(layout)
    for at in rng.integers(0, max(len(y), 1), len(y) // 40_000):
        walk = rng.integers(-1, 2, (2, int(rng.integers(5, 30)))).cumsum(axis=1)
        rows = (y[at] + walk[0]).clip(0, layout.shape[0] - 1)
        columns = (x[at] + walk[1]).clip(0, layout.shape[1] - 1)
        light[rows, columns] += rng.uniform(60, 300)
    return light


def write_tissue(tissue: Tissue, image: Path, cell_truth: Path, nucleus_truth: Path) -> None:
    """Write a tissue as three OME-TIFFs; equal tissues give equal files.

    Parameters
    ----------
    tissue : Tissue
        What to write.
    image, cell_truth, nucleus_truth : Path
        Where to, by custom ``*.ome.tif``. The image is tiled and pyramidal uint16 with channel
        names and pixel size, the truths are label images.
    """
    write_image(image, tissue.image, tissue.channels, tissue.image_mpp)
    write_label_image(cell_truth, tissue.cell_truth, tissue.image_mpp, "cell truth")
    write_label_image(nucleus_truth, tissue.nucleus_truth, tissue.image_mpp, "nucleus truth")
