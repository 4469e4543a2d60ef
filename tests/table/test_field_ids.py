"""Ids of fields are never given out twice, and never taken for another field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from commit_jobs import (
    added,
    append,
    commit,
    create,
    data_file,
    field,
    fragment,
    read_rows,
    rows,
    without,
)
from lancelet.errors import CommitConflict, OptionError
from lancelet.pb import table_pb2
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.commits.field_ids import MAX_FIELD_ID, next_field_id
from lancelet.table.formats.manifest import (
    encode_manifest,
    latest_manifest,
)
from lancelet.table.formats.names import manifest_path
from lancelet.table.formats.operations import (
    Append,
    CreateIndex,
    DataReplacement,
    MapUpdate,
    Operation,
    Overwrite,
    Project,
    Restore,
    UpdateConfig,
)
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.formats.manifest import Manifest


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "dataset") if request.param == "local" else MemoryStore()


def three_columns(store: Store) -> Manifest:
    first = create(store, rows(1))
    return commit(store, first, added(store, first, field(2, "c"), 7))


def late_append(store: Store) -> Append:
    table = pa.table({"a": [8], "s": ["late"], "c": [777]})
    return Append((fragment(store, table),))


def give_out_again(store: Store, read: Manifest) -> None:
    """Drop c and add d as a writer does that remembers nothing: d gets the id that c had."""
    second = commit(store, read, without(read, "c"))
    message = table_pb2.Manifest()
    message.CopyFrom(second.message)
    message.version += 1
    message.config.clear()
    message.fields.add(name="d", id=2, parent_id=-1, logical_type="int64", nullable=True)
    theirs = Transaction(second.version, added(store, second, field(2, "d")))
    store.put(manifest_path(message.version), encode_manifest(message, b"", theirs.serialize()))


def test_an_id_that_was_given_out_again_is_struck_out(store: Store) -> None:
    """The reference reads the values of the dropped column as those of the new one: 777 instead of null."""
    read = three_columns(store)
    mine = late_append(store)
    give_out_again(store, read)
    latest = commit(store, read, mine)
    assert read_rows(store, latest)[-1] == {"a": 8, "s": "late", "d": None}
    assert latest.fragments[-1].files[0].fields == (0, 1, -2)


def test_changes_of_a_field_do_not_reach_another(store: Store) -> None:
    read = three_columns(store)
    file = data_file(store, pa.table({"c": [1]}), [2])
    index = table_pb2.IndexMetadata(uuid=table_pb2.UUID(uuid=bytes(16)), fields=[2], name="i")
    give_out_again(store, read)
    operations: tuple[Operation, ...] = (
        DataReplacement(((0, file),)),
        UpdateConfig(field_metadata={2: MapUpdate({"x": "1"})}),
        CreateIndex((index,)),
    )
    for operation in operations:
        with pytest.raises(CommitConflict, match="field 2 is another one now") as caught:
            commit(store, read, operation)
        assert caught.value.retryable
    first = commit(store, 3, UpdateConfig(field_metadata={1: MapUpdate({"x": "1"})}))
    assert first.schema.fields[1].metadata == {"x": "1"}
    commit(store, first, Restore(1))
    with pytest.raises(CommitConflict, match="no field 2"):
        commit(store, first, UpdateConfig(field_metadata={2: MapUpdate({"x": "1"})}))


def test_an_id_is_not_given_out_again(store: Store) -> None:
    read = three_columns(store)
    mine = late_append(store)
    second = commit(store, read, without(read, "c"))
    assert second.config == {MAX_FIELD_ID: "2"}
    assert next_field_id(second) == 3
    with pytest.raises(OptionError, match="in use before"):
        commit(store, second, added(store, second, field(2, "d"), 5))
    third = commit(store, second, added(store, second, field(3, "d"), 5))
    assert next_field_id(third) == 4
    latest = commit(store, read, mine)
    assert read_rows(store, latest)[-1] == {"a": 8, "s": "late", "d": None}


def test_the_highest_id_outlives_everything(store: Store) -> None:
    read = three_columns(store)
    latest = commit(store, read, without(read, "c"))
    for operation in (
        UpdateConfig(MapUpdate({"x": "1"}, replace=True)),
        Restore(1),
        Overwrite(latest.schema, ()),
        UpdateConfig(MapUpdate({MAX_FIELD_ID: None})),
        UpdateConfig(MapUpdate({MAX_FIELD_ID: "nonsense"})),
        UpdateConfig(MapUpdate({MAX_FIELD_ID: "-5"})),
        Append(()),
    ):
        latest = commit(store, latest, operation)
        assert next_field_id(latest) == 3, operation


def test_ids_of_older_versions_and_of_files_count(store: Store) -> None:
    first = create(store, rows(1))
    assert next_field_id(first) == 2
    assert next_field_id(first, three_columns(MemoryStore())) == 3
    assert next_field_id(first, fragments=(fragment(store, rows(1), [0, 17]),)) == 18
    largest = fragment(store, rows(1), [0, 2**31 - 1])
    with pytest.raises(OptionError, match="no ids are left"):
        next_field_id(first, fragments=(largest,))


def test_an_append_over_a_rename_keeps_its_values(store: Store) -> None:
    read = three_columns(store)
    mine = late_append(store)
    renamed = Schema((*read.schema.fields[:2], field(2, "other")))
    second = commit(store, read, Project(renamed))
    commit(store, second, added(store, second, field(3, "d")))
    assert read_rows(store, commit(store, read, mine))[-1] == {"a": 8, "s": "late", "other": 777, "d": None}


def test_an_append_over_a_column_that_must_not_be_null(store: Store) -> None:
    read = create(store, rows(1))
    commit(store, read, added(store, read, field(2, "n", nullable=False), 3))
    with pytest.raises(CommitConflict, match="must not be null") as caught:
        append(store, read, rows(2))
    assert caught.value.retryable


def test_nulls_do_not_slip_past_a_column_that_may_not_have_them_any_more(store: Store) -> None:
    read = create(store, rows(1))
    strict = Project(Schema((field(0, "a", nullable=False), read.schema.fields[1])))
    second = append(store, read, rows(2))
    with pytest.raises(CommitConflict, match="not be null any more"):
        commit(store, read, strict)
    commit(store, second, strict)
    with pytest.raises(CommitConflict, match="not be null any more") as caught:
        append(store, second, rows(3))
    assert caught.value.retryable


def test_an_append_of_nothing_but_dropped_columns(store: Store) -> None:
    read = three_columns(store)
    mine = Append((fragment(store, pa.table({"c": [777]}), [2]),))
    commit(store, read, without(read, "c"))
    with pytest.raises(CommitConflict, match="dropped meanwhile") as caught:
        commit(store, read, mine)
    assert caught.value.retryable


def test_files_without_a_field_go_and_fragments_without_a_file_do_not_come(store: Store) -> None:
    """The reference leaves fragments without any file, and then cannot read them."""
    read = three_columns(store)
    assert len(commit(store, read, without(read, "c")).fragments[0].files) == 1
    latest = latest_manifest(store)
    latest = commit(store, latest, added(store, latest, field(5, "null")))
    latest = commit(store, latest, without(latest, "a", "s"))
    assert len(latest.fragments[0].files) == 1
    assert read_rows(store, latest) == [{"null": None}]
