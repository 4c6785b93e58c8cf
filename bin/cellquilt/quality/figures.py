"""The figures of a sample that checks judge, from its table of cells, patches and signal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import zarr

from ..cells import cell_table
from ..tiling.optics import OUT_OF_FOCUS
from ..tiling.patches import BLOCK, block_lattice
from ..tiling.pixel_grid import Grid
from . import signal

# Shares of fewer objects than this are chance.
MIN_OBJECTS = 30
# The table's columns that are needed besides the channels' means
COLUMNS = ("status", "mismatch", "nucleus_area_um2", "cell_area_px")
COLUMNS += ("nucleus_area_before_px", *(f"cell_centroid_{axis}_um" for axis in "yx"))
COLUMNS += tuple(f"nucleus_centroid_{axis}_um" for axis in "yx")
LEAST_SIGNAL = 0.02  # of the slide, below which it has no sizes and shapes
FAR_OUTSIDE = 0.5  # of a nucleus
BORDER_UM = 25.0
MIN_SEGMENTS = 6
FOCUS_LIMITS = (0.35, OUT_OF_FOCUS, 0.6)  # between the classes of the map

Rows = pd.DataFrame
Blocks = Sequence[dict[str, np.ndarray]]


def describe(group: zarr.Group, table: Path, patches: pd.DataFrame) -> dict:
    """Return what report.json has of a sample's checks.

    Parameters
    ----------
    group : zarr.Group
        INGEST's store of the normalised slide.
    table : Path
        Table of cells, of QUANTIFY.
    patches : DataFrame
        patches_metadata.csv.

    Returns
    -------
    dict
        ``figures`` by name, None of what does not apply or has too few objects; ``focus``, see
        `focus_map`.
    """
    facts = group.attrs["facts"]
    means = means_of(facts, cell_table.read_facts(table).get("channels", []))
    wanted = [*COLUMNS, *means["nuclear"], *means["membrane"]]
    there = set(pq.read_schema(table).names)
    rows = cell_table.read(table, [name for name in wanted if name in there])
    blocks = [
        {name: array[:] for name, array in group[f"blocks/{index}"].arrays()}
        for index in range(2 if facts["membrane"] else 1)
    ]
    figures = {
        **_of_pairs(rows),
        **_of_nuclei(rows, facts["image_mpp"]),
        **_of_means(rows, means),
        **_of_patches(patches),
        **_of_signal(facts, rows, group["codes"], blocks),
        "border_jump": border_jump(rows, patches, facts["image_mpp"]),
    }
    sizes = figures["blob_um2"], figures["nucleus_um2"]
    figures["nuclear_size_um2"] = np.sqrt(np.prod(sizes)) if None not in sizes else None
    return {
        "figures": {name: None if _unknown(v) else float(v) for name, v in figures.items()},
        "focus": focus_map(patches),
    }


def means_of(facts: Mapping, channels: Sequence[Mapping]) -> dict[str, list[str]]:
    """Return the columns of means that are needed: by role, of nucleus and cytoplasm in turn.

    Parameters
    ----------
    facts : dict
        INGEST's, of the slide.
    channels : list of dict
        Of the table of cells, each with ``index`` and ``column``.
    """
    names = {channel["index"]: channel["column"] for channel in channels}
    roles = {role: facts[role] for role in ("nuclear", "membrane")}
    return {
        role: [
            cell_table.intensity_column(compartment, names[channel["index"]])
            for channel in chosen
            if channel["index"] in names
            for compartment in ("nucleus", "cytoplasm")
        ]
        for role, chosen in roles.items()
    }


def _unknown(value: float | None) -> bool:
    return value is None or not np.isfinite(value)


def _column(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column of numbers; NaN where it has none, or is not there."""
    if name not in rows:
        return np.full(len(rows), np.nan)
    return rows[name].to_numpy(np.float64, na_value=np.nan)


def _share(which: np.ndarray, of: np.ndarray) -> float | None:
    n = int(np.count_nonzero(of))
    return float(np.count_nonzero(which & of)) / n if n >= MIN_OBJECTS else None


