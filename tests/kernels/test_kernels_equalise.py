"""The normalisation's kernels against scikit-image and numpy, bit for bit."""

import numpy as np
import pytest
from cellquilt_kernels import equalise
from skimage import img_as_uint
from skimage.exposure import rescale_intensity
from skimage.exposure._adapthist import _clahe

from cellquilt.slides.normalise import (
    KERNEL,
    TopValues,
    channel_of,
    clahe_context,
    clahe_rows,
    grey_levels,
)

SMALL_INTEGERS = ["uint8", "int8", "uint16", "int16"]


def grey_images(shape):
    """Return 14-bit images of that shape, by what is peculiar to them."""
    rng = np.random.default_rng(shape)
    ramp = np.add.outer(np.arange(shape[0]) * 37, np.arange(shape[1]) * 11)
    images = {
        "noise": rng.integers(0, 2**14, shape),
        "dark": rng.gamma(1, 800, shape).clip(0, 2**14 - 1),
        "constant": np.full(shape, rng.integers(0, 2**14)),
        "two values": np.where(rng.random(shape) < 0.5, 0, 2**14 - 1),
        "ramp": ramp % 2**14,
        "few values, some rare": rng.choice([0, 65, 130, 16_383], shape, p=[0.9, 0.05, 0.04, 0.01]),
    }
    return {name: image.astype(np.uint16) for name, image in images.items()}


@pytest.mark.parametrize(
    "shape",
    [(2, 2), (2, 200), (1, 5), (5, 1), (63, 64), (64, 65), (127, 129), (128, 128), (129, 257)]
    + [(192, 300), (255, 70), (256, 256), (385, 390), (40, 600)],
)
def test_clahe_is_scikit_images(shape):
    for name, grey in grey_images(shape).items():
        bins = (grey // 65).astype(np.uint8)
        codes = np.empty(shape, np.uint16)
        equalise.clahe(bins, 0, shape[0], codes)
        np.testing.assert_array_equal(codes, _clahe(grey, [128, 128], 0.01, 256), err_msg=name)


@pytest.mark.parametrize("height", [1, 127, 128, 129, 255, 256, 257, 383, 384, 385, 650])
@pytest.mark.parametrize("rows", [KERNEL, 3 * KERNEL])
def test_rows_with_their_context_are_those_of_the_whole(height, rows):
    bins = np.random.default_rng(height).integers(0, 253, (height, 210)).astype(np.uint8)
    whole = clahe_rows(bins, 0, 0, height)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first, last = clahe_context(start, stop, height)
        part = clahe_rows(bins[first:last].copy(), first, start, stop)
        np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize("dtype", [*SMALL_INTEGERS, ">u2", ">i2"])
def test_table_of_grey_levels_is_scikit_images_arithmetic(dtype):
    limits = np.iinfo(dtype)
    pixels = np.arange(limits.min, limits.max + 1).astype(dtype).reshape(2, -1)
    for low, percentile in [(limits.min, limits.max - 3.3), (3, 77.7), (limits.max // 3, 1e9)]:
        top = TopValues(1)
        channel = channel_of(top, low, limits.max, pixels.dtype)
        assert channel.constant
        top.value = lambda percentile=percentile: min(percentile, float(limits.max))
        channel = channel_of(top, low, limits.max, pixels.dtype)
        clipped = np.minimum(pixels, pixels.dtype.type(channel.percentile)).astype(np.float32)
        levels = img_as_uint(
            rescale_intensity(clipped, in_range=(channel.low, channel.high), out_range=(0.0, 1.0))
        )
        rescaled = np.round(rescale_intensity(levels, (0, 2**16 - 1), (0, 2**14 - 1)))
        np.testing.assert_array_equal(grey_levels(pixels, channel), rescaled // 65)
        as_float = pixels.astype(np.float64)
        if percentile == int(percentile):
            np.testing.assert_array_equal(grey_levels(as_float, channel), rescaled // 65)


@pytest.mark.parametrize("dtype", SMALL_INTEGERS)
@pytest.mark.parametrize("percentile", [0.1, 50, 99.9, 100])
def test_percentile_by_counting_is_that_of_the_sorted_pixels(dtype, percentile):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    for n in (1, 2, 3, 1000, 5001):
        pixels = rng.integers(limits.min, limits.max, n, dtype, endpoint=True)
        pixels[rng.random(n) < 0.3] = 0
        top = TopValues(n, percentile)
        for strip in np.array_split(pixels, 3):
            top.add(strip)
        nonzero = pixels[pixels != 0].astype(np.float64)
        if nonzero.size == 0:
            assert top.value() is None
        else:
            assert top.value() == np.percentile(nonzero, percentile)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("entry", ["uint8", "float32"])
def test_lookup_and_histogram_are_numpys(dtype, entry):
    rng = np.random.default_rng(1)
    n = np.iinfo(dtype).max + 1
    values = rng.integers(0, n, 10_007).astype(dtype)
    table = rng.integers(0, 256, n).astype(entry)
    out = np.empty(values.size, entry)
    equalise.lookup(values, table, out)
    np.testing.assert_array_equal(out, table[values])
    counts = np.ones(n, np.int64)
    equalise.histogram(values, counts)
    np.testing.assert_array_equal(counts, 1 + np.bincount(values, minlength=n))


def test_arrays_that_do_not_fit_are_refused():
    bins, codes = np.zeros((10, 20), np.uint8), np.zeros((5, 20), np.uint16)
    for start, stop in [(-1, 4), (5, 5), (6, 11), (0, 4)]:
        with pytest.raises(ValueError):
            equalise.clahe(bins, start, stop, codes)
    with pytest.raises(ValueError):
        equalise.histogram(bins.reshape(-1), np.zeros(255, np.int64))
    with pytest.raises(ValueError):
        equalise.lookup(bins.reshape(-1), np.zeros(256, np.float32), np.zeros(199, np.float32))
