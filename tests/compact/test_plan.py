"""What a plan chooses: bins by rows and bytes, boundaries, modes with their reasons; and that plans travel."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from compact.copying import VERSIONS, copy_problem, latest, plain_tables, write_fragments
from lancelet.compact.options import MODES, CompactionOptions
from lancelet.compact.plan import CompactionPlan, CompactionTask, plan_compaction
from lancelet.errors import FormatError, LanceletError, OptionError, UnsupportedError
from lancelet.pb import table_pb2
from lancelet.storage import LocalStore
from lancelet.table.formats.bitmap import encode_bitmap
from lancelet.table.formats.manifest import Manifest
from lancelet.table.reads.snapshot import Snapshot
from lancelet.versions import Version
from oracle import oracle

if TYPE_CHECKING:
    from pathlib import Path


def sized(path: Path, sizes: list[int], version: str = "2.1") -> LocalStore:
    """Write fragments of some numbers of rows."""
    tables = [pa.table({"a": np.arange(size), "b": ["x"] * size}) for size in sizes]
    return write_fragments(path, tables, version)


def planned(store: LocalStore, manifest: Manifest | None = None, **options: Any) -> CompactionPlan:
    manifest = manifest or latest(store)
    return plan_compaction(
        Snapshot(store, manifest), manifest, CompactionOptions.of(manifest.config, **options)
    )


def ids(plan: CompactionPlan) -> list[tuple[int, ...]]:
    return [tuple(fragment.id for fragment in task.fragments) for task in plan.tasks]


def modes(plan: CompactionPlan) -> list[tuple[str, tuple[int, ...]]]:
    return [(task.mode, own) for task, own in zip(plan.tasks, ids(plan), strict=True)]


# ---- which fragments


@pytest.mark.parametrize(
    ("sizes", "target", "wanted"),
    [
        ([100, 400, 200, 200, 400, 300, 300, 100], 500, [(0, 1), (2, 3, 4), (5, 6, 7)]),
        ([10, 10, 10], 25, [(0, 1, 2)]),
        ([10, 10, 10], 10, []),
        ([10, 30, 10], 25, []),
        ([10, 10, 30, 10, 10], 25, [(0, 1), (3, 4)]),
        ([10], 25, []),
        ([1] * 20, 1000, [tuple(range(20))]),
    ],
)
def test_fragments_are_put_together_by_rows(
    sizes: list[int], target: int, wanted: list[tuple[int, ...]], tmp_path: Path
) -> None:
    store = sized(tmp_path / "d", sizes)
    assert ids(planned(store, target_rows_per_fragment=target)) == wanted
    # as pylance does
    found = oracle("14.0.2").run(
        """
