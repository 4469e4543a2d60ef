"""The tables of docs/supported.md tell the truth."""

from __future__ import annotations

import datetime
import decimal
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from golden_index import golden_files, superseded_files
from lancelet import Dataset, FileReader, FileWriter, OptionError, UnsupportedError, dataset, write_dataset
from lancelet.blocks.jsonb import jsonb_of_text
from lancelet.cli import main
from lancelet.table.formats.flags import KNOWN_TO_READ, KNOWN_TO_WRITE, Flag
from lancelet.testing import assert_tables_equal
from oracle.client import OracleError, oracle

PAGE = Path(__file__).resolve().parents[2] / "docs" / "supported.md"
DAY = datetime.date(2013, 1, 31)
NOON = datetime.datetime(2013, 1, 31, 12, 0, 0)


def numbers(type_: pa.DataType) -> pa.Array:
    return pa.array([1, None, 0, 100], pa.int64()).cast(type_)


def of_type(type_: pa.DataType, first: Any, second: Any) -> pa.Array:
    return pa.array([first, None, second], type_)


def decimals(type_: pa.DataType) -> pa.Array:
    return of_type(type_, decimal.Decimal("1.25"), decimal.Decimal("-3.00"))


#: A column for every name that the table has between backticks, with a null where the type allows one.
SAMPLES: dict[str, list[pa.Array]] = {
    "null": [pa.nulls(3)],
    "bool": [pa.array([True, None, False])],
    **{
        name: [numbers(getattr(pa, name)())]
        for name in (
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float32",
            "float64",
        )
    },
    "float16": [pa.array([np.float16(1.5), None, np.float16("nan")], pa.float16())],
    "decimal128": [decimals(pa.decimal128(10, 2))],
    "decimal256": [decimals(pa.decimal256(50, 2))],
    "date32": [of_type(pa.date32(), DAY, DAY)],
    "date64": [of_type(pa.date64(), DAY, DAY)],
    "time32": [of_type(pa.time32(unit), 1, 2) for unit in ("s", "ms")],
    "time64": [of_type(pa.time64(unit), 1, 2) for unit in ("us", "ns")],
    "timestamp": [of_type(pa.timestamp(unit), NOON, NOON) for unit in ("s", "ms", "us", "ns")],
    "timestamp with zone": [
        of_type(pa.timestamp("us", zone), 1, 2) for zone in ("UTC", "+01:00", "America/New_York")
    ],
    "duration": [of_type(pa.duration(unit), 1, 2) for unit in ("s", "ms", "us", "ns")],
    "string": [of_type(pa.string(), "a", "")],
    "large_string": [of_type(pa.large_string(), "a", "")],
    "binary": [of_type(pa.binary(), b"a", b"")],
    "large_binary": [of_type(pa.large_binary(), b"a", b"")],
    "string_view": [of_type(pa.string_view(), "a", "longer than twelve bytes")],
    "binary_view": [of_type(pa.binary_view(), b"a", b"longer than twelve bytes")],
    "fixed_size_binary": [of_type(pa.binary(3), b"abc", b"def")],
    "extension": [
        pa.ExtensionArray.from_storage(pa.uuid(), of_type(pa.binary(16), bytes(16), b"0123456789abcdef")),
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
    ],
    "list": [
        of_type(pa.list_(pa.int8()), [1, None], []),
        of_type(pa.list_(pa.list_(pa.string())), [["a"], None, []], []),
        of_type(pa.list_(pa.struct([("a", pa.int8())])), [{"a": 1}, None], [{"a": None}]),
    ],
    "large_list": [of_type(pa.large_list(pa.int8()), [1], [])],
    "struct": [
        of_type(pa.struct([("a", pa.int8()), ("b", pa.string())]), {"a": 1}, {"b": "x"}),
        of_type(pa.struct([("a", pa.struct([("b", pa.list_(pa.int8()))]))]), {"a": {"b": [1]}}, {"a": None}),
    ],
    "fixed_size_list": [
        of_type(pa.list_(pa.int8(), 2), [1, None], [3, 4]),
        of_type(pa.list_(pa.bool_(), 3), [True, False, True], [False, None, True]),
        of_type(pa.list_(pa.list_(pa.float32(), 2), 2), [[1, 2], [3, 4]], [[5, 6], [7, 8]]),
    ],
    "fixed_size_list of struct": [
        of_type(pa.list_(pa.struct([("a", pa.int8())]), 2), [{"a": 1}, None], [{}, {}])
    ],
    "map": [of_type(pa.map_(pa.string(), pa.int8()), [("a", 1)], [])],
    "struct without children": [pa.array([{}, {}, {}], pa.struct([]))],
    "packed struct": [
        of_type(pa.struct([("a", pa.int8()), ("b", pa.float64())]), {"a": 1, "b": 2}, {"a": 3, "b": 4})
    ],
    "packed struct of text or fixed_size_list": [
        of_type(pa.struct([("a", pa.string()), ("b", pa.int8())]), {"a": "x", "b": 2}, {"a": "", "b": 4}),
        of_type(pa.struct([("a", pa.list_(pa.int8(), 2))]), {"a": [1, 2]}, {"a": [3, 4]}),
    ],
    "dictionary": [pa.array(["a", None, "a"]).dictionary_encode()],
    "json": [pa.ExtensionArray.from_storage(pa.json_(), of_type(pa.string(), '{"a": [1, null]}', "2"))],
    "blob": [of_type(pa.large_binary(), b"a", b"b")],
    "list_view": [pa.array([[1], [2]], pa.list_view(pa.int8()))],
    "run_end_encoded": [pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"]))],
    "interval": [pa.array([pa.MonthDayNano([1, 2, 3])])],
    "decimal32": [decimals(pa.decimal32(7, 2))],
    "decimal64": [decimals(pa.decimal64(10, 2))],
    "union": [pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])],
}
READ_BACK = {"string_view": pa.string(), "binary_view": pa.binary()}
PACKED = {"lance-encoding:packed": "true"}
FIELD_METADATA = {
    "blob": {"lance-encoding:blob": "true"},
    "packed struct": PACKED,
    "packed struct of text or fixed_size_list": PACKED,
}


