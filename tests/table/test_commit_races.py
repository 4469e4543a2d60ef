"""Commits of several writers: what follows what, what is refused, and what a refused commit leaves behind."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from commit_jobs import (
    added,
    append,
    append_many,
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
    without,
)
from lancelet.errors import CommitConflict, FormatError, OptionError
from lancelet.pb import table_pb2
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.table.commits import commit as commit_module
from lancelet.table.commits.commit import commit_transaction, transaction_of
from lancelet.table.formats.deletions import read_deletions
from lancelet.table.formats.manifest import (
    encode_manifest,
    latest_manifest,
    list_versions,
    manifest_of,
)
from lancelet.table.formats.names import manifest_path
from lancelet.table.formats.operations import (
    Append,
    DataReplacement,
    Overwrite,
    ReserveFragments,
    Restore,
    Rewrite,
    RewriteGroup,
    Update,
)
from lancelet.table.formats.rowids import RowIds, Versions
from lancelet.table.formats.transaction import Transaction

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.table.formats.manifest import Manifest


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "dataset") if request.param == "local" else MemoryStore()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


def test_appends_follow_each_other(store: Store) -> None:
    first = create(store, rows(1))
    for number in (2, 3, 4):
        append(store, first, rows(number))
    assert numbers(store, latest_manifest(store)) == [1, 2, 3, 4]
    assert [name.split("/")[1].split("-")[0] for name in transactions(store)] == ["0", "1", "1", "1"]


def test_an_append_over_an_overwrite_leaves_nothing(store: Store) -> None:
    first = create(store, rows(1))
    commit(store, first, Overwrite(first.schema, ()))
    before = transactions(store)
    with pytest.raises(CommitConflict, match="Append over Overwrite") as caught:
        append(store, first, rows(2))
    assert not caught.value.retryable
    assert transactions(store) == before
    assert [version for version, _ in list_versions(store)] == [1, 2]


def test_deletes_of_one_fragment_are_merged(store: Store) -> None:
    first = create(store, rows(*range(10)), rows(10, 11))
    mine = [deletion(store, first, 0, [1, 2]), deletion(store, first, 0, [5]), deletion(store, first, 1, [0])]
    for operation in mine:
        commit(store, first, operation)
    latest = latest_manifest(store)
    assert numbers(store, latest) == [0, 3, 4, 6, 7, 8, 9, 11]
    assert latest.fragments[0].deletion_file.read_version == 2
    found = transaction_of(store, manifest_of(store, 3))
    assert found.read_version == 2
    assert found.operation.updated_fragments[0].deletion_file == latest.fragments[0].deletion_file
    names = [name.split("/")[1] for name in transactions(store)]
    assert [name.split("-")[0] for name in names] == ["0", "1", "1", "2"]


def test_rows_that_were_deleted_before_are_in_nobodys_way(store: Store) -> None:
    first = create(store, rows(*range(10)))
    second = commit(store, first, deletion(store, first, 0, [0, 1]))
    second = commit(store, second, added(store, second, field(2, "b"), 7))
    mine = deletion(store, second, 0, [2])
    third = commit(store, second, deletion(store, second, 0, [3]))
    commit(store, third, without(third, "b"))
    latest = commit(store, second, mine)
    assert numbers(store, latest) == [4, 5, 6, 7, 8, 9]
    assert transaction_of(store, latest).operation.updated_fragments == latest.fragments
    assert len(latest.fragments[0].files) == 1


def test_rows_that_somebody_deleted_already_are_not_deleted_again(store: Store) -> None:
    first = create(store, rows(*range(10)))
    mine, before = deletion(store, first, 0, [2, 3]), transactions(store)
    commit(store, first, deletion(store, first, 0, [1, 2]))
    with pytest.raises(CommitConflict, match="deleted already") as caught:
        commit(store, first, mine)
    assert caught.value.retryable
    assert len(transactions(store)) == len(before) + 1
    assert len(store.list("_deletions")) == 2  # theirs, and the one that the refused delete had brought


def test_a_fragment_without_rows_after_a_merge_goes(store: Store) -> None:
    first = create(store, rows(0, 1, 2), rows(3))
    mine = deletion(store, first, 0, [1, 2])
    commit(store, first, deletion(store, first, 0, [0]))
    latest = commit(store, first, mine)
    assert numbers(store, latest) == [3]
    assert transaction_of(store, latest).operation.deleted_fragment_ids == (0,)


def test_a_delete_keeps_what_others_did_to_the_fragment(store: Store) -> None:
    """The reference puts back the whole entry of the version that it read, with files that were dropped meanwhile."""
    first = create(store, rows(1, 2))
    second = commit(store, first, added(store, first, field(2, "b"), 7))
    third = commit(store, second, without(second, "b"))
    assert len(third.fragments[0].files) == 1
    latest = commit(store, second, deletion(store, second, 0, [0]))
    assert len(latest.fragments[0].files) == 1
    assert latest.fragments[0].num_deletions == 1


def test_a_rebased_delete_keeps_later_deletions_over_three_attempts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody commits between each of my looks at the latest version and my put."""
    first = create(store, rows(*range(10)))
    mine = deletion(store, first, 0, [9])
    theirs = iter([[0], [1], [2]])
    find = commit_module.latest_manifest

    def late(found: Store) -> Manifest | None:
        manifest = find(found)
        offsets = next(theirs, None)
        if offsets is not None and manifest is not None:
            monkeypatch.setattr(commit_module, "latest_manifest", find)
            commit(store, manifest, deletion(store, manifest, 0, offsets))
            monkeypatch.setattr(commit_module, "latest_manifest", late)
        return manifest

    monkeypatch.setattr(commit_module, "latest_manifest", late)
    latest = commit(store, first, mine)
    assert latest.version == 5
    assert numbers(store, latest) == [3, 4, 5, 6, 7, 8]
    assert len(transactions(store)) == 5  # one for each version: lost attempts left none
    assert len(store.list("_deletions")) == 5  # three of theirs, the first of mine, and the one that counts


