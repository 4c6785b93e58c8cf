"""Object F1 against constructed cases and published numbers."""

import numpy as np
import pytest
import tifffile

from cellquilt.cells.object_f1 import object_f1


def squares(*boxes):
    image = np.zeros((40, 40), np.uint32)
    for label, (y, x, height, width) in boxes:
        image[y : y + height, x : x + width] = label
    return image


def test_counts_objects_above_the_threshold_only():
    truth = squares((1, (0, 0, 10, 10)), (2, (20, 0, 10, 10)), (3, (0, 20, 10, 10)))
    # IoU 0.8, exactly 0.5, none.
    found = squares((7, (0, 0, 8, 10)), (900, (20, 0, 5, 10)), (4, (30, 30, 5, 5)))
    score = object_f1(found, truth)
    assert (score["n_true_positive"], score["n_predicted"], score["n_truth"]) == (1, 3, 3)
    assert score["f1"] == score["precision"] == score["recall"] == pytest.approx(1 / 3)
    assert score["mean_iou"] == pytest.approx(0.8)


def test_labels_do_not_matter_and_precision_is_not_recall():
    truth = squares((5, (0, 0, 10, 10)), (2**32 - 1, (20, 0, 10, 10)))
    found = squares((8, (0, 0, 10, 10)))
    score = object_f1(found, truth)
    assert (score["precision"], score["recall"], score["f1"]) == (1, 0.5, pytest.approx(2 / 3))


def test_undefined_is_none():
    empty = np.zeros((5, 5), np.int64)
    assert object_f1(empty, empty)["f1"] is None
    score = object_f1(empty, np.ones((5, 5), np.int64))
    assert (score["f1"], score["precision"], score["recall"]) == (0, None, 0)


@pytest.mark.parametrize(
    ("predicted", "truth", "iou", "message"),
    [
        (np.ones((2, 2), int), np.ones((2, 3), int), 0.5, "shapes differ"),
        (np.ones((2, 2), int), np.ones((2, 2), int), 0.4, "unique"),
        (np.ones((2, 2)), np.ones((2, 2), int), 0.5, "integers"),
        (-np.ones((2, 2), int), np.ones((2, 2), int), 0.5, "negative"),
    ],
)
def test_refuses_what_has_no_score(predicted, truth, iou, message):
    with pytest.raises(ValueError, match=message):
        object_f1(predicted, truth, iou)


@pytest.mark.parametrize(
    ("mask", "f1"), [("mask_DeepCell-0.9.0_membrane.tif", 0.588), ("mask_expert2.tif", 0.356)]
)
def test_published_masks_against_the_first_expert(shared_data, mask, f1):
    folder = shared_data / "codex_tile"
    truth = tifffile.imread(folder / "mask_expert1.tif")
    assert object_f1(tifffile.imread(folder / mask), truth)["f1"] == pytest.approx(f1, abs=5e-4)
