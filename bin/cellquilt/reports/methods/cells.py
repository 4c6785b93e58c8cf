"""What a paper says of cells, of what was measured, and of what was written."""

from collections.abc import Mapping, Sequence

from ...compartments import MEASURED
from ..findings import plural
from .facts import PACKAGES
from .wording import in_which, listed, said

_LIMITS = {
    "max_mismatch": "more than {:g} of the nucleus outside of its cell",
    "min_cell_um2": "a cell below {:g} µm²",
    "max_cell_um2": "a cell above {:g} µm²",
    "min_nucleus_um2": "a nucleus below {:g} µm²",
    "max_nucleus_um2": "a nucleus above {:g} µm²",
}
MEASURES = {
    "mean": "mean",
    "median": "median",
    "std": "standard deviation",
    "p90": "90th percentile",
    "max": "maximum",
    "sum": "sum",
}
_FORMATS = {
    "csv": "CSV in the layout of MCMICRO [@csv]",
    "h5ad": "AnnData [@h5ad]",
    "geojson": "GeoJSON for QuPath [@geojson]",
    "spatialdata": "SpatialData [@spatialdata]",
    "ome-zarr": "OME-Zarr [@ome-zarr]",
    "hubmap": "label images in the layout of HuBMAP",
    "viewer": "pages for web browsers, on OpenSeadragon",
}
_CITED_PACKAGES = ("numpy", "scipy", "scikit-image", "tifffile")


def on_cells(slides: list[dict]) -> list[str]:
    """Return sentences on how cells came about, what was measured of them, and scores."""
    grown = [slide for slide in slides if slide["expand_um"]]
    matched = [slide for slide in slides if slide["is_matched"]]
    found = []
    if grown:
        found.append(
            f"{in_which(grown, slides)}whole cells were the nuclei grown"
            f" {said(grown, lambda s: 'by {:g} µm'.format(s['expand_um']))}, less where they meet"
            " a neighbour, as scikit-image's expand_labels grows them [@scikit-image]."
        )
    if matched:
        found.append(
            f"{in_which(matched, slides)}cells and nuclei were matched one to one by the rule of"
            " CellSegmentationEvaluator [@evaluator]: in the order of their ids each cell took the"
            " free nucleus of which the smallest share lies outside of the cell's interior, and"
            " nuclei were trimmed to that interior."
        )
    found.append(_measured(slides))
    if all(slide["limits"] is not None for slide in slides):
        found.append(_flags(slides))
    scored = [slide for slide in slides if slide["evaluator"]]
    if scored:
        found.append(
            f"{in_which(scored, slides)}masks were scored without a reference by"
            f" {said(scored, lambda s: s['evaluator'])} [@evaluator] on a part of the slide that"
            " has the median number of cells."
        )
    return found


def _measured(slides: list[dict]) -> str:
    there = {name for slide in slides for name in slide["compartments"]}
    if any(slide["is_matched"] for slide in slides):
        there |= set(MEASURED)
    channels = said(slides, lambda slide: plural(slide["n_channels"], "channel", "channels"))
    ringed = [slide for slide in slides if slide["boundary_um"]]
    ring = f"; {in_which(ringed, slides)}also of the outermost 1 µm of cells" if ringed else ""
    return (
        f"of every {listed([name for name in MEASURED if name in there])} area and shape were"
        f" measured, and the {said(slides, _measures)} of the raw pixel values, without"
        f" subtraction of background, in {channels}{ring}."
    )


def _measures(slide: Mapping) -> str:
    return listed([MEASURES[name] for name in slide["measures"]])


def _flags(slides: list[dict]) -> str:
    def limits(slide: Mapping) -> str:
        return listed([_LIMITS[name].format(value) for name, value in slide["limits"].items()])

    text = (
        "objects were flagged, and not removed from the masks and the table, that touch the edge of"
        " the slide, lie in a patch that is out of focus or saturated, or are not verified to be"
        " those of the whole slide"
    )
    own = said(slides, limits)
    return f"{text}; and by these limits: {own}." if own else f"{text}."


def on_software(
    slides: list[dict], about: Mapping | None, refusals: Sequence[Mapping]
) -> list[str]:
    """Return sentences on what was written, and by which packages."""
    found = ["masks were written as OME-TIFF with pyramids [@ome-tiff,pyramids]."]
    asked = [name for name in (about or {}).get("formats", []) if name in _FORMATS]
    if not all(slide["is_matched"] for slide in slides):
        asked = [name for name in asked if name != "hubmap"]  # of both compartments alone
    if asked and not any(refusal["step"] == "EXPORT" for refusal in refusals):
        written = listed([_FORMATS[name] for name in asked])
        found.append(f"the results were also written as {written}.")
    versions: dict[str, set[str]] = {}
    for slide in slides:
        for name, own in slide["software"].items():
            versions.setdefault(name, set()).update(own)
    packages = [
        f"{name} {' / '.join(sorted(versions[name]))}"
        + (f" [@{name}]" if name in _CITED_PACKAGES else "")
        for name in PACKAGES
        if name in versions
    ]
    if packages:
        found.append(f"Cellquilt used the Python packages {listed(packages)}.")
    return found
