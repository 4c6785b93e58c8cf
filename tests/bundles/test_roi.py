"""Regions of interest: their cells are those of the whole slide; what lies far costs nothing."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from support.steps import write_slide

from cellquilt import segmenters
from cellquilt.bundles.chain import Settings, Slide, chain
from cellquilt.cells import cell_table
from cellquilt.handoff.step_files import read_matches
from cellquilt.images.label_image import masks_folder
from cellquilt.tiling.tasks import Cut

WHOLE = 100_000
MASKS = {
    "both": ("cell", "nucleus", "cytoplasm", "cell_boundary", "nucleus_boundary"),
    "nuclear": ("nucleus", "nucleus_boundary"),
    "whole-cell": ("cell", "cell_boundary"),
}


def polygon(name: str, y: float, x: float, radius: float, rng: np.random.Generator) -> dict:
    """Return a region with a ragged outline around a place."""
    angles = np.linspace(0, 2 * np.pi, 17)
    reach = radius * rng.uniform(0.6, 1.2, 17)
    reach[-1] = reach[0]
    points = np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)])
    geometry = {"type": "Polygon", "coordinates": [points.round(2).tolist()]}
    return {"type": "Feature", "geometry": geometry, "properties": {"name": name}}


@pytest.fixture(scope="module")
def folder(tissue_image, tmp_path_factory) -> Path:
    """Return a folder with a slide, regions as polygons, and a label image of others."""
    folder = tmp_path_factory.mktemp("roi")
    image = tissue_image[:, 150:580]  # beside it is bare glass
    write_slide(folder / "slide.ome.tif", image, 0.6)
    rng = np.random.default_rng(5)
    places = {"tumour": (140, 180, 60), "NA": (150, 220, 50), "7": (560, 100, 70)}
    features = [polygon(name, *place, rng) for name, place in places.items()]
    (folder / "roi.geojson").write_text(json.dumps(features))
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[300:400, 90:180], labels[40:100, 230:310] = 12, 5
    tifffile.imwrite(folder / "roi.tif", labels)
    return folder


@pytest.fixture(scope="module")
def run_of(repo, folder):
    """Return a function that does all steps, once each, for some regions and compartments.

    The whole slide is one patch, so that the network sees each of its pixels once.
    """
    networks = [
        repo / "assets" / "networks" / f"{name}.keras" for name in ("whole-cell", "nuclear")
    ]
    patch = pytest.MonkeyPatch()
    patch.setattr("cellquilt.networks.tile_network.select_device", lambda *_: "cpu")
    load = cache(lambda name: segmenters.load(name, segmenters.Settings(networks, "cpu", 2)))

    def run_of(roi: str, compartment: str = "both", margin: int = 64, size: int = 192) -> Path:
        return run(roi, compartment, margin, size if roi else WHOLE)

    @cache
    def run(roi: str, compartment: str, margin: int, size: int) -> Path:
        patch.setattr("cellquilt.tiling.tasks.REGION_MARGIN", margin)
        name = f"{roi or 'whole'}-{compartment}-{margin}-{size}"
        given = {"segmenter": "pixelcnn"} | ({"roi": folder / roi} if roi else {})
        membrane = "" if compartment == "nuclear" else "membrane"
        slide = Slide(
            name, [folder / "slide.ome.tif"], "nuclear", membrane, None, compartment, **given
        )
        settings = Settings(cut=Cut(size, 96, 2))

        def refuse(*found):
            raise found[-1]

        assert chain([slide], settings, load, folder, refuse) == []
        return folder / name

    yield run_of
    patch.undo()


def masks_of(results: Path, compartment: str) -> dict[str, np.ndarray]:
    found = masks_folder(results, results.name, "pixelcnn")
    return {name: tifffile.imread(found / f"{name}.ome.tif") for name in MASKS[compartment]}


def table_of(results: Path) -> pd.DataFrame:
    return cell_table.read(results / "quantification" / f"{results.name}.parquet")


def same_objects(part: np.ndarray, whole: np.ndarray) -> dict[int, int]:
    """Assert that the objects of a part are some of the whole's, pixel for pixel and in order."""
    pairs = np.unique(np.stack([part, whole], axis=-1)[part > 0], axis=0)
    assert len(np.unique(pairs[:, 0])) == len(pairs) == len(np.unique(pairs[:, 1]))
    assert (np.diff(pairs.astype(int), axis=0) > 0).all()
    assert np.array_equal(part > 0, np.isin(whole, pairs[:, 1]) & (whole > 0))
    return dict(pairs.tolist())


