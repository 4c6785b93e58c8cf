"""All that the report of a run shows of one sample, in one JSON file with its pictures."""

import base64
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import zarr
from scipy import ndimage as ndi
from skimage.measure import approximate_polygon

from .. import __version__
from ..cells import cell_table
from ..compartments import PLURALS
from ..errors import DataError
from ..handoff import stores
from ..segmenters import DEFAULT
from .crops import Crop, choose_crops, close_ups, shown, worst_matched
from .distributions import counted, distributions
from .measures import OF_OBJECTS
from .slide_view import LINE_COLOURS, crop_lines, crop_signal, in_colours, thumbnail

THUMBNAIL_PX = 900
N_CLOSE_UPS = 6
WEBP_QUALITY = 82
# A crop's pixels, half a um a side, are interpolated to so many, and its outlines to a tenth.
ENLARGEMENT = 3
OUTLINE_UM = 0.05

PLACES = tuple(f"{compartment}_centroid_{axis}_um" for compartment in PLURALS for axis in "yx")
COLUMNS = ("cell_id", *PLACES, *(measure.key for measure in OF_OBJECTS))


def read_cells(table: Path, sample: str) -> pd.DataFrame:
    """Return the rows of the table of cells, with the columns that are shown.

    Raises
    ------
    DataError
        If it is no such table, or that of another sample.
    """
    of = cell_table.read_facts(table)["sample"]
    if of != sample:
        raise DataError(f"{table}: is of {of}; give the table of {sample}.")
    names = pq.read_schema(table).names
    return cell_table.read(table, [name for name in COLUMNS if name in names])


def describe(
    store: Path,
    masks: dict[str, Path],
    rows: pd.DataFrame,
    patches: pd.DataFrame,
    counts: dict,
    summary: dict,
    provenance: dict,
    columns: dict,
) -> dict:
    """Return the contents of report.json.

    Parameters
    ----------
    store : Path
        INGEST's store of the normalised slide.
    masks : dict
        Label images by name.
    rows : DataFrame
        Of the table of cells, see `read_cells`.
    patches : DataFrame
        patches_metadata.csv.
    counts : dict
        STITCH's counts, and REPAIR's metrics where there are both compartments.
    summary : dict
        From `summary.summarise`.
    provenance : dict
        provenance.json.
    columns : dict
        The user's, see `cell_table.own_columns`.

    Returns
    -------
    dict
        ``sample``; ``columns``; ``segmenter``; ``objects``, cells or, without cells, nuclei: what
        is counted in patches and crops, and ``density_per_mm2`` of the whole slide; ``image``,
        INGEST's facts of it; ``summary``; ``n_by_status``, None of a single compartment;
        ``n_disputed_px``; ``patches``, see `patch_states`; ``distributions``, see there;
        ``pictures``: ``slide``, ``crops`` and ``close_ups``, each a data URL (``src``), of crops
        with the place (um), the place of the picture in it (``bounds_um``) and outlines by kind as
        SVG paths (``lines``); ``provenance``; ``cellquilt``, the version.
    """
    with stores.read(store) as group:
        facts, codes, lut = group.attrs["facts"], group["codes"], group["lut"][:]
        mpp, image = facts["image_mpp"], facts["image"]
        mm2 = image["height"] * image["width"] * mpp**2 / 1e6
        n_objects = summary["n_nuclei"] if summary["n_cells"] is None else summary["n_cells"]
        return {
            "cellquilt": __version__,
            "sample": facts["sample"],
            "columns": columns,
            "segmenter": counts.get("segmenter", DEFAULT),
            "objects": counted(patches).removeprefix("n_"),
            "image": {
                **image,
                "mpp": mpp,
                "mpp_source": facts["image_mpp_source"],
                "mm2": mm2,
                "nuclear": facts["nuclear"]["name"],
                "membrane": [channel["name"] for channel in facts["membrane"]],
                "membrane_combine": facts["membrane_combine"],
            },
            "summary": summary,
            "n_by_status": counts.get("n_by_status"),
            "n_disputed_px": sum(counts.get(f"{name}_disputed_px", 0) for name in PLURALS),
            "density_per_mm2": n_objects / mm2,
            "patches": patch_states(patches),
            "distributions": distributions(rows, patches, mpp),
            "pictures": _pictures(codes, lut, masks, rows, mpp, image),
            "provenance": provenance,
        }


