"""Properties of nested columns: any table survives, cut in any way, sliced at any depth; pylance reads it, and we read its."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lancelet
from lancelet.testing import assert_tables_equal, nested, tables_equal
from oracle import RELEASES, OracleError, oracle
from pylance_limits import aborts_when_rows_are_taken, limit_of_pylance
from test_properties import VERSIONS, check_parts, examples, write, write_options

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_of(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    """Return rows as slices: Arrow takes no values of some nested types."""
    return pa.concat_tables([table.slice(row, 1) for row in rows])


@given(options=write_options(), data=st.data())
@examples(60, 1500)
def test_nested_tables_survive(options: dict[str, Any], data: st.DataObject) -> None:
    table = data.draw(nested.nested_tables(options["version"]), "table")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        write(path, table, options)
        reader = lancelet.FileReader(str(path))
        assert_tables_equal(reader.read_all().to_table(), table, metadata=True)
        check_parts(reader, table, data, rows_of)
        if limit_of_pylance(table.schema) is None:
            judge(path, table, data)


def judge(path: Path, table: pa.Table, data: st.DataObject) -> None:
    """Let pylance read the whole, and some rows."""
    rows: list[int] = []
    if table.num_rows and not aborts_when_rows_are_taken(table.schema):
        rows = sorted(
            data.draw(st.sets(st.integers(0, table.num_rows - 1), min_size=1, max_size=20), "judged")
        )
    parts = [("all", 1024), ("take", rows)] if rows else [("all", 1024)]
    found = oracle("14.0.2").read(path, parts)
    assert_tables_equal(found[0], table)
    if rows:
        assert_tables_equal(found[1], rows_of(table, rows))


@given(version=st.sampled_from(VERSIONS), release=st.sampled_from(RELEASES), data=st.data())
@examples(40, 800)
def test_nested_tables_of_pylance_are_read(version: str, release: str, data: st.DataObject) -> None:
    table = data.draw(nested.nested_tables(version), "table")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.lance"
        try:
            oracle(release).write(path, table, version)
            readable = tables_equal(oracle(release).read(path)[0], table)
        except OracleError:
            return
        if readable:
            assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table)


EMPTY = pa.StructArray.from_buffers(pa.struct([]), 3, [None], 0, children=[])
NUMBERS = pa.array([1, 2, 3], pa.int32())
POINTS = pa.array([[{"x": 1}, {"x": 2}]] * 3, pa.list_(pa.struct([("x", pa.int8())]), 2))
LISTED = pa.array([[{"x": [1]}, {"x": []}]] * 3, pa.list_(pa.struct([("x", pa.list_(pa.int8()))]), 2))
NOT_READ = {
    "empty struct first": pa.table({"e": EMPTY, "i": NUMBERS}),
    "empty struct in a struct": pa.table({"s": pa.StructArray.from_arrays([EMPTY, NUMBERS], ["e", "i"])}),
    "fixed-size list and number": pa.table({"f": POINTS, "i": NUMBERS}),
    "fixed-size list and number in a struct": pa.table(
        {"s": pa.StructArray.from_arrays([POINTS, NUMBERS], ["f", "i"])}
    ),
    "list in a fixed-size list": pa.table({"f": LISTED}),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_limits_of_pylance_are_real(name: str, tmp_path: Path) -> None:
    table, path = NOT_READ[name], tmp_path / "table.lance"
    assert limit_of_pylance(table.schema) is not None
    for writer in ("lancelet", "14.0.2"):
        if writer == "lancelet":
            write(path, table, {"version": "2.2"})
        else:
            oracle(writer).write(path, table, "2.2")
        assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table)
        try:
            assert not tables_equal(oracle("14.0.2").read(path)[0], table)
        except OracleError as error:
            assert str(error)  # noqa: PT017 - to refuse is as good as to read something else


def lists(lengths: Any, items: pa.Array) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def empty_run() -> pa.Array:
    """A long list, a million empty ones, a short one."""
    lengths = np.zeros(1_000_002, np.int64)
    lengths[[0, -1]] = 3000, 2
    return lists(lengths, pa.array(np.arange(3002), pa.int64()))


def large_rows() -> pa.Array:
    """Rows of 50,000 structs."""
    numbers = np.arange(200_000)
    items = [pa.array(numbers), pa.array([str(number % 7777) for number in numbers])]
    return lists([50_000] * 4, pa.StructArray.from_arrays(items, ["number", "text"]))


LONG = {
    "a million empty lists": (empty_run, 16),
    "a million empty lists in structs": (lambda: pa.StructArray.from_arrays([empty_run()], ["lists"]), 16),
    "a million empty lists in one row": (lambda: lists([1_000_000, 0, 2], empty_run()), 16),
    "rows of 50,000 items": (large_rows, 8),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", LONG)
def test_long_lists(name: str, version: str, tmp_path: Path) -> None:
    build, most_pages = LONG[name]
    table, path = pa.table({"lists": build()}), tmp_path / "table.lance"
    write(path, table, {"version": version})
    reader = lancelet.FileReader(str(path))
    assert sum(len(column.pages) for column in reader.metadata()) <= most_pages
    assert_tables_equal(reader.read_all().to_table(), table)
    rows = [table.num_rows - 1, 0, table.num_rows // 2]
    assert_tables_equal(reader.take_rows(rows).to_table(), table.take(rows))
    for release in RELEASES:
        found = oracle(release).read(path, [("all", 100_000), ("take", sorted(rows))])
        assert_tables_equal(found[0], table)


def fixed_lists(items: pa.Array, size: int) -> pa.Array:
    """Fixed-size lists of structs with one child; every seventh struct and every fifth list are null."""
    null = np.arange(len(items)) % 7 == 3
    structs = pa.StructArray.from_arrays([items], ["x"], mask=pa.array(null))
    null = np.arange(len(items) // size) % 5 == 2
    return pa.FixedSizeListArray.from_arrays(structs, size, mask=pa.array(null))


FIXED_LIST_ITEMS = {
    "numbers": pa.array(range(15_000), pa.int64()),
    "texts": pa.array([str(number) for number in range(15_000)]),
    "lists": lists(np.arange(15_000) % 4, pa.array(range(22_500))),
    "fixed-size lists": fixed_lists(pa.array(range(75_000), pa.int32()), 5),
    "nulls": pa.nulls(15_000, pa.int8()),
}


@pytest.mark.parametrize("structural", ["miniblock", "fullzip"])
@pytest.mark.parametrize("name", FIXED_LIST_ITEMS)
def test_fixed_size_lists_across_chunks(name: str, structural: str, tmp_path: Path) -> None:
    array, path = fixed_lists(FIXED_LIST_ITEMS[name], 3), tmp_path / "table.lance"
    field = pa.field("f", array.type, metadata={"lance-encoding:structural-encoding": structural})
    table = pa.Table.from_arrays([array], schema=pa.schema([field]))
    write(path, table, {"version": "2.2"})
    reader = lancelet.FileReader(str(path))
    assert_tables_equal(reader.read_all().to_table(), table)
    for start, num_rows in ((0, 1), (1, 1), (340, 3), (341, 1), (682, 1), (1000, 3000), (4999, 1)):
        assert_tables_equal(reader.read_range(start, num_rows).to_table(), table.slice(start, num_rows))
    for rows in ([341, 682, 3000], [4999, 0, 341, 341], list(range(0, 5000, 7))):
        assert_tables_equal(reader.take_rows(rows).to_table(), rows_of(table, rows))
    batches = reader.read_all(batch_size=333).to_batches()
    assert_tables_equal(pa.Table.from_batches(batches, table.schema), table)
    if limit_of_pylance(table.schema) is None:
        assert_tables_equal(oracle("14.0.2").read(path)[0], table)


def test_extension_types_in_lists_and_structs(tmp_path: Path) -> None:
    ids = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes([i]) * 16 for i in range(6)], pa.binary(16))
    )
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None, 1, 0, 1], pa.int8()))
    fields = [pa.field("id", ids.type, nullable=False), pa.field("flag", flags.type)]
    points = pa.StructArray.from_arrays([ids, flags], fields=fields, mask=pa.array([False, True] * 3))
    table = pa.table({"points": points, "lists": lists([2, 0, 1, 0, 3, 0], points)})
    path = tmp_path / "table.lance"
    write(path, table, {"version": "2.1"})
    reader = lancelet.FileReader(str(path))
    assert_tables_equal(reader.read_all().to_table(), table, metadata=True)
    rows = [5, 0, 0, 4]
    assert_tables_equal(reader.take_rows(rows).to_table(), rows_of(table, rows))
    assert_tables_equal(oracle("14.0.2").read(path)[0], table)
    write(path, table.slice(0, 0), {"version": "2.1"})
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), table.slice(0, 0))
