"""The cells as the viewer shows them: outlines and rows of the table, in blocks of the slide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...cells.cell_table import Cells
from ...errors import DataError
from ...images.label_rows import Relabelled
from ...images.polygons import OutlineReader, Outlines
from ...parallel import threaded
from . import packs

BLOCK = 1024  # px, the smallest side of a block
MAX_FILES = 600  # of all blocks
AT_ONCE = 1 << 15  # cells whose outlines are in memory together
GROUPS = 4  # files that a block's columns are in: what is small, and the others by thirds
_LEVELS = (1 << 16) - 1  # of a number that is not whole, after 0 for none
_SKEWED = 4  # times the median that the largest value is of columns whose root is kept
_COLOURED = 1, 99  # percentiles between which colours change
_OF_UNITS = (("_px", "_um", 1), ("_px", "_um2", 2))  # columns that are another one in um, um²


@dataclass(frozen=True)
class _Blocks:
    """The cells by where they are: in blocks, row by row, and in each by ascending id.

    Attributes
    ----------
    order : (n,) int64
        Rows of `Cells.rows`.
    ends : (b + 1,) int64
        Where in `order` each block begins; only blocks with cells.
    """

    order: np.ndarray
    ends: np.ndarray

    def parts(self, values: np.ndarray) -> Iterator[np.ndarray]:
        """Yield of values of the cells those of each block."""
        ordered = values[self.order]
        for first, last in pairwise(self.ends.tolist()):
            yield ordered[first:last]


def write_cells(cells: Cells, folder: Path, cpus: int = 1) -> dict:
    """Write packs ``cells/<block>.js`` of outlines, and ``cells/<block>-<group>.js`` of columns.

    Memory holds the outlines of some cells, and a group of columns compressed.

    Parameters
    ----------
    cells : Cells
    folder : Path
        The viewer's.
    cpus : int

    Returns
    -------
    dict
        ``layers``, the names of the masks; ``blocks``, of each the number of cells, the first and
        the last id and the box (x0, y0, x1, y1) of the outlines; ``columns``, of which those that
        are stored have ``group`` and ``place``; ``dot``, the side of a typical cell in pixels.

    Raises
    ------
    DataError
        If the masks and the table are not of the same cells.
    """
    blocks = _blocks(cells)
    columns = _write_columns(cells, blocks, folder)
    areas = cells.rows[f"{cells.compartment}_area_px"].to_numpy(np.float64, na_value=np.nan)
    known = areas[np.isfinite(areas)]
    return {
        "layers": list(cells.masks),
        "blocks": _write_outlines(cells, blocks, folder, cpus),
        "columns": columns,
        "dot": round(float(np.sqrt(np.median(known))), 1) if known.size else 1.0,
    }


def _blocks(cells: Cells) -> _Blocks:
    height, width = cells.masks[cells.compartment].shape
    side = BLOCK
    while (1 + GROUPS) * -(-height // side) * -(-width // side) > MAX_FILES:
        side *= 2
    y, x = (
        cells.rows[f"{cells.compartment}_centroid_{axis}_px"].to_numpy(np.float64, na_value=0)
        for axis in "yx"
    )
    block = (y // side).astype(np.int64) * -(-width // side) + (x // side).astype(np.int64)
    order = np.argsort(block, kind="stable")
    begins = np.flatnonzero(np.diff(block[order], prepend=-1))
    return _Blocks(order, np.append(begins, len(order)))


def _write_outlines(cells: Cells, blocks: _Blocks, folder: Path, cpus: int) -> list[list[int]]:
    """Write the outlines, and return what the page must know of each block."""
    ids = cells.rows["cell_id"].to_numpy(np.int64)[blocks.order]
    # By new numbers, ascending from block to block, whatever the ids are
    numbers = np.arange(1, len(ids) + 1)
    masks = [Relabelled(mask, ids, numbers) for mask in cells.masks.values()]
    readers = threaded(OutlineReader, masks, cpus)
    if not np.array_equal(readers[0].labels, numbers):
        raise DataError(
            f"{cells.path}: its cells are not those of the masks; give the table and the masks of "
            "the same run."
        )
    described = []
    for together in _together(blocks.ends):
        first, last = int(together[0]) + 1, int(together[-1])
        layers = threaded(partial(OutlineReader.between, first=first, last=last), readers, cpus)
        for begin, end in pairwise(together.tolist()):
            parts = [layer.between(begin + 1, end) for layer in layers]
            corners = np.concatenate([part.points for part in parts])
            box = *corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()
            of_block = ids[begin:end]
            texts = [packs.of_integers(of_block, sums=True)]
            for part in parts:
                texts += _outline_texts(part, numbers[begin:end])
            packs.write(folder, f"cells/{len(described)}", texts)
            described.append([end - begin, *of_block[[0, -1]].tolist(), *box])
    return described


def _together(ends: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the ends of successive blocks with at most `AT_ONCE` cells, or of one."""
    first = 0
    while first < len(ends) - 1:
        last = int(np.searchsorted(ends, ends[first] + AT_ONCE, side="right")) - 1
        last = max(last, first + 1)
        yield ends[first : last + 1]
        first = last


