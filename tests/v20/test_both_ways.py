"""What lancelet writes in version 2.0 is read by two releases of pylance, and equals their own bytes where those are fixed.

The tables are those of the whole golden corpus, of any version; what version 2.0 cannot hold is refused, for a stated reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from golden_index import golden_files, is_flat_field, select
from lancelet.container.reader import Container
from lancelet.errors import OptionError
from lancelet.storage import open_source
from lancelet.testing import as_read_back, assert_tables_equal
from oracle import RELEASES, OracleError, oracle
from test_oracle import some_rows

if TYPE_CHECKING:
    from pathlib import Path

    from golden_index import GoldenFile

REASONS = (
    "no place for nulls of structs",
    "keeps no nulls of structs",
    "a map cannot be stored in version 2.0, only from 2.2 on",
    "a fixed-size list of structs cannot be stored in version 2.0, only from 2.2 on",
    "a packed struct with a child of type string .* cannot be stored in version 2.0, only from 2.2 on",
)

KNOWN_FAULTS = {
    ("4.0.1", "tz_offset.a55201d4"): "cannot parse a time zone with a colon (container.md 9, colon trap)",
    ("4.0.1", "blob.43056736"): "reads blobs beside null or empty ones as empty (encodings_v2_0.md 5)",
    ("4.0.1", "blob_nulls.7bb4d471"): "the same",
}
"""(release, table): what pylance does wrong. A case that stands here must fail."""

MODES = {"default": None, "compact": "compact"}


def distinct_tables() -> dict[str, GoldenFile]:
    """Return one golden file for each distinct expected table, by a short name."""
    return {file.expected_path.stem: file for file in golden_files()}


TABLES = distinct_tables()


def write(path: Path, table: pa.Table, mode: str | None, **options: object) -> None:
    columns = {name: lancelet.ColumnOptions(v20=mode) for name in table.column_names}
    with lancelet.FileWriter(str(path), table.schema, version="2.0", columns=columns, **options) as writer:
        writer.write_batches(table.to_batches())


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", TABLES)
def test_pylance_reads_ours(name: str, mode: str | None, tmp_path: Path) -> None:
    table = TABLES[name].expected()
    path = tmp_path / "ours.lance"
    try:
        write(path, table, mode)
    except OptionError as error:
        with pytest.raises(OptionError, match="|".join(REASONS)):
            raise error
        assert not list(tmp_path.iterdir())
        return
    rows = some_rows(table.num_rows)
    start, num_rows = table.num_rows // 3, table.num_rows // 2
    parts: list[tuple[object, ...]] = [("all", 1024), ("all", 333)]
    expected = [table, table]
    if table.num_rows > 1:
        parts += [("range", start, num_rows), ("take", rows)]
        expected += [table.slice(start, num_rows), table.take(rows)]
    assert_tables_equal(lancelet.FileReader(str(path)).read_all().to_table(), as_read_back(table))
    for release in RELEASES:
        if (release, name) in KNOWN_FAULTS:
            with pytest.raises((AssertionError, OracleError)):
                compare(release, path, parts, expected)
        else:
            compare(release, path, parts, expected)


def compare(release: str, path: Path, parts: list[tuple[object, ...]], expected: list[pa.Table]) -> None:
    for found, wanted in zip(oracle(release).read(path, parts), expected, strict=True):
        assert_tables_equal(found, as_read_back(wanted))


def test_most_tables_can_be_written(tmp_path: Path) -> None:
    refused = 0
    for file in TABLES.values():
        try:
            write(tmp_path / "file.lance", file.expected(), None)
        except OptionError:
            refused += 1
    print(f"{len(TABLES) - refused} of {len(TABLES)} tables fit version 2.0")
    assert refused < len(TABLES) // 6


FLAT_FILES = [file for file in select(("2.0",), is_flat_field) if file.writer == "14.0.2"]


def batches_as_written(table: pa.Table, like: pa.Table) -> pa.Table:
    """Cut `table` into the batches of another."""
    batches, row = [], 0
    for batch in like.to_batches():
        batches += table.slice(row, batch.num_rows).combine_chunks().to_batches() or [batch]
        row += batch.num_rows
    return pa.Table.from_batches(batches, like.schema)


def both_written(file: GoldenFile, directory: Path) -> tuple[bytes, bytes]:
    """Return our bytes and pylance's of the same values: read from our file, since we wipe what lies below nulls."""
    table = file.expected()
    ours, theirs = directory / "ours.lance", directory / "theirs.lance"
    write(ours, table, None, **file.options)
    wiped = batches_as_written(lancelet.FileReader(str(ours)).read_all().to_table(), table)
    oracle("14.0.2").write(theirs, wiped, "2.0", **file.options)
    return ours.read_bytes(), theirs.read_bytes()


def differ_in_map_order_only(ours: bytes, theirs: bytes) -> bool:
    """Tell whether two files have the same pages at the same places, and equal schemas.

    Field metadata is a protobuf map: pylance writes its keys in any order, another one in each run, and no empty values.
    """
    first, second = (Container.open(open_source(data)) for data in (ours, theirs))
    (start, _), *_ = first.global_buffers
    return (
        ours[:start] == theirs[:start]
        and first.schema_message == second.schema_message
        and [first.column(i) for i in range(first.num_columns)]
        == [second.column(i) for i in range(second.num_columns)]
        and any(needs_a_map(field) for field in first.schema_message.fields)
    )


def needs_a_map(field: Any) -> bool:
    """Tell whether the metadata of a field has several keys, or an empty value."""
    return len(field.metadata) > 1 or b"" in field.metadata.values()


def test_bytes_equal_those_of_pylance(tmp_path: Path) -> None:
    same, in_map_order, different = [], [], []
    for file in FLAT_FILES:
        ours, theirs = both_written(file, tmp_path)
        equal = ours == theirs
        kind = same if equal else in_map_order if differ_in_map_order_only(ours, theirs) else different
        kind.append(file.case)
    print(f"{len(same)} of {len(FLAT_FILES)} flat files are byte-identical to those of pylance 14.0.2")
    print(f"the order of a map of field metadata differs in {', '.join(in_map_order) or 'none'}")
    assert not different
    assert len(same) >= len(FLAT_FILES) * 4 // 5