from lance.optimize import Compaction
plan = Compaction.plan(lance.dataset(path), {"target_rows_per_fragment": target})
result = [tuple(fragment.id for fragment in task.fragments) for task in plan.tasks]
""",
        path=store.name,
        target=target,
    )
    assert found == wanted


@pytest.mark.parametrize(("num_deleted", "wanted"), [(10, []), (11, [(0,)])])
def test_many_deletions_are_a_reason_of_their_own(
    num_deleted: int, wanted: list[tuple[int, ...]], tmp_path: Path
) -> None:
    store = sized(tmp_path / "d", [100, 100])
    lancelet.dataset(store).delete(f"a < {num_deleted} and a >= 0")
    manifest = latest(store)
    assert [fragment.num_deletions for fragment in manifest.fragments] == [num_deleted] * 2
    both = [(0,), (1,)] if wanted else []
    plan = planned(store, target_rows_per_fragment=50)
    assert [id_ for own in ids(plan) for id_ in own] == [id_ for own in both for id_ in own]
    assert not planned(store, target_rows_per_fragment=50, materialize_deletions=False).tasks
    assert not planned(store, target_rows_per_fragment=50, materialize_deletions_threshold=1.0).tasks


def test_physical_rows_count_for_the_target_and_live_ones_for_the_cut(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [100, 100, 100])
    lancelet.dataset(store).delete("a % 20 = 0")  # 5 of 100
    assert not planned(store, target_rows_per_fragment=100).tasks
    (task,) = planned(store, target_rows_per_fragment=101).tasks
    assert (task.num_rows, len(task.fragments), task.num_outputs) == (285, 3, 2)


def test_excluded_fragments_are_boundaries(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10] * 6)
    assert ids(planned(store, excluded_fragment_ids=[2])) == [(0, 1), (3, 4, 5)]
    assert ids(planned(store, excluded_fragment_ids=range(1, 6, 2))) == []


def test_fragments_that_indices_cover_are_not_mixed_with_others(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10] * 6)
    manifest = latest(store)
    section = table_pb2.IndexSection()
    section.indices.add(
        name="by_a", fields=[0], fragment_bitmap=encode_bitmap(np.array([0, 1, 2, 3], np.uint32))
    )
    section.indices.add(name="none", fields=[1])
    indexed = Manifest(manifest.message, index_section=section.SerializeToString(), path=manifest.path)
    assert ids(planned(store, indexed)) == [(0, 1, 2, 3), (4, 5)]


def test_bytes_count_as_rows_do(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [100] * 6)
    size = latest(store).fragments[0].files[0].file_size_bytes
    assert size is not None
    assert ids(planned(store, target_bytes_per_file=2 * size)) == [(0, 1), (2, 3), (4, 5)]
    assert ids(planned(store, target_bytes_per_file=size)) == []
    (task,) = planned(store).tasks
    assert (task.num_rows, task.num_bytes, task.num_outputs) == (600, 6 * size, 1)
    assert task.num_pages == 12


def test_sums_of_all_tasks_are_kept(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [100] * 6)
    options = {"target_rows_per_fragment": 200}
    size = latest(store).fragments[0].files[0].file_size_bytes or 0
    assert ids(planned(store, **options)) == [(0, 1), (2, 3), (4, 5)]
    assert ids(planned(store, **options, max_source_fragments=5)) == [(0, 1), (2, 3)]
    assert ids(planned(store, **options, max_source_rows=400)) == [(0, 1), (2, 3)]
    assert ids(planned(store, **options, max_source_rows=399)) == [(0, 1)]
    assert ids(planned(store, **options, max_source_bytes=2 * size)) == [(0, 1)]
    assert ids(planned(store, **options, max_source_bytes=2 * size - 1)) == []


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of data files, as they are opened."""
    found: list[str] = []
    original = LocalStore.open_source

    def counted(self: LocalStore, path: str, **options: Any) -> Any:
        found.extend([path] if path.startswith("data/") else [])
        return original(self, path, **options)

    monkeypatch.setattr(LocalStore, "open_source", counted)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", ["max_source_fragments", "max_source_rows"])
def test_what_the_sums_leave_out_is_not_opened(
    limit: str, mode: str, opened: list[str], tmp_path: Path
) -> None:
    store = sized(tmp_path / "d", [1] * 60)
    opened.clear()
    assert ids(planned(store, compaction_mode=mode, target_rows_per_fragment=4, **{limit: 10})) == [
        (0, 1, 2, 3),
        (4, 5, 6, 7),
    ]
    assert len(set(opened)) <= 12
    opened.clear()  # all of it would be one task, as in pylance, and that is too much
    assert ids(planned(store, compaction_mode=mode, **{limit: 10})) == []
    assert len(set(opened)) <= 12


def test_parts_of_what_the_sums_leave_out_are_taken(tmp_path: Path) -> None:
    store = write_fragments(
        tmp_path / "d", [pa.table({"a": np.arange(k * 100, k * 100 + 100)}) for k in range(12)], "2.1"
    )
    lancelet.dataset(store).delete("a = 550 or a = 650")
    options: dict[str, Any] = {"target_rows_per_fragment": 1000, "compaction_mode": "try_binary_copy"}
    for most in (5, 6):
        plan = planned(store, **options, max_source_fragments=most)
        assert modes(plan) == [("copy", (0, 1, 2, 3, 4))]
    plan = planned(store, **options, max_source_fragments=7)
    assert modes(plan) == [("copy", (0, 1, 2, 3, 4)), ("reencode", (5, 6))]
    assert ids(planned(store, **options, max_source_fragments=4)) == []


