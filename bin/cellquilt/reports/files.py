"""The published files of a sample that its page links to; assets/published.json names all."""

from collections.abc import Sequence
from urllib.parse import quote

# Of EXPORT, by the name of --formats
_EXPORTS = {
    "csv": "quantification/{sample}--{segmenter}_{compartment}.csv",
    "h5ad": "anndata/{sample}.h5ad",
    "geojson": "geojson/{sample}.cells.geojson.gz",
    "spatialdata": "zarr/{sample}.sdata.zarr/",
    "ome-zarr": "zarr/{sample}.ome.zarr/",
    "hubmap": "hubmap/{sample}_mask.ome.tiff",
    "viewer": "viewer/index.html",
}


def published(report: dict, formats: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return what the files of a sample are, and their paths in its folder, as parts of an address.

    Parameters
    ----------
    report : dict
        Contents of report.json, see `sample_report.describe`.
    formats : sequence of str
        Of --formats, as far as they are known: DRAW must not depend on them.
    """
    both = report["n_by_status"] is not None
    found = [
        ("masks", f"{report['summary']['segmentation']}/"),
        ("table of cells", f"quantification/{report['sample']}.parquet"),
        *([("matches", "matches.csv")] if both else []),
        ("patches", "patches_metadata.csv"),
        ("parameters and versions", "provenance.json"),
        ("overview picture", "overlay.png"),
    ]
    names = {
        "sample": report["sample"],
        "segmenter": report["segmenter"],
        "compartment": "nucleus" if report["summary"]["n_cells"] is None else "cell",
    }
    found += [
        (name, _EXPORTS[name].format(**names))
        for name in formats
        if name in _EXPORTS and (both or name != "hubmap")
    ]
    return [(what, quote(path)) for what, path in [*found, ("list of all files", "files.json")]]
