"""Findings of fuzzing (make fuzz) that once gave a traceback or an unclear message."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
from support.slides import ROOT

from cellquilt.cells import cell_table
from cellquilt.compartments import MEASURED

from .corpus import case
from .damaged import NAME
from .masks import FACTS, labels, repair
from .tables import export
from .tiff import ingest, next_pointer, pages, put, slide, values_at

TILE_DEPTH = 32998
UUID = "00000000-0000-0000-0000-000000000000"


@case("tiles 2^32 - 1 px deep", "its pages are volumes", NAME)
def _(folder):
    path = slide(folder)
    entry = pages(path.read_bytes())[2][1][282]  # of the resolution, which is not needed
    return ingest(folder, put(path, entry, "<HHII", TILE_DEPTH, 4, 1, 2**32 - 1))


@case("counts of bytes that are text of many lines", "truncated or damaged", NAME)
def _(folder):
    path = slide(folder, xml="images=3\n" * 40, tile=None, rowsperstrip=150)
    raw = path.read_bytes()
    at, _ = values_at(raw, 0, 270)
    return ingest(folder, put(path, pages(raw)[0][1][279] + 2, "<HII", 2, 300, at))


@case("OME-XML of an old schema with an attribute that no XML may have", "is malformed", NAME)
def _(folder):
    root = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2010-06">'
    return ingest(folder, slide(folder, xml=f'{root}<Image><Pixels Si\ufffdeX=""/></Image></OME>'))


@case("OME-XML whose error is of many lines", "is malformed", NAME)
def _(folder):
    return ingest(folder, slide(folder, xml="<OME><![CDATA[\n\na\nb\n" + "x" * 3000 + "</OME>"))


@case("OME-XML around which there is another element", "is malformed", NAME)
def _(folder):
    root = f"<Instrument {ROOT}><OME></OME></Instrument>"
    return ingest(folder, slide(folder, xml=root))


@case("OME-XML that names a file at length", "OME-TIFF of several", NAME)
def _(folder):
    binary = f'<BinaryOnly MetadataFile="{"x" * 7000}" UUID="urn:uuid:{UUID}"/>'
    return ingest(folder, slide(folder, xml=f"<OME {ROOT}>{binary}</OME>"))


@case("labels: a ring of pages", "circular reference", "original.ome.tif")
def _(folder):
    path = folder / "cell_original.ome.tif"
    with tifffile.TiffWriter(path, byteorder="<") as tiff:
        tiff.write(labels(), metadata=None)
        tiff.write(labels()[:9], metadata=None)
    raw = path.read_bytes()
    put(path, next_pointer(raw, 1), "<I", pages(raw)[0][0])
    return repair(folder, path)


IMAGE = {"name": "slide.ome.tif", "height": 90, "width": 70}
CHANNELS = [{"index": 0, "name": "a", "column": "a"}]
KNOWN = FACTS | {"segmenter": "mesmer", "compartment": "both", "channels": CHANNELS}
KNOWN |= {"image": IMAGE, "provenance": []}
ROWS = {"cell_id": [1, 2], "status": ["matched"] * 2, "cell_label": [1, 2]}
ROWS |= {cell_table.intensity_column(name, "a"): [0.5, 1.5] for name in MEASURED}


def table_case(kind, message, rows=ROWS, **facts):
    @case(f"table of cells: {kind}", message, "s.parquet")
    def _(folder):
        command = export(folder, None)
        table = pa.table({name: values for name, values in rows.items() if values is not None})
        table = table.replace_schema_metadata({cell_table.FACTS: json.dumps(KNOWN | facts)})
        pq.write_table(table, folder / "s.parquet")
        return command


table_case("without numbers of cells", "no column cell_id", ROWS | {"cell_id": None})
table_case("without labels of cells", "no column cell_label", ROWS | {"cell_label": None})
table_case("without a channel", "no column", channels=[{"column": "b"}])
table_case("numbers in words", "cell_id is not all whole", ROWS | {"cell_id": ["one", "two"]})
table_case("truths as status", "status is not text", ROWS | {"status": [True, None]})
table_case("no status", "a cell has no status", ROWS | {"status": ["matched", None]})
table_case("a sample of 300 letters", "is not a name of", sample="x" * 300)
table_case("a number below 1", "cell_id is not all from 1", ROWS | {"cell_id": [1, -1]})
table_case("a number twice", "cell_id is there twice", ROWS | {"cell_id": [1, 1]})
table_case("a cell without a label", "a cell has no label", ROWS | {"cell_label": [1, None]})
table_case("a channel twice", "lacks compartment or channels", channels=CHANNELS * 2)
table_case("channels that are words", "lacks compartment or channels", channels=["a"])
table_case("an image of -1 px", "lacks name, height or width", image=IMAGE | {"height": -1})
table_case("an image of 10^18 px", "lacks name, height or width", image=IMAGE | {"width": 10**18})


@case("table of cells: a damaged page of values", "cannot be read as Parquet", "s.parquet")
def _(folder):
    command = export(folder, None)
    table = pa.table(ROWS).replace_schema_metadata({cell_table.FACTS: json.dumps(KNOWN)})
    pq.write_table(table, folder / "s.parquet", compression="none")
    put(folder / "s.parquet", 4, "<5Q", *[2**64 - 1] * 5)
    return command
