"""The function that reads every result: each byte once, of every type, and only what a slice uses."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.consume import Consumer, build

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 16


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    return Consumer(build(tmp_path_factory.mktemp("consume")))


def lists(count: int) -> list[list[int]]:
    return [[1] * 2 for _ in range(count)]


# Array of 16 rows, bytes of all rows, bytes of rows 8 to 12.
CASES = {
    "int64": (pa.array(range(ROWS)), 8 * ROWS, 8 * 4),
    "nulls": (pa.array([None, *range(1, ROWS)], pa.int16()), 2 * ROWS + 2, 2 * 4 + 1),
    "bool": (pa.array([True] * ROWS), 2, 1),
    "decimal": (pa.array([Decimal(1)] * ROWS, pa.decimal256(40)), 32 * ROWS, 32 * 4),
    "timestamp": (pa.array(range(ROWS), pa.timestamp("us", "UTC")), 8 * ROWS, 8 * 4),
    "date32": (pa.array(range(ROWS), pa.date32()), 4 * ROWS, 4 * 4),
    "fixed": (pa.array([b"abc"] * ROWS, pa.binary(3)), 3 * ROWS, 3 * 4),
    "string": (pa.array(["abc"] * ROWS), 4 * (ROWS + 1) + 3 * ROWS, 4 * 5 + 3 * 4),
    "large": (pa.array(["abc"] * ROWS, pa.large_string()), 8 * (ROWS + 1) + 3 * ROWS, 8 * 5 + 3 * 4),
    "short views": (pa.array(["abc"] * ROWS, pa.string_view()), 16 * ROWS, 16 * 4),
    "long views": (pa.array(["a" * 20] * ROWS, pa.string_view()), 36 * ROWS, 36 * 4),
    "list": (pa.array(lists(ROWS)), 4 * (ROWS + 1) + 16 * ROWS, 4 * 5 + 16 * 4),
    "fixed list": (pa.array(lists(ROWS), pa.list_(pa.int32(), 2)), 8 * ROWS, 8 * 4),
    "struct": (pa.array([{"a": 1, "b": "x"}] * ROWS), 8 * ROWS + 4 * (ROWS + 1) + ROWS, 8 * 4 + 4 * 5 + 4),
    "dictionary": (pa.array(["ab"] * ROWS).dictionary_encode(), 4 * ROWS + 10, 4 * 4 + 10),
    "null": (pa.nulls(ROWS), 0, 0),
}


@pytest.mark.parametrize(("array", "all_bytes", "part_bytes"), CASES.values(), ids=list(CASES))
def test_bytes_are_counted(consumer: Consumer, array: pa.Array, all_bytes: int, part_bytes: int) -> None:
    batch = pa.record_batch({"c": array})
    assert consumer.batches([batch, batch]) == (2 * ROWS, 2 * all_bytes)
    part = array.slice(8, 4)
    if part.null_count == 0 and array.null_count:
        part_bytes -= 1  # Arrow leaves the validity out
    assert consumer.batches([pa.record_batch({"c": part})]) == (4, part_bytes)


def test_slices_of_structs_and_fixed_lists(consumer: Consumer) -> None:
    array = pa.array([[{"a": 1}, {"a": 2}]] * ROWS, pa.list_(pa.struct({"a": pa.int32()}), 2))
    assert consumer.batches([pa.record_batch({"c": array}).slice(3, 5)]) == (5, 5 * 8)


def test_tables_are_read_by_chunk(consumer: Consumer) -> None:
    table = pa.table({"a": pa.chunked_array([[1, 2], [3]]), "b": ["x", "yy", "z"]})
    assert consumer.table(table) == (3, 3 * 8 + 4 * 4 + 4)


def test_arrays_are_released(consumer: Consumer) -> None:
    before = pa.total_allocated_bytes()
    consumer.batches(pa.record_batch({"c": np.arange(100_000)}) for _ in range(3))
    consumer.table(pa.table({"c": pa.array(["x"] * 100_000)}))
    assert pa.total_allocated_bytes() < before + 100_000


def test_a_type_that_is_not_known_is_refused(consumer: Consumer) -> None:
    array = pa.array([[1]], pa.list_view(pa.int64()))
    with pytest.raises(TypeError, match="list_view"):
        consumer.batches([pa.record_batch({"c": array})])


def test_the_library_is_compiled_once(tmp_path: Path) -> None:
    library = build(tmp_path)
    before = library.stat().st_mtime_ns
    assert build(tmp_path).stat().st_mtime_ns == before
