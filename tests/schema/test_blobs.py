from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet import FormatError, OptionError, UnsupportedError
from lancelet.pb import file_pb2
from lancelet.schema import Schema, check_version, columns_of
from lancelet.schema.blobs import (
    DESCRIPTOR_V1,
    DESCRIPTOR_V2,
    LOGICAL_INPUT,
    PREPARED_INPUT,
    descriptor_type,
    shown_schema,
    stored_schema,
)
from lancelet.versions import Version

V1 = {"lance-encoding:blob": "true"}
V2 = {"ARROW:extension:name": "lance.blob.v2", "ARROW:extension:metadata": ""}
STORED = {b"lance-encoding:blob": b"true", b"lance-encoding:packed": b"true"}
LOGICAL = pa.struct(list(LOGICAL_INPUT.items()))


def schema_of(*fields):
    return Schema.from_arrow(pa.schema(list(fields)))


def nested():
    """A blob of the second kind at every place: ids of the fields as they are declared."""
    blob = pa.field("blob", LOGICAL, metadata=V2)  # 5 ids
    return schema_of(
        pa.field("a", pa.int32()),  # 0
        blob.with_name("top"),  # 1
        pa.field("s", pa.struct([blob, pa.field("x", pa.int8())])),  # 6, 7, 12
        pa.field("l", pa.list_(blob)),  # 13, 14
        pa.field("z", pa.int64()),  # 19
    )


def test_fields_keep_their_ids_and_descriptors_follow():
    stored = stored_schema(nested())
    columns = columns_of(stored, Version.V2_2)
    assert columns == {0: 0, 1: 1, 7: 2, 12: 3, 14: 4, 19: 5}
    below = [[child.id for child in field.children] for field in stored.walk() if field.id in (1, 7, 14)]
    assert below == [[*range(20, 25)], [*range(25, 30)], [*range(30, 35)]]
    assert Schema.from_message(stored.to_message()) == stored


def test_stored_field():
    metadata = {**V2, "note": "of the user"}
    schema = schema_of(pa.field("b", LOGICAL, nullable=False, metadata=metadata))
    (field,) = stored_schema(schema).fields
    assert field.to_arrow() == pa.field("b", DESCRIPTOR_V2, nullable=False)
    assert field.to_arrow().metadata == {**STORED, b"note": b"of the user"}
    assert field.to_message().extension_name == ""


def test_schemas_without_blobs_of_the_second_kind_are_as_they_were():
    schema = schema_of(pa.field("b", pa.large_binary(), metadata=V1), pa.field("n", pa.int8()))
    assert stored_schema(schema) is schema


@pytest.mark.parametrize(
    "type_",
    [
        pa.struct(list(LOGICAL_INPUT.items())),
        pa.struct(list(LOGICAL_INPUT.items())[:2]),
        pa.struct(list(PREPARED_INPUT.items())),
    ],
)
def test_structs_that_are_accepted(type_):
    (field,) = stored_schema(schema_of(pa.field("b", type_, metadata=V2))).fields
    assert field.storage_type == DESCRIPTOR_V2


@pytest.mark.parametrize(
    "type_",
    [
        pa.large_binary(),
        pa.struct([]),
        pa.struct([("data", pa.large_binary())]),
        pa.struct([("data", pa.binary()), ("uri", pa.string())]),
        pa.struct([("uri", pa.string()), ("data", pa.large_binary())]),
        pa.struct(list(LOGICAL_INPUT.items())[:3]),
        pa.struct([*LOGICAL_INPUT.items(), ("more", pa.int8())]),
        DESCRIPTOR_V2,
    ],
)
def test_structs_that_are_not_accepted(type_):
    with pytest.raises(OptionError, match=r"field 'b': a blob \(lance.blob.v2\) is written as struct<data"):
        stored_schema(schema_of(pa.field("b", type_, metadata=V2)))


@pytest.mark.parametrize(
    ("view", "first", "second"),
    [
        (None, pa.large_binary(), DESCRIPTOR_V2),
        ("values", pa.large_binary(), pa.large_binary()),
        ("descriptors", DESCRIPTOR_V1, DESCRIPTOR_V2),
    ],
)
def test_views(view, first, second):
    v1, v2 = pa.field("v1", pa.large_binary(), metadata=V1), pa.field("v2", LOGICAL, metadata=V2)
    inner = [pa.field("v1", pa.large_binary(), nullable=False, metadata=V1), v2]
    schema = stored_schema(
        schema_of(
            v1, v2, pa.field("n", pa.int8()), pa.field("s", pa.struct(inner)), pa.field("l", pa.list_(v2))
        )
    )
    shown = shown_schema(schema, view).to_arrow()
    struct = pa.struct([pa.field("v1", first, nullable=False), ("v2", second)])
    assert shown.types == [first, second, pa.int8(), struct, pa.list_(pa.field("v2", second))]
    assert shown.field("v1").metadata == {b"lance-encoding:blob": b"true"}
    assert shown.field("v2").metadata.keys() == (
        STORED.keys() if second == DESCRIPTOR_V2 else {b"lance-encoding:blob"}
    )
    assert descriptor_type(schema.fields[0]) == DESCRIPTOR_V1
    assert descriptor_type(schema.fields[1]) == DESCRIPTOR_V2


