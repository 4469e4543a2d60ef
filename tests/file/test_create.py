"""Whole files in one call, and how long what was written stays in memory."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import lancelet
import lancelet.file
from lancelet import FileReader, FileWriter, OptionError, UnsupportedError
from lancelet.storage import Sink

if TYPE_CHECKING:
    from pathlib import Path


class NullSink(Sink):
    """Counts what is written and forgets it."""

    def __init__(self) -> None:
        self.name = "<null>"
        self.num_bytes = 0

    def write(self, data: object) -> None:
        self.num_bytes += memoryview(data).nbytes  # type: ignore[arg-type]

    def tell(self) -> int:
        return self.num_bytes

    def commit(self) -> None:
        """Nothing waits."""

    def abort(self) -> None:
        """Nothing is left."""


def test_create_file_with_batches(tmp_path: Path) -> None:
    assert lancelet.create_file_with_batches is lancelet.file.create_file_with_batches
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    path = tmp_path / "a.lance"
    for data in (table, table.to_batches(max_chunksize=2), iter(table.to_batches()), table.to_reader()):
        assert lancelet.create_file_with_batches(path, table.schema, data, version="2.1") == 3
        assert FileReader(path).version.text == "2.1"
        assert FileReader(path).read_all().to_table().equals(table)
    assert lancelet.create_file_with_batches(path, table.schema, []) == 0
    assert FileReader(path).schema == table.schema


def test_nothing_is_created_when_the_batches_fail(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])

    def batches():
        yield pa.record_batch({"a": [1]})
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        lancelet.create_file_with_batches(tmp_path / "a.lance", schema, batches())
    with pytest.raises(OptionError, match="no column"):
        lancelet.create_file_with_batches(tmp_path / "a.lance", schema, [pa.record_batch({"b": [1]})])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("alias", "version"), [("stable", "2.2"), ("Stable", "2.2"), ("0.3", "2.0"), ("2.0", "2.0")]
)
def test_aliases(tmp_path: Path, alias: str, version: str) -> None:
    table = pa.table({"a": [1]})
    lancelet.create_file_with_batches(tmp_path / "a.lance", table.schema, table, version=alias)
    assert FileReader(tmp_path / "a.lance").version.text == version


@pytest.mark.parametrize("alias", ["2.3", "next", "NEXT"])
def test_the_unstable_version_is_not_written(tmp_path: Path, alias: str) -> None:
    with pytest.raises(UnsupportedError, match=r"2\.3 is not written: it is unstable.* the next cannot read"):
        FileWriter(tmp_path / "a.lance", version=alias)
    assert list(tmp_path.iterdir()) == []


def one_allocation(number: int) -> pa.RecordBatch:
    """Return a batch of a bool and a string of 1 MB that share one allocation."""
    batch = pa.record_batch({"b": [number % 2 == 0], "s": [chr(97 + number % 26) * 1_000_000]})
    message = batch.serialize()
    del batch
    return pa.ipc.read_record_batch(message, pa.schema([("b", pa.bool_()), ("s", pa.string())]))


def bytes_held(num_batches: int, version: str, keep_original_array: bool) -> int:
    """Return the bytes that Arrow holds more after so many batches than before the first."""
    gc.collect()
    sink, before = NullSink(), pa.total_allocated_bytes()
    writer = FileWriter(sink, version=version, keep_original_array=keep_original_array, profile="fast")
    for number in range(num_batches):
        writer.write_batch(one_allocation(number))
    gc.collect()
    held = pa.total_allocated_bytes() - before
    assert writer.finish() == num_batches
    assert sink.num_bytes > num_batches * (1000 if version == "2.2" else 1_000_000)
    return held


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_what_waits_keeps_nothing_larger_alive(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELET_THREADS", "1")  # others hold pages that are being encoded
    # The strings leave whenever 8 MiB of them wait; 1,000 bools wait till the end.
    assert bytes_held(1000, version, keep_original_array=False) < 16 << 20
    assert bytes_held(100, version, keep_original_array=True) > 90 << 20


def test_the_cache_is_divided_among_top_level_fields(tmp_path: Path) -> None:
    batch = pa.record_batch({name: pa.array(range(1000)) for name in "abcd"})
    lancelet.create_file_with_batches(
        tmp_path / "a.lance", batch.schema, [batch] * 10, data_cache_bytes=4 * 16_000
    )
    with FileReader(tmp_path / "a.lance") as reader:
        for column in reader.metadata():
            assert [page.num_rows for page in column.pages] == [3000, 3000, 3000, 1000]
    batch = pa.record_batch({"s": pa.StructArray.from_arrays([pa.array(range(1000))] * 2, ["x", "y"])})
    lancelet.create_file_with_batches(
        tmp_path / "a.lance", batch.schema, [batch] * 4, data_cache_bytes=16_000
    )
    with FileReader(tmp_path / "a.lance") as reader:
        assert [[page.num_rows for page in column.pages] for column in reader.metadata()] == [
            [3000, 1000]
        ] * 2