def test_pages_are_counted_only_of_tasks(opened: list[str], tmp_path: Path) -> None:
    """Nothing else needs files that are decoded anyway."""
    store = sized(tmp_path / "d", [10] * 8)
    opened.clear()
    options: dict[str, Any] = {"compaction_mode": "reencode", "target_rows_per_fragment": 20}
    (task,) = planned(store, **options, max_source_fragments=3).tasks
    assert (task.num_pages, len(opened)) == (4, 2)


def test_tasks_do_not_repeat_what_is_excluded(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10] * 4)
    plan = planned(store, excluded_fragment_ids=range(2, 10_000))
    assert len(plan.options.excluded_fragment_ids) == 9998
    (task,) = plan.tasks
    assert len(task.to_json()) < 5000
    assert len(pickle.dumps(task)) < 5000
    assert replace(task.options, excluded_fragment_ids=plan.options.excluded_fragment_ids) == plan.options


def test_what_limits_of_files_do_not_let_become_less_is_left_alone(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [100] * 6)
    assert planned(store, max_rows_per_file=300).tasks[0].num_outputs == 2
    for limit in (100, 199):
        assert ids(planned(store, max_rows_per_file=limit)) == []


def test_another_file_version_is_a_reason_of_its_own(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [100, 100], "2.1")
    options = {"target_rows_per_fragment": 50}
    assert ids(planned(store, **options)) == []
    assert ids(planned(store, **options, data_storage_version="2.1")) == []
    plan = planned(store, **options, data_storage_version="2.2")
    assert [id_ for own in modes(plan) for id_ in own[1]] == [0, 1]
    for task in plan.tasks:
        assert task.version is Version.V2_2
        assert task.mode == "reencode"
        assert "is of version 2.1, and 2.2 is wanted" in task.reasons[0]


def test_types_that_a_version_cannot_hold_are_refused(tmp_path: Path) -> None:
    table = pa.table({"m": pa.array([[("a", 1)]] * 5, pa.map_(pa.string(), pa.int32()))})
    store = write_fragments(tmp_path / "d", [table, table], "2.2")
    assert len(planned(store).tasks) == 1
    with pytest.raises(OptionError):
        planned(store, data_storage_version="2.0")


# ---- how, and why so


@pytest.mark.parametrize(
    ("given", "mode"), [("hybrid", "hybrid"), ("try_binary_copy", "copy"), ("force_binary_copy", "copy")]
)
def test_modes_of_what_can_be_copied(given: str, mode: str, tmp_path: Path) -> None:
    for version in VERSIONS:
        store = write_fragments(tmp_path / version, plain_tables(3), version)
        (task,) = planned(store, compaction_mode=given).tasks
        if (given, version) == ("hybrid", "2.0"):
            reason = "pages of version 2.0 are not merged one by one, and they are small"
            assert (task.mode, task.reasons) == ("reencode", (reason,))
            assert reason in str(planned(store))
        else:
            assert (task.mode, task.reasons) == (mode, ())
    (task,) = planned(store, compaction_mode="reencode").tasks
    assert (task.mode, task.reasons) == ("reencode", ("compaction_mode is 'reencode'",))


def test_large_pages_of_version_20_are_copied(tmp_path: Path) -> None:
    tables = [pa.table({"a": np.random.default_rng(k).random(200_000)}) for k in range(2)]
    store = write_fragments(tmp_path / "d", tables, "2.0")
    (task,) = planned(store).tasks
    assert (task.mode, task.reasons, task.num_outputs) == ("copy", (), 1)


def reason(store: LocalStore, id_: int = 1) -> str:
    """Return the reason against copying a fragment, which all ways of asking agree on."""
    problem = copy_problem(store, latest(store).fragments[id_])
    assert problem is not None
    (task,) = planned(store, compaction_mode="try_binary_copy").tasks
    assert (task.mode, problem in task.reasons) == ("reencode", True)
    with pytest.raises(UnsupportedError) as caught:
        planned(store, compaction_mode="force_binary_copy")
    assert task.reasons[0] in str(caught.value)
    assert task.reasons[0] in str(planned(store))
    return problem


