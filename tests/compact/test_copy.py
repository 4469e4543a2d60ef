"""Bytes that are moved are the same rows, whatever the files hold besides; and what cannot be moved leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from compact.copying import (
    VERSIONS,
    commit_copies,
    copied,
    data_files,
    latest,
    mixed_table,
    plain_tables,
    read_file,
    write_by,
    write_by_pylance,
    write_fragments,
)
from lancelet.compact.copy import OutputLimits, copy_files, cut_outputs
from lancelet.compact.source import SourceFile, WantedColumns, open_data_file
from lancelet.compact.verify import verify_copy
from lancelet.container.metadata import PageTotals
from lancelet.container.reader import Container
from lancelet.errors import FormatError
from lancelet.file import FileReader
from lancelet.schema.fields import Schema
from lancelet.storage import LocalStore, MemoryStore
from lancelet.versions import Version
from oracle import RELEASES, oracle
from table.made_datasets import make_fragment, write_file


def joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).combine_chunks()


def plain(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def source_of(store: LocalStore, place: int = 0) -> SourceFile:
    manifest = latest(store)
    file = manifest.fragments[place].files[0]
    container = open_data_file(store, file)
    return SourceFile(container, file, WantedColumns(manifest.schema, manifest.storage_version))


# ---- what comes out is what went in


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_hold_the_rows_of_their_sources(version: str, tmp_path: Path) -> None:
    tables = [mixed_table(start, size, version) for start, size in ((0, 70), (70, 1), (71, 300), (371, 9))]
    store = write_fragments(tmp_path / "d", tables, version)
    before = lancelet.dataset(store).to_table()
    (copy,) = copied(store)
    assert (copy.num_rows, copy.num_sources) == (380, 4)
    assert plain(read_file(store, copy)) == plain(before) == plain(joined(tables))
    commit_copies(store, [copy])
    found = lancelet.dataset(store)
    assert found.to_table().equals(before)
    assert plain(found.take([0, 69, 70, 71, 379])) == plain(before.take([0, 69, 70, 71, 379]))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("writer", ["lancelet", *RELEASES])
def test_pylance_reads_copies(writer: str, release: str, version: str, tmp_path: Path) -> None:
    tables, path = plain_tables(), tmp_path / "d"
    store = write_by(writer, path, tables, version)
    copies = copied(store, limits=OutputLimits(target_rows=200))
    assert [copy.num_sources for copy in copies] == [2, 2]
    for copy, start in zip(copies, (0, 2), strict=True):
        (table,) = oracle(release).read(Path(store.name, "data", copy.file.path))
        assert plain(table) == plain(joined(tables[start : start + 2]))
    commit_copies(store, copies)
    rows, taken, version_after = oracle(release).run(
        """