def test_a_compaction_over_a_delete_brings_no_row_back(store: Store) -> None:
    """Release 4.0.1 loses the delete if it was committed after the rows were read."""
    first = create(store, rows(0, 1), rows(2, 3))
    new = fragment(store, rows(0, 1, 2, 3))
    second = commit(store, first, deletion(store, first, 0, [0]))
    rewrite = Rewrite((RewriteGroup(first.fragments, (new,)),))
    for read in (first, second):  # as 14.0.2 says it, and as 4.0.1 does
        with pytest.raises(CommitConflict) as caught:
            commit(store, read, rewrite)
        assert caught.value.retryable
    assert numbers(store, latest_manifest(store)) == [1, 2, 3]


def test_a_compaction_goes_with_appends(store: Store) -> None:
    first = create(store, rows(0, 1), rows(2, 3), stable_row_ids=True)
    second = commit(store, first, ReserveFragments(1))
    assert second.max_fragment_id == 2
    new = replace(
        fragment(store, rows(0, 1, 2, 3)),
        id=2,
        row_ids=RowIds.range(0, 4).serialize(),
        created_at=Versions.constant(4, 1).serialize(),
        last_updated_at=Versions.constant(4, 1).serialize(),
    )
    append(store, second, rows(4))
    latest = commit(store, first, Rewrite((RewriteGroup(first.fragments, (new,)),)))
    assert numbers(store, latest) == [0, 1, 2, 3, 4]
    assert [found.id for found in latest.fragments] == [2, 3]
    assert RowIds.parse(latest.fragments[0].row_ids).to_numpy().tolist() == [0, 1, 2, 3]
    assert latest.next_row_id == 5
    with pytest.raises(OptionError, match="row ids and versions"):
        commit(store, latest, Rewrite((RewriteGroup(latest.fragments[1:], (fragment(store, rows(4)),)),)))
    short = replace(new, row_ids=RowIds.range(0, 3).serialize())
    with pytest.raises(OptionError, match="one for each"):
        commit(store, latest, Rewrite((RewriteGroup(latest.fragments[:1], (replace(short, id=0),)),)))


def test_an_update_moves_rows(store: Store) -> None:
    first = create(store, rows(1, 2, 3), stable_row_ids=True)
    old = deletion(store, first, 0, [1]).updated_fragments
    new = replace(fragment(store, rows(20)), row_ids=RowIds.range(1, 2).serialize())
    latest = commit(store, first, Update((), old, (new,), (0,)))
    assert numbers(store, latest) == [1, 3, 20]
    assert RowIds.parse(latest.fragments[1].row_ids).to_numpy().tolist() == [1]
    assert latest.next_row_id == 3