def _outline_texts(outlines: Outlines, labels: np.ndarray) -> list[str]:
    """Return the outlines of the objects with these labels, as packed integers.

    Sides are horizontal and vertical in turn, so that their signed lengths say all; the last two
    of a ring follow from the others. Of each object there is the number of its rings (0 where it
    has no pixels); of each ring twice the number of its sides, plus 1 if the first one is
    horizontal, and the differences in x and y of its first corner to that of the ring before.
    """
    rings_before = outlines.polygons[outlines.objects]
    n_rings = np.zeros(len(labels), np.int64)
    n_rings[np.searchsorted(labels, outlines.labels)] = np.diff(rings_before)
    starts = outlines.rings[:-1]
    n_sides = np.diff(outlines.rings) - 1
    sides = np.diff(outlines.points, axis=0)
    is_side = np.ones(len(outlines.points), bool)
    for back in (1, 2, 3):  # the first leads to the next ring, the others are not kept
        is_side[outlines.rings[1:] - back] = False
    is_horizontal = sides[starts, 0] != 0
    return [
        packs.of_integers(n_rings),
        packs.of_integers(2 * n_sides + is_horizontal),
        packs.of_integers(outlines.points[starts, 0], sums=True),
        packs.of_integers(outlines.points[starts, 1], sums=True),
        packs.of_integers(sides.sum(axis=1)[is_side[:-1]], signed=True),
    ]


def _write_columns(cells: Cells, blocks: _Blocks, folder: Path) -> list[dict]:
    """Write the columns of the table but the id, and return what the page must know of each."""
    schema = pq.read_schema(cells.path)
    names = [name for name in schema.names if name != "cell_id"]
    groups = _groups(schema, names, cells)
    described = {}
    for group, members in enumerate(groups):
        parts: list[list[str]] = [[] for _ in blocks.ends[1:]]
        for name in members:
            values = pq.read_table(cells.path, columns=[name])[name].take(cells.order)
            described[name], codes, is_wide = _coded(values)
            described[name] |= {"group": group, "place": members.index(name)}
            for texts, part in zip(parts, blocks.parts(codes), strict=True):
                texts.append(packs.of_integers(part, sums=is_wide))
        for block, texts in enumerate(parts):
            packs.write(folder, f"cells/{block}-{group}", texts)
    for px, um, power in _OF_UNITS:
        for name in names:
            of = name.removesuffix(um) + px
            if name.endswith(um) and name not in described and of in described:
                described[name] = {"of": of, "factor": cells.facts["image_mpp"] ** power}
    return [{"name": name, **described[name]} for name in names]


def _groups(schema: pa.Schema, names: Sequence[str], cells: Cells) -> list[list[str]]:
    """Return the names of the columns that are stored, in `GROUPS` groups.

    In the first one is what colours all cells of a slide at once: places, flags, texts and whole
    numbers. What is another column in um is left out.
    """
    places = [f"{cells.compartment}_centroid_{axis}_px" for axis in "xy"]
    left_out = {
        name
        for name in names
        for px, um, _ in _OF_UNITS
        if name.endswith(um) and name.removesuffix(um) + px in names
    }
    stored = [name for name in names if name not in left_out]
    wide = {name for name in stored if pa.types.is_floating(schema.field(name).type)}
    small = [name for name in stored if name not in wide or name in places]
    others = [name for name in stored if name not in small]
    a_group = max(1, -(-len(others) // (GROUPS - 1)))
    return [small, *(others[k * a_group : (k + 1) * a_group] for k in range(GROUPS - 1))]


def _coded(values: pa.ChunkedArray) -> tuple[dict, np.ndarray, bool]:
    """Return what a column's codes stand for, the codes, 0 for none, and if they are many."""
    if pa.types.is_boolean(values.type):
        codes = values.cast(pa.int64()).fill_null(-1).to_numpy() + 1
        return {"kind": "flag"}, codes, False
    if pa.types.is_integer(values.type):
        return _coded_whole(values)
    if pa.types.is_floating(values.type):
        return *_coded_number(values.to_numpy().astype(np.float64)), False
    encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64) + 1
    return {"kind": "text", "texts": encoded.dictionary.to_pylist()}, codes, False


def _coded_whole(values: pa.ChunkedArray) -> tuple[dict, np.ndarray, bool]:
    missing = values.is_null().to_numpy()
    numbers = values.cast(pa.int64()).fill_null(0).to_numpy()
    known = numbers[~missing]
    low, high = (int(known.min()), int(known.max())) if known.size else (0, 0)
    codes = np.where(missing, 0, numbers - low + 1)
    coloured = np.percentile(known, _COLOURED).tolist() if known.size else [0, 1]
    is_wide = high - low >= _LEVELS
    return {"kind": "whole", "low": low, "coloured": coloured}, codes, is_wide


def _coded_number(numbers: np.ndarray) -> tuple[dict, np.ndarray]:
    known = numbers[np.isfinite(numbers)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    span = high - low or 1.0
    root = bool(known.size) and low >= 0 and high > _SKEWED * float(np.median(known))
    with np.errstate(invalid="ignore", over="ignore"):
        shares = np.clip((numbers - low) / span, 0, 1)
        codes = 1 + np.rint((np.sqrt(shares) if root else shares) * (_LEVELS - 1))
    codes = np.where(np.isfinite(numbers), codes, 0).astype(np.int64)
    coloured = np.percentile(known, _COLOURED).tolist() if known.size else [0, 1]
    said = {"kind": "number", "low": low, "span": span, "root": root, "coloured": coloured}
    return said, codes
