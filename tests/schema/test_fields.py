"""Fields and schemas: ids, messages, metadata, extension types, and what is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.pb import file_pb2
from lancelet.schema import Schema
from lancelet.schema.fields import MAX_DEPTH, Keys

NESTED = pa.schema(
    [
        pa.field("i", pa.int32(), nullable=False, metadata={"unit": "m", "ü": ""}),
        pa.field(
            "s",
            pa.struct(
                [pa.field("x.y", pa.int8()), pa.field("l", pa.list_(pa.field("element", pa.string())))]
            ),
        ),
        pa.field("v", pa.list_(pa.float32(), 4)),
        pa.field(
            "m",
            pa.map_(
                pa.field("k", pa.string(), nullable=False), pa.field("w", pa.int8(), metadata={"a": "b"})
            ),
        ),
        pa.field("f", pa.list_(pa.field("item", pa.struct([pa.field("a", pa.int8())]), nullable=False), 3)),
        pa.field("d", pa.dictionary(pa.int16(), pa.string())),
        pa.field("e", pa.struct([])),
    ],
    metadata={"z": "1", "k": "v"},
)


def test_ids_are_numbered_depth_first():
    schema = Schema.from_arrow(NESTED)
    assert [(found.id, found.parent_id, found.name, found.logical_type) for found in schema.walk()] == [
        (0, -1, "i", "int32"),
        (1, -1, "s", "struct"),
        (2, 1, "x.y", "int8"),
        (3, 1, "l", "list"),
        (4, 3, "element", "string"),
        (5, -1, "v", "fixed_size_list:float:4"),
        (6, -1, "m", "map"),
        (7, 6, "entries", "struct"),
        (8, 7, "k", "string"),
        (9, 7, "w", "int8"),
        (10, -1, "f", "fixed_size_list:struct:3"),
        (11, 10, "item", "struct"),
        (12, 11, "a", "int8"),
        (13, -1, "d", "dict:string:int16:false"),
        (14, -1, "e", "struct"),
    ]


def test_messages_in_both_directions():
    schema = Schema.from_arrow(NESTED)
    assert schema.to_arrow().equals(NESTED, check_metadata=True)
    message = file_pb2.Schema.FromString(schema.to_message().SerializeToString())
    assert Schema.from_message(message) == schema
    assert message.metadata == {"z": b"1", "k": b"v"}
    encodings = [file_pb2.Encoding.Name(found.encoding) for found in message.fields]
    assert encodings[:5] == ["PLAIN", "NONE", "PLAIN", "PLAIN", "VAR_BINARY"]
    assert encodings[13:] == ["DICTIONARY", "NONE"]


def test_metadata_is_written_sorted():
    one = Schema.from_arrow(
        pa.schema([pa.field("a", pa.int8(), metadata={"y": "1", "x": "2"})], metadata={"b": "", "a": ""})
    )
    two = Schema.from_arrow(
        pa.schema([pa.field("a", pa.int8(), metadata={"x": "2", "y": "1"})], metadata={"a": "", "b": ""})
    )
    serialised = one.to_message().SerializeToString(deterministic=True)
    assert serialised == two.to_message().SerializeToString(deterministic=True)
    assert serialised.index(b"x") < serialised.index(b"y")


def test_types_that_come_back_as_others():
    given = pa.schema(
        [
            pa.field("a", pa.string_view()),
            pa.field("b", pa.binary_view()),
            pa.field("c", pa.dictionary(pa.int8(), pa.string(), ordered=True)),
            pa.field("d", pa.list_(pa.field("x", pa.int8(), nullable=False, metadata={"k": "v"}), 2)),
            pa.field("e", pa.timestamp("s", "")),
        ]
    )
    stored = pa.schema(
        [
            pa.field("a", pa.string()),
            pa.field("b", pa.binary()),
            pa.field("c", pa.dictionary(pa.int8(), pa.string())),
            pa.field("d", pa.list_(pa.field("item", pa.int8()), 2)),
            pa.field("e", pa.timestamp("s")),
        ]
    )
    assert Schema.from_arrow(given).to_arrow().equals(stored, check_metadata=True)


@pytest.mark.parametrize(
    "type_",
    [
        pa.uuid(),
        pa.bool8(),
        pa.fixed_shape_tensor(pa.float32(), [2, 3]),
        pa.opaque(pa.binary(), "type", "vendor"),
        pa.list_(pa.uuid()),
        pa.struct([pa.field("u", pa.list_(pa.fixed_shape_tensor(pa.int8(), [2])), metadata={"a": "b"})]),
    ],
    ids=str,
)
def test_extension_types(type_):
    given = pa.schema([pa.field("u", type_, nullable=False, metadata={"own": "key"})])
    schema = Schema.from_arrow(given)
    assert schema.to_arrow().equals(given, check_metadata=True)
    again = Schema.from_message(schema.to_message())
    assert again == schema
    (field,) = schema.fields
    assert field.arrow_type == type_
    assert "extension" not in str(field.storage_type)
    if isinstance(type_, pa.BaseExtensionType):
        assert field.metadata["ARROW:extension:name"] == type_.extension_name
        assert schema.to_message().fields[0].extension_name == type_.extension_name
        assert field.storage_type == type_.storage_type


def test_unknown_and_misused_extensions_stay_storage():
    metadata = {"ARROW:extension:name": "arrow.uuid", "ARROW:extension:metadata": "", "x": "y"}
    for name, type_ in (
        ("my.own", pa.binary(16)),
        ("arrow.uuid", pa.int8()),
        ("arrow.fixed_shape_tensor", pa.int8()),
    ):
        given = pa.schema([pa.field("u", type_, metadata=metadata | {"ARROW:extension:name": name})])
        assert Schema.from_arrow(given).to_arrow().equals(given, check_metadata=True)


def test_an_extension_type_of_the_user():
    class Celsius(pa.ExtensionType):
        def __init__(self, place: str) -> None:
            self.place = place
            super().__init__(pa.float32(), "test.celsius")

        def __arrow_ext_serialize__(self) -> bytes:
            return self.place.encode()

        @classmethod
        def __arrow_ext_deserialize__(cls, storage_type, serialized):
            if serialized == b"broken":
                raise RuntimeError("boom")
            return cls(serialized.decode())

    pa.register_extension_type(Celsius(""))
    try:
        schema = Schema.from_arrow(pa.schema([pa.field("t", Celsius("roof"))]))
        assert schema.fields[0].metadata["ARROW:extension:metadata"] == "roof"
        assert schema.to_arrow().field(0).type.place == "roof"
        broken = schema.to_message()
        broken.fields[0].metadata["ARROW:extension:metadata"] = b"broken"
        assert Schema.from_message(broken).fields[0].arrow_type == pa.float32()
    finally:
        pa.unregister_extension_type("test.celsius")


def test_json():
    expected = pa.schema(
        [
            pa.field(
                "j",
                pa.large_binary(),
                metadata={"ARROW:extension:name": "lance.json", "ARROW:extension:metadata": ""},
            )
        ]
    )
    for type_ in (pa.json_(pa.string()), pa.json_(pa.large_string())):
        schema = Schema.from_arrow(pa.schema([pa.field("j", type_)]))
        assert schema.fields[0].logical_type == "json"
        assert schema.to_arrow().equals(expected, check_metadata=True)
    assert Schema.from_arrow(expected).fields[0].logical_type == "json"
    old = file_pb2.Schema(
        fields=[
            file_pb2.Field(
                name="j", parent_id=-1, logical_type="json", nullable=True, extension_name="arrow.json"
            )
        ]
    )
    assert Schema.from_message(old).to_arrow().equals(expected, check_metadata=True)


def key_field(
    name: str = "k", type_: pa.DataType | None = None, position: str | None = None, **options
) -> pa.Field:
    metadata = {"lance-schema:unenforced-primary-key": "TRUE"}
    if position is not None:
        metadata["lance-schema:unenforced-primary-key:position"] = position
    return pa.field(name, type_ or pa.int32(), metadata=metadata, **options)


def test_keys():
    given = pa.schema(
        [
            key_field("a", nullable=False, position="2"),
            pa.field("s", pa.struct([key_field("b", nullable=False)]), nullable=False),
            pa.field("c", pa.int8(), metadata={"lance-schema:unenforced-clustering-key:position": "1"}),
        ]
    )
    schema = Schema.from_arrow(given)
    assert [found.keys for found in schema.walk()] == [
        Keys(primary=True, primary_position=2),
        Keys(),
        Keys(primary=True),
        Keys(clustering_position=1),
    ]
    assert Schema.from_message(schema.to_message()) == schema
    assert schema.to_arrow().equals(given, check_metadata=True)


@pytest.mark.parametrize(
    "field",
    [
        key_field(),
        key_field(type_=pa.struct([]), nullable=False, position="x"),
        key_field(type_=pa.struct([pa.field("a", pa.int8())]), nullable=False),
        pa.field("s", pa.struct([key_field(nullable=False)])),
        pa.field("l", pa.list_(key_field(nullable=False)), nullable=False),
        pa.field("m", pa.map_(key_field(nullable=False), pa.int8()), nullable=False),
    ],
)
def test_impossible_keys(field):
    with pytest.raises(OptionError, match="key"):
        Schema.from_arrow(pa.schema([field]))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (pa.schema([pa.field("a.b", pa.int8())]), "'a.b'.*dot"),
        (pa.schema([pa.field("a", pa.int8()), pa.field("a", pa.int8())]), "more than one field 'a'"),
        (
            pa.schema([pa.field("a", pa.list_(pa.field("x", pa.duration("s"))))]).append(
                pa.field("y", pa.decimal32(3))
            ),
            "'y'",
        ),
        (
            pa.schema([pa.field("a", pa.list_(pa.field("deep", pa.month_day_nano_interval())))]),
            "'deep'.*interval",
        ),
        (pa.schema([pa.field("a", pa.int8(), metadata={"k": b"\xff"})]), "'a'.*UTF-8"),
        (pa.schema([], metadata={b"\xff": b""}), "UTF-8"),
    ],
)
def test_schemas_that_cannot_be_written(schema, message):
    with pytest.raises(OptionError, match=message):
        Schema.from_arrow(schema)


def test_odd_names():
    given = pa.schema([pa.field("", pa.int8()), pa.field("ü \n", pa.struct([pa.field("", pa.int8())]))])
    assert Schema.from_message(Schema.from_arrow(given).to_message()).to_arrow() == given


def test_depth():
    type_ = pa.int8()
    for _ in range(MAX_DEPTH - 1):
        type_ = pa.struct([pa.field("x", type_)])
    schema = Schema.from_arrow(pa.schema([pa.field("x", type_)]))
    assert Schema.from_message(schema.to_message()).to_arrow() == schema.to_arrow()
    with pytest.raises(OptionError, match="deeper"):
        Schema.from_arrow(pa.schema([pa.field("x", pa.list_(type_))]))
    message = file_pb2.Schema()
    for id_ in range(100_000):
        message.fields.add(name="x", id=id_, parent_id=id_ - 1, logical_type="struct")
    with pytest.raises(UnsupportedError, match="deeper"):
        Schema.from_message(message)


def stored(*fields: tuple) -> file_pb2.Schema:
    names = ("id", "parent_id", "name", "logical_type")
    return file_pb2.Schema(
        fields=[file_pb2.Field(**dict(zip(names, values, strict=True))) for values in fields]
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (stored((0, -1, "a", "int8"), (0, -1, "b", "int8")), "'b'.*taken"),
        (stored((-2, -1, "a", "int8")), "negative"),
        (stored((-1, -1, "a", "int8")), "negative"),
        (stored((0, 0, "a", "struct")), "'a'.*no earlier field"),
        (stored((1, 2, "b", "int8"), (2, -1, "a", "struct")), "'b'.*no earlier field"),
        (stored((0, -1, "a", "int9")), "'a'.*'int9'"),
        (stored((0, -1, "a", "int8"), (1, 0, "b", "int8")), "'a'.*children"),
        (stored((0, -1, "a", "list")), "'a'.*one child"),
        (stored((0, -1, "a", "null")), "'a'.*nullable"),
        (stored((0, -1, "a.b", "int8")), "dot"),
        (stored((0, -1, "a", "int8"), (1, -1, "a", "int8")), "more than one"),
    ],
)
def test_broken_schemas(message, expected):
    with pytest.raises(FormatError, match=expected):
        Schema.from_message(message)


def test_ids_need_not_be_dense_or_ordered():
    schema = Schema.from_message(
        stored((7, -1, "a", "struct"), (2**31 - 1, -1, "b", "int8"), (3, 7, "c", "int8"), (0, 7, "d", "int8"))
    )
    assert [(found.id, found.name) for found in schema.walk()] == [
        (7, "a"),
        (3, "c"),
        (0, "d"),
        (2**31 - 1, "b"),
    ]


def test_metadata_that_is_no_text_is_replaced():
    message = stored((0, -1, "a", "int8"))
    message.fields[0].metadata["k"] = b"\xff!"
    message.metadata["k"] = b"\xfe"
    schema = Schema.from_message(message)
    assert (schema.fields[0].metadata, schema.metadata) == ({"k": "\ufffd!"}, {"k": "\ufffd"})


def test_unsupported_types_name_the_field():
    with pytest.raises(UnsupportedError, match="'a'"):
        Schema.from_message(stored((0, -1, "a", "fixed_size_list:string:2")))
