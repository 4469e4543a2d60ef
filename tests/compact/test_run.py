"""Compaction from plan to commit: the rows stay, the files become few, in all modes and file versions, for us and for pylance."""

from __future__ import annotations

import json
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import lancelet
from compact_jobs import MODES, VERSIONS, data_files, kept, made, rows, task_of
from lancelet.compact import run as run_module
from lancelet.compact.options import CompactionOptions
from lancelet.compact.run import Compaction, CompactionMetrics, compact_files
from lancelet.compact.task import RewriteResult, execute_task
from lancelet.errors import FormatError, OptionError
from lancelet.table.formats.manifest import encode_manifest, manifest_of
from lancelet.table.formats.metadata import FragmentMetadata
from oracle.client import RELEASES, oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.datasets.dataset import Dataset

READ = """
dataset = lance.dataset(root, version=version)
dataset.validate()
result = dataset.to_table(columns, with_row_id=with_row_id)
"""


def lived_in(path: Path, version: str, stable: bool) -> Dataset:
    """A dataset with deletions, an added column, a dropped one, and one that has no values."""
    ds = made(path, [300, 200, 400, 100, 250, 50], version, stable=stable)
    ds.delete("id % 5 = 2 AND (id < 400 OR id > 1200)")
    ds.add_columns({"double": "id * 2"})
    ds.drop_columns(["word"])
    ds.add_columns(pa.field("empty", pa.string()))
    ds.insert(rows(2000, 2200).drop_columns(["word", "vector"]))
    return ds


def by_pylance(release: str, ds: Dataset, expected: pa.Table, version: int | None = None) -> None:
    """Have a release validate and read a version of the dataset."""
    names = [name for name in expected.schema.names if name != "_rowid"]
    if release == "4.0.1":
        names = [name for name in names if not name.startswith("_row_")]
    has_ids = "_rowid" in expected.schema.names
    found = oracle(release).run(
        READ, root=ds.uri, version=version or ds.version, columns=names, with_row_id=has_ids
    )
    assert found.sort_by("id").select(names) == expected.select(names)
    if has_ids:
        assert found.sort_by("id")["_rowid"] == expected["_rowid"]


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_rows_stay(mode: str, version: str, stable: bool, tmp_path: Path) -> None:
    ds = lived_in(tmp_path / "dataset", version, stable)
    before, num_fragments, old_version = kept(ds), len(ds.manifest.fragments), ds.version
    told: list[tuple[int, int | None]] = []
    metrics = compact_files(
        ds, compaction_mode=mode, target_rows_per_fragment=500, progress=lambda *found: told.append(found)
    )
    assert kept(ds) == before
    assert ds.version == old_version + 2  # ids are reserved, and the rewrite
    assert len(ds.manifest.fragments) < num_fragments
    assert metrics.fragments_removed - metrics.fragments_added == num_fragments - len(ds.manifest.fragments)
    assert not any(fragment.deletion_file for fragment in ds.manifest.fragments)
    assert metrics.files_added == metrics.fragments_added
    assert told[0] == (0, metrics.rows)
    assert told[-1] == (metrics.rows, metrics.rows)
    assert [found.path for found in metrics.pages][:2] == ["id", "number"]
    assert all(found.after <= found.before or found.path == "empty" for found in metrics.pages)
    ds.validate(read_data=True)
    ids = ds.to_table(["id"], with_row_address=True)
    assert ds.take_addresses(ids["_rowaddr"], ["id"])["id"] == ids["id"]
    for release in RELEASES:
        by_pylance(release, ds, before)
        by_pylance(release, ds, before, old_version)


def test_a_second_run_finds_nothing(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 5)
    compact_files(ds)
    version = ds.version
    assert compact_files(ds) == CompactionMetrics()
    assert ds.version == version


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_executors(kind: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [100] * 9)
    before = kept(ds)
    pool: Any = (
        ThreadPoolExecutor(2)
        if kind == "threads"
        else ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    )
    with pool:
        metrics = compact_files(ds, executor=pool, target_rows_per_fragment=300, compaction_mode="reencode")
    assert (metrics.fragments_removed, metrics.fragments_added) == (9, 3)
    assert kept(ds) == before


def test_the_steps_one_by_one(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [100] * 6, stable=True)
    before = kept(ds)
    plan = Compaction.plan(ds, {"target_rows_per_fragment": 300})
    results = []
    for task in plan.tasks:
        result = execute_task(pickle.loads(pickle.dumps(task)))
        assert pickle.loads(pickle.dumps(result)) == result
        results.append(RewriteResult.from_json(result.to_json()))
        assert results[-1] == result
    assert kept(ds) == before  # nothing is visible yet
    metrics = Compaction.commit(ds, results)
    assert (metrics.fragments_removed, metrics.fragments_added) == (6, 2)
    assert kept(ds) == before
    assert Compaction.commit(ds, []) == CompactionMetrics()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"old_fragments": 3}'])
