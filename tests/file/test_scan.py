"""Streams and tables: windows, batches, worker threads, memory in flight."""

from __future__ import annotations

import gc
import os
import threading
import time
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lancelet
from lancelet import FileReader, FormatError, OptionError
from lancelet.file import scan
from lancelet.testing import assert_tables_equal

NUM_ROWS = 3000
BLOB = {"lance-encoding:blob": "true"}


@cache
def many_types(version: str) -> pa.Table:
    rng = np.random.default_rng(7)
    numbers = [None if i % 13 == 0 else i for i in range(NUM_ROWS)]
    words = pa.array(rng.integers(0, 20, NUM_ROWS)).cast(pa.string())
    lists = [None if i % 11 == 0 else list(range(i % 5)) for i in range(NUM_ROWS)]
    points = [{"x": i, "y": None if i % 3 else str(i)} for i in range(NUM_ROWS)]
    columns = {
        "n": pa.array(numbers, pa.int32()),
        "x": rng.random(NUM_ROWS),
        "flag": pa.array([i % 3 == 0 for i in range(NUM_ROWS)]),
        "text": pa.array([f"text {i}" * (i % 7) for i in range(NUM_ROWS)]),
        "list": pa.array(lists, pa.list_(pa.int16())),
        "point": pa.array(points),
        "vector": pa.array(rng.random((NUM_ROWS, 3)).tolist(), pa.list_(pa.float32(), 3)),
        "category": words.dictionary_encode(),
    }
    if version == "2.0":
        del columns["point"], columns["category"]
    fields = [
        pa.field(name, column.type if isinstance(column, pa.Array) else pa.float64())
        for name, column in columns.items()
    ]
    if version != "2.0":
        fields.append(pa.field("blob", pa.large_binary(), metadata=BLOB))
        columns["blob"] = pa.array(
            [None if i % 9 == 0 else b"b" * (i % 50) for i in range(NUM_ROWS)], pa.large_binary()
        )
    return pa.table(list(columns.values()), schema=pa.schema(fields))


@cache
def encoded(version: str) -> bytes:
    sink = lancelet.storage.memory.MemorySink()
    with lancelet.FileWriter(sink, version=version, data_cache_bytes=0, max_page_bytes=4096) as writer:
        for batch in many_types(version).to_batches(max_chunksize=700):
            writer.write_batch(batch)
    return bytes(sink.getbuffer())


