"""The file reader: what can be asked for, and what comes back."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lancelet import FileReader, FileWriter, FormatError, LanceletError, OptionError

NUM_ROWS = 10_000


@pytest.fixture(scope="module")
def table():
    return pa.table(
        {
            "n": pa.array([None if i % 7 == 0 else i for i in range(NUM_ROWS)], pa.int32()),
            "s": pa.array([None if i % 11 == 0 else f"value {i}" for i in range(NUM_ROWS)]),
            "x": np.random.default_rng(1).random(NUM_ROWS),
        }
    )


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("reader") / "file.lance"
    with FileWriter(path, data_cache_bytes=60_000) as writer:
        writer.write_batches(table.to_batches(max_chunksize=1500))
    return path


def test_what_the_file_says(path, table):
    with FileReader(path) as reader:
        assert reader.num_rows == NUM_ROWS
        assert reader.schema == table.schema
        assert reader.num_columns == 3
        assert reader.num_global_buffers == 1
        assert reader.column_indices() == {0: 0, 1: 1, 2: 2}
        assert len(reader.metadata()[0].pages) > 1
        assert "10000 rows" in repr(reader)


def test_targets(path, table):
    data = path.read_bytes()
    for target in (
        path,
        str(path),
        data,
        memoryview(data),
        pa.py_buffer(data),
        io.BytesIO(data),
    ):
        assert FileReader(target).read_all().to_table().equals(table)
    with path.open("rb") as file:
        assert FileReader(file).read_all().to_table().equals(table)
    assert FileReader(path, mmap=False).read_all().to_table().equals(table)


def test_arrays_outlive_the_reader(path, table):
    with FileReader(path) as reader:
        read = reader.read_all().to_table()
    del reader
    assert read.equals(table)


@pytest.mark.parametrize("batch_size", [1, 999, 4096, NUM_ROWS, 10**9])
def test_batches_have_the_size_asked_for(path, table, batch_size):
    rows = slice(0, 50) if batch_size == 1 else slice(0, NUM_ROWS)
    result = FileReader(path).read_range(rows.start, rows.stop, batch_size=batch_size)
    batches = list(result)
    assert {batch.num_rows for batch in batches[:-1]} <= {batch_size}
    assert pa.Table.from_batches(batches).equals(table.slice(0, rows.stop))


@pytest.mark.parametrize(
    ("start", "num_rows"), [(0, 0), (0, 1), (1499, 2), (4321, 1024), (9999, 1), (10_000, 0)]
)
def test_ranges(path, table, start, num_rows):
    assert FileReader(path).read_range(start, num_rows).to_table().equals(table.slice(start, num_rows))


@pytest.mark.parametrize(
    "rows",
    [[], [0], [9999], [5, 5, 5], [9999, 0, 1500, 1499], list(range(0, NUM_ROWS, 97)), list(range(NUM_ROWS))],
)
def test_takes(path, table, rows):
    reader = FileReader(path)
    for indices in (rows, np.array(rows, dtype=np.uint32), pa.array(rows, pa.int64())):
        result = reader.take_rows(indices)
        assert result.num_rows == len(rows)
        assert result.to_table().equals(table.take(pa.array(rows, pa.int64())))
    batches = list(reader.take_rows(rows, batch_size=3))
    assert [batch.num_rows for batch in batches] == [3] * (len(rows) // 3) + [len(rows) % 3] * (
        len(rows) % 3 > 0
    )


@pytest.mark.parametrize(
    "indices",
    [[1.5], ["a"], [[1, 2]], [True], [[1], [1, 2]], [2**70], 1, "1", None, {1, 2}, pa.array([1, None])],
)
def test_takes_of_what_is_no_row(path, indices):
    with pytest.raises(OptionError, match="list of integers"):
        FileReader(path).take_rows(indices)


def test_rows_beyond_any_file(path):
    with pytest.raises(OptionError, match="row 9223372036854775807 does not exist; the file has 10000 rows"):
        FileReader(path).take_rows(np.array([2**63 + 1], dtype=np.uint64))


def test_numbers_that_are_no_numbers(path):
    reader = FileReader(path)
    for start, num_rows in ((0.5, 2), ("0", 2), (0, None)):
        with pytest.raises(OptionError, match="must be whole numbers"):
            reader.read_range(start, num_rows)
    for batch_size in (0, -1, 2.5, "3"):
        with pytest.raises(OptionError, match="it must be a whole number of at least 1"):
            reader.read_all(batch_size=batch_size)
    assert reader.read_range(np.int64(1), np.int32(2), batch_size=np.int64(1)).to_table().num_rows == 2


def test_a_refused_file_is_closed_while_its_error_lives(tmp_path):
    path = tmp_path / "odd.lance"
    path.write_bytes(b"x" * 100)
    before = list(Path("/dev/fd").iterdir())
    errors = []
    for _ in range(3):
        with pytest.raises(FormatError) as caught:
            FileReader(path, mmap=False)
        errors.append(caught)
    assert len(list(Path("/dev/fd").iterdir())) == len(before)


def test_columns(path, table):
    reader = FileReader(path, columns=["x", "n"])
    assert reader.schema.names == ["x", "n"]
    assert reader.read_all().to_table().equals(table.select(["x", "n"]))
    assert reader.read_all(columns=["n"]).to_table().equals(table.select(["n"]))
    with pytest.raises(OptionError, match="'s'"):
        reader.read_all(columns=["s"])
    with pytest.raises(OptionError, match="nn"):
        FileReader(path, columns=["nn"])
    for call in (lambda: FileReader(path, columns=[]), lambda: reader.read_all(columns=())):
        with pytest.raises(OptionError, match="at least one column is needed"):
            call()


def test_results_are_lazy_and_can_be_read_again(path, table):
    result = FileReader(path).read_all()
    assert result.to_table().equals(table)
    assert pa.table(result).equals(table)
    assert pa.RecordBatchReader.from_stream(result).read_all().equals(table)
    assert result.to_reader().read_all().equals(table)


def test_a_reader_can_be_pickled(path, table):
    copy = pickle.loads(pickle.dumps(FileReader(path, columns=["s"])))
    assert copy.read_all().to_table().equals(table.select(["s"]))


@pytest.mark.parametrize("kind", ["relative path", "bytes", "file object"])
def test_a_pickled_reader_finds_its_file(kind, path, table, monkeypatch):
    monkeypatch.chdir(path.parent)
    target = path.name if kind == "relative path" else path.read_bytes()
    data = pickle.dumps(FileReader(io.BytesIO(target) if kind == "file object" else target, mmap=False))
    monkeypatch.chdir("/")
    assert pickle.loads(data).read_all().to_table().equals(table)


def test_the_result_is_bounded(path):
    result = FileReader(path).read_all()
    with pytest.raises(OptionError, match="max_result_bytes = 1000"):
        result.to_table(max_result_bytes=1000)


def test_errors_say_where(path, tmp_path):
    data = bytearray(path.read_bytes())
    metadata = FileReader(path).metadata()[1]
    position, size = metadata.pages[1].buffers[0]
    data[position : position + size] = b"\xff" * size
    damaged = tmp_path / "damaged.lance"
    damaged.write_bytes(data)
    reader = FileReader(damaged)
    with pytest.raises(FormatError) as caught:
        reader.read_all().to_table()
    assert caught.value.place["path"] == str(damaged)
    assert caught.value.place["column"] == 1
    assert caught.value.place["page"] == 1
    assert reader.read_all(columns=["n", "x"]).to_table().num_rows == NUM_ROWS


def test_batches_of_wide_values_are_small(tmp_path):
    path, rng = tmp_path / "wide.lance", np.random.default_rng(5)
    values = [rng.bytes(300_000) for _ in range(80)]
    with FileWriter(path) as writer:
        writer.write_table(pa.table({"s": values}))
    batches = list(FileReader(path).read_all().to_batches())
    assert max(batch.num_rows for batch in batches) <= 4
    assert pa.Table.from_batches(batches).column("s").to_pylist() == values


def test_a_batch_that_its_offsets_cannot_count_becomes_several(path, table, monkeypatch):
    concat_arrays = pa.concat_arrays

    def limited(arrays):
        if sum(map(len, arrays)) > 2500:
            raise pa.ArrowInvalid("offset overflow while concatenating arrays")
        return concat_arrays(arrays)

    monkeypatch.setattr(pa, "concat_arrays", limited)
    monkeypatch.setattr("lancelet.file.column._SMALL_PAGE_BYTES", 0)  # else pages are decoded to one array
    batches = list(FileReader(path, mmap=False).read_all(batch_size=NUM_ROWS).to_batches())
    assert 1 < len(batches) < 10
    assert pa.Table.from_batches(batches).equals(table)


@pytest.mark.parametrize("chunk", [1000, 10 << 20])
def test_a_value_larger_than_a_read_comes_back_in_one_batch(tmp_path, chunk):
    size = 40_000_000 if chunk > 1000 else 4_000
    table = pa.table({"b": pa.array([np.random.default_rng(0).bytes(size), b"x"], pa.large_binary())})
    path = tmp_path / "large.lance"
    with FileWriter(path) as writer:
        writer.write_table(table)
    reads = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            reads.append(size)
            return super().read(size)

        def readinto(self, buffer):
            reads.append(len(buffer))
            return super().readinto(buffer)

    with Counting(path) as file:
        (batch,) = FileReader(file, read_chunk_size=chunk).read_all(batch_size=10).to_batches()
    assert pa.Table.from_batches([batch]).equals(table)
    assert max(reads) <= max(chunk, 64 << 10)
    assert FileReader(path, mmap=False, read_chunk_size=chunk).read_all().to_table().equals(table)


@pytest.mark.parametrize("chunk", [0, -1, 1.5, None, True])
def test_read_chunk_sizes_that_are_none(path, chunk):
    with pytest.raises(OptionError, match="read_chunk_size"):
        FileReader(path, read_chunk_size=chunk)


def test_file_statistics(path):
    with FileReader(path) as reader:
        statistics = reader.file_statistics()
        assert [column.num_pages for column in statistics.columns] == [
            len(c.pages) for c in reader.metadata()
        ]
        assert all(column.size_bytes > 0 for column in statistics.columns)


def test_memory_that_is_not_there_is_an_error_of_ours(path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("lancelet.file.groups.field_arrays", fail)
    with pytest.raises(LanceletError, match="no memory for 5 rows"):
        FileReader(path, mmap=False).read_range(0, 5).to_table()


def test_no_rows_of_extension_types_at_any_depth(tmp_path):
    type_ = pa.struct([("ids", pa.list_(pa.uuid())), ("flag", pa.bool8())])
    path = tmp_path / "empty.lance"
    with FileWriter(path, pa.schema([("s", type_)])):
        pass
    with FileReader(path) as reader:
        for result in (reader.read_all(), reader.take_rows([])):
            table = result.to_table()
            assert table.schema.types == [type_]
            assert table.num_rows == 0
