"""Plans: what each slide takes, and that they add up."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from support.steps import ingest_image, plan_store, write_slide

from cellquilt.errors import DataError
from cellquilt.handoff import stores
from cellquilt.planning.figures import read_figures
from cellquilt.planning.inspection import inspect
from cellquilt.planning.plan import ORDER, Settings, Work, plan_run, total
from cellquilt.slides.ingest import Request, ingest
from cellquilt.tiling.lattice import Geometry
from cellquilt.tiling.regions import Regions
from cellquilt.tiling.tasks import Cut, plan_tasks

LARGE = Work(10_080, 10_080, 0.5, 3, 2, "both")
FIELD = Work(512, 512, 0.5, 8, 2, "both", "bundle-0")


@pytest.fixture(scope="module")
def figures():
    return read_figures()


def planned(figures, *slides, **settings):
    return total(plan_run(slides, Settings(**settings), figures))


@pytest.mark.parametrize(
    ("patch_size", "per_task", "mpp"), [(384, 4, 0.5), (384, 16, 0.377), (1536, 1, 1.0)]
)
def test_tasks_and_tiles_are_those_of_patch(patch_size, per_task, mpp, figures, tmp_path):
    """Where no patch is skipped."""
    image = np.random.default_rng(0).integers(1, 999, (700, 1300, 2), np.uint16)
    store = ingest_image(tmp_path / "slide", image, mpp)
    cut = Cut(patch_size, 96, per_task, "none")
    table, tasks = plan_store(store, tmp_path / "cut", *(patch_size, 96, per_task, "none"))
    tiles = 0
    for task in tasks:
        with stores.read(task) as group:
            tiles += len(group.attrs["tiles"])
    plan = planned(figures, Work(700, 1300, mpp, 2, 2, "both"), cut=cut)
    assert (plan.patches, plan.tiles) == (len(table), tiles)
    assert plan.steps["SEGMENT"].tasks == len(tasks) == plan.steps["LABEL"].tasks


def corner(name, x0, y0, x1, y1):
    """Return a region in one corner of a slide."""
    return Regions((name,), np.array([shapely.box(x0, y0, x1, y1)]))


@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_of_a_slide_with_regions_the_tasks_are_those_that_patch_makes(mpp, figures, tmp_path):
    height, width, *around = (int(n * 0.5 / mpp) for n in (1400, 1300, 900, 1000, 1250, 1300))
    image = np.random.default_rng(0).integers(1, 999, (height, width, 2), np.uint16)
    slide = write_slide(tmp_path / "slide.ome.tif", image, mpp)
    regions = corner("core", *around)
    outline = json.loads(shapely.to_geojson(regions.areas[0]))
    (tmp_path / "roi.geojson").write_text(json.dumps(outline))
    request = Request("a", slide, "nuclear", "membrane", roi=tmp_path / "roi.geojson")
    ingest(request, tmp_path / "normalised.zip")
    cut = Cut(384, 96, 2, "none")
    table = plan_tasks(tmp_path / "normalised.zip", tmp_path, cut)
    found = inspect("a", lambda: request)
    assert found.regions.areas[0].equals(regions.areas[0])
    plan = planned(figures, found.work("both", None), cut=cut)
    whole = planned(figures, Work(height, width, mpp, 2, 2, "both"), cut=cut)
    assert 0 < plan.patches == (table["task"] >= 0).sum() < len(table) == whole.patches
    assert plan.steps["SEGMENT"].tasks == table["task"].nunique() - 1
    tiles = 0
    for task in tmp_path.glob("task-*.pixels.zip"):
        with stores.read(task) as group:
            tiles += len(group.attrs["tiles"])
    assert plan.tiles == tiles < whole.tiles
    for step in ("SEGMENT", "LABEL", "EXPORT"):
        assert plan.steps[step].processor_s < whole.steps[step].processor_s
    assert plan.steps["INGEST"] == whole.steps["INGEST"]


def test_regions_of_all_of_a_slide_change_nothing(figures):
    everywhere = replace(LARGE, regions=corner("all", 0, 0, 10_080, 10_080))
    found = planned(figures, everywhere)
    assert found.patches > planned(figures, LARGE).patches  # smaller ones, of which as much is done
    assert replace(found, patches=0) == replace(planned(figures, LARGE), patches=0)


def test_the_plans_of_slides_add_up(figures):
    """Of what a bundle shares, each of its slides has its part; a larger slide shares nothing."""
    slides = [LARGE, *[FIELD] * 24, Work(5000, 5000, 0.5, 8, 2, "both", "bundle-0")]
    plans = plan_run(slides, Settings(), figures)
    whole = total(plans)
    for name in ("patches", "tiles", "tasks", "processor_s", "work_gb", "results_gb"):
        assert getattr(whole, name) == pytest.approx(sum(getattr(plan, name) for plan in plans))
    assert whole.memory_gb == max(plan.memory_gb for plan in plans)
    assert whole.steps["CHAIN"].tasks == pytest.approx(1)
    assert whole.steps["INGEST"].tasks == 2 and whole.steps["EXPORT"].tasks == pytest.approx(3)
    assert list(whole.steps) == [
        name for name in ORDER if name not in ("DETECT", "CLASSIFY", "INFER", "ADOPT")
    ]


def test_slides_that_share_a_task_cost_less_start_up(figures):
    together = planned(figures, *[FIELD] * 24)
    each = planned(figures, *(Work(512, 512, 0.5, 8, 2, "both", str(k)) for k in range(24)))
    alone = planned(figures, *[Work(512, 512, 0.5, 8, 2, "both")] * 24)
    assert together.tasks == pytest.approx(2) and each.tasks == 48 and alone.tasks == 9 * 24
    starts = figures.start_s("CHAIN") + figures.start_s("EXPORT")
    assert each.processor_s - together.processor_s == pytest.approx(23 * starts)
    assert alone.processor_s > each.processor_s


def test_with_the_viewer_each_small_slide_has_its_own_export(figures):
    formats = ("csv", "viewer")
    together = planned(figures, *[FIELD] * 24, formats=formats)
    assert together.steps["CHAIN"].tasks == pytest.approx(1)
    assert together.steps["EXPORT"].tasks == 24
    one = planned(figures, FIELD, formats=formats)
    assert together.steps["EXPORT"].processor_s == pytest.approx(
        24 * one.steps["EXPORT"].processor_s
    )


def test_more_measures_take_more_of_export(figures):
    """By the values that there are: of three compartments, of the ring, of nuclei alone."""
    alone, six, ring = (
        planned(figures, LARGE, n_measures=n, with_ring=r)
        for n, r in ((1, False), (6, False), (6, True))
    )
    of = {
        "bytes": lambda plan: plan.results_gb,
        "memory": lambda plan: plan.steps["EXPORT"].memory_gb,
        "time": lambda plan: plan.steps["QUANTIFY"].processor_s,
    }
    for figure in of.values():
        found = [figure(plan) for plan in (alone, six, ring)]
        assert found == sorted(set(found))
        assert found[2] - found[0] == pytest.approx((found[1] - found[0]) * 21 / 15)
    nuclei = replace(LARGE, compartment="nuclear")
    assert planned(figures, nuclei, n_measures=6) == planned(
        figures, nuclei, n_measures=6, with_ring=True
    )


@pytest.mark.parametrize(
    ("slide", "settings", "steps"),
    [
        (LARGE, {}, "INGEST PATCH SEGMENT LABEL STITCH REPAIR QUANTIFY EXPORT DRAW"),
        (LARGE, {"formats": ()}, "INGEST PATCH SEGMENT LABEL STITCH REPAIR QUANTIFY DRAW"),
        (
            Work(999, 999, 0.5, 1, 1, "nuclear", segmenter="pixelcnn"),
            {"keeps_maps": False},
            "INGEST PATCH CLASSIFY STITCH QUANTIFY EXPORT DRAW",
        ),
        (
            replace(LARGE, segmenter="nuclei", segmented="nuclear"),
            {},
            "INGEST PATCH DETECT LABEL STITCH REPAIR QUANTIFY EXPORT DRAW",
        ),
        (
            replace(LARGE, segmenter="masks"),
            {"device": "gpu"},
            "INGEST PATCH ADOPT REPAIR QUANTIFY EXPORT DRAW",
        ),
        (FIELD, {}, "CHAIN EXPORT"),
        (FIELD, {"max_pixels": 512 * 512 - 1, "formats": ()}, "INGEST PATCH SEGMENT LABEL STITCH "
         "REPAIR QUANTIFY DRAW"),
    ],
)  # fmt: skip
def test_a_slide_takes_the_steps_that_it_needs(figures, slide, settings, steps):
    plan = planned(figures, slide, **settings)
    assert list(plan.steps) == steps.split()
    assert all(cost.processor_s > 0 and cost.memory_gb > 0 for cost in plan.steps.values())


def test_several_segmenters_share_what_comes_before_the_network(figures):
    several = [replace(LARGE, segmenter=name, slide="a") for name in ("mesmer", "masks")]
    found = planned(figures, *several)
    assert found.steps["INGEST"].tasks == found.steps["PATCH"].tasks == 1
    assert found.steps["QUANTIFY"].tasks == 2 and found.tiles == planned(figures, LARGE).tiles


def test_networks_of_other_tiles_are_cut_by_themselves(figures):
    mesmer, network = (replace(LARGE, segmenter=name, slide="a") for name in ("mesmer", "network"))
    alone = planned(figures, LARGE)
    tiles = replace(network, tiles=Geometry(512, 384))
    for other, n_cuts in ((network, 1), (tiles, 2)):
        found = planned(figures, mesmer, other)
        assert found.steps["INGEST"].tasks == 1 and found.steps["PATCH"].tasks == n_cuts
        assert found.steps["SEGMENT"] == alone.steps["SEGMENT"]
    # a quarter as many, of four times the area
    assert found.tiles - alone.tiles < alone.tiles / 2
    ratio = found.steps["INFER"].processor_s / alone.steps["SEGMENT"].processor_s
    assert 0.8 < ratio < 1.6


def test_on_a_gpu_the_network_takes_its_time(figures):
    on_cpu = planned(figures, LARGE)
    on_gpu = planned(figures, LARGE, device="gpu", keeps_maps=False)
    assert on_cpu.device_s == 0
    assert on_gpu.device_s == pytest.approx(on_gpu.tiles * figures.tile_s)
    assert on_gpu.steps["SEGMENT"].processor_s < on_cpu.steps["SEGMENT"].processor_s / 2
    assert on_gpu.work_gb < on_cpu.work_gb


def study(tmp_path, device="cpu", **best):
    path = tmp_path / "recommendation.json"
    chosen = {"seconds_per_tile": 0.5, "start_s": 9, "peak_memory_gb": 3, "threads": 2, "tasks": 2}
    where = {"device": device, "device_name": "H200", "processor": "a processor"}
    found = {"recommended": chosen | best, "measured_on": [where]}
    path.write_text(json.dumps(found))
    return path


def test_a_users_study_wins_over_the_figures_that_come_along(figures, tmp_path):
    own = read_figures(study(tmp_path))
    assert own.source == "measured on a processor"
    plan, before = (planned(one, LARGE) for one in (own, figures))
    step = plan.steps["SEGMENT"]
    assert step.processor_s == pytest.approx(plan.tiles * 0.5 * 2 * 2 + 9 * step.tasks)
    assert step.memory_gb == 3
    assert plan.steps["LABEL"] == before.steps["LABEL"]
    own = read_figures(study(tmp_path, "gpu"))
    assert own.source == "measured on H200"
    plan = planned(own, LARGE, device="gpu", keeps_maps=False)
    assert plan.device_s == plan.tiles * 0.5


@pytest.mark.parametrize("text", ["", "[]", '{"recommended": null}', '{"recommended": {}}'])
def test_what_is_no_study_is_refused(tmp_path, text):
    (tmp_path / "recommendation.json").write_text(text)
    with pytest.raises(DataError, match="recommendation.json: has no measurement .*; give the"):
        read_figures(tmp_path / "recommendation.json")


def test_a_size_that_only_a_header_has_is_planned_at_once(figures):
    for regions in (None, corner("core", 0, 0, 9, 9)):
        slide = Work(2**31, 2**31, 0.5, 1, 1, "nuclear", None, regions)
        plan = planned(figures, slide)
        assert plan.patches > 10**12 and plan.processor_s > 10**9
