"""The comparison that all other tests rely on: it sees every difference that counts and no other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lancelet.testing import as_read_back, assert_tables_equal, first_difference, is_flat, tables_equal


def table(values: Any, arrow_type: pa.DataType | None = None, name: str = "x") -> pa.Table:
    return pa.table({name: pa.array(values, arrow_type)})


POINT = pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))])

UNEQUAL: list[tuple[pa.DataType, list[Any], list[Any], str, int | None, str]] = [
    (pa.int32(), [1, 2, 3], [1, 5, 3], "x", 1, "values"),
    (pa.int32(), [1, None, 3], [1, 2, 3], "x", 1, "validity"),
    (pa.float64(), [1.0, 0.0], [1.0, -0.0], "x", 1, "values"),
    (pa.float32(), [1.0, float("nan")], [1.0, 2.0], "x", 1, "values"),
    (pa.float16(), [np.float16(0.0)], [np.float16(-0.0)], "x", 0, "values"),
    (pa.bool_(), [True] * 9 + [False], [True] * 10, "x", 9, "values"),
    (pa.string(), ["a", "", None], ["a", None, None], "x", 1, "validity"),
    (pa.large_binary(), [b"a", b"\xff"], [b"a", b"\xfe"], "x", 1, "values"),
    (pa.decimal256(40, 2), [Decimal("1.00")], [Decimal("1.01")], "x", 0, "values"),
    (pa.binary(3), [b"abc", b"abx"], [b"abc", b"aby"], "x", 1, "values"),
    (pa.timestamp("us", "UTC"), [5, 6], [5, 7], "x", 1, "values"),
    (pa.list_(pa.int32()), [[1], None, [2, 3]], [[1], None, [2, 4]], "x.[]", 2, "values"),
    (pa.list_(pa.int32()), [[1], [2, 3]], [[1], [2]], "x", 1, "list length"),
    (pa.list_(pa.int32()), [[1], []], [[1], None], "x", 1, "validity"),
    (pa.large_list(pa.list_(pa.int8())), [[[1], [2]], [[3]]], [[[1], [2]], [[4]]], "x.[].[]", 1, "values"),
    (pa.list_(pa.int32(), 2), [[1, 2], None, [3, 4]], [[1, 2], None, [3, 5]], "x.[]", 2, "values"),
    (POINT, [{"x": 1}, None, {"x": 2}], [{"x": 1}, None, {"x": 3}], "x.x", 2, "values"),
    (POINT, [None, {"x": 1, "y": ["a"]}], [None, {"x": 1, "y": ["b"]}], "x.y.[]", 1, "values"),
    (
        pa.map_(pa.string(), pa.int8()),
        [[("a", 1)], [("b", 2)]],
        [[("a", 1)], [("b", 3)]],
        "x.[].value",
        1,
        "values",
    ),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"], ["a", "b", "b"], "x", 2, "values"),
    (pa.null(), [None], [None, None], "", None, "number of rows"),
]


@pytest.mark.parametrize(("arrow_type", "actual", "expected", "path", "row", "reason"), UNEQUAL, ids=str)
def test_difference_is_found(
    arrow_type: pa.DataType, actual: list[Any], expected: list[Any], path: str, row: int | None, reason: str
) -> None:
    left, right = table(actual, arrow_type), table(expected, arrow_type)
    assert tables_equal(left, left)
    assert tables_equal(right, right)
    for pair in ((left, right), (right, left)):
        difference = first_difference(*pair)
        assert difference is not None
        assert (difference.path, difference.row, difference.reason) == (path, row, reason)
    if row is not None:
        last = len(right) - 1
        sliced = pa.concat_tables([right, left]).combine_chunks().slice(last)
        chunked = pa.concat_tables([right.slice(last), right.slice(0, 1), right.slice(1)])
        difference = first_difference(sliced, chunked)
        assert difference is not None
        assert difference.row == row + 1
        assert tables_equal(chunked.slice(1), right)


@pytest.mark.parametrize("arrow_type", [pa.float16(), pa.float32(), pa.float64()])
def test_any_nan_equals_any_nan(arrow_type: pa.DataType) -> None:
    bits = {
        16: ("u2", 0x7E00, 0xFE01),
        32: ("u4", 0x7FC00000, 0xFFC00001),
        64: ("u8", 0x7FF8 << 48, (0xFFF8 << 48) + 1),
    }
    dtype, *patterns = bits[arrow_type.bit_width]
    left, right = (
        table(pa.Array.from_buffers(arrow_type, 1, [None, pa.py_buffer(np.array([pattern], dtype))]))
        for pattern in patterns
    )
    assert_tables_equal(left, right)


def test_what_lies_below_a_null_does_not_matter() -> None:
    valid = pa.py_buffer(b"\x05")
    numbers = [np.array(values, np.int32) for values in ([1, 7, 3], [1, 8, 3])]
    assert_tables_equal(
        *(table(pa.Array.from_buffers(pa.int32(), 3, [valid, pa.py_buffer(n)])) for n in numbers)
    )
    offsets = [np.array(values, np.int32) for values in ([0, 1, 2, 3], [0, 1, 1, 2])]
    items = [pa.array([1, 9, 3]), pa.array([1, 3])]
    lists = [
        pa.Array.from_buffers(pa.list_(pa.int64()), 3, [valid, pa.py_buffer(o)], children=[i])
        for o, i in zip(offsets, items, strict=True)
    ]
    assert_tables_equal(*map(table, lists))
    structs = [
        pa.StructArray.from_arrays([pa.array(["a", hidden, "c"])], ["s"], mask=pa.array([False, True, False]))
        for hidden in ("b", None)
    ]
    assert_tables_equal(*map(table, structs))


def test_dictionaries_compare_by_value() -> None:
    left = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1], pa.int8()), pa.array(["a", "b"]))
    right = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1, 0], pa.int8()), pa.array(["b", None, "a"]))
    assert_tables_equal(table(left), table(right))
    parts = pa.chunked_array([left.slice(0, 2), right.slice(2)])
    assert_tables_equal(pa.table({"x": parts}), table(left))


@pytest.mark.parametrize(
    ("actual", "reason"),
    [
        (table([1], pa.int64()), "type"),
        (table([1], pa.int32(), name="y"), "column names"),
        (
            pa.table([pa.array([1], pa.int32())], pa.schema([pa.field("x", pa.int32(), nullable=False)])),
            "nullability",
        ),
    ],
)
def test_schema_differences(actual: pa.Table, reason: str) -> None:
    difference = first_difference(actual, table([1], pa.int32()))
    assert difference is not None
    assert difference.reason == reason


def test_metadata_counts_only_when_asked_for() -> None:
    plain = table([1], pa.int32())
    marked = pa.table([[1]], pa.schema([pa.field("x", pa.int32(), metadata={"k": "v"})]))
    assert tables_equal(plain, marked)
    assert not tables_equal(plain, marked, metadata=True)
    assert not tables_equal(plain, plain.replace_schema_metadata({"k": "v"}), metadata=True)


def test_message_names_place_and_values() -> None:
    with pytest.raises(
        AssertionError, match=r"column 'x\.\[\]', row 1: values differs\n.*\[2, 3\]\n.*\[2, 4\]"
    ):
        assert_tables_equal(table([[1], [2, 3]]), table([[1], [2, 4]]))


def test_broken_arrays_are_reported() -> None:
    offsets = pa.py_buffer(np.array([0, 5, 3], np.int32))
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(AssertionError, match="not valid Arrow"):
        assert_tables_equal(table(broken), table(["a", "b"]))


def test_extension_types_compare_by_storage() -> None:
    left = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16, None], pa.binary(16)))
    right = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"b" * 16, None], pa.binary(16)))
    assert_tables_equal(table(left), table(left))
    assert not tables_equal(table(left), table(right))
    assert is_flat(left.type)


def test_views_read_back_as_plain() -> None:
    views = table(["a", None], pa.string_view())
    assert as_read_back(views).schema.field("x").type == pa.string()
    assert not is_flat(pa.list_(pa.int8()))
    assert not is_flat(pa.dictionary(pa.int8(), pa.string()))
