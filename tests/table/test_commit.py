"""Commits of one writer, on stores of both kinds: what comes of each operation, and which are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from commit_jobs import (
    SCHEMA,
    added,
    append,
    commit,
    create,
    data_file,
    deletion,
    field,
    fragment,
    numbers,
    read_rows,
    rows,
    transactions,
)
from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.formats.manifest import (
    encode_manifest,
    latest_manifest,
    list_versions,
    manifest_of,
    read_manifest,
)
from lancelet.table.formats.metadata import FragmentMetadata
from lancelet.table.formats.names import Scheme, manifest_path
from lancelet.table.formats.operations import (
    Append,
    DataReplacement,
    Delete,
    MapUpdate,
    Merge,
    Operation,
    Overwrite,
    Project,
    ReserveFragments,
    Restore,
    Rewrite,
    RewriteGroup,
    UpdateConfig,
)
from lancelet.table.formats.rowids import RowIds, Versions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "dataset") if request.param == "local" else MemoryStore()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


def test_versions_follow_each_other(store: Store) -> None:
    first = create(store, rows(1, 2), rows(3))
    second = append(store, first, rows(4, 5))
    third = commit(store, second, deletion(store, second, 0, [1]))
    fourth = commit(store, third, deletion(store, third, 1, [0]))
    fifth = commit(store, fourth, Overwrite(fourth.schema, (fragment(store, rows(9)),)))
    sixth = commit(store, fifth, Restore(3))
    expected = [[1, 2, 3], [1, 2, 3, 4, 5], [1, 3, 4, 5], [1, 4, 5], [9], [1, 3, 4, 5]]
    for version, (manifest, values) in enumerate(
        zip([first, second, third, fourth, fifth, sixth], expected, strict=True), 1
    ):
        assert manifest.version == version
        again = manifest_of(store, version)
        assert numbers(store, again) == values
        assert again.fragments == manifest.fragments
        assert again.transaction_bytes == manifest.transaction_bytes
        assert (
            store.open_source(f"_transactions/{again.transaction_file}").read(0, 2)
            == again.transaction_bytes[:2]
        )
        assert again.message.writer_version.library == "lancelet"
        assert again.timestamp == manifest.timestamp
    assert [found.id for found in fifth.fragments] == [3]
    assert (sixth.max_fragment_id, [found.id for found in sixth.fragments]) == (3, [0, 1, 2])
    assert fourth.message.reader_feature_flags == 1
    assert fifth.message.reader_feature_flags == 0


def test_the_transaction_stands_where_both_releases_look(store: Store) -> None:
    path = create(store, rows(1)).path
    found = read_manifest(store, path).message
    assert found.HasField("transaction_section")
    assert not found.HasField("transaction_section_moved")
    assert not found.HasField("index_section")


def test_a_moved_section_of_another_release_does_not_survive(store: Store) -> None:
    first = create(store, rows(1))
    message = table_pb2.Manifest()
    message.CopyFrom(first.message)
    message.version = 2
    message.index_section = message.transaction_section = message.transaction_section_moved = 7
    message.tag = "old"
    store.put(manifest_path(2), encode_manifest(message, b"", first.transaction_bytes or b""))
    third = append(store, latest_manifest(store) or first, rows(2))
    again = manifest_of(store, third.version).message
    assert not again.HasField("transaction_section_moved")
    assert not again.HasField("index_section")
    assert not again.tag


def test_both_schemes_go_on(store: Store) -> None:
    first = create(store, rows(1), scheme=Scheme.V1)
    second = append(store, first, rows(2), scheme=Scheme.V2)
    assert store.list("_versions") == ["_versions/1.manifest", "_versions/2.manifest"]
    assert second.path == "_versions/2.manifest"
    assert second.scheme is Scheme.V1


def test_creation_happens_once(store: Store) -> None:
    create(store, rows(1))
    before = store.list()
    with pytest.raises(CommitConflict, match="exists already") as caught:
        commit(store, 0, Overwrite(Schema.from_arrow(SCHEMA), ()))
    assert not caught.value.retryable
    assert store.list() == before


@pytest.mark.parametrize("operation", [Append(()), Delete((), ()), Restore(1), ReserveFragments(1)])
def test_only_an_overwrite_creates(store: Store, operation: Operation) -> None:
    with pytest.raises(OptionError, match=r"no dataset|no version 1"):
        commit(store, 0, operation)
    with pytest.raises(FileNotFoundError):
        commit(store, 3, operation)
    assert store.list() == []


def test_a_dataset_without_rows(store: Store) -> None:
    first = create(store, rows())
    assert (first.fragments, first.max_fragment_id) == ((), None)
    second = commit(store, first, Append(()))
    assert second.version == 2
    third = append(store, second, rows(1))
    assert [found.id for found in third.fragments] == [0]
    fourth = commit(store, third, Delete((), ()))
    assert (fourth.version, numbers(store, fourth)) == (4, [1])


def test_versions_that_were_not_read_are_refused(store: Store) -> None:
    create(store, rows(1))
    with pytest.raises(OptionError, match="read version 7"):
        commit(store, 7, Append(()))
    with pytest.raises(OptionError, match="no version 5"):
        commit(store, 1, Restore(5))
    assert len(transactions(store)) == 1


def test_what_a_writer_leaves_out_is_read_from_its_files(store: Store) -> None:
    first = create(store, rows(1))
    bare = FragmentMetadata(0, (replace(data_file(store, rows(2, 3)), file_size_bytes=None),))
    second = commit(store, first, Append((bare,)))
    assert second.fragments[1].physical_rows == 2
    assert second.fragments[1].files[0].file_size_bytes == store.size(f"data/{bare.files[0].path}")
    found = deletion(store, second, 1, [0]).updated_fragments[0]
    unknown = replace(found, deletion_file=replace(found.deletion_file, num_deleted_rows=None))
    third = commit(store, second, Delete((unknown,), ()))
    assert third.fragments[1].deletion_file.num_deleted_rows == 1
    with pytest.raises(OptionError, match="no data file"):
        commit(store, third, Append((FragmentMetadata(0, (replace(bare.files[0], path="lost.lance"),)),)))


def test_stable_row_ids_are_given_once(store: Store) -> None:
    first = create(store, rows(1, 2), stable_row_ids=True)
    second = append(store, first, rows(3), rows(4))
    third = commit(store, second, deletion(store, second, 1, [0]))
    fourth = commit(store, third, Restore(1))
    assert fourth.next_row_id == 4
    fifth = append(store, fourth, rows(5))
    ids = [RowIds.parse(found.row_ids).to_numpy().tolist() for found in fifth.fragments]
    assert ids == [[0, 1], [4]]
    assert [found.id for found in fifth.fragments] == [0, 3]
    assert Versions.parse(fifth.fragments[1].created_at).to_numpy().tolist() == [5]
    assert Versions.parse(fifth.fragments[1].last_updated_at).to_numpy().tolist() == [5]
    sixth = commit(store, fifth, added(store, fifth, field(2, "b"), 7))
    assert Versions.parse(sixth.fragments[0].last_updated_at).to_numpy().tolist() == [6, 6]
    assert Versions.parse(sixth.fragments[0].created_at).to_numpy().tolist() == [1, 1]
    seventh = commit(store, sixth, Overwrite(first.schema, (fragment(store, rows(8)),)))
    assert RowIds.parse(seventh.fragments[0].row_ids).to_numpy().tolist() == [5]
    assert seventh.message.reader_feature_flags & 2


def test_config_and_metadata(store: Store) -> None:
    latest = create(store, rows(1))
    latest = commit(
        store,
        latest,
        UpdateConfig(
            MapUpdate({"a": "1", "b": "2"}),
            MapUpdate({"t": "1"}),
            MapUpdate({"s": "ü"}),
            {1: MapUpdate({"f": "1"})},
        ),
    )
    assert (latest.config, latest.table_metadata) == ({"a": "1", "b": "2"}, {"t": "1"})
    assert latest.schema.metadata == {"s": "ü"}
    assert latest.schema.fields[1].metadata == {"f": "1"}
    assert (latest.message.reader_feature_flags, latest.message.writer_feature_flags) == (0, 8)
    latest = commit(
        store, latest, UpdateConfig(MapUpdate({"a": None, "c": "3"}), MapUpdate({}, replace=True))
    )
    assert (latest.config, latest.table_metadata) == ({"b": "2", "c": "3"}, {})
    with pytest.raises(OptionError, match="no field 9"):
        commit(store, latest, UpdateConfig(field_metadata={9: MapUpdate({})}))
    latest = commit(store, latest, Overwrite(latest.schema, (), {"d": "4"}))
    assert latest.config == {"b": "2", "c": "3", "d": "4"}
    latest = commit(store, latest, Restore(1))
    assert (latest.config, latest.message.writer_feature_flags) == ({}, 0)


def test_bad_fragments_are_refused(memory: MemoryStore) -> None:
    latest = create(memory, rows(1, 2), rows(3))
    good = fragment(memory, rows(9))
    file = good.files[0]
    bad: list[tuple[Operation, type[Exception], str]] = [
        (Append((replace(good, files=(file, file)),)), OptionError, "twice"),
        (Append((replace(good, files=(replace(file, fields=(0, 0)),)),)), OptionError, "twice"),
        (Append((replace(good, files=(replace(file, fields=(0,)),)),)), OptionError, "column for each"),
        (Append((replace(good, files=(replace(file, file_minor_version=2),)),)), OptionError, "version 2.2"),
        (Append((replace(good, files=(replace(file, base_id=1),)),)), UnsupportedError, "outside"),
        (Append((replace(good, files=(replace(file, path="../x"),)),)), OptionError, "no path"),
        (Append((replace(good, files=()),)), OptionError, "no data file"),
        (Append((FragmentMetadata(0, (), None),)), OptionError, "how many rows"),
        (Append(deletion(memory, latest, 0, [0]).updated_fragments), OptionError, "committed before"),
        (Overwrite(latest.schema, deletion(memory, latest, 0, [0]).updated_fragments), OptionError, "named after"),
        (Delete((), (7,)), OptionError, "no fragment 7"),
        (Delete((latest.fragments[0],), ()), OptionError, "which of its rows"),
        (Rewrite((RewriteGroup((replace(latest.fragments[0], id=7),), (good,)),)), OptionError, "no fragment 7"),
        (Rewrite((RewriteGroup((latest.fragments[0],), (good,)),)), OptionError, "cannot be rewritten"),
        (Rewrite((RewriteGroup((latest.fragments[1],), (replace(good, id=5),)),)), OptionError, "reserved"),
        (Rewrite((RewriteGroup((latest.fragments[1],), (replace(good, id=0),) * 2),)), OptionError, "cannot be rewritten"),
        (Merge(latest.fragments[:1], latest.schema), OptionError, "other fragments"),
        (Merge(latest.fragments, Schema((field(0, "a", "string"),))), OptionError, "another id"),
        (Merge(latest.fragments, Schema((field(1, "a", "string"), field(1, "b", "string")))), OptionError, "taken"),
        (Merge(latest.fragments, Schema((*latest.schema.fields, field(2, "n", nullable=False)))), OptionError, "'n' must not"),
        (Project(Schema((field(5, "new"),))), OptionError, "none of the dataset"),
        (ReserveFragments(0), OptionError, "reserved"),
        (ReserveFragments(2**32 - 1), OptionError, "reserved"),
        (DataReplacement(((0, replace(file, fields=(0, 5))),)), OptionError, "just the fields"),
    ]  # fmt: skip
    before = memory.list("_versions"), memory.list("_transactions")
    for operation, error, message in bad:
        with pytest.raises(error, match=message):
            commit(memory, latest, operation)
    assert (memory.list("_versions"), memory.list("_transactions")) == before


def test_deleted_rows_do_not_come_back(store: Store) -> None:
    first = create(store, rows(1, 2, 3))
    second = commit(store, first, deletion(store, first, 0, [0, 1]))
    with pytest.raises(OptionError, match="would come back"):
        commit(store, second, deletion(store, first, 0, [2]))


def test_a_column_that_must_not_be_null_is_written(store: Store) -> None:
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), ("s", pa.string())])
    latest = create(store, rows(1).cast(schema), schema=schema)
    only_s = fragment(store, pa.table({"s": ["x"]}), [1])
    with pytest.raises(OptionError, match="'a' must not be null"):
        commit(store, latest, Append((only_s,)))
    only_a = fragment(store, rows(2).select(["a"]), [0])
    assert read_rows(store, commit(store, latest, Append((only_a,))))[1] == {"a": 2, "s": None}


@pytest.mark.parametrize("flag", [64, 1 << 12, 1 << 15, 1 << 40])
def test_datasets_with_unknown_flags_for_writers_are_only_read(store: Store, flag: int) -> None:
    first = create(store, rows(1))
    first.message.writer_feature_flags |= flag
    store.put(first.path, encode_manifest(first.message, b"", b""))
    with pytest.raises(UnsupportedError, match=hex(flag)):
        append(store, manifest_of(store, 1), rows(2))
    assert len(list_versions(store)) == 1


def test_mixed_versions_stay_for_ever(store: Store) -> None:
    first = create(store, rows(1))
    first.message.writer_feature_flags = first.message.reader_feature_flags = 256
    store.put(first.path, encode_manifest(first.message, b"", b""))
    second = commit(store, 1, Append((fragment(store, rows(2), version="2.2"),)))
    third = commit(store, second, Overwrite(first.schema, ()))
    assert (third.message.reader_feature_flags, third.message.writer_feature_flags) == (256, 256)


def test_a_restored_version_must_be_known_too(store: Store) -> None:
    first = create(store, rows(1))
    second = commit(store, first, Append(()))
    first.message.writer_feature_flags |= 1 << 11
    store.put(first.path, encode_manifest(first.message, b"", first.transaction_bytes or b""))
    with pytest.raises(UnsupportedError, match="0x800"):
        commit(store, second, Restore(1))


def test_the_least_that_a_manifest_says_is_enough(store: Store) -> None:
    """dataset.md 2.3: no highest fragment id, no time, no transaction, no sizes of files."""
    first = create(store, rows(1), rows(2))
    message = table_pb2.Manifest(version=1, fields=first.message.fields, fragments=first.message.fragments)
    message.data_format.CopyFrom(first.message.data_format)
    for entry in message.fragments:
        entry.files[0].file_size_bytes = 0
    store.put(first.path, encode_manifest(message, b"", b""))
    reserved = commit(store, 1, ReserveFragments(2))
    assert reserved.max_fragment_id == 3
    latest = append(store, reserved, rows(3))
    assert [found.id for found in latest.fragments] == [0, 1, 4]
    latest = commit(store, latest, Restore(1))
    assert (latest.max_fragment_id, numbers(store, latest)) == (4, [1, 2])
    store.delete(latest.path)
    for version in (2, 3):
        store.delete(manifest_path(version))
    assert [found.id for found in commit(store, 1, Restore(1)).fragments] == [0, 1]
    assert [found.id for found in append(store, manifest_of(store, 2), rows(3)).fragments] == [0, 1, 2]


# ---- fragments that somebody wrote


def test_fragments_that_were_committed_before(store: Store) -> None:
    first = create(store, rows(1))
    new = Append((fragment(store, rows(2)),))
    second = commit(store, first, new)
    for base in (first, second):
        with pytest.raises(OptionError, match="is in fragment 1 already"):
            commit(store, base, new)
    latest = latest_manifest(store)
    assert latest is not None
    assert numbers(store, latest) == [1, 2]


def test_fragments_with_fields_that_there_are_not(store: Store) -> None:
    first = create(store, rows(1))
    made = fragment(store, rows(2))
    (file,) = made.files
    strange = replace(made, files=(replace(file, fields=(*file.fields[:-1], 99)),))
    with pytest.raises(OptionError, match="lists field 99, and version 1 has no such field"):
        commit(store, first, Append((strange,)))
