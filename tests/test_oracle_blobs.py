"""Blobs, in both directions: pylance reads what lancelet writes, lancelet what pylance writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.schema.blobs import LOGICAL_INPUT
from lancelet.testing import assert_tables_equal
from oracle import OracleError, oracle

if TYPE_CHECKING:
    from pathlib import Path

FIRST = pa.field("b", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
SECOND = pa.field(
    "b", pa.struct(list(LOGICAL_INPUT.items())), metadata={"ARROW:extension:name": "lance.blob.v2"}
)

versions = pytest.mark.parametrize("version", ["2.1", "2.2"])
releases = pytest.mark.parametrize("release", ["4.0.1", "14.0.2"])


def values(num_values: int, seed: int, null_rate: float = 0.2, shortest: int = 0) -> list[bytes | None]:
    rng = np.random.default_rng(seed)
    lengths = np.maximum(rng.integers(0, 400, num_values) * (rng.random(num_values) < 0.9), shortest)
    return [None if rng.random() < null_rate else rng.bytes(length) for length in lengths]


def table_of(field: pa.Field, *chunks: list) -> pa.Table:
    return pa.table([pa.chunked_array([pa.array(chunk, field.type) for chunk in chunks])], pa.schema([field]))


def structs(num_values: int, shortest: int = 0) -> pa.Table:
    rng = np.random.default_rng(num_values)
    blobs = pa.array(values(num_values, 1, shortest=shortest), pa.large_binary())
    children = [blobs, pa.array(rng.integers(0, 9, num_values))]
    fields = [FIRST, pa.field("n", pa.int64())]
    mask = pa.array(rng.random(num_values) < 0.2)
    return pa.table({"s": pa.StructArray.from_arrays(children, fields=fields, mask=mask)})


TABLES = {
    "one": table_of(FIRST, [b"abc"]),
    "all_null": table_of(FIRST, [None, None]),
    "all_empty": table_of(FIRST, [b"", b""]),
    "some": table_of(FIRST, values(2000, 1)),
    "nulls_in_a_later_batch": table_of(FIRST, [b"a", b"b"], [None, b"", b"c"], [None]),
    "struct": structs(300),
    "some_but_not_empty": table_of(FIRST, values(2000, 1, shortest=1)),
    "struct_but_not_empty": structs(300, 1),
    "large": table_of(FIRST, [b"x", bytes(40 << 20), None]),
    "fixed_size_lists_of_structs": pa.table(
        {"f": pa.FixedSizeListArray.from_arrays(structs(300)["s"].chunk(0), 3)}
    ),
}
NOT_READ_BY_4 = ("all_empty", "some", "nulls_in_a_later_batch", "struct", "fixed_size_lists_of_structs")
"""Tables with an empty value, which the reader of 4.0.1 cannot read, not from its own files either."""


def write(table: pa.Table, path: Path, version: str) -> None:
    with lancelet.FileWriter(path, table.schema, version=version) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)


def check_read_by(release: str, path: Path, expected: pa.Table) -> None:
    rows = sorted({0, len(expected) // 2, len(expected) - 1})
    whole, part = oracle(release).read(path, [("all", 64), ("take", rows)])
    assert_tables_equal(whole, expected)
    assert_tables_equal(part, expected.take(rows))


@versions
@releases
@pytest.mark.parametrize("name", TABLES)
def test_pylance_reads_the_first_kind(name: str, release: str, version: str, tmp_path: Path) -> None:
    path, table = tmp_path / "ours.lance", TABLES[name]
    if version == "2.1" and name == "fixed_size_lists_of_structs":
        with pytest.raises(lancelet.OptionError, match=r"only from 2\.2 on"):
            write(table, path, version)
        return
    write(table, path, version)
    assert_tables_equal(lancelet.FileReader(path).read_all().to_table(), table)
    if release == "4.0.1" and name in NOT_READ_BY_4:
        with pytest.raises(OracleError):
            oracle(release).read(path)
    else:
        check_read_by(release, path, table)


@versions
@releases
@pytest.mark.parametrize("name", [name for name in TABLES if name != "fixed_size_lists_of_structs"])
def test_lancelet_reads_the_first_kind(name: str, release: str, version: str, tmp_path: Path) -> None:
    path, table = tmp_path / "theirs.lance", TABLES[name]
    oracle(release).write(path, table, version)
    reader = lancelet.FileReader(path)
    assert_tables_equal(reader.read_all().to_table(), table)
    rows = np.random.default_rng(1).integers(0, len(table), 20)
    assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))


@versions
def test_descriptors_are_those_of_pylance(version: str, tmp_path: Path) -> None:
    table = table_of(FIRST, values(700, 1), values(800, 2))
    for path in (tmp_path / "theirs.lance", tmp_path / "ours.lance"):
        if path.stem == "theirs":
            oracle("14.0.2").write(path, table, version)
        else:
            write(table, path, version)
    theirs, ours = (
        lancelet.FileReader(tmp_path / name, blobs="descriptors").read_all().to_table()
        for name in ("theirs.lance", "ours.lance")
    )
    assert_tables_equal(ours, theirs)


ROWS = [
    {"data": b"hello"},
    None,
    {"data": b""},
    {"uri": "s3://bucket/key"},
    {"uri": "file:///x", "position": 3, "size": 4},
    {"data": b"x" * 70_000},
]


def nested(kind: str) -> pa.Table:
    """Blobs of the second kind in something, with nulls around them."""
    blobs = pa.array(ROWS * 20, SECOND.type)
    item = SECOND.with_name("item")
    mask = pa.array([i % 7 == 3 for i in range(120)])
    if kind == "struct":
        children = [blobs, pa.array(range(120))]
        fields = [SECOND, pa.field("n", pa.int64())]
        return pa.table({"s": pa.StructArray.from_arrays(children, fields=fields, mask=mask)})
    if kind == "fixed_size_list":
        return pa.table({"f": pa.FixedSizeListArray.from_arrays(blobs, type=pa.list_(item, 2))})
    lengths = np.array([0, 1, 2, 5] * 15)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    if kind == "map":
        keys = pa.array([str(i) for i in range(120)])
        type_ = pa.map_(pa.string(), SECOND.with_name("value"))
        return pa.table({"m": pa.MapArray.from_arrays(offsets, keys, blobs, type=type_)})
    return pa.table({"l": pa.ListArray.from_arrays(offsets, blobs, type=pa.list_(item), mask=mask[:60])})


SECOND_TABLES = {
    "flat": table_of(SECOND, ROWS, ROWS * 50),
    "all_null": table_of(SECOND, [None, None]),
    "all_valid": table_of(SECOND, [ROWS[0], ROWS[5]]),
    "nulls_in_a_later_batch": table_of(SECOND, [ROWS[0]], [None, ROWS[3]]),
    **{kind: nested(kind) for kind in ("struct", "list", "fixed_size_list", "map")},
}


@releases
@pytest.mark.parametrize("name", SECOND_TABLES)
def test_pylance_reads_descriptors_of_the_second_kind(name: str, release: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.lance"
    write(SECOND_TABLES[name], path, "2.2")
    expected = lancelet.FileReader(path).read_all().to_table()
    if name == "map":
        assert oracle(release).read(path)[0].to_pylist() == expected.to_pylist()
    else:
        check_read_by(release, path, expected)