@pytest.mark.parametrize("roi", ["roi.geojson", "roi.tif"])
@pytest.mark.parametrize("compartment", MASKS)
def test_objects_of_a_region_are_those_of_the_whole_slide(run_of, roi, compartment):
    part, whole = run_of(roi, compartment), run_of("", compartment)
    expected = masks_of(whole, compartment)
    for name, found in masks_of(part, compartment).items():
        assert len(same_objects(found, expected[name])) >= 20
    rows = table_of(part)
    certified = [column for column in rows if column.endswith("_certified")]
    assert rows[certified].all(axis=None)
    assert rows["roi"].notna().all()


def test_each_object_has_the_region_of_its_marker(run_of, folder):
    """By where markers lie in the whole slide, which STITCH lists of all objects."""
    part = run_of("roi.geojson")
    listed = pd.read_csv(part / "regions.csv", keep_default_na=False)
    assert set(listed["roi"]) == {"tumour", "NA", "7", ""}
    rows = table_of(part)
    own = listed[listed["compartment"] == "cell"].set_index("label")["roi"]
    cells = rows[rows["cell_label"].notna()]
    assert cells["roi"].tolist() == own.loc[cells["cell_label"]].tolist()
    assert set(own.index[own != ""]) == set(cells["cell_label"])
    near = {"tumour": (140, 180, 90), "NA": (150, 220, 80), "7": (560, 100, 100)}
    places = cells[["cell_centroid_y_px", "cell_centroid_x_px"]].to_numpy(float)
    for name, (y, x, radius) in near.items():
        of_region = places[(cells["roi"] == name).to_numpy()]
        assert len(of_region) >= 3
        assert (np.hypot(*(of_region - (y, x)).T) < radius).all()
    matches = read_matches(part / "matches.csv")
    assert matches["roi"].tolist() == rows["roi"].tolist()


def test_what_no_cell_of_a_region_reaches_is_not_segmented(run_of):
    part, whole = run_of("roi.geojson"), run_of("")
    patches = pd.read_csv(part / "patches_metadata.csv", keep_default_na=False)
    outside = patches["reason"] == "outside_roi"
    assert 0.15 < outside.mean() < 0.8
    assert patches["certified"].all()
    assert "outside_roi" not in set(pd.read_csv(whole / "patches_metadata.csv")["reason"])
    report = json.loads((part.parent / "_reports" / part.name / "report.json").read_text())
    assert report["patches"]["outside"]["n"] == outside.sum()
    assert [region["name"] for region in report["regions"]] == ["tumour", "NA", "7"]
    rows = table_of(part)
    for region in report["regions"]:
        own = rows[rows["roi"] == region["name"]]
        assert region["n_cells"] == own["cell_label"].notna().sum() > 0
        assert region["n_matched"] == (own["status"] == "matched").sum()
        assert region["n_nuclei"] == own["nucleus_label"].notna().sum()
    assert "7</th>" in (part / "report.html").read_text()


@pytest.mark.parametrize("size", [384, WHOLE])
def test_patches_change_nothing(run_of, size):
    one, other = run_of("roi.geojson"), run_of("roi.geojson", size=size)
    for name, mask in masks_of(one, "both").items():
        assert np.array_equal(mask, masks_of(other, "both")[name])
    columns = ["cell_id", "status", "mismatch", "roi", "cell_certified", "nucleus_certified"]
    pd.testing.assert_frame_equal(table_of(one)[columns], table_of(other)[columns])


def test_without_a_margin_what_is_certified_is_that_of_the_whole_slide(run_of):
    part, whole = run_of("roi.geojson", margin=0), run_of("")
    rows, all_rows = table_of(part), table_of(whole)
    masks, expected = (tifffile.imread(original(run, "cell")) for run in (part, whole))
    numbers = same_objects(masks, expected)
    nuclei = same_objects(*(tifffile.imread(original(run, "nucleus")) for run in (part, whole)))
    truth = all_rows.dropna(subset="cell_label").set_index("cell_label")
    sure = rows[rows["cell_label"].notna() & rows["cell_certified"].fillna(False)]
    assert len(sure) > 20
    assert not pd.read_csv(part / "regions.csv")["is_complete"].all()
    for row in sure.itertuples():
        same = truth.loc[numbers[row.cell_label]]
        assert row.status == same["status"]
        nucleus = None if pd.isna(row.nucleus_label) else nuclei[row.nucleus_label]
        assert nucleus == (None if pd.isna(same["nucleus_label"]) else same["nucleus_label"])


def original(results: Path, name: str) -> Path:
    return masks_folder(results, results.name, "pixelcnn") / f"{name}_original.ome.tif"
