"""Files that are not label images, given to REPAIR together with a valid one."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import tifffile

from cellquilt.images.label_image import write_label_image

from .corpus import case, script
from .damaged import OTHERS, Canary, repeated
from .tiff import put, set_tag, zeros_deflated

NAME = "cell_original.ome.tif"
SHAPE = (90, 70)
FACTS = {"sample": "s", "image_mpp": 0.5}


def labels(dtype=np.uint32):
    """Return a label image with two objects."""
    image = np.zeros(SHAPE, dtype)
    image[10:30, 10:30], image[40:70, 20:50] = 1, 2
    return image


def repair(folder: Path, cell: Path, facts=FACTS, *more) -> list[str | Path]:
    """Return the command line that repairs `cell` with good nuclei."""
    nucleus = folder / "nucleus_original.ome.tif"
    write_label_image(nucleus, labels(), 0.5, "nucleus")
    text = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    (folder / "sample.json").write_bytes(text)
    given = ["--cell", cell, "--nucleus", nucleus, "--facts", folder / "sample.json"]
    return script("repair", *given, *more, "--outdir", folder / "out")


def good(folder: Path) -> Path:
    """Write a good label image of cells."""
    write_label_image(folder / NAME, labels(), 0.5, "cell")
    return folder / NAME


def matched(folder):
    """Check that both objects were matched."""
    metrics = json.loads((folder / "out" / "repair_metrics.json").read_text())
    assert metrics["n_matched"] == metrics["n_nuclei"] == 2


def plain(array, **options):
    def build(path):
        tifffile.imwrite(path, array, photometric="minisblack", metadata=None, **options)

    return build


def edited(*edits, **options):
    def build(path):
        plain(labels(), tile=(64, 64), compression="zlib", byteorder="<", **options)(path)
        for tag, value in edits:
            set_tag(path, tag, value)

    return build


def bomb(path):
    edited()(path)
    at, tile = path.stat().st_size, zeros_deflated(3 << 30)
    with path.open("ab") as file:
        file.write(tile)
    set_tag(set_tag(path, 324, at), 325, len(tile))


def cut(part):
    def build(path):
        good(path.parent)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    return build


def huge(path):
    repeated(path.parent, 70_000, 70_000).rename(path)


def elsewhere(path):
    """Write labels whose metadata say that the planes are in the file of the nuclei."""
    pixels = (
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint32" SizeX="70" SizeY="90" SizeC="1"'
        ' SizeZ="1" SizeT="1"><Channel ID="Channel:0:0"/><TiffData IFD="0" PlaneCount="1">'
        '<UUID FileName="nucleus_original.ome.tif">urn:uuid:1</UUID></TiffData></Pixels>'
    )
    root = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:2"'
    xml = f'<OME {root}><Image ID="Image:0">{pixels}</Image></OME>'
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint32), description=xml, metadata=None)


def no_cells(folder):
    metrics = json.loads((folder / "out" / "repair_metrics.json").read_text())
    assert metrics["n_cells"] == 0


WRONG = {
    "floats": (plain(labels(np.float32)), "holds float32"),
    "negative": (plain(-labels(np.int32)), "must not be negative"),
    "beyond 32 bits": (plain(labels(np.uint64) << 40, ome=False), "must not exceed"),
    "three-dimensional": (plain(np.stack([labels()] * 3)), r"of shape \(3, 90, 70\)"),
    "colours": (plain(np.zeros((9, 9, 3), "uint8"), planarconfig="contig"), "of shape|holds"),
    "another size": (plain(labels()[:-1]), "both must be masks of the same image"),
    "JPEG": (plain(labels(np.uint8), compression="jpeg"), "compressed by JPEG"),
    "cut after its header": (cut(0.05), "truncated|damaged|cannot be read"),
    "cut in the middle": (cut(0.5), "truncated|damaged|cannot be read|rows"),
    "cut before its end": (cut(0.99), "truncated|damaged|cannot be read|rows"),
    "width 2^31": (edited((256, 2**31)), "truncated|damaged|lacks"),
    "height 0": (edited((257, 0)), "truncated|damaged|holds|without"),
    "tiles 2^31 px wide": (edited((322, 2**31)), "tiles|damaged"),
    "tiles 0 px wide": (edited((322, 0)), "damaged|cannot be read"),
    "tile at 4 GB": (edited((324, 2**32 - 1)), "rows|truncated|damaged"),
    "70,000 x 70,000 px of one tile": (huge, "70000 x 70000 px"),
    "a tile that inflates to 3 GB": (bomb, "rows 0 on"),
    "a page that follows itself": (
        lambda path: (edited()(path), put(path, 4, "<I", 2**31)),
        "cannot be read|damaged",
    ),
    "a pickle": (
        lambda path: path.write_bytes(pickle.dumps(Canary(path.parent / "ran"))),
        "not a TIFF",
    ),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "cannot be read"),
}


def wrong_case(kind, build, message):
    @case(f"labels: {kind}", message, "original.ome.tif")
    def _(folder):
        build(folder / NAME)
        return repair(folder, folder / NAME)


for _kind, (_build, _message) in WRONG.items():
    wrong_case(_kind, _build, _message)
for _kind in ("PNG", "HTML page", "Git LFS pointer", "empty file", "npy of pickled objects"):
    wrong_case(
        f"{_kind}",
        lambda path, make=OTHERS[_kind]: path.write_bytes(make(path.parent)),
        "not a TIFF|truncated or damaged",
    )


@case("labels: FIFO", "not a file", NAME)
def _(folder):
    os.mkfifo(folder / NAME)
    return repair(folder, folder / NAME)


@case("labels: planes in another file", check=no_cells)
def _(folder):
    elsewhere(folder / NAME)
    return repair(folder, folder / NAME)


@case("labels: the largest of 32 bits", check=matched)
def _(folder):
    image = labels()
    image[image == 2] = 2**32 - 1
    write_label_image(folder / NAME, image, 0.5, "cell")
    return repair(folder, folder / NAME)


@case("labels: one pixel", check=no_cells)
def _(folder):
    command = repair(folder, folder / NAME)
    for name in (NAME, "nucleus_original.ome.tif"):
        write_label_image(folder / name, np.zeros((1, 1), np.uint32), 0.5, "cell")
    return command
