"""The tile lattice: deepcell's tiles, deepcell's blending, whole or in part."""

import numpy as np
import pytest

from cellquilt.tiling.lattice import STRIDE, TILE, Blender, plan

SIZES = [
    (256, 256),
    (257, 256),
    (256, 257),
    (257, 449),
    (448, 448),
    (448, 449),
    (449, 640),
    (641, 832),
    (1000, 300),
    (300, 1000),
    (1021, 777),
]


def image_of(height, width):
    """Return pixels that are all different."""
    return np.random.default_rng(height * width).random((height, width, 2), np.float32)


@pytest.fixture(scope="module")
def reference(deepcell):
    """What deepcell_toolbox makes of an image of every size."""
    return deepcell("tile", {f"{h}x{w}": {"image": image_of(h, w)} for h, w in SIZES})


def padded_tiles(image):
    """Return the lattice of an image and its tiles by `Axis.source`, in raster order."""
    lattice = plan(*image.shape[:2])
    rows, cols = (axis.source(0, axis.padded) for axis in (lattice.rows, lattice.cols))
    padded = image[np.ix_(rows, cols)] * ((rows >= 0)[:, None] & (cols >= 0))[..., None]
    tiles = [
        padded[top : top + TILE, left : left + TILE]
        for top in range(0, len(rows) - TILE + 1, STRIDE)
        for left in range(0, len(cols) - TILE + 1, STRIDE)
    ]
    return lattice, tiles


def blend(lattice, tiles, tile_rows, tile_cols):
    """Blend part of the lattice, the i-th of all n tiles scaled by (i + 1) / n."""
    blender = Blender(lattice, tile_rows, tile_cols, 2)
    result = np.zeros((blender.height, blender.width, 2), np.float32)
    for row in tile_rows:
        for col in tile_cols:
            index = row * lattice.cols.n_tiles + col
            scale = np.float32(index + 1) / np.float32(len(tiles))
            blender.add(row, col, tiles[index] * scale)
        start, rows = blender.flush()
        result[start : start + rows.shape[1]] = np.moveaxis(rows, 0, -1)
    return result


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tiles_and_blending_are_deepcells(reference, height, width):
    theirs = reference[f"{height}x{width}"]
    lattice, tiles = padded_tiles(image_of(height, width))
    assert np.array_equal(tiles, theirs["tiles"])

    whole = blend(lattice, tiles, range(lattice.rows.n_tiles), range(lattice.cols.n_tiles))
    y, x = lattice.rows.before, lattice.cols.before
    assert np.array_equal(whole[y : y + height, x : x + width], theirs["blended"])


@pytest.mark.parametrize("size", [(1021, 1300), (1000, 300), (300, 1000)])
def test_part_of_the_lattice_blends_as_the_whole_in_its_interior(size):
    lattice, tiles = padded_tiles(image_of(*size))
    all_rows, all_cols = range(lattice.rows.n_tiles), range(lattice.cols.n_tiles)
    whole = blend(lattice, tiles, all_rows, all_cols)
    tile_rows, tile_cols = all_rows[1:4], all_cols[1:4]
    part = blend(lattice, tiles, tile_rows, tile_cols)

    def interior(tiles_there, every):
        start = tiles_there.start * STRIDE + (TILE - STRIDE if tiles_there.start else 0)
        stop = (tiles_there.stop - 1) * STRIDE + TILE
        return range(start, stop if tiles_there.stop == every.stop else stop - (TILE - STRIDE))

    rows, cols = interior(tile_rows, all_rows), interior(tile_cols, all_cols)
    y, x = tile_rows.start * STRIDE, tile_cols.start * STRIDE
    assert len(rows) > 0 and len(cols) > 0
    assert np.array_equal(
        whole[rows.start : rows.stop, cols.start : cols.stop],
        part[rows.start - y : rows.stop - y, cols.start - x : cols.stop - x],
    )


@pytest.mark.parametrize("size", [1, 2, 100, 255, 256, 257, 448, 449, 1000, 12345])
def test_tiles_of_names_exactly_the_tiles_that_show_a_pixel(size):
    axis = plan(size, 300).rows
    starts = np.arange(axis.n_tiles) * STRIDE - axis.before
    for start in {0, size // 3, size // 2, size - 1}:
        for stop in {start + 1, min(start + 200, size)}:
            shows = (starts < stop) & (starts + TILE > start)
            assert list(axis.tiles_of(start, stop)) == list(np.flatnonzero(shows))


@pytest.mark.parametrize("size", [2, 77, 100, 129, 200, 255])
def test_a_side_shorter_than_a_tile_is_reflected_as_by_deepcell(size):
    missing = TILE - size
    expected = np.pad(np.arange(size), (missing // 2, missing - missing // 2), "reflect")
    axis = plan(size, 1000).rows
    assert axis.n_tiles == 1
    assert np.array_equal(axis.source(0, TILE), expected)


def test_blender_refuses_tiles_out_of_order():
    lattice = plan(700, 700)
    blender = Blender(lattice, range(lattice.rows.n_tiles), range(lattice.cols.n_tiles), 1)
    with pytest.raises(ValueError, match="flush"):
        blender.add(1, 0, np.zeros((TILE, TILE, 1), np.float32))
