"""Training: the same seed, the same weights; a short one learns; the best state is kept."""

from dataclasses import replace

import numpy as np
import pytest
from support.steps import ingest_image

from cellquilt.images.label_image import write_label_image
from cellquilt.pixelcnn.architectures import from_table
from cellquilt.pixelcnn.network import digest
from cellquilt.synthetic.tissue import generate_tissue
from cellquilt.tiling.box import Box
from cellquilt.training.architectures import load
from cellquilt.training.examples import (
    Example,
    Fields,
    Source,
    augmented,
    check_parts,
    read_examples,
)
from cellquilt.training.fit import (
    VALIDATION_FIELDS,
    VALIDATION_SEED,
    Schedule,
    _evaluate,
    as_rows,
    train,
)
from cellquilt.training.pixel_classes import Regions

TINY = from_table(
    "tiny",
    {
        "patch": 15,
        "layers": [
            {"conv": 4, "filters": 6},
            {"pool": 2},
            {"conv": 3, "filters": 8},
            {"pool": 2},
            {"conv": 2, "filters": 8},
            {"dense": 16},
        ],
    },
    "a test",
)
SHORT = Schedule(steps=6, batch_size=32, learning_rate=1e-3, augment="full")
LEARNING = Schedule(steps=150, batch_size=96, learning_rate=1e-3, augment="flip")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return the store and the labels of a generated tissue."""
    folder = tmp_path_factory.mktemp("training")
    tissue = generate_tissue(320, 560, seed=11, empty_width=60)
    store = ingest_image(folder / "ingested", np.moveaxis(tissue.image[[0, 2]], 0, -1))
    write_label_image(folder / "cells.ome.tif", tissue.cell_truth, 0.5, "cell")
    return store, folder / "cells.ome.tif"


def examples_of(stored, architecture):
    examples = read_examples([Source(*stored)], "whole-cell", 2, 3, 0.4, architecture.radius)
    check_parts(examples, 3)
    return examples


def trained(stored, architecture, schedule, seed):
    examples = examples_of(stored, architecture)
    parts = [Fields(examples, part, architecture.radius) for part in ("train", "validation")]
    return train(architecture, *parts, 2, schedule, seed)


def held_out(examples, architecture):
    """Return the patches on which every network is chosen, with their classes."""
    patches = Fields(examples, "validation", architecture.radius)
    return patches.draw(np.random.Generator(np.random.PCG64(VALIDATION_SEED)), VALIDATION_FIELDS)


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:4]
import test_fit as t
from cellquilt.pixelcnn.network import digest
found = t.trained((Path(sys.argv[4]), Path(sys.argv[5])), t.TINY, t.SHORT, int(sys.argv[6]))
print(digest(found.model.get_weights()))
"""


def test_the_same_seed_gives_the_same_weights_bit_for_bit(repo, stored, tensorflow_forks, tmp_path):
    first, again, other = (trained(stored, TINY, SHORT, seed) for seed in (5, 5, 6))
    weights = [digest(run.model.get_weights()) for run in (first, again, other)]
    assert weights[0] == weights[1]
    assert first.curve == again.curve
    assert weights[0] != weights[2]
    (tmp_path / "again.py").write_text(IN_ANOTHER_PROCESS)
    paths = repo / "tests" / "training", repo / "tests", repo / "bin"
    done = tensorflow_forks.run(tmp_path / "again.py", *paths, *stored, 5)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [weights[0]]


@pytest.fixture(scope="module")
def learnt(stored):
    (compact,) = load(["compact"])
    return compact, trained(stored, compact, LEARNING, 1)


def test_a_short_training_learns_what_an_untrained_network_does_not_know(stored, learnt):
    compact, run = learnt
    nothing = trained(stored, compact, Schedule(steps=1, batch_size=2, learning_rate=0.0), 1)
    assert nothing.curve[0].validation_accuracy < 0.55
    best = {point.step: point for point in run.curve}[run.best_step]
    assert best.validation_accuracy > 0.75
    assert best.validation_cross_entropy < 0.6 < np.log(3)
    assert run.curve[-1].train_cross_entropy < run.curve[0].train_cross_entropy / 1.5


