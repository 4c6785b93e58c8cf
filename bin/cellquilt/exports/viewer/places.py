"""Patches and regions of interest of a slide, as the viewer shows them."""

from collections.abc import Mapping
from pathlib import Path

import shapely

from ...handoff.step_files import PATCH_FLAGS, read_facts, read_patch_flags, read_patches
from ...tiling.regions import Regions


def read_places(patches: Path, facts: Path, sample: str) -> dict[str, list]:
    """Return patches and regions of a slide, in pixels from its corner.

    Parameters
    ----------
    patches : Path
        patches_metadata.csv of STITCH or ADOPT.
    facts : Path
        sample.json of INGEST.
    sample : str

    Returns
    -------
    dict
        ``patches``, of each x, y, width, height, and a list of words for what it is: the reason
        why it was skipped, or its flags. ``regions``, of each ``name`` and ``rings``, which are
        x and y of the corners in turn.

    Raises
    ------
    DataError
        If a file is not what it should be.
    """
    flags = read_patch_flags(patches)
    table = read_patches(patches, "STITCH").loc[flags.index]
    found = []
    for index, patch in flags.iterrows():
        reason = table.loc[index, "reason"]
        words = [reason] if isinstance(reason, str) else [k for k in PATCH_FLAGS if patch[k]]
        place = [int(patch[name]) for name in ("x0", "y0", "width", "height")]
        found.append([*place, words])
    return {"patches": found, "regions": _regions(read_facts(facts, sample=sample))}


def _regions(facts: Mapping) -> list[dict]:
    regions = Regions.of(facts)
    if regions is None:
        return []
    return [
        {"name": name, "rings": [_corners(ring) for ring in _rings(area)]}
        for name, area in zip(regions.names, regions.areas, strict=True)
    ]


def _rings(area: shapely.Geometry) -> list[shapely.Geometry]:
    polygons = shapely.get_parts(area)
    return list(shapely.get_rings(polygons))


def _corners(ring: shapely.Geometry) -> list[float]:
    return shapely.get_coordinates(ring).round(1).ravel().tolist()
