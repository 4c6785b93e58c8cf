"""The generated tissue: reproducible, consistent ground truth, and an image as specified."""

from pathlib import Path

import numpy as np
import ome_types
import pytest
import tifffile
from skimage import measure, segmentation

from cellquilt.errors import DataError
from cellquilt.synthetic import tissue
from cellquilt.synthetic.microscope import CAMERA_OFFSET, READ_NOISE

HEIGHT, WIDTH, EMPTY_WIDTH = 601, 700, 210


@pytest.fixture(scope="module")
def slide():
    return tissue.generate_tissue(HEIGHT, WIDTH, seed=7, empty_width=EMPTY_WIDTH)


@pytest.fixture
def generate(bin_script):
    """Return a function that runs the script and gives image, cell truth and nucleus truth."""

    def run(folder: Path, *options: str) -> list[Path]:
        done = bin_script("generate", *options, "--outdir", folder)
        assert done.returncode == 0, done.stderr
        return [folder / f"{name}.ome.tif" for name in ("tissue", "cell_truth", "nucleus_truth")]

    return run


def test_same_seed_gives_identical_files_and_another_seed_others(generate, tmp_path):
    by_script = generate(tmp_path / "script", "--height", "300", "--width", "640", "--seed", "3")
    for seed in (3, 4):
        paths = [tmp_path / f"{seed}-{path.name}" for path in by_script]
        tissue.write_tissue(tissue.generate_tissue(300, 640, seed), *paths)
        for ours, theirs in zip(paths, by_script, strict=True):
            assert (ours.read_bytes() == theirs.read_bytes()) == (seed == 3)


def test_labels_are_contiguous_and_of_one_piece(slide):
    cells, nuclei = slide.cell_truth, slide.nucleus_truth
    assert cells.dtype == nuclei.dtype == np.uint32
    n = int(cells.max())
    assert n > 200
    assert np.array_equal(np.unique(cells), np.arange(n + 1))
    assert np.array_equal(np.union1d(cells, nuclei), np.arange(int(nuclei.max()) + 1))
    assert measure.label(cells, connectivity=1).max() == n
    assert measure.label(nuclei, connectivity=1).max() == len(np.unique(nuclei)) - 1


def test_each_nucleus_lies_within_its_cell_or_has_none(slide):
    cells, nuclei = slide.cell_truth, slide.nucleus_truth
    n = cells.max()
    owned = (nuclei > 0) & (nuclei <= n)
    assert np.array_equal(nuclei[owned], cells[owned])
    assert not cells[nuclei > n].any()
    membrane = segmentation.find_boundaries(cells, connectivity=1, mode="inner")
    assert not nuclei[membrane].any()


def test_some_cells_lack_a_nucleus_and_some_nuclei_a_cell(slide):
    n = int(slide.cell_truth.max())
    with_nucleus = np.unique(slide.nucleus_truth)
    without = np.setdiff1d(np.arange(1, n + 1), with_nucleus)
    assert 0 < len(without) < 0.1 * n
    assert 0 < int(slide.nucleus_truth.max()) - n < 0.1 * n


def test_cells_touch_and_sizes_vary_as_in_tissue(slide):
    cells = slide.cell_truth
    beside = (cells[:, :-1] != cells[:, 1:]) & (cells[:, :-1] > 0) & (cells[:, 1:] > 0)
    touching = np.union1d(cells[:, :-1][beside], cells[:, 1:][beside])
    assert len(touching) > 0.5 * cells.max()
    diameter = 2 * np.sqrt(np.bincount(cells.ravel())[1:] / np.pi) * slide.image_mpp
    low, high = np.quantile(diameter, (0.1, 0.9))
    assert 6 < low < 9
    assert 13 < high < 20