def _of_pairs(rows: Rows) -> dict[str, float | None]:
    """Return what matching says; of one compartment there is nothing to say."""
    names = ("mean_mismatch", "nuclei_outside", "extra_nuclei", "nuclei_per_cell")
    names += ("nuclei_taken", "cells_smaller")
    if "status" not in rows:
        return dict.fromkeys(names)
    status = rows["status"].astype(object).to_numpy()
    pairs = status == "matched"
    cells = pairs | np.isin(status, ("no_nucleus", "nucleus_taken"))
    nuclei = pairs | np.isin(status, ("extra_nucleus", "no_cell"))
    mismatch = _column(rows, "mismatch")
    enough = np.count_nonzero(pairs) >= MIN_OBJECTS
    smaller = _column(rows, "nucleus_area_before_px") > _column(rows, "cell_area_px")
    n_cells, n_nuclei = np.count_nonzero(cells), np.count_nonzero(nuclei)
    values = (
        np.mean(mismatch[pairs]) if enough else None,
        _share(mismatch > FAR_OUTSIDE, pairs),
        _share(status == "extra_nucleus", nuclei),
        n_nuclei / n_cells if min(n_nuclei, n_cells) >= MIN_OBJECTS else None,
        _share(status == "nucleus_taken", cells),
        _share(smaller, pairs),
    )
    return dict(zip(names, values, strict=True))


def _of_nuclei(rows: Rows, image_mpp: float) -> dict[str, float | None]:
    """Return the median area of nuclei before they are trimmed, um2."""
    before = _column(rows, "nucleus_area_before_px") * image_mpp**2
    area = np.where(np.isnan(before), _column(rows, "nucleus_area_um2"), before)
    area = area[~np.isnan(area)]
    return {"nucleus_um2": float(np.median(area)) if len(area) >= MIN_OBJECTS else None}


def _of_means(rows: Rows, means: Mapping[str, list[str]]) -> dict[str, float | None]:
    """Return in what share of the pairs each channel is brighter in the nucleus than around it.

    Of several membrane channels the smallest: one that is right is enough for segmentation.
    """
    found = {}
    for role, columns in means.items():
        shares = []
        for inner, outer in zip(columns[::2], columns[1::2], strict=True):
            inside, around = _column(rows, inner), _column(rows, outer)
            share = _share(inside > around, np.isfinite(inside) & np.isfinite(around))
            shares += [] if share is None else [share]
        found[f"{role}_inside"] = min(shares, default=None)
    return found


def _of_patches(patches: pd.DataFrame) -> dict[str, float | None]:
    """Return focus and saturation over the patches, and the areas' shares that are flagged."""
    area = (patches["height"] * patches["width"]).to_numpy(float)
    focus = _column(patches, "focus")
    seen = np.isfinite(focus)
    flagged = {name: _column(patches, name) for name in ("out_of_focus", "saturated")}
    return {
        "focus": np.median(focus[seen]) if seen.any() else None,
        "out_of_focus_area": flagged["out_of_focus"][seen] @ area[seen] / max(area[seen].sum(), 1),
        "saturated": np.average(_column(patches, "saturated_fraction"), weights=area),
        "saturated_area": np.average(flagged["saturated"], weights=area),
    }


def _of_signal(
    facts: Mapping, rows: Rows, codes: zarr.Array, blocks: Blocks
) -> dict[str, float | None]:
    """Return what is found in the signal, and where objects lie in it."""
    with_signal = signal.has_signal(blocks)
    inside = blocks[0]["n_pixels"] > 0
    there = float(with_signal[inside].mean())
    found: dict[str, float | None] = {
        "signal": there,
        "on_glass": on_glass(rows, with_signal, Grid.of(facts)),
    }
    enough = there >= LEAST_SIGNAL
    parts = signal.windows(codes.shape[1:], blocks[0]) if enough else []
    nuclear = signal.blobs(codes, 0, parts)
    radius = nuclear and nuclear.radius_px() * facts["model_mpp"]
    found["blob_um2"] = radius and np.pi * radius**2
    found["nuclear_roundness"] = nuclear and nuclear.roundness()
    membrane = signal.blobs(codes, 1, parts, signal.N_FINE) if len(blocks) > 1 else None
    found["membrane_roundness"] = membrane and membrane.roundness()
    found["membrane_rounder"] = membrane and membrane.roundness() - nuclear.roundness()
    found["seams_um"] = signal.seams(codes, 0) if enough else None
    return found