def test_the_curve_tells_of_the_same_patches_and_ends_with_the_last_step(stored, learnt):
    compact, run = learnt
    assert [point.step for point in run.curve] == list(range(3, 151, 3))
    assert set(as_rows(run.curve)[0]) == {
        *("step", "train_cross_entropy", "validation_cross_entropy", "validation_accuracy")
    }
    patches, classes = held_out(examples_of(stored, compact), compact)
    best = min(run.curve, key=lambda point: point.validation_cross_entropy)
    assert run.best_step == best.step
    found = _evaluate(run.model, patches, classes)
    assert found == (best.validation_cross_entropy, best.validation_accuracy)
    counts = np.bincount(classes, minlength=3) / len(classes)
    assert (abs(counts - 1 / 3) < 0.05).all()


def misleading_example():
    """Return an image whose validation part shows the classes of its training part swapped."""
    rng = np.random.default_rng(0)
    classes = np.kron(rng.integers(0, 3, (8, 16)), np.ones((8, 8), int)).astype(np.uint8)
    image = (classes[..., None] / 2).astype(np.float32)
    classes[:, 64:] = (classes[:, 64:] + 1) % 3
    regions = Regions(Box(0, 64, 0, 64), Box(0, 64, 64, 128), None)
    return Example("misleading", "labels", image, classes.astype(np.uint32), classes, regions)


def test_training_stops_where_nothing_gets_better_and_keeps_its_best_state():
    example = misleading_example()
    parts = [Fields([example], part, TINY.radius) for part in ("train", "validation")]
    schedule = Schedule(steps=4000, patience=2, batch_size=64, learning_rate=3e-3, augment="none")
    run = train(TINY, *parts, 1, schedule, 1)
    best, *others = sorted(run.curve, key=lambda point: point.validation_cross_entropy)
    assert run.best_step == best.step
    assert run.curve[-1].step == best.step + 2 * 100  # of 40 evaluations in 4000 steps
    assert others and run.curve[-1].validation_cross_entropy > best.validation_cross_entropy
    found, _ = _evaluate(run.model, *held_out([example], TINY))
    assert found == best.validation_cross_entropy


def test_patches_show_the_pixel_in_their_middle_as_the_slide_reflected_does():
    rng = np.random.default_rng(4)
    example = misleading_example()
    image = rng.random((64, 128, 1), np.float32)
    example = replace(example, image=image)
    patches, classes = Fields([example], "validation", 7).draw(rng, 300)
    padded = np.pad(image[..., 0], 7, "reflect")
    where = {float(value): at for at, value in np.ndenumerate(image[..., 0])}
    columns = set()
    for patch, chosen in zip(patches, classes, strict=True):
        y, x = where[float(patch[7, 7, 0])]
        columns.add(x)
        assert example.classes[y, x] == chosen
        assert np.array_equal(patch[..., 0], padded[y : y + 15, x : x + 15])
    assert 64 <= min(columns) < 71 and 121 < max(columns) < 128


def test_turned_patches_hold_the_same_pixels_and_full_ones_stay_in_range():
    rng = np.random.default_rng(6)
    patches = np.random.default_rng(7).random((64, 9, 9, 2), np.float32)
    original = patches.copy()
    assert augmented(patches, rng, "none") is patches
    flipped = augmented(patches, rng, "flip")
    turns = set()
    for patch, turned in zip(patches, flipped, strict=True):
        eight = [np.rot90(p, k) for p in (patch, patch[::-1]) for k in range(4)]
        (found,) = [i for i, other in enumerate(eight) if np.array_equal(other, turned)]
        turns.add(found)
    assert turns == set(range(8))
    full = augmented(patches, rng, "full")
    assert full.shape == patches.shape and full.dtype == np.float32
    assert 0 <= full.min() < full.max() <= 1 and np.isfinite(full).all()
    assert np.array_equal(patches, original)
