"""What every store promises, and what a folder adds."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import threading
import time

import pytest

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage import LocalStore, MemoryStore, Store
from lancelet.storage.counting import CountingStore

DATA = bytes(range(256)) * 300


class SmallestStore(Store):
    """Nothing but what is abstract."""

    def __init__(self):
        self._store = MemoryStore()
        self.name = "<smallest>"

    def size(self, path):
        return self._store.size(path)

    def get_range(self, path, position, size):
        return self._store.get_range(path, position, size)

    def put(self, path, data):
        self._store.put(path, data)

    def put_if_absent(self, path, data):
        self._store.put_if_absent(path, data)

    def list(self, folder=""):
        return self._store.list(folder)

    def describe(self, folder="", *, unfinished=False):
        return self._store.describe(folder, unfinished=unfinished)

    def delete(self, path):
        self._store.delete(path)


@pytest.fixture(params=["local", "local without map", "memory", "smallest", "counting"])
def store(request, tmp_path):
    return {
        "local": lambda: LocalStore(tmp_path / "root"),
        "local without map": lambda: LocalStore(tmp_path / "root", mmap=False),
        "memory": MemoryStore,
        "smallest": SmallestStore,
        "counting": lambda: CountingStore(MemoryStore()),
    }[request.param]()


def test_what_is_put_is_there(store):
    data = bytearray(DATA)
    store.put("a/b/c.bin", data)
    data[:] = bytes(len(data))
    assert store.size("a/b/c.bin") == len(DATA)
    assert store.get_range("a/b/c.bin", 10, 20) == DATA[10:30]
    assert store.get_range("a/b/c.bin", len(DATA), 0) == b""
    ranges = [(5, 1), (0, 3), (5, 0), (0, len(DATA))]
    assert store.get_ranges("a/b/c.bin", ranges) == [DATA[5:6], DATA[:3], b"", DATA]
    assert store.get_range("a/b/c.bin", 10, 20).readonly
    store.put("a/b/c.bin", b"other")
    assert store.get_range("a/b/c.bin", 0, 5) == b"other"
    store.put("empty", b"")
    assert store.size("empty") == 0


@pytest.mark.parametrize(
    ("position", "size"), [(0, len(DATA) + 1), (len(DATA), 1), (-1, 1), (0, -1), (2**63, 2**63)]
)
def test_ranges_outside_are_refused(store, position, size):
    store.put("a", DATA)
    for read in (store.get_range, lambda path, *range_: store.get_ranges(path, [(0, 1), range_])):
        with pytest.raises(FormatError):
            read("a", position, size)


def test_what_is_missing(store):
    store.put("a/b", b"x")
    for path in ("b", "a/c", "c/d/e"):
        for ask in (store.size, store.delete, lambda path: store.get_range(path, 0, 1), store.open_source):
            with pytest.raises(FileNotFoundError) as error:
                ask(path)
            assert error.value.errno == errno.ENOENT
            assert path in str(error.value.filename)
    assert store.list("c") == []
    store.delete("a/b")
    assert store.list() == []
    with pytest.raises(FileNotFoundError):
        store.delete("a/b")


BAD = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/..",
    "a/../b",
    "a/.",
    "./a",
    "a\0b",
    "\ud800",
    b"a",
    None,
    5,
]


@pytest.mark.parametrize("path", BAD)
def test_no_path_leads_out(store, path):
    for use in (
        store.size,
        store.delete,
        store.open_source,
        store.open_sink,
        lambda path: store.get_range(path, 0, 1),
        lambda path: store.put(path, b""),
        lambda path: store.put_if_absent(path, b""),
        *([store.list] if path else []),
    ):
        with pytest.raises(OptionError, match=r"path|UTF-8"):
            use(path)
    assert store.list() == []


ODD = [
    "..a",
    "a..",
    "...",
    "a b",
    "ü/\U0001f600",
    "a\\b",
    "C:",
    "~",
    "*",
    "%2e%2e",
    "n" * 255,
    ".a.tmp",
    "a\nb",
]


@pytest.mark.parametrize("path", ["n" * 256, "a/" + "ü" * 128 + "/b"])
def test_names_that_no_file_system_takes(store, path):
    with pytest.raises(OptionError, match="256 bytes"):
        store.put(path, b"1")
    with pytest.raises(OptionError, match="256 bytes"):
        store.open_source(path)


@pytest.mark.parametrize("path", ODD)
def test_odd_paths_are_literal(store, path):
    store.put(path, b"1")
    assert store.list() == [path]
    assert store.get_range(path, 0, 1) == b"1"


def test_paths_are_listed_in_order(store):
    paths = ["a-b", "a/b", "a/c/d", "a0", "ab/c", "b", "Z", "é", "\U0001f600"]
    for path in paths:
        store.put(path, b"")
    assert store.list() == sorted(paths)
    assert store.list("a") == ["a/b", "a/c/d"]
    assert store.list("a/c") == ["a/c/d"]
    assert store.list("b") == []
    assert store.list("a/c/d") == []


def test_put_if_absent(store):
    store.put_if_absent("v/1", b"first")
    with pytest.raises(FileExistsError) as error:
        store.put_if_absent("v/1", b"second")
    assert error.value.errno == errno.EEXIST
    assert "v/1" in str(error.value.filename)
    assert store.get_range("v/1", 0, 5) == b"first"
    assert store.list() == ["v/1"]


def test_one_of_many_writers_wins(store):
    won = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(10)
        try:
            store.put_if_absent("v/1", bytes([number]) * 50_000)
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert store.get_range("v/1", 0, 50_000) == bytes(won) * 50_000
    assert store.list() == ["v/1"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_one_of_many_processes_wins(tmp_path):
    store = LocalStore(tmp_path)
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            status = 2
            try:
                store.put_if_absent("deep/down/1", bytes([number]) * 50_000)
                status = 0
            except FileExistsError:
                status = 1
            finally:
                os._exit(status)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 1, 1, 1, 1, 1]
    assert store.get_range("deep/down/1", 0, 50_000) == bytes([codes.index(0)]) * 50_000
    assert os.listdir(tmp_path / "deep" / "down") == ["1"]  # noqa: PTH208


@pytest.mark.parametrize("replace", [True, False])
def test_a_sink_appears_when_it_is_committed(store, replace):
    sink = store.open_sink("data/x", replace=replace)
    for start in range(0, len(DATA), 10_000):
        sink.write(DATA[start : start + 10_000])
    assert sink.tell() == len(DATA)
    assert store.list() == []
    sink.commit()
    sink.commit()
    sink.abort()
    assert store.list() == ["data/x"]
    assert store.get_range("data/x", 0, len(DATA)) == DATA
    with pytest.raises(ValueError, match=r"written|aborted"):
        sink.write(b"x")
    with store.open_sink("data/y") as forgotten:
        forgotten.write(b"z")
    assert store.list() == ["data/x"]


def test_a_sink_that_must_not_replace(store):
    early = store.open_sink("x", replace=False)
    early.write(b"early")
    store.put("x", b"there")
    with pytest.raises(FileExistsError):
        early.commit()
    early.abort()
    assert store.get_range("x", 0, 5) == b"there"
    late = store.open_sink("x")
    late.write(b"late")
    late.commit()
    assert store.size("x") == 4


def test_sources_of_a_store(store):
    store.put("a/b", DATA)
    for source in (store.open_source("a/b"), store.open_source("a/b", size=len(DATA))):
        with source:
            assert source.name.endswith("/a/b")
            assert source.size() == len(DATA)
            assert source.read_ranges([(1, 2), (9, 0), (0, 1)]) == [DATA[1:3], b"", DATA[:1]]
            view = source.read(100, 100)
            with pytest.raises(FormatError):
                source.read(len(DATA), 1)
        assert view == DATA[100:200]


@pytest.mark.parametrize("make", [LocalStore, lambda _: MemoryStore()])
def test_a_size_that_is_wrong_is_an_error(make, tmp_path):
    store = make(tmp_path)
    store.put("a", DATA)
    with pytest.raises(FormatError, match="should be 5 bytes and there are 76800"):
        store.open_source("a", size=5)


def test_files_through_a_store(store):
    import pyarrow as pa

    import lancelet

    table = pa.table({"a": pa.array(range(1000)), "b": [str(value) for value in range(1000)]})
    with lancelet.FileWriter(store.open_sink("data/1.lance"), table.schema) as writer:
        writer.write_batch(table)
    assert store.list() == ["data/1.lance"]
    for _ in range(2):
        with lancelet.FileReader(store.open_source("data/1.lance")) as reader:
            assert reader.read_all().to_table() == table
    store.delete("data/1.lance")
    with contextlib.suppress(RuntimeError), lancelet.FileWriter(store.open_sink("b"), table.schema) as writer:
        writer.write_batch(table)
        raise RuntimeError
    assert store.list() == []


def test_a_local_store_is_pickled_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = LocalStore("root", mmap=False)
    store.put("a", DATA)
    dumped, source = pickle.dumps(store), pickle.dumps(store.open_source("a"))
    monkeypatch.chdir("/")
    again = pickle.loads(dumped)
    assert again.get_range("a", 5, 5) == DATA[5:10]
    assert not again.open_source("a").gives_views
    assert pickle.loads(source).read(5, 5) == DATA[5:10]
    with pytest.raises(TypeError):
        pickle.dumps(MemoryStore())


def test_only_files_are_listed(tmp_path):
    store = LocalStore(tmp_path)
    store.put("a/b", b"")
    sink = store.open_sink("a/c")
    sink.write(DATA)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    with tmp_path.joinpath(os.fsdecode(b"\xff")).open("wb"):
        pass
    os.mkfifo(tmp_path / "pipe")
    elsewhere = tmp_path.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "x").touch()
    (tmp_path / "linked").symlink_to(elsewhere)
    assert store.list() == ["a/b", "file", "linked/x"]
    sink.abort()


def test_folders_are_no_objects(tmp_path):
    store = LocalStore(tmp_path)
    store.put("a/b", b"")
    for path in ("a", "a/b/c"):
        for ask in (store.size, store.delete, store.open_source, lambda path: store.get_range(path, 0, 0)):
            with pytest.raises(FileNotFoundError):
                ask(path)
        with pytest.raises(FormatError, match="stands where"):
            store.put(path, b"")
    assert store.list() == ["a/b"]


def test_names_of_files_being_written_are_refused(tmp_path):
    with pytest.raises(OptionError, match="being written"):
        LocalStore(tmp_path).put("a/.x.0123456789ab.tmp", b"")


def test_no_folder_can_be_a_store():
    for root in ("", "a\0b"):
        with pytest.raises(OptionError):
            LocalStore(root)


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = LocalStore(tmp_path)
    with pytest.raises(UnsupportedError, match="hard links"):
        store.put_if_absent("a", b"")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_the_lost_answer_of_a_link(tmp_path, monkeypatch):
    link = os.link

    def link_twice(*names: str) -> None:
        link(*names)
        link(*names)

    monkeypatch.setattr(os, "link", link_twice)
    store = LocalStore(tmp_path)
    store.put_if_absent("a", b"1")
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_objects_are_described(store):
    before = time.time() - 5
    store.put("d/b", b"12345")
    store.put_if_absent("d/e/c", b"")
    store.put("x", b"1")
    found = store.describe("d")
    assert [(info.path, info.size) for info in found] == [("d/b", 5), ("d/e/c", 0)]
    assert all(before <= info.modified <= time.time() + 5 for info in found)
    assert [info.path for info in store.describe()] == store.list()
    assert store.describe("nothing") == store.describe("d", unfinished=True) == []


def test_what_is_being_written_is_described_apart(tmp_path):
    store = LocalStore(tmp_path)
    with store.open_sink("d/file") as sink:
        sink.write(b"123")
        sink.flush()
        (found,) = store.describe("d", unfinished=True)
        assert found.size == 3
        assert store.describe("d") == store.list("d") == []
        store.delete(found.path)
        assert store.describe(unfinished=True) == []


def test_a_note_is_an_object(store):
    store.put_note("d/note", b"123")
    store.put_note("d/note", b"45")
    assert bytes(store.get_range("d/note", 0, 2)) == b"45"
    assert store.list() == ["d/note"]
