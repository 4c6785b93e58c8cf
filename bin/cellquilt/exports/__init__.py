"""The formats that cells are exported to: which there are, and which module writes each."""

import logging
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..cells.cell_table import Cells
from ..errors import DataError

if TYPE_CHECKING:
    from .picture import Picture

log = logging.getLogger("cellquilt")

# The name that a user gives, and the module whose `write(cells, folder)` writes it.
FORMATS = {
    "csv": "mcmicro",
    "h5ad": "anndata",
    "geojson": "geojson",
    "spatialdata": "spatialdata",
    "ome-zarr": "ome_zarr",
    "hubmap": "hubmap",
    "viewer": "viewer",
}
# Formats that have no place for a slide of which a single compartment was segmented.
OF_BOTH_COMPARTMENTS = frozenset({"hubmap"})
# Formats that have a place for the slide; their `write` takes a `Picture`, too.
OF_IMAGES = frozenset({"spatialdata", "ome-zarr", "viewer"})
# Of these, those that show the slide in any case, all channels where none are chosen.
SHOWING = frozenset({"viewer"})
# Formats of which, where all are written, there is a view of Vitessce
OF_VIEW = frozenset({"h5ad", "ome-zarr"})


def parse(names: str) -> list[str]:
    """Return the formats of a comma-separated list, each once.

    Raises
    ------
    DataError
        If there is no such format.
    """
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in wanted:
        if name not in FORMATS:
            raise DataError(f"there is no format {name!r}; formats are {', '.join(FORMATS)}.")
    return wanted


def writer(name: str) -> Callable[..., Path]:
    """Return what writes a format; its libraries are imported here and not before.

    It takes the cells, the sample's folder, the number of processors to use and, if the format is
    of `OF_IMAGES`, a `Picture` or None. It returns the file or store that it wrote.
    """
    return import_module(f".{FORMATS[name]}", __name__).write


def export(
    cells: Cells,
    formats: Sequence[str],
    folder: Path,
    cpus: int = 1,
    picture: "Picture | None" = None,
    is_chosen: bool = True,
) -> None:
    """Write cells in each of the formats, one after the other.

    A format that has no place for a single compartment is left out, with a warning. With all of
    `OF_VIEW` there is a view of them, too.

    Parameters
    ----------
    cells : Cells
    formats : sequence of str
        From `parse`.
    folder : Path
        The sample's.
    cpus : int
        That a format may use; they change no file.
    picture : Picture, optional
        Channels of the slide, for the formats that have a place for them.
    is_chosen : bool
        Whether the channels were asked for; without, they are only for the formats of `SHOWING`.
    """
    sample = cells.facts["sample"]
    log.info("export: %s: %d cells to %s", sample, len(cells.rows), ", ".join(formats))
    for name in formats:
        if name in OF_BOTH_COMPARTMENTS and len(cells.masks) < 2:
            log.warning(
                "export: %s: no %s, which needs cells and nuclei; segment both compartments.",
                *(sample, name),
            )
            continue
        start = time.monotonic()
        shown = (picture if is_chosen or name in SHOWING else None,) if name in OF_IMAGES else ()
        path = writer(name)(cells, folder, cpus, *shown)
        seconds = time.monotonic() - start
        log.info("export: %s: %s, %.1f s, %d bytes", name, path.name, seconds, _size(path))
    if set(formats) >= OF_VIEW:
        import_module(".vitessce", __name__).write(cells, folder)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
