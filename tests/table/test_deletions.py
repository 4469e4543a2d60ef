"""Deletion files: those of the golden datasets, those that are written, and damaged ones."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.storage import MemoryStore
from lancelet.table.formats.bitmap import encode_bitmap
from lancelet.table.formats.deletions import decode_array, encode_array, read_deletions, write_deletions
from lancelet.table.formats.manifest import list_versions, read_manifest
from lancelet.table.formats.metadata import DeletionFile, FragmentMetadata
from table.golden_datasets import GoldenDataset, golden_datasets
from table.test_bitmap import full_bitmap

SCHEMA = pa.schema([pa.field("row_id", pa.uint32(), nullable=False)])


def offsets_of(values) -> np.ndarray:
    return np.array(values, np.uint32)


def arrow_file(batches, schema=SCHEMA, compression=None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, schema, options=options) as writer:
        for values in batches:
            writer.write_batch(pa.record_batch([pa.array(values, schema.field(0).type)], schema=schema))
    return sink.getvalue().to_pybytes()


def stored(data: bytes, kind="array", *, num_deleted=None, physical_rows=100) -> tuple:
    store = MemoryStore()
    fragment = FragmentMetadata(7, (), physical_rows, DeletionFile(kind, 3, 12, num_deleted))
    store.put("_deletions/7-3-12.bin" if kind == "bitmap" else "_deletions/7-3-12.arrow", data)
    return store, fragment


@pytest.mark.parametrize("dataset", [pytest.param(each, id=each.name) for each in golden_datasets()])
def test_golden_datasets_have_the_rows_that_pylance_sees(dataset: GoldenDataset):
    for version, path in list_versions(dataset.store):
        manifest = read_manifest(dataset.store, path)
        live = [np.empty(0, np.uint64)]
        for fragment in manifest.fragments:
            deleted = read_deletions(dataset.store, fragment)
            rows = np.delete(np.arange(fragment.physical_rows, dtype=np.uint64), deleted)
            live.append(rows + np.uint64(fragment.id << 32))
        expected = dataset.addresses(version)
        assert np.array_equal(np.concatenate(live), expected[1] if expected else [])


@pytest.mark.parametrize("num", [1, 4999, 5000, 20_000])
def test_written_and_read(num):
    offsets = offsets_of(range(0, 3 * num, 3))
    store = MemoryStore()
    deletion = write_deletions(store, 7, 3, offsets)
    assert deletion.file_type == ("array" if num < 5000 else "bitmap")
    assert (deletion.read_version, deletion.num_deleted_rows) == (3, num)
    assert store.list() == [deletion.path(7)]
    found = read_deletions(store, FragmentMetadata(7, (), 3 * num, deletion))
    assert found.dtype == np.uint32
    assert np.array_equal(found, offsets)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


def test_two_files_for_the_same_fragment_have_different_names():
    store = MemoryStore()
    paths = {write_deletions(store, 7, 3, offsets_of([1])).path(7) for _ in range(20)}
    assert len(paths) == 20


@pytest.mark.parametrize("offsets", [[], [2, 1], [1, 1]])
def test_rows_to_delete_ascend_and_there_are_some(offsets):
    with pytest.raises(OptionError):
        write_deletions(MemoryStore(), 7, 3, offsets_of(offsets))


def test_a_fragment_without_deletion_file():
    assert len(read_deletions(MemoryStore(), FragmentMetadata(7, (), 10))) == 0


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("values", [[[5, 3, 99]], [[], []], [], [[5], [3, 99]]])
def test_arrays_in_any_order_of_any_writer(compression, values):
    data = arrow_file(values, compression=compression)
    expected = sorted(value for batch in values for value in batch)
    assert decode_array(data, limit=100).tolist() == expected
    if expected:
        assert read_deletions(*stored(data, num_deleted=3)).tolist() == expected
        assert read_deletions(*stored(data)).tolist() == expected


def test_what_is_written_is_one_column_without_nulls():
    with pa.ipc.open_file(encode_array(offsets_of([3, 9]))) as reader:
        assert reader.schema.equals(SCHEMA, check_metadata=True)
        assert reader.num_record_batches == 1
        assert reader.read_all()["row_id"].to_pylist() == [3, 9]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (arrow_file([[1, 1]]), "twice"),
        (arrow_file([[1], [1]]), "twice"),
        (arrow_file([[100]]), "row 100 is deleted, and the fragment has 100"),
        (arrow_file([list(range(101))]), "101 rows are deleted"),
        (arrow_file([list(range(60)), list(range(60))]), "60 rows are deleted, and 40"),
        (arrow_file([[1]], pa.schema([pa.field("row_id", pa.uint32())])), "columns"),
        (arrow_file([[1]], pa.schema([pa.field("row_id", pa.int32(), nullable=False)])), "columns"),
        (arrow_file([[1]], pa.schema([pa.field("id", pa.uint32(), nullable=False)])), "columns"),
        (b"", "no Arrow file"),
        (b"ARROW1\0\0ARROW1", "no"),
        (b"ARROW1" + bytes(100) + b"ARROW1", "begins with 0x0"),
        (b"ARROW1\0\0" + struct.pack("<Ii", 0xFFFFFFFF, 0) + b"ARROW1", "no schema"),
        (b"ARROW1\0\0" + struct.pack("<Ii", 0xFFFFFFFF, -8) + bytes(80) + b"ARROW1", "-8 bytes"),
    ],
)
def test_arrays_that_are_refused(data, match):
    with pytest.raises(FormatError, match=match) as raised:
        read_deletions(*stored(data))
    assert "_deletions/7-3-12.arrow" in str(raised.value)


def test_nulls_are_refused():
    nullable = arrow_file([[1, None, 2]], pa.schema([pa.field("row_id", pa.uint32())]))
    batch = pa.ipc.open_file(nullable).get_batch(0)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([batch.column(0)], schema=SCHEMA))
    with pytest.raises(FormatError, match="nulls"):
        read_deletions(*stored(sink.getvalue().to_pybytes()))


@pytest.mark.parametrize(("kind", "encode"), [("array", encode_array), ("bitmap", encode_bitmap)])
def test_the_manifest_counts_the_rows(kind, encode):
    data = encode(offsets_of([1, 5, 99]))
    assert read_deletions(*stored(data, kind, num_deleted=3)).tolist() == [1, 5, 99]
    for num_deleted in (2, 4):
        with pytest.raises(FormatError, match="the manifest counts"):
            read_deletions(*stored(data, kind, num_deleted=num_deleted))
    with pytest.raises(FormatError, match="row 99 is deleted, and the fragment has 99"):
        read_deletions(*stored(data, kind, physical_rows=99))
    assert read_deletions(*stored(data, kind, physical_rows=None)).tolist() == [1, 5, 99]


def test_a_file_that_is_missing():
    _, fragment = stored(b"")
    with pytest.raises(FormatError, match="no such deletion file"):
        read_deletions(MemoryStore(), fragment)


def test_a_file_in_another_place():
    store, _ = stored(encode_array(offsets_of([4])))
    fragment = FragmentMetadata(7, (), 10, DeletionFile("array", 3, 12, 1, base_id=2))
    with pytest.raises(UnsupportedError, match="base path 2"):
        read_deletions(store, fragment)
    assert read_deletions(MemoryStore(), fragment, bases={2: store}).tolist() == [4]


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_cut_and_flipped_arrays(compression):
    data = arrow_file([range(0, 90, 2)], compression=compression)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            read_deletions(*stored(data[:size]))
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            try:
                found = read_deletions(*stored(bytes(damaged), num_deleted=45))
            except FormatError:
                refused += 1
            else:
                assert len(found) == 45
                assert found.max() < 100
    assert refused > 500


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("number", [b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\xff\xff\xff\x7f"])
def test_extreme_numbers_anywhere(compression, number):
    """The readers of pyarrow end the process on some of these files: they ask for as much memory as the file says."""
    data = arrow_file([range(0, 90, 2)], compression=compression)
    refused = 0
    for position in range(len(data) - len(number)):
        damaged = data[:position] + number + data[position + len(number) :]
        try:
            assert len(decode_array(damaged, limit=100)) <= 100
        except FormatError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("num", [38, 39, 41, 42])
def test_a_buffer_that_is_decompressed_to_another_size(codec, num):
    """Where 40 rows should come out, others come: neither what is in memory nor a part of it is taken for rows."""
    data = arrow_file([range(40)], compression=codec)
    stored = pa.compress(np.arange(num, dtype=np.uint32).tobytes(), codec, asbytes=True)
    position = data.index(struct.pack("<q", 160), 200) + 8
    room = pa.compress(np.arange(40, dtype=np.uint32).tobytes(), codec, asbytes=True)
    assert data[position : position + len(room)] == room
    damaged = data[:position] + stored.ljust(len(room), b"\0")[: len(room)] + data[position + len(room) :]
    with pytest.raises(FormatError):
        decode_array(damaged, limit=100)


def test_a_small_file_takes_little_memory():
    """12 kB of zstd that stand for 400 MB of zeros."""
    data = arrow_file([np.zeros(100_000_000, np.uint32)], compression="zstd")
    assert len(data) < 20_000
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        for limit in (1000, 1 << 32):
            with pytest.raises(FormatError, match="100000000 rows are deleted"):
                decode_array(data, limit=limit)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_a_buffer_that_says_it_is_larger_than_its_rows():
    data = arrow_file([range(40)], compression="zstd")
    position = data.index(struct.pack("<q", 160), 200)
    damaged = data[:position] + struct.pack("<q", 1 << 40) + data[position + 8 :]
    with pytest.raises(LanceletError, match="does not hold 160 bytes"):
        decode_array(damaged, limit=100)


def test_runs_that_stand_for_more_rows_than_the_manifest_counts(monkeypatch):
    """They were spelt out first: 231 KB asked for 4 GiB."""
    data = full_bitmap(1 << 14)
    monkeypatch.setattr("lancelet.table.formats.deletions.decode_bitmap", None)
    with pytest.raises(FormatError, match="lists 1073741824 deleted rows, the manifest counts 7"):
        read_deletions(*stored(data, "bitmap", num_deleted=7, physical_rows=1 << 30))


def test_no_memory_for_deleted_rows(monkeypatch):
    def decode(data, *, limit):
        raise MemoryError

    monkeypatch.setattr("lancelet.table.formats.deletions.decode_bitmap", decode)
    with pytest.raises(LanceletError, match=r"no memory for the deleted rows .*7-3-12\.bin"):
        read_deletions(*stored(encode_bitmap(offsets_of([1])), "bitmap"))
