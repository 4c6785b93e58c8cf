"""From the labels of all tasks to a sample's masks, and what is to be known of them."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from .. import outputs, provenance
from ..compartments import PLURALS, segmented
from ..handoff import stores
from ..images.label_image import masks_folder, write_label_strips
from ..images.label_rows import LabelRows, boundary_rows
from ..images.strips import strip_rows
from ..parallel import threaded
from ..tiling.pixel_grid import Grid
from ..tiling.regions import Regions
from .grown_cells import grown_cells, without_neighbours
from .stitch import Stitched, add_counts, blank_proved, refuse_missing, stitch, uncertified

log = logging.getLogger("cellquilt")


def write_masks(
    labels: list[Path],
    patches: pd.DataFrame,
    facts: dict,
    compartment: str,
    segmenter: str,
    outdir: Path,
    cpus: int = 1,
    expand_um: float | None = None,
) -> None:
    """Stitch a slide's labels and write its masks, tables and counts.

    Parameters
    ----------
    labels : list of Path
        Stores of LABEL; none where all patches were skipped.
    patches : DataFrame
        Table of patches, of PATCH.
    facts : dict
        INGEST's, of the slide.
    compartment : {'whole-cell', 'nuclear', 'both'}
    segmenter : str
        After which the masks' folder is named.
    outdir : Path
        The sample's folder, for ``segmentation/<segmenter>-<sample>/*.ome.tif``,
        ``patches_metadata.csv``, ``uncertified.csv``, ``stitch.json`` and ``provenance.json``;
        where the slide has regions of interest also ``regions.csv``, the region of each object.
        Of a single compartment only what lies in one stays; of both, matching needs all.
    cpus : int
        With two, both compartments are stitched at a time; memory is what each takes.
    expand_um : float, optional
        Of both compartments the labels have nuclei alone, and cells are these grown so far.

    Raises
    ------
    SlideError
        If the labels of an informative patch are missing: masks without them would be partial.
    """
    sample, grid = facts["sample"], Grid.of(facts)
    refuse_missing(sample, labels, patches)
    summary: dict = {"sample": sample, "segmenter": segmenter}
    masks = masks_folder(outdir, sample, segmenter)
    masks.mkdir(parents=True, exist_ok=True)
    if expand_um:
        summary["expand_um"] = expand_um
    names = segmented(compartment)
    threads = max(cpus // len(names), 1)

    regions = Regions.of(facts)

    def written(name: str) -> Stitched:
        return _write_compartment(labels, name, names, grid, masks, threads, regions)

    if expand_um:
        nuclei = _write_compartment(labels, "nucleus", names, grid, masks, cpus, regions)
        found = {"cell": grown_cells(nuclei, expand_um / grid.image_mpp), "nucleus": nuclei}
        write_compartment(found["cell"].labels, "cell", False, masks, grid.image_mpp, cpus)
    else:
        found = dict(zip(names, threaded(written, names, cpus), strict=True))
    cells = {name: stitched.cells for name, stitched in found.items()}
    for name, stitched in found.items():
        summary[f"n_{PLURALS[name]}"] = stitched.n_labels
        summary[f"n_uncertified_{PLURALS[name]}"] = int((~stitched.cells["certified"]).sum())
        summary[f"{name}_disputed_px"] = stitched.n_disputed_px
    table = add_counts(patches, cells, blank_proved(labels))
    skipped = ~table["is_informative"]
    summary["n_unproved_patches"] = int((skipped & ~table["certified"]).sum())
    _warn(sample, summary)
    outputs.write_csv(outdir / "patches_metadata.csv", table)
    outputs.write_csv(outdir / "uncertified.csv", uncertified(cells))
    if regions:
        outputs.write_csv(outdir / "regions.csv", _regions_of(found, patches, expand_um, grid))
    outputs.write_json(outdir / "stitch.json", summary)
    steps, model = facts.get("provenance", []), None
    if labels:
        with stores.read(min(labels)) as store:
            steps, model = store.attrs["provenance"], store.attrs["model"]
    asked = {"compartment": compartment} | ({"expand_um": expand_um} if expand_um else {})
    steps = [*steps, provenance.of_step("STITCH", **asked)]
    known = {"sample": sample, "image": facts["image"], "model": model}
    if "inputs" in facts:
        known["inputs"] = facts["inputs"]
    provenance.write(outdir / "provenance.json", steps, **known)


def _write_compartment(
    paths: list[Path],
    name: str,
    names: tuple[str, ...],
    grid: Grid,
    masks: Path,
    cpus: int,
    regions: Regions | None,
) -> Stitched:
    """Stitch one of the compartments and write its label image."""
    alone = len(names) == 1
    stitched = stitch(paths, name, grid, Path(), regions, alone and regions is not None)
    write_compartment(stitched.labels, name, alone, masks, grid.image_mpp, cpus)
    return stitched


def write_compartment(
    labels: LabelRows, name: str, alone: bool, masks: Path, image_mpp: float, cpus: int = 1
) -> None:
    """Write a compartment's label image: for REPAIR, or as the only one with its boundaries.

    Parameters
    ----------
    labels : LabelRows
    name : {'cell', 'nucleus'}
    alone : bool
        Whether there is no other compartment.
    masks : Path
        Folder of the two files.
    image_mpp : float
        Pixel size (um).
    cpus : int
        Threads that compress.
    """
    rows = {name if alone else f"{name}_original": labels.read}
    if alone:
        rows[f"{name}_boundary"] = lambda y0, y1: boundary_rows(labels, y0, y1)
    for title, read in rows.items():
        strips = (read(y0, y1) for y0, y1 in strip_rows(labels.shape))
        path, shown = masks / f"{title}.ome.tif", title.removesuffix("_original")
        write_label_strips(path, labels.shape, strips, image_mpp, shown, cpus)


def _regions_of(
    found: Mapping[str, Stitched], patches: pd.DataFrame, expand_um: float | None, grid: Grid
) -> pd.DataFrame:
    """Return a row for each object: ``compartment``, ``label``, ``roi`` and ``is_complete``.

    The last is whether all objects that share a pixel with it are there, or may take one of those
    that it grew by: those of patches that were not segmented are not. Of a single compartment there
    is nothing to share.
    """
    tables = []
    if expand_um:
        near = without_neighbours(found["nucleus"], patches, expand_um / grid.image_mpp)
    for name, stitched in found.items():
        cells = stitched.cells.assign(compartment=name, is_complete=True)
        if expand_um:
            cells["is_complete"] = ~cells["label"].isin(near)
        elif len(found) == 2:
            (other,) = (each for key, each in found.items() if key != name)
            touched = [_labels_at(stitched, other.unseen), _labels_in(stitched, patches)]
            cells["is_complete"] = ~cells["label"].isin(np.concatenate(touched))
        tables.append(cells)
    return pd.concat(tables)[["compartment", "label", "roi", "is_complete"]]


def _labels_at(stitched: Stitched, pixels: np.ndarray) -> np.ndarray:
    """Return the labels at pixels, (n, 2) rows and columns."""
    pixels = pixels[np.argsort(pixels[:, 0], kind="stable")]
    found = [np.zeros(0, np.uint32)]
    for y0, y1 in strip_rows(stitched.labels.shape):
        first, last = np.searchsorted(pixels[:, 0], (y0, y1))
        if first < last:
            y, x = pixels[first:last].T
            found.append(np.unique(stitched.labels[y0:y1][y - y0, x]))
    return np.concatenate(found)


def _labels_in(stitched: Stitched, patches: pd.DataFrame) -> np.ndarray:
    """Return the labels that reach into the patches outside of regions."""
    outside = patches[patches["reason"] == "outside_roi"]
    boxes = outside[["y0", "height", "x0", "width"]].to_numpy()
    found = [np.zeros(0, np.uint32)]
    for y0, y1 in strip_rows(stitched.labels.shape):
        here = boxes[(boxes[:, 0] < y1) & (boxes[:, 0] + boxes[:, 1] > y0)]
        strip = stitched.labels[y0:y1] if len(here) else np.zeros((0, 0), np.uint32)
        for top, height, x0, width in here:
            rows = slice(max(top - y0, 0), top + height - y0)
            found.append(np.unique(strip[rows, x0 : x0 + width]))
    return np.concatenate(found)


def _warn(sample: str, summary: dict) -> None:
    """Warn of what a user may want to change."""
    asked = [objects for objects in PLURALS.values() if f"n_{objects}" in summary]
    if not any(summary[f"n_{objects}"] for objects in asked):
        log.warning("stitch: %s: no cells found; its masks are empty", sample)
    if any(summary[key] for key in summary if key.endswith("disputed_px")):
        log.warning("stitch: %s: patches disagree on some pixels; raise --halo", sample)
    doubtful = [(summary[f"n_uncertified_{objects}"], objects) for objects in asked]
    if any(n for n, _ in doubtful):
        log.warning(
            "stitch: %s: %s are not proved to be those of the whole slide (see uncertified.csv);"
            " raise --halo",
            sample,
            " and ".join(f"{n} {objects}" for n, objects in doubtful if n),
        )
