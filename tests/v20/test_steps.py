"""Reads go in few steps, all columns together, and take only the bytes that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import FormatError
from lancelet.pages.base import ByteRange, RowRanges
from lancelet.storage.memory import MemorySource
from lancelet.testing import assert_tables_equal
from lancelet.v20.ends import decode_ends, encode_ends, stored_rows
from lancelet.v20.fetch import run, together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lancelet.v20.fetch import Fetch


class CountingSource(MemorySource):
    """Counts requests and their bytes, as if every read had its price."""

    gives_views = False
    requests = 0
    num_bytes = 0

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        self.requests += 1
        self.num_bytes += sum(size for _, size in ranges)
        return super().read_ranges(ranges)


NUM_ROWS = 50_000
TEXT = [f"value {i} of many" for i in range(NUM_ROWS)]
TABLE = pa.table(
    {
        "number": np.arange(NUM_ROWS),
        "text": TEXT,
        "flag": pa.array([i % 3 == 0 if i % 7 else None for i in range(NUM_ROWS)]),
        "lists": pa.array([[TEXT[i][:5]] * (i % 4) if i % 5 else None for i in range(NUM_ROWS)]),
        "packed": pa.array([{"a": i, "b": 1.0} for i in range(NUM_ROWS)]),
    }
).cast(
    pa.schema(
        [
            pa.field("number", pa.int64()),
            pa.field("text", pa.string()),
            pa.field("flag", pa.bool_()),
            pa.field("lists", pa.list_(pa.string())),
            pa.field(
                "packed",
                pa.struct([("a", pa.int64()), ("b", pa.float64())]),
                metadata={"lance-encoding:packed": "true"},
            ),
        ]
    )
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> CountingSource:
    path = tmp_path_factory.mktemp("steps") / "file.lance"
    with lancelet.FileWriter(str(path), TABLE.schema, version="2.0", max_page_bytes=100_000) as writer:
        writer.write_table(TABLE)
    return CountingSource(path.read_bytes())


@pytest.mark.parametrize(
    ("rows", "most_bytes"),
    [([12_346], 300), ([7, 25_000, 25_001, 49_999], 1200), ([*range(0, 50_000, 997)], 12_000)],
)
def test_takes_read_little(source: CountingSource, rows: list[int], most_bytes: int) -> None:
    reader = lancelet.FileReader(source)
    source.requests = source.num_bytes = 0
    assert_tables_equal(reader.take_rows(rows).to_table(), TABLE.take(rows))
    assert source.requests == 3  # offsets and indices; indices of items, and bytes; bytes of items
    assert source.num_bytes <= most_bytes


def test_scans_read_each_byte_once(source: CountingSource) -> None:
    reader = lancelet.FileReader(source)
    source.requests = source.num_bytes = 0
    assert_tables_equal(reader.read_all().to_table(), TABLE)
    assert source.requests == 6  # the steps of two windows
    assert source.num_bytes <= source.size()


def test_fetches_run_together() -> None:
    def fetch(name: int, steps: int) -> Fetch[list[bytes]]:
        parts: list[bytes] = []
        for step in range(steps):
            parts += [bytes(part) for part in (yield [ByteRange(10 * name + step, 1)] * (name + 1))]
        return parts

    source = CountingSource(bytes(range(40)))
    found = run(together([fetch(0, 0), fetch(1, 3), together([fetch(2, 1), fetch(3, 2)])]), source)
    assert found == [
        [],
        [b"\x0a"] * 2 + [b"\x0b"] * 2 + [b"\x0c"] * 2,
        [[b"\x14"] * 3, [b"\x1e"] * 4 + [b"\x1f"] * 4],
    ]
    assert source.requests == 3


def test_ends() -> None:
    valid = np.array([True, False, True, True])
    stored, adjustment = encode_ends(np.array([2, 2, 2, 5]), valid)
    assert (stored.tolist(), adjustment) == ([2, 8, 2, 5], 6)
    rng = np.random.default_rng(3)
    lengths = rng.integers(0, 5, 500)
    mask = rng.random(500) < 0.8
    ends = np.cumsum(lengths)
    stored, adjustment = encode_ends(ends, mask)
    for _ in range(100):
        rows = RowRanges.from_sorted(np.unique(rng.integers(0, 500, int(rng.integers(1, 60)))))
        numbers = np.concatenate([np.arange(*pair) for pair in zip(rows.starts, rows.stops, strict=True)])
        wanted = stored_rows(rows)
        parts = [stored[start:stop] for start, stop in zip(wanted.starts, wanted.stops, strict=True)]
        found = decode_ends(np.concatenate(parts), adjustment, rows, int(ends[-1]))
        assert found.lengths.tolist() == lengths[numbers].tolist()
        found_valid = np.ones(len(numbers), bool) if found.valid is None else found.valid
        assert found_valid.tolist() == mask[numbers].tolist()
        assert found.starts.tolist() == [(ends[start - 1] if start else 0) for start in rows.starts]
        assert found.stops.tolist() == ends[rows.stops - 1].tolist()


@pytest.mark.parametrize("stored", [[5, 2], [2, 6], [1 << 63, 2], [(1 << 64) - 1, 2]])
def test_bad_ends(stored: list[int]) -> None:
    with pytest.raises(FormatError):
        decode_ends(np.array(stored, np.uint64), 100, RowRanges.single(0, 2), 5)


def test_a_compressed_page_is_decompressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    field = pa.field("x", pa.string(), metadata={"lance-encoding:compression": "zstd"})
    table = pa.table([pa.array(TEXT)], schema=pa.schema([field]))
    path = tmp_path / "file.lance"
    with lancelet.FileWriter(str(path), table.schema, version="2.0") as writer:
        writer.write_table(table)
    calls = []
    from lancelet.v20 import node

    real = node.decompress_buffer
    monkeypatch.setattr(node, "decompress_buffer", lambda *args: calls.append(1) or real(*args))
    batches = lancelet.FileReader(str(path)).read_all(batch_size=1000).to_batches()
    assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
    assert calls == [1]