@pytest.mark.parametrize("version", VERSIONS)
def test_reasons_not_to_copy(version: str, tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "deleted", plain_tables(2), version)
    lancelet.dataset(store).delete("a = 105")
    assert reason(store) == "fragment 1 has deletions"

    store = write_fragments(tmp_path / "added", plain_tables(2), version)
    lancelet.dataset(store).add_columns({"g": "a + 1"})
    assert reason(store) == "fragment 1 is split over 2 data files"

    store = write_fragments(tmp_path / "null", plain_tables(2), version)
    lancelet.dataset(store).add_columns(pa.field("g", pa.int32()))
    name = latest(store).fragments[1].files[0].path
    assert reason(store) == f"data file {name!r} misses column 'g'"

    store = write_fragments(tmp_path / "subset", plain_tables(2), version)
    lancelet.write_dataset(plain_tables(1)[0].select(["a", "c"]), store, mode="append")
    name = latest(store).fragments[2].files[0].path
    assert reason(store, 2) == f"data file {name!r} misses column 'b'"

    store = write_fragments(tmp_path / "cast", plain_tables(2), version)
    lancelet.dataset(store).alter_columns({"path": "a", "data_type": pa.int32()})
    assert reason(store) == "fragment 1 is split over 2 data files"


def test_blobs_are_not_copied(tmp_path: Path) -> None:
    field = pa.field("blob", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    table = pa.table([pa.array([b"x" * 10] * 5, pa.large_binary())], schema=pa.schema([field]))
    store = write_fragments(tmp_path / "d", [table, table], "2.1")
    assert reason(store) == "column 'blob' holds blobs"


def test_files_that_are_too_large_are_not_copied(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [500, 10, 10, 10])
    (task,) = planned(store, compaction_mode="try_binary_copy", max_rows_per_file=400).tasks
    assert task.reasons == ("fragment 0 has 500 rows, and a file may have 400",)
    size = latest(store).fragments[0].files[0].file_size_bytes or 0
    plan = planned(store, compaction_mode="try_binary_copy", max_bytes_per_file=size - 1)
    assert "bytes, and a file may have" in str(plan)


def test_what_can_be_copied_is_parted_from_what_cannot(tmp_path: Path) -> None:
    store = write_fragments(
        tmp_path / "d", [pa.table({"a": np.arange(k * 100, k * 100 + 100)}) for k in range(12)], "2.1"
    )
    lancelet.dataset(store).delete("a = 550 or a = 650")
    plan = planned(store, target_rows_per_fragment=1000, compaction_mode="try_binary_copy")
    assert modes(plan) == [("copy", (0, 1, 2, 3, 4)), ("reencode", (5, 6)), ("copy", (7, 8, 9, 10, 11))]
    # too little on one side: it goes with what is decoded
    lancelet.dataset(store).delete("a = 750")
    plan = planned(store, target_rows_per_fragment=1000, compaction_mode="try_binary_copy")
    assert modes(plan) == [("copy", (0, 1, 2, 3, 4)), ("reencode", (5, 6, 7, 8, 9, 10, 11))]


def test_a_single_fragment_that_cannot_be_copied_goes_with_a_neighbour(tmp_path: Path) -> None:
    store = write_fragments(
        tmp_path / "d", [pa.table({"a": np.arange(k * 100, k * 100 + 100)}) for k in range(12)], "2.1"
    )
    lancelet.dataset(store).delete("a = 550")
    plan = planned(store, target_rows_per_fragment=1000, compaction_mode="hybrid")
    assert modes(plan) == [("reencode", (0, 1, 2, 3, 4, 5)), ("hybrid", (6, 7, 8, 9, 10, 11))]
    lancelet.dataset(store).delete("a >= 500 and a < 540")  # rewritten even alone
    plan = planned(store, target_rows_per_fragment=1000, compaction_mode="hybrid")
    assert modes(plan) == [
        ("hybrid", (0, 1, 2, 3, 4)),
        ("reencode", (5,)),
        ("hybrid", (6, 7, 8, 9, 10, 11)),
    ]


# ---- errors, and travel


def test_tasks_without_data_are_refused(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10, 10])
    (task,) = planned(store).tasks
    with pytest.raises(OptionError, match="needs fragments"):
        replace(task, fragments=())
    with pytest.raises(OptionError, match="fragment 0 has no data files"):
        replace(task, fragments=(replace(task.fragments[0], files=()),))
    manifest = latest(store)
    bare = Snapshot(store, manifest, fragments=[replace(manifest.fragments[0], files=())])
    with pytest.raises(OptionError, match="fragment 0 has no data files"):
        plan_compaction(bare, manifest, CompactionOptions())


