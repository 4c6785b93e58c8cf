"""The two pixel grids: resized as deepcell does, whichever strip is asked for."""

import itertools

import numpy as np
import pytest

from cellquilt.tiling.pixel_grid import Grid

PIXEL_SIZES = [0.2, 0.325, 0.37745, 0.499, 0.65, 1.0]
DTYPES = ["uint8", "uint16", "float32", "float64"]
OFFSETS = [0, 100]
CASES = [
    f"{mpp} {dtype} {offset}"
    for mpp, dtype, offset in itertools.product(PIXEL_SIZES, DTYPES, OFFSETS)
]


def image_of(case, tissue_image):
    """Return the grid and the (240, 331, 2) pixels of a case."""
    mpp, dtype, offset = case.split()
    crop = tissue_image[100:340, 50:381]
    pixels = crop >> 8 if dtype == "uint8" else crop - crop.min()
    return Grid(240, 331, float(mpp)), pixels.astype(dtype) + np.array(int(offset), dtype)


def labels_of(grid):
    """Return labels of the model's grid that are all different, twice."""
    labels = np.arange(np.prod(grid.model_shape)).reshape(grid.model_shape)
    return np.stack([labels, labels[::-1]], axis=-1)


@pytest.fixture(scope="module")
def reference(deepcell, tissue_image):
    """What deepcell_toolbox resizes in every case."""
    cases = {}
    for case in CASES:
        grid, image = image_of(case, tissue_image)
        cases[case] = {"image": image, "shape": grid.model_shape, "labels": labels_of(grid)}
    return deepcell("resize", cases)


@pytest.mark.parametrize("case", CASES)
def test_strips_are_those_of_deepcells_resized_image(reference, tissue_image, case):
    grid, image = image_of(case, tissue_image)
    limits = (image.min(), image.max())
    height = grid.model_shape[0]
    for index, n_rows in ((0, 37), (1, 256)):
        strips = [
            grid.to_model(
                lambda y0, y1, index=index: image[y0:y1, :, index],
                start,
                min(start + n_rows, height),
                limits,
            )
            for start in range(0, height, n_rows)
        ]
        ours, theirs = np.concatenate(strips), reference[case]["image"][..., index]
        assert ours.dtype == image.dtype
        if image.dtype == np.float64:
            # scipy 1.18 and deepcell's 1.15 differ in the last bit of a gaussian; the network
            # takes float32
            np.testing.assert_allclose(ours, theirs, rtol=1e-15, atol=0)
        else:
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("mpp", PIXEL_SIZES)
def test_labels_come_back_as_deepcells(reference, mpp):
    grid = Grid(240, 331, mpp)
    back = labels_of(grid)[np.ix_(grid.label_rows(), grid.label_cols())]
    assert np.array_equal(back, reference[f"{mpp} uint16 0"]["labels"])


@pytest.mark.parametrize("size", [12, 31, 1008, 1344, 4099, 1_000_003])
@pytest.mark.parametrize("mpp", [*PIXEL_SIZES, 0.1, 0.3333, 2.5])
def test_every_input_pixel_takes_the_label_under_its_centre(size, mpp):
    grid = Grid(size, size, mpp)
    n_model = grid.model_shape[0]
    source = grid.label_rows()
    centre = (np.arange(size) + 0.5) * n_model / size - 0.5
    assert np.array_equal(source, grid.label_cols())
    assert source.min() >= 0 and source.max() <= n_model - 1
    assert np.abs(source - centre).max() <= 0.5 + 1e-6


def test_the_grids_are_the_same_at_the_models_pixel_size():
    grid = Grid(300, 400, 0.5)
    assert not grid.resized
    assert grid.model_shape == (300, 400)
    rows = np.arange(1200.0).reshape(3, 400)
    assert np.array_equal(grid.to_model(lambda y0, y1: rows[y0:y1], 1, 3, None), rows[1:])
