"""Fixed-size lists whose items are all null: releases of pylance store a constant without a value (compressors.md 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import FormatError
from lancelet.testing import assert_tables_equal
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = pa.list_(pa.int32(), 4)
PAIRS = pa.list_(pa.list_(pa.int32(), 1), 2)
NONE = [None] * 4
TABLES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "items": (NUMBERS, [NONE] * 5),
    "items and rows": (NUMBERS, [NONE, None, NONE, NONE, None]),
    "many": (NUMBERS, [NONE, None] * 3000),
    "inner lists": (PAIRS, [[None, None]] * 5),
    "items of inner lists": (PAIRS, [[[None], [None]]] * 5),
    "both": (PAIRS, [[[None], None], None, [None, [None]]]),
    "lists of them": (pa.list_(NUMBERS), [[NONE, NONE], None, [], [None, NONE]]),
    "structs of them": (pa.struct([("a", NUMBERS)]), [{"a": NONE}, None, {"a": None}]),
    "bools": (pa.list_(pa.bool_(), 3), [[None] * 3, None]),
}
#: Rows that are not null, of items that are: what 4.0.1 makes of them no release reads as it was written, though it is there.
LOST = {"items", "inner lists", "items of inner lists", "both"}
CASES = [
    pytest.param(name, version, release, id=f"{name}-{version}-{release}")
    for name in TABLES
    for version in ("2.0", "2.1", "2.2")
    for release in ("4.0.1", "14.0.2")
    # 2.0 keeps no nulls of structs; and of the inner lists 4.0.1 leaves no byte
    if (name, version) != ("structs of them", "2.0")
    and not (name == "items of inner lists" and release == "4.0.1" and version > "2.0")
]


@pytest.mark.parametrize(("name", "version", "release"), CASES)
def test_items_that_are_all_null(name: str, version: str, release: str, tmp_path: Path) -> None:
    type_, rows = TABLES[name]
    table, path = pa.table({"a": pa.array(rows, type_), "n": range(len(rows))}), tmp_path / "f.lance"
    oracle(release).write(path, table, version)
    if not (release == "4.0.1" and name in LOST):
        assert_tables_equal(oracle("14.0.2").read(path)[0], table)
    reader = lancelet.FileReader(path)
    assert_tables_equal(reader.read_all().to_table(), table)
    wanted = [len(rows) - 1, 0, 1]
    assert_tables_equal(reader.take_rows(wanted).to_table(), table.take(wanted))
    assert_tables_equal(reader.read_range(1, 1).to_table(), table.slice(1, 1))


def test_what_is_written_is_read_by_both(tmp_path: Path) -> None:
    for name, (type_, rows) in TABLES.items():
        for version in ("2.1", "2.2"):
            table, path = pa.table({"a": pa.array(rows, type_)}), tmp_path / f"{name}-{version}.lance"
            with lancelet.FileWriter(path, version=version) as writer:
                writer.write_table(table)
            assert_tables_equal(lancelet.FileReader(path).read_all().to_table(), table)
            assert_tables_equal(oracle("14.0.2").read(path)[0], table)


def test_an_item_without_a_value_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "f.lance"
    oracle("14.0.2").write(path, pa.table({"a": pa.array([NONE] * 5, NUMBERS)}), "2.1")
    data = bytearray(path.read_bytes())
    assert data[:5] == bytes(5)  # a byte of validity a row
    data[3] = 0xF0
    assert lancelet.FileReader(bytes(data)).read_all().to_table()["a"].to_pylist() == [NONE] * 5
    data[3] = 0x02
    with pytest.raises(FormatError, match="valid, and has no value"):
        lancelet.FileReader(bytes(data)).read_all().to_table()
