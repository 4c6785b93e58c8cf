"""What QUANTIFY says of channels, against loops over the pixels, and the order that it gives."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from scipy import ndimage
from support.slides import names, write
from support.steps import quantified

from cellquilt.cells import cell_table, markers
from cellquilt.cells.markers import Chords, Marker, SampledRows, distribution, positions
from cellquilt.errors import DataError
from cellquilt.images import data_url
from cellquilt.images.label_image import write_label_image
from cellquilt.synthetic.tissue import generate_tissue

MPP = 0.5


def described(planes, labels, mpp=MPP, strip=50):
    """Return the markers of an image (channels, h, w) in label images, given in strips."""
    shape = planes[0].shape
    sampled = {name: SampledRows(shape) for name in labels}
    for name, rows in sampled.items():
        for y0 in range(0, shape[0], strip):
            rows.add(labels[name][y0 : y0 + strip], y0)
    chords = Chords({name: rows.pixels() for name, rows in sampled.items()}, mpp)
    found = []
    for plane in planes:
        marker = Marker(shape)
        for y0 in range(0, shape[0], strip):
            marker.add(plane[y0 : y0 + strip], y0)
        found.append(marker.describe(chords, np.arange(5.0), len(planes)))
    return found


@pytest.fixture(scope="module")
def tissue():
    return generate_tissue(300, 420, seed=7, empty_width=100)


@pytest.fixture(scope="module")
def table(tissue, tmp_path_factory):
    """QUANTIFY's table of a tissue's true cells."""
    folder = tmp_path_factory.mktemp("markers")
    write(folder / "slide.ome.tif", tissue.image, metadata=names(*tissue.channels))
    write_label_image(folder / "cell.ome.tif", tissue.cell_truth, MPP, "cell")
    masks = {"cell": folder / "cell.ome.tif"}
    return quantified(folder / "sample.parquet", folder / "slide.ome.tif", masks)


def runs_of(line):
    """Yield label, first and next pixel of each object's runs in a row."""
    start = 0
    for x in range(1, len(line) + 1):
        if x == len(line) or line[x] != line[start]:
            if line[start]:
                yield line[start], start, x
            start = x


def ratio(pairs):
    here, there = np.array(pairs).T
    return (here - there).sum() / (np.abs(here) + np.abs(there)).sum()


def dark(plane):
    return np.sort(plane.ravel())[int(0.01 * (plane.size - 1))].astype(float)


def test_contrasts_are_those_of_loops_over_the_rows(tissue):
    labels = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    found = described(tissue.image, labels)
    reach, edge = round(2.0 / MPP), round(0.5 / MPP)
    for plane, marker in zip(tissue.image, found, strict=True):
        signal, inside, edges = plane - dark(plane), [], []
        for y in range(plane.shape[0]):
            line, nuclei = signal[y], labels["nucleus"][y]
            for _, x0, x1 in runs_of(nuclei):
                near = [*range(max(x0 - reach, 0), x0), *range(x1, min(x1 + reach, len(line)))]
                near = [x for x in near if nuclei[x] == 0]
                if near:
                    inside.append((line[x0:x1].mean(), line[near].mean()))
            for _, x0, x1 in runs_of(labels["cell"][y]):
                if x1 - x0 >= 4 * edge:
                    outer = np.append(line[x0 : x0 + edge], line[x1 - edge : x1])
                    edges.append((outer.mean(), line[x0 + edge : x1 - edge].mean()))
        assert marker["nuclear_contrast"] == pytest.approx(ratio(inside))
        assert marker["membrane_contrast"] == pytest.approx(ratio(edges))
        outside = (labels["cell"] == 0) & (labels["nucleus"] == 0)
        assert marker["background"] == np.median(plane[outside])


