"""The formats that cells are exported to: which there are, and which module writes each."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..cells.cell_table import Cells
from ..errors import DataError

# The name that a user gives, and the module whose `write(cells, folder)` writes it.
FORMATS = {
    "csv": "mcmicro",
    "h5ad": "anndata",
    "geojson": "geojson",
    "spatialdata": "spatialdata",
    "ome-zarr": "ome_zarr",
    "hubmap": "hubmap",
}
# Formats that have no place for a slide of which a single compartment was segmented.
OF_BOTH_COMPARTMENTS = frozenset({"hubmap"})


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


def writer(name: str) -> Callable[[Cells, Path], Path]:
    """Return what writes a format; its libraries are imported here and not before.

    It takes the cells and the sample's folder, and returns the file or store that it wrote.
    """
    return import_module(f".{FORMATS[name]}", __name__).write
