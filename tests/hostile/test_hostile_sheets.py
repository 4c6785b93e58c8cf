"""Samplesheets as spreadsheets and people write them, and malicious names."""

import re

import numpy as np
import pytest
from support.slides import write

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
WRONG = {
    "hostile names": (
        HEADER + "".join(f"{name},a.ome.tif,0,,0.5\n" for name in NAMES),
        [re.escape(f"sample '{name}': a sample name has letters") for name in NAMES],
    ),
    "a quote without end": (HEADER + 'a,"a.ome.tif,0,,\n', ["row 2: a cell starts with a quote"]),
    "control characters": (HEADER + 'a,"\x1b[2J\nx",0,,\n', [r"row 2: image  ?\[2J x does not"]),
    "the same column twice": (
        "sample,sample,image,nuclear\na,b,a.ome.tif,0\n",
        [r"sheet\.csv: column sample occurs twice"],
    ),
    "empty": ("", ["no rows"]),
    "nothing but blank lines": ("\r\n\r\n\n", ["no rows|no column"]),
    "a slide": (b"II*\0" + bytes(range(256)), ["not text in UTF-8"]),
    "hostile paths": (
        HEADER
        + "a,$(touch ran).tif,0,,\nb,/dev/null/../x.tif,0,,\nc,http://localhost:1/x.tif,0,,\n",
        ["row 2: image .*does not exist", "row 3: image .*does not exist"],
    ),
}


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).integers(0, 999, (1, 64, 64), "uint16")
    write(tmp_path / "a.ome.tif", noise)
    return tmp_path


def run(nextflow, folder, text, *options):
    content = text if isinstance(text, bytes) else text.encode()
    (folder / "sheet.csv").write_bytes(content)
    done = nextflow("--input", folder / "sheet.csv", *options, folder=folder)
    told = done.stdout + done.stderr
    assert "Exception" not in told and "\tat " not in told, told
    assert not list(folder.rglob("ran")), told
    return done.returncode, told


@pytest.mark.parametrize("name", WRONG)
def test_wrong_samplesheet(nextflow, folder, name):
    text, messages = WRONG[name]
    code, told = run(nextflow, folder, text)
    assert code != 0, told
    for message in messages:
        assert re.search(message, told), told


def test_a_spreadsheets_samplesheet_is_read(nextflow, folder):
    """With a byte order mark, CRLF, quotes, and a shell's characters in a channel's name."""
    text = HEADER.strip() + '\r\n"a","a.ome.tif","DAPI, $(touch ran) \'1\'","",0.5\r\n\r\n\r\n'
    code, told = run(nextflow, folder, b"\xef\xbb\xbf" + text.encode())
    # Ingest is reached, and told of the channel as it stands in the sheet
    assert code != 0 and "no nuclear channel 'DAPI, $(touch ran) '1''" in told, told


def test_latin_1_is_refused(nextflow, folder):
    code, told = run(nextflow, folder, (HEADER + "a,a.ome.tif,\xe4,,0.5\n").encode("latin-1"))
    assert code != 0 and "sheet.csv: is not text in UTF-8; save it as" in told, told
