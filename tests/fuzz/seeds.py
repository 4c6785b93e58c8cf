"""Small valid files of each kind to start from, written by each run."""

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numcodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
import zarr
from hostile import networks, tables
from hostile.masks import FACTS, labels
from support.cards import NUCLEI, card
from support.slides import names, ome_xml, pixels, write, write_set
from support.zarrs import write_zarr, zipped

from cellquilt.cells import cell_table
from cellquilt.compartments import MEASURED
from cellquilt.handoff import stores
from cellquilt.images.label_image import write_label_image
from cellquilt.mesmer import model_archive
from cellquilt.mesmer.card import CARD, FORMAT, sha256
from cellquilt.slides.ingest import Request, ingest
from cellquilt.training import architectures

SIZE = (40, 32)  # x, y
SHAPE = (3, SIZE[1], SIZE[0])
ROI_SHAPE = (70, 100)
MICRONS = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeXUnit="µm"'
BLOCKS = (
    '<Channel ID="Channel:0:0" Name="DAPI" SamplesPerPixel="1"/><Channel ID="Channel:0:1"/>'
    '<TiffData IFD="0" FirstC="0" FirstZ="0" FirstT="0" PlaneCount="1">'
    '<UUID FileName="slide.ome.tif">urn:uuid:00000000-0000-0000-0000-000000000000</UUID></TiffData>'
    '<TiffData IFD="1" FirstC="1"/>'
)

MARKER = {
    **{"name": "a", "saturated": 0.0, "background": 3, "nuclear_contrast": None},
    **{"membrane_contrast": 0.1, "picture": {"src": "data:image/webp,", "height": 1, "width": 1}},
    "means": {
        **{"n": 3, "low": 0.5, "high": 9.0, "cofactor": 0.7, "quartiles": [1.0, 2.0, 3.0]},
        "counts": [1] * 32,
    },
}


