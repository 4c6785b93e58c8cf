"""Training U-Nets for nuclei: the same seed, the same weights; and whether it paid."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi
from support.steps import ingest_image

from cellquilt.errors import DataError
from cellquilt.images.label_image import write_label_image
from cellquilt.labelling.thresholds import Thresholds
from cellquilt.synthetic.tissue import generate_tissue
from cellquilt.tiling.box import Box
from cellquilt.training import comparison, ensembles
from cellquilt.training.architectures import load
from cellquilt.training.examples import Example, Source, check_objects, read_examples
from cellquilt.training.pixel_classes import Regions
from cellquilt.training.unet_patches import Batches, Scene, depth_of, gaps_of
from cellquilt.training.unet_recipe import FURTHER, SIDE, VARIATIONS, Schedule, Variation
from cellquilt.training.unet_thresholds import choose, labels_of, scores_of
from cellquilt.training.unet_train import train_unet
from cellquilt.unet.architecture import UNet
from cellquilt.unet.network import build
from cellquilt.unet.network import load as load_network

SMALL = UNet("small", (3, 4), has_start=False)
FACTS = {"data_license": "ours"}


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Return an example with dark nuclei on a bright ground, which no network of ours knows."""
    folder = tmp_path_factory.mktemp("spoilt")
    tissue = generate_tissue(320, 560, seed=11, empty_width=60)
    image = tissue.image[0].max() - tissue.image[0]
    store = ingest_image(folder / "ingested", image[..., None])
    write_label_image(folder / "nuclei.ome.tif", tissue.nucleus_truth, 0.5, "nucleus")
    source = Source(store, folder / "nuclei.ome.tif")
    (example,) = read_examples([source], "nuclear", 1, 3, 0.4, UNet.radius)
    check_objects([example])
    return example


@pytest.fixture(scope="module")
def start(repo):
    return repo / "assets" / "networks" / "unet" / "nuclei.keras"


@pytest.fixture(scope="module")
def learnt(spoilt, start, tmp_path_factory):
    """Return the folder of a network that was trained further for 12 steps, and its card."""
    folder = tmp_path_factory.mktemp("learnt")
    (unet,) = load(["unet"])
    schedule = replace(FURTHER, steps=12, learning_rate=4e-3, warm_up=4)
    return folder, train_unet("n", unet, [spoilt], schedule, 1, folder, FACTS, start)


def test_a_network_trained_further_on_spoilt_images_is_better_than_the_one_it_started_from(
    learnt, start
):
    folder, card = learnt
    after, before = card["scores"]["test"], card["scores"]["before"]["test"]
    assert after["n_truth"] == before["n_truth"] > 50
    assert after["f1"] > before["f1"] + 0.3
    curve = pd.read_csv(folder / "n.curve.csv")
    assert curve["step"].tolist() == list(range(13)), "begins with the start, untrained"
    assert curve["validation_loss"].idxmin() == card["training"]["best_step"]
    assert curve["validation_loss"].iloc[-1] < curve["validation_loss"].iloc[0] / 2
    ours = load_network(start).card
    assert card["training"]["start"]["weights_sha256"] == ours["weights_sha256"]
    assert card["n_parameters"] == ours["n_parameters"]


def test_what_is_written_is_a_network_that_segments(learnt):
    folder, card = learnt
    maps = load_network(folder / "n.keras")
    assert maps.card == json.loads((folder / "n.json").read_text())
    assert (card["compartment"], card["architecture"]) == ("nuclear", "unet")


def test_it_is_compared_with_pixel_classifiers_and_says_what_there_was_before(learnt):
    folder, card = learnt
    files = ([folder / f"n{suffix}"] for suffix in comparison.SUFFIXES)
    networks = comparison.read_networks(*files)
    truth = comparison.read_truth(networks)
    table = comparison.network_table(networks)
    (row,) = comparison.comparison_table(table).to_dict("records")
    assert row["f1"] == card["scores"]["test"]["f1"]
    assert row["f1_before"] == card["scores"]["before"]["test"]["f1"]
    assert np.isnan(row["pixel_accuracy"]) and row["best_step"] == card["training"]["best_step"]
    judged = ensembles.judge_choices(networks, truth)
    assert judged["median_px"].tolist() == [1]
    assert judged["f1"][0] == pytest.approx(row["f1"], abs=0.05), "of maps in half precision"
    found = ensembles.recommend("nuclear", judged)
    assert found["options"] == "--segmenter nuclei --compartment nuclear"
    assert found["recommended"]["models"] == ["n.keras"] and found["n_networks"] == 1


def small(spoilt: Example, folder: Path, seed: int, **changes) -> dict:
    schedule = replace(Schedule(steps=3, augment="full"), **changes)
    return train_unet("n", SMALL, [spoilt], schedule, seed, folder, FACTS)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(spoilt, tmp_path):
    first, again, other = (small(spoilt, tmp_path, seed) for seed in (5, 5, 6))
    assert first["weights_sha256"] == again["weights_sha256"] != other["weights_sha256"]
    assert first["training"]["start"] is None and "before" not in first["scores"]
    assert first["n_parameters"] == build(SMALL.filters, 32).count_params()


def test_other_filters_than_those_of_the_start_are_refused(spoilt, start, tmp_path):
    own = UNet("mine", (3, 4), has_start=True)
    with pytest.raises(DataError, match=r"^--architectures mine: its filters are \[3, 4\], and"):
        train_unet("n", own, [spoilt], FURTHER, 1, tmp_path, FACTS, start)


