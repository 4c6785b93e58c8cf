"""The steps of the pipeline in sequence, as functions, for tests of their results."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import tifffile

from cellquilt.cells.objects import open_objects
from cellquilt.cells.quantify import quantify
from cellquilt.cells.repair import repair
from cellquilt.compartments import PLURALS
from cellquilt.handoff import stores
from cellquilt.handoff.step_files import read_matches
from cellquilt.images.label_image import by_name, masks_folder, write_label_image
from cellquilt.labelling.label import Wanted, label
from cellquilt.labelling.map_store import stored
from cellquilt.labelling.stitch import Stitched, stitch
from cellquilt.segmenters.mesmer import segment_task
from cellquilt.slides.ingest import Request, ingest
from cellquilt.slides.readers import open_slide
from cellquilt.tiling.patches import SMOOTHING_REACH, plan_patches
from cellquilt.tiling.task_store import grid_of, lattice_of, origin_of, patches_of
from cellquilt.tiling.tasks import Cut, plan_tasks

if TYPE_CHECKING:
    from cellquilt.networks.tile_network import Network

BOTH = Wanted(tuple(PLURALS), {})  # by the segmenter's own thresholds
CHANNELS = ["nuclear", "membrane", "another membrane"]


def write_slide(path: Path, image: np.ndarray, mpp: float = 0.5, **options) -> Path:
    """Write (H, W, 1 to 3) pixels as an OME-TIFF with the first of `CHANNELS`."""
    names = CHANNELS[: image.shape[-1]]
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    planes = np.moveaxis(image, -1, 0)
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata, **options)
    return path


def ingest_image(folder: Path, image: np.ndarray, mpp: float = 0.5, **options) -> Path:
    """Write an image as a slide, INGEST it and return the store; the folder must be new."""
    folder.mkdir(parents=True)
    slide = write_slide(folder / "slide.ome.tif", image, mpp, **options)
    membrane = ";".join(CHANNELS[1 : image.shape[-1]])
    ingest(Request("sample", slide, "nuclear", membrane), folder / "normalised.zip")
    return folder / "normalised.zip"


def network_input(store: Path) -> np.ndarray:
    """Return the whole slide as the network sees it, (h, w, 2) float32."""
    with stores.read(store) as slide:
        codes, lut = slide["codes"][:], slide["lut"][:]
    return np.stack([table[channel] for table, channel in zip(lut, codes, strict=True)], axis=-1)


def plan_store(store: Path, folder: Path, *cut, **more) -> tuple[pd.DataFrame, list[Path]]:
    """PATCH a store as `Cut` says; return the table of patches and the tasks' stores of pixels."""
    folder.mkdir(parents=True)
    return plan_tasks(store, folder, Cut(*cut, **more)), sorted(folder.glob("*.pixels.zip"))


def with_blanks(pixels: Path, target: Path, codes: list[list[int]]) -> tuple[Path, np.ndarray]:
    """Copy a task's pixels, with constant tiles of these codes as skipped; return copy and lut."""
    with stores.read(pixels) as task:
        arrays = {name: task[name][:] for name in ("codes", "lut")}
        attributes = dict(task.attrs) | {"blank_codes": codes}
    with stores.create(target, attributes) as copy:
        for name, array in arrays.items():
            stores.new_array(copy, name, array.shape, array.dtype, array.shape)[:] = array
    return target, arrays["lut"]


def segment_tasks(pixels: list[Path], network: "Network") -> list[Path]:
    """SEGMENT tasks; return their stores of maps."""
    maps = [path.with_name(path.name.replace("pixels", "maps")) for path in pixels]
    for source, target in zip(pixels, maps, strict=True):
        segment_task(source, network, "cpu", {"name": "Mesmer"}, stored(target))
    return maps


