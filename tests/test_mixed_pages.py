"""Pages with and without nulls in one column, which pylance reads only when their layers are the same (structural.md 11.1)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NUM_ROWS = 32
TRIPLES = pa.list_(pa.struct([("x", pa.float64())]), 3)
TEXTS = pa.struct([("a", pa.list_(pa.binary()))])


def check(path: Path, type_: pa.DataType, batches: Sequence[list[Any]]) -> None:
    """Write one page a batch and let pylance read all of them at once, and some rows of each."""
    table = pa.table({"c": pa.chunked_array([pa.array(batch, type_) for batch in batches])})
    with lancelet.FileWriter(path, version="2.2", data_cache_bytes=1) as writer:
        writer.write_table(table)
    reader = lancelet.FileReader(path)
    assert [len(column.pages) for column in reader.metadata()] == [len(batches)]
    assert_tables_equal(reader.read_all().to_table(), table)
    rows = [0, 3, NUM_ROWS - 1, NUM_ROWS, NUM_ROWS + 3, 2 * NUM_ROWS - 1]
    read, taken = oracle("14.0.2").read(path, [("all", 1024), ("take", rows)])
    assert_tables_equal(read, table)
    assert_tables_equal(taken, table.take(rows))


def triples(has_nulls: bool) -> list[Any]:
    rows = [[{"x": float(row + place)} for place in range(3)] for row in range(NUM_ROWS)]
    return [None if has_nulls and number % 4 == 0 else row for number, row in enumerate(rows)]


@pytest.mark.parametrize("nulls", list(product([False, True], repeat=2)))
def test_fixed_size_lists_of_structs(nulls: tuple[bool, ...], tmp_path: Path) -> None:
    check(tmp_path / "c.lance", TRIPLES, [triples(has_nulls) for has_nulls in nulls])


@pytest.mark.parametrize("nulls", list(product(product([False, True], repeat=2), repeat=2)))
def test_fixed_size_lists_in_structs(nulls: tuple[tuple[bool, bool], ...], tmp_path: Path) -> None:
    batches = [
        [
            None if in_structs and number % 3 == 0 else {"f": row}
            for number, row in enumerate(triples(in_lists))
        ]
        for in_structs, in_lists in nulls
    ]
    check(tmp_path / "c.lance", pa.struct([("f", TRIPLES)]), batches)


def texts(size: int, has_nulls: bool) -> list[Any]:
    rows = [{"a": [b"%d" % place * size for place in range(1 + row % 4)]} for row in range(NUM_ROWS)]
    return [None if has_nulls and number % 3 == 0 else row for number, row in enumerate(rows)]


@pytest.mark.parametrize(
    "other", [[None] * NUM_ROWS, [{"a": None}] * NUM_ROWS, texts(1, True), texts(300, True)]
)
@pytest.mark.parametrize("lists_of", [False, True])
def test_full_zip_pages_without_nulls(other: list[Any], lists_of: bool, tmp_path: Path) -> None:
    batches = [texts(300, False), other]
    type_: pa.DataType = TEXTS
    if lists_of:
        type_, batches = pa.list_(TEXTS), [[[row, row] for row in batch] for batch in batches]
    check(tmp_path / "c.lance", type_, batches)
    check(tmp_path / "d.lance", type_, batches[::-1])
