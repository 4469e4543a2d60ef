"""Results of tasks on their way to a commit: whose files they are, what they may say, and what is checked first."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import lancelet
from compact_jobs import MODES, VERSIONS, data_files, kept, made, rows
from lancelet.compact import commit as commit_module
from lancelet.compact.commit import commit_compaction, discard_results
from lancelet.compact.run import Compaction, compact_files
from lancelet.compact.task import RewriteResult, execute_task
from lancelet.errors import CommitConflict, FormatError, OptionError, UnsupportedError
from lancelet.storage import LocalStore
from oracle.client import oracle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lancelet.datasets.dataset import Dataset

INDEX = "lance.dataset(root).create_scalar_index('id', 'BTREE')"


def executed(
    ds: Dataset, target: int = 10_000, mode: str = "reencode", **options: Any
) -> list[RewriteResult]:
    given = {"target_rows_per_fragment": target, "compaction_mode": mode, **options}
    return [execute_task(task) for task in Compaction.plan(ds, given).tasks]


def indices(ds: Dataset) -> list[str]:
    return [index["name"] for index in lancelet.dataset(ds.store).list_indices()]


# ---- files belong to the caller


def test_after_a_conflict_of_one_result_the_others_can_be_committed(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds, 20)
    assert len(results) == 2
    lancelet.dataset(ds.store).delete("id = 3")
    expected = kept(lancelet.dataset(ds.store))
    with pytest.raises(CommitConflict):
        Compaction.commit(ds, results)
    Compaction.commit(ds, results[1:])
    assert kept(ds) == expected
    assert [fragment.num_rows for fragment in ds.manifest.fragments] == [9, 10, 20]


def test_an_index_in_the_way_can_be_dropped_in_a_second_try(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    before, results = kept(ds), executed(ds)
    with pytest.raises(UnsupportedError, match="'id_idx'"):
        Compaction.commit(ds, results)
    Compaction.commit(ds, results, {"drop_indices": True})
    assert (kept(ds), indices(ds), len(ds.manifest.fragments)) == (before, [], 1)


def test_what_a_plan_says_of_indices_is_kept_at_the_commit(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    (result,) = executed(ds, drop_indices=True)
    assert result.drop_indices
    Compaction.commit(ds, [RewriteResult.from_json(result.to_json())])
    assert (indices(ds), len(ds.manifest.fragments)) == ([], 1)


def test_results_of_before_do_not_say_what_becomes_of_indices(tmp_path: Path) -> None:
    (result,) = executed(made(tmp_path / "dataset", [10] * 2))
    found = json.loads(result.to_json())
    assert found.pop("drop_indices") is False
    assert RewriteResult.from_json(json.dumps(found)) == result
    with pytest.raises(OptionError, match="drop_indices"):
        RewriteResult.from_json(json.dumps(found | {"drop_indices": 1}))


def test_only_files_of_new_fragments_are_discarded(tmp_path: Path) -> None:
    """Results say which files were written; what others are writing is not theirs."""
    ds = made(tmp_path / "dataset", [10] * 4)
    first, second = executed(ds, 20)
    discard_results(ds.store, [replace(first, files=(*first.files, *second.files))])
    assert set(second.files) <= data_files(ds)
    assert not set(first.files) & data_files(ds)


def test_no_version_that_a_result_claims_to_have_read_frees_what_is_committed(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    (result,) = executed(ds)
    commit_compaction(ds.store, [result])
    discard_results(ds.store, [replace(result, read_version=10**6)])
    assert lancelet.dataset(ds.store).to_table().num_rows == 40


# ---- wrong types


@pytest.mark.parametrize("given", [None, 5, ["a"], "a", [None], [[]], {"a": 1}])
def test_what_is_no_list_of_results_is_refused(given: Any, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 2)
    with pytest.raises(OptionError, match=r"no result"):
        Compaction.commit(ds, given)


@pytest.mark.parametrize("given", [5, "x", [1], {1: 2}, {"no such": 1}, [("drop_indices", True)]])
def test_what_are_no_options_is_refused(given: Any, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 2)
    for call in (
        lambda: Compaction.plan(ds, given),
        lambda: Compaction.execute(ds, given),
        lambda: Compaction.commit(ds, executed(ds), given),
    ):
        with pytest.raises(OptionError):
            call()


@pytest.mark.parametrize("wrong", [{"executor": 5}, {"executor": "threads"}, {"progress": 5}])
def test_what_is_no_executor_and_no_callback_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 2)
    with pytest.raises(OptionError, match=next(iter(wrong))):
        ds.optimize.compact_files(**wrong)
    assert len(data_files(ds)) == 2


@pytest.mark.parametrize(
    "wrong", [{"old_fragments": ("a",)}, {"new_fragments": (None,)}, {"pages": (1,)}, {"drop_indices": 1}]
)
def test_parts_of_results_have_their_types(wrong: dict[str, Any], tmp_path: Path) -> None:
    (result,) = executed(made(tmp_path / "dataset", [10] * 2))
    with pytest.raises(OptionError):
        replace(result, **wrong)


def test_results_may_come_one_by_one(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 6)
    before = kept(ds)
    plan = Compaction.plan(ds, {"target_rows_per_fragment": 30})
    with ThreadPoolExecutor(2) as pool:
        metrics = Compaction.commit(ds, pool.map(execute_task, plan.tasks))
    assert (metrics.fragments_removed, metrics.fragments_added) == (6, 2)
    assert kept(ds) == before
    assert Compaction.commit(ds, iter(())).fragments_added == 0


# ---- what files hold


def swapped_fields(file: dict[str, Any]) -> None:
    file["fields"][0], file["fields"][1] = file["fields"][1], file["fields"][0]


def swapped_columns(file: dict[str, Any]) -> None:
    file["column_indices"][0], file["column_indices"][1] = 1, 0


def without_a_field(file: dict[str, Any]) -> None:
    file["fields"].pop()
    file["column_indices"].pop()


def field_twice(file: dict[str, Any]) -> None:
    file["fields"].append(file["fields"][-1])
    file["column_indices"].append(file["column_indices"][-1])


def fewer_columns_than_fields(file: dict[str, Any]) -> None:
    file["column_indices"].pop()


def other_version(file: dict[str, Any]) -> None:
    file["file_minor_version"] ^= 3


def outside(file: dict[str, Any]) -> None:
    file["path"] = "../x.lance"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "change",
    [
        swapped_fields,
        swapped_columns,
        without_a_field,
        field_twice,
        fewer_columns_than_fields,
        other_version,
        outside,
    ],
)
def test_results_that_say_other_columns_than_their_files_have_are_refused(
    change: Callable[[dict[str, Any]], None], version: str, tmp_path: Path
) -> None:
    """Committed, columns would be crossed without any error. Nothing is reserved for them."""
    ds = made(tmp_path / "dataset", [10] * 4, version)
    (result,) = executed(ds)
    found = json.loads(result.to_json())
    change(found["new_fragments"][0]["files"][0])
    with pytest.raises((OptionError, FormatError)):
        Compaction.commit(ds, [RewriteResult.from_json(json.dumps(found))])
    assert lancelet.dataset(ds.store).version == ds.version
    Compaction.commit(ds, [result])


def test_results_that_say_other_rows_than_their_files_have_are_refused(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    first, second = executed(ds, 20)
    (one,), (other,) = first.new_fragments, second.new_fragments
    with pytest.raises(OptionError, match="20 rows, and a result says 19"):
        Compaction.commit(ds, [replace(first, new_fragments=(replace(one, physical_rows=19),))])
    both = replace(one, files=(*one.files, *other.files))
    with pytest.raises(OptionError, match="one data file"):
        Compaction.commit(ds, [replace(first, new_fragments=(both,))])
    assert lancelet.dataset(ds.store).version == ds.version


def test_files_of_another_schema_are_refused(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    (result,) = executed(ds)
    other = lancelet.write_dataset(rows(0, 40).select(["id", "number"]), tmp_path / "other")
    ((file,),) = [fragment.files for fragment in other.manifest.fragments]
    data = (tmp_path / "other" / "data" / file.path).read_bytes()
    ds.store.put(f"data/{file.path}", data)
    ((own,),) = [fragment.files for fragment in result.new_fragments]
    claimed = replace(own, path=file.path, file_size_bytes=len(data))
    with pytest.raises((OptionError, FormatError), match="columns"):
        Compaction.commit(
            ds, [replace(result, new_fragments=(replace(result.new_fragments[0], files=(claimed,)),))]
        )
    assert lancelet.dataset(ds.store).version == ds.version


@pytest.mark.parametrize("mode", MODES)
def test_each_new_file_is_opened_once(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = made(tmp_path / "dataset", [10] * 6)
    results = executed(ds, 20, mode)
    opened: list[str] = []
    original = LocalStore.open_source

    def counted(self: LocalStore, path: str, **options: Any) -> Any:
        opened.append(path)
        return original(self, path, **options)

    monkeypatch.setattr(LocalStore, "open_source", counted)
    commit_compaction(ds.store, results, base=ds.manifest)
    assert sorted(path for path in opened if path.startswith("data/")) == sorted(
        path for result in results for path in result.files
    )


def test_results_of_a_version_that_is_gone_are_a_conflict(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds)
    lancelet.dataset(ds.store).insert(rows(100, 110))
    ds.store.delete(ds.manifest.path)
    latest = lancelet.dataset(ds.store)
    with pytest.raises(CommitConflict, match="is gone") as caught:
        Compaction.commit(latest, results)
    assert caught.value.retryable
    assert lancelet.dataset(ds.store).version == ds.version + 1


# ---- order of the steps


def test_a_second_commit_makes_no_version(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds)
    first = commit_compaction(ds.store, results)
    lancelet.dataset(ds.store).insert(rows(100, 110))
    again = commit_compaction(ds.store, results)
    assert (again.version, again.path) == (first.version, first.path)
    assert lancelet.dataset(ds.store).version == first.version + 1


def test_a_conflict_makes_no_version(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    results = executed(ds)
    version = ds.version
    ds.delete("id = 3")
    with pytest.raises(CommitConflict):
        commit_compaction(ds.store, results)
    assert lancelet.dataset(ds.store).version == version + 1


def test_an_index_is_not_dropped_after_a_change_while_ids_are_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    results = executed(ds, drop_indices=True)
    original = commit_module.commit_transaction

    def with_a_race(store: Any, transaction: Any) -> Any:
        done = original(store, transaction)
        if type(transaction.operation).__name__ == "ReserveFragments":
            lancelet.dataset(store).delete("id = 7")
        return done

    monkeypatch.setattr(commit_module, "commit_transaction", with_a_race)
    with pytest.raises(CommitConflict, match="fragment 0"):
        commit_compaction(ds.store, results)
    assert indices(ds) == ["id_idx"]


def test_an_index_that_others_drop_meanwhile_is_not_dropped_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    results = executed(ds, drop_indices=True)
    original = commit_module.commit_transaction
    kinds: list[str] = []

    def with_a_race(store: Any, transaction: Any) -> Any:
        kinds.append(type(transaction.operation).__name__)
        done = original(store, transaction)
        if kinds[-1] == "ReserveFragments":
            oracle("14.0.2").run("lance.dataset(root).drop_index('id_idx')", root=ds.uri)
        return done

    monkeypatch.setattr(commit_module, "commit_transaction", with_a_race)
    commit_compaction(ds.store, results)
    assert kinds == ["ReserveFragments", "Rewrite"]
    assert indices(ds) == []


def test_two_that_commit_the_same_at_once_commit_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    oracle("14.0.2").run(INDEX, root=ds.uri)
    ds.checkout_latest()
    before, results = kept(ds), executed(ds, drop_indices=True)
    original = commit_module.commit_transaction

    def with_a_race(store: Any, transaction: Any) -> Any:
        monkeypatch.setattr(commit_module, "commit_transaction", original)
        done = original(store, transaction)
        commit_compaction(store, results)
        return done

    monkeypatch.setattr(commit_module, "commit_transaction", with_a_race)
    commit_compaction(ds.store, results)
    latest = lancelet.dataset(ds.store)
    assert (kept(latest), indices(ds), len(latest.manifest.fragments)) == (before, [], 1)


def test_what_compact_files_wrote_is_removed_if_the_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results are its own, and nobody could commit them another way."""
    ds = made(tmp_path / "dataset", [10] * 4)
    files = data_files(ds)

    def refused(*_: Any, **__: Any) -> Any:
        raise CommitConflict("as if", retryable=True)

    monkeypatch.setattr(commit_module, "commit_transaction", refused)
    with pytest.raises(CommitConflict, match="as if"):
        compact_files(ds)
    assert data_files(ds) == files


def test_metrics_of_one_result(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    first, second = executed(ds, 20)
    assert isinstance(first, lancelet.RewriteResult)
    assert isinstance(first.metrics, lancelet.CompactionMetrics)
    assert (first.metrics.fragments_removed, first.metrics.fragments_added, first.metrics.rows) == (2, 1, 20)
    assert first.json() == first.to_json()
    together = Compaction.commit(ds, [first, second])
    assert together.bytes_out == first.metrics.bytes_out + second.metrics.bytes_out
