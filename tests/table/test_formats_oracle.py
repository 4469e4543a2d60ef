"""Pylance reads manifests, deletion files and row ids that were written here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lancelet.storage import LocalStore
from lancelet.table.formats.deletions import read_deletions, write_deletions
from lancelet.table.formats.manifest import Manifest, encode_manifest, latest_manifest
from lancelet.table.formats.names import Scheme, manifest_path
from lancelet.table.formats.rowids import RowIdIndex, RowIds, Versions, read_row_ids
from oracle import RELEASES, oracle
from table.golden_datasets import golden_datasets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lancelet.table.formats.metadata import FragmentMetadata

SCRIPT = """
import json, sys
import lance
path, ids = json.loads(sys.argv[1])
dataset = lance.dataset(path)
table = dataset.to_table(with_row_id=True, with_row_address=True)
taken = dataset._take_rows(ids)["id"].to_pylist() if ids else []
print(json.dumps({
    "version": dataset.version,
    "count": dataset.count_rows(),
    "deleted": [fragment.num_deletions for fragment in dataset.get_fragments()],
    "id": table["id"].to_pylist(),
    "_rowid": table["_rowid"].to_pylist(),
    "_rowaddr": table["_rowaddr"].to_pylist(),
    "taken": taken,
}))
"""


def look(release: str, path: Path, ids: Sequence[int] = ()) -> dict[str, Any]:
    """Return what a release of pylance sees of a dataset, and the rows that it takes by row id."""
    environment = os.environ | {"PYTHONPATH": str(oracle(release).directory), "LANCE_LOG": "error"}
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([str(path), list(ids)])],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def copy_of(name: str, tmp_path: Path) -> tuple[LocalStore, Manifest]:
    dataset = next(each for each in golden_datasets() if each.name == name)
    store = LocalStore(shutil.copytree(dataset.path, tmp_path / "copy.lance"))
    return store, latest_manifest(store)


def commit(
    store: LocalStore, manifest: Manifest, fragments: Sequence[FragmentMetadata], flags: int
) -> Manifest:
    """Write a next version with other fragments."""
    message = type(manifest.message)()
    message.CopyFrom(manifest.message)
    message.version += 1
    del message.fragments[:]
    message.fragments.extend(fragment.to_message() for fragment in fragments)
    message.reader_feature_flags = message.writer_feature_flags = flags
    if flags & 2:
        message.next_row_id = 1 << 62
    encoded = encode_manifest(message, manifest.index_section, manifest.transaction_bytes)
    store.put_if_absent(manifest_path(message.version, manifest.scheme), encoded)
    return latest_manifest(store)


def live_addresses(store: LocalStore, manifest: Manifest) -> list[int]:
    found = []
    for fragment in manifest.fragments:
        rows = np.delete(np.arange(fragment.physical_rows), read_deletions(store, fragment))
        found += [(fragment.id << 32) + int(row) for row in rows]
    return found


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("scheme", Scheme)
def test_manifests(release, scheme, tmp_path):
    """Every version of a dataset anew, under both schemes of names."""
    store, manifest = copy_of("versions_21-p14.0.2", tmp_path)
    before = look(release, tmp_path / "copy.lance")
    for path in store.list("_versions"):
        store.delete(path)
    encoded = encode_manifest(manifest.message, manifest.index_section, manifest.transaction_bytes)
    store.put_if_absent(manifest_path(manifest.version, scheme), encoded)
    assert look(release, tmp_path / "copy.lance") == before
    assert before["_rowaddr"] == live_addresses(store, latest_manifest(store))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("num", [1, 4999, 5000, 8000])
def test_deletion_files(release, num, tmp_path):
    store, manifest = copy_of("delete_bitmap_22-p14.0.2", tmp_path)
    (fragment,) = manifest.fragments
    deleted = np.random.default_rng(num).choice(fragment.physical_rows, num, replace=False)
    deletion = write_deletions(store, fragment.id, manifest.version, np.sort(deleted).astype(np.uint32))
    changed = commit(store, manifest, [replace(fragment, deletion_file=deletion)], 1)
    found = look(release, tmp_path / "copy.lance")
    assert found["deleted"] == [num]
    assert found["count"] == fragment.physical_rows - num == len(found["id"])
    assert found["_rowaddr"] == live_addresses(store, changed)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", ["range", "holes", "bitmap", "sorted", "wide", "array", "segments"])
def test_row_ids(release, kind, tmp_path):
    store, manifest = copy_of("stable_row_ids_20-p4.0.1", tmp_path)
    (fragment,) = manifest.fragments
    num = fragment.physical_rows
    ids = ids_of_kind(kind, num)
    changed = replace(
        fragment,
        row_ids=ids.serialize(),
        created_at=Versions.concat([Versions.constant(9, 1), Versions.constant(num - 9, 2)]).serialize(),
        last_updated_at=Versions.constant(num, 3).serialize(),
        deletion_file=write_deletions(store, fragment.id, manifest.version, np.array([4, 7], np.uint32)),
    )
    committed = commit(store, manifest, [changed], 3)
    deleted = read_deletions(store, committed.fragments[0])
    live = ids.without(deleted).to_numpy()
    found = look(release, tmp_path / "copy.lance", live[::5].tolist())
    assert found["_rowid"] == live.tolist()
    assert found["_rowaddr"] == live_addresses(store, committed)
    assert found["taken"] == found["id"][::5]
    index = RowIdIndex({fragment.id: (read_row_ids(store, committed.fragments[0]), deleted)})
    assert index.lookup(live).tolist() == found["_rowaddr"]


def ids_of_kind(kind: str, num: int) -> RowIds:
    if kind == "range":
        return RowIds.range(1000, 1000 + num)
    if kind == "holes":
        return RowIds.range(1000, 1001 + num).without([50])
    if kind == "bitmap":
        return RowIds.range(1000, 1007 + num).without([3, 7, 9, 20, 21, 22, 40])
    values = np.random.default_rng(1).choice(50_000, num, replace=False)
    if kind == "sorted":
        return RowIds.from_numpy(np.sort(values))
    if kind == "wide":
        return RowIds.from_numpy(np.sort(values).astype(np.uint64) << np.uint64(40))
    if kind == "array":
        return RowIds.from_numpy(values)
    parts = [RowIds.range(10**6, 10**6 + 60).without([3]), RowIds.from_numpy(values[60:]), RowIds.range(7, 8)]
    return RowIds.concat([*parts, RowIds.range(2 * 10**6, 2 * 10**6 + num)]).slice(0, num)
