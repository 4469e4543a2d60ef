"""Blobs beside their rows: their values go with them, wherever they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from compact_jobs import data_files, task_of
from lancelet.compact.merge_pages import merge_pages
from lancelet.compact.run import compact_files
from lancelet.compact.task import execute_task
from lancelet.errors import FormatError, OptionError
from lancelet.versions import Version
from oracle.client import oracle

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.datasets.dataset import Dataset

TYPE = pa.struct([("data", pa.large_binary()), ("uri", pa.string())])
FIELD = pa.field("blob", TYPE, metadata={"ARROW:extension:name": "lance.blob.v2"})
SIZES = [0, 10, 70_000, None, 200_000, 5 << 20, 1, 65_537]
READ = """
dataset = lance.dataset(root)
dataset.validate()
ids = dataset.to_table(['id'])['id'].to_pylist()
found = [None if blob is None else blob.readall() for blob in dataset.take_blobs('blob', indices=wanted)]
result = ids, found
"""


def value(id_: int) -> bytes | None:
    size = SIZES[id_ % len(SIZES)]
    return None if size is None else bytes([id_ % 251]) * size


def table(start: int, stop: int) -> pa.Table:
    values = [value(id_) for id_ in range(start, stop)]
    blobs = pa.array([None if found is None else {"data": found, "uri": None} for found in values], TYPE)
    ids = pa.array(range(start, stop), pa.int64())
    notes = pa.array([f"note {id_}" for id_ in range(start, stop)])
    return pa.table([ids, blobs, notes], schema=pa.schema([("id", pa.int64()), FIELD, ("note", pa.string())]))


def made(path: Path) -> Dataset:
    ds = lancelet.write_dataset(table(0, 10), path)
    ds.insert(table(10, 20))
    ds.insert(table(20, 30))
    ds.delete("id = 12 OR id = 5")
    return ds


@pytest.mark.parametrize("mode", ["hybrid", "reencode"])
@pytest.mark.parametrize("memory", [1 << 20, 256 << 20])
def test_values_go_with_their_rows(memory: int, mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset")
    before = ds.to_table(["id", "note"])
    compact_files(ds, compaction_mode=mode, memory_limit=memory)
    assert len(ds.manifest.fragments) == 1
    assert ds.to_table(["id", "note"]) == before
    ds.validate(read_data=True)
    expected = [id_ for id_ in range(30) if id_ not in (5, 12)]
    wanted = [row for row, id_ in enumerate(expected) if value(id_) is not None]
    ids, found = oracle("14.0.2").run(READ, root=ds.uri, wanted=wanted)
    assert ids == expected
    assert found == [value(expected[row]) for row in wanted]
    descriptors = ds.to_table(["blob"])["blob"].to_pylist()
    assert [row for row, one in enumerate(descriptors) if one is not None] == wanted
    (fragment,) = ds.manifest.fragments
    stem = fragment.files[0].path.removesuffix(".lance")
    assert any(path.startswith(f"data/{stem}/") for path in data_files(ds))


def test_places_elsewhere_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(b"far away")
    row: dict[str, Any] = {"data": None, "uri": outside.as_uri()}
    schema = pa.schema([("id", pa.int64()), FIELD])
    one = pa.table([pa.array([1], pa.int64()), pa.array([row], TYPE)], schema=schema)
    ds = lancelet.write_dataset(one, tmp_path / "dataset")
    ds.insert(one)
    before = ds.to_table()
    compact_files(ds)
    assert ds.to_table() == before
    assert before["blob"][0].as_py()["blob_uri"] == outside.as_uri()


def test_a_lost_sidecar_file(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset")
    stem = ds.manifest.fragments[1].files[0].path.removesuffix(".lance")
    for path in data_files(ds):  # one of them has a value of a deleted row alone
        if path.startswith(f"data/{stem}/"):
            ds.store.delete(path)
    files = data_files(ds)
    with pytest.raises(FormatError, match="blob"):
        execute_task(task_of(ds, "reencode"))
    assert data_files(ds) == files


def test_pages_with_blobs_are_not_merged(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset")
    with pytest.raises(OptionError, match="blobs"):
        merge_pages(ds.snapshot, [range(3)], version=Version.V2_2, memory_limit=1 << 20)
