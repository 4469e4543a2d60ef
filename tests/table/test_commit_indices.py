"""Indices of others, through commits of ours."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import lancelet
from commit_jobs import (
    append,
    commit,
    create,
    data_file,
    deletion,
    field,
    fragment,
    rows,
    without,
)
from lancelet.errors import CommitConflict, FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.commits.conflicts import check_conflict
from lancelet.table.formats.bitmap import decode_bitmap, encode_bitmap
from lancelet.table.formats.manifest import (
    encode_manifest,
    manifest_of,
)
from lancelet.table.formats.operations import (
    CreateIndex,
    DataReplacement,
    Delete,
    Merge,
    Overwrite,
    Restore,
    Rewrite,
    RewriteGroup,
    Update,
)
from lancelet.table.formats.rowids import RowIds, Versions
from table.test_bitmap import full_bitmap

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.formats.manifest import Manifest


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "dataset") if request.param == "local" else MemoryStore()


def with_index(
    store: Store,
    latest: Manifest,
    fields: list[int],
    fragments: list[int] | None,
    name: str = "i",
    kind: str = "Bitmap",
    version: int = 0,
) -> Manifest:
    bitmap = b"" if fragments is None else encode_bitmap(np.array(fragments, np.uint32))
    number = len(latest.indices)
    index = table_pb2.IndexMetadata(
        uuid=table_pb2.UUID(uuid=bytes([number] * 16)),
        fields=fields,
        name=name,
        fragment_bitmap=bitmap,
        index_version=version,
    )
    index.index_details.type_url = f"/lance.table.{kind}IndexDetails" if kind else ""
    return commit(store, latest, CreateIndex((index,)))


def test_indices_are_carried_as_they_are(store: Store) -> None:
    first = with_index(store, create(store, rows(1, 2), rows(3)), [0], [0, 1])
    section = first.index_section + b"\x9a\x06\x00"  # a field of a later release stays
    store.put(first.path, encode_manifest(first.message, section, first.transaction_bytes or b""))
    first = manifest_of(store, first.version)
    second = append(store, first, rows(4))
    third = commit(store, second, deletion(store, second, 0, [0]))
    fourth = commit(store, third, without(third, "s"))
    for manifest in (second, third, fourth):
        assert manifest_of(store, manifest.version).index_section == section
    fifth = commit(store, fourth, CreateIndex((), fourth.indices))
    assert (fifth.indices, manifest_of(store, 6).indices) == ((), ())
    assert manifest_of(store, commit(store, fifth, Restore(2)).version).index_section == section
    assert commit(store, 7, Overwrite(first.schema, ())).index_section == b""


def test_an_index_goes_with_its_column_or_keeps_it(store: Store) -> None:
    latest = with_index(store, create(store, rows(1)), [1], [0])
    cast = Merge(latest.fragments, Schema((latest.schema.fields[0], field(2, "s", "int32"))))
    with pytest.raises(UnsupportedError, match="remove the index"):
        commit(store, latest, cast)
    moved = DataReplacement(((0, data_file(store, rows(5))),))
    with pytest.raises(UnsupportedError, match="would not be true"):
        commit(store, latest, moved)
    assert commit(store, latest, without(latest, "s")).indices == ()


def test_indices_of_fields_that_are_not_there_and_of_the_same_id(store: Store) -> None:
    latest = with_index(store, create(store, rows(1)), [0], [0])
    with pytest.raises(OptionError, match="field 9"):
        with_index(store, latest, [9], [0])
    with pytest.raises(OptionError, match="taken"):
        commit(store, latest, CreateIndex(latest.indices))
    commit(store, latest, without(latest, "s"))
    with pytest.raises(CommitConflict, match="field 1"):
        with_index(store, latest, [1], [0])


def rewritten(store: Store, latest: Manifest, old: list[int], *numbers: int) -> Rewrite:
    versions = Versions.constant(len(numbers), 1).serialize()
    new = replace(
        fragment(store, rows(*numbers)),
        row_ids=RowIds.range(0, len(numbers)).serialize(),
        created_at=versions,
        last_updated_at=versions,
    )
    return Rewrite((RewriteGroup(tuple(found for found in latest.fragments if found.id in old), (new,)),))


def test_indices_of_stable_row_ids_follow_their_rows(store: Store) -> None:
    latest = with_index(store, create(store, rows(0), rows(1), rows(2), stable_row_ids=True), [0], [0, 1])
    with pytest.raises(OptionError, match="not all"):
        commit(store, latest, rewritten(store, latest, [1, 2], 1, 2))
    done = commit(store, latest, rewritten(store, latest, [0, 1], 0, 1))
    assert decode_bitmap(done.indices[0].fragment_bitmap).tolist() == [3]
    with pytest.raises(UnsupportedError, match="rows that change"):
        commit(store, done, Update((3,), (), ()))


@pytest.mark.parametrize(
    ("kind", "version", "stays"),
    [
        ("BTree", 0, True),
        ("BTree", 1, False),  # the releases that write it name rows by place, stable ids or not
        ("Bitmap", 0, True),
        ("Bitmap", 1, False),
        ("Vector", 1, True),
        ("ZoneMap", 0, False),
        ("BloomFilter", 0, False),
        ("", 0, False),
    ],
)
def test_kinds_of_indices_that_name_rows_by_place(kind: str, version: int, stays: bool, store: Store) -> None:
    latest = create(store, rows(0), rows(1), rows(2), stable_row_ids=True)
    latest = with_index(store, latest, [0], [0, 1], kind=kind, version=version)
    if stays:
        done = commit(store, latest, rewritten(store, latest, [0, 1], 0, 1))
        assert decode_bitmap(done.indices[0].fragment_bitmap).tolist() == [3]
    else:
        with pytest.raises(UnsupportedError, match="index 'i' names rows by place"):
            commit(store, latest, rewritten(store, latest, [0, 1], 0, 1))
    done = commit(store, latest, rewritten(store, latest, [2], 2)) if not stays else done
    assert [index.name for index in done.indices] == ["i"]  # what it does not know may move


@pytest.mark.parametrize(
    ("stable", "name", "covered"), [(False, "i", [0]), (True, "__lance_frag_reuse", []), (True, "i", None)]
)
def test_rewrites_that_would_make_an_index_wrong(
    store: Store, stable: bool, name: str, covered: list[int] | None
) -> None:
    latest = with_index(store, create(store, rows(0), rows(1), stable_row_ids=stable), [0], covered, name)
    with pytest.raises(UnsupportedError, match="remove it first"):
        commit(store, latest, rewritten(store, latest, [0, 1], 0, 1))
    if not stable:
        assert commit(store, latest, rewritten(store, latest, [1], 1)).indices == latest.indices


def with_bitmap(store: Store, manifest: Manifest, bitmap: bytes, max_fragment_id: int) -> lancelet.Dataset:
    """Write a manifest anew with other fragments of its only index."""
    section = table_pb2.IndexSection(indices=manifest.indices)
    section.indices[0].fragment_bitmap = bitmap
    manifest.message.max_fragment_id = max_fragment_id
    data = encode_manifest(manifest.message, section.SerializeToString(), manifest.transaction_bytes or b"")
    store.put(manifest.path, data)
    return lancelet.dataset(store)


def test_an_index_may_name_fragments_that_are_gone(store: Store) -> None:
    """So it does in both releases of pylance: they show these fragments too."""
    latest = with_index(store, create(store, rows(0), rows(1)), [0], [0, 1])
    commit(store, latest, Delete((), (0,)))
    (index,) = lancelet.dataset(store).list_indices()
    assert index["fragment_ids"] == {0, 1}


def test_an_index_of_fragments_that_there_never_were(store: Store) -> None:
    latest = with_index(store, create(store, rows(0), rows(1)), [0], [0, 1])
    found = with_bitmap(store, latest, full_bitmap(1 << 10), 1)
    with pytest.raises(FormatError, match=r"index 'i' names fragment 67108863, and the highest .* is 1"):
        found.list_indices()


@pytest.mark.parametrize("stable", [False, True])
def test_an_index_of_many_fragments_is_not_spelt_out(stable: bool) -> None:
    """15 kB of runs took 1.5 GB, whoever asked."""
    store = MemoryStore()
    latest = create(store, rows(0), rows(1), stable_row_ids=stable)
    found = with_bitmap(store, with_index(store, latest, [0], [0, 1]), full_bitmap(1 << 10), (1 << 26) - 1)
    rewrite = rewritten(store, found.manifest, [1], 1)
    tracemalloc.start()
    try:
        assert found.list_indices()[0]["fragment_ids"] == {0, 1}
        assert len(found.optimize.plan().tasks) == 1
        if stable:
            with pytest.raises(UnsupportedError, match="rows that change"):
                commit(store, found.version, Update((0,), (), ()))
        with pytest.raises(LanceletError, match="67108864 numbers" if stable else "by place"):
            commit(store, found.version, rewrite)
        with pytest.raises(CommitConflict, match="has rows that are rewritten"):
            check_conflict(rewrite, CreateIndex(found.manifest.indices))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
