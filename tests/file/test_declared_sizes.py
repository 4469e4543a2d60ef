"""Small files that state large numbers: what they ask for is refused before memory is taken, or has a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.container.writer import ContainerWriter
from lancelet.errors import OptionError, UnsupportedError
from lancelet.pb import encodings21_pb2 as pb
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.fields import Schema
from lancelet.storage import open_sink
from lancelet.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

NULLABLE_ITEM, ALL_VALID_ITEM = 3, 1

WIDE_TYPES = [
    pa.int64(),
    pa.bool_(),
    pa.decimal256(40),
    pa.string(),
    pa.large_binary(),
    pa.list_(pa.float32(), 2**30),
    pa.list_(pa.list_(pa.bool_(), 2**10), 2**10),
]


def write_page(path: Path, type_: pa.DataType, num_rows: int, buffers: list[bytes], layout: Any) -> Path:
    """Write a file of one column and one page, all of whose bytes are given."""
    container = ContainerWriter(open_sink(str(path)), Version.V2_2)
    container.write_page(0, buffers, num_rows, 0, layout.DESCRIPTOR.full_name, layout.SerializeToString())
    schema = Schema.from_arrow(pa.schema([pa.field("c", type_)])).to_message()
    container.finish(FileDescriptor(schema=schema, length=num_rows).SerializeToString(), 1)
    return path


def all_null(path: Path, type_: pa.DataType, num_rows: int) -> lancelet.FileReader:
    layout = pb.PageLayout(constant_layout=pb.ConstantLayout(layers=[NULLABLE_ITEM]))
    return lancelet.FileReader(write_page(path / "nulls.lance", type_, num_rows, [], layout))


@pytest.mark.parametrize("num_rows", [2**50, 2**62])
@pytest.mark.parametrize("type_", WIDE_TYPES, ids=str)
def test_nulls_of_any_number_are_refused(tmp_path: Path, type_: pa.DataType, num_rows: int) -> None:
    with pytest.raises(OptionError, match="max_result_bytes"):
        all_null(tmp_path, type_, num_rows).read_all().to_table()


@pytest.mark.parametrize("type_", WIDE_TYPES[:5], ids=str)
def test_nulls_obey_the_limit_of_the_result(tmp_path: Path, type_: pa.DataType) -> None:
    rows = all_null(tmp_path, type_, 1 << 20).read_all()
    with pytest.raises(OptionError, match="max_result_bytes"):
        rows.to_table(max_result_bytes=100_000)
    assert rows.to_table(max_result_bytes=1 << 26).column("c").null_count == 1 << 20


def test_nulls_of_the_null_type_take_nothing(tmp_path: Path) -> None:
    table = all_null(tmp_path, pa.null(), 2**50).read_all().to_table(max_result_bytes=0)
    assert table.num_rows == table.column("c").null_count == 2**50


@pytest.mark.parametrize(
    "type_",
    [
        pa.null(),
        pa.bool_(),
        pa.int8(),
        pa.float16(),
        pa.decimal128(20, 3),
        pa.binary(3),
        pa.string(),
        pa.large_binary(),
        pa.list_(pa.int32(), 3),
        pa.list_(pa.list_(pa.bool_(), 3), 5),
        pa.timestamp("us", "UTC"),
    ],
    ids=str,
)
@pytest.mark.parametrize("num_rows", [1, 7, 8, 1025])
def test_nulls_are_nulls(tmp_path: Path, type_: pa.DataType, num_rows: int) -> None:
    column = all_null(tmp_path, type_, num_rows).read_all().to_table().column("c")
    column.validate(full=True)
    assert column.equals(pa.chunked_array([pa.nulls(num_rows, type_)]))


@pytest.mark.parametrize("type_", [pa.int64(), pa.string()], ids=str)
def test_dictionary_of_values_without_bits(tmp_path: Path, type_: pa.DataType) -> None:
    indices, header = bytes(16), np.array([0, 16, 0, 0], dtype="<u2").tobytes()
    flat = pb.CompressiveEncoding(flat=pb.Flat(bits_per_value=32))
    layout = pb.MiniBlockLayout(
        value_compression=flat,
        layers=[ALL_VALID_ITEM],
        num_buffers=1,
        num_items=4,
        has_large_chunk=True,
        dictionary=pb.CompressiveEncoding(constant=pb.Constant()),
        num_dictionary_items=4,
    )
    words = np.array([(len(header + indices) // 8 - 1) << 4], dtype="<u4").tobytes()
    page = pb.PageLayout(mini_block_layout=layout)
    path = write_page(tmp_path / "c.lance", type_, 4, [words, header + indices, b""], page)
    with pytest.raises(UnsupportedError, match="dictionary"):
        lancelet.FileReader(path).read_all().to_table()
