"""New fragments: which fields rows may have, where files are cut, and that nothing is left of writers that fail."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import OptionError
from lancelet.file.reader import FileReader
from lancelet.schema.fields import Schema
from lancelet.storage import MemoryStore
from lancelet.table.changes.write_files import FileLimits, FragmentWriter, fields_for, write_column_file
from lancelet.versions import Version
from oracle.client import oracle

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("name", pa.string()),
        ("st", pa.struct([("x", pa.int32()), ("y", pa.string())])),
        ("tags", pa.list_(pa.string())),
    ]
)


def rows(num_rows: int) -> pa.Table:
    return pa.table(
        {
            "id": range(num_rows),
            "name": [f"n{row}" for row in range(num_rows)],
            "st": [{"x": row, "y": None} for row in range(num_rows)],
            "tags": [["a"] * (row % 3) for row in range(num_rows)],
        },
        schema=SCHEMA,
    )


def write(store, table, version=Version.V2_2, **limits):
    schema = Schema.from_arrow(SCHEMA)
    fields = fields_for(schema, table.schema)
    with FragmentWriter(store, fields, table.schema, version=version, limits=FileLimits(**limits)) as writer:
        for batch in table.to_batches():
            writer.write(batch)
        return writer.finish()


def read(store, fragment):
    (file,) = fragment.files
    with FileReader(store.open_source(f"data/{file.path}", size=file.file_size_bytes)) as reader:
        return reader.read_all().to_table()


@pytest.mark.parametrize(
    ("version", "fields", "numbers"),
    [
        (Version.V2_0, (0, 1, 2, 3, 4, 5, 6), (2, 0)),
        (Version.V2_1, (0, 1, 3, 4, 6), (2, 1)),
        (Version.V2_2, (0, 1, 3, 4, 6), (2, 2)),
    ],
)
def test_files_are_cut_at_rows_and_described(version, fields, numbers):
    store, table = MemoryStore(), rows(25)
    fragments = write(store, table, version, max_rows=10)
    assert [fragment.physical_rows for fragment in fragments] == [10, 10, 5]
    assert pa.concat_tables([read(store, fragment) for fragment in fragments]) == table
    for fragment in fragments:
        (file,) = fragment.files
        assert file.fields == fields
        assert file.column_indices == tuple(range(len(fields)))
        assert (file.file_major_version, file.file_minor_version) == numbers
        assert file.file_size_bytes == store.size(f"data/{file.path}")
    assert write(store, rows(0)) == []


def test_files_are_cut_at_bytes():
    store = MemoryStore()
    values = np.random.default_rng(0).integers(0, 1 << 62, 400_000)
    table = pa.table({"id": pa.array(values)}, schema=pa.schema([SCHEMA.field("id")]))
    limit = 400_000
    fragments = write(store, table, max_bytes=limit)
    sizes = [fragment.files[0].file_size_bytes for fragment in fragments]
    assert all(limit <= size <= 1.6 * limit for size in sizes[:-1])
    assert sizes[-1] <= 1.6 * limit
    assert sum(fragment.physical_rows for fragment in fragments) == len(values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("name", pa.string())], "no column 'id', which must not be null"),
        ([("id", pa.int64()), ("nope", pa.string())], "no column 'nope'; it has 'id', 'name', 'st', 'tags'"),
        ([("id", pa.int32())], "column 'id' has type int32; the dataset stores int64"),
        ([("id", pa.int64()), ("st", pa.struct([("z", pa.int32())]))], "no column 'st.z'"),
        ([("id", pa.int64()), ("st", pa.struct([("x", pa.int64())]))], "column 'st.x' has type int64"),
        ([("id", pa.int64()), ("tags", pa.list_(pa.int8()))], "column 'tags.item' has type int8"),
    ],
)
def test_rows_that_do_not_fit_are_refused(given, message):
    with pytest.raises(OptionError, match=message):
        fields_for(Schema.from_arrow(SCHEMA), pa.schema(given))


def test_missing_columns_and_other_orders():
    given = pa.schema([("st", pa.struct([("y", pa.string())])), ("id", pa.int64())])
    table = pa.table({"st": [{"y": "a"}, None], "id": [1, 2]}, schema=given)
    store = MemoryStore()
    (fragment,) = write(store, table)
    assert fragment.files[0].fields == (0, 4)
    assert read(store, fragment).to_pydict() == {"id": [1, 2], "st": [{"y": "a"}, None]}


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_children_of_structs_in_another_order_and_items_of_another_name(version, tmp_path) -> None:
    """Nested fields are matched by name as columns are; those of lists by place. Views and slices change nothing."""
    item = pa.struct([("u", pa.int32()), ("v", pa.string())])
    whole = pa.struct([("x", pa.int64()), ("y", pa.string()), ("l", pa.list_(item))])
    schema = pa.schema([("a", pa.int64()), ("s", whole), ("l", pa.large_list(pa.int8()))])
    turned_item = pa.struct([("v", pa.string_view()), ("u", pa.int32())])
    turned = pa.struct(
        [("l", pa.list_(pa.field("element", turned_item))), ("y", pa.string_view()), ("x", pa.int64())]
    )
    other = pa.schema([("l", pa.large_list(pa.field("element", pa.int8()))), ("s", turned)])
    none = None if version > "2.0" else {"u": 7, "v": None}
    rows = [
        {"a": 1, "s": {"x": 1, "y": "p", "l": [{"u": 1, "v": "q"}]}, "l": [1, 2]},
        {"a": 2, "s": None if version > "2.0" else {"x": None, "y": "", "l": None}, "l": None},
        {"a": 3, "s": {"x": None, "y": "z", "l": [none, {"u": None, "v": "k"}]}, "l": []},
    ]
    lancelet.write_dataset(rows, tmp_path, schema, data_storage_version=version)
    slice_ = pa.Table.from_pylist([*rows, rows[0]], schema=other).slice(1)
    made = lancelet.write_dataset(slice_, tmp_path, mode="append")
    made.validate(read_data=True)
    expected = [*rows, *({**row, "a": None} for row in (*rows[1:], rows[0]))]
    assert made.to_table().to_pylist() == expected
    read = "result = lance.dataset(root).to_table().to_pylist()"
    assert oracle("14.0.2").run(read, root=str(tmp_path)) == expected


def test_a_null_that_may_not_be_leaves_nothing():
    store = MemoryStore()
    table = pa.table({"id": pa.array([*range(30), None])}, schema=pa.schema([("id", pa.int64())]))
    with pytest.raises(OptionError, match="'id' is not nullable"):
        write(store, table, max_rows=10)
    assert store.list() == []


def test_a_file_of_columns_is_removed_when_its_rows_fail():
    store = MemoryStore()
    schema = pa.schema([("v", pa.int64())])

    def batches():
        yield pa.record_batch({"v": [1, 2]}, schema=schema)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_column_file(store, Schema.from_arrow(schema), batches(), schema, version=Version.V2_1)
    assert store.list() == []
    batch = pa.record_batch({"v": [1, 2]}, schema=schema)
    file, num_rows, paths = write_column_file(
        store, Schema.from_arrow(schema), [batch], schema, version=Version.V2_1
    )
    assert (num_rows, file.fields, store.list()) == (2, (0,), [f"data/{file.path}"])
    assert paths == store.list()


@pytest.mark.parametrize("limits", [{"max_rows": 0}, {"max_bytes": -1}, {"max_rows": True}])
def test_limits_are_checked(limits):
    with pytest.raises(OptionError, match="at least 1"):
        FileLimits(**limits)