@pytest.mark.parametrize(
    ("type_", "metadata"),
    [(pa.binary(), V1), (pa.int64(), V1), (DESCRIPTOR_V2, V1), (pa.struct([("kind", pa.uint8())]), {**V1})],
)
def test_blobs_of_types_that_blobs_do_not_have(type_, metadata):
    (field,) = schema_of(pa.field("b", type_, metadata=metadata)).fields
    with pytest.raises(UnsupportedError, match="field 'b': blobs of type"):
        descriptor_type(field)


def message_of(*fields):
    return file_pb2.Schema(
        fields=[
            file_pb2.Field(name=name, id=id_, parent_id=parent, logical_type=type_, metadata=metadata or {})
            for name, id_, parent, type_, metadata in fields
        ]
    )


MARKS = {"lance-encoding:blob": b"true", "lance-encoding:packed": b"true"}
LOST = [
    ("kind", -1, -1, "uint8", None),
    ("position", -1, -1, "uint64", None),
    ("size", -1, -1, "uint64", None),
    ("blob_id", -1, -1, "uint32", None),
    ("blob_uri", -1, -1, "string", None),
]


def test_descriptors_that_a_writer_left_without_ids():
    message = message_of(
        ("s", 0, -1, "struct", None),
        ("b", 1, 0, "struct", MARKS),
        *LOST,
        ("x", 6, 0, "int64", None),
        ("c", 7, -1, "struct", MARKS),
        *LOST,
    )
    schema = Schema.from_message(message)
    assert [field.name for field in schema.fields] == ["s", "c"]
    assert [child.name for child in schema.fields[0].children] == ["b", "x"]
    assert [child.id for child in schema.fields[0].children[0].children] == [*range(8, 13)]
    assert schema.fields[1].storage_type == DESCRIPTOR_V2
    assert columns_of(schema, Version.V2_2) == {1: 0, 6: 1, 7: 2}
    assert all(field.id == -1 for field in message.fields[2:7]), "the message itself was changed"


@pytest.mark.parametrize(
    "fields",
    [
        [("b", 0, -1, "struct", None), *LOST],
        [("b", 0, -1, "struct", MARKS), *LOST[:4]],
        [("b", 0, -1, "struct", MARKS), *LOST[1:], LOST[0]],
        [("b", 0, -1, "struct", MARKS), ("x", 1, -1, "int8", None), *LOST],
        LOST,
    ],
)
def test_other_fields_without_ids_are_refused(fields):
    with pytest.raises(FormatError, match="its id -1"):
        Schema.from_message(message_of(*fields))


@pytest.mark.parametrize(
    "type_",
    [
        lambda field: pa.list_(field),
        lambda field: pa.large_list(pa.field("item", pa.struct([field]))),
        lambda field: pa.map_(pa.string(), field),
    ],
)
def test_a_blob_of_the_first_kind_in_a_list(type_):
    schema = schema_of(pa.field("f", type_(pa.field("b", pa.large_binary(), metadata=V1))))
    with pytest.raises(OptionError, match="inside of a list"):
        check_version(schema, Version.V2_2)


def test_descriptors_cannot_be_written():
    for type_, metadata in ((DESCRIPTOR_V1, V1), (DESCRIPTOR_V2, {**V1, "lance-encoding:packed": "true"})):
        with pytest.raises(OptionError, match="descriptors of blobs"):
            check_version(schema_of(pa.field("b", type_, metadata=metadata)), Version.V2_2)


def test_no_ids_are_left_for_descriptors():
    fields = [file_pb2.Field(name="b", id=2**31 - 1, parent_id=-1, logical_type="struct")]
    fields[0].metadata["lance-encoding:blob"] = b"true"
    fields += [
        file_pb2.Field(name=child.name, id=-1, parent_id=-1, logical_type="uint64") for child in DESCRIPTOR_V2
    ]
    with pytest.raises(FormatError, match="which leaves none for the descriptors of blobs"):
        Schema.from_message(file_pb2.Schema(fields=fields))
