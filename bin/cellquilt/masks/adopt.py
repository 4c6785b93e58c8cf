"""From masks of another tool to what the other steps take: as of STITCH, but for the proof."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from .. import outputs, provenance
from ..compartments import PLURALS
from ..errors import DataError
from ..images.growing import grow
from ..images.label_image import masks_folder
from ..images.label_rows import LabelRows, Relabelled
from ..images.strips import Scratch, strip_rows
from ..labelling.slide_masks import write_compartment
from ..segmenters import OWN
from ..slides.checksums import checksums_of
from ..slides.notice import Notice
from ..tiling.regions import Regions
from .readers import OwnMask, open_mask

log = logging.getLogger("cellquilt")


def adopt(
    given: Mapping[str, Path],
    facts: dict,
    patches: pd.DataFrame,
    outdir: Path,
    cpus: int = 1,
    expand_um: float | None = None,
) -> None:
    """Write masks of one's own as the pipeline's, with tables and counts.

    Labels stay as they are. An object lies in the patch and the region of the pixel that is
    nearest to its centroid.

    Parameters
    ----------
    given : dict
        Path by compartment, ``cell``, ``nucleus`` or both; see `readers.open_mask`.
    facts : dict
        INGEST's, of the slide.
    patches : DataFrame
        Table of patches, of PATCH.
    outdir : Path
        The sample's folder, for ``segmentation/masks-<sample>/*.ome.tif``,
        ``patches_metadata.csv``, ``stitch.json`` and ``provenance.json``; where the slide has
        regions of interest also ``regions.csv``.
    cpus : int
        Threads that compress.
    expand_um : float, optional
        Of a mask of nuclei alone: cells are these grown so far.

    Raises
    ------
    DataError
        If a mask cannot be read, is not of this slide, or has cells that are to be grown.
    """
    sample, mpp = facts["sample"], facts["image_mpp"]
    if not given:
        raise DataError(
            f"{sample}: has neither a mask of cells nor one of nuclei; give one of them."
        )
    if expand_um and set(given) != {"nucleus"}:
        raise DataError(f"{sample}: nuclei alone are grown to cells; give a mask of these only.")
    names = tuple(name for name in PLURALS if name in given or expand_um)
    masks = masks_folder(outdir, sample, OWN)
    masks.mkdir(parents=True, exist_ok=True)
    regions, shape = Regions.of(facts), (facts["image"]["height"], facts["image"]["width"])
    with ExitStack() as files:
        own = {
            name: files.enter_context(open_mask(path, shape, name, outdir))
            for name, path in given.items()
        }
        found: dict[str, LabelRows] = dict(own)
        if expand_um:
            found["cell"] = _grown(own["nucleus"], expand_um / mpp, outdir)
        places = {name: _places(labels) for name, labels in found.items()}
        if regions:
            for table in places.values():
                table["roi"] = regions.names_at(table["y_px"].to_numpy(), table["x_px"].to_numpy())
        for name in names:
            labels, of = found[name], places[name]
            if len(names) == 1 and regions:  # of both, matching needs all
                places[name] = of = of[of["roi"] != ""]
                labels = Relabelled(labels, of["label"], of["label"])
            write_compartment(labels, name, len(names) == 1, masks, mpp, cpus)
        notices = [
            notice for name in given for notice in _notices(own[name], given[name], places[name])
        ]
    counts = {f"n_{PLURALS[name]}": len(places[name]) for name in names}
    grown = {"expand_um": expand_um} if expand_um else {}
    summary = {
        "sample": sample,
        "segmenter": OWN,
        **grown,
        **counts,
        "notices": [*map(asdict, notices)],
    }
    for notice in notices:
        log.warning("adopt: %s", notice.text)
    outputs.write_json(outdir / "stitch.json", summary)
    outputs.write_csv(outdir / "patches_metadata.csv", _counted(patches, places))
    if regions:
        outputs.write_csv(outdir / "regions.csv", _regions_of(places))
    sources = {
        f"{name}_mask": {"name": path.name, "sha256": checksums_of([path])[0]["sha256"]}
        for name, path in given.items()
    }
    steps = [*facts.get("provenance", []), provenance.of_step("ADOPT", **sources, **grown)]
    known = {"sample": sample, "image": facts["image"], "model": None}
    known |= {"inputs": facts["inputs"]} if "inputs" in facts else {}
    provenance.write(outdir / "provenance.json", steps, **known)


def _grown(nuclei: LabelRows, distance: float, folder: Path) -> Scratch:
    """Return nuclei grown by so many pixels."""
    cells, y = Scratch(folder, nuclei.shape, np.uint32), 0
    for strip in grow(nuclei, distance):
        cells[y : y + len(strip)] = strip
        y += len(strip)
    return cells


def _places(labels: LabelRows) -> pd.DataFrame:
    """Return the objects by label: ``label``, ``area``, and the pixel nearest to the centroid.

    That is ``y_px`` and ``x_px``.
    """
    parts = []
    for y0, y1 in strip_rows(labels.shape):
        strip = labels.read(y0, y1)
        begins = np.ones(strip.shape, bool)
        begins[:, 1:] = strip[:, 1:] != strip[:, :-1]
        y, x = np.nonzero(begins)
        run = np.diff(np.flatnonzero(begins), append=strip.size)  # each row begins with one
        label = strip[y, x]
        sums = {"area": run, "y": (y + y0) * run, "x": x * run + run * (run - 1) // 2}
        parts.append(pd.DataFrame(sums, label)[label > 0].groupby(level=0).sum())
    total = pd.concat(parts).groupby(level=0).sum()
    nearest = {f"{axis}_px": np.floor(total[axis] / total["area"] + 0.5) for axis in "yx"}
    found = pd.DataFrame({"label": total.index, "area": total["area"].array}, total.index)
    return found.assign(**nearest).astype(np.int64).reset_index(drop=True)


def _notices(mask: OwnMask, path: Path, places: pd.DataFrame) -> Iterator[Notice]:
    """Yield what a person should know of a mask."""
    for note in mask.notes:
        yield Notice("own_mask", f"{path.name}: {note}.")
    largest = np.iinfo(mask.dtype).max if mask.dtype is not None else 0
    if mask.dtype is not None and mask.dtype.itemsize < 4 and (places["label"] == largest).any():
        yield Notice(
            "labels_at_limit",
            f"{path.name}: its labels reach {largest:,}, the largest that {mask.dtype} holds, so"
            " that further objects may have been given numbers twice; save it as uint32.",
        )
    height, width = mask.shape
    if len(places) == 1 and places["area"].iloc[0] > 0.01 * height * width:
        yield Notice(
            "one_object",
            f"{path.name}: has one object, of {places['area'].iloc[0]:,} px. If it tells foreground"
            " from background, number its objects first, by skimage.measure.label(mask > 0).",
        )


def _counted(patches: pd.DataFrame, places: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the table of patches with the objects of each."""
    for name, table in places.items():
        starts = [np.unique(patches[f"{axis}0"]) for axis in "yx"]
        at = [
            start[np.searchsorted(start, table[f"{axis}_px"], side="right") - 1]
            for axis, start in zip("yx", starts, strict=True)
        ]
        counts = pd.Series(1, pd.MultiIndex.from_arrays(at)).groupby(level=[0, 1]).size()
        keys = pd.MultiIndex.from_frame(patches[["y0", "x0"]])
        column = counts.reindex(keys, fill_value=0).to_numpy()
        patches = patches.assign(**{f"n_{PLURALS[name]}": column})
    return patches


def _regions_of(places: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row for each object: ``compartment``, ``label``, ``roi`` and ``is_complete``."""
    tables = [
        places[name].assign(compartment=name, is_complete=True)
        for name in PLURALS
        if name in places
    ]
    return pd.concat(tables)[["compartment", "label", "roi", "is_complete"]]
