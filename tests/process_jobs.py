"""What the tests of threads and processes do with a reader; a module, so that spawned processes can import it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa

import lancelet

if TYPE_CHECKING:
    from collections.abc import Iterable

NUM_ROWS = 20_000


def make_table(num_rows: int = NUM_ROWS) -> pa.Table:
    """Return a table of many types whose values follow from their row; the same in every process."""
    rows = range(num_rows)
    return pa.table(
        {
            "id": pa.array(rows, pa.int64()),
            "small": pa.array([row % 7 if row % 5 else None for row in rows], pa.int32()),
            "text": pa.array([f"text {row * row}" if row % 11 else None for row in rows]),
            "few": pa.array([("red", "green", "blue")[row % 3] for row in rows]),
            "list": pa.array(
                [[row + item for item in range(row % 4)] if row % 13 else None for row in rows],
                pa.list_(pa.int32()),
            ),
            "vector": pa.array([[row, row + 1, row + 2] for row in rows], pa.list_(pa.float32(), 3)),
            "pair": pa.array([{"x": row, "y": row % 2 == 0} for row in rows]),
        }
    )


def write_file(path: object, version: str) -> pa.Table:
    """Write that table in several pages a column; returns it."""
    table = make_table()
    with lancelet.FileWriter(path, table.schema, version=version, data_cache_bytes=1 << 19) as writer:
        for batch in table.to_batches(max_chunksize=3000):
            writer.write_batch(batch)
    return table


def check_reader(reader: lancelet.FileReader, table: pa.Table, seed: int, num_reads: int = 6) -> int:
    """Scan, take and read ranges in an order that depends on `seed`; returns the number of reads.

    Raises
    ------
    AssertionError
        Some value is wrong.
    """
    rng = random.Random(seed)
    for _ in range(num_reads):
        columns = rng.sample(table.column_names, rng.randint(1, table.num_columns))
        expected = table.select(columns)
        kind = rng.randrange(4)
        if kind == 0:
            rows = [rng.randrange(table.num_rows) for _ in range(rng.choice([1, 10, 300]))]
            found, expected = reader.take_rows(rows, columns=columns).to_table(), expected.take(rows)
        elif kind == 1:
            start = rng.randrange(table.num_rows)
            count = rng.randrange(table.num_rows - start + 1)
            found = reader.read_range(start, count, columns=columns).to_table()
            expected = expected.slice(start, count)
        elif kind == 2:
            found = as_table(reader.read_all(columns=columns, batch_size=rng.choice([1000, 7777])), expected)
        else:
            found = reader.read_all(columns=columns).to_table()
        assert found.combine_chunks() == expected.combine_chunks(), (seed, kind, columns)
    return num_reads


def as_table(batches: Iterable[pa.RecordBatch], like: pa.Table) -> pa.Table:
    """Gather batches."""
    return pa.Table.from_batches(batches, schema=like.schema)


def read_pickled(reader: lancelet.FileReader, seed: int) -> tuple[int, str]:
    """Check a reader that came from another process; returns rows and name."""
    check_reader(reader, make_table(reader.num_rows), seed)
    return reader.num_rows, repr(reader)


def read_path(path: str, seed: int) -> int:
    """Open a file and check it."""
    with lancelet.FileReader(path) as reader:
        return check_reader(reader, make_table(reader.num_rows), seed)
