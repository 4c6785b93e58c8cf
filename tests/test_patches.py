"""The patch grid, the quality control of patches, and their grouping into tasks."""

import numpy as np
import pytest
from steps import ingest_image, label_tasks, plan_store, segment_tasks, stitch_tasks

from cellquilt import patches
from cellquilt.lattice import STRIDE, TILE, plan
from cellquilt.patches import assess, block_statistics, group_patches, plan_patches, tiles_of
from cellquilt.stitch import add_counts

SIDES = [2, 100, 255, 256, 257, 448, 449, 700, 1008, 1344, 5000, 33_001]
PATCH_SIZES = [1, 192, 300, 512, 1536, 10_000]
REACH = patches.SMOOTHING_REACH


def ranges(spans):
    """Return the distinct (start, stop) in order."""
    return sorted(set(spans))


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
@pytest.mark.parametrize("height", SIDES)
def test_cores_tile_the_image(height, patch_size):
    for width in (100, 1344):
        found = plan_patches(plan(height, width), patch_size)
        rows = ranges((patch.y0, patch.y1) for patch in found)
        cols = ranges((patch.x0, patch.x1) for patch in found)
        for spans, side in ((rows, height), (cols, width)):
            assert spans[0][0] == 0 and spans[-1][1] == side
            assert all(a[1] == b[0] for a, b in zip(spans, spans[1:], strict=False))
            sides = np.diff(spans).ravel()
            assert sides.min() >= min(side, 128)
            assert sides.max() <= max(round(patch_size / STRIDE) + 1, 2) * STRIDE
        in_raster_order = [(y0, y1, x0, x1) for y0, y1 in rows for x0, x1 in cols]
        assert [(p.y0, p.y1, p.x0, p.x1) for p in found] == in_raster_order
        assert [patch.patch_id for patch in found] == list(range(len(found)))


@pytest.mark.parametrize("size", [(100, 180), (500, 900), (1500, 300)])
@pytest.mark.parametrize("halo", [0, 96, 152, 400])
def test_a_patch_gets_every_tile_that_its_window_is_in(size, halo):
    lattice = plan(*size)
    tops, lefts = (
        np.arange(axis.n_tiles) * STRIDE - axis.before for axis in (lattice.rows, lattice.cols)
    )
    for patch in plan_patches(lattice, 384):
        y0, y1, x0, x1 = patch.window(halo + REACH, lattice)
        expected = [
            (row, col)
            for row, top in enumerate(tops)
            for col, left in enumerate(lefts)
            if top < y1 and top + TILE > y0 and left < x1 and left + TILE > x0
        ]
        assert tiles_of(lattice, [patch], halo) == expected


def test_a_halo_of_152_px_needs_no_more_tiles_than_the_core():
    lattice = plan(5000, 5000)
    middle = next(p for p in plan_patches(lattice, 768) if p.row == p.col == 3)
    n_tiles = (middle.y1 - middle.y0) // STRIDE + 2
    assert len(tiles_of(lattice, [middle], 152)) == n_tiles**2
    assert len(tiles_of(lattice, [middle], 153)) == (n_tiles + 2) ** 2


@pytest.mark.parametrize("patches_per_task", [1, 2, 3, 5, 16, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_each_informative_patch_is_in_one_task(patches_per_task, seed):
    rng = np.random.default_rng(seed)
    found = plan_patches(plan(*rng.integers(300, 9000, 2)), 512)
    informative = rng.random(len(found)) < seed / 3
    groups = group_patches(found, informative, patches_per_task)
    assert all(0 < len(group) <= patches_per_task for group in groups)
    ids = [patch.patch_id for group in groups for patch in group]
    assert sorted(ids) == list(np.flatnonzero(informative))


@pytest.fixture(scope="module")
def slide(tissue_image):
    """Return the tissue with its lower left corner replaced by noise, and more of it by zeros."""
    image = tissue_image.copy()
    noise = image[:200, 560:]  # no light falls there
    image[300:, :420] = np.tile(noise, (2, 3, 1))[: image.shape[0] - 300, :420]
    image[:230, 500:] = 0
    return image


def judge(image, rule="default", min_contrast=0.03, patch_size=192):
    """Return the patches of an image and the table of their quality."""
    lattice = plan(*image.shape[:2])
    found = plan_patches(lattice, patch_size)
    channels = [block_statistics(image[..., index], lattice) for index in range(image.shape[-1])]
    return found, assess(found, lattice, channels, rule, min_contrast)


def test_noise_and_blanks_are_skipped_and_tissue_is_not(slide):
    found, table = judge(slide)
    reasons = dict(zip(((p.row, p.col) for p in found), table["reason"], strict=True))
    assert reasons[0, 3] == "constant"
    assert reasons[2, 0] == reasons[3, 0] == reasons[3, 1] == "no_signal"
    assert all(reasons[0, col] == reasons[1, col] == "" for col in range(2))
    assert list(table["is_informative"]) == [not reason for reason in table["reason"]]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image + np.uint16(100),
        lambda image: image.astype(np.float32),
        lambda image: image.astype(np.float64) / 65535,
        lambda image: image.astype(np.uint32) * 257,
        lambda image: image.astype(np.int32) - 20_000,
    ],
    ids=["offset", "float32", "0 to 1", "more bits", "below zero"],
)
def test_offset_gain_and_dtype_change_no_judgement(slide, change):
    _, table = judge(slide)
    _, changed = judge(change(slide))
    assert list(changed["reason"]) == list(table["reason"])
    assert table["is_informative"].nunique() == 2


def test_reference_rule_is_aegles(slide):
    image = np.zeros((448, 448, 1), np.uint16)  # four cores of 224 px
    image[:224, :224] = 3
    image[:50, 224:] = 1  # 22 % not zero, mean 0.22
    image[224:, :10] = 100  # 4.5 % not zero
    image[224:, 224:][:11] = 21  # 4.9 % not zero, mean 1.03
    _, table = judge(image, rule="reference")
    assert list(table["nuclear_mean"]) == pytest.approx([3, 50 / 224, 1000 / 224, 231 / 224])
    assert list(table["nuclear_nonzero_fraction"]) == pytest.approx(
        [1, 50 / 224, 10 / 224, 11 / 224]
    )
    assert list(table["is_empty"]) == [False, False, True, True]
    assert list(table["is_noisy"]) == [False, True, False, False]
    assert list(table["is_informative"]) == [True, False, False, False]
    assert list(table["reason"]) == ["", "dark", "empty", "empty"]


def test_skipping_patches_changes_no_cell(slide, network, tmp_path):
    store = ingest_image(tmp_path / "ingest", slide)

    def run(folder, **options):
        table, pixels = plan_store(store, folder / "pixels", 192, **options)
        stitched = stitch_tasks(label_tasks(segment_tasks(pixels, network), folder / "labels"))
        names = ("cell", "nucleus")
        counts = {name: c.counts for name, c in zip(names, stitched, strict=True)}
        return add_counts(table, counts), [c.labels for c in stitched]

    table, masks = run(tmp_path / "skipped")
    assert table["is_informative"].sum() < len(table) - 3
    assert not table.loc[~table["is_informative"], ["n_cells", "n_nuclei"]].any(axis=None)
    assert list(table[["n_cells", "n_nuclei"]].sum()) == [labels.max() for labels in masks]
    assert all(len(np.unique(labels)) == labels.max() + 1 > 300 for labels in masks)

    everything, all_masks = run(tmp_path / "all", patch_qc="none")
    assert everything["is_informative"].all()
    assert np.array_equal(masks, all_masks)
    assert list(everything["n_cells"]) == list(table["n_cells"])