dataset = lance.dataset(path)
result = (dataset.to_table().to_pylist(), dataset.take([0, 199, 200, 399]).to_pylist(), dataset.version)
""",
        path=str(path),
    )
    everything = plain(joined(tables))
    assert rows == everything
    assert taken == [everything[row] for row in (0, 199, 200, 399)]
    assert version_after == 6


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_pylance_reads_copies_of_many_types(release: str, version: str, tmp_path: Path) -> None:
    tables = [mixed_table(start, 50, "2.1") for start in (0, 50)]
    store = write_fragments(tmp_path / "d", tables, version)
    commit_copies(store, copied(store))
    rows = oracle(release).run("result = lance.dataset(path).to_table().to_pylist()", path=store.name)
    assert rows == plain(joined(tables))


@pytest.mark.parametrize("version", VERSIONS)
def test_copies_of_copies_are_copied(version: str, tmp_path: Path) -> None:
    tables = [mixed_table(start, 40, version) for start in range(0, 160, 40)]
    store = write_fragments(tmp_path / "d", tables, version)
    commit_copies(store, copied(store, limits=OutputLimits(target_rows=80)))
    assert [fragment.num_rows for fragment in latest(store).fragments] == [80, 80]
    (copy,) = copied(store)
    assert plain(read_file(store, copy)) == plain(joined(tables))


@pytest.mark.parametrize("writer", RELEASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_copies_that_pylance_made_are_joined_to_ordinary_files(
    writer: str, version: str, tmp_path: Path
) -> None:
    # 4.0.1 lists fields without columns with -1, and neither release aligns what it copies in 2.0.
    path, tables = tmp_path / "d", plain_tables(5)
    write_by_pylance(writer, path, tables[:4], version)
    oracle(writer).run(
        "lance.dataset(path).optimize.compact_files(target_rows_per_fragment=200, compaction_mode='force_binary_copy')",
        path=str(path),
    )
    lancelet.write_dataset(tables[4], path, mode="append")
    store = LocalStore(path)
    fragments = latest(store).fragments
    assert len(fragments) == 3
    if writer == "4.0.1" and version != "2.0":
        assert -1 in fragments[0].files[0].column_indices
    (copy,) = copied(store)
    assert -1 not in copy.file.column_indices
    assert sorted(plain(read_file(store, copy)), key=lambda row: row["a"]) == plain(joined(tables))
    assert all(position % 64 == 0 for position in buffer_positions(store, copy.file.path))
    commit_copies(store, [copy])
    for release in RELEASES:
        rows = oracle(release).run("result = lance.dataset(path).to_table().to_pylist()", path=str(path))
        assert rows == plain(lancelet.dataset(store).to_table())


def buffer_positions(store: LocalStore, name: str) -> list[int]:
    with Container.open(store.open_source(f"data/{name}")).source as source:
        container = Container.open(source)
        return [
            buffer.position
            for column in range(container.num_columns)
            for page in container.column(column).pages
            for buffer in page.buffers
        ]


# ---- columns are found by their fields


@pytest.mark.parametrize("writer", RELEASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_files_in_another_order_of_columns_are_not_crossed(writer: str, version: str, tmp_path: Path) -> None:
    path = str(tmp_path / "d")
    oracle(writer).run(
        """
