"""What a reader asks its source for."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.storage import MemoryStore, fetch
from lancelet.storage.coalesce import merge_ranges
from lancelet.storage.counting import CountingSource, CountingStore, Request
from lancelet.storage.memory import MemorySink, MemorySource

NUM_ROWS = 200_000
PAGE_ROWS = 50_000


def write(table: pa.Table, version: str) -> pa.Buffer:
    sink = MemorySink()
    with lancelet.FileWriter(sink, version=version, data_cache_bytes=0) as writer:
        for batch in table.to_batches(max_chunksize=PAGE_ROWS):
            writer.write_batch(batch)
    return sink.getbuffer()


@pytest.fixture(scope="module", params=["2.0", "2.1", "2.2"])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    return pa.table(
        {
            "a": rng.integers(0, 1 << 60, NUM_ROWS),
            "b": rng.random(NUM_ROWS),
            "c": pa.array(rng.integers(0, 1 << 40, NUM_ROWS).astype(str)),
            "d": rng.integers(0, 1 << 50, NUM_ROWS),
        }
    )


@pytest.fixture(scope="module")
def file(table, version):
    return write(table, version)


@pytest.fixture
def source(file):
    return CountingSource(MemorySource(file))


def requested(source: CountingSource) -> list[tuple[int, int]]:
    found = [(request.position, request.size) for request in source.requests]
    source.requests.clear()
    return found


def page_ranges(reader: lancelet.FileReader, *columns: str) -> list[tuple[int, int]]:
    """Buffers of all pages of some columns."""
    metadata, columns_of = reader.metadata(), reader.column_indices()
    return [
        (buffer.position, buffer.size)
        for field in reader.fields.fields
        if field.name in columns
        for page in metadata[columns_of[field.id]].pages
        for buffer in page.buffers
    ]


def covers(ranges: list[tuple[int, int]], request: tuple[int, int], slack: int) -> bool:
    """Tell whether a request lies inside of `ranges`, merged over gaps of `slack` bytes."""
    merged = merge_ranges(ranges, slack, 1 << 60).reads
    return any(start <= request[0] and request[0] + request[1] <= start + size for start, size in merged)


def test_an_open_is_one_read(source):
    with lancelet.FileReader(source) as reader:
        assert reader.num_rows == NUM_ROWS
        assert reader.schema.names == ["a", "b", "c", "d"]
        assert len(reader.metadata()) >= 4
        assert reader.file_statistics()
    (request,) = requested(source)
    assert request == (source.size() - 65536, 65536)


def test_an_open_of_a_wide_file_is_two_reads():
    wide = pa.table({f"c{number}": pa.array([number], pa.int32()) for number in range(3000)})
    source = CountingSource(MemorySource(write(wide, "2.2")))
    with lancelet.FileReader(source) as reader:
        reader.metadata()
    first, second = requested(source)
    assert second[0] + second[1] == first[0]


def test_a_projected_scan_reads_its_columns(source, table):
    with lancelet.FileReader(source, ["a", "d"]) as reader:
        requested(source)
        assert reader.read_all().to_table() == table.select(["a", "d"])
        ranges = page_ranges(reader, "a", "d")
    requests = requested(source)
    assert all(covers(ranges, request, source.gap_bytes) for request in requests)
    read = sum(size for _, size in requests)
    assert read <= sum(size for _, size in ranges) + source.gap_bytes * len(requests)


def test_a_take_of_a_row_reads_its_chunks(source, table):
    with lancelet.FileReader(source, ["a", "b"]) as reader:
        reader.take_rows([123_456]).to_table()  # what belongs to the pages is read once
        requested(source)
        assert reader.take_rows([123_460]).to_table() == table.select(["a", "b"]).take([123_460])
        ranges = page_ranges(reader, "a", "b")
    requests = requested(source)
    assert 1 <= len(requests) <= 2
    assert all(covers(ranges, request, source.gap_bytes) for request in requests)
    assert sum(size for _, size in requests) < 20_000


def test_latency_is_taken_once_a_call(file):
    source = CountingSource(MemorySource(file), latency_seconds=0.02)
    start = time.perf_counter()
    assert fetch(source, [(0, 10), (102_400, 10), (204_800, 10), (0, 0)])[3] == b""
    assert 0.02 <= time.perf_counter() - start < 0.06
    source.read(5, 0)
    assert time.perf_counter() - start < 0.06
    assert requested(source) == [(0, 10), (102_400, 10), (204_800, 10)]


def test_reads_together_are_one_request(file):
    source = CountingSource(MemorySource(file), gap_bytes=1000)
    fetch(source, [(5000, 10), (0, 10), (1010, 10)])
    assert requested(source) == [(0, 1020), (4992, 18)]
    fetch(MemorySource(file), [(0, 10), (5, 10)])


def test_requests_of_a_store(file):
    store = CountingStore(MemoryStore())
    with store.open_sink("data/a.lance") as sink:
        sink.write(file)
        sink.commit()
    store.put("x", b"12")
    with pytest.raises(FileExistsError):
        store.put_if_absent("x", b"3")
    store.delete("x")
    assert store.list("data") == ["data/a.lance"]
    with lancelet.FileReader(store.open_source("data/a.lance")) as reader:
        assert reader.num_rows == NUM_ROWS
    with lancelet.FileReader(store.open_source("data/a.lance", size=file.size)) as reader:
        assert reader.num_rows == NUM_ROWS
    tail = Request("get_range", "data/a.lance", file.size - 65536, 65536)
    assert store.requests == [
        Request("put", "data/a.lance", 0, file.size),
        Request("put", "x", 0, 2),
        Request("put_if_absent", "x", 0, 1),
        Request("delete", "x"),
        Request("list", "data"),
        Request("size", "data/a.lance"),
        tail,
        tail,
    ]


@pytest.mark.parametrize("columns", [["a", "b"], ["c"], ["a", "b", "c", "d"]])
def test_a_scan_reads_nothing_twice(source, columns, table):
    with lancelet.FileReader(source, columns) as reader:
        requested(source)
        assert reader.read_all().to_table() == table.select(columns)
    requests = sorted(requested(source))
    # heads of pages are read first, and those that are smaller than a gap are read through afterwards
    twice = [
        (first, second)
        for first, second in itertools.pairwise(requests)
        if min(first[0] + first[1], second[0] + second[1]) > second[0] + source.gap_bytes
    ]
    assert twice == []


@pytest.mark.parametrize(("start", "num_rows"), [(0, 10_000), (59_000, 12_000), (199_000, 1000)])
def test_a_range_asks_for_what_its_plan_says(source, table, start, num_rows):
    with lancelet.FileReader(source) as reader:
        result = reader.read_range(start, num_rows)
        plan = result.plan()
        requested(source)
        assert result.to_table() == table.slice(start, num_rows)
    if plan.is_complete:
        assert sorted(requested(source)) == sorted(plan.requests)
    else:
        assert len(requested(source)) >= len(plan.requests)
