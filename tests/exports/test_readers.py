"""Exports opened with the tools of their users: the same cells and numbers in all of them.

The tools are in a separate environment (tests/readers, tools/setup.sh readers), with other
versions than Cellquilt's and without its code: anndata and squidpy, spatialdata and
spatialdata-io, napari and its OME-Zarr reader, the OME-Zarr validator, GDAL through
geopandas, and CellSegmentationEvaluator.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from support.steps import (
    ingest_image,
    label_slide,
    plan_store,
    quantified,
    repaired,
    replan,
    segment_tasks,
)

from cellquilt import exports
from cellquilt.cells import cell_table, quality_score
from cellquilt.cells.matching import STATUSES
from cellquilt.errors import DataError
from cellquilt.exports.picture import open_picture
from cellquilt.images.label_image import write_label_image
from cellquilt.synthetic.tissue import generate_tissue
from cellquilt.tiling.box import Box

SAMPLE = "tonsil"
MPP = 0.37745
CHANNELS = ["DAPI", "CD45", "PanCK", "Vimentin", "CD45", "Autofluorescence"]
UNIQUE = ["DAPI", "CD45", "PanCK", "Vimentin", "CD45_2", "Autofluorescence"]
HEIGHT, WIDTH = 240, 1100  # wide enough for a pyramid
CENTROIDS = ["cell_centroid_x_px", "cell_centroid_y_px"]
WITH_INTENSITIES = [
    *("anndata", "squidpy_graph", "mcmicro", "spatialdata_table", "geojson", "parquet")
]
WITH_IMAGE = ["spatialdata_image", "ome_zarr_image", "napari_image"]
OF_MASKS = ["spatialdata_labels", "spatialdata_shapes", "napari", "ome_zarr_model", "planes"]
OF_MASKS += WITH_IMAGE
SHOWN = [4, 0]  # of the channels, beside the labels
MASKS = ("cell", "nucleus")
PATCH, WHOLE = 192, 1_000_000  # model px
MATCHED = "Matched Cell: FractionOfMatchedCellsAndNuclei"


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """Return a sample's folder with all formats, and with the slide where MCMICRO has it."""
    folder = tmp_path_factory.mktemp("results") / SAMPLE
    tissue = generate_tissue(HEIGHT, WIDTH, seed=7, empty_width=100)
    masks, matches = repaired(folder, tissue.cell_truth, tissue.nucleus_truth, MPP, SAMPLE)
    metadata = {"axes": "CYX", "Channel": {"Name": CHANNELS}}
    metadata |= {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
    slide_of(folder).parent.mkdir()
    options = {"ome": True, "photometric": "minisblack", "metadata": metadata}
    tifffile.imwrite(slide_of(folder), tissue.image, **options)
    table = quantified(table_of(folder), slide_of(folder), masks, matches, MPP)
    with cell_table.open_cells(table, masks) as cells:
        for name in set(exports.FORMATS) - exports.SHOWING:
            exports.writer(name)(cells, folder)
        spec = ";".join(map(str, SHOWN))
        with open_picture([slide_of(folder)], table, cells.facts, spec) as picture:
            exports.export(cells, list(exports.OF_IMAGES), folder / "with_image", 1, picture)
    return folder


def masks_of(folder: Path) -> Path:
    return folder / "segmentation" / f"mesmer-{SAMPLE}"


def slide_of(folder: Path) -> Path:
    return folder / "registration" / f"{SAMPLE}.ome.tif"


def table_of(folder: Path) -> Path:
    return folder / "quantification" / f"{SAMPLE}.parquet"


@pytest.fixture(scope="module")
def cells(sample) -> pd.DataFrame:
    """Return the rows of the matched cells, by id."""
    rows = cell_table.read(table_of(sample))
    rows = rows[rows["status"] == "matched"].set_index("cell_id").sort_index()
    assert len(rows) > 300 and len(rows) < len(cell_table.read(table_of(sample)))
    return rows


@pytest.fixture(scope="module")
def opened(sample, readers, repo, tmp_path_factory) -> dict[str, dict]:
    """Return what each reader found, by its name in tests/readers/open_exports.py."""
    report = tmp_path_factory.mktemp("opened") / "found.json"
    readers(repo / "tests" / "readers" / "open_exports.py", sample, SAMPLE, report)
    return json.loads(report.read_text())


def found(reader: dict) -> pd.DataFrame:
    columns = [*CENTROIDS, "cell_area_px", "cell_mean_DAPI"]
    frame = pd.DataFrame.from_dict(reader["cells"], orient="index", columns=columns)
    return frame.set_axis(frame.index.astype(int)).sort_index()


def test_every_reader_was_asked(opened):
    assert set(opened) == {*WITH_INTENSITIES, *OF_MASKS}


@pytest.mark.parametrize("reader", [*WITH_INTENSITIES, *OF_MASKS])
def test_every_reader_finds_the_same_cells(opened, cells, reader):
    theirs = found(opened[reader])
    assert theirs.index.tolist() == cells.index.tolist()
    assert theirs["cell_area_px"].tolist() == cells["cell_area_px"].tolist()
    assert np.abs(theirs[CENTROIDS] - cells[CENTROIDS]).to_numpy().max() < 1e-6


@pytest.mark.parametrize("reader", WITH_INTENSITIES)
def test_every_reader_finds_the_same_intensities(opened, cells, reader):
    theirs = found(opened[reader])["cell_mean_DAPI"]
    assert np.abs(theirs / cells["cell_mean_DAPI"] - 1).max() < 1e-6


def test_one_cell_is_what_its_pixels_say_in_every_reader(opened, sample):
    """Against the pixels themselves, not against our table."""
    mask = tifffile.imread(masks_of(sample) / "cell.ome.tif")
    label = int(mask[HEIGHT // 2, mask[HEIGHT // 2] > 0][0])
    y, x = np.nonzero(mask == label)
    mean = tifffile.imread(slide_of(sample))[0, y, x].mean()
    for name, reader in opened.items():
        cell = reader["cells"][str(label)]
        assert cell[:3] == pytest.approx([x.mean(), y.mean(), len(y)], abs=1e-6), name
        assert cell[3] is None or cell[3] == pytest.approx(mean, rel=1e-6), name
        assert (cell[3] is None) == (name in OF_MASKS), name


@pytest.mark.parametrize("reader", ["anndata", "squidpy_graph", "mcmicro", "spatialdata_table"])
def test_channels_of_a_name_stay_apart(opened, reader):
    assert opened[reader]["channels"] == UNIQUE


def test_squidpy_finds_neighbours_and_autocorrelation(opened):
    assert opened["squidpy_graph"]["nearest"]
    assert opened["squidpy_graph"]["n_moran"] == len(CHANNELS)


def test_spatialdata_io_reads_the_folder_as_one_of_mcmicro(opened):
    assert opened["mcmicro"]["images"] == [f"{SAMPLE}_image"]
    assert {f"{SAMPLE}_cell", f"{SAMPLE}_nucleus"} <= set(opened["mcmicro"]["labels"])
    assert opened["mcmicro"]["labels_fit"]


def test_spatialdata_links_table_and_labels_and_knows_um(opened):
    assert opened["spatialdata_table"]["elements"] == ["cell_labels"]
    extent = [0, WIDTH * MPP, 0, HEIGHT * MPP]
    assert opened["spatialdata_table"]["extent_um"] == pytest.approx(extent)
    assert opened["spatialdata_shapes"]["scale"] == pytest.approx(MPP)


def test_polygons_are_valid_cells(opened):
    assert opened["geojson"]["valid"] and opened["spatialdata_shapes"]["valid"]
    assert opened["geojson"]["types"] == ["cell"]


def test_napari_shows_labels_at_their_size_in_um(opened):
    layers = {"Labels cell", "Labels nucleus"}
    assert layers <= set(opened["napari"]["kinds"])
    assert opened["napari"]["scale"] == pytest.approx([MPP, MPP])


def test_ome_zarr_follows_the_specification(opened):
    assert opened["ome_zarr_model"]["kinds"] == ["v04.Image", "v04.ImageLabel"]


@pytest.mark.parametrize("reader", WITH_IMAGE)
def test_every_reader_of_images_finds_the_slide_beside_the_labels(opened, sample, reader):
    pixels, image = tifffile.imread(slide_of(sample))[SHOWN], opened[reader]
    assert image["names"] == [UNIQUE[channel] for channel in SHOWN]
    assert image["shape_of_image"] == list(pixels.shape) and image["n_levels"] == 2
    assert image["sums"] == pixels.sum(axis=(1, 2)).tolist()
    assert image["scale"] == pytest.approx([MPP, MPP])


@pytest.fixture(scope="module")
def evaluate(sample, readers, repo, tmp_path_factory):
    """Return a function that runs EVALUATE on the sample, with options, and what it writes."""
    counts = pd.read_csv(sample / "matches.csv")["status"].value_counts()
    n = {status: int(counts.get(status, 0)) for status in STATUSES}
    fraction = n["matched"] / sum(n.values())
    folder = tmp_path_factory.mktemp("evaluate")
    facts, metrics = folder / "sample.json", folder / "repair_metrics.json"
    image = {"name": slide_of(sample).name, "height": HEIGHT, "width": WIDTH, "channels": CHANNELS}
    facts.write_text(json.dumps({"sample": SAMPLE, "image_mpp": MPP, "image": image}))
    metrics.write_text(json.dumps({"sample": SAMPLE, "matched_fraction": fraction}))

    def evaluate(*options: str) -> dict:
        masks = [f"--{name}={masks_of(sample) / f'{name}_original.ome.tif'}" for name in MASKS]
        given = [f"--image={slide_of(sample)}", f"--facts={facts}", f"--metrics={metrics}"]
        given += [f"--matches={sample / 'matches.csv'}", f"--outdir={folder}", *options]
        readers(repo / "bin" / "evaluate.py", *masks, *given)
        return json.loads((folder / "evaluation.json").read_text())

    return evaluate


def test_the_evaluator_matches_as_repair_does(opened, evaluate):
    """From cells and nuclei as found, and from the four planes, which REPAIR matched."""
    report = evaluate()
    ours = {
        f"{of}: {n}": value for of, part in report["metrics"].items() for n, value in part.items()
    }
    theirs = opened["planes"]["metrics"] | {"Matched Cell: NumberOfCellsPer100SquareMicrons": None}
    differ = {name for name, value in theirs.items() if value != pytest.approx(ours[name])}
    assert opened["planes"]["axes"] == "CYX" and opened["planes"]["n_planes"] == 4
    # those of the planes are all matched, and pixels of 1 um were given
    assert differ == {MATCHED, "Matched Cell: NumberOfCellsPer100SquareMicrons"}
    # it counts the background as a matched cell
    n_matched = len(opened["planes"]["cells"])
    n_all = report["n_cells"] + report["n_nuclei"] - n_matched
    assert ours[MATCHED] == pytest.approx((n_matched + 1) / (n_all + 1))
    assert report["cellquilt"]["matched_fraction"] == pytest.approx(n_matched / n_all)
    assert report["is_whole_slide"] and report["problem"] is None
    assert 0 < report["quality_score"] < 10


def test_the_evaluator_takes_a_square_of_a_large_slide(evaluate):
    report = evaluate("--side", "150")
    window = report["window"]
    assert window["y1"] - window["y0"] == window["x1"] - window["x0"] == 150
    assert 11 <= report["n_cells"] < 200 and not report["is_whole_slide"]
    assert report["quality_score"] > 0


def test_a_square_with_hardly_any_cells_has_no_score(monkeypatch):
    monkeypatch.setattr(quality_score, "version", lambda _: "1")
    labels = np.arange(100).reshape(10, 10) % 11
    report = quality_score.evaluate(np.ones((2, 10, 10)), labels, np.minimum(labels, 9), MPP)
    assert report["quality_score"] is None and report["metrics"] is None
    assert report["problem"].startswith("fewer than 11 cells or nuclei")


def test_a_square_that_memory_could_not_hold_is_refused():
    with pytest.raises(DataError, match="--side 5000: .* between 1 and 4096 px"):
        quality_score.choose_window(np.empty((0, 2)), (9000, 9000), side=5000)


def test_the_square_is_the_one_with_the_median_number_of_cells():
    centres = np.array([[5, 5]] * 9 + [[5, 15]] * 3 + [[15, 5]])
    assert quality_score.choose_window(centres, (20, 20), side=10) == (0, 10, 10, 20)
    assert quality_score.choose_window(centres[:9], (25, 15), side=10) == (0, 10, 0, 10)
    assert quality_score.choose_window(np.empty((0, 2)), (8, 30), side=10) == (0, 8, 0, 10)


def test_labels_of_a_square_have_no_gaps(tmp_path):
    labels = np.zeros((40, 40), np.uint32)
    labels[5:10, 5:10], labels[20:30, 20:30] = 7, 1000
    write_label_image(tmp_path / "cell.ome.tif", labels, MPP, "cell")
    window = Box(0, 30, 0, 30)
    read = quality_score.read_labels(tmp_path / "cell.ome.tif", (40, 40), window)
    assert np.array_equal(np.unique(read), [0, 1, 2]) and read.shape == (30, 30)
    assert (read == 2).sum() == 100
    with pytest.raises(DataError, match="is .40, 40. px and the image .40, 41. px"):
        quality_score.read_labels(tmp_path / "cell.ome.tif", (40, 41), window)


@pytest.fixture(scope="module")
def seams(mesmer_slides, network, readers, repo, tmp_path_factory) -> dict[str, dict]:
    """Return what squidpy's quality control of tiled segmentations finds, by label image.

    Of Mesmer's maps of the generated tissue: ``whole``, labelled at once; ``patches``, cut into 16
    and stitched; ``cut``, the whole's cells cut at the same lines, as without any stitching.
    """
    folder = tmp_path_factory.mktemp("seams")
    store = ingest_image(folder / "ingest", *mesmer_slides["generated tissue"])
    _, pixels = plan_store(store, folder / "task", WHOLE)
    (maps,) = segment_tasks(pixels, network)
    patches = replan(maps, PATCH)
    whole = label_slide([maps], folder / "whole")[..., 0]
    stitched = label_slide([patches], folder / "patches")[..., 0]
    y, x = (np.arange(length) // PATCH for length in whole.shape)
    tile = y[:, None] * (x[-1] + 1) + x[None, :]
    pairs = np.where(whole == 0, 0, whole * np.int64(tile.max() + 1) + tile)
    cut = np.unique(pairs, return_inverse=True)[1].reshape(whole.shape)
    assert tile.max() + 1 == 16 and cut.max() > whole.max() + 50
    images = {"whole": whole, "patches": stitched, "cut": cut}
    np.savez(folder / "labels.npz", **images)
    script = repo / "tests" / "readers" / "find_seams.py"
    readers(script, folder / "labels.npz", folder / "found.json")
    found = json.loads((folder / "found.json").read_text())
    lines = np.diff(tile, axis=0, prepend=tile[:1]) + np.diff(tile, prepend=tile[:, :1]) != 0
    for name, labels in images.items():
        at_lines = set(np.unique(labels[lines]).tolist()) - {0}
        found[name]["outliers_at_lines"] = len(at_lines & set(found[name]["outliers"]))
    return found


def test_squidpy_finds_no_seam_that_the_whole_image_does_not_have(seams):
    assert seams["patches"]["n"] > 500
    assert seams["patches"]["outliers"] == seams["whole"]["outliers"]
    assert seams["patches"]["cut_score"] == seams["whole"]["cut_score"]


def test_squidpy_finds_seams_where_cells_are_cut(seams):
    """So that the test above can fail."""
    assert seams["cut"]["outliers_at_lines"] > 30
    assert seams["cut"]["outliers_at_lines"] > 4 * seams["whole"]["outliers_at_lines"]