def disks(radius: float = 6) -> np.ndarray:
    """Return 12 disks of 109 px that lie close, (60, 120) int32."""
    y, x = np.indices((60, 120))
    labels = np.zeros((60, 120), np.int32)
    for k in range(12):
        cy, cx = 12 + 30 * (k // 6), 12 + 13 * (k % 6) + 6 * (k % 6 // 2)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = k + 1
    return labels


def test_depth_is_255_in_the_middle_of_each_object_and_goes_on_where_the_image_ends():
    labels = disks()
    depth = depth_of(labels)
    assert depth.dtype == np.uint8 and np.array_equal(depth > 0, labels > 0)
    assert all(depth[labels == k].max() == 255 for k in range(1, 13))
    cut = depth_of(labels[:, 12:])  # through the middle of the first
    assert cut[12, 0] == 255
    touching = depth_of(np.repeat([[1, 2]], 20, axis=1).repeat(20, axis=0).astype(np.int32))
    assert touching[10, 19] < touching[10, 5] and touching[10, 20] < touching[10, 35]


def test_gaps_are_what_is_close_to_two_objects():
    labels = np.zeros((9, 16), np.int32)
    labels[:, :6], labels[:, 8:13] = 1, 2  # with a gap of 2 px between them, and bare glass behind
    assert gaps_of(labels)[4].tolist() == [0] * 6 + [1] * 2 + [0] * 8
    labels[:, 6:8] = 2
    assert gaps_of(labels)[4].tolist() == [0] * 4 + [1] * 4 + [0] * 8


@pytest.mark.parametrize("how", VARIATIONS)
def test_patches_show_what_their_depth_says(how):
    labels = np.pad(disks(), 200)
    scene = Scene.of((labels > 0).astype(np.float32), labels)
    rng, sizes, n_filled = np.random.default_rng(2), [], 0
    for _ in range(40):
        pixels, depth, gaps = scene.patch(rng, VARIATIONS[how])
        assert pixels.shape == depth.shape == gaps.shape == (SIDE, SIDE)
        assert depth.max() <= 1 and pixels.dtype == depth.dtype == np.float32
        if how != "full":
            assert ((pixels > 0.5) == (depth > 0)).mean() > 0.98
        _, areas = np.unique(ndi.label(depth > 0)[0], return_counts=True)
        sizes.append(areas[1:].max(initial=0))
        n_filled += depth.any()
    assert n_filled > 25, "most lie around a nucleus, though there is little but glass"
    if how != "none":
        assert max(sizes) > 1.3 * 109, "a disk, enlarged"
    else:
        assert max(sizes) == 109


def test_batches_depend_on_seed_and_step_alone():
    scene = Scene.of((disks() > 0).astype(np.float32), disks())
    batches = Batches([[scene]], 1, VARIATIONS["full"])
    first = batches.of(3)
    batches.of(4)
    assert all(map(np.array_equal, first, batches.of(3)))
    assert not np.array_equal(first[0], batches.of(4)[0])
    assert not np.array_equal(first[0], Batches([[scene]], 2, VARIATIONS["full"]).of(3)[0])


def maps_of(labels: np.ndarray, inside: float) -> np.ndarray:
    """Return the maps of a network that gives nuclei such a probability."""
    depth = depth_of(labels) / np.float32(255)
    return np.stack([depth, np.where(labels > 0, inside, 0.28).astype(np.float32)])


def test_thresholds_are_those_of_the_best_nuclei_on_validation():
    labels = disks()
    # background is at 0.28: a threshold of 0.25 takes it all
    dim = maps_of(labels, 0.33)
    chosen = choose([dim], [labels.astype(np.uint32)])
    assert chosen.interior_threshold == 0.3
    scores = scores_of([dim], [labels.astype(np.uint32)], chosen)
    assert (scores["f1"], scores["f1_0.75"], scores["n_predicted"]) == (1, 1, 12)
    too_high = replace(chosen, interior_threshold=0.35)
    assert labels_of(dim, too_high).max() == 0
    assert isinstance(chosen, Thresholds) and chosen.median == 1


def test_a_part_without_nuclei_is_refused():
    labels = np.zeros((64, 200), np.uint32)
    labels[10:20, 10:20] = labels[10:20, 120:130] = 1
    regions = Regions(Box(0, 64, 0, 64), Box(0, 64, 70, 110), Box(0, 64, 110, 200))
    example = Example("a", "b", np.zeros((64, 200, 1), np.float32), labels, labels, regions)
    with pytest.raises(DataError, match=r"^--labels: the part for validation has no nucleus\."):
        check_objects([example])


def test_the_rate_rises_and_falls():
    schedule = Schedule(steps=100, learning_rate=1.0, warm_up=4, decay=10)
    assert [schedule.rate_at(step) for step in (0, 1, 3, 50, 90, 95, 99)] == [
        *(0.25, 0.5, 1.0, 1.0, 1.0, 0.5, 0.1)
    ]
    assert Variation().scale == 1


def test_the_script_refuses_whole_cells(bin_script, tmp_path):
    options = ["--name", "a", "--architecture", "unet", "--stores", "a.zip", "--labels", "a.tif"]
    done = bin_script("train", *options, "--compartment", "whole-cell", "--outdir", tmp_path)
    assert done.returncode == 65 and "Traceback" not in done.stderr
    assert "--architectures unet: is a network for nuclei; add --compartment nuclear" in done.stderr
