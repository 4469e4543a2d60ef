"""Readers in threads and processes: right values, no hang, nothing left open."""

from __future__ import annotations

import contextlib
import gc
import io
import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import lancelet
from process_jobs import as_table, check_reader, read_path, read_pickled, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")  # noqa: PTH112


@pytest.fixture(params=["2.0", "2.2"], scope="module")
def file(request: Any, tmp_path_factory: Any) -> tuple[Path, pa.Table]:
    path = tmp_path_factory.mktemp("files") / f"v{request.param}.lance"
    return path, write_file(path, request.param)


@pytest.fixture(autouse=True)
def more_threads_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCELET_THREADS", "2")


KINDS: dict[str, Callable[[Path], Any]] = {
    "mapped": lancelet.FileReader,
    "read": lambda path: lancelet.FileReader(path, mmap=False, read_chunk_size=10_000),
    "memory": lambda path: lancelet.FileReader(path.read_bytes()),
    "file object": lambda path: lancelet.FileReader(io.BytesIO(path.read_bytes())),
}


@pytest.fixture(params=KINDS)
def reader(request: Any, file: tuple[Path, pa.Table]) -> Iterator[lancelet.FileReader]:
    with KINDS[request.param](file[0]) as reader:
        yield reader


def in_threads(work: Callable[[int], object], count: int = 8) -> None:
    """Run ``work(0)`` to ``work(count - 1)`` at the same time; the first error is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait(20)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def in_child(work: Callable[[], object], seconds: float = 20) -> None:
    """Run `work` in a forked child; its errors fail the test."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            os.write(2, f"child: {error!r}\n".encode())
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_threads_share_a_reader(reader: lancelet.FileReader, file: tuple[Path, pa.Table]) -> None:
    in_threads(lambda number: check_reader(reader, file[1], number, num_reads=3))


@pytest.mark.parametrize("mmap", [True, False])
def test_the_first_use_is_on_many_threads(file: tuple[Path, pa.Table], mmap: bool) -> None:
    path, table = file
    for _ in range(4):
        with lancelet.FileReader(path, mmap=mmap) as reader:
            found: list[pa.Table] = []
            in_threads(
                lambda _, reader=reader, found=found: found.append(reader.take_rows([5, 19_000]).to_table())
            )
            assert all(part.combine_chunks() == table.take([5, 19_000]).combine_chunks() for part in found)
            assert len(found) == 8


def test_one_stream_moves_from_thread_to_thread(
    reader: lancelet.FileReader, file: tuple[Path, pa.Table]
) -> None:
    batches = reader.read_all(batch_size=5000).to_batches()
    found = []
    for _ in range(4):
        in_threads(lambda _: found.append(next(batches)), count=1)
    assert next(batches, None) is None
    assert as_table(found, file[1]) == file[1].combine_chunks()


def test_many_streams_of_a_reader_in_one_thread(
    reader: lancelet.FileReader, file: tuple[Path, pa.Table]
) -> None:
    streams = [reader.read_all(batch_size=3000).to_batches() for _ in range(5)]
    for number, batches in enumerate(zip(*streams, strict=True)):
        for batch in batches:
            assert batch == file[1].slice(3000 * number, 3000).combine_chunks().to_batches()[0]


METHODS = [
    name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()
]


@pytest.mark.parametrize("method", METHODS)
def test_readers_are_pickled_to_workers(tmp_path: Path, method: str) -> None:
    path = tmp_path / "a.lance"
    table = write_file(path, "2.2")
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(KINDS[kind](path)) for kind in ("mapped", "read", "memory")]
        for number, reader in enumerate(readers):
            check_reader(reader, table, number, num_reads=2)  # a reader in use
        running = readers[0].read_all(batch_size=5000).to_batches()
        next(running)
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as workers:
            pending = [workers.submit(read_pickled, reader, seed) for seed, reader in enumerate(readers)]
            opened = [workers.submit(read_path, str(path), seed) for seed in (7, 8)]
            for future, reader in zip(pending, readers, strict=True):
                assert future.result(40) == (table.num_rows, repr(reader))
            assert [future.result(40) for future in opened] == [6, 6]
        assert sum(batch.num_rows for batch in running) == table.num_rows - 5000


def test_a_pickled_reader_keeps_its_choices(file: tuple[Path, pa.Table]) -> None:
    path, table = file
    with lancelet.FileReader(path, ["text", "id"], mmap=False) as reader:
        dumped = pickle.dumps(reader)
    with pickle.loads(dumped) as again:
        assert again.schema == reader.schema
        assert again.take_rows([3, 1]).to_table() == table.select(["text", "id"]).take([3, 1])


def test_a_file_that_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.lance"
    write_file(path, "2.2")
    with lancelet.FileReader(path) as reader:
        dumped = pickle.dumps(reader)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(lancelet.FormatError, match="bytes and has"):
        pickle.loads(dumped)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(dumped)