def test_the_table_has_what_the_pixels_and_the_means_say(tissue, table):
    rows, found = cell_table.read(table), cell_table.read_markers(table)
    assert [marker["name"] for marker in found] == list(tissue.channels)
    for plane, marker in zip(tissue.image, found, strict=True):
        assert marker["background"] == np.median(plane[tissue.cell_truth == 0])
        assert marker["nuclear_contrast"] is None and marker["saturated"] == 0
        of_cells, means = rows[f"cell_mean_{marker['name']}"].to_numpy(), marker["means"]
        low, high = np.quantile(of_cells, (0.005, 0.995))
        assert (means["n"], means["low"], means["high"]) == (len(rows), low, high)
        np.testing.assert_allclose(means["quartiles"], np.quantile(of_cells, (0.25, 0.5, 0.75)))
        at = positions(
            of_cells[(of_cells >= low) & (of_cells <= high)], low, high, means["cofactor"]
        )
        assert means["counts"] == [
            int(((at >= k / 32) & ((at < (k + 1) / 32) | (k == 31))).sum()) for k in range(32)
        ]
        assert sum(means["counts"]) >= 0.98 * len(rows)
    # beside the facts, which all readers parse
    assert b"contrast" not in pq.read_metadata(table).metadata[cell_table.FACTS]


def test_every_field_is_described(table, repo):
    page = (repo / "docs" / "outputs.md").read_text()
    start = page.index("Under the key `cellquilt_markers`")
    described = page[start : page.index("## Formats")]
    (marker, *_) = cell_table.read_markers(table)
    for field in [*marker, *marker["means"], *marker["picture"]]:
        assert f"`{field}`" in described, field


def test_saturated_pixels_are_counted(tissue, tmp_path):
    image = tissue.image[:1].copy()
    image[:, :60, :60] = 65535
    write(tmp_path / "slide.ome.tif", image, metadata=names("DAPI"))
    write_label_image(tmp_path / "cell.ome.tif", tissue.cell_truth, MPP, "cell")
    masks = {"cell": tmp_path / "cell.ome.tif"}
    path = quantified(tmp_path / "sample.parquet", tmp_path / "slide.ome.tif", masks)
    (marker,) = cell_table.read_markers(path)
    assert marker["saturated"] == 3600 / np.count_nonzero(image)


def test_a_picture_has_the_means_of_blocks(tissue):
    (marker,) = described(tissue.image[:1], {"cell": tissue.cell_truth})
    picture, plane = marker["picture"], tissue.image[0].astype(float)
    shown = data_url.decode(picture["src"])[..., 0].astype(float)
    assert shown.shape == (picture["height"], picture["width"]) == (300 // 8, 420 // 8)
    every = plane[::2, ::2][: 4 * 37, : 4 * 52].reshape(37, 4, 52, 4).mean(axis=(1, 3))
    low, high = np.quantile(every, (0.01, 0.998))
    expected = np.clip((every - low) / (high - low), 0, 1) * 255
    assert np.abs(shown - expected).mean() < 8  # of a file that loses some
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "float32", "int8"])
def test_strips_of_any_height_give_the_same(tissue, dtype):
    planes = (tissue.image[:2] / (64 if dtype == "int8" else 1)).astype(dtype)
    labels = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    assert described(planes, labels, strip=1) == described(planes, labels, strip=300)


def test_a_part_of_the_rows_is_enough(tissue, monkeypatch):
    labels = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    whole = described(tissue.image, labels)
    monkeypatch.setattr(markers, "SAMPLE_PIXELS", 420 * 60)
    part = described(tissue.image, labels)
    assert part == described(tissue.image, labels, strip=7)
    for one, other in zip(whole, part, strict=True):
        for name in ("nuclear_contrast", "membrane_contrast"):
            assert one[name] == pytest.approx(other[name], abs=0.05)
            assert one[name] != other[name]


def test_ranks_of_the_generated_tissue(tissue):
    labels = {"cell": tissue.cell_truth, "nucleus": tissue.nucleus_truth}
    by = ranked(described(tissue.image, labels), tissue.channels)
    assert by["nuclear_contrast"][:2] == ["DAPI", "Ki67"]
    assert set(by["membrane_contrast"][:2]) == {"CD45", "PanCK"}


def ranked(found, channels):
    return {
        key: [channels[k] for k in np.argsort([-marker[key] for marker in found])]
        for key in ("nuclear_contrast", "membrane_contrast")
    }


