"""The patch grid, the quality control of patches, and their grouping into tasks."""

import numpy as np
import pytest
from support.steps import ingest_image, label_tasks, plan_store, segment_tasks, stitch_tasks

from cellquilt.labelling.stitch import add_counts, blank_proved
from cellquilt.tiling import patches
from cellquilt.tiling.lattice import STRIDE, TILE, plan
from cellquilt.tiling.patches import assess, block_statistics, group_patches, plan_patches, tiles_of
from cellquilt.tiling.tasks import constant_tiles

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
        y0, y1, x0, x1 = patch.core.grown(halo + REACH, lattice.shape)
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


def judge(image, rule="signal", min_contrast=0.03, patch_size=192, constant=False):
    """Return the patches of an image and the table of their quality."""
    lattice = plan(*image.shape[:2])
    found = plan_patches(lattice, patch_size)
    channels = [block_statistics(image[..., index], lattice) for index in range(image.shape[-1])]
    flags = np.full(len(found), constant)
    return found, assess(found, lattice, channels, flags, rule, min_contrast)


def test_noise_and_blanks_are_skipped_and_tissue_is_not(slide):
    found, table = judge(slide)
    reasons = dict(zip(((p.row, p.col) for p in found), table["reason"], strict=True))
    assert reasons[0, 3] == reasons[2, 0] == reasons[3, 0] == reasons[3, 1] == "no_signal"
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


@pytest.mark.parametrize(
    ("rule", "reason"),
    [("default", "constant"), ("signal", "constant"), ("reference", "empty"), ("none", "")],
)
def test_a_patch_without_anything_is_skipped_by_all_rules_but_none(rule, reason):
    _, table = judge(np.zeros((300, 300, 2), np.uint16), rule=rule, constant=True)
    assert set(table["reason"]) == {reason}


def test_the_default_rule_skips_constant_patches_alone(slide):
    _, table = judge(slide, rule="default")
    assert table["is_informative"].all()


@pytest.mark.parametrize("size", [(1000, 1500), (700, 800), (100, 900)])
def test_constant_tiles_are_those_that_the_network_sees_as_constant(size):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (2, *size)).astype(np.uint16)
    codes[0, :, 200:1300] = 7
    codes[1, 50:, 150:1400] = 9
    codes[1, -3:, :] = 5  # what padding shows as well
    codes[:, :, : size[1] // 3] = np.array([7, 5])[:, None, None]
    lattice, blank = plan(*size), [7, 5]
    found = constant_tiles(codes, blank, lattice)
    expected = {}
    for row in range(lattice.rows.n_tiles):
        for col in range(lattice.cols.n_tiles):
            y, x = row * STRIDE - lattice.rows.before, col * STRIDE - lattice.cols.before
            values = []
            for channel in range(2):
                inside = codes[channel, max(y, 0) : y + TILE, max(x, 0) : x + TILE]
                padding = [blank[channel]] * (inside.size < TILE * TILE)
                values.append(set(inside.ravel().tolist()) | set(padding))
            if all(len(value) == 1 for value in values):
                expected[row, col] = tuple(value.pop() for value in values)
    assert found == expected and expected


def segment_slide(store, folder, network, patch_size=192, **options):
    """Return the table of patches, complete, and the masks of both compartments."""
    options = {"patches_per_task": 64, **options}
    table, pixels = plan_store(store, folder / "pixels", patch_size, **options)
    labels = label_tasks(segment_tasks(pixels, network), folder / "labels")
    stitched = stitch_tasks(labels)
    cells = dict(zip(("cell", "nucleus"), (c.cells for c in stitched), strict=True))
    return add_counts(table, cells, blank_proved(labels)), [c.labels[:] for c in stitched]


def test_skipping_constant_patches_changes_no_mask_and_is_proved(tissue_image, network, tmp_path):
    image = np.zeros((1300, 1300, 2), np.uint16)
    image[:300, :340] = tissue_image[:300, :340]
    store = ingest_image(tmp_path / "ingest", image)
    table, masks = segment_slide(store, tmp_path / "skipped", network)
    assert "constant" in set(table["reason"])
    assert table["certified"].all()
    whole, all_masks = segment_slide(store, tmp_path / "all", network, 10_000, patch_qc="none")
    assert list(whole["certified"]) == [True]
    assert np.array_equal(masks, all_masks)


def test_skipping_noise_changes_no_cell_here_but_is_not_proved(slide, network, tmp_path):
    store = ingest_image(tmp_path / "ingest", slide)
    table, masks = segment_slide(store, tmp_path / "skipped", network, patch_qc="signal")
    skipped = ~table["is_informative"]
    assert skipped.sum() > 3
    assert list(table["certified"]) == list(table["is_informative"])
    assert not table.loc[skipped, ["n_cells", "n_nuclei"]].any(axis=None)
    assert list(table[["n_cells", "n_nuclei"]].sum()) == [labels.max() for labels in masks]
    assert all(len(np.unique(labels)) == labels.max() + 1 > 300 for labels in masks)

    everything, all_masks = segment_slide(store, tmp_path / "all", network)
    assert everything["is_informative"].all()
    assert np.array_equal(masks, all_masks)
    assert list(everything["n_cells"]) == list(table["n_cells"])
