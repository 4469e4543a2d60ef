"""Sources that cannot be copied, or are damaged: an error that says so, and nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from compact.copying import VERSIONS, copied, data_files, latest, plain_tables, write_fragments
from lancelet.compact.copy import OutputLimits, copy_files
from lancelet.container.reader import Container
from lancelet.container.spill import SpilledPages
from lancelet.container.writer import ContainerWriter
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pb import file2_pb2, file_pb2
from lancelet.storage.local import LocalSink
from lancelet.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from lancelet.storage import LocalStore

# ---- what cannot be copied


def refused(store: LocalStore, **changes: Any) -> str:
    """Return why a copy of changed fragments is refused, and check that it leaves nothing."""
    manifest = latest(store)
    before = data_files(store)
    fragments = [replace(fragment, **changes) for fragment in manifest.fragments]
    with pytest.raises(LanceletError) as caught:
        copy_files(store, fragments, manifest.schema, manifest.storage_version)
    assert data_files(store) == before
    return str(caught.value)


def test_no_fragments_are_an_error(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    with pytest.raises(OptionError, match="no fragments"):
        copy_files(store, [], latest(store).schema, Version.V2_1)
    assert "has no data files" in refused(store, files=())


def test_other_versions_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    manifest = latest(store)
    with pytest.raises(UnsupportedError, match=r"is of version 2\.1, and 2\.2 is wanted"):
        copy_files(store, manifest.fragments, manifest.schema, Version.V2_2)
    lie = replace(manifest.fragments[0].files[0], file_minor_version=2)
    fragment = replace(manifest.fragments[0], files=(lie,))
    with pytest.raises(FormatError, match=r"has version 2\.1, and the manifest says 2\.2"):
        copy_files(store, [fragment], manifest.schema, Version.V2_2)


def test_wrong_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    assert "has 100 rows, and fragment 0 has 99" in refused(store, physical_rows=99)


def test_vanished_files_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    store.delete(f"data/{latest(store).fragments[1].files[0].path}")
    assert "does not exist" in refused(store)


def test_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    file = latest(store).fragments[0].files[0]
    assert "the file has 5 columns" in refused(store, files=(replace(file, column_indices=(0, 1, 2, 3, 9)),))
    assert "two fields have the same column" in refused(
        store, files=(replace(file, column_indices=(0, 1, 2, 3, 3)),)
    )


# ---- damaged sources


def edited(
    store: LocalStore,
    edit: Callable[[int, file2_pb2.ColumnMetadata], None],
    *,
    num_rows: int | None = None,
    user_buffers: int = 0,
) -> None:
    """Write the file of the first fragment anew with other metadata."""
    manifest = latest(store)
    path = f"data/{manifest.fragments[0].files[0].path}"
    container = Container.open(store.open_source(path))
    data = bytes(container.source.read(0, container.data_stop))
    columns = []
    for number in range(container.num_columns):
        message = file2_pb2.ColumnMetadata.FromString(bytes(container.column_block(number)))
        edit(number, message)
        columns.append(message.SerializeToString())
    rows = container.num_rows if num_rows is None else num_rows
    schema = container.schema_message
    with store.open_sink(path) as sink:
        sink.write(data)
        writer = _Edited(sink, container.version, columns)
        for _ in range(user_buffers):
            writer.add_global_buffer(b"user")
        descriptor = file_pb2.FileDescriptor(schema=schema, length=rows)
        writer.finish(descriptor.SerializeToString(), len(columns))


class _Edited(ContainerWriter):
    def __init__(self, sink: Any, version: Version, columns: list[bytes]) -> None:
        super().__init__(sink, version)
        self._columns = columns

    def _column_block(self, column: int) -> bytes:
        return self._columns[column]


def edited_copy(store: LocalStore, edit: Any, **options: Any) -> str:
    edited(store, edit, **options)
    return refused_again(store)


def refused_again(store: LocalStore) -> str:
    manifest, before = latest(store), data_files(store)
    first = manifest.fragments[0]
    fragments = [
        replace(first, files=(replace(first.files[0], file_size_bytes=None),)),
        *manifest.fragments[1:],
    ]
    # the damaged file comes last: a file before it was written when the damage is found
    with pytest.raises(LanceletError) as caught:
        copy_files(
            store,
            [*fragments[1:], fragments[0]],
            manifest.schema,
            manifest.storage_version,
            limits=OutputLimits(max_rows=100),
        )
    assert data_files(store) == before
    return str(caught.value)


def set_page(column: int, **values: Any) -> Any:
    def edit(number: int, message: file2_pb2.ColumnMetadata) -> None:
        if number == column:
            for name, value in values.items():
                if isinstance(value, list):
                    getattr(message.pages[0], name)[:] = value
                else:
                    setattr(message.pages[0], name, value)

    return edit


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"length": 99}, "99"),
        ({"length": 2**63 - 1}, "9223372036854775807"),
        ({"length": 2**64 - 1}, "impossible"),
        ({"buffer_offsets": [1 << 40]}, "buffer"),
        ({"buffer_offsets": [2**64 - 1]}, "buffer"),
        ({"buffer_sizes": [1 << 50]}, "buffer"),
        ({"buffer_sizes": []}, "buffer sizes"),
    ],
)
def test_impossible_pages_are_refused(
    version: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), version)
    assert message in edited_copy(store, set_page(0, **values))


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_pages_that_claim_other_rows_are_refused(version: str, tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), version)
    assert "the page starts at row 7" in edited_copy(store, set_page(1, priority=7))


def test_misaligned_buffers_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), "2.1")
    assert "multiple of 64" in edited_copy(store, set_page(0, buffer_offsets=[8, 0]))


def test_missing_pages_are_refused(tmp_path: Path) -> None:
    for version in VERSIONS:
        store = write_fragments(tmp_path / version, plain_tables(3), version)
        assert "0 rows" in edited_copy(store, lambda _, message: message.ClearField("pages"))


def test_items_that_are_not_those_of_the_lists_are_refused(tmp_path: Path) -> None:
    # In 2.0 only the encoding of the lists says how many items there are.
    store = write_fragments(tmp_path / "d", plain_tables(3), "2.0")
    items = latest(store).schema.fields[2].children[0].id
    column = latest(store).fragments[0].files[0].columns_of[items]
    assert "the pages hold 98 rows, but 198 are needed" in edited_copy(store, set_page(column, length=98))


def test_pages_of_another_version_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), "2.1")

    def edit(number: int, message: file2_pb2.ColumnMetadata) -> None:
        wrapped = AnyMessage(type_url="/lance.encodings.ArrayEncoding", value=b"")
        message.pages[0].encoding.direct.encoding = wrapped.SerializeToString()

    assert "cannot have a page of type 'lance.encodings.ArrayEncoding'" in edited_copy(store, edit)


@pytest.mark.parametrize("version", VERSIONS)
def test_encodings_that_are_missing_or_apart_are_refused(version: str, tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), version)
    assert "encoding is missing" in edited_copy(
        store, lambda _, message: message.pages[0].ClearField("encoding")
    )

    def apart(_: int, message: file2_pb2.ColumnMetadata) -> None:
        message.pages[0].encoding.indirect.buffer_location = 0

    assert "indirect" in edited_copy(store, apart)


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_with_buffers_of_their_own_are_refused(version: str, tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), version)

    def edit(number: int, message: file2_pb2.ColumnMetadata) -> None:
        if number == 1:
            message.buffer_offsets.append(0)
            message.buffer_sizes.append(1)

    assert "has buffers of column 'b' as a whole" in edited_copy(store, edit)


def test_columns_with_another_encoding_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), "2.1")

    def edit(number: int, message: file2_pb2.ColumnMetadata) -> None:
        plain_ = message.encoding.direct.encoding
        assert plain_.endswith(b"\x0a\x00")
        message.encoding.direct.encoding = plain_[:-2] + b"\x12\x00"

    assert "describes column 'a' by an encoding of its own" in edited_copy(store, edit)


def test_global_buffers_of_users_are_refused(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(3), "2.1")
    assert "has 2 user global buffers" in edited_copy(store, lambda *_: None, user_buffers=2)


@pytest.mark.parametrize("version", VERSIONS)
def test_any_damage_of_the_metadata_is_an_error_or_harmless(version: str, tmp_path: Path) -> None:
    tables = plain_tables(2, 30)
    store = write_fragments(tmp_path / "d", tables, version)
    manifest = latest(store)
    path = Path(store.name, "data", manifest.fragments[0].files[0].path)
    whole = path.read_bytes()
    container = Container.open(store.open_source(f"data/{path.name}"))
    random = np.random.default_rng(5)
    before = data_files(store)
    num_refused = 0
    for place in random.integers(container.data_stop, len(whole), 250):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            copies = copied(store)
        except LanceletError:
            num_refused += 1
        else:
            for copy in copies:
                store.delete(f"data/{copy.file.path}")
        assert data_files(store) == before
    assert num_refused > 50
    for size in [0, 1, 39, 40, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            copied(store)
        assert data_files(store) == before


# ---- what the envelope offers to those who move pages


def test_blocks_of_columns_are_as_stored(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(1), "2.1")
    container = Container.open(store.open_source(f"data/{latest(store).fragments[0].files[0].path}"))
    for column in range(container.num_columns):
        message = file2_pb2.ColumnMetadata.FromString(bytes(container.column_block(column)))
        assert [list(page.buffer_offsets) for page in message.pages] == [
            [buffer.position for buffer in page.buffers] for page in container.column(column).pages
        ]
    for column in (-1, container.num_columns):
        with pytest.raises(IndexError):
            container.column_block(column)


def test_joined_pages_cannot_be_spilled(tmp_path: Path) -> None:
    with LocalSink(tmp_path / "f.lance") as sink:
        writer = ContainerWriter(sink, Version.V2_1, pages=SpilledPages(tmp_path / "pages"))
        with pytest.raises(ValueError, match="cannot be spilled"):
            writer.add_pages(0, b"\x12\x00")