@needs_fork
def test_a_child_goes_on_with_a_running_scan(
    reader: lancelet.FileReader, file: tuple[Path, pa.Table]
) -> None:
    path, table = file
    batches = reader.read_all(batch_size=4000).to_batches()
    first = next(batches)

    def child() -> None:
        rest = as_table(batches, table)
        assert rest.combine_chunks() == table.slice(4000).combine_chunks()
        check_reader(reader, table, 1, num_reads=3)
        read_path(str(path), 2)

    in_child(child)
    rest = list(batches)
    assert as_table([first, *rest], table).combine_chunks() == table.combine_chunks()


@needs_fork
def test_forks_while_threads_read(file: tuple[Path, pa.Table]) -> None:
    path, table = file
    stop = threading.Event()
    with lancelet.FileReader(path) as reader, lancelet.FileReader(path, mmap=False) as other:

        def read(number: int) -> None:
            while not stop.is_set():
                check_reader(reader if number % 2 else other, table, number, num_reads=1)

        def fork(_: int) -> None:
            try:
                for seed in range(2):
                    in_child(lambda seed=seed: check_reader(reader, table, seed, num_reads=3))
                    in_child(lambda seed=seed: check_reader(other, table, seed, num_reads=3))
                    in_child(lambda seed=seed: read_path(str(path), seed))
            finally:
                stop.set()

        in_threads(lambda number: fork(number) if number == 3 else read(number), count=4)


@needs_fork
def test_a_fork_while_a_file_object_is_read(file: tuple[Path, pa.Table]) -> None:
    path, table = file

    class Slow(io.BytesIO):
        inside = threading.Event()

        def read(self, size: int | None = -1) -> bytes:
            self.inside.set()
            time.sleep(0.01)
            return super().read(size)

    with lancelet.FileReader(Slow(path.read_bytes())) as reader:
        thread = threading.Thread(target=lambda: check_reader(reader, table, 1, num_reads=1), daemon=True)
        thread.start()
        Slow.inside.clear()
        assert Slow.inside.wait(10)
        in_child(lambda: reader.take_rows([5], columns=["id"]).to_table())
        thread.join(20)
        assert not thread.is_alive()


def num_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def num_maps(path: Path) -> int:
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        return sum(str(path) in line for line in maps)


@needs_proc
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stays_open(file: tuple[Path, pa.Table], kind: str) -> None:
    path, table = file
    before = num_descriptors()
    for _ in range(2):
        readers = [KINDS[kind](path) for _ in range(20)]
        for reader in readers:
            assert reader.take_rows([77], columns=["id"]).to_table()["id"].to_pylist() == [77]
        for reader in readers[::2]:
            reader.close()
            reader.close()
        stream = readers[1].read_all(batch_size=1000).to_batches()
        next(stream)
        del readers, reader, stream
        assert num_descriptors() == before
        assert num_maps(path) == 0
    with pytest.raises(lancelet.OptionError):
        KINDS[kind](path).take_rows([table.num_rows])
    with contextlib.suppress(lancelet.FormatError):
        lancelet.FileReader(os.devnull.encode())
    assert num_descriptors() == before


@pytest.mark.parametrize("mmap", [True, False])
def test_a_closed_reader_says_so(file: tuple[Path, pa.Table], mmap: bool) -> None:
    path, table = file
    reader = lancelet.FileReader(path, mmap=mmap)
    result = reader.read_all(batch_size=1000)
    stream = result.to_batches()
    batch = next(stream)
    reader.close()
    assert batch == table.slice(0, 1000).combine_chunks().to_batches()[0]
    for use in (
        result.to_table,
        lambda: list(result),
        lambda: reader.take_rows([1]).to_table(),
        lambda: list(reader.read_range(5, 10)),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    with contextlib.suppress(ValueError):  # what was read ahead may still come
        for late in stream:
            assert late.num_rows == 1000
    assert reader.num_rows == table.num_rows
    assert f"{table.num_rows} rows" in repr(reader)


@pytest.mark.parametrize("what", ["deleted", "replaced"])
@pytest.mark.parametrize("mmap", [True, False])
def test_data_outlives_the_reader_and_the_file(tmp_path: Path, mmap: bool, what: str) -> None:
    path = tmp_path / "a.lance"
    table = write_file(path, "2.2")
    reader = lancelet.FileReader(path, mmap=mmap)
    batches = reader.read_all(batch_size=5000).to_batches()
    found = [next(batches), next(batches)]
    if what == "deleted":
        path.unlink()
    else:
        with lancelet.FileWriter(path) as writer:
            writer.write_table(table.slice(7, 10))
    found += batches  # the old file, to the end
    whole = reader.read_all().to_table()
    reader.close()
    del reader, batches
    gc.collect()
    assert as_table(found, table).combine_chunks() == table.combine_chunks()
    assert whole.combine_chunks() == table.combine_chunks()
    if what == "replaced":
        with lancelet.FileReader(path) as reader:
            assert reader.read_all().to_table() == table.slice(7, 10)


def test_writers_race_for_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.lance"
    in_threads(lambda _: write_file(path, "2.2"), count=3)
    read_path(str(path), 1)
    assert os.listdir(tmp_path) == ["a.lance"]  # noqa: PTH208