def rows_below(heading: str) -> list[dict[str, str]]:
    """Rows of the first table below a heading: cell by column title."""
    text = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    table = text[text.index("\n|") + 1 :].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


TYPES = {
    name: row
    for row in rows_below("Arrow types")
    for name in re.findall(r"`([^`]+)`", row["type"].split(" (")[0])
}
CASES = [
    pytest.param(name, array, version, row[version], id=f"{version}-{name}-{number}")
    for name, row in TYPES.items()
    for number, array in enumerate(SAMPLES.get(name, ()))
    for version in ("2.1", "2.2")
]


def test_every_listed_type_has_a_sample() -> None:
    assert set(TYPES) == set(SAMPLES)


@pytest.mark.parametrize(("name", "array", "version", "cell"), CASES)
def test_types(name: str, array: pa.Array, version: str, cell: str, tmp_path: Path) -> None:
    field = pa.field("column", array.type, metadata=FIELD_METADATA.get(name))
    table = pa.table([array], pa.schema([field]))
    path = tmp_path / "sample.lance"
    if cell == "no":
        with pytest.raises((UnsupportedError, OptionError)), FileWriter(path, version=version) as writer:
            writer.write_table(table)
        assert not path.exists()
        return
    assert cell == "read, write"
    with FileWriter(path, version=version) as writer:
        writer.write_table(table)
    expected = table
    if name in READ_BACK:
        expected = table.cast(pa.schema([field.with_type(READ_BACK[name])]))
    if name == "json":
        expected = pa.table({"column": jsonb_of_text(array.storage)})
    reader = FileReader(path)
    assert reader.version.text == version
    assert_tables_equal(reader.read_all().to_table(), expected)
    assert_tables_equal(reader.take_rows([2, 0]).to_table(), expected.take([2, 0]))


