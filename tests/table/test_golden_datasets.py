"""Datasets that pylance wrote, at every version: rows, row ids and addresses, counts, takes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import golden_index
from lancelet.storage import LocalStore
from lancelet.table.formats.manifest import manifest_of
from lancelet.table.reads.fragment import Fragment
from lancelet.table.reads.projection import Projection
from lancelet.table.reads.scanner import Scanner
from lancelet.table.reads.snapshot import Snapshot
from lancelet.table.reads.take import take_positions, take_row_ids

ROOT = golden_index.golden_root()


def _cases() -> list[tuple[str, dict]]:
    lines = (
        line
        for index in sorted((ROOT / "datasets").glob("index.*.jsonl"))
        for line in golden_index.read_index(index)
        if line["status"] == "ok"
    )
    return [(version, line) for line in lines for version in line["versions"]]


def _name(case) -> str:
    return f"p{case[1]['writer']}-{case[1]['name']}-v{case[0]}"


def _table(path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


@pytest.fixture(params=_cases(), ids=_name)
def case(request):
    version, line = request.param
    store = LocalStore(ROOT / line["uri"])
    folder = ROOT / line["expected"]
    ids = folder / f"v{version}.rowids.arrow"
    expected = _table(folder / f"v{version}.arrow")
    return (
        Snapshot(store, manifest_of(store, int(version))),
        expected,
        _table(ids) if ids.exists() else None,
        line["versions"][version],
    )


def test_rows_and_row_ids(case) -> None:
    snapshot, expected, ids, described = case
    table = Scanner(snapshot).to_table()
    assert table.schema.equals(expected.schema)
    assert table.equals(expected)
    found = Scanner(snapshot, columns=[], with_row_id=True, with_row_address=True).to_table()
    if ids is not None:
        assert found.equals(ids.select(["_rowid", "_rowaddr"]))
    assert Scanner(snapshot).count_rows() == described["count_rows"] == expected.num_rows
    counts = [(f["id"], f["physical_rows"], f["deletions"], f["files"]) for f in described["fragments"]]
    fragments = [Fragment(snapshot, fragment.id) for fragment in snapshot.fragments]
    assert counts == [
        (f.fragment_id, f.physical_rows, f.num_deletions, len(f.data_files())) for f in fragments
    ]
    parts = [fragment.to_table() for fragment in fragments]
    assert (pa.concat_tables(parts) if parts else table).equals(expected)


def test_batches_of_any_size(case) -> None:
    snapshot, expected, _, _ = case
    for size in (1, 7, 1000):
        batches = list(Scanner(snapshot, batch_size=size).to_batches())
        assert all(0 < batch.num_rows <= size for batch in batches)
        assert pa.Table.from_batches(batches, expected.schema).equals(expected)


def test_windows_of_rows_and_takes(case) -> None:
    snapshot, expected, _, _ = case
    chance = np.random.default_rng(7)
    total = expected.num_rows
    for _ in range(4):
        offset, limit = chance.integers(0, total + 2, 2).tolist()
        found = Scanner(snapshot, limit=limit, offset=offset).to_table()
        assert found.equals(expected.slice(offset, limit))
    if not total:
        return
    for size in (1, 5, 300):
        wanted = chance.integers(0, total, size)
        projection = Projection(snapshot, None, with_row_id=True, flat=False)
        found = take_positions(snapshot, wanted, projection)
        assert found.drop_columns("_rowid").equals(expected.take(wanted))
        assert take_row_ids(snapshot, found["_rowid"], projection).equals(found)


def test_every_column_alone(case) -> None:
    snapshot, expected, _, _ = case
    for name in expected.schema.names:
        assert Scanner(snapshot, columns=[name]).to_table().equals(expected.select([name]))
