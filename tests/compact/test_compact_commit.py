"""Commits of compactions: what may happen meanwhile and what not, indices, and what a commit that fails leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from compact_jobs import MODES, data_files, kept, made, rows, task_of
from lancelet.compact import commit as commit_module
from lancelet.compact.commit import commit_compaction, discard_results
from lancelet.compact.run import Compaction, compact_files
from lancelet.compact.task import execute_task
from lancelet.errors import CommitConflict, OptionError, UnsupportedError
from lancelet.storage import LocalStore
from oracle.client import RELEASES, oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lancelet.compact.task import RewriteResult
    from lancelet.datasets.dataset import Dataset

ALL = {"target_rows_per_fragment": 10_000}


def executed(ds: Dataset, mode: str = "reencode") -> list[RewriteResult]:
    plan = Compaction.plan(ds, {**ALL, "compaction_mode": mode})
    return [execute_task(task) for task in plan.tasks]


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_rows_that_come_meanwhile_stay(mode: str, stable: bool, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4, stable=stable)
    results = executed(ds, mode)
    other = lancelet.dataset(tmp_path / "dataset")
    other.insert(rows(100, 120))
    other.update_config({"k": "v"})
    expected = kept(other)
    Compaction.commit(ds, results)
    assert kept(ds) == expected
    assert ds.config()["k"] == "v"
    assert oracle("14.0.2").run("result = lance.dataset(root).to_table()", root=ds.uri).sort_by(
        "id"
    ) == ds.to_table().sort_by("id")


def deletes(ds: Dataset) -> None:
    ds.delete("id = 3")


def deletes_a_fragment(ds: Dataset) -> None:
    ds.delete("id < 10")


def adds_a_column(ds: Dataset) -> None:
    ds.add_columns({"more": "id + 1"})


def compacts(ds: Dataset) -> None:
    compact_files(ds, **ALL)


def overwrites(ds: Dataset) -> None:
    ds.insert(rows(0, 5), mode="overwrite")


def restores(ds: Dataset) -> None:
    ds.checkout_version(1).restore()
    ds.checkout_latest()


def updates_by_pylance(ds: Dataset) -> None:
    oracle("14.0.2").run("lance.dataset(root).update({'number': '0.0'}, where='id = 11')", root=ds.uri)
    ds.checkout_latest()


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "change",
    [deletes, deletes_a_fragment, adds_a_column, compacts, overwrites, restores, updates_by_pylance],
)
def test_what_contradicts_is_a_conflict(
    change: Callable[[Dataset], None], mode: str, stable: bool, tmp_path: Path
) -> None:
    ds = made(tmp_path / "dataset", [10] * 4, stable=stable)
    results = executed(ds, mode)
    other = lancelet.dataset(tmp_path / "dataset")
    change(other)
    expected, files = kept(other), data_files(ds)
    with pytest.raises(CommitConflict):
        Compaction.commit(
            lancelet.dataset(tmp_path / "dataset"), results
        )  # a handle that knows of the change
    latest = lancelet.dataset(tmp_path / "dataset")
    assert kept(latest) == expected
    assert data_files(ds) == files  # those of the results belong to the caller
    latest.validate(read_data=True)


@pytest.mark.parametrize("mode", MODES)
def test_a_deleted_row_never_comes_back(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is deleted between the reservation of ids and the rewrite."""
    ds = made(tmp_path / "dataset", [10] * 4)
    original = commit_module.commit_transaction

    def with_a_race(store: Any, transaction: Any) -> Any:
        done = original(store, transaction)
        if type(transaction.operation).__name__ == "ReserveFragments":
            lancelet.dataset(store).delete("id = 7")
        return done

    monkeypatch.setattr(commit_module, "commit_transaction", with_a_race)
    files = data_files(ds)
    with pytest.raises(CommitConflict, match="fragment 0") as caught:
        compact_files(ds, compaction_mode=mode)
    assert caught.value.retryable
    assert data_files(ds) == files
    monkeypatch.undo()
    ds.checkout_latest()
    compact_files(ds, compaction_mode=mode)
    assert 7 not in ds.to_table()["id"].to_pylist()
    assert ds.num_rows == 39