def _made(make: Callable[[Path], object]) -> bytes:
    """Return the bytes of what `make` writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed"
        make(path)
        return path.read_bytes()


def _plain(data: np.ndarray, **options) -> bytes:
    layout = {"photometric": "minisblack", "metadata": None}
    return _made(lambda path: tifffile.imwrite(path, data, **layout | options))


def xmls() -> list[bytes]:
    """Return OME-XML, of a file of 2 or 3 pages."""
    return [
        text.encode()
        for text in (
            ome_xml(3, SIZE, MICRONS),
            ome_xml(2, SIZE, 'PhysicalSizeX="500" PhysicalSizeXUnit="nm"', inside=BLOCKS),
            ome_xml(2, SIZE, inside='<Channel ID="Channel:0:0"/><Plane TheC="0"/><TiffData/>'),
            f'<OME xmlns="x"><BinaryOnly MetadataFile="a.companion.ome"/></OME>{" " * 9}',
        )
    ]


def slides() -> list[bytes]:
    """Return slides of three channels or one in many layouts, orders of bytes and flavours."""
    tiles = {"tile": (16, 16)}
    layouts = [
        {"compression": None},
        {"compression": "zlib", **tiles},
        {"compression": "zlib", "predictor": True, **tiles, "byteorder": ">"},
        {"compression": "lzw", "rowsperstrip": 7, "predictor": True},
        {"compression": "zstd", **tiles, "bigtiff": True},
        {"compression": "packbits", "rowsperstrip": 5},
        {"compression": "lzma", **tiles},
        {"compression": "jpeg2000", **tiles},
    ]
    noise = pixels(SHAPE)
    known = {"metadata": names("a", "b", "c")}
    found = [_made(lambda path, o=o: write(path, noise, **o | known)) for o in layouts]
    xml = ome_xml(3, SIZE, MICRONS)
    found.append(_made(lambda path: write(path, noise, xml, **tiles, compression="zlib")))
    bits = pixels(SHAPE, "uint8")
    found.append(_plain(bits, compression="jpeg", **tiles))
    found.append(_plain(bits[0], compression="jpeg", rowsperstrip=16))
    found.append(_plain(pixels(SHAPE, "float32"), compression="zlib", predictor=True, **tiles))
    found.append(_plain(pixels(SHAPE, "int16"), byteorder=">"))
    stack = pixels((2, 3, *SHAPE[1:]))
    labelled = {"axes": "ZCYX", "Labels": list("abcdef")}
    found.append(_made(lambda path: tifffile.imwrite(path, stack, imagej=True, metadata=labelled)))
    found.append(_made(_pyramid))
    found.append(_made(_qptiff))
    return found


def zarrs() -> list[bytes]:
    """Return zipped OME-Zarr of both versions, in chunks of several codecs and in shards."""
    layouts = [
        {"compressors": numcodecs.Blosc()},
        {"compressors": numcodecs.Zlib(), "order": "F"},
        {"compressors": numcodecs.BZ2(), "filters": [numcodecs.Shuffle(2)]},
        {"compressors": numcodecs.LZ4(), "chunks": (2, 32, 40)},
        {"version": "0.5"},
        {"version": "0.5", "compressors": zarr.codecs.GzipCodec(), "chunks": (3, 20, 20)},
        {"version": "0.5", "chunks": (1, 16, 16), "shards": (3, 32, 48)},
    ]
    given = {"chunks": (1, 16, 16), "names": ["a", "b", "c"]}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, layout in enumerate(layouts):
            path = Path(folder) / f"{number}.zarr"
            write_zarr(path, pixels(SHAPE), **given | layout)
            found.append(zipped(path, path.with_suffix(".zip")).read_bytes())
    return found


CHANNEL = "a.tif"


def write_channel(folder: Path) -> None:
    """Write a file of one channel, for another one beside it."""
    tifffile.imwrite(folder / CHANNEL, pixels(SHAPE)[0], metadata=None)


def one_channel_files() -> list[bytes]:
    """Return files of one channel, such as `write_channel` writes."""
    plane, tiles = pixels(SHAPE)[:1], {"tile": (16, 16), "compression": "zlib"}
    found = [_plain(plane), _plain(plane, **tiles, byteorder=">"), _plain(plane[:, :9])]
    return [*found, _made(lambda path: write(path, plane, metadata=names("a"), **tiles))]


def json_cards() -> list[bytes]:
    """Return cards of networks of one and of two compartments."""
    both = NUCLEI | {"whole-cell": NUCLEI["nuclear"] | {"kind": "class_probabilities"}}
    more = {"channels": ["nuclear", "membrane"], "outputs": both, "reference": "x"}
    return [json.dumps(said).encode() for said in (card(), card(**more))]


def saved_networks() -> list[bytes]:
    """Return a network with its card, zipped."""
    from support.toys import write_toy

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            net = write_toy(Path(folder) / "net", tile=32, stride=16)
            model_archive.pack(net, path)

    return [_made(make)]


def write_members(folder: Path) -> None:
    """Write an OME-TIFF of three files and their companion."""
    write_set(folder, pixels(SHAPE), companion=True, tile=(16, 16), compression="zlib")


def members() -> list[bytes]:
    """Return the first file of `write_members`, and the same with all of the metadata."""
    return [_written(companion)[0] for companion in (True, False)]


def companions() -> list[bytes]:
    """Return the companion of `write_members`, and that of a stack."""
    found = [_written(True, axis)[-1] for axis in "CZ"]
    return [content.replace(b"set_Z", b"set_C") for content in found]


def _written(companion: bool, axis: str = "C") -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        written = write_set(Path(folder), pixels(SHAPE), companion, axis)
        return [path.read_bytes() for path in written]


def _pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
        tiff.write(pixels(SHAPE), subifds=1, metadata={"axes": "CYX"}, **options)
        tiff.write(pixels(SHAPE)[:, ::2, ::2], subfiletype=1, **options)


def _qptiff(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for plane, name in zip(pixels(SHAPE), ("DAPI", "CD45", "PanCK"), strict=True):
            tiff.write(
                plane,
                description="<PerkinElmer-QPI-ImageDescription><ImageType>FullResolution"
                f"</ImageType><Biomarker>{name}</Biomarker></PerkinElmer-QPI-ImageDescription>",
                software="PerkinElmer-QPI",
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
                photometric="minisblack",
                metadata=None,
            )


def label_images() -> list[bytes]:
    """Return label images of our own writer and of others."""
    small = labels()[:40, :40]
    tiles = {"tile": (16, 16)}
    return [
        _made(lambda path: write_label_image(path, small, 0.5, "cell")),
        _plain(small),
        _plain(small, compression="zlib", predictor=True, **tiles),
        _plain(small.astype("uint16"), compression="lzw", rowsperstrip=5, byteorder=">"),
        _plain(small.astype("int64"), compression="zstd", bigtiff=True, **tiles),
        _plain(small.astype("uint8"), compression="packbits"),
        _plain(small.astype("int32"), compression="lzma", **tiles),
    ]


def regions() -> list[bytes]:
    """Return GeoJSON of regions of interest in the forms that it may have."""
    square = [[[20, 20], [90, 20], [90, 60], [20, 60], [20, 20]]]
    frame = [*square, [[30, 30], [80, 30], [80, 50], [30, 50], [30, 30]]]
    crossing = [[[0, 0], [50, 50], [50, 0], [0, 50], [0, 0]]]
    polygons = [
        {"type": "Polygon", "coordinates": frame},
        {"type": "MultiPolygon", "coordinates": [square, crossing]},
        {"type": "Polygon", "coordinates": crossing},
    ]
    named = [{"name": "A1"}, {"classification": {"name": "tumour", "color": [1, 2, 3]}}, {}]
    features = [
        {"type": "Feature", "id": str(k), "geometry": polygon, "properties": properties}
        for k, (polygon, properties) in enumerate(zip(polygons, named, strict=True))
    ]
    collection = {"type": "FeatureCollection", "features": features}
    return [json.dumps(given).encode() for given in (collection, features, features[0], *polygons)]


def cards() -> list[bytes]:
    """Return an embedded network with its card, and without weights."""
    return [
        _made(lambda path: _renamed(networks.rewritten, path, {networks.WEIGHTS: b""})),
    ]


def small_networks() -> list[bytes]:
    """Return a pixel classifier of a few weights."""
    from cellquilt.pixelcnn import network

    table = {"patch": 3, "layers": [{"conv": 3, "filters": 2}, {"dense": 2}]}
    small = architectures.from_table("small", table, "seed")
    known = json.loads(networks.card())
    kept = {key: known[key] for key in ("compartment", "channels", "thresholds", "model_mpp")}
    model = network.build(small, len(kept["channels"]), seed=0)

    def make(path: Path) -> None:
        keras = path.with_suffix(".keras")
        network.save(keras, model, small, kept)
        keras.replace(path)

    return [_made(make)]


def nuclei_cards() -> list[bytes]:
    """Return the network for nuclei with its card, and without weights."""
    changed = {networks.WEIGHTS: b""}
    return [_made(lambda path: _renamed(networks.rewritten, path, changed, networks.NUCLEI))]


def small_nuclei() -> list[bytes]:
    """Return a network for nuclei of a few weights."""
    from cellquilt.unet import network

    known = json.loads(networks.card(networks.NUCLEI))
    filters = [1, 2]
    model = network.build(filters)
    kept = {key: known[key] for key in ("compartment", "thresholds")}

    def make(path: Path) -> None:
        keras = path.with_suffix(".keras")
        network.save(keras, model, filters, kept)
        keras.replace(path)

    return [_made(make)]


def _renamed(make: Callable, path: Path, *given: object) -> None:
    make(path.parent, *given).replace(path)


def tables_of_layers() -> list[bytes]:
    """Return architectures in YAML."""
    text = architectures.BUILT_IN.read_bytes()
    small = b"a: {patch: 3, layers: [{conv: 3, filters: 2}]}\nb: &x\n  patch: 1\n  layers:\n"
    return [text, small + b"  - dense: 3\nc: *x\n"]


def facts() -> list[bytes]:
    """Return INGEST's facts, and STITCH's provenance."""
    image = {"name": "slide.ome.tif", "height": 90, "width": 70, "channels": ["a"], "z": 1, "t": 0}
    given = [FACTS | {"image": image}, {"steps": [{"step": "INGEST", "software": {}}]}]
    return [json.dumps(each).encode() for each in given]


def csvs() -> list[bytes]:
    """Return REPAIR's matches, and STITCH's uncertified objects and patches."""
    with tempfile.TemporaryDirectory() as folder:
        tables.sample(Path(folder))
        found = [(Path(folder) / "matches.csv").read_bytes()]
    found += [b"\xef\xbb\xbfcompartment,label\r\ncell,1\r\n", b"compartment,label\n"]
    patches = "y0,x0,height,width,out_of_focus,saturated\n0,0,9,9,True,False\n0,9,9,9,False,\n"
    return [*found, patches.encode()]


MASKS = ("cell", "nucleus", "cell_original")


def write_masks(folder: Path) -> None:
    """Write the masks of the tables' cells."""
    for name in MASKS:
        write_label_image(folder / f"{name}.ome.tif", labels(), 0.5, name)


