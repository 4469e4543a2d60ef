"""Processes that change one dataset at the same time: nothing is lost, nothing is doubled, every refusal is a conflict."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from lancelet.errors import CommitConflict
from lancelet.storage import LocalStore, MemoryStore
from race_jobs import (
    Done,
    append_many,
    change_many,
    clean_for,
    disturb_for,
    processes,
    restore_for,
    some_rows,
    write_for,
)
from table.dataset_files import files_below, files_named
from tiers import sample_or_full

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.mark.parametrize("reopen", [True, False])
def test_eight_processes_append(reopen: bool, tmp_path: Path) -> None:
    """25 appends each. Those that do not open the dataset anew go on from their own last version."""
    root = tmp_path / "dataset"
    lancelet.write_dataset(some_rows(0, 1), root, enable_stable_row_ids=True)
    with ProcessPoolExecutor(8, mp_context=processes()) as pool:
        jobs = [pool.submit(append_many, str(root), writer, 25, reopen) for writer in range(1, 9)]
        assert [job.result() for job in jobs] == [0] * 8
    found = lancelet.dataset(root)
    assert found.version == 201
    expected = [0, *(1000 * writer + number for writer in range(1, 9) for number in range(25))]
    assert sorted(found.to_table()["id"].to_pylist()) == expected
    ids = found.to_table(columns=["id"], with_row_id=True)["_rowid"].to_pylist()
    assert sorted(ids) == list(range(201))
    found.validate(read_data=True)
    assert found.count_rows() == found.num_rows == 201
    # Lost attempts leave nothing.
    assert files_below(root) == files_named(LocalStore(root), root)


def state_of(root: Path, version: int) -> pa.Table:
    return lancelet.dataset(root, version=version).to_table().sort_by("id")


def expected_after(done: Done, before: pa.Table, root: Path) -> pa.Table:
    """The table that a change makes of the one of the version before it."""
    if done.kind == "append":
        nulls = pa.nulls(len(done.detail))
        new = pa.table(
            {
                name: pa.array(done.detail, pa.int64()) if name == "id" else nulls.cast(before[name].type)
                for name in before.column_names
            }
        )
        return pa.concat_tables([before, new]).sort_by("id")
    if done.kind == "delete":
        modulus, rest = done.detail
        seen = set(state_of(root, done.seen)["id"].to_pylist())
        gone = [number % modulus == rest and number in seen for number in before["id"].to_pylist()]
        return before.filter(pa.array(np.invert(np.array(gone, bool))))
    if done.kind == "overwrite":
        return some_rows(done.detail[0], len(done.detail))
    if done.kind == "add":
        doubled = [None if number is None else 2 * number for number in before["id"].to_pylist()]
        return before.append_column(done.detail, pa.array(doubled, pa.int64()))
    if done.kind == "drop":
        return before.drop_columns([done.detail])
    if done.kind == "rename":
        old, new = done.detail
        return before.rename_columns([new if name == old else name for name in before.column_names])
    return state_of(root, done.detail)


def check_story(root: Path, done: Sequence[Done]) -> None:
    """Check that every version is what one of the changes makes of the version before."""
    by_version = {one.version: one for one in done if one.version is not None}
    succeeded = [one for one in done if one.version is not None]
    latest = lancelet.dataset(root)
    assert sorted(by_version) == list(range(2, latest.version + 1))
    assert len(succeeded) == len(by_version), "two changes claim one version"
    for version in range(2, latest.version + 1):
        one, before, after = by_version[version], state_of(root, version - 1), state_of(root, version)
        expected = expected_after(one, before, root)
        if one.kind == "delete" and after != expected:
            # Deleting began anew after a conflict: it saw a later version, and so rows that came in between.
            modulus, rest = one.detail
            left = [number % modulus != rest for number in expected["id"].to_pylist()]
            assert set(after["id"].to_pylist()) <= set(expected["id"].to_pylist()), one
            assert set(expected.filter(pa.array(left, pa.bool_()))["id"].to_pylist()) <= set(
                after["id"].to_pylist()
            ), one
            expected = expected.filter(pa.array(np.isin(expected["id"].to_numpy(), after["id"].to_numpy())))
        assert after.schema.equals(expected.schema), one
        assert after.to_pylist() == expected.to_pylist(), one
    latest.validate(read_data=True)


RACES: dict[str, list[list[str]]] = {
    "appends_and_deletes": [["append"], ["append"], ["delete"], ["delete"]],
    "appends_and_columns": [["append"], ["append"], ["add", "drop"], ["add", "drop", "rename"]],
    "deletes_and_columns": [["append", "delete"], ["delete"], ["add", "rename"], ["add", "drop"]],
    "everything": [["append", "delete", "add", "drop", "rename", "overwrite", "restore"]] * 4,
}


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("race", RACES)
def test_changes_race(race: str, stable: bool, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    lancelet.write_dataset(
        some_rows(0, 60), root, max_rows_per_file=15, enable_stable_row_ids=stable, data_storage_version="2.1"
    )
    num_changes = sample_or_full(8, 40)
    with ProcessPoolExecutor(4, mp_context=processes()) as pool:
        jobs = [
            pool.submit(change_many, str(root), writer, kinds, num_changes)
            for writer, kinds in enumerate(RACES[race], 1)
        ]
        done = [one for job in jobs for one in job.result()]
    assert len(done) == 4 * num_changes
    check_story(root, done)
    assert any(one.version is not None for one in done)


# ---- the same without chance: who looked at what when


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    lancelet.write_dataset(some_rows(0, 10), store)
    return store


def ids_of(dataset: lancelet.Dataset) -> list[int]:
    return sorted(dataset.to_table()["id"].to_pylist())


def test_two_deletes_of_one_fragment_are_united(store: MemoryStore) -> None:
    first, second = lancelet.dataset(store), lancelet.dataset(store)
    assert first.delete("id < 3") == {"num_deleted_rows": 3}
    assert second.delete("id > 7") == {"num_deleted_rows": 2}
    assert ids_of(second) == [3, 4, 5, 6, 7]
    (fragment,) = second.get_fragments()
    assert (fragment.metadata.num_deletions, fragment.metadata.physical_rows) == (5, 10)
    assert second.count_rows() == 5
    second.validate(read_data=True)


def test_two_deletes_of_overlapping_rows(store: MemoryStore) -> None:
    """The second begins anew, and counts only the rows that were left for it."""
    first, second = lancelet.dataset(store), lancelet.dataset(store)
    assert first.delete("id < 5") == {"num_deleted_rows": 5}
    assert second.delete("id >= 3 and id < 8") == {"num_deleted_rows": 3}
    assert ids_of(second) == [8, 9]
    assert second.get_fragments()[0].metadata.num_deletions == 8
    third = lancelet.dataset(store, version=1)
    with pytest.raises(CommitConflict):
        third.delete("id = 1", conflict_retries=0)
    assert third.delete("id = 1") == {"num_deleted_rows": 0}
    assert lancelet.dataset(store).count_rows() == 2
    assert len(store.list("_deletions")) == 2  # refused deletes left none


def test_two_deletes_that_leave_nothing(store: MemoryStore) -> None:
    first, second = lancelet.dataset(store), lancelet.dataset(store)
    first.delete("id < 5")
    assert second.delete("id >= 5") == {"num_deleted_rows": 5}
    assert second.get_fragments() == []
    assert second.count_rows() == 0


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ("append", "add"),
        ("delete", "add"),
        ("add", "add"),
        ("drop", "add"),
        ("add", "drop"),
        ("drop", "rename"),
        ("overwrite", "append"),
        ("overwrite", "delete"),
        ("overwrite", "add"),
        ("restore", "append"),
        ("restore", "delete"),
        ("restore", "rename"),
    ],
)
def test_what_does_not_go_together_is_refused_and_leaves_nothing(
    theirs: str, mine: str, tmp_path: Path
) -> None:
    root = tmp_path / "dataset"
    lancelet.write_dataset(some_rows(0, 10), root)
    lancelet.dataset(root).delete("id = 9")
    changes: dict[str, Any] = {
        "append": lambda ds: ds.insert(some_rows(50, 1)),
        "delete": lambda ds: ds.delete("id = 1", conflict_retries=0),
        "add": lambda ds: ds.add_columns({"t": "id + 1"}),
        "drop": lambda ds: ds.drop_columns(["s"]),
        "rename": lambda ds: ds.alter_columns({"path": "s", "name": "u"}),
        "overwrite": lambda ds: ds.insert(some_rows(70, 2), mode="overwrite"),
        "restore": lambda ds: ds.checkout_version(1).restore(),
    }
    stale = lancelet.dataset(root)
    changes[theirs](lancelet.dataset(root))
    before, latest = files_below(root), lancelet.dataset(root)
    with pytest.raises(CommitConflict):
        changes[mine](stale)
    assert files_below(root) == before
    again = lancelet.dataset(root)
    assert again.version == latest.version
    assert again.to_table() == latest.to_table()


class Slow(MemoryStore):
    """A store in which others commit twice, and clean up, before the first manifest of a writer is put."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Any = None

    def put_if_absent(self, path: str, data: Any) -> None:
        if path.startswith("_versions/") and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        super().put_if_absent(path, data)


