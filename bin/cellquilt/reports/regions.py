"""The regions of interest of a sample in its report: what each holds, and where it lies."""

from collections.abc import Mapping

import pandas as pd
import shapely

from ..tiling.regions import Regions

_DETAIL = 1000  # outlines are drawn to this part of the slide's longer side


def described(facts: Mapping, rows: pd.DataFrame) -> list[dict] | None:
    """Return what is in each region; None where the whole slide was segmented.

    Parameters
    ----------
    facts : dict
        INGEST's, of the slide.
    rows : DataFrame
        Of the table of cells, with ``roi``; of both compartments also ``status``.

    Returns
    -------
    list of dict
        Of each its ``name``, area (``mm2``), and ``outline`` in input pixels as WKT, in as much
        detail as a picture shows; ``n_cells`` (of a single compartment the objects) and
        ``density_per_mm2`` of these; of both compartments ``n_nuclei`` and ``n_matched``, else
        None.
    """
    regions = Regions.of(facts)
    if regions is None:
        return None
    detail = max(facts["image"]["height"], facts["image"]["width"]) / _DETAIL
    outlines = shapely.simplify(regions.areas, detail)
    both = "status" in rows
    lone = rows["status"].isin(["extra_nucleus", "no_cell"]) if both else False
    cells = rows.loc[~lone, "roi"] if both else rows["roi"]
    counts = {"n_cells": cells.value_counts(), "n_nuclei": None, "n_matched": None}
    if both:
        matched = rows.loc[rows["status"] == "matched", "roi"]
        counts["n_matched"] = matched.value_counts()
        counts["n_nuclei"] = pd.concat([matched, rows.loc[lone, "roi"]]).value_counts()
    found = []
    for region, outline in zip(facts["regions"], outlines, strict=True):
        name, mm2 = region["name"], region["um2"] / 1e6
        numbers = {key: None if n is None else int(n.get(name, 0)) for key, n in counts.items()}
        density = numbers["n_cells"] / mm2 if mm2 else None
        wkt = shapely.to_wkt(outline, rounding_precision=3)  # as `region_file` has them
        about = {"mm2": mm2, "density_per_mm2": density, "outline": wkt}
        found.append({"name": name, **numbers, **about})
    return found


def svg_path(outline: str) -> str:
    """Return the rings of an area (WKT) as an SVG path of whole pixels."""
    area = shapely.from_wkt(outline)
    rings = shapely.get_parts(shapely.get_rings(shapely.get_parts(area)))
    steps = []
    for ring in rings:
        points = shapely.get_coordinates(ring)[:-1].round().astype(int).tolist()
        steps.append("M" + "L".join(f"{x} {y}" for x, y in points) + "z")
    return "".join(steps)
