"""Small files whose pages all share one dictionary that compresses well: no read holds it once a page.

Such files are odd, but valid: they are read.
"""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.blocks.arrow import to_block
from lancelet.codecs.binary import Variable
from lancelet.codecs.flat import Flat
from lancelet.codecs.general import General
from lancelet.container.metadata import ColumnMetadata, PageMetadata
from lancelet.container.writer import ContainerWriter
from lancelet.fields.paths import leaf_paths
from lancelet.file import cache
from lancelet.pb import encodings21_pb2 as pb
from lancelet.pb.file_pb2 import FileDescriptor
from lancelet.schema.fields import Schema
from lancelet.schema.project import columns_of
from lancelet.storage import open_sink
from lancelet.testing import assert_tables_equal
from lancelet.versions import COLUMN_ENCODING, Version

if TYPE_CHECKING:
    from pathlib import Path

ALL_VALID = 1
#: What a dictionary holds, in how many pages it is, what open pages may hold in these tests, and a read at most: some threads and
#: the reader keep pages, and memory is not given back at once. All dictionaries together are three times as large.
ITEMS_BYTES, NUM_PAGES, CACHE_BYTES, MOST_BYTES = 2 << 20, 150, 8 << 20, 100 << 20

NUMBER, TEXT = pa.int64(), pa.string()
SCHEMAS = {
    "number": pa.schema([("c", NUMBER)]),
    "text": pa.schema([("c", TEXT)]),
    "columns": pa.schema([(f"c{i}", NUMBER) for i in range(NUM_PAGES)]),
    "struct": pa.schema([("c", pa.struct([(f"c{i}", NUMBER) for i in range(NUM_PAGES)]))]),
    "nested": pa.schema([("c", pa.struct([("a", NUMBER), ("b", TEXT)])), ("n", NUMBER)]),
}


def items_of(type_: pa.DataType, scheme: str, num_bytes: int) -> tuple[Any, Any, int]:
    """Return the buffer, the encoding and the number of items of a dictionary that takes `num_bytes` when it is decoded."""
    values: Variable | Flat
    if pa.types.is_string(type_):
        items, values = pa.array(["", "a" * num_bytes, "b"]), Variable(32)
    else:
        items, values = pa.array(np.append(np.arange(3), np.zeros(num_bytes // 8 - 3, np.int64))), Flat(64)
    codec = General(scheme, None, values)
    encoded = codec.encode_blocks(to_block(items, None), np.array([len(items)]))
    return encoded.data, encoded.codec.to_message(), len(items)


def write(path: Path, schema: pa.Schema, scheme: str, num_pages: int, num_bytes: int) -> pa.Table:
    """Write pages of one row each, all with the same buffers; returns the rows."""
    container = ContainerWriter(open_sink(str(path)), Version.V2_2)
    fields = Schema.from_arrow(schema)
    numbers = columns_of(fields, Version.V2_2)
    words = container.write_buffer(np.array([1 << 4], dtype="<u2").tobytes())
    chunk = container.write_buffer(np.array([0, 4, 0, 0, 2, 0, 0, 0], dtype="<u2").tobytes())
    shared = {}
    for path_ in (path_ for field in fields.fields for path_ in leaf_paths(field)):
        type_ = path_.value_type
        if type_ not in shared:
            data, message, num_items = items_of(type_, scheme, num_bytes)
            shared[type_] = (container.write_buffer(data), message, num_items)
        items, message, num_items = shared[type_]
        layout = pb.PageLayout(
            mini_block_layout=pb.MiniBlockLayout(
                value_compression=pb.CompressiveEncoding(flat=pb.Flat(bits_per_value=32)),
                dictionary=message,
                num_dictionary_items=num_items,
                layers=[ALL_VALID] * (len(path_.containers) + 1),  # type: ignore[list-item]
                num_buffers=1,
                num_items=1,
            )
        )
        name, encoding = layout.DESCRIPTOR.full_name, layout.SerializeToString()
        pages = [PageMetadata((words, chunk, items), 1, row, name, encoding) for row in range(num_pages)]
        column = ColumnMetadata(COLUMN_ENCODING, b"\x0a\x00", (), tuple(pages))
        container.add_prepared_column(numbers[path_.leaf.id], column)
    descriptor = FileDescriptor(schema=fields.to_message(), length=num_pages).SerializeToString()
    container.finish(descriptor, len(set(numbers.values())))
    return pa.table([pa.array([value_of(type_)] * num_pages, type_) for type_ in schema.types], schema)


def value_of(type_: pa.DataType) -> Any:
    """Return what stands in every row."""
    if pa.types.is_struct(type_):
        return {child.name: value_of(child.type) for child in type_}
    return "b" if pa.types.is_string(type_) else 2


def num_pages_of(schema: pa.Schema) -> int:
    """Return the pages of a column, so that all columns have :data:`NUM_PAGES` or somewhat more."""
    leaves = sum(max(type_.num_fields, 1) for type_ in schema.types)
    return -(-NUM_PAGES // leaves)


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "DEFAULT_CACHE_BYTES", 100_000)


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) << 10


def read_and_measure(path: str, mmap: bool) -> int:
    """Read a file in all ways; returns the bytes by which the process has grown. Runs in a process of its own."""
    lancelet.FileReader(lancelet.encode_batch(pa.table({"n": [1]})).to_self_described()).read_all().to_table()
    before: int = peak_bytes()
    cache.DEFAULT_CACHE_BYTES = CACHE_BYTES
    reader = lancelet.FileReader(path, mmap=mmap)
    reader.read_all().to_table()
    for batch in reader.read_all(batch_size=100).to_batches():
        batch.validate(full=True)
    reader.take_rows(np.arange(0, reader.num_rows, 3)).to_table()
    reader.plan()
    return peak_bytes() - before


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "read"])
@pytest.mark.parametrize(
    ("name", "scheme"), [("number", "zstd"), ("text", "zstd"), *((name, "lz4") for name in SCHEMAS)]
)
def test_a_read_does_not_hold_the_dictionary_once_a_page(
    name: str, scheme: str, mmap: bool, tmp_path: Path
) -> None:
    path, schema = tmp_path / "shared.lance", SCHEMAS[name]
    write(path, schema, scheme, num_pages_of(schema), ITEMS_BYTES)
    assert path.stat().st_size < 100_000
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(read_and_measure, str(path), mmap).result() < MOST_BYTES


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "read"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_read_page_by_page_is_the_same(
    name: str, mmap: bool, tmp_path: Path, small_cache: None
) -> None:
    path, schema = tmp_path / "shared.lance", SCHEMAS[name]
    table = write(path, schema, "lz4", max(num_pages_of(schema), 3), 30_000)
    reader = lancelet.FileReader(str(path), mmap=mmap)
    rows = [0, table.num_rows - 1, 1]
    assert_tables_equal(reader.read_all().to_table(), table)
    assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))
    plan = reader.plan()
    whole = lancelet.FileReader(str(path), mmap=mmap).plan(num_rows=1)
    assert [column.pages[0] for column in plan.columns] == [column.pages[0] for column in whole.columns]
    assert {len(column.pages) for column in plan.columns} == {table.num_rows}
