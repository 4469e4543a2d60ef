"""Both directions against pylance: it reads what lancelet writes, lancelet reads what it writes.

The tables are those of the golden corpus, each with the field metadata (encoding hints) and the batches it was made with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import lancelet
from golden_index import is_flat_field, select
from lancelet.testing import as_read_back, assert_tables_equal
from oracle import RELEASES, OracleCrashed, OracleError, oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from golden_index import GoldenFile

VERSIONS = ("2.1", "2.2")
WANTED = is_flat_field

TZ_OFFSET = "4.0.1 cannot parse a time zone with a colon such as +05:30 (container.md 9, colon trap)"
KNOWN_FAULTS = {
    (direction, "4.0.1", version, "tz_offset.a55201d4"): TZ_OFFSET
    for direction in ("read", "write")
    for version in VERSIONS
}
"""(direction, release, version, case): what pylance does wrong, with the page of the format that says so.

A case that stands here must fail: an entry that is no longer needed is an error.
"""

BOTH = [(release, version) for release in RELEASES for version in VERSIONS]


def distinct_tables() -> dict[str, GoldenFile]:
    """Return one golden file for each distinct expected table, by a short name."""
    files = select(VERSIONS, WANTED)
    return {file.expected_path.stem: file for file in files}


TABLES = distinct_tables()
table_names = pytest.mark.parametrize("name", list(TABLES))
release_and_version = pytest.mark.parametrize(
    ("release", "version"), BOTH, ids=["-".join(pair) for pair in BOTH]
)


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


@table_names
@release_and_version
def test_pylance_reads_ours(name: str, release: str, version: str, tmp_path: Path) -> None:
    table = TABLES[name].expected()
    path = tmp_path / "ours.lance"
    with lancelet.FileWriter(str(path), table.schema, version=version) as writer:
        writer.write_batches(table.to_batches())
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


@table_names
@release_and_version
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
    path = select(VERSIONS, WANTED)[0].path
    with pytest.raises(OracleCrashed, match="exit status -9"):
        judge.metadata(path)
    assert judge.metadata(path)["version"] in VERSIONS
