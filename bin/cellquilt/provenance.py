"""What every store and result says of how it was made."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__, outputs

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-image",
    "tifffile",
    "zarr",
    "pandas",
    "anndata",
    "spatialdata",
    "tensorflow",
    "deepcell",
)


def of_step(step: str, **parameters) -> dict:
    """Return the provenance of one step: its name, its parameters, the versions that ran it."""
    return {
        "step": step,
        "cellquilt": __version__,
        "parameters": parameters,
        "software": {name: found for name in PACKAGES if (found := _version(name))},
    }


@cache  # reading a package's metadata takes milliseconds
def _version(package: str) -> str | None:
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def write(path: Path, steps: list[dict], **facts) -> None:
    """Write a provenance file: facts of the run, then its steps in order."""
    outputs.write_json(path, {**facts, "steps": steps})
