"""Pages are asked, and not the schema, whether their bytes may be moved: blobs stay what they are, damage does not spread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

import lancelet
import lancelet.compact.task as task_module
from compact.copying import copy_problem, latest, plain_tables, write_fragments
from compact.test_copy_refused import edited
from compact_jobs import data_files, made, task_of
from lancelet.compact.copy import copy_files
from lancelet.compact.layouts import refers_elsewhere
from lancelet.compact.merge_pages import merge_pages
from lancelet.compact.run import Compaction, compact_files
from lancelet.container.reader import Container
from lancelet.errors import FormatError, LanceletError, UnsupportedError
from lancelet.file import FileReader
from lancelet.pages.registry import PAGE_LAYOUT
from lancelet.pb import encodings21_pb2, file2_pb2
from lancelet.versions import Version
from oracle.client import oracle

if TYPE_CHECKING:
    from lancelet.datasets.dataset import Dataset

MODES = ("hybrid", "try_binary_copy", "reencode")
BLOB = {"lance-encoding:blob": "true"}

# A column of plain values becomes one of blobs, and again one of plain values: pages stay what they were.
MIXED = """
def rows(start):
    values = [None if n == 3 else bytes([n + start]) * (n * 100) for n in range(10)]
    return pa.table({"id": pa.array(range(start, start + 10)), "b": pa.array(values, pa.large_binary())})

dataset = lance.write_dataset(rows(0), path, data_storage_version=version)
dataset.replace_field_metadata("b", {"lance-encoding:blob": "true"})
dataset = lance.write_dataset(rows(10), path, mode="append")
dataset.replace_field_metadata("b", {})
dataset = lance.write_dataset(rows(20), path, mode="append")
result = dataset.to_table()
"""
READ = "result = lance.dataset(path).to_table()"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_no_mode_loses_blobs_whose_field_is_one_of_plain_values_now(
    version: str, mode: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "d")
    before = oracle("14.0.2").run(MIXED, path=path, version=version)
    ds = lancelet.dataset(path)
    try:
        compact_files(ds, compaction_mode=mode)
    except LanceletError:  # what cannot be read is left alone
        assert len(lancelet.dataset(path).manifest.fragments) == 3
    assert oracle("14.0.2").run(READ, path=path) == before


def blobs(path: Path, version: str) -> Dataset:
    """Three fragments of blobs, of a field that does not say so anymore."""
    fields = [pa.field("id", pa.int64()), pa.field("b", pa.large_binary(), metadata=BLOB)]
    for k in range(3):
        values = pa.array([bytes([n + k]) * (n * 100) for n in range(10)], pa.large_binary())
        table = pa.table([pa.array(range(10)), values], schema=pa.schema(fields))
        lancelet.write_dataset(table, path, mode="append" if k else "create", data_storage_version=version)
    ds = lancelet.dataset(path)
    ds.replace_field_metadata("b", {})
    return lancelet.dataset(path)


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_pages_of_blobs_are_a_reason_not_to_copy(version: str, tmp_path: Path) -> None:
    ds = blobs(tmp_path / "d", version)
    file = ds.manifest.fragments[1].files[0].path
    reason = f"data file {file!r} says that column 'b' holds blobs"
    assert copy_problem(ds.store, ds.manifest.fragments[1]) == reason  # type: ignore[arg-type]
    (task,) = Compaction.plan(ds).tasks
    assert (task.mode, reason in task.reasons) == ("reencode", True)
    with pytest.raises(UnsupportedError, match="holds blobs"):
        Compaction.plan(ds, {"compaction_mode": "force_binary_copy"})
    with pytest.raises(UnsupportedError, match="holds blobs"):
        task_of(ds, "copy").execute()


def test_hybrid_does_not_copy_pages_of_blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls it without a plan: the values are decoded, or it is an error."""
    monkeypatch.setattr("lancelet.compact.merge_pages.FULL_PAGE_BYTES", 1)
    ds = blobs(tmp_path / "d", "2.2")
    files = data_files(ds)
    with pytest.raises(FormatError, match="large_binary"):  # as a scan says
        merge_pages(ds.snapshot, [range(3)], version=Version.V2_2, memory_limit=1 << 28)
    assert data_files(ds) == files


