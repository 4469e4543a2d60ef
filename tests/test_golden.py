"""Every golden file reads as the table it was made from: in full, by ranges, by row numbers, by columns."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from golden_index import golden_files, is_any_field, select
from lancelet.testing import assert_tables_equal
from tiers import sample_or_full

if TYPE_CHECKING:
    from golden_index import GoldenFile

VERSIONS = ("2.1", "2.2")
FILES = select(VERSIONS, is_any_field)

BATCH_SIZES = (7, 1000, 1024, 100_000)
MOST_BATCHES = 1000


def rng_for(name: str) -> np.random.Generator:
    """Return a generator seeded by a name: the same rows in every run."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def ranges(num_rows: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (start, num_rows): the edges, the neighbourhood of chunk borders, and some drawn ones."""
    starts = {0, max(0, num_rows - 1), min(1023, num_rows), min(1024, num_rows), num_rows // 3}
    fixed = [(start, min(length, num_rows - start)) for start in sorted(starts) for length in (1, 2, 300)]
    cuts = np.sort(rng.integers(0, num_rows + 1, size=(3, 2)), axis=1)
    return [part for part in dict.fromkeys(fixed) if part[1] > 0] + [
        (int(start), int(stop - start)) for start, stop in cuts if stop > start
    ]


def takes(num_rows: int, rng: np.random.Generator) -> list[list[int]]:
    """Return lists of row numbers: single, both ends, sorted, unsorted, repeated, dense."""
    if num_rows == 0:
        return []
    some = rng.integers(0, num_rows, size=min(num_rows, 40))
    dense = np.arange(num_rows)[max(0, num_rows // 2 - 50) : num_rows // 2 + 50]
    lists = [[0], [num_rows - 1], [num_rows - 1, 0], np.unique(some), some, np.repeat(some[:5], 3), dense]
    lists += rng.integers(0, num_rows, size=(sample_or_full(3, 300), 1)).tolist()
    return [[int(row) for row in rows] for rows in lists]


def check_file(file: GoldenFile, columns: list[str] | None = None) -> None:
    """Compare a file, or some columns of it, with the expected table in every way of reading."""
    expected = file.expected() if columns is None else file.expected().select(columns)
    reader = lancelet.FileReader(str(file.path), columns=columns)
    assert reader.num_rows == expected.num_rows
    check_full(reader, expected)
    rng = rng_for(file.name)
    for start, num_rows in ranges(expected.num_rows, rng):
        assert_tables_equal(reader.read_range(start, num_rows).to_table(), expected.slice(start, num_rows))
    for rows in takes(expected.num_rows, rng):
        assert_tables_equal(reader.take_rows(rows).to_table(), expected.take(rows))


def check_full(reader: lancelet.FileReader, expected: pa.Table) -> None:
    """Compare the whole file, read as one table and in batches of several sizes."""
    assert_tables_equal(reader.read_all().to_table(), expected, metadata=True)
    for batch_size in (size for size in BATCH_SIZES if expected.num_rows <= size * MOST_BATCHES):
        batches = list(reader.read_all(batch_size=batch_size).to_batches())
        assert all(0 < batch.num_rows <= batch_size for batch in batches)
        table = pa.Table.from_batches(batches, reader.schema)
        assert_tables_equal(table, expected)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES])
def test_file(file: GoldenFile) -> None:
    check_file(file)


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES[::7]])
def test_single_columns_and_bytes(file: GoldenFile) -> None:
    expected = file.expected()
    data = file.path.read_bytes()
    for name in reversed(expected.column_names):
        assert_tables_equal(
            lancelet.FileReader(data, columns=[name]).read_all().to_table(), expected.select([name])
        )


def test_every_usable_file_is_known() -> None:
    names = [file.name for file in golden_files()]
    assert len(names) == len(set(names))
    assert all(file.path.is_file() and file.expected_path.is_file() for file in golden_files())
