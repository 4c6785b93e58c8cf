"""What the signal says without masks: sizes, shapes, seams."""

import numpy as np
import pytest
from scipy import ndimage

from cellquilt.quality import signal
from cellquilt.tiling.lattice import plan
from cellquilt.tiling.patches import block_statistics


def discs(radius: float, side: int = 384, pitch: float = 4.0, seed: int = 0) -> np.ndarray:
    """Return sharp discs on a jittered grid, with noise, as codes (1, side, side)."""
    rng = np.random.default_rng(seed)
    step = int(pitch * radius)
    places = np.indices((side // step, side // step)).reshape(2, -1) * step + step // 2
    centres = np.ones((side, side), bool)
    centres[tuple(places + rng.integers(-step // 5, step // 5 + 1, places.shape))] = False
    inside = ndimage.distance_transform_edt(centres) < radius
    image = ndimage.gaussian_filter(8000.0 * inside, 1) + rng.normal(1000, 200, inside.shape)
    return image.clip(0)[None]


def of_blocks(image: np.ndarray) -> dict[str, np.ndarray]:
    return block_statistics(image, plan(*image.shape))


def windows_of(codes: np.ndarray) -> list:
    return signal.windows(codes.shape[1:], of_blocks(codes[0]))


@pytest.mark.parametrize("radius", [4, 6, 9, 12])
def test_the_radius_of_discs_is_found(radius):
    codes = discs(radius)
    found = signal.blobs(codes, 0, windows_of(codes))
    assert found.radius_px() == pytest.approx(radius, rel=0.3)


def test_discs_are_rounder_than_lines_and_noise():
    rng = np.random.default_rng(1)
    fields = ndimage.gaussian_filter(rng.standard_normal((384, 384)), 8)
    lines = 8000 * np.exp(-((fields / fields.std() / 0.15) ** 2)) + rng.normal(
        1000, 200, (384, 384)
    )
    noise = rng.normal(1000, 200, (384, 384))
    scores = [
        signal.blobs(codes, 0, windows_of(codes)).roundness()
        for codes in (discs(6), lines[None], noise[None])
    ]
    assert scores[0] > 0.17 > max(scores[1:])


@pytest.mark.parametrize("shape", [(60, 300), (120, 200), (256, 256), (300, 700), (2000, 2000)])
def test_windows_are_few_and_inside(shape):
    found = signal.windows(shape, of_blocks(np.random.default_rng(0).random(shape)))
    assert len(found) <= signal.N_WINDOWS and bool(found) == (min(shape) >= signal.MIN_WINDOW)
    for window in found:
        assert all(
            0 <= s.start < s.stop <= n for s, n in zip(window, shape, strict=True) if s.start
        )
    assert found == signal.windows(shape, of_blocks(np.random.default_rng(0).random(shape)))


def test_noise_is_no_signal_and_cells_are():
    rng = np.random.default_rng(0)
    image = np.rint(rng.normal(100, 3, (512, 512)))
    assert not signal.has_signal([of_blocks(image)]).any()
    image[:, :256] += discs(6, 512)[0, :, :256] / 40
    found = signal.has_signal([of_blocks(image)])
    assert found[4:12, 4:7].all() and not found[4:12, 11:].any()


def gains(width: int, period: int, by: float) -> np.ndarray:
    return 1 + by * np.array([1, -0.6, 0.8, -1, 0.5])[np.arange(width) // period % 5]


@pytest.mark.parametrize("axis", [0, 1])
def test_seams_of_fields_are_found_at_their_distance(axis):
    fields = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((1024, 1024)), 3)
    codes = 6000 + 1500 * fields[None] / fields.std()
    assert signal.seams(codes, 0) is None
    gain = gains(1024, 200, 0.3)
    spoilt = codes * (gain[None, None] if axis else gain[None, :, None])
    assert signal.seams(spoilt, 0) == pytest.approx(100, abs=2)


def test_a_blank_slide_has_no_seams():
    assert signal.seams(np.zeros((1, 600, 700)), 0) is None