@pytest.mark.parametrize("mode", MODES)
def test_dropped_columns_go_together(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds, mode)
    other = lancelet.dataset(tmp_path / "dataset")
    other.drop_columns(["word"])
    other.alter_columns({"path": "text", "name": "renamed"})
    expected = kept(other)
    Compaction.commit(ds, results)
    assert kept(ds) == expected
    assert len(ds.manifest.fragments) == 1
    ds.validate(read_data=True)


def test_committed_twice_is_committed_once(tmp_path: Path) -> None:
    """Who does not know how a commit ended may do it again: nothing is lost."""
    ds = made(tmp_path / "dataset", [10] * 4)
    before = kept(ds)
    results = executed(ds)
    first = commit_compaction(ds.store, results)
    again = commit_compaction(ds.store, results)
    assert again.version == first.version
    ds.checkout_latest()
    assert kept(ds) == before
    ds.delete("id < 5")
    assert commit_compaction(ds.store, list(reversed(results))).version == first.version
    with pytest.raises(CommitConflict):  # the same files as other results
        commit_compaction(ds.store, [replace(results[0], files=())])
    with pytest.raises(CommitConflict):
        commit_compaction(ds.store, [replace(results[0], files=(*results[0].files, "data/x.lance"))])
    ds.checkout_latest()
    assert kept(ds) == before.slice(5)
    discard_results(ds.store, results)
    assert kept(lancelet.dataset(tmp_path / "dataset")) == before.slice(5)


def test_results_of_several_plans(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 6)
    before = kept(ds)
    first, second = [
        execute_task(task)
        for task in Compaction.plan(ds, {"target_rows_per_fragment": 30, "compaction_mode": "reencode"}).tasks
    ]
    commit_compaction(ds.store, [second])
    commit_compaction(ds.store, [first])
    ds.checkout_latest()
    assert kept(ds) == before
    assert len(ds.manifest.fragments) == 2


