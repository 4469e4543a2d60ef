"""Conversion of files: values survive, memory stays small, failures leave nothing behind."""

from __future__ import annotations

import datetime
import decimal
import gzip
import itertools
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lancelet import FileReader, FileWriter, FormatError, OptionError, UnsupportedError
from lancelet.interop.base import ReadOptions
from lancelet.interop.convert import convert_file
from lancelet.interop.formats import format_of
from lancelet.testing import assert_tables_equal

if TYPE_CHECKING:
    from pathlib import Path

NUM_ROWS = 5000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    numbers = range(NUM_ROWS)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "score": pa.array([None if i % 7 == 0 else i / 8 for i in numbers], pa.float64()),
            "name": pa.array(
                [None if i % 5 == 0 else "" if i % 5 == 1 else f'name "{i}",\n' for i in numbers]
            ),
            "flag": pa.array([i % 3 == 0 for i in numbers]),
            "day": pa.array([datetime.date(2013, 1, 1 + i % 28) for i in numbers]),
            "moment": pa.array([None if i % 11 == 0 else i for i in numbers], pa.timestamp("ms", "UTC")),
        }
    )


@pytest.fixture
def lance(tmp_path: Path, table: pa.Table) -> Path:
    path = tmp_path / "in.lance"
    with FileWriter(path) as writer:
        writer.write_table(table)
    return path