def test_a_version_that_went_while_its_number_was_wanted() -> None:
    """The number of a removed version is free again; a slow writer that takes it finds out, and does its change anew."""
    store = Slow()
    mine = lancelet.write_dataset(some_rows(0, 1), store)

    def others() -> None:
        other = lancelet.dataset(store)
        other.insert(some_rows(1, 1))
        other.insert(some_rows(2, 1))
        other.cleanup_old_versions(timedelta(0))

    store.meanwhile = others
    is_refused = False
    try:
        mine.insert(some_rows(3, 1))
    except CommitConflict:
        is_refused = True
    assert is_refused or ids_of(lancelet.dataset(store)) == [0, 1, 2, 3]


# ---- against clean-ups


@pytest.mark.parametrize("stable", [False, True])
def test_changes_race_a_clean_up_that_keeps_one_version(stable: bool, tmp_path: Path) -> None:
    root, seconds = str(tmp_path / "dataset"), sample_or_full(4, 30)
    lancelet.write_dataset(pa.table({"id": pa.array([0], pa.int64())}), root, enable_stable_row_ids=stable)
    with ProcessPoolExecutor(4, mp_context=processes()) as pool:
        others = [pool.submit(job, root, seconds) for job in (clean_for, disturb_for)]
        writers = [pool.submit(write_for, root, seconds, writer) for writer in (1, 2)]
        for other in others:
            other.result()
        there, gone, unknown = (
            set[int]().union(*sets) for sets in zip(*(one.result() for one in writers), strict=True)
        )
    found = lancelet.dataset(root)
    found.validate(read_data=True)
    ids = found.to_table(columns=["id"])["id"].to_pylist()
    assert len(ids) == len(set(ids)), "nothing is doubled"
    assert there <= set(ids), "nothing is lost"
    assert not gone & set(ids), "nothing comes back"
    assert set(ids) <= there | unknown | {0}
    assert len(there) + len(gone) > 30


def test_restores_race_a_clean_up(tmp_path: Path) -> None:
    root, seconds = str(tmp_path / "dataset"), sample_or_full(3, 20)
    lancelet.write_dataset(pa.table({"id": pa.array([0], pa.int64())}), root)
    with ProcessPoolExecutor(2, mp_context=processes()) as pool:
        cleaning = pool.submit(clean_for, root, seconds)
        restoring = pool.submit(restore_for, root, seconds)
        cleaning.result()
        assert restoring.result() > 10
    found = lancelet.dataset(root)
    found.validate(read_data=True)
    assert found.count_rows() == len(found.to_table())
