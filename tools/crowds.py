"""Compose crowded tissues of nuclei that a person outlined, to train the network for nuclei on."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi

AREAS = (45.0, 300.0)  # of the median nucleus of a tissue, px
CUT_AREA = 300.0  # to which nuclei are brought when they are cut, px
LEAST_AREA = 40  # of a nucleus that is cut, px
MOST = 12  # nuclei that are cut from an image
HIDDEN = 0.25  # share of a nucleus that may lie below others


def cut(
    pixels: np.ndarray, labels: np.ndarray, median_area: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return some nuclei of an image, none of them at its edge.

    Returns
    -------
    list of (2, h, w) ndarray
        The light of a nucleus, of mean 1 and 0 around it, and 1 where it is; all of one area.
    """
    bare = labels == 0
    dark = np.median(pixels[bare]) if bare.any() else 0.0
    boxes = ndi.find_objects(labels)
    found = []
    for index in rng.permutation(len(boxes)):
        box = boxes[index]
        if box is None or any(
            a.start == 0 or a.stop == n for a, n in zip(box, labels.shape, strict=True)
        ):
            continue
        own = np.pad(labels[box] == index + 1, 2)
        area = own.sum()
        if not 0.4 < area / median_area < 2.5 or area < LEAST_AREA:
            continue
        light = np.pad(pixels[box].astype(np.float32) - dark, 2).clip(0) * own
        if light.sum() <= 0:
            continue
        light /= light.sum() / area
        scale = float(np.sqrt(CUT_AREA / area))
        light = ndi.gaussian_filter(light, 0.4 / scale) if scale < 1 else light
        found.append(np.stack([ndi.zoom(plane, scale, order=1) for plane in (light, own * 1.0)]))
        if len(found) == MOST:
            break
    return found


def crowd(
    nuclei: Sequence[np.ndarray], rng: np.random.Generator, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a square tissue of nuclei that touch and overlap: its light, and its labels.

    Some of it is bare, nuclei of another depth shine through, and it is blurred and noisy.

    Parameters
    ----------
    nuclei : sequence of ndarray
        From `cut`.
    rng : Generator
    side : int
        In pixels.
    """
    area = float(np.exp(rng.uniform(*np.log(AREAS))))
    y, x = _places(rng, side, 2 * np.sqrt(area / np.pi) * rng.uniform(0.9, 1.3))
    coarse = ndi.zoom(rng.random((6, 6)), side / 6, order=1, grid_mode=True, mode="nearest")
    bare = coarse < np.quantile(coarse, rng.uniform(0, 0.4))
    varying, long = rng.uniform(0.1, 0.45), rng.uniform(0, 0.2)
    light, labels = np.zeros((side, side), np.float32), np.zeros((side, side), np.int32)
    for number, one in enumerate(rng.permutation(y.size), 1):
        if not (0 <= y[one] < side and 0 <= x[one] < side) or bare[int(y[one]), int(x[one])]:
            continue
        planes = nuclei[rng.integers(len(nuclei))]
        size = np.sqrt(area / CUT_AREA) * np.exp(rng.normal(0, 0.12))
        stretch, angle = np.exp(rng.normal(0, long)), rng.uniform(0, 2 * np.pi)
        turned, top, left = _turned(planes, y[one], x[one], size, stretch, angle)
        y0, x0 = max(top, 0), max(left, 0)
        shine, own = turned[:, y0 - top :, x0 - left :][:, : side - y0, : side - x0]
        window = np.s_[y0 : y0 + own.shape[0], x0 : x0 + own.shape[1]]
        own, there = own > 0.5, labels[window]
        if (own & (there > 0)).sum() > HIDDEN * own.sum():
            continue
        there[own & (there == 0)] = number
        shine = shine * np.float32(np.exp(rng.normal(0, varying)))
        np.maximum(light[window], shine, out=light[window])
    deeper = ndi.gaussian_filter(np.roll(light, (61, -43), (0, 1)), rng.uniform(2, 5))
    haze = ndi.gaussian_filter(light, rng.uniform(3, 12))
    light += rng.uniform(0, 0.6) * deeper + rng.uniform(0, 0.3) * haze
    light = ndi.gaussian_filter(light, rng.uniform(0.3, 1.1))
    light += rng.normal(0, rng.uniform(0, 0.08), light.shape) + 0.15
    return light.clip(0).astype(np.float32), labels


def _places(rng: np.random.Generator, side: int, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of a hexagonal lattice over a square, each place moved."""
    spread = rng.uniform(0.1, 0.3)
    y, x = np.mgrid[: int(side / (pitch * 0.866)) + 2, : int(side / pitch) + 2].astype(float)
    x += 0.5 * (y % 2)
    y, x = y.ravel() * pitch * 0.866, x.ravel() * pitch
    y += rng.normal(0, spread * pitch, y.size)
    x += rng.normal(0, spread * pitch, x.size)
    return y, x


def _turned(
    planes: np.ndarray, y: float, x: float, size: float, stretch: float, angle: float
) -> tuple[np.ndarray, int, int]:
    """Return a nucleus turned, scaled and stretched around a place, with its top and left."""
    cos, sin = np.cos(angle), np.sin(angle)
    back = np.array([[cos, sin], [-sin, cos]]) / size
    back *= np.array([[stretch], [1 / stretch]])
    half = int(np.ceil(0.75 * max(planes.shape[1:]) * size * max(stretch, 1 / stretch)))
    top, left, wide = int(y) - half, int(x) - half, 2 * half + 1
    middle = np.array(planes.shape[1:]) / 2 - 0.5
    offset = middle - back @ np.array([y - top, x - left])
    turned = [ndi.affine_transform(one, back, offset, (wide, wide), order=1) for one in planes]
    return np.stack(turned), top, left
