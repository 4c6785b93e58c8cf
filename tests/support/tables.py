"""The table of cells of label images, with the columns that drawing and reporting read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import ndimage
from skimage.measure import regionprops_table

from cellquilt.cells import cell_table
from cellquilt.cells.markers import Chords, Marker, SampledRows


def measure(labels: np.ndarray, name: str, mpp: float) -> pd.DataFrame:
    """Return area and centroid of each object in px and um, by its label."""
    found = regionprops_table(labels, properties=("label", "area", "centroid"))
    rows = pd.DataFrame({f"{name}_area_px": found["area"].astype(np.int64)}, index=found["label"])
    rows[f"{name}_area_um2"] = rows[f"{name}_area_px"] * mpp**2
    for k, axis in enumerate("yx"):
        rows[f"{name}_centroid_{axis}_px"] = found[f"centroid-{k}"]
        rows[f"{name}_centroid_{axis}_um"] = found[f"centroid-{k}"] * mpp
    return rows


def rows_of(masks: dict[str, np.ndarray], mpp: float) -> pd.DataFrame:
    """Return the rows that QUANTIFY gives for matched and original masks, or for one mask alone."""
    parts = {name: masks[name] for name in ("cell", "nucleus") if name in masks}
    measured = {name: measure(labels, name, mpp) for name, labels in parts.items()}
    if len(parts) == 1:
        (rows,) = measured.values()
        return rows.rename_axis("cell_id").reset_index()
    rows = pd.concat(measured.values(), axis=1).rename_axis("cell_id").reset_index()
    rows["status"] = "matched"
    for name, empty in (("cell", "no_nucleus"), ("nucleus", "no_cell")):
        before = masks.get(f"{name}_original", masks[name])
        sizes = {
            int(masks[name][before == label].max()): int((before == label).sum())
            for label in np.unique(before[before > 0])
        }
        if name == "nucleus":
            kept = rows["nucleus_area_px"] / rows["cell_id"].map(sizes)
            rows["mismatch"] = (1 - kept).where(rows["status"] == "matched")
            ratio = rows["nucleus_area_px"] / rows["cell_area_px"]
            rows["nuclear_to_cell_ratio"] = ratio.where(rows["status"] == "matched")
        matched = np.unique(before[masks[name] > 0])
        alone = measure(np.where(np.isin(before, matched), 0, before), name, mpp)
        rows = pd.concat([rows, alone.assign(status=empty)], ignore_index=True)
        if name == "cell":
            rows["cell_id"] = np.arange(1, len(rows) + 1)
    return rows


def markers_of(
    image: np.ndarray, names: Sequence[str], labels: dict[str, np.ndarray], mpp: float
) -> list[dict]:
    """Return what QUANTIFY says of channels (c, h, w), with means of the first label image."""
    sampled = {name: SampledRows(of.shape) for name, of in labels.items()}
    for name, rows in sampled.items():
        rows.add(labels[name], 0)
    chords = Chords({name: rows.pixels() for name, rows in sampled.items()}, mpp)
    first = next(iter(labels.values()))
    present = np.unique(first[first > 0])
    found = []
    for plane, name in zip(image, names, strict=True):
        marker = Marker(plane.shape)
        marker.add(plane, 0)
        means = ndimage.mean(plane, first, present) if len(present) else np.empty(0)
        about = marker.describe(chords, means, len(image))
        found.append({"name": name, "saturated": 0.0, **about})
    return found


def write_table(path: Path, rows: pd.DataFrame, sample: str = "sample") -> Path:
    """Write rows as QUANTIFY's table; return its path."""
    whole = {name: "Int64" for name in rows if name.endswith("_px") and "centroid" not in name}
    table = pa.Table.from_pandas(rows.astype(whole | {"cell_id": "Int64"}), preserve_index=False)
    compartments = {"cell", "nucleus"} & {name.split("_area")[0] for name in rows}
    alone = "whole-cell" if "cell" in compartments else "nuclear"
    compartment = "both" if len(compartments) == 2 else alone
    schema = table.schema.remove_metadata()
    facts = {"sample": sample, "segmenter": "mesmer", "compartment": compartment}
    cell_table.write(path, [table], schema, facts)
    return path