def patch_states(patches: pd.DataFrame) -> dict[str, dict]:
    """Return what became of the patches, by state.

    The states are ``segmented``; ``uncertified``, segmented with objects that are not certified;
    ``empty``, skipped with proof that no object can lie there; ``skipped``, without. Of each:
    ``n``, ``n_objects``, ``area_fraction`` of the slide, ``reasons`` with their numbers, and
    ``path``, their outlines in input pixels as an SVG path.
    """
    informative = patches["is_informative"].to_numpy(bool)
    certified = patches["certified"].to_numpy(bool)
    chosen = {
        "segmented": informative & certified,
        "uncertified": informative & ~certified,
        "empty": ~informative & certified,
        "skipped": ~informative & ~certified,
    }
    area = patches["height"] * patches["width"]
    states = {}
    for state, which in chosen.items():
        of_state = patches[which]
        boxes = of_state[["x0", "y0", "width", "height"]].to_numpy(int)
        reasons = of_state["reason"].dropna().value_counts().sort_index()
        states[state] = {
            "n": len(of_state),
            "n_objects": int(of_state[counted(patches)].sum()),
            "area_fraction": float(area[which].sum() / area.sum()),
            "reasons": {str(reason): int(n) for reason, n in reasons.items()},
            "path": "".join(f"M{x} {y}h{w}v{h}h-{w}z" for x, y, w, h in boxes),
        }
    return states


def _pictures(
    codes: zarr.Array,
    lut: np.ndarray,
    masks: dict[str, Path],
    rows: pd.DataFrame,
    image_mpp: float,
    image: dict,
) -> dict:
    """Return the slide and its crops as pictures, with outlines apart from them."""
    extent = image["height"] * image_mpp, image["width"] * image_mpp
    compartment, places = shown(rows, image_mpp)
    squares = choose_crops(places, extent) + worst_matched(rows, extent, image_mpp)
    near = close_ups(rows, extent, image_mpp, N_CLOSE_UPS)
    scale = min(THUMBNAIL_PX / max(codes.shape[1:]), 1)
    small = thumbnail(codes, lut, tuple(max(round(n * scale), 1) for n in codes.shape[1:]))

    def drawn(crop: Crop, *kinds: str) -> dict:
        signal, (left, right, bottom, top) = crop_signal(codes, lut, crop, extent)
        enlarged = np.clip(ndi.zoom(signal, (ENLARGEMENT, ENLARGEMENT, 1), order=3), 0, 1)
        lines = crop_lines(masks, crop, image_mpp)
        return {
            "title": crop.title,
            "n_objects": crop.n_objects,
            "objects": PLURALS[compartment],
            "y_um": crop.y,
            "x_um": crop.x,
            "side_um": crop.side,
            "src": _data_url(enlarged),
            # where the picture lies in the crop, which starts within a pixel
            "bounds_um": [left - crop.x, top - crop.y, right - left, bottom - top],
            "lines": {kind: svg_path(lines[kind], crop) for kind in kinds if kind in lines},
        }

    return {
        "slide": {"src": _data_url(small), "height": len(small), "width": small.shape[1]},
        "crops": [drawn(crop, *LINE_COLOURS) for crop in squares],
        "close_ups": [drawn(crop, "untrimmed", *LINE_COLOURS) for crop in near],
    }


def _data_url(signal: np.ndarray) -> str:
    """Return a picture of nuclear and membrane signal (h, w, 2) as a data URL."""
    pixels = np.round(in_colours(signal.astype(np.float32)) * 255).astype(np.uint8)
    encoded = imagecodecs.webp_encode(pixels, level=WEBP_QUALITY, lossless=False)
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode()}"


def svg_path(lines: list[np.ndarray], crop: Crop) -> str:
    """Return closed lines, each (n, 2) x and y in um, as an SVG path.

    It starts at the crop's corner, and its unit is `OUTLINE_UM`. Lines outside the crop are left
    out.
    """
    parts = []
    for line in lines:
        inside = line - (crop.x, crop.y)
        if (inside.max(axis=0) < 0).any() or (inside.min(axis=0) > crop.side).any():
            continue
        points = np.round(approximate_polygon(inside, OUTLINE_UM) / OUTLINE_UM).astype(int)
        steps = " ".join(f"{x} {y}" for x, y in np.diff(points[:-1], axis=0))
        # What smoothing has shrunk to a point is drawn as a dot.
        parts.append(f"M{points[0, 0]} {points[0, 1]}{f'l{steps}' if steps else ''}z")
    return "".join(parts)
