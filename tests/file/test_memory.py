"""Batches in memory: self-described and mini forms, their footers, alignment, and what pylance reads."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet import FileReader, FileWriter, FormatError, OptionError, UnsupportedError
from lancelet.container.reader import Container
from lancelet.container.writer import ContainerWriter
from lancelet.storage.memory import MemorySink, MemorySource
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("2.0", "2.1", "2.2")
FOOTERS = {"2.0": (2, 0), "2.1": (2, 1), "2.2": (2, 2)}


def batch(num_rows: int = 1000) -> pa.RecordBatch:
    rng = np.random.default_rng(1)
    return pa.record_batch(
        {
            "list": pa.array([[i, None] if i % 3 else [] for i in range(num_rows)], pa.list_(pa.int32())),
            "struct": pa.array([{"a": i, "b": str(i)} for i in range(num_rows)]),
            "bool": pa.array([None if i % 7 == 0 else i % 2 == 0 for i in range(num_rows)]),
            "text": pa.array(["x" * (i % 30) for i in range(num_rows)]),
            "float": rng.random(num_rows),
            "none": pa.nulls(num_rows),
        }
    )


def footer_version(buffer: pa.Buffer) -> tuple[int, int]:
    major, minor = struct.unpack("<HH", bytes(buffer)[-8:-4])
    return major, minor


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("num_rows", [0, 1, 1000])
def test_both_forms(version: str, num_rows: int) -> None:
    data = batch(num_rows)
    encoded = lancelet.encode_batch(data, version=version)
    assert (encoded.num_rows, encoded.version.text) == (num_rows, version)
    whole, mini = encoded.to_self_described(), encoded.to_mini()
    expected = pa.Table.from_batches([data])
    assert footer_version(whole) == footer_version(mini) == FOOTERS[version]
    for source in (whole, bytes(whole), memoryview(whole)):
        reader = FileReader(source)
        assert reader.version.text == version
        assert_tables_equal(reader.read_all().to_table(), expected)
    assert_tables_equal(lancelet.read_mini(mini, data.schema), expected)
    assert_tables_equal(lancelet.read_mini(bytes(mini), data.schema), expected)
    assert mini.size < whole.size


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_pylance_reads_a_self_described_batch_as_a_file(tmp_path: Path, version: str, release: str) -> None:
    data = batch()
    path = tmp_path / "batch.lance"
    path.write_bytes(lancelet.encode_batch(data, version=version).to_self_described())
    table, some = oracle(release).read(path, [("all", 100), ("take", [0, 4, 999])])
    assert_tables_equal(table, pa.Table.from_batches([data]))
    assert_tables_equal(some, pa.Table.from_batches([data]).take([0, 4, 999]))


@pytest.mark.parametrize("alignment", [8, 16, 64, 128, 4096])
@pytest.mark.parametrize("version", VERSIONS)
def test_alignment(version: str, alignment: int) -> None:
    blob = pa.field("blob", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    data = pa.record_batch([pa.array([b"a", None, b"c" * 100]), pa.array([1, 2, 3])], names=["blob", "n"])
    data = data.cast(pa.schema([blob, pa.field("n", pa.int64())]))
    buffer = lancelet.encode_batch(data, version=version, buffer_alignment=alignment).to_self_described()
    reader = FileReader(buffer)
    assert_tables_equal(reader.read_all().to_table(), pa.Table.from_batches([data]))
    positions = {
        ref.position for column in reader.metadata() for page in column.pages for ref in page.buffers
    }
    effective = alignment if version == "2.0" else max(alignment, 64)
    assert all(position % effective == 0 for position in positions)
    if alignment < 64 and version == "2.0":
        assert any(position % 64 for position in positions)


@pytest.mark.parametrize("alignment", [0, 1, 4, 12, 24, -8, "64", 64.0, None])
def test_alignments_that_are_refused(alignment: object) -> None:
    with pytest.raises(OptionError, match="a power of two and at least 8"):
        lancelet.encode_batch(batch(1), buffer_alignment=alignment)  # type: ignore[arg-type]


def packed_without_gaps(buffer: pa.Buffer) -> pa.Buffer:
    """Return a file in memory with an odd byte before its buffers and none between them, as other encoders give it."""
    container = Container.open(MemorySource(buffer))
    sink = MemorySink()
    writer = ContainerWriter(sink, container.version, alignment=1)
    writer.write_buffer(b"?")
    for column in range(container.num_columns):
        for page in container.column(column).pages:
            buffers = container.source.read_ranges(page.buffers)
            writer.write_page(column, buffers, page.num_rows, page.first_row, page.type_name, page.encoding)
    writer.finish(bytes(container.global_buffer(0)), container.num_columns)
    return sink.getbuffer()


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_alignment_is_demanded_of_files_and_not_of_memory(tmp_path: Path, version: str) -> None:
    data = batch()
    packed = packed_without_gaps(lancelet.encode_batch(data, version=version).to_self_described())
    assert_tables_equal(FileReader(packed).read_all().to_table(), pa.Table.from_batches([data]))
    path = tmp_path / "packed.lance"
    path.write_bytes(packed)
    with pytest.raises(FormatError, match="multiple of 64"):
        FileReader(path)


@pytest.mark.parametrize("version", ["2.2"])
def test_rows_of_fixed_size_lists_of_structs(version: str) -> None:
    type_ = pa.list_(pa.struct([("a", pa.int8()), ("b", pa.string())]), 3)
    rows = [[{"a": i, "b": str(i)}] * 3 for i in range(50)]
    data = pa.record_batch({"points": pa.array(rows, type_), "n": list(range(50))})
    mini = lancelet.encode_batch(data, version=version).to_mini()
    assert_tables_equal(lancelet.read_mini(mini, data.schema), pa.Table.from_batches([data]))


def test_no_columns() -> None:
    data = pa.record_batch([], schema=pa.schema([]))
    for version in VERSIONS:
        mini = lancelet.encode_batch(data, version=version).to_mini()
        assert mini.size == 40
        assert lancelet.read_mini(mini, data.schema).num_rows == 0


def test_options_and_other_versions() -> None:
    table = pa.table({"s": ["some text"] * 1000})
    encoded = lancelet.encode_batch(table, version="2.1", profile="fast", max_page_bytes=1000)
    assert "2.1, 1000 rows" in repr(encoded)
    assert lancelet.read_mini(encoded.to_mini(), table.schema).equals(table)
    assert lancelet.encode_batch(table.to_batches()[0]).version.text == "2.2"
    with pytest.raises(UnsupportedError, match="unstable"):
        lancelet.encode_batch(table, version="next")


def test_mini_and_file_are_not_mistaken() -> None:
    data = batch(3)
    encoded = lancelet.encode_batch(data)
    with pytest.raises(FormatError, match="no descriptor"):
        FileReader(encoded.to_mini())
    with pytest.raises(FormatError, match="descriptor of its own"):
        lancelet.read_mini(encoded.to_self_described(), data.schema)


def test_damaged_mini() -> None:
    data = batch(20)
    mini = bytes(lancelet.encode_batch(data).to_mini())
    for damaged in (b"", mini[:39], mini[1:], mini[:-1]):
        with pytest.raises(FormatError):
            lancelet.read_mini(damaged, data.schema)
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(mini), 300).tolist():
        changed = bytearray(mini)
        changed[place] ^= 1 << int(rng.integers(8))
        try:
            lancelet.read_mini(changed, data.schema)
        except lancelet.LanceletError:
            continue


@pytest.mark.parametrize("schema", [None, {"a": "int8"}, "a"])
def test_a_mini_buffer_needs_a_schema(schema: object) -> None:
    mini = lancelet.encode_batch(batch(3)).to_mini()
    with pytest.raises(OptionError, match=r"must be a pyarrow\.Schema"):
        lancelet.read_mini(mini, schema)  # type: ignore[arg-type]


def test_a_schema_that_does_not_fit() -> None:
    mini = lancelet.encode_batch(pa.record_batch({"a": [1, 2, 3]}), version="2.1").to_mini()
    with pytest.raises(FormatError, match="needs column 1"):
        lancelet.read_mini(mini, pa.schema([("a", pa.int64()), ("b", pa.int64())]))
    with pytest.raises(FormatError):
        lancelet.read_mini(mini, pa.schema([("a", pa.string())]))
    with pytest.raises(OptionError, match=r"only from 2\.2 on|2\.1"):
        lancelet.read_mini(mini, pa.schema([("a", pa.map_(pa.string(), pa.int8()))]))


def test_a_file_may_be_aligned_to_more(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3]})
    path = tmp_path / "a.lance"
    with FileWriter(path, buffer_alignment=4096) as writer:
        assert writer.add_global_buffer(b"x") == 1
        writer.write_table(table)
        assert writer.tell() == 4096
    assert FileReader(path).read_all().to_table().equals(table)
    for release in RELEASES:
        assert oracle(release).read(path)[0].equals(table)


def test_a_mini_buffer_must_hold_bytes():
    with pytest.raises(OptionError, match="buffer is a str; it must hold bytes"):
        lancelet.read_mini("text", pa.schema([("n", pa.int64())]))