@pytest.mark.parametrize(
    "changes",
    [{"mode": "fast"}, {"storage_version": "9"}, {"num_rows": "5"}, {"number": -1}, {"read_version": True}],
)
def test_impossible_tasks_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    (task,) = planned(sized(tmp_path / "d", [10, 10])).tasks
    with pytest.raises(OptionError):
        replace(task, **changes)
    text = json.dumps(json.loads(task.to_json()) | changes)
    with pytest.raises(OptionError):
        CompactionTask.from_json(text)


def test_damaged_and_missing_files_are_errors(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10, 10])
    path = f"data/{latest(store).fragments[0].files[0].path}"
    data = bytes(store.get_range(path, 0, store.size(path)))
    for damaged in (data[:-1], data[:-4] + b"XXXX"):
        store.put(path, damaged)
        with pytest.raises(FormatError):
            planned(store)
    store.delete(path)
    with pytest.raises(FormatError, match="does not exist"):
        planned(store)


def test_plans_travel(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(4), "2.1")
    lancelet.dataset(store).delete("a = 5")
    plan = planned(store, target_rows_per_fragment=200)
    assert plan.num_tasks() == len(plan.tasks) > 0
    assert isinstance(plan, lancelet.CompactionPlan)
    assert isinstance(plan.tasks[0], lancelet.CompactionTask)
    assert (plan.json(), plan.tasks[0].json()) == (plan.to_json(), plan.tasks[0].to_json())
    for found in (
        pickle.loads(pickle.dumps(plan)),
        CompactionPlan.from_json(plan.to_json()),
        CompactionPlan.from_json(plan.to_json(), store),
    ):
        assert found.store.name == store.name
        assert replace(found, store=store, tasks=tuple(replace(t, store=store) for t in found.tasks)) == plan
    for text in ("", "[]", "{}", '{"uri": 3}', plan.to_json().replace('"mode"', '"mood"')):
        with pytest.raises(LanceletError):
            CompactionPlan.from_json(text)
        with pytest.raises(LanceletError):
            CompactionTask.from_json(text)


def test_a_plan_is_shown_as_a_table(tmp_path: Path) -> None:
    store = sized(tmp_path / "d", [10, 10, 10])
    lancelet.dataset(store).delete("a = 3")
    plan = planned(store)
    size = sum(fragment.files[0].file_size_bytes or 0 for fragment in latest(store).fragments)
    assert str(plan).splitlines() == [
        "version 4: 1 task",
        "task  fragments  become  rows  bytes  pages  mode",
        f"   0          3       1    27  {size:,}      6  reencode",
        "    reencode: fragment 0 has deletions",
        "    reencode: fragment 1 has deletions",
        "    reencode: fragment 2 has deletions",
    ]
    assert str(planned(store, target_rows_per_fragment=5, materialize_deletions=False)) == (
        "version 4: nothing to compact"
    )


def test_only_fragments_of_tasks_must_be_copied(tmp_path: Path) -> None:
    store = sized(tmp_path / "dataset", [10] * 4 + [11] * 2)
    lancelet.dataset(tmp_path / "dataset").delete("a = 10")
    options: dict[str, Any] = {"target_rows_per_fragment": 20, "compaction_mode": "force_binary_copy"}
    with pytest.raises(UnsupportedError, match="fragment 4 has deletions"):
        planned(store, **options)
    plan = planned(store, **options, max_source_fragments=4)
    assert modes(plan) == [("copy", (0, 1)), ("copy", (2, 3))]


def test_a_fragment_twice_is_refused(tmp_path: Path) -> None:
    (task,) = planned(sized(tmp_path / "dataset", [10] * 2)).tasks
    with pytest.raises(OptionError, match="twice"):
        replace(task, fragments=task.fragments * 2)
