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
@pytest.mark.parametrize("lowest", [False, True])
def test_tiles_are_blended_as_by_numpy(rng, n_maps, lowest):
    """A row of three tiles, of which the middle one is not there, below another row."""
    height, width, overlap = 20, 30, 8
    step = width - overlap
    above = rng.random((overlap, 2 * step + width, n_maps))
    maps = [rng.random((height, width, n_maps), np.float32) for _ in range(2)]
    weights = [(rng.random(height), rng.random(width)) for _ in maps]
    sums = np.zeros((height, 2 * step + width, n_maps))
    sums[:overlap] = above
    for left, values, (rows, columns) in zip((0, 2 * step), maps, weights, strict=True):
        sums[:, left : left + width] += values * (rows[:, None, None] * columns[None, :, None])

    n_done = height if lowest else height - overlap
    done = np.full((n_maps, n_done, sums.shape[1]), np.nan, np.float32)
    flat, before = above.reshape(overlap, -1), np.zeros((height, overlap * n_maps))
    before[:overlap] = flat[:, : overlap * n_maps]
    nothing = np.empty((0, width * n_maps), np.float32)
    given = [maps[0].reshape(height, -1), nothing, maps[1].reshape(height, -1)]
    for number, (values, (rows, columns)) in enumerate(
        zip(given, [weights[0], weights[0], weights[1]], strict=True)
    ):
        left, n_columns = number * step, width if number == 2 else step
        around = flat[:, left * n_maps : (left + width) * n_maps]
        target = done[:, :, left : left + n_columns]
        tiles.blend(values, rows, columns.repeat(n_maps), around, before, target)
    expected = np.moveaxis(sums.astype(np.float32), -1, 0)
    np.testing.assert_array_equal(done, expected[:, :n_done])
    if not lowest:
        np.testing.assert_array_equal(above, sums[height - overlap :])