def set_layout(layout: encodings21_pb2.PageLayout | bytes) -> Any:
    """Give another layout to the first page of column 0."""
    value = layout if isinstance(layout, bytes) else layout.SerializeToString()

    def edit(number: int, message: file2_pb2.ColumnMetadata) -> None:
        if number == 0:
            wrapped = AnyMessage(type_url=f"/{PAGE_LAYOUT}", value=value)
            message.pages[0].encoding.direct.encoding = wrapped.SerializeToString()

    return edit


@pytest.mark.parametrize("num_columns", [1, 5])
def test_pages_are_looked_at_one_by_one_or_together(num_columns: int, tmp_path: Path) -> None:
    """Blobs that cannot be read, as those in lists, are blobs; a layout that is not known is not."""
    names = ["a", "b", "c", "d"][: num_columns - 1 or 1]
    store = write_fragments(tmp_path / "d", [table.select(names) for table in plain_tables(2)], "2.1")
    path = f"data/{latest(store).fragments[0].files[0].path}"

    def looked(prepared: bool) -> list[bool]:
        container = Container.open(store.open_source(path))
        if prepared:
            container.prepare(container.num_columns)
        return [refers_elsewhere(container, column) for column in range(container.num_columns)]

    inner = encodings21_pb2.PageLayout(constant_layout=encodings21_pb2.ConstantLayout())
    lists = encodings21_pb2.BlobLayout(
        inner_layout=inner,
        layers=[encodings21_pb2.REPDEF_ALL_VALID_ITEM, encodings21_pb2.REPDEF_ALL_VALID_LIST],
    )
    for layout, expected in [
        (encodings21_pb2.PageLayout(blob_layout=lists), True),
        (b"\xfa\x06\x00", False),
    ]:
        edited(store, set_layout(layout))
        for prepared in (False, True):
            assert looked(prepared) == [expected] + [False] * (len(looked(False)) - 1)


def test_layouts_that_are_not_known_are_moved(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", [table.select(["b", "a"]) for table in plain_tables(1)], "2.1")
    expected = lancelet.dataset(store).to_table(["a"])
    edited(store, set_layout(b"\xfa\x06\x00"))
    manifest = latest(store)
    (fragment,) = manifest.fragments
    source = replace(fragment, files=(replace(fragment.files[0], file_size_bytes=None),))
    (copy,) = copy_files(store, [source], manifest.schema, Version.V2_1)
    with FileReader(f"{store.name}/data/{copy.file.path}", columns=["a"]) as reader:
        assert reader.read_all().to_table() == expected


@pytest.mark.parametrize("mode", ["copy", "hybrid", "reencode"])
@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_damaged_encodings_do_not_spread(version: str, mode: str, tmp_path: Path) -> None:
    ds = made(tmp_path / "d", [100] * 4, version)
    task = task_of(ds, mode)
    path = Path(ds.uri, "data", ds.manifest.fragments[2].files[0].path)
    container = Container.open(ds.store.open_source(f"data/{path.name}"))
    encoding = container.column(1).pages[0].encoding
    data = path.read_bytes()
    stop = container.data_stop
    assert data.count(encoding, stop) == 1
    path.write_bytes(data[:stop] + data[stop:].replace(encoding, b"\xff" * len(encoding)))
    files, num_versions = data_files(ds), ds.version
    with pytest.raises(FormatError) as caught:
        task.execute()
    assert path.name in str(caught.value)
    assert "column 1" in str(caught.value)
    assert data_files(ds) == files
    with pytest.raises(FormatError):
        compact_files(ds, compaction_mode={"copy": "try_binary_copy"}.get(mode, mode))
    assert data_files(ds) == files
    assert lancelet.dataset(ds.uri).version == num_versions


@pytest.mark.parametrize(("mode", "name"), [("hybrid", "merge_pages"), ("reencode", "reencode")])
@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_what_is_written_is_read_before_it_is_shown(
    version: str, mode: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "d", [100] * 4, version)
    files, original = data_files(ds), getattr(task_module, name)

    def damages(*given: Any, **options: Any) -> Any:
        fragments, paths = original(*given, **options)
        stop = Container.open(ds.store.open_source(paths[0])).data_stop
        with Path(ds.uri, paths[0]).open("r+b") as file:
            file.write(b"\xff" * stop)
        return fragments, paths

    monkeypatch.setattr(task_module, name, damages)
    with pytest.raises(FormatError, match="the new file cannot be decoded"):
        task_of(ds, mode).execute()
    assert data_files(ds) == files