def test_an_update_of_a_column_tombstones_it(store: Store) -> None:
    first = create(store, rows(1, 2), rows(3), stable_row_ids=True)
    old = first.fragments[0]
    file = data_file(store, pa.table({"a": [10, 20]}), [0])
    new = replace(old, files=(replace(old.files[0], fields=(-2, 1)), file))
    second = commit(store, first, Update((), (new,), (), (0,), (), "columns"))
    assert read_rows(store, second)[:2] == [{"a": 10, "s": "row 1"}, {"a": 20, "s": "row 2"}]
    assert Versions.parse(second.fragments[0].last_updated_at).to_numpy().tolist() == [2, 2]
    assert second.fragments[1] == first.fragments[1]
    twice = replace(old, files=(old.files[0], file))
    with pytest.raises(OptionError, match="field 0 is in a fragment twice"):
        commit(store, second, Update((), (twice,), (), (0,), (), "columns"))
    with pytest.raises(OptionError, match="has 2 rows, not 3"):
        commit(store, second, Update((), (replace(new, physical_rows=3),), (), (0,), (), "columns"))


def test_data_is_replaced(store: Store) -> None:
    first = create(store, rows(1, 2))
    latest = commit(store, first, DataReplacement(((0, data_file(store, rows(5, 6))),)))
    assert numbers(store, latest) == [5, 6]


def test_versions_that_do_not_say_what_they_changed(store: Store) -> None:
    first = create(store, rows(1))
    message = table_pb2.Manifest()
    message.CopyFrom(first.message)
    message.version = 2
    message.transaction_file = ""
    store.put(manifest_path(2), encode_manifest(message, b"", b""))
    with pytest.raises(CommitConflict, match="does not say"):
        append(store, first, rows(2))
    message.version, message.transaction_file = 3, "1-lost.txn"
    store.put(manifest_path(3), encode_manifest(message, b"", b""))
    with pytest.raises(CommitConflict, match="does not say"):
        append(store, manifest_of(store, 2), rows(2))
    assert append(store, manifest_of(store, 3), rows(2)).version == 4
    message.version, message.transaction_file = 5, "../_versions/x"
    store.put(manifest_path(5), encode_manifest(message, b"", b""))
    with pytest.raises(FormatError, match="no name of a transaction"):
        append(store, manifest_of(store, 4), rows(2))


def test_the_transaction_file_serves_where_the_manifest_has_none(store: Store) -> None:
    first = create(store, rows(1))
    second = append(store, first, rows(2))
    store.put(second.path, encode_manifest(second.message, b"", b""))
    assert numbers(store, append(store, first, rows(3))) == [1, 2, 3]
    data = b"\xff" + bytes(second.transaction_bytes or b"")
    store.put(f"_transactions/{second.transaction_file}", data)
    with pytest.raises(FormatError, match="damaged"):
        append(store, first, rows(4))


def test_a_version_that_was_cleaned_up(store: Store) -> None:
    first = create(store, rows(1))
    second = append(store, first, rows(2))
    append(store, second, rows(3))
    store.delete(second.path)
    with pytest.raises(CommitConflict, match="version 2 is gone") as caught:
        append(store, first, rows(4))
    assert caught.value.retryable


def test_an_unknown_operation_conflicts(store: Store) -> None:
    first = create(store, rows(1))
    second = append(store, first, rows(2))
    unknown = Transaction(1, Restore(1)).to_message()
    unknown.ClearField("operation")
    unknown.clone = b""
    store.put(second.path, encode_manifest(second.message, b"", unknown.SerializeToString()))
    with pytest.raises(CommitConflict, match="not known"):
        append(store, first, rows(3))


