"""Broken, absurd or malicious input gives a clear error or a correct result, and nothing else.

Each case of tests/hostile/ runs a real script in a separate process, within 2 GiB and a minute.
"""

import pytest

# They keep their cases
from hostile import damaged, found, masks, metadata, pixels, sets, tables, zarrs  # noqa: F401
from hostile.corpus import CASES, Server, here, judge

# What the scripts import, and what they import once it is needed
IMPORTED = (
    *("ingest", "repair", "quantify", "export"),
    *("cellquilt.slides.tiff_stack", "cellquilt.slides.zarr_array", "ome_types"),
)


@pytest.fixture(scope="module")
def server():
    with Server(here(), *IMPORTED) as server:
        yield server


@pytest.mark.parametrize("name", CASES)
def test_hostile(server, tmp_path, name):
    folder = tmp_path / "case"
    folder.mkdir()
    done = server.run(folder, CASES[name].build(folder))
    judge(CASES[name], folder, done)
