"""What takes long is made once, also where several workers of pytest-xdist ask for it."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def folder_of_all_workers(factory: pytest.TempPathFactory) -> Path:
    """Return a temporary folder that the workers of a run share."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


def make_once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return a file; where it is missing, `make` writes it under another name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            partial = path.with_name(f"partial-{path.name}")
            make(partial)
            partial.rename(path)
    return path