def _places(rows: Rows) -> np.ndarray:
    """Return y and x of each object in um: of its cell or, without one, its nucleus."""
    cell, nucleus = (
        np.column_stack([_column(rows, f"{name}_centroid_{axis}_um") for axis in "yx"])
        for name in ("cell", "nucleus")
    )
    return np.where(np.isnan(cell), nucleus, cell)


def on_glass(rows: Rows, with_signal: np.ndarray, grid: Grid) -> float | None:
    """Return the share of the objects whose centre lies where the slide shows no structure."""
    places = _places(rows) / grid.image_mpp
    places = places[~np.isnan(places[:, 0])]
    if len(places) < MIN_OBJECTS:
        return None
    shape = grid.model_shape
    lattice = block_lattice(shape)
    sizes = grid.height, grid.width
    at = [
        (np.minimum(values / size * model, model - 1).astype(int) + axis.before) // BLOCK
        for values, size, model, axis in zip(
            places.T, sizes, shape, (lattice.rows, lattice.cols), strict=True
        )
    ]
    return float(1 - with_signal[at[0], at[1]].mean())


def border_jump(rows: Rows, patches: pd.DataFrame, image_mpp: float) -> float | None:
    """Return how much more the density changes across borders of patches than within patches.

    Of strips of `BORDER_UM` on both sides of a border with L and R objects, (L - R)^2 / (L + R)
    is 1 on average where objects lie at random. Its mean at the borders is divided by that at the
    middles of patches, each plus 1. None with fewer than `MIN_SEGMENTS` of either.
    """
    places = _places(rows)
    places = places[~np.isnan(places[:, 0])]
    starts = patches[["y0", "x0"]].to_numpy(float) * image_mpp
    ends = starts + patches[["height", "width"]].to_numpy(float) * image_mpp
    changes: dict[str, list[float]] = {"border": [], "middle": []}
    for axis in (0, 1):
        by_place = places[np.argsort(places[:, axis], kind="stable")]
        along, other = by_place[:, axis], by_place[:, 1 - axis]
        for start, end in zip(starts, ends, strict=True):
            lines = {"middle": (start[axis] + end[axis]) / 2, "border": end[axis]}
            for kind, line in lines.items():
                edges = np.searchsorted(along, (line - BORDER_UM, line, line + BORDER_UM))
                near = other[edges[0] : edges[2]]
                inside = (near >= start[1 - axis]) & (near < end[1 - axis])
                left = np.count_nonzero(inside[: edges[1] - edges[0]])
                right = np.count_nonzero(inside) - left
                if left + right and line < ends[:, axis].max():
                    changes[kind].append((left - right) ** 2 / (left + right))
    if min(map(len, changes.values())) < MIN_SEGMENTS:
        return None
    border, middle = (np.mean(changes[kind]) + 1 for kind in ("border", "middle"))
    return border / middle


def focus_map(patches: pd.DataFrame) -> list[dict]:
    """Return the classes of patches by their focus, the most blurred first.

    Of each its limits, ``least`` and ``below``, the number ``n``, and in input pixels the SVG
    ``path``. Patches without structure are in none.
    """
    focus = _column(patches, "focus")
    boxes = patches[["x0", "y0", "width", "height"]].to_numpy(int)
    classes = []
    for low, high in zip((None, *FOCUS_LIMITS), (*FOCUS_LIMITS, None), strict=True):
        which = (focus >= (low or -np.inf)) & (focus < (high or np.inf))
        path = "".join(f"M{x} {y}h{w}v{h}h-{w}z" for x, y, w, h in boxes[which])
        classes.append({"least": low, "below": high, "n": int(which.sum()), "path": path})
    return classes
