"""Running the network over the lattice tiles of a task and blending them into raw maps."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import zarr

from .. import provenance
from ..cli import Progress
from ..handoff import stores
from ..mesmer.saved_model import OUTPUT_CHANNELS
from ..tiling.lattice import STRIDE, TILE, Blender
from ..tiling.tasks import lattice_of
from .precision_check import GATE_TILES, MAX_MAP_DIFFERENCE, map_difference
from .tile_network import TileNetwork

INTERIOR = {
    compartment: OUTPUT_CHANNELS.index(f"{compartment} interior")
    for compartment in ("whole-cell", "nuclear")
}


type Codes = tuple[int, int]  # of a constant tile, nuclear first


def segment(
    pixels: Path,
    network: TileNetwork,
    device: str,
    card: dict,
    maps: Path,
    max_map_difference: float = MAX_MAP_DIFFERENCE,
) -> None:
    """Write the blended maps of one task.

    Parameters
    ----------
    pixels : Path
        A task's store, as PATCH wrote it.
    network : TileNetwork
    device : str
        What it runs on, for the provenance.
    card : dict
        What the SavedModel is, for the provenance.
    maps : Path
        Store to write: ``maps`` (4, h, w) float32 over the padded lattice that the task's tiles
        span, channels in the order of `mesmer.OUTPUT_CHANNELS`, 0 where no tile was computed.
        Its attribute ``blank_interior_max`` has, by compartment, the largest interior value that
        the network gives for the constant tiles which PATCH skipped, 0 without any.
    max_map_difference : float
        See `gate.map_difference`.
    """
    with stores.read(pixels) as task:
        attributes = dict(task.attrs)
        tile_rows, tile_cols = range(*attributes["tile_rows"]), range(*attributes["tile_cols"])
        tiles = [tuple(tile) for tile in attributes["tiles"]]
        corner = tile_rows.start, tile_cols.start
        lut = task["lut"][:]
        some = tiles[:: -(-len(tiles) // GATE_TILES)]
        sample = (pixels for _, pixels in _read_tiles(task["codes"], lut, some, *corner))
        difference = map_difference(network, sample, max_map_difference)
        blanks = _run_blanks(attributes.get("blank_codes", []), lut, network)
        attributes["blank_interior_max"] = {
            compartment: max((float(m[..., channel].max()) for m in blanks.values()), default=0.0)
            for compartment, channel in INTERIOR.items()
        }
        attributes["segmenter"] = "mesmer"
        attributes["model"] = card
        step = provenance.of_step(
            "SEGMENT",
            device=device,
            batch_size=network.batch_size,
            precision=network.mode.precision,
            xla=network.mode.xla,
            map_difference=difference,
            max_map_difference=None if difference is None else max_map_difference,
        )
        attributes["provenance"] = [*attributes["provenance"], step]
        blender = Blender(lattice_of(attributes), tile_rows, tile_cols, len(OUTPUT_CHANNELS))
        progress = Progress("segment: tiles", len(tiles))
        with stores.create(maps, attributes) as result:
            shape = (len(OUTPUT_CHANNELS), blender.height, blender.width)
            chunks = (1, STRIDE, stores.CHUNK)
            array = stores.new_array(result, "maps", shape, "float32", chunks)
            row = tile_rows.start
            read = _read_tiles(task["codes"], lut, tiles, *corner)
            outputs = run_distinct(read, network, blanks)
            for (tile_row, tile_col), output in zip(tiles, outputs, strict=True):
                while row < tile_row:
                    _flush(blender, array)
                    row += 1
                blender.add(tile_row, tile_col, output)
                progress.add(pixels=STRIDE * STRIDE)
            _flush(blender, array)


def run_distinct(
    tiles: Iterable[tuple[Codes | None, np.ndarray]],
    network: TileNetwork,
    known: dict[Codes, np.ndarray],
) -> Iterator[np.ndarray]:
    """Yield the maps of each tile, in order, running each kind of constant tile once.

    Parameters
    ----------
    tiles : iterable of (codes or None, (h, w, c) ndarray of float32)
        Tiles, with the codes of those that are constant.
    network : TileNetwork
        A tile's maps do not depend on its batch, so those of an equal tile are the same.
    known : dict
        Maps of constant tiles that were computed before; grows.

    Yields
    ------
    (h, w, n) ndarray of float32
    """
    order: deque[tuple[Codes | None, bool]] = deque()  # of what was read and not yet given back
    seen = set(known)

    def distinct() -> Iterator[np.ndarray]:
        for codes, pixels in tiles:
            order.append((codes, codes in seen))
            if codes not in seen:
                if codes is not None:
                    seen.add(codes)
                yield pixels

    def repeated() -> Iterator[np.ndarray]:
        while order and order[0][1]:
            yield known[order.popleft()[0]]

    for output in network.run(distinct()):
        yield from repeated()
        codes, _ = order.popleft()
        if codes is not None:
            known[codes] = output
        yield output
    yield from repeated()


def _run_blanks(codes: list, lut: np.ndarray, network: TileNetwork) -> dict[Codes, np.ndarray]:
    """Return the (256, 256, 4) maps of constant tiles, by their codes."""
    kinds = [tuple(pair) for pair in codes]
    tiles = (np.full((TILE, TILE, 2), lut[[0, 1], pair], np.float32) for pair in kinds)
    return dict(zip(kinds, network.run(tiles), strict=True))


def _read_tiles(
    codes: zarr.Array,
    lut: np.ndarray,
    tiles: list[tuple[int, int]],
    first_row: int,
    first_col: int,
) -> Iterator[tuple[Codes | None, np.ndarray]]:
    """Yield tile by tile its codes, where it is constant, and the network's (256, 256, 2) input."""
    band_row, band = None, None
    for row, col in tiles:
        if row != band_row:
            top = (row - first_row) * STRIDE
            band_row, band = row, codes[:, top : top + TILE]
        left = (col - first_col) * STRIDE
        tile = band[:, :, left : left + TILE]
        corner = tile[:, 0, 0]
        constant = (tile == corner[:, None, None]).all()
        pixels = np.stack([table[part] for table, part in zip(lut, tile, strict=True)], axis=-1)
        yield (int(corner[0]), int(corner[1])) if constant else None, pixels


def _flush(blender: Blender, array: zarr.Array) -> None:
    start, rows = blender.flush()
    array[:, start : start + len(rows)] = np.moveaxis(rows, -1, 0)