def parquets() -> list[bytes]:
    """Return tables of cells: of both compartments, and of one."""
    channels = [{"index": 0, "name": "a", "column": "a"}]
    image = {"name": "slide.ome.tif", "height": 90, "width": 70}
    known = FACTS | {"segmenter": "mesmer", "image": image, "channels": channels, "provenance": []}
    both = {
        "cell_id": [1, 2, None],
        "status": ["matched", "lone", None],
        "cell_label": [1, 2, None],
        "cell_certified": [True, None, False],
        "cell_area": [1.5, float("nan"), 2],
        "flag_edge": [True, False, False],
        "is_flagged": [True, False, True],
    }
    nuclei = {"cell_id": [2, 1], "nucleus_area": [1.5, None], "is_flagged": [False, True]}
    found = []
    for compartment, rows, measured in (
        ("both", both, MEASURED),
        ("nuclear", nuclei, ("nucleus",)),
    ):
        n = len(rows["cell_id"])
        means = {cell_table.intensity_column(name, "a"): [0.5] * n for name in measured}
        table = pa.table(rows | means)
        facts = json.dumps(known | {"compartment": compartment})
        described = {cell_table.FACTS: facts, cell_table.MARKERS: json.dumps([MARKER])}
        table = table.replace_schema_metadata(described)
        found.append(_made(lambda path, t=table: pq.write_table(t, path, compression="zstd")))
    return found


