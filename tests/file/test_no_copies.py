"""What is not copied: flat data on its way to the file and back, and what a read of a part of a page leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from lancelet.file.reader import FileReader
from lancelet.file.writer import FileWriter
from lancelet.storage import LocalStore
from lancelet.storage.counting import CountingSource
from lancelet.storage.memory import MemorySink

if TYPE_CHECKING:
    from pathlib import Path

NUM_ROWS, DIMENSION = 3000, 384


def vectors() -> pa.Table:
    values = np.random.default_rng(0).random(NUM_ROWS * DIMENSION, np.float32)
    return pa.table({"v": pa.FixedSizeListArray.from_arrays(pa.array(values), DIMENSION)})


class WatchedSink(MemorySink):
    """Notes where the bytes lie that are written."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[int, int]] = []

    def write(self, data) -> None:
        view = memoryview(data)
        if view.nbytes:
            self.places.append((np.frombuffer(view, np.uint8).ctypes.data, view.nbytes))
        super().write(data)


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_flat_data_is_written_from_the_arrays(version: str) -> None:
    table, sink = vectors(), WatchedSink()
    with FileWriter(sink, version=version, keep_original_array=True) as writer:
        writer.write_table(table)
    values = table["v"].chunk(0).values.buffers()[1]
    start, stop = values.address, values.address + values.size
    inside = sum(size for address, size in sink.places if start <= address and address + size <= stop)
    assert inside == NUM_ROWS * DIMENSION * 4


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_flat_data_is_read_as_a_view_of_the_map(version: str, tmp_path: Path) -> None:
    path = tmp_path / "v.lance"
    with FileWriter(path, version=version) as writer:
        writer.write_table(vectors())
    with FileReader(path) as reader:
        page = reader.metadata()[0].pages[0]
        allocated = pa.total_allocated_bytes()
        table = reader.read_all().to_table()
        if len(reader.metadata()[0].pages) == 1:
            assert pa.total_allocated_bytes() - allocated < 100_000
        values = table["v"].chunk(0).flatten().buffers()[1]
        position = page.buffers[-1].position
        start = np.frombuffer(
            reader._container.source.read(position, page.buffers[-1].size), np.uint8
        ).ctypes.data
        assert start <= values.address < start + page.buffers[-1].size
    assert table == vectors()  # the map outlives the reader


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
def test_a_stream_reads_a_large_page_in_parts(version: str, tmp_path: Path) -> None:
    path = tmp_path / "v.lance"
    with FileWriter(path, version=version) as writer:
        writer.write_table(vectors())
    with CountingSource(LocalStore(tmp_path, mmap=False).open_source("v.lance")) as source:
        reader = FileReader(source)
        assert [len(column.pages) for column in reader.metadata()] == [1]
        del source.requests[:]
        batches = reader.read_all(batch_size=100, max_bytes_in_flight=1 << 18, batch_readahead=1).to_batches()
        first = next(batches)
        assert first.num_rows == 100
        fetched = sum(request.size for request in source.requests)
        assert fetched < NUM_ROWS * DIMENSION * 4 / 4
        rest = sum(batch.num_rows for batch in batches)
        assert rest == NUM_ROWS - 100
        assert sum(request.size for request in source.requests) < 1.1 * NUM_ROWS * DIMENSION * 4
