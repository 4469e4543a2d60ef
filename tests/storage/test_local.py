"""Local files: reads through map and pread, atomic writes."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lancelet import kernels
from lancelet.errors import FormatError, OptionError
from lancelet.storage import fetch, local, open_sink, open_source
from lancelet.storage.chunked import in_chunks
from lancelet.storage.local import LocalSink, LocalSource
from lancelet.storage.write_back import start_write_back

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(params=[True, False], ids=["mmap", "pread"])
def source(request, path):
    with LocalSource(path, mmap=request.param) as source:
        yield source


def test_reads_exact_ranges(source):
    assert source.size() == len(CONTENT)
    assert source.read(10, 20) == CONTENT[10:30]
    assert source.read(0, len(CONTENT)) == CONTENT
    assert source.read(len(CONTENT), 0) == b""
    assert source.read_ranges([(5, 1), (0, 3), (5, 0)]) == [CONTENT[5:6], CONTENT[:3], b""]
    assert source.read_ranges([]) == []
    assert source.read(3, 4).readonly


@pytest.mark.parametrize(
    ("position", "size"), [(0, 10241), (10240, 1), (10241, 0), (-1, 1), (0, -1), (2**63, 2**63), (2**64, 1)]
)
def test_refuses_ranges_outside(source, position, size):
    with pytest.raises(FormatError) as error:
        source.read(position, size)
    assert error.value.place["path"] == source.name


@pytest.mark.parametrize("at_once", ["all", "nothing", "the first of each run"])
def test_copies_of_ranges(source, at_once, monkeypatch):
    read = kernels.read_ranges

    def partly(descriptor: int, ranges: Any, wait: bool, out: Any) -> int:
        if wait or at_once == "all":
            return read(descriptor, ranges, wait, out)
        some = ranges[: at_once != "nothing"]
        return read(descriptor, some, wait, memoryview(out)[: sum(size for _, size in some)])

    monkeypatch.setattr(local.kernels, "read_ranges", partly)
    copies = list(source.read_copies([[(300, 4), (0, 0), (7, 5)], [], [(9, 1)]], bytearray))
    assert copies == [CONTENT[300:304] + CONTENT[7:12], b"", CONTENT[9:10]]
    assert list(source.read_copies([], bytearray)) == []
    for position in (-1, len(CONTENT) - 3, 2**64):
        with pytest.raises(FormatError):
            list(source.read_copies([[(0, 4)], [(position, 4)]], bytearray))
    os.truncate(source.name, 100)
    with pytest.raises(FormatError, match="shrunk"):
        list(source.read_copies([[(0, 4)]], bytearray))


def test_copies_of_a_file_that_shrinks_meanwhile(source):
    copies = source.read_copies([[(0, 4)], [(98, 4)]], bytearray)
    assert next(copies) == CONTENT[:4]
    os.truncate(source.name, 100)
    with pytest.raises(FormatError, match="ends within 4 bytes at 98"):
        next(copies)


def test_views_outlive_the_source(source):
    view = source.read(100, 56)
    part = view[10:20]
    source.close()
    source.close()
    del view
    gc.collect()
    assert part == CONTENT[110:120]
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1)


def test_a_shrunk_file_is_an_error_and_not_a_signal(path, source):
    source.read(0, 1)
    os.truncate(path, 100)
    with pytest.raises(FormatError, match="shrunk from 10240 to 100"):
        source.read(5000, 10)


def test_a_replaced_file_is_still_the_old_one(path, source):
    other = path.with_name("other")
    other.write_bytes(b"x")
    other.replace(path)
    assert source.read(0, 16) == CONTENT[:16]


BEYOND = [(0, 1), (5000, 9000), (-1, 5), (1 << 70, 1), (0, -1), (20_000, 1), (0, 0), (0, len(CONTENT))]


@pytest.mark.parametrize("known", [True, False], ids=["cached is known", "nobody knows"])
def test_hints_change_nothing(source, known, monkeypatch):
    if not known:
        monkeypatch.setattr("lancelet.storage.local._NO_WAIT", None)
    for count in range(len(BEYOND) + 1):
        source.prefetch(BEYOND[:count])
    assert fetch(source, [(5, 5), (0, 1), (9000, 100)], scattered=True) == [
        CONTENT[5:10],
        CONTENT[:1],
        CONTENT[9000:9100],
    ]
    with pytest.raises(FormatError):
        fetch(source, BEYOND, scattered=True)
    with pytest.raises(FormatError):
        fetch(in_chunks(source, 10), BEYOND, scattered=True)
    source.close()
    with pytest.raises(ValueError, match="closed"):
        source.prefetch([(0, 1)])


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_only_what_is_not_in_memory_is_asked_for(source, monkeypatch):
    advised = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *range_: advised.append(range_[:2]))
    ranges = [(0, 10), (5000, 10), (9000, 10)]
    source.prefetch(ranges)
    assert advised == []  # just written

    def cold(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", cold)
    source.prefetch(ranges)
    assert advised == ranges


@pytest.mark.parametrize("path", ["", "a\0b", b"a\0b", "\ud800"])
def test_names_that_no_file_can_have(path):
    for make in (LocalSource, LocalSink):
        with pytest.raises(OptionError, match="path"):
            make(path)


def test_a_sink_that_does_not_replace(path):
    sink = LocalSink(path, replace=False)
    sink.write(b"x" * 100_000)
    with pytest.raises(FileExistsError, match=r"data\.bin"):
        sink.commit()
    assert names(path.parent) == ["data.bin"]
    assert path.read_bytes() == CONTENT
    path.unlink()
    with LocalSink(path, replace=False) as sink:
        sink.write(b"x")
        sink.commit()
    assert path.read_bytes() == b"x"
    assert names(path.parent) == ["data.bin"]


def test_an_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    with open_source(tmp_path / "empty") as source:
        assert source.size() == 0
        assert source.read(0, 0) == b""


def test_pickled_sources_open_again(source, path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with LocalSource("data.bin") as relative:
        dumped = pickle.dumps(relative)
    monkeypatch.chdir("/")
    with pickle.loads(dumped) as again:
        assert again.name == "data.bin"
        assert again.read(7, 9) == CONTENT[7:16]
    dumped = pickle.dumps(source)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(FormatError, match="had 10240 bytes and has 10244"):
        pickle.loads(dumped)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_sources_work_in_forked_children(source):
    source.read(0, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if source.read(300, 100) == CONTENT[300:400] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert source.read(300, 100) == CONTENT[300:400]


def test_threads_share_a_source(path):
    with LocalSource(path) as source:
        wrong = []

        def read(start: int) -> None:
            if source.read(start, 100) != CONTENT[start : start + 100]:
                wrong.append(start)

        threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 5000, 250)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        open_source(tmp_path)
    with pytest.raises(IsADirectoryError):
        open_sink(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_sink(tmp_path / "nowhere" / "file")


def test_descriptors_are_not_leaked(path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None  # noqa: PTH112, PTH208
    for _ in range(20):
        LocalSource(path).read(0, 1)
        with contextlib.suppress(IsADirectoryError):
            LocalSource(path.parent)
        LocalSink(path).write(b"x")
    gc.collect()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("sizes", [[], [0], [1], [5, 0, 70000, 3, 20000, 1], [10] * 3000, [16 * 1024] * 3])
def test_writes_pieces_in_order(tmp_path, sizes):
    pieces = [bytes([index % 251]) * size for index, size in enumerate(sizes)]
    sink = open_sink(tmp_path / "out")
    for piece in pieces:
        sink.write(piece)
    assert sink.tell() == sum(sizes)
    assert not (tmp_path / "out").exists()
    sink.commit()
    sink.commit()
    sink.abort()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"".join(pieces)
    with pytest.raises(ValueError, match="written"):
        sink.write(b"x")


def test_written_data_may_change_afterwards(tmp_path):
    small, large = bytearray(b"abc"), bytearray(b"d" * 100_000)
    sink = LocalSink(tmp_path / "out")
    for data in (small, large, small):
        sink.write(data)
        data[:] = b"#" * len(data)
    sink.commit()
    assert (tmp_path / "out").read_bytes() == b"abc" + b"d" * 100_000 + b"###"


def test_other_buffers_are_written_as_bytes(tmp_path):
    import numpy as np
    import pyarrow as pa

    sink = LocalSink(tmp_path / "out")
    sink.write(np.arange(3, dtype="<u4"))
    sink.write(pa.py_buffer(b"xy"))
    assert sink.tell() == 14
    sink.commit()
    assert (tmp_path / "out").read_bytes() == np.arange(3, dtype="<u4").tobytes() + b"xy"


def test_nothing_is_left_of_an_aborted_or_dropped_sink(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    sink = LocalSink(tmp_path / "out")
    sink.write(b"x" * 100_000)
    assert len(names(tmp_path)) == 2
    assert all(
        name.startswith(".out.") and name.endswith(".tmp") for name in names(tmp_path) if name != "out"
    )
    sink.abort()
    sink.abort()
    with pytest.raises(ValueError, match="aborted"):
        sink.write(b"x")
    with pytest.raises(ValueError, match="aborted"):
        sink.commit()
    LocalSink(tmp_path / "out").write(b"y")
    gc.collect()
    with contextlib.suppress(RuntimeError), LocalSink(tmp_path / "out") as sink:
        sink.write(b"z")
        raise RuntimeError
    with LocalSink(tmp_path / "out") as sink:
        sink.write(b"forgotten")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_file_alone(tmp_path):
    sink = LocalSink(tmp_path / "out")
    sink.write(b"x" * 20_000)
    child = os.fork()
    if child == 0:
        sink.abort()
        os._exit(0)
    os.waitpid(child, 0)
    sink.write(b"y" * 20_000)
    sink.commit()
    assert (tmp_path / "out").read_bytes() == b"x" * 20_000 + b"y" * 20_000


def test_long_and_odd_names(tmp_path):
    for name in ("n" * 255, "ü" * 127, "with space", ".hidden"):
        sink = LocalSink(tmp_path / name)
        sink.write(b"1")
        sink.commit()
        assert (tmp_path / name).read_bytes() == b"1"


def test_a_failing_write_removes_the_file(tmp_path, monkeypatch):
    sink = LocalSink(tmp_path / "out")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space"):
        sink.write(b"x" * 100_000)
    assert names(tmp_path) == []


def test_partial_writes_are_completed(tmp_path, monkeypatch):
    real = os.writev

    def part(descriptor: int, pieces: list[memoryview]) -> int:
        return real(descriptor, [pieces[0][:7]])

    monkeypatch.setattr(os, "writev", part)
    sink = LocalSink(tmp_path / "out")
    sink.write(b"0123456789")
    sink.write(b"x" * 20_000)
    sink.commit()
    assert (tmp_path / "out").read_bytes() == b"0123456789" + b"x" * 20_000


@pytest.mark.parametrize("known", [True, False])
def test_the_disk_begins_before_the_commit(tmp_path, monkeypatch, known):
    told = []
    monkeypatch.setattr(
        "lancelet.storage.write_back._sync_file_range",
        lambda: (lambda _, position, size, how: told.append((position, size, how))) if known else None,
    )
    monkeypatch.setattr(LocalSink, "WRITE_BACK_BYTES", 100_000)
    sink = LocalSink(tmp_path / "out")
    for _ in range(7):
        sink.write(b"12345")
        sink.write(b"x" * 40_000)
    sink.commit()
    assert (tmp_path / "out").read_bytes() == (b"12345" + b"x" * 40_000) * 7
    assert told == ([(0, 120_015, 2), (120_015, 120_015, 2)] if known else [])


def test_the_system_knows_the_advice(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        file.write(bytes(10_000))
        file.flush()
        start_write_back(file.fileno(), 0, 10_000)
    start_write_back(-1, 0, 10_000)  # errors come out elsewhere


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    script = """
        import sys, time
        from lancelet.storage import open_sink
        sink = open_sink(sys.argv[1])
        sink.write(b"x" * 1_000_000)
        print("written", flush=True)
        time.sleep(60)
    """
    target = tmp_path / "out"
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(target)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert not target.exists()
    sink = open_sink(target)
    sink.write(b"again")
    sink.commit()
    assert target.read_bytes() == b"again"


@pytest.mark.parametrize("open_", [open_source, open_sink])
def test_pipes_and_devices_are_neither_read_nor_replaced(open_, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, os.devnull):
        with pytest.raises(OptionError, match=f"{path} is not a regular file"):
            open_(path)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("open_", [open_source, open_sink])
def test_an_empty_path(open_):
    with pytest.raises(OptionError, match="the path is empty"):
        open_("")


def test_a_missing_file_is_named_as_the_user_did(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        open_source("missing.lance")
    assert error.value.filename == "missing.lance"
