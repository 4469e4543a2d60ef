"""Both directions against pylance: it reads what lancelet writes, lancelet reads what it writes.

The tables are those of the golden corpus, each with the field metadata (encoding hints) and the batches it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import lancelet
from golden_index import is_any_field, select
from lancelet.errors import OptionError
from lancelet.testing import as_read_back, assert_tables_equal
from oracle import RELEASES, OracleCrashed, OracleError, oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

VERSIONS = ("2.1", "2.2")

TABLES = {file.expected_path.stem: file for file in select(VERSIONS, is_any_field)}
"""One golden file for each distinct expected table, by a short name."""

MAP = "a map cannot be stored in version 2.1, only from 2.2 on"
FIXED_LIST_OF_STRUCTS = "a fixed-size list of structs cannot be stored in version 2.1, only from 2.2 on"
PACKED = r"a packed struct with a child of type {} \('{}'\) cannot be stored in version 2.1, only from 2.2 on"
REFUSED = {
    ("2.1", "fsl_struct.62c3820f"): FIXED_LIST_OF_STRUCTS,
    ("2.1", "fsl_struct_nulls.380b4d18"): FIXED_LIST_OF_STRUCTS,
    ("2.1", "map_n0.06a98bcf"): MAP,
    ("2.1", "map_n20.01b717a9"): MAP,
    ("2.1", "map_nested.52436e3f"): MAP,
    ("2.1", "map_struct_value.669663a9"): MAP,
    ("2.1", "map_empty.6b04c6d2"): MAP,
    ("2.1", "packed_var.1c1db24b"): PACKED.format("string", "f1"),
    ("2.1", "packed_fsl.95c94229"): PACKED.format(r"fixed_size_list<item: float>\[4\]", "f0"),
}
"""(version, table): what the version cannot hold, as the error says it."""

TZ_OFFSET = "4.0.1 cannot parse a time zone with a colon such as +05:30 (container.md 9, colon trap)"
LISTS_WITHOUT_ITEMS = "4.0.1 reads wrong rows from an all-null page with lists (structural.md 7.2 and 11), from files of 14.0.2 too"
EMPTY_BLOB = (
    "4.0.1 cannot read blobs of which one is empty (see test_oracle_blobs), from files of 14.0.2 neither"
)
NULLS_OF_NULLS = (
    "4.0.1 refuses to write a null struct around a child of type null (golden index, nest_lists_of_null)"
)
KNOWN_FAULTS = {
    (direction, "4.0.1", version, name): fault
    for version in VERSIONS
    for direction, name, fault in (
        ("read", "tz_offset.a55201d4", TZ_OFFSET),
        ("write", "tz_offset.a55201d4", TZ_OFFSET),
        ("read", "list_allnull.ce164224", LISTS_WITHOUT_ITEMS),
        ("read", "nest_list_n99_50.f347c7b0", LISTS_WITHOUT_ITEMS),
        ("read", "nest_lists_of_null.265a3e72", LISTS_WITHOUT_ITEMS),
        ("write", "nest_lists_of_null.265a3e72", NULLS_OF_NULLS),
        ("read", "blob.43056736", EMPTY_BLOB),
        ("read", "blob_nulls.7bb4d471", EMPTY_BLOB),
    )
}
"""(direction, release, version, table): what pylance does wrong, with the page of the format that says so.

A table that stands here must fail: an entry that is no longer needed is an error. There is none for 14.0.2.
"""

CASES = [
    pytest.param(name, release, version, id=f"{release}-{version}-{name}")
    for release in RELEASES
    for version in VERSIONS
    for name in TABLES
    if (version, name) not in REFUSED
]
cases = pytest.mark.parametrize(("name", "release", "version"), CASES)


def some_rows(num_rows: int) -> list[int]:
    """Return sorted row numbers: both ends, the borders of chunks, some between."""
    rows = {
        0,
        1,
        1023,
        1024,
        num_rows - 1,
        *np.random.default_rng(num_rows).integers(0, max(1, num_rows), 20).tolist(),
    }
    return sorted(int(row) for row in rows if 0 <= row < num_rows)


def check(direction: str, release: str, version: str, name: str, compare: Callable[[], None]) -> None:
    """Run a comparison; one that is known to fail has to."""
    fault = KNOWN_FAULTS.get((direction, release, version, name))
    if fault is None:
        compare()
        return
    with pytest.raises((AssertionError, OracleError)):
        compare()


def write(path: Path, table: pa.Table, version: str) -> None:
    """Write a table, one batch per chunk."""
    with lancelet.FileWriter(str(path), table.schema, version=version) as writer:
        writer.write_batches(table.to_batches())


@pytest.mark.parametrize(("version", "name"), [case for case in REFUSED if case[1] in TABLES])
def test_refused(version: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=REFUSED[version, name]):
        write(tmp_path / "ours.lance", TABLES[name].expected(), version)
    assert not list(tmp_path.iterdir())


@cases
def test_pylance_reads_ours(name: str, release: str, version: str, tmp_path: Path) -> None:
    table = TABLES[name].expected()
    path = tmp_path / "ours.lance"
    write(path, table, version)
    rows = some_rows(table.num_rows)
    start, num_rows = table.num_rows // 3, table.num_rows // 2
    parts: list[tuple[object, ...]] = [("all", 1024), ("all", 333)]
    expected = [table, table]
    if table.num_rows > 1:
        parts += [("range", start, num_rows), ("take", rows)]
        expected += [table.slice(start, num_rows), table.take(rows)]

    def compare() -> None:
        for found, wanted in zip(oracle(release).read(path, parts), expected, strict=True):
            assert_tables_equal(found, as_read_back(wanted))

    check("read", release, version, name, compare)


@cases
def test_we_read_pylance(name: str, release: str, version: str, tmp_path: Path) -> None:
    table = TABLES[name].expected()
    path = tmp_path / "theirs.lance"

    def compare() -> None:
        oracle(release).write(path, table, version)
        reader = lancelet.FileReader(str(path))
        assert reader.num_rows == table.num_rows
        assert_tables_equal(reader.read_all().to_table(), as_read_back(table))
        if table.num_rows:
            rows = some_rows(table.num_rows)
            assert_tables_equal(reader.take_rows(rows).to_table(), as_read_back(table.take(rows)))

    check("write", release, version, name, compare)


@pytest.mark.parametrize("release", RELEASES)
def test_oracle_survives_a_crash(release: str) -> None:
    judge = oracle(release)
    with pytest.raises(OracleError):
        judge.read("missing.lance")
    judge.process.kill()
    path = next(iter(TABLES.values())).path
    with pytest.raises(OracleCrashed, match="exit status -9"):
        judge.metadata(path)
    assert judge.metadata(path)["version"] in VERSIONS
