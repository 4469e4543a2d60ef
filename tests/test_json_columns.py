"""JSON columns: text becomes JSONB byte by byte as pylance 14.0.2 makes it, JSONB becomes text, and nothing else passes."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lancelet
from golden_index import golden_files
from lancelet.blocks.jsonb import MAX_DEPTH, jsonb_of_text, text_of_jsonb
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.interop.text import csv_batch, json_lines, screen_text
from lancelet.testing import assert_tables_equal
from oracle import RELEASES, oracle
from test_golden import check_file
from tiers import FULL, sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    from golden_index import GoldenFile

VERSIONS = ("2.1", "2.2")

VALID = (
    *("{}", "[]", "null", "true", "false", '""', '"a"', "  [ 1 , 2 ]\t\r\n", "[[[[]]]]", '{"":1}'),
    *("0", "-0", "-0.0", "1", "-1", "127", "128", "-128", "-129", "255", "256", "32767", "32768", "-32768"),
    *("-32769", "65535", "65536", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295"),
    *("4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("-9223372036854775809", "18446744073709551615", "18446744073709551616", "9007199254740993"),
    *("123456789012345678901234567890", "1" * 400, "-" + "1" * 400, "1" * 5000, "100000000000000000000"),
    *("1.0", "1.5", "0.1", "-1.5", "1.10", "1e5", "1E5", "1e+5", "1e-5", "-0e0", "0e1", "2e0", "-1.0e-7"),
    *("1e400", "-1e400", "1e-400", "-1e-400", "4.9e-324", "2.4703282292062327e-324", "9007199254740993.0"),
    *("1.7976931348623157e308", "1.7976931348623159e308", "12345678901234567890.5", "0.00000000000000000001"),
    *(r'"\u00e9\n\t\"\\ \/ \b\f\r"', r'"\ud83d\ude00"', r'"\uDBFF\uDFFF"', r'"\u0000"', '"é\U0001f600\x7f"'),
    *('{"b":1,"a":2}', '{"b":{"z":[],"a":{}},"a":null}', '[1,"x",null,true,[],{}]'),
    '{"aa":1,"a":2,"b":3,"":4,"\\u00ff":5,"\\ud83d\\ude00":6,"\\uffff":7,"\\u0000":8,"a\\u0000b":9,"Z":10}',
    '{"a":{"b":[1,2,{"c":null}]},"list":[[],[[]],{"x":false,"y":-1.25}],"text":"' + "long " * 100 + '"}',
    "[" * 200 + "]" * 200,
    json.dumps({f"key {number}": number * 1.5 for number in range(300)}),
)

INVALID = (
    *(
        "",
        " ",
        "{",
        "[1,]",
        '{"a":1,}',
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
    ),
    *(
        '"a',
        "tru",
        "True",
        "NULL",
        "undefined",
        '{"a"}',
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "1 2",
        "[1]x",
        "[,]",
        "[1,,2]",
    ),
    *(r'"\x"', r'"\u12"', r'"\v"', '"\n"', '"\x01"', "//c\n1", "\ufeff1", "\xa01", "1\x00", "0x1F", "1_000"),
    *('{"a":1,"a":2}', '[{"x":{"y":1,"y":1}}]', r'"\ud800"', r'{"\udc00":1}', "[" * 300 + "]" * 300),
    "[" * 100_000,
)


def text_table(texts: Any, storage: pa.DataType | None = None) -> pa.Table:
    storage = storage or pa.string()
    array = pa.ExtensionArray.from_storage(pa.json_(storage), pa.array(texts, pa.string()).cast(storage))
    return pa.table({"j": array})


def write(path: Path, table: pa.Table, **options: Any) -> None:
    with lancelet.FileWriter(str(path), table.schema, **options) as writer:
        writer.write_batches(table.to_batches())


def bytes_of(table: pa.Table) -> list[bytes | None]:
    column = table.column("j").combine_chunks()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    assert pa.types.is_large_binary(column.type)
    return column.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, id=file.name)
        for file in golden_files()
        if file.version in VERSIONS and "json" in file.case
    ],
)
def test_golden(file: GoldenFile) -> None:
    check_file(file, None)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_are_those_of_pylance(version: str, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.lance", tmp_path / "theirs.lance"
    table = text_table([None, *VALID, None])
    write(ours, table, version=version)
    oracle("14.0.2").write(theirs, table, version)
    expected = oracle("14.0.2").read(theirs)[0]
    assert bytes_of(oracle("14.0.2").read(ours)[0]) == bytes_of(expected)
    reader = lancelet.FileReader(str(ours))
    assert reader.schema.equals(lancelet.FileReader(str(theirs)).schema, check_metadata=True)
    assert bytes_of(reader.read_all().to_table()) == bytes_of(expected)
    assert bytes_of(oracle("4.0.1").read(ours)[0]) == bytes_of(expected)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=sample_or_full(10, 300), derandomize=not FULL, deadline=None, database=None)
@given(values=st.lists(JSON, min_size=20, max_size=60), escaped=st.booleans())
def test_any_json(values: list[Any], escaped: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = text_table([json.dumps(value, ensure_ascii=escaped) for value in values])
    path = tmp_path_factory.mktemp("json") / "theirs.lance"
    oracle("14.0.2").write(path, table, "2.1")
    found = jsonb_of_text(table.column("j").chunk(0).storage).to_pylist()
    assert found == bytes_of(oracle("14.0.2").read(path)[0])
    for value, text in zip(values, text_of_jsonb(found), strict=True):
        assert text is not None
        assert json.loads(text) == in_64_bits(value)


def in_64_bits(value: Any) -> Any:
    if isinstance(value, list):
        return [in_64_bits(item) for item in value]
    if isinstance(value, dict):
        return {key: in_64_bits(item) for key, item in value.items()}
    outside = isinstance(value, int) and not -(2**63) <= value < 2**64
    return float(value) if outside else value


@pytest.mark.parametrize("text", INVALID, ids=lambda text: ascii(text)[:30])
def test_what_is_no_json(text: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"field 'j': value 2 (is not valid JSON|nests deeper)"):
        write(tmp_path / "table.lance", text_table(["1", None, text]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("storage", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_storage_types(storage: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "table.lance"
    write(path, text_table(['{"a":1}', None, "[]"], storage))
    found = bytes_of(lancelet.FileReader(str(path)).read_all().to_table())
    assert found == [bytes.fromhex("40000001100000012000000261 5001"), None, bytes.fromhex("80000000")]


@pytest.mark.parametrize("version", VERSIONS)
def test_jsonb_passes(version: str, tmp_path: Path) -> None:
    metadata = {"ARROW:extension:name": "lance.json", "ARROW:extension:metadata": ""}
    schema = pa.schema([pa.field("j", pa.large_binary(), metadata=metadata)])
    table, path = pa.table([[b"\x80\0\0\0", None, b"any bytes"]], schema=schema), tmp_path / "table.lance"
    write(path, table, version=version)
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table, metadata=True)
    for release in RELEASES:
        assert_tables_equal(oracle(release).read(path)[0], table)


@pytest.mark.parametrize("version", VERSIONS)
def test_nested(version: str, tmp_path: Path) -> None:
    texts = (
        text_table([f'{{"n": {number}}}' if number % 3 else None for number in range(600)])
        .column("j")
        .chunk(0)
    )
    lists = pa.ListArray.from_arrays(pa.array([*range(0, 600, 5), 600], pa.int32()), texts)
    structs = pa.StructArray.from_arrays([texts[:120]], ["x"], mask=pa.array(np.arange(120) % 7 == 0))
    table = pa.table({"lists": lists, "structs": structs})
    ours, theirs = tmp_path / "ours.lance", tmp_path / "theirs.lance"
    write(ours, table, version=version)
    oracle("14.0.2").write(theirs, table, version)
    expected = oracle("14.0.2").read(theirs)[0]
    assert_tables_equal(oracle("14.0.2").read(ours)[0], expected)
    for path in (ours, theirs):
        assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), expected)


def test_as_text(tmp_path: Path) -> None:
    texts = ['{"a": [1, -2.5, "é"], "b": null}', None, "true", '"x"', "1e400"]
    arrays = text_table(texts).column("j").chunk(0)
    table = pa.table(
        {"j": arrays, "l": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3, 4, 5], pa.int32()), arrays)}
    )
    path = tmp_path / "table.lance"
    write(path, table)
    (batch,) = lancelet.FileReader(str(path)).read_all().to_batches()
    shown = [*texts[:4], '"Infinity"']
    lines = json_lines(batch).decode().splitlines()
    assert lines == [f'{{"j": {text or "null"}, "l": [{text or "null"}]}}' for text in shown]
    assert csv_batch(batch).column("j").to_pylist() == shown
    assert screen_text(batch.column("j"), batch.schema.field("j")) == shown


@pytest.mark.parametrize(
    "data",
    [
        *("", "20", "200000", "20000000", "00000000", "60000000", "c0000000 10000000", "20000000 00000001"),
        *(
            "20000000 10000002 61",
            "20000000 10000001 6161",
            "20000000 10000001 ff",
            "80000001",
            "80000002 00000000",
        ),
        *(
            "9fffffff 00000000",
            "40000001 10000001",
            "40000001 20000001 00000000 00",
            "5fffffff 10000001 00000000 61",
        ),
        *(
            "20000000 20000000",
            "20000000 20000002 5000 00",
            "20000000 20000004 50000000",
            "20000000 20000002 0001",
        ),
        *(
            "20000000 20000005 6000000000",
            "20000000 20000001 01",
            "80000001 50000000",
            "20000000 30000001 00",
        ),
        *("20000000 50000004 20000000", "80000000 00"),
    ],
)
def test_what_is_no_jsonb(data: str) -> None:
    with pytest.raises(FormatError):
        text_of_jsonb([bytes.fromhex(data)])


@pytest.mark.parametrize("data", ["20000000 60000001 00", "20000000 20000002 7000", "20000000 f0000000"])
def test_what_is_more_than_json(data: str) -> None:
    with pytest.raises(UnsupportedError):
        text_of_jsonb([bytes.fromhex(data)])


def test_depth() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    encoded = jsonb_of_text(pa.array([deep]))
    assert text_of_jsonb(encoded.to_pylist()) == [deep]
    deeper = bytes.fromhex("80000001") + (0x50000000 | len(encoded[0].as_py())).to_bytes(4, "big")
    with pytest.raises(UnsupportedError, match="deeper"):
        text_of_jsonb([deeper + encoded[0].as_py()])


@settings(max_examples=sample_or_full(300, 20_000), derandomize=not FULL, deadline=None, database=None)
@given(data=st.data())
def test_damaged_jsonb(data: st.DataObject) -> None:
    good = bytearray(jsonb_of_text(pa.array([VALID[-3]]))[0].as_py())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    del good[data.draw(st.integers(1, len(good))) :]
    with contextlib.suppress(FormatError, UnsupportedError):
        text_of_jsonb([bytes(good)])
