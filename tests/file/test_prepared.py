"""Files from finished column metadata: what binary copy does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from golden_index import is_any_field, select
from lancelet import FileReader, FileWriter, FormatError, OptionError, UnsupportedError
from lancelet.container.metadata import BufferRef, ColumnMetadata, PageMetadata
from lancelet.file import finish_prepared_file
from lancelet.storage import open_sink
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

    from golden_index import GoldenFile
    from lancelet.storage import Sink

VERSIONS = ("2.0", "2.1", "2.2")
#: Blobs refer to bytes outside of their pages, by positions inside of them.
FILES = [
    file
    for file in select(VERSIONS, is_any_field)
    if "blob" not in file.case and file.writer in ("4.0.1", "14.0.2") and 0 < file.num_bytes < 300_000
]


def copy_columns(reader: FileReader, sink: Sink) -> list[ColumnMetadata]:
    """Copy all buffers of a file, as binary copy packs them: zeros in front, and no gaps in version 2.0."""
    columns = []
    for column in reader.metadata():
        buffers = copy_buffers(reader, column.buffers, sink)
        pages = tuple(
            replace(page, buffers=copy_buffers(reader, page.buffers, sink)) for page in column.pages
        )
        columns.append(column.replaced(buffers=buffers, pages=pages))
    return columns


def copy_buffers(reader: FileReader, buffers: tuple[BufferRef, ...], sink: Sink) -> tuple[BufferRef, ...]:
    moved = []
    for position, size in buffers:
        if reader.version.text != "2.0":
            sink.write(bytes(-sink.tell() % 64))
        moved.append(BufferRef(sink.tell(), size))
        sink.write(reader._container.source.read(position, size))
    return tuple(moved)


def copy(source: Path, target: Path) -> None:
    with FileReader(source) as reader:
        sink = open_sink(target)
        sink.write(b"?" * (11 if reader.version.text == "2.0" else 64))
        columns = copy_columns(reader, sink)
        size = finish_prepared_file(
            sink,
            reader.fields,
            columns,
            reader.num_rows,
            version=reader.version,
            schema_metadata={"copied": "yes"},
        )
    assert target.stat().st_size == size


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in FILES[::6]])
def test_copies_read_equal(file: GoldenFile, tmp_path: Path) -> None:
    target = tmp_path / "copy.lance"
    copy(file.path, target)
    expected = file.expected()
    reader = FileReader(target)
    assert reader.schema.metadata[b"copied"] == b"yes"
    assert reader.fields.fields == FileReader(file.path).fields.fields
    assert_tables_equal(reader.read_all().to_table(), expected)
    if file.read_by.get("14.0.2", "ok") == "ok" and expected.num_columns:
        assert_tables_equal(oracle("14.0.2").read(target)[0], oracle("14.0.2").read(file.path)[0])


def prepared(path: Path, version: str = "2.2") -> tuple[Sink, list[ColumnMetadata]]:
    with FileWriter(path.with_suffix(".source"), version=version) as writer:
        writer.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}))
    sink = open_sink(path)
    with FileReader(path.with_suffix(".source")) as reader:
        return sink, copy_columns(reader, sink)


SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string())])


@pytest.mark.parametrize("version", VERSIONS)
def test_an_arrow_schema_will_do(tmp_path: Path, version: str) -> None:
    path = tmp_path / "copy.lance"
    sink, columns = prepared(path, version)
    finish_prepared_file(sink, SCHEMA, columns, 3, version=version)
    expected = pa.table({"a": [1, 2, 3], "b": ["x", "y", None]})
    assert FileReader(path).read_all().to_table().equals(expected)
    assert oracle("14.0.2").read(path)[0].equals(expected)


def with_page(column: ColumnMetadata, **changes: object) -> ColumnMetadata:
    return column.replaced(pages=(replace(column.pages[0], **changes), *column.pages[1:]))


def refused(path: Path, columns: list[ColumnMetadata], sink: Sink, num_rows: int = 3, **options: str) -> str:
    with pytest.raises((FormatError, OptionError, UnsupportedError)) as caught:
        finish_prepared_file(sink, SCHEMA, columns, num_rows, **{"version": "2.2", **options})
    assert not path.exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"buffers": (BufferRef(0, 1 << 40),)}, "do not lie inside of the data"),
        ({"buffers": (BufferRef(1, 1),)}, "does not start at a multiple of 64"),
        ({"num_rows": 2}, "the pages hold 2 rows, but the file has 3"),
        ({"first_row": 1}, "starts at row 1"),
        ({"type_name": "lance.encodings.ArrayEncoding"}, "cannot have a page of type"),
    ],
)
def test_pages_that_readers_would_refuse(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    sink, (first, second) = prepared(tmp_path / "copy.lance")
    found = refused(tmp_path / "copy.lance", [first, with_page(second, **changes)], sink)
    assert message in found
    assert "column 1" in found


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "copy.lance"
    sink, columns = prepared(path)
    assert "2 columns in version 2.2, and 1 were prepared" in refused(path, columns[:1], sink)
    sink, columns = prepared(path)
    odd = columns[0].replaced(type_name="other")
    assert "described by 'other'" in refused(path, [odd, columns[1]], sink)
    sink, columns = prepared(path)
    assert "3 rows, but the file has 4" in refused(path, columns, sink, 4)
    sink, columns = prepared(path)
    assert "unstable" in refused(path, columns, sink, version="2.3")


def test_rows_of_version_20(tmp_path: Path) -> None:
    path = tmp_path / "copy.lance"
    sink, columns = prepared(path, "2.0")
    assert "column 0" in refused(path, columns, sink, 4, version="2.0")
    with FileWriter(path.with_suffix(".source"), version="2.0") as writer:
        writer.write_table(pa.table({"s": pa.array([{"a": 1}, {"a": 2}])}))
    with FileReader(path.with_suffix(".source")) as reader:
        schema = reader.schema
        for position, change, message in (
            (0, {"num_rows": 1}, "the pages hold 1 rows"),
            (1, {"num_rows": 1}, "the pages hold 1 rows"),
            (0, {}, "2 pages, not one"),
        ):
            sink = open_sink(path)
            columns = copy_columns(reader, sink)
            if change:
                columns[position] = with_page(columns[position], **change)
            else:
                (page,) = columns[0].pages
                columns[0] = columns[0].replaced(pages=(replace(page, num_rows=1),) * 2)
            with pytest.raises(FormatError, match=message) as caught:
                finish_prepared_file(sink, schema, columns, 2, version="2.0")
            assert f"column {position}" in str(caught.value)
            assert not path.exists()


def test_page_without_buffers(tmp_path: Path) -> None:
    path = tmp_path / "copy.lance"
    with FileWriter(path.with_suffix(".source")) as writer:
        writer.write_table(pa.table({"n": pa.nulls(5)}))
    sink = open_sink(path)
    with FileReader(path.with_suffix(".source")) as reader:
        columns = copy_columns(reader, sink)
        assert all(isinstance(page, PageMetadata) and page.buffers == () for page in columns[0].pages)
        finish_prepared_file(sink, reader.fields, columns, 5, version="2.2")
    assert FileReader(path).read_all().to_table()["n"].null_count == 5