def windows(maps: Path) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield for each patch of a task where on the slide LABEL reads, and the (h, w, 4) maps."""
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        lattice = lattice_of(attributes)
        top, left = origin_of(attributes)
        for patch in patches_of(attributes):
            margin = attributes["halo"] + SMOOTHING_REACH
            y0, y1, x0, x1 = patch.core.grown(margin, lattice.shape)
            read = task["maps"][:, y0 - top : y1 - top, x0 - left : x1 - left]
            yield np.s_[y0:y1, x0:x1], np.moveaxis(read, 0, -1)


def replan(maps: Path, patch_size: int, values: np.ndarray | None = None) -> Path:
    """Return a copy of the maps of a whole slide, cut into patches of another size.

    Where `values`, (h, w, 4), are given, the copy holds these instead.
    """
    own = "own" if values is None else "given"
    target = maps.with_name(f"patches-{patch_size}-{own}.maps.zip")
    with stores.read(maps) as task:
        attributes = dict(task.attrs)
        patches = plan_patches(lattice_of(attributes), patch_size)
        attributes["patches"] = [asdict(patch) for patch in patches]
        whole = task["maps"]
        contents = whole[:]
        if values is not None:
            lattice = lattice_of(attributes)
            top, left = lattice.rows.before, lattice.cols.before
            height, width = values.shape[:2]
            contents[:, top : top + height, left : left + width] = np.moveaxis(values, -1, 0)
        with stores.create(target, attributes) as copy:
            stores.new_array(copy, "maps", whole.shape, whole.dtype, whole.chunks)[:] = contents
    return target


def label_tasks(maps: list[Path], folder: Path) -> list[Path]:
    """LABEL both compartments of tasks; return their stores of labels."""
    folder.mkdir(parents=True)
    labels = [folder / path.name.replace("maps", "labels") for path in maps]
    for source, target in zip(maps, labels, strict=True):
        label(source, BOTH, target)
    return labels


def stitch_tasks(labels: list[Path]) -> list[Stitched]:
    """STITCH the labels of a slide's tasks; return its cells and its nuclei."""
    with stores.read(labels[0]) as task:
        grid = grid_of(dict(task.attrs))
    stitched = [stitch(labels, name, grid, labels[0].parent) for name in PLURALS]
    assert [compartment.n_disputed_px for compartment in stitched] == [0, 0]
    return stitched


def label_slide(maps: list[Path], folder: Path) -> np.ndarray:
    """LABEL and STITCH; return (H, W, 2) labels, whole-cell first."""
    stitched = stitch_tasks(label_tasks(maps, folder))
    return np.stack([compartment.labels[:] for compartment in stitched], axis=-1)


def repaired(
    folder: Path, cells: np.ndarray, nuclei: np.ndarray, mpp: float = 0.5, sample: str = "sample"
) -> tuple[dict[str, Path], pd.DataFrame]:
    """REPAIR two label images into a sample's folder; return all masks by name, and the matches."""
    masks = masks_folder(folder, sample, "mesmer")
    masks.mkdir(parents=True)
    found = {"cell": cells, "nucleus": nuclei}
    for name, labels in found.items():
        path = masks / f"{name}_original.ome.tif"
        write_label_image(path, labels.astype(np.uint32), mpp, name)
    certified = pd.DataFrame({"compartment": [], "label": []})
    originals = (masks / f"{name}_original.ome.tif" for name in found)
    repair(*originals, {"sample": sample, "image_mpp": mpp}, certified, "mesmer", folder)
    return by_name(masks.iterdir()), read_matches(folder / "matches.csv")


def quantified(
    table: Path,
    slide: Path,
    masks: dict[str, Path],
    matches: pd.DataFrame | None = None,
    mpp: float = 0.5,
    **options,
) -> Path:
    """QUANTIFY a slide's masks, of one compartment without `matches`; return the table."""
    table.parent.mkdir(parents=True, exist_ok=True)
    with open_slide(slide) as image, ExitStack() as files:
        objects = open_objects(files, masks, matches, None)
        facts = {
            "sample": table.stem,
            "image": {"name": slide.name, "height": image.height, "width": image.width},
            "image_mpp": mpp,
        }
        quantify(image, objects, facts, "mesmer", [], table, **options)
    return table
