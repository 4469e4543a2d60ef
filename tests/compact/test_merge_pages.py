"""Hybrid compaction: which pages are copied and which are decoded, and that nothing is crossed where both meet."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import lancelet
from compact_jobs import data_files, kept, made, rows, task_of
from lancelet.compact import merge_pages as module
from lancelet.compact.commit import commit_compaction
from lancelet.compact.field_writer import FieldFileWriter
from lancelet.compact.merge_pages import merge_pages
from lancelet.compact.reencode import field_bytes, writer_options
from lancelet.compact.task import execute_task
from lancelet.container.reader import Container
from lancelet.errors import FormatError, OptionError
from lancelet.versions import Version
from oracle.client import oracle
from tiers import sample_or_full

if TYPE_CHECKING:
    from pathlib import Path

    from lancelet.container.metadata import PageMetadata
    from lancelet.datasets.dataset import Dataset

MEMORY = 256 << 20


def merged(ds: Dataset, **options: Any) -> Any:
    """Compact all fragments to one; returns the result."""
    result = execute_task(task_of(ds, "hybrid", target_rows_per_fragment=1 << 30, **options))
    commit_compaction(ds.store, [result])
    ds.checkout_latest()
    ds.validate(read_data=True)
    return result


def pages_of(ds: Dataset, place: int, name: str) -> list[tuple[PageMetadata, list[bytes]]]:
    """Pages of a column in the only file of a fragment, with their bytes."""
    (file,) = ds.manifest.fragments[place].files
    container = Container.open(ds.store.open_source(f"data/{file.path}"))
    id_ = next(field.id for field in ds.fields.fields if field.name == name)
    return [
        (page, [bytes(container.source.read(*buffer)) for buffer in page.buffers])
        for page in container.column(file.columns_of[id_]).pages
    ]


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_large_pages_are_copied_and_small_ones_joined(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 4000)
    sizes = [1000, 20, 30, 1000, 40]  # a page of `id` has 8 bytes a row
    ds = made(tmp_path / "dataset", sizes, version)
    before, old = kept(ds), [pages_of(ds, place, "id") for place in range(5)]
    result = merged(ds)
    assert kept(ds) == before
    new = pages_of(ds, 0, "id")
    assert [page.num_rows for page, _ in new] == [1000, 50, 1000, 40]
    assert [page.first_row for page, _ in new] == [0, 1000, 1050, 2050]
    for mine, source in (
        (0, 0),
        (2, 3),
        (3, 4),
    ):  # the last is small, but alone: decoding it would change nothing
        assert new[mine][1] == old[source][0][1]
        assert new[mine][0].encoding == old[source][0][0].encoding
    counts = {found.path: (found.before, found.after) for found in result.pages}
    assert counts["id"] == (5, 4)
    assert oracle("14.0.2").run("result = lance.dataset(root).to_table()", root=ds.uri) == ds.to_table()


def test_neighbours_of_deletions_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 1)
    ds = made(tmp_path / "dataset", [100, 100, 100])
    ds.delete("id = 150")
    before, old = kept(ds), pages_of(ds, 2, "text")
    merged(ds)
    assert kept(ds) == before
    new = pages_of(ds, 0, "text")
    assert [page.num_rows for page, _ in new] == [100, 99, 100]
    assert new[2][1] == old[0][1]


def test_columns_are_found_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns in another order, dropped, added beside, or missing: each goes where it belongs."""
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 1)
    ds = made(tmp_path / "dataset", [100])
    shuffled = rows(100, 200)
    ds.insert(shuffled.select(list(reversed(shuffled.schema.names))))
    ds.insert(rows(200, 300).drop_columns(["text", "point"]))
    ds.add_columns({"more": "id + 1"})
    ds.drop_columns(["word"])
    ds.alter_columns({"path": "number", "name": "value"})
    before = kept(ds)
    merged(ds)
    assert kept(ds) == before
    assert len(pages_of(ds, 0, "id")) == 3
    assert oracle("14.0.2").run("result = lance.dataset(root).to_table()", root=ds.uri) == ds.to_table()