def test_results_that_are_none(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    (result,) = executed(ds)
    with pytest.raises(OptionError, match="no results"):
        commit_compaction(ds.store, [])
    with pytest.raises(OptionError, match="compacted twice"):
        commit_compaction(ds.store, [result, result])
    with pytest.raises(OptionError, match="none at all"):
        commit_compaction(ds.store, [replace(result, old_fragments=())])
    with pytest.raises(FileNotFoundError):
        commit_compaction(LocalStore(tmp_path / "elsewhere"), [result])
    assert set(result.files) <= data_files(ds)
    lost = replace(result, new_fragments=())
    with pytest.raises(OptionError, match="cannot be rewritten"):
        commit_compaction(ds.store, [lost])
    assert lancelet.dataset(tmp_path / "dataset").num_rows == 40


def test_a_store_that_fails_keeps_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the store does not tell whether the commit has happened."""
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds)

    def fails(*_: Any) -> Any:
        raise OSError("the network is gone")

    monkeypatch.setattr(commit_module, "commit_transaction", fails)
    with pytest.raises(OSError, match="network"):
        commit_compaction(ds.store, results)
    monkeypatch.undo()
    assert set(results[0].files) <= data_files(ds)
    commit_compaction(ds.store, results)


# ---- indices

INDEX = "lance.dataset(root).create_scalar_index('id', 'BTREE')"
FIND = """
dataset = lance.dataset(root)
result = [index['name'] for index in dataset.list_indices()], dataset.to_table(filter='id = 15')['text'].to_pylist()
"""


@pytest.mark.parametrize("mode", MODES)
def test_an_index_is_refused_by_name_or_dropped(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    before, files, version = kept(ds), data_files(ds), ds.version
    with pytest.raises(UnsupportedError, match="'id_idx'"):
        compact_files(ds, compaction_mode=mode)
    assert data_files(ds) == files
    assert lancelet.dataset(tmp_path / "dataset").version == version
    compact_files(ds, compaction_mode=mode, drop_indices=True)
    assert kept(ds) == before
    assert ds.list_indices() == []
    names, found = oracle("14.0.2").run(FIND, root=ds.uri)
    assert not names
    assert found == ds.to_table(["text"], filter="id = 15")["text"].to_pylist()


def test_an_index_is_not_dropped_for_nothing(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    results = executed(ds)
    lancelet.dataset(tmp_path / "dataset").delete("id = 3")
    with pytest.raises(CommitConflict):
        Compaction.commit(ds, results, {"drop_indices": True})
    assert [index["name"] for index in lancelet.dataset(tmp_path / "dataset").list_indices()] == ["id_idx"]


@pytest.mark.parametrize("meanwhile", ["index", "column"])
def test_an_index_is_not_dropped_for_a_commit_that_would_be_refused(meanwhile: str, tmp_path: Path) -> None:
    """Though the fragments have the same files as when they were read."""
    ds = made(tmp_path / "dataset", [10] * 4)
    if meanwhile == "column":
        oracle("14.0.2").run(INDEX, root=ds.uri)
        ds.checkout_latest()
    results = executed(ds)
    if meanwhile == "column":
        lancelet.dataset(tmp_path / "dataset").add_columns(pa.field("more", pa.int32()))
    else:
        oracle("14.0.2").run(INDEX, root=ds.uri)
    with pytest.raises(CommitConflict):
        Compaction.commit(ds, results, {"drop_indices": True})
    assert [index["name"] for index in lancelet.dataset(tmp_path / "dataset").list_indices()] == ["id_idx"]


def test_results_cannot_have_other_files_removed(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    (result,), before = executed(ds), kept(ds)
    old = f"data/{ds.manifest.fragments[0].files[0].path}"
    files = (
        *result.files,
        ds.manifest.path,
        old,
        f"{old.removesuffix('.lance')}/x.blob",
        "data",
        "",
        "data/../x",
    )
    lancelet.write_dataset(rows(0, 1), tmp_path / "dataset", mode="append")
    discard_results(ds.store, [replace(result, files=files)])
    assert kept(lancelet.dataset(tmp_path / "dataset", version=ds.version)) == before
    assert not set(result.files) & data_files(ds)
    assert old in data_files(ds)


def test_results_whose_files_are_gone_change_nothing(tmp_path: Path) -> None:
    """Neither are ids reserved nor indices given up for them."""
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    results, before, version = executed(ds), kept(ds), ds.version
    for path in results[0].files:
        ds.store.delete(path)
    with pytest.raises(OptionError, match="there is no data file"):
        Compaction.commit(ds, results, {"drop_indices": True})
    latest = lancelet.dataset(tmp_path / "dataset")
    assert latest.version == version
    assert [index["name"] for index in latest.list_indices()] == ["id_idx"]
    assert kept(latest) == before


def test_fragments_without_an_index_are_free(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 3)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    for start in (30, 40, 50):
        ds.insert(rows(start, start + 10))
    before = kept(ds)
    compact_files(ds, excluded_fragment_ids=[0, 1, 2])
    assert kept(ds) == before
    assert [index["name"] for index in ds.list_indices()] == ["id_idx"]
    assert oracle("14.0.2").run(FIND, root=ds.uri)[0] == ["id_idx"]


#: Kind of an index, its column, what finds rows with it, and whether it names rows by stable row ids in 4.0.1 and in 14.0.2.
KINDS = [
    ("BTREE", "id", "id = 15", True, False),
    ("BITMAP", "word", "word = 'word 3'", True, True),
    ("LABEL_LIST", "tags", "array_has_any(tags, ['t1'])", True, True),
    ("NGRAM", "text", "contains(text, '12')", True, True),
    ("ZONEMAP", "id", "id = 15", False, False),
    ("BLOOMFILTER", "id", "id = 15", False, False),
]
QUERY = "result = lance.dataset(root).to_table(['id'], filter=query)['id'].to_pylist()"


def with_tags(start: int) -> pa.Table:
    table = rows(start, start + 100)
    return table.append_column("tags", pa.array([[f"t{n % 5}"] for n in range(100)]))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("kind", "column", "query", "old", "new"), KINDS, ids=[kind[0] for kind in KINDS])
def test_stable_row_ids_keep_indices_that_know_them(
    kind: str, column: str, query: str, old: bool, new: bool, release: str, tmp_path: Path
) -> None:
    """pylance 14.0.2 names rows of stable ids by place in some indices: kept, they would lose rows without a word."""
    path = tmp_path / "dataset"
    ds = lancelet.write_dataset(with_tags(0), path, enable_stable_row_ids=True)
    for start in (100, 200, 300):
        ds.insert(with_tags(start))
    code = "lance.dataset(root).create_scalar_index(column, kind)"
    oracle(release).run(code, root=ds.uri, column=column, kind=kind)
    ds.checkout_latest()
    before = sorted(oracle(release).run(QUERY, root=ds.uri, query=query))
    assert before or (kind, release) == ("NGRAM", "4.0.1")  # which finds nothing in any dataset
    kept_before = kept(ds)
    if new if release == "14.0.2" else old:
        compact_files(ds)
        assert [index["name"] for index in ds.list_indices()] == [f"{column}_idx"]
    else:
        with pytest.raises(UnsupportedError, match=f"'{column}_idx'"):
            compact_files(ds)
        compact_files(ds, drop_indices=True)
        assert ds.list_indices() == []
    assert kept(ds) == kept_before
    assert len(ds.manifest.fragments) == 1
    assert sorted(oracle(release).run(QUERY, root=ds.uri, query=query)) == before


def test_indices_of_the_system_are_refused(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    code = """
dataset = lance.dataset(root)
dataset.create_scalar_index('id', 'BTREE')
dataset.optimize.compact_files(defer_index_remap=True)
"""
    oracle("14.0.2").run(code, root=ds.uri)
    ds.checkout_latest()
    ds.insert(rows(100, 110))
    ds.insert(rows(110, 120))
    with pytest.raises(UnsupportedError, match="__lance_frag_reuse"):
        compact_files(ds, drop_indices=True)


def test_the_task_of_a_test_is_one_of_a_plan(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    own, (planned,) = task_of(ds, "reencode"), Compaction.plan(ds, {"compaction_mode": "reencode"}).tasks
    assert own.fragments == planned.fragments
    assert (own.num_rows, own.num_bytes, own.version) == (
        planned.num_rows,
        planned.num_bytes,
        planned.version,
    )


#: What makes an index of a column, what asks it, and its index version.
SEARCHES = [
    (
        "lance.dataset(root).create_scalar_index('text', 'INVERTED', with_position=False)",
        "found = lance.dataset(root).to_table(['id'], full_text_query='w7')",
    ),
    (
        "lance.dataset(root).create_index('vector', 'IVF_FLAT', num_partitions=1)",
        "found = lance.dataset(root).to_table(['id'], nearest={'column': 'vector', 'q': [7.0, 7.0], 'k': 5})",
    ),
    (
        "lance.dataset(root).create_index('vector', 'IVF_PQ', num_partitions=1, num_sub_vectors=1)",
        "found = lance.dataset(root).to_table(['id'], nearest={'column': 'vector', 'q': [7.0, 7.0], 'k': 300})",
    ),
]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("code", "search"), SEARCHES, ids=["INVERTED", "IVF_FLAT", "IVF_PQ"])
def test_searches_of_stable_row_ids_go_on(code: str, search: str, release: str, tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    tables = []
    for start in (0, 100, 200, 300):
        numbers = range(start, start + 100)
        vectors = pa.array([[float(n), float(n)] for n in numbers], pa.list_(pa.float32(), 2))
        tables.append(pa.table({"id": numbers, "text": [f"w{n % 20} x" for n in numbers], "vector": vectors}))
    ds = lancelet.write_dataset(tables[0], path, enable_stable_row_ids=True)
    for table in tables[1:]:
        ds.insert(table)
    oracle(release).run(code, root=ds.uri)
    ds.checkout_latest()
    (name,) = [index["name"] for index in ds.list_indices()]
    ask = search + "\nresult = sorted(found['id'].to_pylist())"
    before = oracle(release).run(ask, root=ds.uri)
    assert before
    compact_files(ds)
    assert [index["name"] for index in ds.list_indices()] == [name]
    assert len(ds.manifest.fragments) == 1
    assert oracle(release).run(ask, root=ds.uri) == before
