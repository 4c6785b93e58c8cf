"""All that the report of a run shows of one sample, in one JSON file with its pictures."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from .. import __version__
from ..cells import cell_table, flags
from ..compartments import PLURALS
from ..errors import DataError
from ..images import data_url
from ..segmenters import DEFAULT
from .crops import Crop
from .distributions import counted, distributions
from .markers import described
from .measures import OF_OBJECTS
from .regions import described as regions_of
from .slide_view import LINE_COLOURS, OUTLINE_UM, SlideView, crop_signal, in_colours, thumbnail

SLIDE_PX = 900
# 500 samples are to make an index of 3 MB, with a row of about 2 kB besides.
THUMBNAIL_PX = 96
THUMBNAIL_LENGTH = 3500
THUMBNAIL_QUALITIES = (60, 45, 30, 15, 5)
# Method 4, the default, takes twice the time for files that are 5 % smaller.
WEBP_QUALITY = 82
# A crop's pixels, half a um a side, are interpolated to so many.
ENLARGEMENT = 2

PLACES = tuple(f"{compartment}_centroid_{axis}_um" for compartment in PLURALS for axis in "yx")
COLUMNS = ("cell_id", *PLACES, *(measure.key for measure in OF_OBJECTS), *flags.COLUMNS)
COLUMNS += ("status", "roi", *(f"{compartment}_label" for compartment in PLURALS))


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
    view: SlideView,
    rows: pd.DataFrame,
    patches: pd.DataFrame,
    counts: dict,
    summary: dict,
    provenance: dict,
    columns: dict,
    markers: list[dict],
    checks: dict,
) -> dict:
    """Return the contents of report.json.

    Parameters
    ----------
    view : SlideView
    rows : DataFrame
        Of the table of cells, see `read_cells`.
    patches : DataFrame
        patches_metadata.csv.
    counts : dict
        STITCH's counts, and REPAIR's metrics where there are both compartments.
    summary : dict
        From `summary.summarise`, with `flags.counts`.
    provenance : dict
        provenance.json.
    columns : dict
        The user's, see `cell_table.own_columns`.
    markers : list of dict
        See `cell_table.read_markers`.
    checks : dict
        See `quality.figures.describe`.

    Returns
    -------
    dict
        ``sample``; ``slide``, its name where it has the results of several segmenters;
        ``columns``; ``checks``; ``segmenter``; ``expand_um``; ``objects``, cells or,
        without cells, nuclei: what is counted in patches and crops, and ``density_per_mm2`` of the
        whole slide or of its regions; ``regions``, see `regions.described`; ``image``, INGEST's
        facts of it; ``summary``; ``n_by_status``, None of a single compartment;
        ``n_disputed_px``; ``patches``, see `patch_states`; ``distributions``, see there;
        ``pictures``: ``slide``, its ``thumbnail``, ``crops`` and ``close_ups``, each a data URL
        (``src``), of crops with the place (um), the place of the picture in it (``bounds_um``)
        and outlines by kind as SVG paths (``lines``); ``markers``, see `markers.described`;
        ``tiles``, size and distance of a network's that has a card; ``provenance``; ``cellquilt``,
        the version.
    """
    facts = view.facts
    mpp, image = facts["image_mpp"], facts["image"]
    mm2 = image["height"] * image["width"] * mpp**2 / 1e6
    regions = regions_of(facts, rows)
    segmented_mm2 = mm2 if regions is None else sum(region["mm2"] for region in regions)
    n_objects = summary["n_nuclei"] if summary["n_cells"] is None else summary["n_cells"]
    return {
        "cellquilt": __version__,
        "sample": facts["sample"],
        "slide": facts.get("slide"),
        "columns": columns,
        "checks": checks,
        "segmenter": counts.get("segmenter", DEFAULT),
        "expand_um": counts.get("expand_um"),
        "objects": counted(patches).removeprefix("n_"),
        "image": {
            **image,
            "mpp": mpp,
            "mpp_source": facts["image_mpp_source"],
            "mm2": mm2,
            "nuclear": [channel["name"] for channel in facts["nuclear"]],
            "nuclear_combine": facts["nuclear_combine"],
            "membrane": [channel["name"] for channel in facts["membrane"]],
            "membrane_combine": facts["membrane_combine"],
        },
        "summary": summary,
        "n_by_status": counts.get("n_by_status"),
        "n_disputed_px": sum(counts.get(f"{name}_disputed_px", 0) for name in PLURALS),
        "density_per_mm2": n_objects / segmented_mm2,
        "regions": regions,
        "patches": patch_states(patches),
        "distributions": distributions(rows, patches, mpp),
        "pictures": _pictures(view),
        "markers": described(markers, facts),
        "tiles": _tiles_of(provenance.get("model") or {}),
        "provenance": provenance,
    }


def _tiles_of(model: Mapping) -> list[int] | None:
    return [model["tile"], model["stride"]] if {"tile", "stride"} <= model.keys() else None


def patch_states(patches: pd.DataFrame) -> dict[str, dict]:
    """Return what became of the patches, by state.

    The states are ``segmented``; ``uncertified``, segmented with objects that are not certified;
    ``empty``, skipped with proof that no object can lie there; ``skipped``, without;
    ``own``, where masks of one's own may have objects;
    ``outside``, skipped since no cell of a region of interest reaches there. Of each:
    ``n``, ``n_objects``, ``area_fraction`` of the slide, ``reasons`` with their numbers, and
    ``path``, their outlines in input pixels as an SVG path.
    """
    informative = patches["is_informative"].to_numpy(bool)
    outside = (patches["reason"] == "outside_roi").to_numpy(bool)
    is_own = np.full(len(patches), "certified" not in patches)
    certified = is_own if is_own.all() else patches["certified"].to_numpy(bool)
    chosen = {
        "segmented": informative & certified & ~is_own,
        "uncertified": informative & ~certified,
        "empty": ~informative & certified & ~outside & ~is_own,
        "skipped": ~informative & ~certified,
        "own": is_own & ~outside,
        "outside": outside,
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


def _pictures(view: SlideView) -> dict:
    """Return the slide and its crops as pictures, with outlines apart from them."""
    shape = view.codes.shape[1:]
    scale = min(SLIDE_PX / max(shape), 1)
    small = tuple(max(round(n * scale), 1) for n in shape)
    slide = in_colours(thumbnail(view.codes, view.lut, small))

    def drawn(crop: Crop, *kinds: str) -> dict:
        signal, (left, right, bottom, top) = crop_signal(view.codes, view.lut, crop, view.extent)
        picture = in_colours(signal)
        size = picture.width * ENLARGEMENT, picture.height * ENLARGEMENT
        lines = view.lines[crop.square]
        return {
            "title": crop.title,
            "n_objects": crop.n_objects,
            "objects": PLURALS[view.compartment],
            "y_um": crop.y,
            "x_um": crop.x,
            "side_um": crop.side,
            "src": data_url_of(picture, size),
            # where the picture lies in the crop, which starts within a pixel
            "bounds_um": [left - crop.x, top - crop.y, right - left, bottom - top],
            "lines": {kind: svg_path(lines[kind], crop) for kind in kinds if kind in lines},
        }

    return {
        "slide": {"src": _data_url(slide), "height": slide.height, "width": slide.width},
        "thumbnail": shrunk(slide),
        "crops": [drawn(crop, *LINE_COLOURS) for crop in view.crops + view.worst],
        "close_ups": [drawn(crop, "untrimmed", *LINE_COLOURS) for crop in view.close_ups],
    }


def data_url_of(picture: Image.Image, size: tuple[int, int]) -> str:
    """Return a picture, enlarged to a size, as a data URL."""
    return _data_url(picture.resize(size, Image.Resampling.BICUBIC))


def _data_url(picture: Image.Image) -> str:
    return data_url.encode(np.asarray(picture), WEBP_QUALITY)


def shrunk(slide: Image.Image) -> dict:
    """Return a picture as a data URL (``src``) of about `THUMBNAIL_PX` and `THUMBNAIL_LENGTH`."""
    small = slide.reduce(max(round(max(slide.size) / THUMBNAIL_PX), 1))
    for quality in THUMBNAIL_QUALITIES:
        encoded = data_url.encode(np.asarray(small), quality)
        if len(encoded) <= THUMBNAIL_LENGTH:
            break
    return {"src": encoded, "height": small.height, "width": small.width}


def svg_path(lines: list[np.ndarray], crop: Crop) -> str:
    """Return closed lines, each (n, 2) x and y in um, as an SVG path.

    It starts at the crop's corner, and its unit is `OUTLINE_UM`.
    """
    parts = []
    for line in lines:
        points = np.rint((line - (crop.x, crop.y)) / OUTLINE_UM).astype(int)
        steps = " ".join(map(str, np.diff(points[:-1], axis=0).ravel().tolist()))
        # What smoothing has shrunk to a point is drawn as a dot.
        parts.append(f"M{points[0, 0]} {points[0, 1]}{f'l{steps}' if steps else ''}z")
    return "".join(parts)