def test_image_shows_what_the_truth_says(slide):
    image, cells, nuclei = slide.image, slide.cell_truth, slide.nucleus_truth
    assert image.dtype == np.uint16
    assert image.shape == (6, HEIGHT, WIDTH)
    assert image.max() < np.iinfo(np.uint16).max
    plane = dict(zip(slide.channels, image.astype(float) - CAMERA_OFFSET, strict=True))
    assert list(plane) == ["DAPI", "CD45", "PanCK", "Vimentin", "Ki67", "Autofluorescence"]

    outside = (cells == 0) & (nuclei == 0)
    assert plane["DAPI"][nuclei > 0].mean() > 5 * plane["DAPI"][outside].mean()
    membrane = segmentation.find_boundaries(cells, connectivity=1, mode="inner")
    interior = (cells > 0) & ~membrane
    for marker in ("CD45", "PanCK"):
        assert plane[marker][membrane].mean() > 1.5 * plane[marker][interior].mean()
    # CD45 and PanCK are on different cells.
    area = np.bincount(cells.ravel())[1:]
    cd45, panck = (
        np.bincount(cells.ravel(), plane[marker].ravel())[1:] / area for marker in ("CD45", "PanCK")
    )
    assert np.corrcoef(cd45, panck)[0, 1] < -0.3
    positive = panck > 2 * cd45
    assert np.median(area[positive]) > 2 * np.median(area[cd45 > 2 * panck])


def check_dark(image: np.ndarray) -> None:
    """Assert that planes hold camera offset and independent read noise, nothing else."""
    for plane in image.astype(float):
        assert abs(plane.mean() - CAMERA_OFFSET) < 0.1
        assert abs(plane.std() - READ_NOISE) < 0.1
        assert abs(plane.mean(axis=0) - CAMERA_OFFSET).max() < 8 * READ_NOISE / len(plane) ** 0.5
        assert abs(np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1]) < 0.02


def test_empty_strip_is_dark_and_without_truth(slide):
    strip = np.s_[..., WIDTH - EMPTY_WIDTH :]
    assert not slide.cell_truth[strip].any()
    assert not slide.nucleus_truth[strip].any()
    check_dark(slide.image[strip])
    assert slide.cell_truth[:, : WIDTH - EMPTY_WIDTH].any(axis=0).mean() > 0.8


def test_files_have_names_sizes_and_pyramid(tmp_path, slide):
    paths = [tmp_path / f"{name}.ome.tif" for name in ("image", "cell", "nucleus")]
    tissue.write_tissue(slide, *paths)
    arrays = (slide.image, slide.cell_truth, slide.nucleus_truth)
    names = (list(slide.channels), ["cell truth"], ["nucleus truth"])
    for path, array, expected in zip(paths, arrays, names, strict=True):
        with tifffile.TiffFile(path) as tiff:
            assert np.array_equal(tiff.asarray(), array)
            assert tiff.pages.first.is_tiled
            full, half = tiff.series[0].levels
            assert half.shape[-2:] == (301, 350)
            assert half.dtype == full.dtype == array.dtype
            ome = ome_types.from_xml(tiff.ome_metadata, validate=True)
        pixels = ome.images[0].pixels
        assert [channel.name for channel in pixels.channels] == expected
        for size, unit in (
            (pixels.physical_size_x, pixels.physical_size_x_unit),
            (pixels.physical_size_y, pixels.physical_size_y_unit),
        ):
            assert size == 0.5
            assert unit.value == "µm"
    block = slide.image[2, :2, :2].mean()
    assert abs(tifffile.imread(paths[0], level=1)[2, 0, 0] - block) <= 0.5


def test_empty_option_gives_a_slide_without_tissue(generate, tmp_path):
    image, cells, nuclei = map(
        tifffile.imread,
        generate(tmp_path / "empty", "--height", "512", "--width", "400", "--empty"),
    )
    check_dark(image)
    assert not cells.any()
    assert not nuclei.any()
    assert cells.shape == nuclei.shape == (512, 400)


@pytest.mark.parametrize("seed", range(6))
def test_no_cell_reaches_into_the_empty_strip(seed):
    small = tissue.generate_tissue(600, 120, seed, empty_width=60)
    assert small.cell_truth[:, :60].any()
    assert not small.cell_truth[:, 60:].any()
    assert not small.nucleus_truth[:, 60:].any()


@pytest.mark.parametrize("shape", [(1, 1), (97, 40)])
def test_any_size_will_do(shape):
    small = tissue.generate_tissue(*shape, seed=1, empty_width=0)
    assert small.image.shape == (6, *shape)


def test_impossible_size_or_seed_is_an_error():
    for arguments in ((0, 10, 1), (10, -1, 1), (10, 10, -1)):
        with pytest.raises(DataError, match="cannot be generated"):
            tissue.generate_tissue(*arguments)