def test_json_that_is_no_result(text: str) -> None:
    with pytest.raises(OptionError, match="no result"):
        RewriteResult.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("read_version", "x"),
        ("read_version", True),
        ("num_rows", -1),
        ("bytes_in", None),
        ("bytes_out", 1.5),
        ("seconds", "x"),
        ("mode", 4),
        ("files", [3]),
        ("pages", [{"path": 1, "before": 1, "after": 2}]),
        ("pages", [{"path": "id", "before": "x", "after": 2}]),
        ("pages", [{"path": "id", "before": 1, "after": -2}]),
    ],
)
def test_values_of_json_that_results_cannot_have(name: str, value: object, tmp_path: Path) -> None:
    result = execute_task(task_of(made(tmp_path / "dataset", [10, 10]), "copy"))
    with pytest.raises(OptionError):
        RewriteResult.from_json(json.dumps(json.loads(result.to_json()) | {name: value}))


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_a_callback_that_fails_leaves_nothing(mode: str, at_once: int, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10] * 4)
    files = data_files(ds)

    def report(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact_files(
            ds, compaction_mode=mode, progress=report, num_threads=at_once, target_rows_per_fragment=20
        )
    assert data_files(ds) == files


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_progress_is_told_while_tasks_run(mode: str, version: str, at_once: int, tmp_path: Path) -> None:
    """Not only at their ends; it never goes back, and comes to all rows, however many threads tell it."""
    ds = made(tmp_path / "dataset", [1000] * 8, version)
    told: list[int] = []
    busy = threading.Lock()

    def report(done: int, total: int | None) -> None:
        assert total == 8000
        assert busy.acquire(blocking=False)
        told.append(done)
        busy.release()

    options: dict[str, Any] = {"compaction_mode": mode, "target_rows_per_fragment": 4000}
    options |= {"num_threads": at_once, "binary_copy_read_batch_bytes": 10_000, "batch_size": 100}
    compact_files(ds, progress=report, **options)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 8000)
    assert len(told) > 10 or mode == "hybrid"


def test_rows_that_a_copy_tells_add_up(tmp_path: Path) -> None:
    """The metadata of files is not moved, and so bytes do not say when a copy is complete."""
    ds = made(tmp_path / "dataset", [70, 50, 300])
    for batch_bytes in (1, 100, 1 << 20):
        told: list[int] = []
        task = task_of(ds, "copy", binary_copy_read_batch_bytes=batch_bytes)
        execute_task(task, progress=told.append)
        assert sum(told) == 420
        assert min(told) > 0