@pytest.mark.parametrize("mask", ["DeepCell-0.9.0_membrane", "expert1"])
def test_ranks_of_the_codex_tile(shared_data, mask):
    """Nuclei are what is bright in its nuclear channel. CH_7 has rings, so it is a membrane's."""
    folder = shared_data / "codex_tile"
    image = tifffile.imread(folder / "codex_tile.ome.tif")
    channels = ["nucleus", "cytoplasm", "membrane", "CH_7", "CH_11", "CH_19", "CH_20", "CH_24"]
    cell = tifffile.imread(folder / f"mask_{mask}.tif").astype(np.uint32)
    smooth = ndimage.gaussian_filter(image[0].astype(np.float32), 1.2)
    inside = smooth > np.maximum(ndimage.gaussian_filter(smooth, 10), np.quantile(smooth, 0.4))
    nucleus = np.where(ndimage.binary_opening(inside), cell, 0)
    by = ranked(described(image, {"cell": cell, "nucleus": nucleus}, 0.37745), channels)
    assert by["nuclear_contrast"][0] == "nucleus"
    assert set(by["membrane_contrast"][:2]) == {"membrane", "CH_7"}


ODD = {
    "zero": np.zeros((30, 40), np.uint16),
    "one": np.full((30, 40), 7, np.uint8),
    "not finite": np.where(np.eye(30, 40) > 0, np.nan, 1e300) * np.eye(30, 40)[::-1],
    "infinite": np.full((30, 40), np.inf, np.float32),
    "negative": np.arange(-600, 600, dtype=np.int16).reshape(30, 40),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_odd_images(name):
    label = np.zeros((30, 40), np.uint32)
    for labels in ({"cell": label}, {"nucleus": label + np.uint32(1)}):
        (marker,) = described([ODD[name]], labels, strip=9)
        assert json.loads(json.dumps(marker, allow_nan=False)) == marker


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 2000), (13, 3000), (3000, 13), (8, 8)])
def test_slides_of_any_shape_have_a_picture(shape):
    plane = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    (marker,) = described([plane], {"cell": np.zeros(shape, np.uint32)}, strip=2)
    picture = marker["picture"]
    assert data_url.decode(picture["src"]).shape == (picture["height"], picture["width"], 3)
    assert max(picture["height"], picture["width"]) <= 2000


def test_axes_of_distributions():
    rng = np.random.default_rng(0)
    assert distribution(np.array([])) is None
    assert distribution(rng.normal(1000, 50, 500))["cofactor"] is None
    skewed = distribution(rng.lognormal(3, 2, 500))
    assert skewed["cofactor"] > 0 and max(skewed["counts"]) < 100
    same = distribution(np.full(9, 4.0))
    assert (same["low"], same["high"], same["cofactor"], sum(same["counts"])) == (4, 4, None, 9)
    mostly_zero = distribution(np.append(np.zeros(400), rng.lognormal(5, 1, 100)))
    assert mostly_zero["low"] == 0 and mostly_zero["cofactor"] > 0


def test_many_channels_take_little_room(tissue):
    eight, forty = (
        len(
            json.dumps(
                described(np.resize(tissue.image, (n, 300, 420)), {"cell": tissue.cell_truth})
            )
        )
        for n in (8, 40)
    )
    assert eight < 50_000 and forty < 150_000


def test_damaged_markers_are_refused(table, tmp_path):
    def written(content):
        path, whole = tmp_path / "t.parquet", pq.read_table(table)
        with pq.ParquetWriter(path, whole.schema) as file:
            file.write_table(whole)
            file.add_key_value_metadata({cell_table.MARKERS: content})
        return path

    good = cell_table.read_markers(table)
    assert cell_table.read_markers(written(json.dumps(good))) == good
    other = {"src": "http://example.org/a.png", "height": 1, "width": 1}
    changes = [{"name": 3}, {"saturated": None}, {"picture": {}}, {"picture": other}]
    changes += [{"means": {}}, {"background": "a"}, {"background": 10**400}]
    wrong_means = [{"cofactor": 0}, {"low": 1e9}, {"counts": [1]}, {"quartiles": [1, 2]}]
    changes += [{"means": good[0]["means"] | change} for change in wrong_means]
    wrong = ["{", "3", "[3]", "NaN", *(json.dumps([good[0] | change]) for change in changes)]
    for content in wrong:
        with pytest.raises(DataError, match="its markers are damaged; give the one of QUANTIFY"):
            cell_table.read_markers(written(content))