lance.write_dataset(pa.table({"a": [1, 2], "b": [10, 20]}), path, data_storage_version=version)
lance.write_dataset(pa.table({"b": [30, 40], "a": [3, 4]}), path, mode="append")
""",
        path=path,
        version=version,
    )
    store = LocalStore(path)
    (copy,) = copied(store)
    wanted = {"a": [1, 2, 3, 4], "b": [10, 20, 30, 40]}
    assert read_file(store, copy).to_pydict() == wanted
    commit_copies(store, [copy])
    for release in RELEASES:
        found = oracle(release).run("result = lance.dataset(path).to_table().to_pydict()", path=path)
        assert found == wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_dropped_columns_are_left_behind(version: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(40_000)
    tables = [
        mixed_table(start, 40, version).add_column(
            3, "gone", pa.array([noise[i * 1000 : (i + 1) * 1000] for i in range(40)], pa.binary())
        )
        for start in (0, 40)
    ]
    store = write_fragments(tmp_path / "d", tables, version)
    lancelet.dataset(store).drop_columns(["gone"])
    source = source_of(store)
    assert len(source.runs()) > 1
    assert sum(stop - start for start, stop in source.runs()) < 40_000
    (copy,) = copied(store)
    wanted = plain(joined(tables).drop_columns(["gone"]))
    assert plain(read_file(store, copy)) == wanted
    assert copy.file.file_size_bytes is not None
    assert copy.file.file_size_bytes < 60_000
    commit_copies(store, [copy])
    for release in RELEASES:
        if version != "2.2":  # maps are beyond 4.0.1
            rows = oracle(release).run("result = lance.dataset(path).to_table().to_pylist()", path=store.name)
            assert rows == wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_dropped_children_are_left_behind(version: str, tmp_path: Path) -> None:
    tables = plain_tables()
    store = write_fragments(tmp_path / "d", tables, version)
    lancelet.dataset(store).drop_columns(["d.e"])
    before = lancelet.dataset(store).to_table()
    (copy,) = copied(store)
    assert plain(read_file(store, copy)) == plain(before)


@pytest.mark.parametrize("version", VERSIONS)
def test_renamed_columns_have_their_new_names(version: str, tmp_path: Path) -> None:
    tables = plain_tables()
    store = write_fragments(tmp_path / "d", tables, version)
    lancelet.dataset(store).alter_columns({"path": "b", "name": "renamed"})
    (copy,) = copied(store)
    assert read_file(store, copy).column_names == ["a", "renamed", "c", "d"]
    assert read_file(store, copy)["renamed"].to_pylist() == joined(tables)["b"].to_pylist()


def test_a_file_as_it_was_written_is_moved_in_one_run(tmp_path: Path) -> None:
    for version in VERSIONS:
        store = write_fragments(tmp_path / version, [mixed_table(0, 500, version)], version)
        source = source_of(store)
        ((start, stop),) = source.runs()
        assert start == 0
        assert source._container.data_stop - stop < 64


@pytest.mark.parametrize("version", ["2.0", "2.2"])
@pytest.mark.parametrize("writer", ["lancelet", "14.0.2"])
def test_buffers_of_no_bytes_are_kept(writer: str, version: str, tmp_path: Path) -> None:
    table = pa.table({"empty": pa.array(["", None] * 10), "lists": pa.array([[""]] * 20)})
    store = write_by(writer, tmp_path / "d", [table, table], version)
    (copy,) = copied(store)
    assert plain(read_file(store, copy)) == plain(joined([table, table]))
    shapes = []
    for name in (latest(store).fragments[0].files[0].path, copy.file.path):
        container = Container.open(store.open_source(f"data/{name}"))
        pages = [container.column(column).pages for column in range(container.num_columns)]
        shapes.append([[[buffer.size for buffer in page.buffers] for page in own] for own in pages])
    one, both = shapes
    assert any(0 in sizes for own in one for sizes in own), "nothing is tested"
    assert both == [own * 2 for own in one]
    commit_copies(store, [copy])
    for release in RELEASES:
        rows = oracle(release).run("result = lance.dataset(path).to_table().to_pylist()", path=store.name)
        assert rows == plain(joined([table, table]))


def test_structs_of_version_20_keep_one_page(tmp_path: Path) -> None:
    tables = plain_tables()
    store = write_fragments(tmp_path / "d", tables, "2.0")
    (copy,) = copied(store)
    container = Container.open(store.open_source(f"data/{copy.file.path}"))
    wanted = WantedColumns(latest(store).schema, Version.V2_0)
    assert wanted.headers
    for column in wanted.headers:
        (page,) = container.column(column).pages
        assert (page.num_rows, page.first_row) == (400, 0)
    assert all(
        page.first_row == 0
        for column in range(container.num_columns)
        for page in container.column(column).pages
    )


@pytest.mark.parametrize("writer", ["lancelet", *RELEASES])
def test_lists_of_structs_of_version_20(writer: str, tmp_path: Path) -> None:
    type_ = pa.list_(pa.struct([("y", pa.int64())]))
    tables = [
        pa.table({"x": pa.array([[{"y": i}] * (i % 3) for i in range(size)], type_)}) for size in (4, 1, 50)
    ]  # the second holds no item at all
    store = write_by(writer, tmp_path / "d", tables, "2.0")
    (copy,) = copied(store)
    assert plain(read_file(store, copy)) == plain(joined(tables))


@pytest.mark.parametrize("version", VERSIONS)
def test_many_pages(version: str, tmp_path: Path) -> None:
    store, tables = MemoryStore(), [mixed_table(start, 300, version) for start in (0, 300, 600)]
    schema = Schema.from_arrow(tables[0].schema)
    fragments = []
    for number, table in enumerate(tables):
        batches = pa.Table.from_batches(table.to_batches(max_chunksize=50))
        file = write_file(
            store, schema, batches, Version.parse(version), data_cache_bytes=0, max_page_bytes=256
        )
        fragments.append(make_fragment(store, number, [file], 300))
    (copy,) = copy_files(store, fragments, schema, Version.parse(version))
    with FileReader(store.open_source(f"data/{copy.file.path}")) as reader:
        assert plain(reader.read_all().to_table()) == plain(joined(tables))
        rows = [0, 299, 300, 601, 899]
        assert plain(reader.take_rows(rows).to_table()) == plain(joined(tables).take(rows))


# ---- how rows are shared out


@pytest.mark.parametrize(
    ("sizes", "limits", "counts"),
    [
        ([(10, 1)] * 8, OutputLimits(), [8]),
        ([(10, 1)] * 10, OutputLimits(target_rows=25), [3, 2, 3, 2]),
        ([(10, 1)] * 4, OutputLimits(target_rows=25), [4]),
        ([(10, 100)] * 6, OutputLimits(max_bytes=250), [2, 2, 2]),
        ([(10, 100)] * 6, OutputLimits(max_rows=20), [2, 2, 2]),
        ([(10, 300), (10, 100), (10, 100)], OutputLimits(max_bytes=250), [1, 2]),
        ([(1000, 1), (1, 1), (1, 1)], OutputLimits(target_rows=500), [1, 2]),
        ([(1, 100)] * 4, OutputLimits(target_rows=100, target_bytes=200), [2, 2]),
        ([(2**31, 1)] * 3, OutputLimits(), [1, 1, 1]),
        ([], OutputLimits(), []),
    ],
)
def test_files_are_shared_out(sizes: list[tuple[int, int]], limits: OutputLimits, counts: list[int]) -> None:
    assert cut_outputs(sizes, limits) == counts


def test_no_new_file_exceeds_its_limits() -> None:
    random = np.random.default_rng(3)
    for _ in range(300):
        sizes = [(int(rows), int(rows) * int(random.integers(1, 9))) for rows in random.integers(1, 50, 30)]
        limits = OutputLimits(
            *(None if random.random() < 0.4 else int(random.integers(20, 900)) for _ in range(4))
        )
        counts = cut_outputs(sizes, limits)
        assert sum(counts) == 30
        assert min(counts) > 0
        start = 0
        for count in counts:
            rows, num_bytes = (sum(column) for column in zip(*sizes[start : start + count], strict=True))
            start += count
            assert count == 1 or limits.max_rows is None or rows <= limits.max_rows
            assert count == 1 or limits.max_bytes is None or num_bytes <= limits.max_bytes


def test_limits_of_bytes_are_kept_by_files(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(6), "2.1")
    most = 3 * max(fragment.files[0].file_size_bytes or 0 for fragment in latest(store).fragments)
    copies = copied(store, limits=OutputLimits(max_bytes=most))
    assert len(copies) == 2
    for copy in copies:
        assert copy.file.file_size_bytes is not None
        assert copy.file.file_size_bytes <= most
        assert copy.file.file_size_bytes == store.size(f"data/{copy.file.path}")


# ---- nothing is left behind, and little memory is taken


def test_an_interrupted_copy_leaves_nothing(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(4), "2.1")
    before, calls = data_files(store), []

    def progress(num_bytes: int) -> None:
        calls.append(num_bytes)
        assert len(data_files(store)) > len(before)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(store, limits=OutputLimits(max_rows=200), progress=progress)
    assert data_files(store) == before


def test_what_is_being_written_is_no_data_file_yet(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(4), "2.1")
    seen = []
    copied(store, progress=lambda _: seen.append(store.list("data")))
    assert {len(names) for names in seen} == {4}


def test_little_memory_is_taken(tmp_path: Path) -> None:
    table = pa.table({"x": np.random.default_rng(0).random(4_000_000)})
    store = write_fragments(tmp_path / "d", [table, table], "2.1")
    copied(store)
    tracemalloc.start()
    try:
        copied(store)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_killed_copy_leaves_the_dataset_as_it_was(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(4), "2.1")
    before, rows = store.list(), lancelet.dataset(store).to_table()
    script = f"""
