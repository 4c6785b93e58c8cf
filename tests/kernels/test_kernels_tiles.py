"""The kernels of a network's tiles against numpy, bit for bit."""

import numpy as np
import pytest
from cellquilt_kernels import tiles

N_CODES = 16_384


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_pixels_are_what_codes_stand_for(rng, n_channels):
    """Also of a window in a larger array."""
    tables = rng.random((2, N_CODES), np.float32)
    codes = rng.integers(0, N_CODES, (2, 70, 90), "uint16")[:, 3:67, 10:80]
    pixels = np.empty((64, 70, n_channels), np.float32)
    assert tiles.look_up(codes, tables, pixels) is False
    for channel in range(n_channels):
        np.testing.assert_array_equal(pixels[..., channel], tables[channel][codes[channel]])


def test_a_tile_is_constant_where_both_channels_are(rng):
    tables = rng.random((2, N_CODES), np.float32)
    pixels = np.empty((8, 9, 1), np.float32)
    codes = np.full((2, 8, 9), 3, np.uint16)
    codes[1] = 7
    assert tiles.look_up(codes, tables, pixels) is True
    for place in ((0, 7, 8), (1, 7, 8), (1, 0, 1)):
        other = codes.copy()
        other[place] = 0
        assert tiles.look_up(other, tables, pixels) is False


def test_a_code_that_stands_for_nothing_is_an_error(rng):
    codes = np.full((2, 4, 4), 5, np.uint16)
    codes[1, 3, 3] = N_CODES
    tables = rng.random((2, N_CODES), np.float32)
    with pytest.raises(ValueError, match="code 16384 of a tile is not among its 16384"):
        tiles.look_up(codes, tables, np.empty((4, 4, 2), np.float32))


@pytest.mark.parametrize("n_maps", [1, 3, 4])
def test_sums_of_weighted_maps_are_numpys(rng, n_maps):
    band = rng.random((20, 50, n_maps))
    maps = rng.random((20, 30, n_maps), np.float32)
    rows, columns = rng.random(20), rng.random(30)
    expected = band.copy()
    expected[:, 7:37] += maps * (rows[:, None, None] * columns[None, :, None])
    part = band[:, 7:37].reshape(20, -1, copy=False)
    tiles.add(part, maps.reshape(20, -1), rows, columns.repeat(n_maps))
    np.testing.assert_array_equal(band, expected)
    rounded = np.empty((n_maps, 20, 50), np.float32)
    tiles.finish(band, rounded)
    np.testing.assert_array_equal(rounded, np.moveaxis(expected.astype(np.float32), -1, 0))