@pytest.fixture
def on_threads(monkeypatch):
    """Hand everything to worker threads, and have several windows."""
    monkeypatch.setenv("LANCELET_THREADS", "3")
    monkeypatch.setattr(scan, "_INLINE_BYTES", 0)
    monkeypatch.setattr(scan, "_TASK_BYTES", 10_000)


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lancelet")]


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
@pytest.mark.parametrize("views", [True, False])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_batches_are_slices_of_the_table(version, views, data):
    start = data.draw(st.integers(0, NUM_ROWS), "start")
    num_rows = data.draw(st.integers(0, NUM_ROWS - start), "rows")
    size = data.draw(st.one_of(st.integers(1, 50), st.integers(1, NUM_ROWS + 1)), "batch")
    most = data.draw(st.sampled_from([0, 1000, 100_000, 32 << 20]), "bytes in flight")
    ahead = data.draw(st.sampled_from([None, 0, 1, 5]), "batches ahead")
    source = lancelet.storage.memory.MemorySource(encoded(version))
    source.gives_views = views
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANCELET_THREADS", str(data.draw(st.integers(1, 3), "threads")))
        patch.setattr(scan, "_INLINE_BYTES", data.draw(st.sampled_from([0, 1 << 20]), "inline"))
        patch.setattr(scan, "_TASK_BYTES", 10_000)
        reader = FileReader(source)
        result = reader.read_range(
            start, num_rows, batch_size=size, max_bytes_in_flight=most, batch_readahead=ahead
        )
        batches = list(result.to_batches())
        table = result.to_table()
    expected = many_types(version).slice(start, num_rows)
    assert [batch.num_rows for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert 0 < batches[-1].num_rows <= size if num_rows else not batches
    for batch in batches:
        batch.validate(full=True)
    assert_tables_equal(pa.Table.from_batches(batches, table.schema), expected)
    assert_tables_equal(table, expected)


@pytest.mark.parametrize("value_bytes", [1 << 20, 5 << 20])
def test_tables_of_large_values_in_mini_block_pages(value_bytes, on_threads, monkeypatch):
    monkeypatch.setattr(scan, "_TASK_BYTES", 4 << 20)
    values = [bytes([i]) * value_bytes for i in range(3)]
    table = pa.table({"a": pa.array(values), "n": pa.array(range(3))})
    sink = lancelet.storage.memory.MemorySink()
    wish = lancelet.ColumnOptions(structural_encoding="miniblock", compression="none", dict_max_bytes=0)
    with lancelet.FileWriter(sink, columns={"a": wish}) as writer:
        writer.write_table(table)
    reader = FileReader(sink.getbuffer())
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(pa.Table.from_batches(reader.read_all().to_batches()), table)


@pytest.mark.parametrize("version", ["2.0", "2.2"])
def test_sizes_of_batches_are_found(version, on_threads):
    batches = list(FileReader(encoded(version)).read_all())
    assert_tables_equal(pa.Table.from_batches(batches), many_types(version))


@pytest.mark.parametrize("version", ["2.0", "2.2"])
def test_sorted_takes_are_streamed(version, on_threads):
    rows = np.unique(np.random.default_rng(3).integers(0, NUM_ROWS, 800))
    result = FileReader(encoded(version)).take_rows(rows, batch_size=30)
    batches = list(result)
    assert [batch.num_rows for batch in batches[:-1]] == [30] * (len(batches) - 1)
    expected = many_types(version).take(rows)
    assert_tables_equal(pa.Table.from_batches(batches), expected)
    assert_tables_equal(result.to_table(), expected)


def test_no_thread_is_left(on_threads):
    reader = FileReader(encoded("2.2"))
    result = reader.read_all(batch_size=100)
    list(result)
    result.to_table()
    assert not workers()
    batches = result.to_batches()
    next(batches)
    assert workers()
    batches.close()
    assert not workers()
    batches = result.to_batches()
    next(batches)
    del batches
    gc.collect()
    assert not workers()


def test_iterators_in_cycles_are_collected_wherever_that_happens(on_threads):
    reader = FileReader(encoded("2.2"))
    for _ in range(30):
        loop = [reader.read_all(batch_size=100).to_batches()]
        next(loop[0])
        loop.append(loop)
        del loop
        reader.read_all().to_table()
    gc.collect()
    stop = time.monotonic() + 30
    while workers() and time.monotonic() < stop:  # a worker that collects does not wait for itself
        time.sleep(0.01)
    assert not workers()


def test_an_iterator_may_change_threads(on_threads):
    batches = FileReader(encoded("2.2")).read_all(batch_size=100).to_batches()
    found = [next(batches)]
    thread = threading.Thread(target=lambda: found.extend(batches))
    thread.start()
    thread.join(60)
    assert_tables_equal(pa.Table.from_batches(found), many_types("2.2"))
    assert not workers()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on(on_threads):
    batches = FileReader(encoded("2.2")).read_all(batch_size=100).to_batches()
    found = [next(batches)]
    child = os.fork()
    if child == 0:
        try:
            found += batches
            os._exit(0 if pa.Table.from_batches(found).equals(many_types("2.2")) else 3)
        finally:
            os._exit(4)
    found += batches
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert_tables_equal(pa.Table.from_batches(found), many_types("2.2"))


def flat_file(tmp_path, num_rows=400_000):
    """Return a file of columns that cannot be viewed."""
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.integers(0, 1000, num_rows) for i in range(8)})
    path = tmp_path / "flat.lance"
    with lancelet.FileWriter(path) as writer:
        writer.write_table(table)
    return path, table