def names_in(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


@pytest.mark.parametrize(
    "suffix", [".parquet", ".pq", ".csv", ".tsv", ".csv.gz", ".arrow", ".feather", ".ipc", ".lance"]
)
def test_there_and_back(suffix: str, lance: Path, table: pa.Table, tmp_path: Path) -> None:
    middle, back = tmp_path / f"middle{suffix}", tmp_path / "back.lance"
    assert convert_file(lance, middle) == NUM_ROWS
    options = ReadOptions(batch_size=777, column_types={"moment": table.schema.field("moment").type})
    assert convert_file(middle, back, options=options) == NUM_ROWS
    assert_tables_equal(FileReader(back).read_all().to_table(), table)
    assert names_in(tmp_path) == {"in.lance", middle.name, "back.lance"}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow", ".lance"])
def test_columns_keep_the_order_asked_for(suffix: str, lance: Path, table: pa.Table, tmp_path: Path) -> None:
    source, back = tmp_path / f"source{suffix}", tmp_path / "back.lance"
    convert_file(lance, source)
    convert_file(source, back, options=ReadOptions(columns=["name", "id"]))
    assert_tables_equal(FileReader(back).read_all().to_table(), table.select(["name", "id"]))
    with pytest.raises(OptionError, match="nothing"):
        convert_file(source, tmp_path / "not.lance", options=ReadOptions(columns=["nothing"]))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow", ".lance"])
def test_no_rows(suffix: str, table: pa.Table, tmp_path: Path) -> None:
    empty, middle, back = (tmp_path / name for name in ("empty.lance", f"middle{suffix}", "back.lance"))
    with FileWriter(empty, table.schema) as writer:
        writer.write_table(table.slice(0, 0))
    assert convert_file(empty, middle) == convert_file(middle, back) == 0
    assert FileReader(back).schema.names == table.schema.names


def test_types_that_csv_does_not_keep_survive_elsewhere(tmp_path: Path) -> None:
    table = pa.table(
        {
            "decimal": pa.array([decimal.Decimal("1.25"), None], pa.decimal128(10, 2)),
            "duration": pa.array([5, None], pa.duration("us")),
            "binary": pa.array([b"\x00", None]),
            "time": pa.array([5, None], pa.time64("ns")),
            "null": pa.nulls(2),
        }
    )
    first, second, third = tmp_path / "a.lance", tmp_path / "b.parquet", tmp_path / "c.lance"
    with FileWriter(first) as writer:
        writer.write_table(table)
    convert_file(first, second)
    convert_file(second, third)
    assert_tables_equal(FileReader(third).read_all().to_table(), table)


def test_version(lance: Path, tmp_path: Path) -> None:
    for version in ("2.0", "2.1"):
        convert_file(lance, tmp_path / "old.lance", version=version, overwrite=True)
        assert FileReader(tmp_path / "old.lance").version.text == version
    with pytest.raises(OptionError):
        convert_file(lance, tmp_path / "odd.lance", version="9.9")
    with pytest.raises(UnsupportedError):
        convert_file(lance, tmp_path / "odd.lance", version="2.3")
    assert names_in(tmp_path) == {"in.lance", "old.lance"}


def test_an_existing_file_is_kept(lance: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("mine")
    with pytest.raises(OptionError, match="exists already"):
        convert_file(lance, target)
    assert target.read_text() == "mine"
    convert_file(lance, target, overwrite=True)
    assert target.read_text() != "mine"


def test_a_file_onto_itself(lance: Path, table: pa.Table) -> None:
    convert_file(lance, lance, overwrite=True, version="2.1")
    assert FileReader(lance).version.text == "2.1"
    assert_tables_equal(FileReader(lance).read_all().to_table(), table)


@pytest.mark.parametrize("target", ["out.lance", "out.parquet", "out.csv", "out.csv.gz", "out.arrow"])
def test_a_failure_leaves_nothing(target: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    lines = [str(number) for number in range(2_000_000)]
    broken.write_text("\n".join(["n", *lines, "no number", ""]))
    existing = tmp_path / target
    existing.write_bytes(b"mine")
    with pytest.raises(FormatError, match="no number"):
        convert_file(broken, existing, overwrite=True)
    assert existing.read_bytes() == b"mine"
    assert names_in(tmp_path) == {"broken.csv", target}


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", b""),  # with content, any line is a header
        *itertools.product(
            (".parquet", ".arrow", ".lance", ".feather"), (b"", b"\x00\x01 no such thing" * 20)
        ),
    ],
)
def test_inputs_that_are_something_else(suffix: str, content: bytes, tmp_path: Path) -> None:
    source = tmp_path / f"source{suffix}"
    source.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        convert_file(source, tmp_path / "out.parquet")
    assert str(source) in str(caught.value)
    assert names_in(tmp_path) == {source.name}


def test_feather_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(UnsupportedError, match="version 1"):
        convert_file(tmp_path / "old.feather", tmp_path / "out.lance")


def test_arrow_streams_are_read(table: pa.Table, tmp_path: Path) -> None:
    with pa.ipc.new_stream(str(tmp_path / "in.arrow"), table.schema) as stream:
        stream.write_table(table)
    convert_file(tmp_path / "in.arrow", tmp_path / "out.lance")
    assert_tables_equal(FileReader(tmp_path / "out.lance").read_all().to_table(), table)


def test_what_text_means(tmp_path: Path) -> None:
    source = tmp_path / "in.tsv"
    source.write_text('id\tvalue\ttext\n007\tNA\tNA\n008\t2\t""\n')
    options = ReadOptions(null_values=["NA"], column_types={"id": pa.string(), "value": pa.float32()})
    convert_file(source, tmp_path / "out.lance", options=options)
    expected = {
        "id": ["007", "008"],
        "value": pa.array([None, 2], pa.float32()),
        "text": [None, ""],
    }
    assert_tables_equal(FileReader(tmp_path / "out.lance").read_all().to_table(), pa.table(expected))
    with pytest.raises(OptionError, match="no column 'idd'"):
        convert_file(source, tmp_path / "no.lance", options=ReadOptions(column_types={"idd": pa.string()}))


def test_a_single_column_with_nulls(tmp_path: Path) -> None:
    table = pa.table({"n": [1, None, None, 4, None]})
    with FileWriter(tmp_path / "a.lance") as writer:
        writer.write_table(table)
    convert_file(tmp_path / "a.lance", tmp_path / "b.csv")
    convert_file(tmp_path / "b.csv", tmp_path / "c.lance")
    assert_tables_equal(FileReader(tmp_path / "c.lance").read_all().to_table(), table)


def test_gzip_is_gzip(lance: Path, tmp_path: Path) -> None:
    convert_file(lance, tmp_path / "out.csv.gz")
    convert_file(lance, tmp_path / "out.csv")
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == (tmp_path / "out.csv").read_bytes()


def test_row_groups_are_not_as_small_as_batches(lance: Path, tmp_path: Path) -> None:
    convert_file(lance, tmp_path / "out.parquet", options=ReadOptions(batch_size=100))
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1


def test_progress(lance: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    options = ReadOptions(batch_size=2000)
    convert_file(lance, tmp_path / "out.csv", options=options, progress=lambda *step: seen.append(step))
    assert seen == [(0, NUM_ROWS), (2000, NUM_ROWS), (4000, NUM_ROWS), (NUM_ROWS, NUM_ROWS)]


@pytest.mark.parametrize("name", ["x", "x.txt", "x.lance.gz", "x.parquet.gz", "x.gz"])
def test_unknown_suffixes(name: str) -> None:
    with pytest.raises(OptionError, match="suffix"):
        format_of(name)


def test_batch_size_is_checked() -> None:
    with pytest.raises(OptionError, match="batch_size"):
        ReadOptions(batch_size=0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_two_columns_of_one_name(suffix, tmp_path):
    source = tmp_path / f"in{suffix}"
    table = pa.table([[1], [2], [3]], names=["a", "a", "b"])
    if suffix == ".csv":
        source.write_text("a,a,b\n1,2,3\n")
    elif suffix == ".parquet":
        pq.write_table(table, source)
    else:
        with pa.ipc.new_file(source, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(OptionError, match=f"{source} has more than one column 'a'"):
        convert_file(source, tmp_path / "out.lance")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_header_that_is_not_utf8(tmp_path):
    source = tmp_path / "in.csv"
    source.write_bytes(b"\xff\xfe,b\n1,2\n")
    with pytest.raises(FormatError, match="not UTF-8"):
        convert_file(source, tmp_path / "out.lance")
