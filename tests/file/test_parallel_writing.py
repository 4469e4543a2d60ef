"""Pages are encoded on worker threads: the same bytes for any number of threads, in order, bounded, and without leftovers."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from lancelet import FileReader, FileWriter, OptionError
from lancelet.fields.base import EncodingStrategy, FieldEncoder, PageTask
from lancelet.fields.encoder import StructuralStrategy
from lancelet.file import placing
from lancelet.storage.memory import MemorySink
from lancelet.testing import assert_tables_equal
from lancelet.threads import OrderedTasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VERSIONS = ("2.0", "2.1", "2.2")
BLOB = {"lance-encoding:blob": "true"}


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lancelet-worker")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert workers() == []


@pytest.fixture
def threaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the number of threads, and have also small pages encoded by them."""

    def choose(num_threads: int) -> None:
        monkeypatch.setenv("LANCELET_THREADS", str(num_threads))
        monkeypatch.setattr(placing, "SMALL_BYTES", 0)

    return choose


def taxi(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    return {
        "zone": pa.array((rng.zipf(1.3, num_rows) % 265).astype("i4")),
        "meter": pa.array(rng.integers(0, 1 << 30, num_rows), mask=rng.random(num_rows) < 0.03),
        "pickup": pa.array(np.cumsum(rng.integers(0, 10**6, num_rows)), pa.timestamp("us")),
        "fare": np.round(rng.gamma(2.5, 5.5, num_rows), 2),
        "borough": np.array(["Manhattan", "Brooklyn", "Queens"])[rng.integers(0, 3, num_rows)],
    }


def text(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    words = np.array([f"word{number}" for number in range(500)])
    return {"text": [" ".join(words[rng.integers(0, 500, 20)]) for _ in range(num_rows)]}


def embeddings(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    values = pa.array(rng.standard_normal(96 * num_rows, dtype="f4"))
    return {"vector": pa.FixedSizeListArray.from_arrays(values, 96), "id": np.arange(num_rows)}


def nested(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    lists = [None if n == 5 else [None if n == 4 else n] * n for n in rng.integers(0, 6, num_rows).tolist()]
    return {
        "list": pa.array(lists, pa.list_(pa.int32())),
        "structs": pa.array([[{"a": n, "b": str(n)}] * (n % 3) for n in range(num_rows)]),
        "struct": pa.array(
            [{"x": n / 7, "y": None if n % 9 == 0 else "y" * (n % 9)} for n in range(num_rows)]
        ),
    }


def images(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    sizes = rng.integers(500, 3000, num_rows)
    return {"image": pa.array([rng.bytes(int(size)) for size in sizes], pa.binary()), "label": sizes}


def wide(rng: np.random.Generator, num_rows: int) -> dict[str, Any]:
    return {
        f"column {number}": pa.array(rng.random(num_rows) < 0.5) if number % 2 else rng.random(num_rows)
        for number in range(100)
    }


WORKLOADS = {
    "taxi": (taxi, 20_000),
    "text": (text, 2000),
    "embeddings": (embeddings, 1000),
    "nested": (nested, 4000),
    "images": (images, 300),
    "wide": (wide, 200),
}


def batches_of(name: str, num_batches: int = 5) -> list[pa.RecordBatch]:
    make, num_rows = WORKLOADS[name]
    rng = np.random.default_rng(7)
    return [pa.record_batch(make(rng, num_rows // num_batches)) for _ in range(num_batches)]


def written(batches: Sequence[pa.RecordBatch], **options: Any) -> bytes:
    sink = MemorySink()
    with FileWriter(sink, batches[0].schema, **options) as writer:
        writer.write_batches(batches)
    return bytes(sink.getbuffer())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_same_bytes_for_any_number_of_threads(
    name: str, version: str, threaded: Callable[[int], None], tmp_path: Path
) -> None:
    batches = batches_of(name)
    for options in ({}, {"data_cache_bytes": 100_000, "max_page_bytes": 50_000}):
        files = []
        for num_threads in (1, 2, 5):
            threaded(num_threads)
            files.append(written(batches, version=version, **options))
        spill = {"page_spill": tmp_path / "spill", "page_spill_bytes": 64}
        files.append(written(batches, version=version, **options, **spill))
        assert len(set(files)) == 1
    assert_tables_equal(FileReader(files[0]).read_all().to_table(), pa.Table.from_batches(batches))


@pytest.mark.parametrize("version", VERSIONS)
def test_same_places_of_blobs_for_any_number_of_threads(
    version: str, threaded: Callable[[int], None]
) -> None:
    """Bodies lie behind the pages of the batches before, whose sizes are known when they are encoded."""
    rng = np.random.default_rng(3)
    schema = pa.schema([pa.field("n", pa.int64()), pa.field("blob", pa.large_binary(), metadata=BLOB)])
    bodies = [[rng.bytes(int(size)) for size in rng.integers(0, 9000, 50)] for _ in range(6)]
    batches = [pa.record_batch([rng.integers(0, 1 << 40, 50), bodies[i]], schema=schema) for i in range(6)]
    files = []
    for num_threads in (1, 2, 5):
        threaded(num_threads)
        files.append(written(batches, version=version, data_cache_bytes=500))
    assert files[0] == files[1] == files[2]
    table = FileReader(files[0]).read_all().to_table()
    assert table.column("blob").to_pylist() == [body for part in bodies for body in part]


def test_position_and_global_buffers_do_not_depend_on_threads(threaded: Callable[[int], None]) -> None:
    batches = batches_of("taxi")
    seen = []
    for num_threads in (1, 5):
        threaded(num_threads)
        sink, positions = MemorySink(), []
        with FileWriter(sink, batches[0].schema, data_cache_bytes=0) as writer:
            for batch in batches:
                writer.write_batch(batch)
                positions.append(writer.tell())
                writer.write_batch(batch)
                writer.add_global_buffer(b"between")
        seen.append((positions, bytes(sink.getbuffer())))
    assert seen[0] == seen[1]
    assert seen[0][0] == sorted(set(seen[0][0]))


def test_small_work_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELET_THREADS", "4")
    started: list[str] = []
    start = threading.Thread.start

    def note_and_start(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", note_and_start)
    written(batches_of("wide"))
    assert started == []
    written([pa.record_batch({"n": np.arange(100_000)})])
    assert started


class Scripted(EncodingStrategy):
    """Encodes as always, but calls `before` with the number of each page task first, on the thread that does the task."""

    def __init__(self, before: Callable[[int], None]) -> None:
        self._before = before
        self._num_tasks = 0

    def field_encoder(self, request: Any, numbering: Any, root: EncodingStrategy) -> FieldEncoder:
        encoder = StructuralStrategy().field_encoder(request, numbering, root)
        make = encoder._tasks  # type: ignore[attr-defined]
        encoder._tasks = lambda waiting: [self._scripted(task) for task in make(waiting)]  # type: ignore[attr-defined]
        return encoder

    def _scripted(self, task: PageTask) -> PageTask:
        number = self._num_tasks
        self._num_tasks += 1

        def encode() -> Any:
            self._before(number)
            return task.encode()

        return PageTask(task.column, task.num_bytes, encode)


def one_page_batches(num_batches: int, num_rows: int = 1000) -> list[pa.RecordBatch]:
    return [pa.record_batch({"n": np.arange(i, i + num_rows)}) for i in range(num_batches)]


def test_pages_keep_their_order_when_early_ones_take_long(threaded: Callable[[int], None]) -> None:
    threaded(5)
    slow_first = Scripted(lambda number: time.sleep(0.05 if number % 5 == 0 else 0))
    batches = one_page_batches(20)
    file = written(batches, data_cache_bytes=0, encoding_strategy=slow_first)
    assert file == written(batches, data_cache_bytes=0)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_at_most_twice_as_many_pages_as_threads_wait(
    num_threads: int, threaded: Callable[[int], None]
) -> None:
    threaded(num_threads)
    encoded, placed, most = [0], [0], [0]

    def count(number: int) -> None:
        encoded[0] += 1
        most[0] = max(most[0], encoded[0] - placed[0])

    class SlowSink(MemorySink):
        def write(self, data: Any) -> None:
            if memoryview(data).nbytes > 7000:  # a page, no metadata
                time.sleep(0.002)
                placed[0] += 1
            super().write(data)

    rng = np.random.default_rng(1)
    batches = [pa.record_batch({"x": rng.random(1000)}) for _ in range(60)]
    with FileWriter(SlowSink(), data_cache_bytes=0, encoding_strategy=Scripted(count)) as writer:
        writer.write_batches(batches)
    assert encoded[0] == placed[0] == 60
    assert most[0] <= 2 * num_threads


def test_rows_that_wait_are_bounded_in_bytes(
    threaded: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pages are large, no more of them wait than there are threads."""
    threaded(2)
    put, most = OrderedTasks.put, [0]

    def count(tasks: OrderedTasks[Any], task: Any, *, inline: bool = False) -> None:
        put(tasks, task, inline=inline)
        most[0] = max(most[0], len(tasks))

    monkeypatch.setattr(OrderedTasks, "put", count)
    slow = Scripted(lambda number: time.sleep(0.002))
    for cache_bytes, expected in (
        (11000, 4),
        (8000, 3),
        (5000, 2),
        (1, 2),
    ):  # the rows of a page take 8000 bytes
        monkeypatch.setattr(placing, "DEFAULT_CACHE_BYTES", cache_bytes)
        most[0] = 0
        written(one_page_batches(20), data_cache_bytes=0, encoding_strategy=slow)
        assert most[0] == expected


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_private_memory_does_not_grow_with_the_file(threaded: Callable[[int], None]) -> None:
    threaded(2)

    def private() -> int:
        with Path("/proc/self/status").open() as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

    peak = [0]

    class SlowNothing(MemorySink):
        def write(self, data: Any) -> None:
            time.sleep(0.001)
            peak[0] = max(peak[0], private())
            self.position = getattr(self, "position", 0) + memoryview(data).nbytes

        def tell(self) -> int:
            return getattr(self, "position", 0)

        def commit(self) -> None:
            return

    column = np.random.default_rng(1).random(1 << 18)  # 2 MiB
    batch = pa.record_batch({"x": column})

    def write(num_batches: int) -> int:
        peak[0] = 0
        with FileWriter(SlowNothing(), data_cache_bytes=1 << 20) as writer:
            for _ in range(num_batches):
                writer.write_batch(batch)
        return peak[0]

    before = write(20)
    assert write(200) < before + (40 << 20)  # the rows are 400 MiB


class BrokenError(RuntimeError):
    pass


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_first_error_in_order_gives_up_the_file(
    num_threads: int, threaded: Callable[[int], None], tmp_path: Path
) -> None:
    threaded(num_threads)
    done: list[int] = []

    def fail(number: int) -> None:
        if number == 3:
            time.sleep(0.02)  # so that the error of page 4 is there before
        if number in (3, 4):
            raise BrokenError(f"page {number}")
        done.append(number)

    writer = FileWriter(tmp_path / "file.lance", data_cache_bytes=0, encoding_strategy=Scripted(fail))
    with pytest.raises(BrokenError, match="page 3") as caught:
        writer.write_batches(one_page_batches(100))
    notes = getattr(caught.value, "__notes__", [])
    if num_threads > 1:
        assert notes == ["another page failed too: BrokenError: page 4"]
    else:
        assert notes == []
    assert len(done) <= 3 + 2 * num_threads  # the rest was cancelled
    assert workers() == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OptionError, match="aborted"):
        writer.finish()
    writer.abort()


def test_error_of_a_page_that_waits_comes_with_finish(
    threaded: Callable[[int], None], tmp_path: Path
) -> None:
    threaded(2)

    def fail(number: int) -> None:
        time.sleep(0.02)
        raise BrokenError(f"page {number}")

    with (
        pytest.raises(BrokenError, match="page 0"),
        FileWriter(tmp_path / "file.lance", data_cache_bytes=0, encoding_strategy=Scripted(fail)) as writer,
    ):
        writer.write_batch(one_page_batches(1)[0])
    assert list(tmp_path.iterdir()) == []


def test_error_of_the_sink_gives_up_the_file(threaded: Callable[[int], None]) -> None:
    threaded(3)

    class FullSink(MemorySink):
        def write(self, data: Any) -> None:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"), FileWriter(FullSink(), data_cache_bytes=0) as writer:
        writer.write_batches(one_page_batches(10))
    assert workers() == []


@pytest.mark.parametrize("where", ["task", "thread of the writer"])
def test_keyboard_interrupt_gives_up_the_file(
    where: str, threaded: Callable[[int], None], tmp_path: Path
) -> None:
    threaded(2)

    def interrupt(number: int) -> None:
        if number == 2:
            if where == "task":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)  # Python gives it to the main thread, which waits or places
            time.sleep(0.05)

    # A shell that runs tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            FileWriter(
                tmp_path / "file.lance", data_cache_bytes=0, encoding_strategy=Scripted(interrupt)
            ) as writer,
        ):
            writer.write_batches(one_page_batches(50))
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []
    assert workers() == []


def test_dropped_writer_leaves_nothing(threaded: Callable[[int], None], tmp_path: Path) -> None:
    threaded(2)
    slow = Scripted(lambda number: time.sleep(0.01))
    writer = FileWriter(tmp_path / "file.lance", data_cache_bytes=0, encoding_strategy=slow)
    writer.write_batches(one_page_batches(4))
    assert workers()
    del writer, slow
    gc.collect()
    assert workers() == []
    assert list(tmp_path.iterdir()) == []


def test_writer_dropped_by_a_worker_does_not_wait_for_itself(threaded: Callable[[int], None]) -> None:
    """The garbage of a program may be collected by any thread, also by one that encodes a page of what is dropped."""
    threaded(2)
    holder: list[FileWriter] = []
    collected = threading.Event()

    def drop(number: int) -> None:
        while not holder:
            time.sleep(0.001)
        if number == 0:
            holder.clear()
            collected.set()

    holder_sink = io.BytesIO()
    writer = FileWriter(holder_sink, data_cache_bytes=0, encoding_strategy=Scripted(drop))
    writer.write_batch(one_page_batches(1)[0])
    holder.append(writer)
    del writer
    assert collected.wait(5)
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_file_of_the_parent_of_a_forked_child_is_right(
    threaded: Callable[[int], None], tmp_path: Path
) -> None:
    threaded(2)
    batches = one_page_batches(30)
    path = tmp_path / "file.lance"
    slow = Scripted(lambda number: time.sleep(0.005))
    with FileWriter(path, data_cache_bytes=0, encoding_strategy=slow) as writer:
        writer.write_batches(batches[:15])
        child = os.fork()
        if child == 0:
            try:
                for step in (partial(writer.write_batch, batches[0]), writer.finish):
                    with pytest.raises(OptionError, match="fork"):
                        step()
                writer.abort()
                assert written(batches) == written(batches)
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        writer.write_batches(batches[15:])
    assert path.read_bytes() == written(batches, data_cache_bytes=0)
    assert list(tmp_path.iterdir()) == [path]


def test_ordered_tasks_tell_what_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELET_THREADS", "2")
    may_go = threading.Event()
    with OrderedTasks[Any]() as tasks:
        tasks.put(threading.get_ident, inline=True)
        assert tasks.is_ready
        tasks.put(may_go.wait)
        tasks.put(threading.get_ident, inline=True)
        assert tasks.take() == threading.get_ident()
        assert not tasks.is_ready
        may_go.set()
        assert tasks.take() is True
        assert tasks.take() == threading.get_ident()


def test_ordered_tasks_give_the_errors_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELET_THREADS", "2")
    ready = threading.Event()

    def fail() -> None:
        ready.set()
        raise BrokenError

    tasks = OrderedTasks[Any]()
    tasks.put(fail)
    ready.wait()
    assert [type(error) for error in tasks.abandon()] == [BrokenError]
    assert tasks.abandon() == []
