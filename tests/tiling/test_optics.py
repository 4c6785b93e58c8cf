"""Focus and saturation of patches."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from support.steps import ingest_image, plan_store, write_slide

from cellquilt.slides.ingest import Request, ingest
from cellquilt.synthetic.tissue import generate_tissue
from cellquilt.tiling import optics
from cellquilt.tiling.optics import OUT_OF_FOCUS, focus


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    return np.moveaxis(generate_tissue(400, 420, seed=3, empty_width=0).image[[0, 2]], 0, -1)


def test_focus_falls_with_blur_and_not_with_noise_gain_or_offset(tissue):
    image = tissue[..., 0].astype(float)
    sharp = focus(image)
    assert sharp > 0.65
    noisy = image + np.random.default_rng(0).normal(0, image.std(), image.shape)
    for other in (3 * image + 1000, noisy):
        assert focus(other) == pytest.approx(sharp, rel=0.15)
    blurred = [focus(ndimage.gaussian_filter(image, sigma)) for sigma in (1, 2, 3, 5)]
    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] < sharp and blurred[2] < OUT_OF_FOCUS


def test_enlarging_is_no_blur(tissue):
    image = tissue[..., 0].astype(float)
    binned = image.reshape(200, 2, 210, 2).mean(axis=(1, 3))
    enlarged = ndimage.zoom(binned, 2, order=1)
    assert focus(enlarged, 2) > 0.65


def test_without_structure_there_is_no_focus():
    noise = np.random.default_rng(0).normal(100, 3, (300, 300))
    assert np.isnan(focus(noise)) and np.isnan(focus(noise[:8])) and np.isnan(focus(noise * 0))


def test_patches_that_are_blurred_or_saturated_are_flagged(tissue, tmp_path):
    image = tissue.astype(float)
    right = np.s_[:, 210:]
    image[right] = ndimage.gaussian_filter(image[right], (3, 3, 0))
    limit = np.quantile(image[:200, :210], 0.9)
    image = np.minimum(image, limit).astype(np.uint16)
    table, _ = plan_store(ingest_image(tmp_path / "a", image), tmp_path / "b", 192)
    left = table["x0"] == 0
    assert table.loc[~left, "out_of_focus"].all() and not table.loc[left, "out_of_focus"].any()
    assert (table["out_of_focus"] == (table["focus"] < OUT_OF_FOCUS)).all()
    assert table.loc[left, "saturated"].all()
    assert (table["saturated"] == (table["saturated_fraction"] >= optics.SATURATED)).all()


def test_smaller_patches_around_regions_have_the_focus_of_the_whole_slides(tissue_image, tmp_path):
    """So that cells are flagged as without regions; and a task has as many pixels."""
    slide = write_slide(tmp_path / "slide.ome.tif", tissue_image)
    tifffile.imwrite(tmp_path / "roi.tif", np.ones(tissue_image.shape[:2], np.uint8))
    found = {}
    for name, roi in {"whole": None, "regions": tmp_path / "roi.tif"}.items():
        request = Request("sample", slide, "nuclear", "membrane", roi=roi)
        ingest(request, tmp_path / f"{name}.zip")
        found[name] = plan_store(tmp_path / f"{name}.zip", tmp_path / name, 768)
    (whole, tasks), (parts, own_tasks) = found.values()
    assert len(whole) == 1 < len(parts) and len(own_tasks) == len(tasks) == 1
    for column in ("focus", "saturated_fraction", "out_of_focus", "saturated"):
        assert set(parts[column]) == set(whole[column]), column


def test_what_is_not_cut_off_is_not_saturated(tissue, tmp_path):
    table, _ = plan_store(ingest_image(tmp_path / "a", tissue), tmp_path / "b", 192)
    assert not table["saturated"].any() and (table["saturated_fraction"] == 0).all()
