"""The fuzzed readers: how each reads a file, its seed files, and its mutations.

A reader gets a file. It returns, or raises `DataError`: everything else is a finding.
"""

import itertools
from collections.abc import Callable
from contextlib import chdir, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import zarr

from cellquilt.cells import cell_table
from cellquilt.errors import DataError
from cellquilt.handoff import step_files, stores
from cellquilt.images.label_image import LabelReader
from cellquilt.masks.readers import open_mask
from cellquilt.mesmer import model_archive, saved_model
from cellquilt.networks.card import card_of
from cellquilt.networks.card import read_card as read_card_of_network
from cellquilt.pixelcnn.architectures import from_table
from cellquilt.pixelcnn.card import read_card as read_network_card
from cellquilt.reports.markers import bars, places
from cellquilt.slides import ome_xml
from cellquilt.slides.channel_choice import resolve_channel
from cellquilt.slides.pixel_size import resolve_image_mpp
from cellquilt.slides.readers import open_slide
from cellquilt.slides.region_file import read_regions
from cellquilt.slides.selection import Selection
from cellquilt.slides.slide import check_finite
from cellquilt.tiling.box import Box
from cellquilt.tiling.pixel_grid import Grid
from cellquilt.tiling.regions import Regions
from cellquilt.training import architectures
from cellquilt.unet import card as unet_card

from . import seeds
from .mutators import Mutator, json_mutator, tar_mutator, text_mutator, zip_mutator
from .parquets import parquet_mutator
from .tiffs import tiff_mutator

PIXELS = 1 << 20  # read of an image; its first rows and its last


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes
    ----------
    read : callable
        What is fuzzed.
    seeds : callable
        Returns sound files.
    mutator : callable
        Of their kind.
    file : str
        Name of the file that is read.
    beside : callable or None
        Writes into the file's folder what is read with it, and does not change.
    """

    read: Callable[[Path], None]
    seeds: Callable[[], list[bytes]]
    mutator: Mutator
    file: str
    beside: Callable[[Path], object] | None = None


def _strips(height: int, width: int) -> list[tuple[int, int]]:
    """Return rows from the top on, overlapping as those of steps do, and the last row."""
    rows = max(PIXELS // max(width, 1), 1)
    edges = [*range(0, min(height, rows), 24), min(height, rows)]
    pairs = [(max(y0 - 3, 0), y1) for y0, y1 in itertools.pairwise(edges)]
    return [*pairs, (max(height - 1, 0), height)]


def read_channel_set(path: Path) -> None:
    """Read a file of one channel with another one."""
    read_slide([path.with_name(seeds.CHANNEL), path])


def read_slide(path: Path | list[Path]) -> None:
    """Open a slide as INGEST does, and read some of four of its channels."""
    with open_slide(path, Selection(z=0, t=0)) as slide:
        resolve_channel(slide, "0", "nuclear")
        with suppress(DataError):
            resolve_image_mpp(slide, None)
        resolve_image_mpp(slide, 0.5)
        for channel in {*slide.channels[:3], slide.channels[-1]}:
            for y0, y1 in _strips(slide.height, slide.width):
                rows = slide.read(channel.index, y0, y1)
                check_finite(rows, slide, channel, y0)
            slide.release(channel.index)


def read_labels(path: Path) -> None:
    """Read some of a label image, as REPAIR, TRAIN and EVALUATE do."""
    with LabelReader(path) as labels:
        for y0, y1 in _strips(*labels.shape):
            labels.read(y0, y1)


def read_outlines(path: Path) -> None:
    """Read a mask of polygons as ADOPT does."""
    with open_mask(path, seeds.ROI_SHAPE, "nucleus", path.parent) as mask:
        mask.read(0, 9)


def read_roi(path: Path) -> None:
    """Read regions of interest as INGEST does, and look things up in them as later steps do."""
    regions, _ = read_regions(path, seeds.ROI_SHAPE)
    again = Regions.of({"regions": regions.facts(0.5)})
    y, x = np.indices(seeds.ROI_SHAPE)[:, ::7, ::7].reshape(2, -1)
    names, later = regions.names_at(y, x), again.names_at(y, x)
    assert np.array_equal(names, later), "regions differ when they were handed on"
    regions.touch(Box(0, 9, 0, 9))


def read_ome_xml(path: Path) -> None:
    """Read the text that a TIFF of 3 pages may have as its description, as `find_stack` does."""
    three_pages = SimpleNamespace(pages=[None] * 3)
    text = path.read_text("utf-8", "replace")
    ome_xml.is_ome_xml(text)
    ome_xml.images(ome_xml.parse(text, path), path, lambda _: three_pages)


def read_card(path: Path) -> None:
    """Read a network's card and what it says of the architecture, without TensorFlow."""
    card = read_network_card(path)
    table = {key: card[key] for key in ("patch", "layers")}
    from_table(card["architecture"], table, path.name)


