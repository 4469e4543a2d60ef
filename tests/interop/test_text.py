"""Columns as text: every flat type, null and odd value, as CSV, JSON and on the screen."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import math

import pyarrow as pa
import pyarrow.csv
import pytest

from lancelet.errors import FormatError, UnsupportedError
from lancelet.interop.text import csv_batch, csv_schema, json_lines, screen_text

DAY = datetime.date(2013, 1, 31)


def decimals(type_: pa.DataType) -> pa.Array:
    return pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("-3.00")], type_)


#: array of two values or more, its CSV fields, its JSON values
CASES = {
    "null": (pa.nulls(2), ["", ""], [None, None]),
    "bool": (pa.array([True, None, False]), ["true", "", "false"], [True, None, False]),
    "int64": (pa.array([-(2**63), None]), ["-9223372036854775808", ""], [-(2**63), None]),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), ["18446744073709551615", ""], [2**64 - 1, None]),
    "float32": (pa.array([0.1, None, -0.0], pa.float32()), ["0.1", "", "-0"], [0.1, None, -0.0]),
    "float64": (
        pa.array([1e300, math.nan, math.inf, -math.inf]),
        ["1e+300", "nan", "inf", "-inf"],
        [1e300, "NaN", "Infinity", "-Infinity"],
    ),
    "decimal128": (decimals(pa.decimal128(10, 2)), ["1.20", "", "-3.00"], ["1.20", None, "-3.00"]),
    "decimal256": (decimals(pa.decimal256(60, 2)), ["1.20", "", "-3.00"], ["1.20", None, "-3.00"]),
    "date32": (pa.array([DAY, None]), ["2013-01-31", ""], ["2013-01-31", None]),
    "date64": (pa.array([DAY, None], pa.date64()), ["2013-01-31", ""], ["2013-01-31", None]),
    "time32": (pa.array([1500, None], pa.time32("ms")), ["00:00:01.500", ""], ["00:00:01.500", None]),
    "time64": (
        pa.array([1, None], pa.time64("ns")),
        ["00:00:00.000000001", ""],
        ["00:00:00.000000001", None],
    ),
    "timestamp": (
        pa.array([1_359_590_400_001, None], pa.timestamp("ms")),
        ["2013-01-31 00:00:00.001", ""],
        ["2013-01-31T00:00:00.001", None],
    ),
    "timestamp with zone": (
        pa.array([1_359_590_400, None], pa.timestamp("s", "America/New_York")),
        ["2013-01-31 00:00:00Z", ""],
        ["2013-01-31T00:00:00Z", None],
    ),
    "timestamp with unknown zone": (
        pa.array([0, None], pa.timestamp("s", "Nowhere/Land")),
        ["1970-01-01 00:00:00Z", ""],
        ["1970-01-01T00:00:00Z", None],
    ),
    "duration": (pa.array([-5, None], pa.duration("us")), ["-5", ""], [-5, None]),
    "string": (
        pa.array(['say "hi"', "a,b\nc", "", None, "€"]),
        ['"say ""hi"""', '"a,b\nc"', '""', "", '"€"'],
        ['say "hi"', "a,b\nc", "", None, "€"],
    ),
    "large_string": (pa.array(["a", None], pa.large_string()), ['"a"', ""], ["a", None]),
    "string_view": (pa.array(["a", None], pa.string_view()), ['"a"', ""], ["a", None]),
    "binary": (pa.array([b"\x00\xff", b"", None]), ['"00ff"', '""', ""], ["AP8=", "", None]),
    "large_binary": (pa.array([b"a", None], pa.large_binary()), ['"61"', ""], ["YQ==", None]),
    "fixed_size_binary": (pa.array([b"ab", None], pa.binary(2)), ['"6162"', ""], ["YWI=", None]),
    "extension": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16), None], pa.binary(16))),
        [f'"{"00" * 16}"', ""],
        ["AAAAAAAAAAAAAAAAAAAAAA==", None],
    ),
    "list": (
        pa.array([[1, None], [], None], pa.list_(pa.int8())),
        ['"[1, null]"', '"[]"', ""],
        [[1, None], [], None],
    ),
    "large_list": (
        pa.array([["a,b"], None, [None]], pa.large_list(pa.string())),
        ['"[""a,b""]"', "", '"[null]"'],
        [["a,b"], None, [None]],
    ),
    "fixed_size_list": (
        pa.array([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
        ['"[1, 2]"', "", '"[3, null]"'],
        [[1, 2], None, [3, None]],
    ),
    "struct": (
        pa.array([{"a": 1, "b": [DAY]}, None, {"a": None, "b": None}]),
        ['"{""a"": 1, ""b"": [""2013-01-31""]}"', "", '"{""a"": null, ""b"": null}"'],
        [{"a": 1, "b": ["2013-01-31"]}, None, {"a": None, "b": None}],
    ),
    "struct without children": (pa.array([{}, None], pa.struct([])), ['"{}"', ""], [{}, None]),
    "map": (
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8())),
        ['"[{""key"": ""k"", ""value"": 1}]"', "", '"[]"'],
        [[{"key": "k", "value": 1}], None, []],
    ),
    "list of lists": (
        pa.array([[[1], []], None, [None, [2, 3]]]),
        ['"[[1], []]"', "", '"[null, [2, 3]]"'],
        [[[1], []], None, [None, [2, 3]]],
    ),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), ['"a"', "", '"a"'], ["a", None, "a"]),
}
NAMES = list(CASES)


def batch_of(array: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([array], ["column"])


@pytest.mark.parametrize("name", NAMES)
def test_csv(name: str) -> None:
    array, fields, _ = CASES[name]
    out = io.BytesIO()
    pa.csv.write_csv(csv_batch(batch_of(array)), out)
    assert out.getvalue().decode() == "\n".join(['"column"', *fields, ""])


@pytest.mark.parametrize("name", NAMES)
def test_json(name: str) -> None:
    array, _, values = CASES[name]
    lines = json_lines(batch_of(array)).decode().split("\n")
    assert [json.loads(line)["column"] for line in lines[:-1]] == values
    assert lines[-1] == ""


@pytest.mark.parametrize("name", NAMES)
def test_slices_and_the_screen(name: str) -> None:
    array, fields, _ = CASES[name]
    whole = screen_text(array)
    assert screen_text(array.slice(1)) == whole[1:]
    assert [text is None for text in whole] == [field == "" for field in fields]
    assert json_lines(batch_of(array)).split(b"\n")[1:] == json_lines(batch_of(array.slice(1))).split(b"\n")


def test_several_columns() -> None:
    batch = pa.record_batch({"a": [1, None], 'quo"ted': ["x", "y"]})
    assert json_lines(batch) == b'{"a": 1, "quo\\"ted": "x"}\n{"a": null, "quo\\"ted": "y"}\n'


def test_nothing_to_print() -> None:
    assert json_lines(pa.record_batch({"a": pa.array([], pa.int8())})) == b""


def test_types_that_have_no_text() -> None:
    array = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    for function in (csv_batch, json_lines):
        with pytest.raises(UnsupportedError, match="'column'"):
            function(batch_of(array))
    with pytest.raises(UnsupportedError):
        csv_schema(pa.schema([("column", array.type)]))
    with pytest.raises(UnsupportedError):
        screen_text(array)


def test_text_that_is_not_utf8() -> None:
    array = pa.array([b"\xff"]).view(pa.string())
    with pytest.raises(FormatError, match="not UTF-8"):
        json_lines(batch_of(array))
    with pytest.raises(FormatError, match="not UTF-8"):
        screen_text(array)
