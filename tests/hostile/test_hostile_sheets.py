"""Samplesheets as spreadsheets and people write them, and malicious names."""

import re

import numpy as np
import pytest
from support.slides import names, write

HEADER = "sample,image,nuclear,membrane,image_mpp\n"
NAMES = (
    "../../up",
    "/a/b",
    "$(touch ran)",
    "`touch ran`",
    "a;touch ran",
    "a b",
    ".hid",
    "-rf",
    "",
)
PATHS = ("$(touch ran).tif", "/dev/null/../x.tif", "http://localhost:1/x.tif")


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).integers(0, 999, (1, 64, 64), "uint16")
    write(tmp_path / "a.ome.tif", noise, metadata=names("DAPI"))
    return tmp_path


def run(nextflow, folder, text, *options):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "sheet.csv").write_bytes(content)
    done = nextflow("--input", folder / "sheet.csv", *options, folder=folder)
    told = done.stdout + done.stderr
    assert "Exception" not in told and "\tat " not in told, told
    assert not list(folder.rglob("ran")), told
    return done.returncode, told


def test_hostile_names_and_paths_are_refused(nextflow, folder):
    """What else can be wrong with a samplesheet is in steps/test_options.py."""
    rows = [f"{name},a.ome.tif,0,,0.5\n" for name in NAMES]
    rows += [f"path{n},{path},0,,\n" for n, path in enumerate(PATHS)]
    code, told = run(nextflow, folder, HEADER + "".join(rows))
    assert code != 0, told
    for name in NAMES:
        assert f"sample '{name}': a sample name has letters" in told, told
    for row in range(len(NAMES) + 2, len(rows) + 2):
        assert re.search(f"row {row}: image .*does not exist", told), told


def test_a_spreadsheets_samplesheet_is_read(nextflow, folder):
    """With a byte order mark, CRLF, quotes, and a shell's characters in a channel's name.

    The one slide is refused, which is a run's end, but no crash.
    """
    text = HEADER.strip() + '\r\n"a","a.ome.tif","DAPI, $(touch ran) \'1\'","",0.5\r\n\r\n\r\n'
    code, told = run(nextflow, folder, b"\xef\xbb\xbf" + text.encode())
    # Ingest is reached, and told of the channel as it stands in the sheet
    assert code != 0 and "no nuclear channel 'DAPI, $(touch ran) '1''" in told, told
    assert "One slide was refused" in told and "a, INGEST: a.ome.tif: no nuclear" in told
    assert "0: DAPI" in told
    assert "Submitted process > SEGMENTATION:MASKS:INGEST" not in told
    data_errors_are_not_retried = told.count("process > SEGMENTATION:MASKS:BUNDLES:CHAIN") == 1
    assert data_errors_are_not_retried, told