def normalised() -> list[bytes]:
    """Return a slide's normalised store, with fewer arrays than INGEST's and so read faster."""
    with tempfile.TemporaryDirectory() as folder:
        slide = write(Path(folder) / "slide.ome.tif", pixels(SHAPE), metadata=names("a", "b", "c"))
        ingest(Request("s", slide, "a", "b", image_mpp=0.5), Path(folder) / "store.zip")
        with (
            stores.read(Path(folder) / "store.zip") as whole,
            stores.create(Path(folder) / "small.zip", dict(whole.attrs)) as small,
        ):
            for name, kept in (("codes", 99), ("lut", 64), ("blocks/0/total", 9)):
                values = whole[name][..., :kept]
                stores.new_array(small, name, values.shape, values.dtype, values.shape)[:] = values
        return [(Path(folder) / "small.zip").read_bytes()]


def archives() -> list[bytes]:
    """Return an archive with the shape of Mesmer's weights."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("model", "model/saved_model.pb", "model/variables/variables.index"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.REGTYPE if "." in name else tarfile.DIRTYPE
            member.size = 9 if "." in name else 0
            archive.addfile(member, io.BytesIO(bytes(9)))
    return [stream.getvalue()]


def models() -> list[bytes]:
    """Return a prepared network of Mesmer, without one."""
    with tempfile.TemporaryDirectory() as folder:
        saved, archive = Path(folder) / "saved", Path(folder) / "mesmer.zip"
        saved.mkdir()
        (saved / "saved_model.pb").write_bytes(bytes(9))
        card = {"format": FORMAT, "name": "Mesmer", "saved_model_sha256": sha256(saved)}
        (saved / CARD).write_text(json.dumps(card))
        model_archive.pack(saved, archive)
        return [archive.read_bytes()]