@pytest.mark.parametrize("row", rows_below("File versions"), ids=lambda row: row["version"])
def test_versions(row: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = row["version"].split()[0]
    old = "pylance 4" in row["version"]
    files = [file for file in superseded_files() if file.num_bytes] if old else golden_files()
    found = [file for file in files if file.version == version and (old or file.case.startswith("rows_"))]
    if not found:
        pytest.skip(f"the corpus has no files of version {version} here")
    path = found[0].path
    assert row["recognised"] == "yes"
    assert FileReader(path).version.text == version
    assert row["`info`, `schema`, `pages`"] == "yes"
    for verb in ("info", "schema", "pages"):
        assert main([verb, str(path)]) == 0
    if row["read"] == "yes":
        assert_tables_equal(FileReader(path).read_all().to_table(), found[0].expected())
    else:
        with pytest.raises(UnsupportedError):
            FileReader(path).read_all().to_table()
    table = pa.table({"n": [1, 2]})
    if row["write"] == "yes":
        with FileWriter(tmp_path / "new.lance", version=version) as writer:
            writer.write_table(table)
        assert FileReader(tmp_path / "new.lance").version.text == version
    else:
        with pytest.raises(UnsupportedError):
            FileWriter(tmp_path / "new.lance", table.schema, version=version)


@pytest.mark.parametrize("row", rows_below("Datasets"), ids=lambda row: row[""])
def test_methods_of_datasets(row: dict[str, str]) -> None:
    methods = re.findall(r"`(\w+)`", row["methods"])
    assert methods
    for method in methods:
        assert hasattr(Dataset, method) == (row["supported"] == "yes"), method


def test_flags_of_datasets() -> None:
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| (yes|no) \|$", PAGE.read_text(), re.MULTILINE)
    assert [(1 << int(bit), name) for bit, name, _ in listed] == [(flag.value, flag.name) for flag in Flag]
    for _, name, supported in listed:
        assert (Flag[name] in KNOWN_TO_READ, Flag[name] in KNOWN_TO_WRITE) == ((supported == "yes",) * 2)


@pytest.mark.parametrize("row", rows_below("File versions"), ids=lambda row: row["version"])
def test_versions_of_datasets(row: dict[str, str], tmp_path: Path) -> None:
    version = row["version"].split()[0]
    if row["write"] == "yes":
        written = write_dataset({"n": [1, 2]}, tmp_path / "new", data_storage_version=version)
        assert written.data_storage_version == version
    else:
        with pytest.raises(UnsupportedError):
            write_dataset({"n": [1, 2]}, tmp_path / "new", data_storage_version=version)


def test_fixed_size_lists_of_structs_are_nothing_that_the_newest_pylance_reads(tmp_path: Path) -> None:
    """Not its own either; see below the table of types."""
    table = pa.table({"id": [1, 2, 3], "l": SAMPLES["fixed_size_list of struct"][0]})
    ours = write_dataset(table, tmp_path / "ours", data_storage_version="2.2")
    assert ours.to_table() == table
    theirs = str(tmp_path / "theirs")
    oracle("14.0.2").run(
        "lance.write_dataset(table, root, data_storage_version='2.2')", root=theirs, table=table
    )
    assert dataset(theirs).to_table() == table
    for root in (ours.uri, theirs):
        assert oracle("4.0.1").run("result = lance.dataset(root).to_table()", root=root) == table
        with pytest.raises(OracleError, match="columns of differing lengths"):
            oracle("14.0.2").run("result = lance.dataset(root).to_table()", root=root)
        ids = oracle("14.0.2").run("result = lance.dataset(root).to_table(['id'])", root=root)
        assert ids == table.select(["id"])