def test_a_task_looks_at_its_own_fragments_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a plan with hundreds of tasks each would look at thousands."""
    ds = made(tmp_path / "dataset", [30] * 20)
    tasks = Compaction.plan(ds, {"target_rows_per_fragment": 120}).tasks
    seen: list[int] = []
    original = FragmentMetadata.from_message

    def counted(message: Any) -> FragmentMetadata:
        seen.append(message.id)
        return original(message)

    monkeypatch.setattr(FragmentMetadata, "from_message", counted)
    for task in tasks:
        execute_task(task)
        assert seen == [fragment.id for fragment in task.fragments]
        seen.clear()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"num_threads": 8}, 2),
        ({"num_threads": 8, "memory_limit": 1}, 1),
        ({"num_threads": 8, "memory_limit": 1 << 30}, 5),
        ({"num_threads": 3, "memory_limit": 1 << 30}, 3),
    ],
)
def test_tasks_at_once_have_enough_memory(given: dict[str, int], wanted: int) -> None:
    assert run_module._tasks_at_once(CompactionOptions(**given), 5) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_limits_of_bytes_where_the_manifest_does_not_say_sizes(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [1000] * 4)
    most = 2 * max(map(ds.store.size, data_files(ds)))
    manifest = ds.manifest
    for entry in manifest.message.fragments:
        for file in entry.files:
            file.ClearField("file_size_bytes")
    data = encode_manifest(manifest.message, manifest.index_section, manifest.transaction_bytes or b"")
    (tmp_path / "dataset" / manifest.path).write_bytes(data)
    ds = lancelet.dataset(tmp_path / "dataset")
    assert {file.file_size_bytes for found in ds.manifest.fragments for file in found.files} == {None}
    metrics = compact_files(ds, compaction_mode=mode, max_bytes_per_file=most)
    assert metrics.fragments_added > 1
    for found in ds.manifest.fragments:
        assert sum(file.file_size_bytes or 0 for file in found.files) <= most


@pytest.mark.parametrize("mode", MODES)
def test_a_task_of_another_version(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10, 10])
    task = task_of(ds, "copy" if mode == "try_binary_copy" else mode)
    ds.delete("id = 3")
    with pytest.raises(OptionError, match="planned for version 2, not 3"):
        execute_task(task, manifest=ds.manifest)
    object.__setattr__(task, "read_version", 3)
    with pytest.raises(OptionError, match="version 3 has no fragment 0"):
        execute_task(task)
    object.__setattr__(task, "read_version", 9)
    with pytest.raises(OptionError, match="version 9, which there is not"):
        execute_task(task)


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_a_task_that_fails_leaves_nothing(
    mode: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "dataset", [100] * 6)
    files, before = data_files(ds), kept(ds)
    plan = Compaction.plan(ds, {"target_rows_per_fragment": 300, "compaction_mode": mode})
    assert len(plan.tasks) == 2
    original = execute_task

    def fails(task: Any, **options: Any) -> Any:
        result = original(task, **options)
        if task.number == 1:
            for path in result.files:
                ds.store.delete(path)
            raise FormatError("as if it were damaged")
        return result

    monkeypatch.setattr(run_module, "execute_task", fails)
    with pytest.raises(FormatError, match="as if"):
        compact_files(ds, compaction_mode=mode, target_rows_per_fragment=300, num_threads=at_once)
    assert data_files(ds) == files
    assert kept(lancelet.dataset(tmp_path / "dataset")) == before
    assert lancelet.dataset(tmp_path / "dataset").version == ds.version


@pytest.mark.parametrize("mode", MODES)
def test_a_damaged_file_leaves_nothing(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [1000] * 4)
    path = tmp_path / "dataset" / "data" / ds.manifest.fragments[3].files[0].path
    data = bytearray(path.read_bytes())
    data[-200:-100] = bytes(100)
    path.write_bytes(data)
    files = data_files(ds)
    with pytest.raises(FormatError):
        compact_files(lancelet.dataset(tmp_path / "dataset"), compaction_mode=mode)
    assert data_files(ds) == files


@pytest.mark.parametrize("mode", ["reencode", "hybrid"])
def test_another_file_version(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [100] * 4, "2.1")
    before = kept(ds)
    compact_files(ds, compaction_mode=mode, data_storage_version="2.2")
    assert [file.version.text for found in ds.manifest.fragments for file in found.files] == ["2.2"]
    assert kept(ds) == before
    by_pylance("14.0.2", ds, before)
    ds.insert(rows(1000, 1100))
    assert ds.num_rows == 500


@pytest.mark.parametrize("mode", MODES)
def test_limits_of_files(mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [1000] * 10)
    before = kept(ds)
    compact_files(ds, compaction_mode=mode, max_rows_per_file=2500)
    sizes = [found.physical_rows for found in ds.manifest.fragments]
    assert max(sizes) <= 2500
    assert min(sizes) >= 2000
    assert kept(ds) == before
    whole = sum(file.file_size_bytes for found in ds.manifest.fragments for file in found.files)
    compact_files(ds, compaction_mode=mode, max_rows_per_file=None, max_bytes_per_file=whole // 2)
    assert all(file.file_size_bytes <= whole // 2 for found in ds.manifest.fragments for file in found.files)
    assert kept(ds) == before


@pytest.mark.parametrize("version", sample_or_full(VERSIONS[-1:], VERSIONS))
@pytest.mark.parametrize("mode", MODES)
def test_a_thousand_fragments_of_one_row(mode: str, version: str, tmp_path: Path) -> None:
    ds = lancelet.write_dataset(
        rows(0, 1000), tmp_path / "dataset", max_rows_per_file=1, data_storage_version=version
    )
    before = kept(ds)
    assert len(ds.manifest.fragments) == 1000
    ds.session.clear()  # the oracle's client waits by select, which knows 1,024 descriptors
    metrics = compact_files(ds, compaction_mode=mode)
    assert len(ds.manifest.fragments) == 1
    assert kept(ds) == before
    after = {found.path: found.after for found in metrics.pages}
    assert after["id"] == (1000 if mode == "try_binary_copy" else 1)
    by_pylance("14.0.2", ds, before)


def test_time_travel_after_clean_up_of_nothing(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [50] * 6)
    before = kept(ds)
    compact_files(ds)
    assert kept(ds.checkout_version(6)) == before
    assert manifest_of(ds.store, 6).version == 6


def test_null_in_a_column_that_must_not_be_null_is_refused_and_nothing_left(tmp_path: Path) -> None:
    """A manifest that lies about nullability is found out when rows are encoded."""
    ds = made(tmp_path / "dataset", [20, 20])
    message = ds.manifest.message
    changed = type(message).FromString(message.SerializeToString())
    next(field for field in changed.fields if field.name == "number").nullable = False
    from lancelet.table.formats.manifest import Manifest

    lying = Manifest(changed, path=ds.manifest.path, scheme=ds.manifest.scheme)
    files = data_files(ds)
    with pytest.raises(OptionError, match="number"):
        execute_task(task_of(ds, "reencode"), manifest=lying)
    assert data_files(ds) == files