@pytest.mark.parametrize("seed", range(sample_or_full(10, 100)))
def test_random_mixtures(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", chance.choice([1, 500, 2000, 8000]))
    sizes = [chance.choice([1, 10, 300, 1000]) for _ in range(chance.randrange(2, 9))]
    ds = made(tmp_path / "dataset", sizes, chance.choice(["2.1", "2.2"]), stable=chance.random() < 0.5)
    for _ in range(chance.randrange(4)):
        change = chance.randrange(4)
        if change == 0:
            ds.delete(f"id % {chance.randrange(2, 50)} = 1")
        elif change == 1 and "word" in ds.schema.names:
            ds.drop_columns(["word"])
        elif change == 2 and "more" not in ds.schema.names:
            ds.add_columns({"more": "id + 1"})
        elif change == 3:
            start = ds.to_table(["id"])["id"].to_numpy().max(initial=0) + 100_000
            ds.insert(rows(int(start), int(start) + 200).select(["id", "list", "vector"]))
    before = kept(ds)
    memory = chance.choice([1 << 20, 8 << 20, MEMORY])
    parts = chance.choice([1, 1, 3])
    task = task_of(
        ds,
        "hybrid",
        target_rows_per_fragment=max(ds.num_rows // parts, 1),
        memory_limit=memory,
        batch_size=chance.choice([None, 7, 1000]),
    )
    commit_compaction(ds.store, [execute_task(task)])
    ds.checkout_latest()
    assert kept(ds) == before
    ds.validate(read_data=True)
    some = [chance.randrange(ds.num_rows) for _ in range(20)]
    table = ds.to_table()
    assert ds.take(some) == table.take(pa.array(some))
    theirs = oracle("14.0.2").run("result = lance.dataset(root).to_table()", root=ds.uri)
    assert theirs == table


def test_blobs_of_the_first_kind_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 1)
    field = pa.field("blob", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
    schema = pa.schema([pa.field("id", pa.int64()), field])

    def table(start: int) -> pa.Table:
        values = [None if n == 3 else bytes([n]) * n * 5000 for n in range(10)]
        return pa.table(
            [pa.array(range(start, start + 10)), pa.array(values, pa.large_binary())], schema=schema
        )

    ds = lancelet.write_dataset(table(0), tmp_path / "dataset", data_storage_version="2.1")
    ds.insert(table(10))
    ds.insert(table(20))
    ds.delete("id = 12")
    before = ds.to_table(blob_handling="all_binary")
    merged(ds)
    assert ds.to_table(blob_handling="all_binary") == before


def test_types_with_several_slots_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of fixed-size lists of structs count slots; other nested fields, empty structs and maps."""
    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 1)
    point = pa.struct([("x", pa.int32()), ("y", pa.string())])
    values = {
        "id": pa.array(range(6), pa.int64()),
        "points": pa.array(
            [[{"x": n, "y": str(n)}, {"x": None, "y": None}] for n in range(6)], pa.list_(point, 2)
        ),
        "map": pa.array([[(str(n), n)] * (n % 3) for n in range(6)], pa.map_(pa.string(), pa.int64())),
        "lists": pa.array(
            [[[n], None, []] if n % 2 else None for n in range(6)], pa.list_(pa.list_(pa.int8()))
        ),
        "dictionary": pa.array(["a", "b", None, "a", "c", "a"]).dictionary_encode(),
        "decimal": pa.array([None, *range(5)], pa.decimal128(38, 2)),
        "bool": pa.array([True, None, False] * 2),
    }
    table = pa.table(values)
    path = tmp_path / "dataset"
    ds = lancelet.write_dataset(table, path, data_storage_version="2.2")
    ds.insert(table)
    ds.insert(table)
    before = ds.to_table()
    merged(ds)
    assert ds.to_table() == before


def test_version_2_0_is_refused(tmp_path: Path) -> None:
    ds = made(tmp_path / "dataset", [10, 10], "2.0")
    with pytest.raises(OptionError, match=r"2\.0"):
        merge_pages(ds.snapshot, [range(2)], version=Version.V2_0, memory_limit=MEMORY)


def test_an_error_removes_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = made(tmp_path / "dataset", [100] * 4)
    files = data_files(ds)
    calls = iter(range(99))

    def fails(num_rows: int) -> None:
        if next(calls):
            raise RuntimeError(str(num_rows))

    with pytest.raises(RuntimeError, match="200"):
        merge_pages(
            ds.snapshot,
            [range(2), range(2, 4)],
            version=Version.V2_2,
            memory_limit=MEMORY,
            progress=fails,
        )
    assert data_files(ds) == files


def test_pages_that_do_not_follow_each_other_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = made(tmp_path / "dataset", [100] * 4)
    files = data_files(ds)
    original = FieldFileWriter.copy_page

    def shifted(self: Any, *given: Any) -> None:
        original(self, *given[:-1], max(given[-1] - 1, 0))

    monkeypatch.setattr(module, "FULL_PAGE_BYTES", 1)
    monkeypatch.setattr(FieldFileWriter, "copy_page", shifted)
    with pytest.raises(FormatError, match="come before it"):
        execute_task(task_of(ds, "hybrid"))
    assert data_files(ds) == files


@pytest.mark.parametrize("memory", [1, 1 << 20, 64 << 20, 256 << 20, 8 << 30])
@pytest.mark.parametrize("num_fields", [0, 1, 14, 5000])
def test_queues_keep_to_the_memory(memory: int, num_fields: int) -> None:
    options = writer_options(num_fields, memory, None)
    cache, page = field_bytes(memory)
    assert options["data_cache_bytes"] <= max(memory // 2, 64 << 10)
    assert 64 << 10 <= cache <= 8 << 20
    assert 1 << 20 <= page <= 32 << 20
    assert writer_options(num_fields, memory, 16 << 20)["data_cache_bytes"] <= 1 << 20


def test_full_pages_of_random_numbers_are_copied(tmp_path: Path) -> None:
    """With the real threshold: 150,000 numbers of 8 bytes are a full page, 1,000 are not."""
    ds = None
    for number, size in enumerate([150_000, 1000, 1000, 150_000]):
        table = pa.table({"v": np.random.default_rng(number).integers(0, 1 << 62, size)})
        ds = lancelet.write_dataset(table, tmp_path / "dataset", mode="append" if number else "create")
    assert ds is not None
    before = ds.to_table()
    merged(ds)
    assert ds.to_table() == before
    assert [page.num_rows for page, _ in pages_of(ds, 0, "v")] == [150_000, 2000, 150_000]


def sizes(ds: Dataset) -> tuple[int, int, int, dict[str, int]]:
    """Bytes of the data files, of a copy and of a hybrid of them in one file, and the pages of the latter by column."""
    results = [
        execute_task(task_of(ds, mode, target_rows_per_fragment=1 << 30)) for mode in ("copy", "hybrid")
    ]
    copy, hybrid = (result.bytes_out for result in results)
    return results[0].bytes_in, copy, hybrid, {found.path: found.after for found in results[1].pages}


def constants(path: Path, version: str, values: list[int], num_rows: int) -> Dataset:
    """A fragment of constant columns for each value, and a column without any."""
    for number, value in enumerate(values):
        table = pa.table(
            {
                "whole": pa.array([value * 1_000_003] * num_rows, pa.int64()),
                "part": pa.array([value * 1.1] * num_rows),
                "text": pa.array([f"value {value}"] * num_rows),
                "flag": pa.array([value % 2 == 0] * num_rows),
                "pair": pa.array([{"x": value, "y": str(value)}] * num_rows),
                "null": pa.nulls(num_rows, pa.int32()),
            }
        )
        lancelet.write_dataset(
            table, path, mode="append" if number else "create", data_storage_version=version
        )
    return lancelet.dataset(path)


def test_constants_do_not_grow(tmp_path: Path) -> None:
    ds = constants(tmp_path / "dataset", "2.2", list(range(20)), 50_000)
    before, copy, hybrid, pages = sizes(ds)
    assert hybrid < copy * 1.05 < before
    assert pages == {"whole": 20, "part": 20, "text": 20, "flag": 20, "pair.x": 20, "pair.y": 20, "null": 1}
    table = ds.to_table()
    merged(ds)
    assert ds.to_table() == table


def test_equal_constants_are_joined(tmp_path: Path) -> None:
    ds = constants(tmp_path / "dataset", "2.2", [7] * 10 + [8] * 10, 50_000)
    before, copy, hybrid, pages = sizes(ds)
    assert hybrid < copy / 3 < before
    assert pages == {"whole": 2, "part": 2, "text": 2, "flag": 2, "pair.x": 2, "pair.y": 2, "null": 1}
    table = ds.to_table()
    merged(ds)
    assert ds.to_table() == table


@pytest.mark.parametrize("num_rows", [1, 100, 1000])
@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_constants_of_few_rows_are_joined(version: str, num_rows: int, tmp_path: Path) -> None:
    """What describes a page takes more than they do, once they are runs."""
    ds = constants(tmp_path / "dataset", version, list(range(30)), num_rows)
    before, copy, hybrid, pages = sizes(ds)
    assert hybrid < copy < before
    assert set(pages.values()) == {1}


def test_fields_are_decoded_together_as_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, all files are opened: so it must not be once a field, and not with more at a time than there is memory for."""
    table = pa.table({f"c{number}": pa.array(range(100), pa.int64()) for number in range(50)})
    texts = pa.table({f"t{number}": [str(row) for row in range(100)] for number in range(50)})
    for number in range(3):
        both = pa.table(table.columns + texts.columns, names=table.column_names + texts.column_names)
        lancelet.write_dataset(both, tmp_path / "dataset", mode="append" if number else "create")
    ds = lancelet.dataset(tmp_path / "dataset")
    calls: list[int] = []
    original = module._Merging._decode

    def counted(self: Any, run: Any, writer: Any, fields: Any, first_row: int) -> None:
        calls.append(len(fields))
        original(self, run, writer, fields, first_row)

    monkeypatch.setattr(module._Merging, "_decode", counted)
    for memory in (256 << 20, 100 << 10, 1):
        merge_pages(ds.snapshot, [range(3)], version=Version.V2_2, memory_limit=memory)
        assert sum(calls) == 100
        if memory == 256 << 20:
            assert calls == [100]
        elif memory == 1:
            assert calls == [1] * 100
        else:
            assert calls[0] == memory // (
                3 * 300 * 65 // 8
            )  # three copies of 300 rows of 64 bits and their validity
            assert len(calls) > 10
        calls.clear()
