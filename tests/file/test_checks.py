"""Nullability is checked on what is visible: nulls below a null, outside of a slice or of every list do not count."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lancelet.errors import OptionError
from lancelet.file.checks import check_nulls

STRICT = pa.field("x", pa.int64(), nullable=False)
STRUCT = pa.struct([STRICT])
ITEMS = pa.array([None, 1, 2, None, 3], pa.int64())
"""Items of lists: the first and the fourth are null."""


class Point(pa.ExtensionType):
    """An extension over a struct whose child is never null."""

    def __init__(self) -> None:
        super().__init__(STRUCT, "lancelet.tests.point")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Point:
        return cls()


def structs(values: list[int | None], nulls: list[bool]) -> pa.Array:
    return pa.StructArray.from_arrays(
        [pa.array(values, pa.int64())], fields=list(STRUCT), mask=pa.array(nulls)
    )


def lists(mask: list[bool] | None = None, *, large: bool = False) -> pa.Array:
    """Lists [null], [1, 2], [null], [3] of items that may not be null; `mask` makes whole lists null."""
    make, width = (pa.large_list, pa.int64()) if large else (pa.list_, pa.int32())
    type_ = make(pa.field("item", pa.int64(), nullable=False))
    kind = pa.LargeListArray if large else pa.ListArray
    nulls = None if mask is None else pa.array(mask)
    return kind.from_arrays(pa.array([0, 1, 3, 4, 5], width), ITEMS, type=type_, mask=nulls)


def fixed_lists(mask: list[bool] | None = None) -> pa.Array:
    type_ = pa.list_(pa.field("item", pa.int64(), nullable=False), 2)
    nulls = None if mask is None else pa.array(mask)
    return pa.FixedSizeListArray.from_arrays(pa.array([1, 2, None, 4]), type=type_, mask=nulls)


def maps() -> pa.Array:
    type_ = pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False))
    offsets = pa.array([0, 1, 2], pa.int32())
    return pa.MapArray.from_arrays(offsets, pa.array(["a", "b"]), pa.array([1, None]), type=type_)


def points(values: list[int | None], nulls: list[bool]) -> pa.Array:
    return pa.ExtensionArray.from_storage(Point(), structs(values, nulls))


def list_of(array: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)


VISIBLE = {
    "child of a struct": (structs([1, None], [False, False]), "f.x"),
    "item of a list": (lists(), "f.item"),
    "item of a large list": (lists(large=True), "f.item"),
    "item of a list in a slice": (lists().slice(2, 1), "f.item"),
    "item of a fixed-size list": (fixed_lists(), "f.item"),
    "value of a map": (maps(), "f.value"),
    "child of an extension": (points([1, None], [False, False]), "f.x"),
    "child of a struct in a list": (list_of(structs([1, None], [False, False])), "f.item.x"),
    "child of an extension in a list": (list_of(points([1, None], [False, False])), "f.item.x"),
}

HIDDEN = {
    "below a null struct": structs([1, None], [False, True]),
    "before a slice of structs": structs([None, 1, None], [False, False, True]).slice(1),
    "below null lists": lists([True, False, True, False]),
    "below null large lists": lists([True, False, True, False], large=True),
    "outside of a slice of lists": lists().slice(1, 1),
    "below a null fixed-size list": fixed_lists([False, True]),
    "outside of a slice of fixed-size lists": fixed_lists().slice(0, 1),
    "outside of a slice of maps": maps().slice(0, 1),
    "below a null extension": points([1, None], [False, True]),
    "below a null struct in a list": list_of(structs([1, None], [False, True])),
}


@pytest.mark.parametrize("name", VISIBLE)
def test_a_visible_null_is_an_error_that_names_its_path(name):
    array, path = VISIBLE[name]
    with pytest.raises(
        OptionError, match=rf"^field '{path}' is not nullable, and the batch has \d nulls there$"
    ):
        check_nulls(array, pa.field("f", array.type), "f")


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_null_is_none(name):
    array = HIDDEN[name]
    check_nulls(array, pa.field("f", array.type), "f")


def test_a_null_in_the_field_itself():
    with pytest.raises(OptionError, match="field 'f' is not nullable, and the batch has 1 nulls there"):
        check_nulls(structs([1, 2], [False, True]), pa.field("f", STRUCT, nullable=False), "f")
