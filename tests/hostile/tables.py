"""Metadata, matches and tables as another pipeline, or a damaged disk, might produce them."""

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from support import steps

from cellquilt.cells import cell_table
from cellquilt.images.label_image import write_label_image

from .corpus import case, script
from .damaged import Canary
from .masks import FACTS, good, labels, matched, repair
from .tiff import slide

TRICKS = {
    "path": "../../escaped",
    "absolute path": "/escaped",
    "shell command": "$(touch ran)",
    "line break": "a\nb",
    "hidden file": ".hidden",
    "nothing": "",
    "number": 7,
}
FACTS_WRONG = {
    "empty": b"",
    "cut": b'{"sample": "s", "ima',
    "Latin-1": b'{"sample": "\xe4"}',
    "a list": b"[1, 2]",
    "nothing in it": b"{}",
    "a pixel size of NaN": b'{"sample": "s", "image_mpp": NaN}',
    "a pixel size of 0": b'{"sample": "s", "image_mpp": 0}',
    "a pixel size in words": b'{"sample": "s", "image_mpp": "half"}',
    "nested 100,000 deep": b"[" * 100_000,
    "a pickle": pickle.dumps(Canary(Path("ran"))),
}


def facts_case(kind, facts):
    @case(f"sample.json: {kind}", "INGEST", "sample.json")
    def _(folder):
        return repair(folder, good(folder), facts)


for _kind, _name in TRICKS.items():
    facts_case(f"a sample's name that is a {_kind}", FACTS | {"sample": _name})
for _kind, _facts in FACTS_WRONG.items():
    facts_case(_kind, _facts)

CSV_WRONG = {
    "empty": b"",
    "binary": bytes(range(256)) * 9,
    "other columns": b"a,b\n1,2\n",
    "a row too long": b"compartment,label\ncell,1\ncell,2,3,4\n",
    "an open quote": b'compartment,label\n"cell,1\n',
    "labels in words": b"compartment,label\ncell,one\n",
    "a pickle": pickle.dumps(Canary(Path("ran"))),
}


def uncertified_case(kind, text):
    @case(f"uncertified.csv: {kind}", "STITCH", "uncertified.csv")
    def _(folder):
        (folder / "uncertified.csv").write_bytes(text)
        return repair(folder, good(folder), FACTS, "--uncertified", folder / "uncertified.csv")


for _kind, _text in CSV_WRONG.items():
    uncertified_case(_kind, _text)


@case("uncertified.csv: with a byte order mark and CRLF", check=matched)
def _(folder):
    (folder / "uncertified.csv").write_bytes(b"\xef\xbb\xbfcompartment,label\r\ncell,1\r\n")
    return repair(folder, good(folder), FACTS, "--uncertified", folder / "uncertified.csv")


def sample(folder: Path, name="s", **plane):
    """Write a slide with its masks, matches and facts; return the command line of QUANTIFY."""
    image = slide(folder, labels("uint16")[None] + 1, tile=(16, 16))
    masks, matches = steps.repaired(folder, labels(), labels())
    matches.to_csv(folder / "matches.csv", index=False)
    height, width = labels().shape
    known = {"name": image.name, "height": height, "width": width, "channels": ["Channel 0"]}
    known |= plane
    (folder / "sample.json").write_text(json.dumps(FACTS | {"sample": name, "image": known}))
    (folder / "provenance.json").write_text('{"steps": []}')
    (folder / "uncertified.csv").write_text("compartment,label\n")
    given = [f"--{key}={folder / key}.json" for key in ("provenance",)]
    given += ["--facts", folder / "sample.json", "--uncertified", folder / "uncertified.csv"]
    given += ["--image", image, "--matches", folder / "matches.csv", "--masks", *masks.values()]
    return script("quantify", *given, "--outdir", folder / "out")


def two_cells(folder):
    assert len(cell_table.read(folder / "out" / "quantification" / "s.parquet")) == 2


@case("matches.csv: sound", check=two_cells)
def _(folder):
    return sample(folder)


HEADER = "label,cell_label,nucleus_label,status,mismatch,trimmed_px,retained_fraction,"
HEADER += "nucleus_area_before_px,cell_certified,nucleus_certified,cell_area_px,nucleus_area_px\n"
MATCHES_WRONG = {
    "empty": "",
    "no rows but other columns": "a,b\n",
    "labels in words": HEADER + "one,1,1,matched,0,0,1,1,True,True,400,400\n",
    "a label of 2^40": HEADER + f"1,{2**40},1,matched,0,0,1,1,True,True,400,400\n",
    "a label of 2^31": HEADER + f"1,{2**31},1,matched,0,0,1,1,True,True,400,400\n",
    "a negative label": HEADER + "1,-1,1,matched,0,0,1,1,True,True,400,400\n",
    "half a label": HEADER + "1,1.5,1,matched,0,0,1,1,True,True,400,400\n",
    "matched without a cell": HEADER + "1,,1,matched,0,0,1,1,True,True,400,400\n",
    "a cell twice": HEADER + "1,1,1,matched,0,0,1,1,True,True,400,400\n" * 2,
    "areas of another run": HEADER + "1,1,1,matched,0,0,1,1,True,True,9,9\n",
    "an unknown status": HEADER + "1,1,1,perhaps,0,0,1,1,True,True,400,400\n",
}


