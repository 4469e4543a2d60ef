"""Files whose fields have the ids, nullability and metadata of a dataset rather than those of the first batch."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from lancelet.errors import OptionError
from lancelet.file.reader import FileReader
from lancelet.file.writer import FileWriter
from lancelet.schema.fields import Schema


def numbered(schema: pa.Schema, first: int) -> Schema:
    """Return fields whose ids count from `first`."""
    made = Schema.from_arrow(schema)

    def shift(field):
        children = tuple(shift(child) for child in field.children)
        parent = field.parent_id if field.parent_id < 0 else field.parent_id + first
        return dataclasses.replace(field, id=field.id + first, parent_id=parent, children=children)

    return Schema(tuple(shift(field) for field in made.fields), made.metadata)


SCHEMA = pa.schema([("a", pa.int64()), ("s", pa.struct([("x", pa.string()), ("y", pa.list_(pa.int8()))]))])


def test_ids_are_those_of_the_fields(tmp_path):
    path = tmp_path / "f.lance"
    table = pa.table({"a": [1, 2], "s": [{"x": "u", "y": [1]}, None]}, schema=SCHEMA)
    with FileWriter(path, SCHEMA, fields=numbered(SCHEMA, 7)) as writer:
        writer.write_table(table)
        writer.finish()
        assert writer.field_id_to_column_indices == [(7, 0), (9, 1), (11, 2)]
    with FileReader(path) as reader:
        assert [field.id for field in reader.fields.walk()] == [7, 8, 9, 10, 11]
        assert reader.read_all().to_table() == table


def test_nullability_is_that_of_the_fields(tmp_path):
    strict = pa.schema(
        [
            pa.field("a", pa.int64(), nullable=False),
            pa.field(
                "s", pa.struct([pa.field("x", pa.string(), nullable=False), ("y", pa.list_(pa.int8()))])
            ),
        ]
    )
    for rows, path in (
        ([{"a": None, "s": None}], "'a'"),
        ([{"a": 1, "s": {"x": None, "y": None}}], "'s.x'"),
    ):
        writer = FileWriter(tmp_path / "f.lance", SCHEMA, fields=numbered(strict, 3))
        with pytest.raises(OptionError, match=path):
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        writer.abort()
    with FileWriter(tmp_path / "f.lance", SCHEMA, fields=numbered(strict, 3)) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist([{"a": 1, "s": None}], schema=SCHEMA))
    with FileReader(tmp_path / "f.lance") as reader:
        assert reader.schema == strict


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (pa.schema([("a", pa.int64())]), "has the fields"),
        (pa.schema([("a", pa.int32()), SCHEMA.field("s")]), "'a' of type int64 cannot be stored as int32"),
        (pa.schema([("a", pa.int64()), ("s", pa.struct([("x", pa.string()), ("z", pa.int8())]))]), "'s.y'"),
    ],
)
def test_other_fields_are_refused(tmp_path, other, message):
    with pytest.raises(OptionError, match=message):
        FileWriter(tmp_path / "f.lance", SCHEMA, fields=Schema.from_arrow(other))
    with pytest.raises(OptionError, match="no schema"):
        FileWriter(tmp_path / "f.lance", fields=Schema.from_arrow(other))
    assert not list(tmp_path.iterdir())