@pytest.mark.parametrize("limit", [1 << 20, 8 << 20])
def test_memory_in_flight_is_bounded(tmp_path, limit, monkeypatch):
    path, table = flat_file(tmp_path)
    monkeypatch.setenv("LANCELET_THREADS", "4")
    list(FileReader(path).read_all(batch_size=1000))
    before, most, num_rows = pa.total_allocated_bytes(), 0, 0
    for batch in FileReader(path).read_all(batch_size=1000, max_bytes_in_flight=limit):
        most = max(most, pa.total_allocated_bytes() - before)
        num_rows += batch.num_rows
    assert num_rows == table.num_rows
    assert limit / 8 < most < 1.5 * limit


def test_a_slow_user_has_few_batches_ahead(tmp_path, monkeypatch):
    path, _ = flat_file(tmp_path)
    read = []
    monkeypatch.setattr(
        scan, "_read", lambda group, rows, meter: read.append(rows) or group.read(rows, meter.start())
    )
    monkeypatch.setenv("LANCELET_THREADS", "1")
    batches = FileReader(path).read_all(batch_size=1000, batch_readahead=4).to_batches()
    for number, _ in enumerate(batches, 1):
        assert sum(rows.num_rows for rows in read) <= (number + 4) * 1000


def damaged(path, columns_and_pages, target):
    """Return a copy of a file with damaged chunk words in some pages."""
    data = bytearray(path.read_bytes())
    metadata = FileReader(path).metadata()
    for column, page in columns_and_pages:
        position, size = metadata[column].pages[page].buffers[0]
        data[position : position + size] = b"\xff" * size
    target.write_bytes(data)
    return target


def test_the_first_error_in_order_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_INLINE_BYTES", 0)
    path, found = tmp_path / "a.lance", set()
    table = flat_file(tmp_path, 20_000)[1]
    with lancelet.FileWriter(path, data_cache_bytes=0, max_page_bytes=2000) as writer:
        for batch in table.to_batches(max_chunksize=2000):
            writer.write_batch(batch)
    assert len(FileReader(path).metadata()[0].pages) > 8
    reader = FileReader(damaged(path, [(6, 3), (2, 4), (4, 3), (1, 7)], tmp_path / "b.lance"))

    def count(batches):
        for batch in batches:
            counts.append(batch.num_rows)

    for threads in ("1", "2", "5") * 3:
        monkeypatch.setenv("LANCELET_THREADS", threads)
        counts = []
        with pytest.raises(FormatError) as caught:
            count(reader.read_all(batch_size=500))
        found.add((caught.value.place["column"], caught.value.place["page"], sum(counts)))
        assert not workers()
        with pytest.raises(FormatError) as caught:
            reader.read_all().to_table()
        assert (caught.value.place["column"], caught.value.place["page"]) == (1, 7)
        assert not workers()
    assert len(found) == 1


def test_the_limit_of_a_table_counts_all_threads(tmp_path, monkeypatch):
    path, table = flat_file(tmp_path)
    monkeypatch.setenv("LANCELET_THREADS", "4")
    result = FileReader(path).read_all()
    with pytest.raises(OptionError, match="max_result_bytes"):
        result.to_table(max_result_bytes=table.nbytes // 2)
    assert result.to_table(max_result_bytes=2 * table.nbytes).equals(table)
    assert not workers()


@pytest.mark.parametrize("name", ["max_bytes_in_flight", "batch_readahead"])
@pytest.mark.parametrize("value", [-1, 1.5, "3", True])
def test_limits_that_are_none(name, value):
    with pytest.raises(OptionError, match=name):
        FileReader(encoded("2.2")).read_all(**{name: value})