import os, signal
from lancelet.compact.copy import copy_files
from lancelet.storage import LocalStore
from lancelet.table.formats.manifest import latest_manifest
store = LocalStore({store.name!r})
manifest = latest_manifest(store)
calls = []
def progress(num_bytes):
    calls.append(num_bytes)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
copy_files(store, manifest.fragments, manifest.schema, manifest.storage_version, progress=progress)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.list() == before
    assert len(store.describe("data", unfinished=True)) == 1
    assert lancelet.dataset(store).to_table() == rows


# ---- what is known at once of many columns is what is known of each


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_parsed_together_are_those_parsed_alone(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_fragments(tmp_path / "d", [mixed_table(0, 200, version)], version)

    def look() -> tuple[Any, ...]:
        source = source_of(store)
        runs = source.runs()
        targets = [64 * number + run.start for number, run in enumerate(runs, 1)]
        return (
            source._container.table is not None,
            source.totals,
            source.problem,
            runs,
            list(source.moved_pages(runs, targets, 1000)),
        )

    together = look()
    monkeypatch.setattr(Container, "prepare", lambda *_: None)
    alone = look()
    assert (together[0], alone[0]) == (True, False)
    assert together[1:] == alone[1:]


# ---- checks of what was written


def test_a_copy_that_lost_something_is_found(tmp_path: Path) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), "2.1")
    manifest = latest(store)
    wanted = WantedColumns(manifest.schema, Version.V2_1)
    (copy,) = copied(store)
    sources = source_of(store), source_of(store, 1)
    totals = [
        PageTotals(*map(sum, zip(*both, strict=True)))
        for both in zip(*(source.totals for source in sources), strict=True)
    ]
    verify_copy(store, copy.file, 200, totals, wanted)
    with pytest.raises(FormatError, match="200 rows, and its sources have 199"):
        verify_copy(store, copy.file, 199, totals, wanted)
    for name in ("num_pages", "num_bytes"):
        wrong = list(totals)
        wrong[2] = totals[2]._replace(**{name: getattr(totals[2], name) + 1})
        with pytest.raises(FormatError, match="the copied column has"):
            verify_copy(store, copy.file, 200, wrong, wanted)
    with pytest.raises(FormatError, match="5 columns of 1"):
        verify_copy(
            store,
            replace(copy.file, fields=(0,), column_indices=(0,)),
            200,
            totals[:1],
            WantedColumns(type(manifest.schema)(manifest.schema.fields[:1], {}), Version.V2_1),
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_copy_whose_buffers_stand_elsewhere_is_found(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), version)
    before = data_files(store)
    moved = SourceFile.moved_pages

    def shifted(self: Any, runs: Any, targets: list[int], first_row: int) -> Any:
        return moved(self, runs, [target + 4096 for target in targets], first_row)

    monkeypatch.setattr(SourceFile, "moved_pages", shifted)
    with pytest.raises(FormatError):
        copied(store)
    assert data_files(store) == before


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_a_copy_with_wrong_first_rows_is_found(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_fragments(tmp_path / "d", plain_tables(2), version)
    before = data_files(store)
    moved = SourceFile.moved_pages
    monkeypatch.setattr(
        SourceFile,
        "moved_pages",
        lambda self, runs, targets, first: moved(self, runs, targets, first and first + 1),
    )
    with pytest.raises(FormatError, match="starts at row"):
        copied(store)
    assert data_files(store) == before