def read_network(path: Path) -> None:
    """Read a network with its weights."""
    import tensorflow as tf

    from cellquilt.pixelcnn import network

    try:
        network.load(path)
    finally:
        tf.keras.utils.clear_session(free_memory=False)  # Keras keeps what it builds


def read_network_with_card(path: Path) -> None:
    """Read a network's card, and its SavedModel as data, as NETWORK does before it loads it."""
    from cellquilt.networks import saved_network

    with chdir(path.parent), saved_network.opened(path) as (folder, said):
        with suppress(DataError):
            card_of(said, path.name)
        saved_network.refuse_code(folder, path.name)


def read_json_card(path: Path) -> None:
    """Read the card of a network."""
    card_of(read_card_of_network(path, path.name), path.name)


def read_nuclei_card(path: Path) -> None:
    """Read the card of a network for nuclei, without TensorFlow."""
    unet_card.read_card(path)


def read_nuclei(path: Path) -> None:
    """Read a network for nuclei with its weights."""
    import tensorflow as tf

    from cellquilt.unet import network

    try:
        network.load(path)
    finally:
        tf.keras.utils.clear_session(free_memory=False)


def read_architectures(path: Path) -> None:
    """Read a user's architectures."""
    architectures.load(["reference"], path)


def read_facts(path: Path) -> None:
    """Read INGEST's facts and STITCH's provenance as REPAIR and QUANTIFY do."""
    for read in (step_files.read_provenance, step_files.read_facts):
        with suppress(DataError):
            read(path)
    step_files.read_facts(path, needs_image=True)


def read_tables(path: Path) -> None:
    """Read tables that are handed to REPAIR and QUANTIFY."""
    for read in (step_files.read_uncertified, step_files.read_patch_flags):
        with suppress(DataError):
            read(path)
    step_files.read_matches(path)


def read_cells(path: Path) -> None:
    """Read a table of cells, with sound masks, as EXPORT and DRAW do."""
    with suppress(DataError):
        for marker in cell_table.read_markers(path):
            if marker["means"]:
                bars(marker["means"]), places(marker["means"])
    masks = {name: path.with_name(f"{name}.ome.tif") for name in seeds.MASKS}
    for which in cell_table.WHICH:
        with cell_table.open_cells(path, masks, which) as cells:
            for compartment in cells.compartments:
                cells.means(compartment)
            for labels in cells.masks.values():
                labels.read(0, labels.shape[0])


def read_store(path: Path) -> None:
    """Read a slide's normalised store, as PATCH and TRAIN do."""
    with stores.read(path) as slide:
        if "facts" in slide.attrs:
            facts = slide.attrs["facts"]
            Grid(facts["image"]["height"], facts["image"]["width"], facts["image_mpp"])
        for _, array in slide.members(max_depth=None):
            if isinstance(array, zarr.Array):
                array[tuple(slice(min(side, 64)) for side in array.shape)]


def read_archive(path: Path) -> None:
    """Unpack Mesmer's weights."""
    saved_model._extract(path, path.parent / "unpacked")


def read_model(path: Path) -> None:
    """Unpack a prepared network, as SEGMENT does."""
    with model_archive.unpacked(path):
        pass


