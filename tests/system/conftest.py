"""Podman, and base images, where there is no registry."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CONTAINER_TESTS = "tests/system/container"


@pytest.fixture(scope="session")
def podman(repo) -> Callable[..., str]:
    """Return a function that runs podman and returns what it prints."""
    if os.geteuid() != 0:
        pytest.skip("the bases of the images are made by debootstrap, which needs root")
    for program in ("podman", "debootstrap"):
        if not shutil.which(program):
            pytest.skip(f"no {program} here, and tests/packages.sh could not install it")
    settings = os.environ | {"CONTAINERS_CONF": str(repo / CONTAINER_TESTS / "containers.conf")}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            ["podman", *arguments], env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def bases(repo, podman) -> str:
    """Make the base images, and return the one that has Python."""
    settings = os.environ | {"CONTAINERS_CONF": str(repo / CONTAINER_TESTS / "containers.conf")}
    made = subprocess.run(
        [repo / CONTAINER_TESTS / "bases.sh"], env=settings, capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no base images can be made here: {made.stderr[-500:]}")
    base = "localhost/base/trixie:13"
    tried = ["podman", "run", "--rm", "--network", "none", base, "true"]
    ran = subprocess.run(tried, env=settings, capture_output=True, text=True)
    if ran.returncode != 0:
        pytest.skip(f"podman runs no containers here: {ran.stderr[-500:]}")
    return base
