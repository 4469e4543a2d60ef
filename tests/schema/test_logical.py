"""Logical type strings (container.md 9)."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.schema.logical import arrow_type_of, logical_type_of

LEAVES = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "uint64": pa.uint64(),
    "halffloat": pa.float16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "fixed_size_binary:7": pa.binary(7),
    "decimal:128:10:-2": pa.decimal128(10, -2),
    "decimal:256:76:5": pa.decimal256(76, 5),
    "date32:day": pa.date32(),
    "date64:ms": pa.date64(),
    "time32:s": pa.time32("s"),
    "time64:ns": pa.time64("ns"),
    "timestamp:us:-": pa.timestamp("us"),
    "timestamp:s:UTC": pa.timestamp("s", "UTC"),
    "timestamp:us:+05:30": pa.timestamp("us", "+05:30"),
    "duration:ns": pa.duration("ns"),
    "dict:string:int8:false": pa.dictionary(pa.int8(), pa.string()),
    "dict:halffloat:uint64:false": pa.dictionary(pa.uint64(), pa.float16()),
    "fixed_size_list:float:8": pa.list_(pa.float32(), 8),
    "fixed_size_list:timestamp:us:+05:30:2": pa.list_(pa.timestamp("us", "+05:30"), 2),
    "fixed_size_list:decimal:128:9:2:3": pa.list_(pa.decimal128(9, 2), 3),
    "fixed_size_list:fixed_size_list:int32:2:3": pa.list_(pa.list_(pa.int32(), 2), 3),
    "fixed_size_list:fixed_size_binary:4:3": pa.list_(pa.binary(4), 3),
    "fixed_size_list:bool:1": pa.list_(pa.bool_(), 1),
}


@pytest.mark.parametrize(("text", "type_"), LEAVES.items())
def test_leaves_in_both_directions(text, type_):
    assert logical_type_of(type_) == text
    assert arrow_type_of(text) == type_


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (pa.string_view(), "string"),
        (pa.binary_view(), "binary"),
        (pa.timestamp("us", ""), "timestamp:us:-"),
        (pa.dictionary(pa.int8(), pa.string(), ordered=True), "dict:string:int8:false"),
        (pa.list_(pa.field("element", pa.int8(), nullable=False), 3), "fixed_size_list:int8:3"),
        (pa.uuid(), "fixed_size_binary:16"),
        (pa.list_(pa.uuid(), 2), "fixed_size_list:fixed_size_binary:16:2"),
        (pa.list_(pa.struct([]), 2), "fixed_size_list:struct:2"),
        (pa.list_(pa.int8()), "list"),
        (pa.list_(pa.struct([])), "list.struct"),
        (pa.large_list(pa.list_(pa.int8())), "large_list"),
        (pa.large_list(pa.struct([])), "large_list.struct"),
        (pa.struct([("a", pa.int8())]), "struct"),
        (pa.map_(pa.string(), pa.int8()), "map"),
    ],
)
def test_writing_only(type_, text):
    assert logical_type_of(type_) == text


def test_items_of_fixed_size_lists_keep_only_bfloat16():
    metadata = {"ARROW:extension:name": "lance.bfloat16", "ARROW:extension:metadata": ""}
    item = pa.field("x", pa.binary(2), nullable=False, metadata=metadata)
    text = logical_type_of(pa.list_(item, 4))
    assert text == "fixed_size_list:lance.bfloat16:4"
    read = arrow_type_of(text)
    assert read == pa.list_(pa.binary(2), 4)
    assert (read.value_field.name, read.value_field.nullable) == ("item", True)
    assert read.value_field.metadata == {key.encode(): value.encode() for key, value in metadata.items()}


@pytest.mark.parametrize(
    "type_",
    [
        pa.binary(0),
        pa.decimal32(5, 1),
        pa.decimal64(5, 1),
        pa.month_day_nano_interval(),
        pa.list_view(pa.int8()),
        pa.large_list_view(pa.int8()),
        pa.run_end_encoded(pa.int32(), pa.int8()),
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.map_(pa.string(), pa.int8(), keys_sorted=True),
        pa.dictionary(pa.int8(), pa.timestamp("us")),
        pa.dictionary(pa.int8(), pa.decimal128(5)),
        pa.dictionary(pa.int8(), pa.binary(3)),
        pa.dictionary(pa.int8(), pa.list_(pa.int8())),
        pa.list_(pa.string(), 2),
        pa.list_(pa.null(), 2),
        pa.list_(pa.list_(pa.int8()), 2),
        pa.list_(pa.map_(pa.string(), pa.int8()), 2),
        pa.list_(pa.list_(pa.struct([]), 2), 2),
        pa.list_(pa.dictionary(pa.int8(), pa.int8()), 2),
        pa.list_(pa.int8(), 0),
        pa.list_(pa.struct([]), 0),
        pa.list_(pa.list_(pa.int8(), 2**20), 2**20),
    ],
    ids=str,
)
def test_types_that_cannot_be_stored(type_):
    with pytest.raises(OptionError, match="cannot be stored: ") as error:
        logical_type_of(type_)
    assert str(type_) in str(error.value)


def test_deep_fixed_size_lists():
    type_ = pa.int8()
    for _ in range(1000):
        type_ = pa.list_(type_, 1)
    with pytest.raises(OptionError):
        logical_type_of(type_)
    with pytest.raises(UnsupportedError):
        arrow_type_of("fixed_size_list:" * 100_000 + "int8" + ":1" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int",
        "int128",
        "Int32",
        "utf8",
        "int32:",
        "fixed_size_binary",
        "fixed_size_binary:",
        "fixed_size_binary:x",
        "fixed_size_binary:-1",
        "fixed_size_binary:2147483648",
        "fixed_size_binary:" + "9" * 5000,
        "fixed_size_binary:٣",
        "fixed_size_binary:3\n",
        "decimal:128:39:0",
        "decimal:128:0:0",
        "decimal:128:10:200",
        "decimal:64:10:2",
        "decimal:128:10",
        "decimal:128:10:2:3",
        "date32:ms",
        "time32:us",
        "timestamp:us",
        "timestamp:min:-",
        "timestamp:us-UTC",
        "duration:day",
        "dict:string:int8",
        "dict:string:int8:maybe",
        "dict:int8:string:false",
        "dict:timestamp:us:int8:false",
        "dict:decimal:int8:false",
        "fixed_size_list:int8",
        "fixed_size_list:int8:0",
        "fixed_size_list:int8:x",
        "fixed_size_list::3",
        "fixed_size_list:nothing:3",
        "list",
        "map",
        "fixed_size_list:struct:2",
        "struct:",
        "\u017ftruct",
    ],
)
def test_strings_that_make_no_sense(text):
    with pytest.raises(FormatError):
        arrow_type_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "fixed_size_binary:0",
        "fixed_size_list:string:2",
        "fixed_size_list:list:2",
        "fixed_size_list:map:2",
        "fixed_size_list:json:2",
        "fixed_size_list:dict:string:int8:false:2",
        "fixed_size_list:fixed_size_list:struct:2:2",
        "fixed_size_list:fixed_size_list:int8:2147483647:2147483647",
    ],
)
def test_strings_of_types_that_nobody_writes(text):
    with pytest.raises(UnsupportedError):
        arrow_type_of(text)


def test_children():
    a, b = pa.field("a", pa.int8(), nullable=False), pa.field("b", pa.string())
    entries = pa.field("entries", pa.struct([a, b]), nullable=False)
    assert arrow_type_of("struct", [a, b]) == pa.struct([a, b])
    assert arrow_type_of("struct") == pa.struct([])
    assert arrow_type_of("list", [a]).value_field == a
    assert arrow_type_of("large_list.struct", [entries]).value_field == entries
    assert arrow_type_of("map", [entries]) == pa.map_(a, b)
    assert arrow_type_of("fixed_size_list:struct:5", [entries]) == pa.list_(entries, 5)
    nullable_key = pa.field("entries", pa.struct([b, a]))
    for text, children in [
        ("int8", [a]),
        ("list", []),
        ("list", [a, b]),
        ("map", [a]),
        ("map", [nullable_key]),
        ("map", [pa.field("entries", pa.struct([a]))]),
        ("fixed_size_list:struct:5", [a]),
        ("fixed_size_list:struct:0", [entries]),
        ("fixed_size_list:int8:5", [a]),
    ]:
        with pytest.raises(FormatError):
            arrow_type_of(text, children)