class Denying(MemoryStore):
    """A store that does what it is asked, and says that it could not: requests were sent twice, or an answer was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.denies = False

    def put_if_absent(self, path: str, data: Any) -> None:
        super().put_if_absent(path, data)
        if self.denies:
            raise FileExistsError(path)


@pytest.mark.parametrize("attempts", [1, 20])
def test_a_commit_that_succeeded_is_not_done_twice(attempts: int) -> None:
    store = Denying()
    first = create(store, rows(1, 2))
    store.denies = True
    second = append(store, first, rows(3), attempts=attempts)
    assert second.version == 2
    third = commit(store, 2, deletion(store, second, 0, [0]), attempts=attempts)
    assert third.version == 3
    assert numbers(store, third) == [2, 3]
    merged = commit(store, 2, deletion(store, second, 0, [1]), attempts=attempts)
    assert numbers(store, manifest_of(store, 4)) == [3]
    assert merged.version == 4
    assert len(list_versions(store)) == 4


def test_a_repeated_transaction_is_found(store: Store) -> None:
    create(store, rows(1))
    transaction = Transaction(1, Append((fragment(store, rows(2)),)))
    second = commit_transaction(store, transaction)
    commit(store, second, Append(()))
    assert commit_transaction(store, transaction).version == 2
    assert len(list_versions(store)) == 3


def test_attempts_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create(store, rows(1))
    tried = []

    def taken(path: str, data: Any) -> None:
        tried.append(path)
        raise FileExistsError(path)

    monkeypatch.setattr(store, "put_if_absent", taken)
    monkeypatch.setattr(commit_module.time, "sleep", lambda seconds: None)
    with pytest.raises(CommitConflict, match="all 20 attempts") as caught:
        append(store, first, rows(2))
    assert caught.value.retryable
    assert len(tried) == 20
    assert len(transactions(store)) == 1
    with pytest.raises(OptionError, match="0 attempts"):
        append(store, first, rows(2), attempts=0)


def test_one_listing_for_an_attempt(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create(memory, rows(1))
    append(memory, first, rows(2))
    listed: list[str] = []
    monkeypatch.setattr(
        memory, "list", lambda folder="": listed.append(folder) or MemoryStore.list(memory, folder)
    )
    append(memory, first, rows(3))
    assert listed == ["_versions"] * 2, "one before the put, and one after it"


def test_threads_append(store: Store) -> None:
    create(store, rows(1))
    barrier = threading.Barrier(8)

    def work(writer: int) -> None:
        barrier.wait()
        for number in range(10):
            append(store, latest_manifest(store), rows(1000 * writer + number))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, writer) for writer in range(1, 9)]:
            done.result()
    latest = latest_manifest(store)
    expected = {1000 * writer + number for writer in range(1, 9) for number in range(10)}
    assert latest.version == 81
    assert sorted(numbers(store, latest)) == sorted(expected | {1})
    assert len(transactions(store)) == 81


def test_threads_create(store: Store) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> int | None:
        barrier.wait()
        try:
            return numbers(store, create(store, rows(number)))[0]
        except CommitConflict as error:
            return None if "exists already" in str(error) else -1

    with ThreadPoolExecutor(4) as pool:
        found = [done.result() for done in [pool.submit(work, number) for number in range(1, 5)]]
    assert sorted(found, key=bool)[:3] == [None] * 3
    assert numbers(store, latest_manifest(store)) == [number for number in found if number]
    assert len(transactions(store)) == 1


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_append(tmp_path: Path, method: str) -> None:
    """8 processes, 25 appends each (4 each for spawned ones, which start slowly): nothing is lost, nothing is doubled."""
    root = str(tmp_path / "dataset")
    store = LocalStore(root)
    create(store, rows(1))
    num_appends = 25 if method == "fork" else 4
    context = get_context(method)
    processes = [
        context.Process(target=append_many, args=(root, writer, num_appends)) for writer in range(1, 9)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    latest = latest_manifest(store)
    expected = [1, *(1000 * writer + number for writer in range(1, 9) for number in range(num_appends))]
    assert latest.version == 8 * num_appends + 1
    assert sorted(numbers(store, latest)) == expected
    assert [found.id for found in latest.fragments] == list(range(8 * num_appends + 1))


def test_threads_delete_from_one_fragment(store: Store) -> None:
    first = create(store, rows(*range(40)), stable_row_ids=True)
    operations = [deletion(store, first, 0, [number, number + 20]) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda operation: commit(store, first, operation), operations))
    latest = latest_manifest(store)
    assert numbers(store, latest) == [*range(12, 20), *range(32, 40)]
    assert len(read_deletions(store, latest.fragments[0])) == 24


def test_a_writer_that_dies_before_the_put_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = create(store, rows(1))

    def dies(path: str, data: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_if_absent", dies)
        with pytest.raises(OSError, match="no space"):
            append(store, first, rows(2))
    assert latest_manifest(store).version == 1
    assert numbers(store, append(store, first, rows(3))) == [1, 3]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_writers_leave_a_dataset_that_goes_on(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "dataset")
    create(store, rows(1))
    generator = random.Random(3)
    appended = 0
    for writer in range(1, 11):
        process = get_context("fork").Process(target=append_many, args=(store.name, writer, 900))
        process.start()
        time.sleep(generator.uniform(0.0, 0.3))
        process.kill()
        process.join()
        latest = latest_manifest(store)
        found = [number for number in numbers(store, latest) if number >= 1000]
        mine = [number for number in found if number // 1000 == writer]
        assert mine == [1000 * writer + number for number in range(len(mine))]
        appended += len(mine)
        assert len(found) == appended == latest.version - 1
    assert appended
    assert append(store, latest, rows(2)).version == appended + 2
