"""Mutations of Parquet files: types and contents of columns, and metadata."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq

from cellquilt.cells.cell_table import FACTS, MARKERS

from .mutators import TEXTS, Mutate, json_mutator, number

_KINDS = (pa.int64(), pa.int32(), pa.float64(), pa.string(), pa.bool_(), pa.binary(), pa.null())
_KINDS += (pa.uint64(), pa.timestamp("ns"), pa.decimal128(20, 2), pa.date32())


def parquet_mutator(data: bytes, rng: random.Random, mutate: Mutate) -> bytes:
    """Change a column, the facts, or bytes without knowing what they are."""
    if rng.random() < 0.4:
        return mutate(data)
    try:
        table = pq.read_table(io.BytesIO(data), use_threads=False)
        if table.nbytes > 1 << 16:
            return mutate(data)
        changed = _changed(table, rng, mutate)
        stream = io.BytesIO()
        pq.write_table(changed, stream, compression=rng.choice(("none", "zstd", "snappy")))
    except (OSError, ValueError, TypeError, OverflowError, pa.ArrowException):
        return mutate(data)
    return stream.getvalue()


def _changed(table: pa.Table, rng: random.Random, mutate: Mutate) -> pa.Table:
    metadata = table.schema.metadata or {}
    if rng.random() < 0.5:
        key = MARKERS if MARKERS in metadata and rng.random() < 0.3 else FACTS
        changed = json_mutator(metadata.get(key, b"{}"), rng, mutate)
        return table.replace_schema_metadata(metadata | {key: changed})
    if not table.num_columns:
        return table.append_column("cell_id", pa.array([None] * table.num_rows, pa.int64()))
    at, names = rng.randrange(table.num_columns), table.column_names
    column, what = table.column(at), rng.randrange(5)
    if what == 0:
        return table.remove_column(at)
    if what == 1:
        names[at] = rng.choice((*TEXTS, *names))
        return table.rename_columns(names)
    if what == 2:
        return table.set_column(at, names[at], column.cast(rng.choice(_KINDS), safe=False))
    if what == 3:
        rows = [rng.randrange(max(table.num_rows, 1)) for _ in range(rng.choice((0, 1, 3, 9)))]
        return table.take(rows)
    values = column.to_pylist() or [None]
    values[rng.randrange(len(values))] = rng.choice((None, number(rng), -1, 0, *values))
    return table.set_column(at, names[at], pa.array(values[: table.num_rows]))