XML_WORDS = (
    *("Channel", "TiffData", "Pixels", "Image", "UUID", "Plane", "BinaryOnly", "Instrument"),
    *("DimensionOrder", "XYZCT", "XYCTZ", "SizeC", "SizeZ", "SizeT", "FirstC", "IFD", "PlaneCount"),
    *("PhysicalSizeX", "PhysicalSizeXUnit", "SamplesPerPixel", "FileName", "Type", "uint16", "bit"),
    *("pixel", "nm", "reference frame", "Channel:0", "urn:uuid:", "&lt;", "&a;", "<![CDATA["),
    *("-->", '<!DOCTYPE a [<!ENTITY b "c">]>', '<?xml encoding="UTF-16"?>', "xmlns:a"),
    *("ImageJ=1.54", "images=3", "channels=2", "slices=3", "frames=4", "hyperstack=true"),
)
XML = text_mutator(r"<[^<>]*>|\s\w+=\"[^\"]*\"", XML_WORDS)
YAML = text_mutator(
    r"[^\n]*\n",
    ("patch", "layers", "conv", "pool", "dense", "filters", "!!python/object:os.system", "&x", "*x")
    + ("? ", "- ", "{", "[", ": ", "<<", "!!binary", "0x10", "0o7", "1e3", "~", "2001-01-01"),
)
CSV = text_mutator(
    r"[^\n]*\n",
    ("label", "cell_label", "status", "matched", "compartment", "1.0", "1e5", '"', ",", "True"),
)
TIFF = tiff_mutator(XML)
JSON_MEMBERS = {".json": json_mutator}
ZARR_MEMBERS = JSON_MEMBERS | {".zattrs": json_mutator, ".zarray": json_mutator}

READERS = {
    "slide": Reader(read_slide, seeds.slides, TIFF, "slide.ome.tif"),
    "zarr": Reader(read_slide, seeds.zarrs, zip_mutator(ZARR_MEMBERS), "slide.zip"),
    "channel-set": Reader(
        read_channel_set, seeds.one_channel_files, TIFF, "b.tif", seeds.write_channel
    ),
    "member": Reader(read_slide, seeds.members, TIFF, "set_C0.ome.tif", seeds.write_members),
    "companion": Reader(
        read_slide, seeds.companions, XML, "set.companion.ome", seeds.write_members
    ),
    "labels": Reader(read_labels, seeds.label_images, TIFF, "cell.ome.tif"),
    "outlines": Reader(read_outlines, seeds.regions, json_mutator, "cells.geojson"),
    "regions": Reader(read_roi, seeds.regions, json_mutator, "roi.geojson"),
    "ome-xml": Reader(read_ome_xml, seeds.xmls, XML, "slide.ome.tif"),
    "card": Reader(read_card, seeds.cards, zip_mutator(JSON_MEMBERS), "net.keras"),
    "network": Reader(read_network, seeds.small_networks, zip_mutator(JSON_MEMBERS), "net.keras"),
    "json-card": Reader(read_json_card, seeds.json_cards, json_mutator, "card.json"),
    "saved-network": Reader(
        read_network_with_card, seeds.saved_networks, zip_mutator(JSON_MEMBERS), "net.zip"
    ),
    "nuclei-card": Reader(
        read_nuclei_card, seeds.nuclei_cards, zip_mutator(JSON_MEMBERS), "net.keras"
    ),
    "nuclei": Reader(read_nuclei, seeds.small_nuclei, zip_mutator(JSON_MEMBERS), "net.keras"),
    "architectures": Reader(read_architectures, seeds.tables_of_layers, YAML, "layers.yaml"),
    "facts": Reader(read_facts, seeds.facts, json_mutator, "sample.json"),
    "tables": Reader(read_tables, seeds.csvs, CSV, "matches.csv"),
    "cells": Reader(
        read_cells, seeds.parquets, parquet_mutator, "cells.parquet", seeds.write_masks
    ),
    "store": Reader(read_store, seeds.normalised, zip_mutator(JSON_MEMBERS), "normalised.zip"),
    "archive": Reader(read_archive, seeds.archives, tar_mutator, "weights.tar.gz"),
    "model": Reader(read_model, seeds.models, zip_mutator(JSON_MEMBERS), "mesmer.zip"),
}