def matches_case(kind, text):
    @case(f"matches.csv: {kind}", "REPAIR")
    def _(folder):
        command = sample(folder)
        (folder / "matches.csv").write_text(text)
        return command


for _kind, _text in MATCHES_WRONG.items():
    matches_case(_kind, _text)


PATCHES = "y0,x0,height,width,out_of_focus,saturated\n"
PATCHES_WRONG = {
    "empty": "",
    "cut": PATCHES + "0,0,90,70,True,Fal",
    "places in words": PATCHES + "0,zero,90,70,True,False\n",
    "places beyond all integers": PATCHES + f"0,{10**30},90,70,True,False\n",
    "focus in words": PATCHES + "0,0,90,70,perhaps,False\n",
    "a patch twice": PATCHES + "0,0,90,70,True,False\n" * 2,
    "a million patches in a diagonal": PATCHES
    + "".join(f"{k},{k},1,1,True,False\n" for k in range(1_000_000)),
}


def patches_case(kind, text, *expected, **options):
    @case(f"patches_metadata.csv: {kind}", *expected, **options)
    def _(folder):
        (folder / "patches_metadata.csv").write_text(text)
        return [*sample(folder), "--patches", folder / "patches_metadata.csv"]


for _kind, _text in PATCHES_WRONG.items():
    patches_case(_kind, _text, "STITCH", "patches_metadata.csv")
patches_case("of places that the slide has not", PATCHES + "99,-9,9,9,True,True\n", check=two_cells)


@case("provenance.json: a list", "STITCH", "provenance.json")
def _(folder):
    command = sample(folder)
    (folder / "provenance.json").write_text("[]")
    return command


@case("sample.json: without the image, for QUANTIFY", "INGEST", "sample.json")
def _(folder):
    command = sample(folder)
    (folder / "sample.json").write_text(json.dumps(FACTS))
    return command


PLANES_WRONG = {
    "below 0": -1,
    "half": 0.5,
    "in words": "first",
    "true": True,
    "a list": [0],
    "4,000 digits long": 10**4000,
}


def plane_case(axis, kind, plane):
    @case(f"sample.json: a plane along {axis} that is {kind}", f"its image's {axis}", "sample.json")
    def _(folder):
        return sample(folder, **{axis: plane})


for _axis in "zt":
    for _kind, _plane in PLANES_WRONG.items():
        plane_case(_axis, _kind, _plane)


@case("sample.json: a plane that the slide has not", "no plane 7 along Z", "slide.ome.tif")
def _(folder):
    return sample(folder, z=7)


@case("sample.json: planes of null", check=two_cells)
def _(folder):
    return sample(folder, z=None, t=None)


@case("sample.json: a sample's name that leads elsewhere, for QUANTIFY", "INGEST", "sample.json")
def _(folder):
    return sample(folder, "../../escaped")


def export(folder, facts: bytes | None, name="s.parquet"):
    """Write a table of one cell with these facts; return the command line of EXPORT."""
    table = pa.table({"cell_id": [1], "status": ["matched"]})
    table = table.replace_schema_metadata({cell_table.FACTS: facts} if facts is not None else {})
    pq.write_table(table, folder / name)
    paths = [folder / f"{mask}.ome.tif" for mask in ("cell", "nucleus")]
    for path in paths:
        write_label_image(path, labels(), 0.5, path.name)
    given = ["--tables", folder / name, "--masks", *paths, "--formats", "csv,geojson"]
    return script("export", *given, "--outdir", folder / "out")


PARQUET_WRONG = {
    "no facts": None,
    "facts that are no JSON": b"\xff{",
    "facts that are a list": b"[]",
    "facts without a size": b'{"sample": "s", "segmenter": "mesmer", "compartment": "both"}',
    "facts without a segmenter": b'{"sample": "s", "compartment": "both", "channels": []}',
    "a segmenter that leads elsewhere": b'{"sample": "s", "segmenter": "../../mesmer"}',
    "a name that leads elsewhere": json.dumps(
        {
            "sample": "../../escaped",
            "segmenter": "mesmer",
            "compartment": "both",
            "channels": [],
            "image": {"name": "a", "height": 90, "width": 70},
            "image_mpp": 0.5,
            "provenance": [],
        }
    ).encode(),
}


def parquet_case(kind, facts):
    @case(f"table of cells: {kind}", "QUANTIFY", "s.parquet")
    def _(folder):
        return export(folder, facts)


for _kind, _facts in PARQUET_WRONG.items():
    parquet_case(_kind, _facts)

for _kind, _spoil in {
    "cut": lambda raw: raw[:-20],
    "empty": lambda raw: b"",
    "a pickle": lambda raw: pickle.dumps(Canary(Path("ran"))),
    "damaged in its footer": lambda raw: raw[:-60] + bytes(40) + raw[-20:],
}.items():

    @case(f"table of cells: {_kind}", "Parquet|QUANTIFY", "s.parquet")
    def _(folder, spoil=_spoil):
        command = export(folder, b"{}")
        (folder / "s.parquet").write_bytes(spoil((folder / "s.parquet").read_bytes()))
        return command
