"""Faults that the reference has, or had, and that compaction here must not have (dataset.md 7.3 to 7.5).

Each of them has its test: those of `SHOWN_BY` stand beside the parts that they are about, the others follow here, from plan to
commit, and are read by pylance.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from compact_jobs import MODES, VERSIONS, kept
from lancelet.compact.run import Compaction, compact_files
from lancelet.container import Container
from lancelet.errors import OptionError, UnsupportedError
from lancelet.table.commits.commit import transaction_of
from lancelet.table.formats.manifest import manifest_of
from lancelet.table.formats.operations import Rewrite
from oracle.client import RELEASES, oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from lancelet.datasets.dataset import Dataset

SHOWN_BY = {
    "crossed columns": "test_copy.py::test_files_in_another_order_of_columns_are_not_crossed",
    "dropped columns": "test_copy.py::test_dropped_columns_are_left_behind",
    "dropped children": "test_copy.py::test_dropped_children_are_left_behind",
    "missing columns, split files, casts": "test_plan.py::test_reasons_not_to_copy",
    "packed structs, nested types": "test_copy.py::test_pylance_reads_copies_of_many_types",
    "zero-length buffers": "test_copy.py::test_buffers_of_no_bytes_are_kept",
    "alignment of 2.0": "test_copy.py::test_copies_that_pylance_made_are_joined_to_ordinary_files",
    "ids of -1 in copies of 4.0.1": "test_copy.py::test_copies_that_pylance_made_are_joined_to_ordinary_files",
    "struct headers of 2.0": "test_copy.py::test_structs_of_version_20_keep_one_page",
    "limits of bytes": "test_copy.py::test_limits_of_bytes_are_kept_by_files",
    "small last outputs": "test_copy.py::test_files_are_shared_out",
    "lost buffers": "test_copy.py::test_a_copy_that_lost_something_is_found",
    "wrong priorities": "test_copy.py::test_a_copy_with_wrong_first_rows_is_found",
    "priorities that claim other rows": "test_copy_refused.py::test_pages_that_claim_other_rows_are_refused",
    "columns of other lengths": "test_copy_refused.py::test_missing_pages_are_refused",
    "items of lists of 2.0": "test_copy_refused.py::test_items_that_are_not_those_of_the_lists_are_refused",
    "column buffers": "test_copy_refused.py::test_columns_with_buffers_of_their_own_are_refused",
    "column encodings": "test_copy_refused.py::test_columns_with_another_encoding_are_refused",
    "user global buffers": "test_copy_refused.py::test_global_buffers_of_users_are_refused",
    "files of other versions": "test_copy_refused.py::test_other_versions_are_refused",
    "deletes that race the commit": "test_compact_commit.py::test_a_deleted_row_never_comes_back",
    "deletes before the commit": "test_compact_commit.py::test_what_contradicts_is_a_conflict",
    "indices that name rows by place": "test_compact_commit.py::test_stable_row_ids_keep_indices_that_know_them",
    "blobs": "test_blob_rows.py::test_values_go_with_their_rows",
    "blobs of the first kind": "test_merge_pages.py::test_blobs_of_the_first_kind_are_decoded",
    "a neighbour with deletions": "test_plan.py::test_what_can_be_copied_is_parted_from_what_cannot",
    "tiny pages that stay tiny": "test_run.py::test_a_thousand_fragments_of_one_row",
    "no fragments, no files": "test_plan.py::test_tasks_without_data_are_refused",
    "left-overs of failures": "test_run.py::test_a_task_that_fails_leaves_nothing",
    "left-overs of kills": "test_killed.py::test_sigkill",
}


@pytest.mark.parametrize("fault", SHOWN_BY)
def test_each_fault_has_its_test(fault: str) -> None:
    file, name = SHOWN_BY[fault].split("::")
    tree = ast.parse((Path(__file__).parent / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# ---- from plan to commit

READ = "result = lance.dataset(root).to_table(columns)"


def rows(start: int, size: int) -> pa.Table:
    numbers = range(start, start + size)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "a": pa.array([10 * number for number in numbers], pa.int64()),
            "b": pa.array([-number for number in numbers], pa.int64()),
            "s": pa.array([{"x": number, "y": str(number)} for number in numbers]),
        }
    )


def made(path: Path, version: str, tables: list[pa.Table], *, stable: bool = True) -> Dataset:
    ds = lancelet.write_dataset(tables[0], path, data_storage_version=version, enable_stable_row_ids=stable)
    for table in tables[1:]:
        ds.insert(table)
    return ds


def check(ds: Dataset, mode: str, **options: Any) -> None:
    """Compact, and compare what must stay, here and in pylance."""
    before, version = kept(ds), ds.version
    assert compact_files(ds, compaction_mode=mode, **options).fragments_removed > 1
    assert kept(ds) == before
    assert kept(ds.checkout_version(version)) == before
    ds.checkout_latest()
    ds.validate(read_data=True)
    for release in RELEASES:
        theirs = oracle(release).run(READ, root=ds.uri, columns=ds.schema.names)
        assert theirs.sort_by("id") == before.select(ds.schema.names)


every_mode = pytest.mark.parametrize("mode", [*MODES, "force_binary_copy"])
some_modes = pytest.mark.parametrize("mode", MODES)
every_version = pytest.mark.parametrize("version", sample_or_full(["2.0", "2.2"], VERSIONS))


@every_version
@every_mode
def test_columns_in_another_order(mode: str, version: str, tmp_path: Path) -> None:
    """All of one type: whoever takes columns by place crosses them without any error."""
    ds = made(tmp_path / "ds", version, [rows(0, 20)])
    oracle("14.0.2").run(
        "lance.write_dataset(table.select(['b', 's', 'id', 'a']), root, mode='append')",
        root=ds.uri,
        table=rows(20, 30),
    )
    ds.checkout_latest()
    ds.insert(rows(50, 10))
    check(ds, mode)


@every_version
@every_mode
def test_columns_that_were_dropped(mode: str, version: str, tmp_path: Path) -> None:
    """pylance 4.0.1 panics."""
    ds = made(tmp_path / "ds", version, [rows(0, 20), rows(20, 30)])
    ds.drop_columns(["a", "s.x"] if version != "2.0" else ["a"])
    check(ds, mode)
    assert ds.schema.names == ["id", "b", "s"]


@every_version
@some_modes
def test_columns_without_values(mode: str, version: str, tmp_path: Path) -> None:
    """pylance 4.0.1 copies the files, and the column is looked for in vain."""
    ds = made(tmp_path / "ds", version, [rows(0, 20), rows(20, 30)])
    ds.add_columns(pa.field("none", pa.string()))
    with pytest.raises(UnsupportedError, match="misses column 'none'"):
        Compaction.plan(ds, {"compaction_mode": "force_binary_copy"})
    check(ds, mode)
    assert ds.to_table(["none"])["none"].null_count == 50


@every_version
@every_mode
def test_packed_structs(mode: str, version: str, tmp_path: Path) -> None:
    """They own one column, not one for each child: those behind them are found in another place than pylance 4.0.1 thinks."""
    packed = pa.struct([("x", pa.int32()), ("y", pa.float64())])

    def table(start: int, size: int) -> pa.Table:
        values = pa.array([{"x": number, "y": number / 2} for number in range(start, start + size)], packed)
        fields = [pa.field("p", packed, metadata={"lance-encoding:packed": "true"}), *rows(0, 1).schema]
        return pa.table([values, *rows(start, size).columns], schema=pa.schema(fields))

    check(made(tmp_path / "ds", version, [table(0, 20), table(20, 30), table(50, 5)]), mode)


@every_mode
@pytest.mark.parametrize("version", VERSIONS)
def test_pages_larger_than_all_buffers(mode: str, version: str, tmp_path: Path) -> None:
    """A page is many reads; each file has one, of 2 MB."""
    random = np.random.default_rng(5)

    def table(start: int) -> pa.Table:
        return pa.table({"id": np.arange(start, start + 250_000), "x": random.random(250_000)})

    ds = made(tmp_path / "ds", version, [table(0), table(250_000), table(500_000)])
    check(ds, mode, binary_copy_read_batch_bytes=1000)
    assert len(ds.manifest.fragments) == 1


@some_modes
def test_data_files_of_several_versions(mode: str, tmp_path: Path) -> None:
    """Files of one version are joined, and none is taken for another."""
    ds = made(tmp_path / "ds", "2.1", [rows(20 * number, 20) for number in range(6)])
    compact_files(ds, data_storage_version="2.2", excluded_fragment_ids=[0, 1, 2], compaction_mode="reencode")
    found = [file.version.text for fragment in ds.manifest.fragments for file in fragment.files]
    assert found == ["2.1", "2.1", "2.1", "2.2"]
    (task,) = Compaction.plan(ds, {"compaction_mode": mode}).tasks
    assert task.mode == "reencode"
    if mode != "reencode":
        assert any("is of version" in reason for reason in task.reasons)
        with pytest.raises(UnsupportedError, match="is of version"):
            Compaction.plan(ds, {"compaction_mode": "force_binary_copy"})
    before = kept(ds)
    compact_files(ds, compaction_mode=mode)
    assert kept(ds) == before
    ((file,),) = [fragment.files for fragment in ds.manifest.fragments]
    assert file.version.text == ds.data_storage_version
    assert oracle("14.0.2").run(READ, root=ds.uri, columns=ds.schema.names) == ds.to_table()


@every_version
@every_mode
def test_what_the_transaction_says(mode: str, version: str, tmp_path: Path) -> None:
    """The reference leaves sizes of new files out, and takes the version of the handle for the one that was read."""
    ds = made(tmp_path / "ds", version, [rows(0, 20), rows(20, 30)])
    plan = Compaction.plan(ds, {"compaction_mode": mode})
    results = [task.execute() for task in plan.tasks]
    ds.insert(rows(50, 5))
    Compaction.commit(ds, results)
    found = transaction_of(ds.store, manifest_of(ds.store, ds.version))
    assert found is not None
    assert found.read_version == plan.read_version
    assert isinstance(found.operation, Rewrite)
    (group,) = found.operation.groups
    assert group.old_fragments == plan.tasks[0].fragments
    for fragment in group.new_fragments:
        assert fragment.id > max(old.id for old in group.old_fragments)
        for file in fragment.files:
            assert file.file_size_bytes == ds.store.size(f"data/{file.path}")


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_are_aligned(version: str, tmp_path: Path) -> None:
    """Copies of the reference are not in 2.0, though all its files are otherwise."""
    ds = made(tmp_path / "ds", version, [rows(0, 3), rows(3, 7), rows(10, 1)])
    compact_files(ds, compaction_mode="force_binary_copy")
    ((file,),) = [fragment.files for fragment in ds.manifest.fragments]
    with ds.store.open_source(f"data/{file.path}") as source:
        container = Container.open(source)
        pages = [page for column in range(container.num_columns) for page in container.column(column).pages]
        positions = [buffer.position for page in pages for buffer in page.buffers if buffer.size]
    assert len(positions) > 10
    assert all(position % 64 == 0 for position in positions)


def test_tasks_execute_themselves(tmp_path: Path) -> None:
    """On this machine, and where the dataset lies in another place."""
    ds = made(tmp_path / "ds", "2.2", [rows(0, 20), rows(20, 30)])
    before = kept(ds)
    (task,) = Compaction.plan(ds).tasks
    moved = lancelet.dataset((tmp_path / "ds").rename(tmp_path / "moved"))
    with pytest.raises(OptionError, match="version"):
        task.execute()
    done: list[int] = []
    result = task.execute(moved, progress=done.append)
    assert sum(done) == 50
    Compaction.commit(moved, [result])
    assert kept(moved) == before
    assert len(moved.manifest.fragments) == 1
