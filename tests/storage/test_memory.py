"""Bytes in memory and file objects."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pyarrow as pa
import pytest

from lancelet.errors import FormatError, OptionError
from lancelet.storage import open_sink, open_source
from lancelet.storage.memory import FileObjectSink, FileObjectSource, MemorySink, MemorySource

CONTENT = bytes(range(200))


class Trickle(io.RawIOBase):
    """A raw file that reads and takes a few bytes at a time, as the system may do."""

    def __init__(self, content: bytes = b"") -> None:
        self.inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(min(size, 7))

    def write(self, data) -> int:
        return self.inner.write(bytes(data)[:5])

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()


def targets() -> list:
    return [
        CONTENT,
        bytearray(CONTENT),
        memoryview(CONTENT),
        pa.py_buffer(CONTENT),
        np.frombuffer(CONTENT, dtype="<u8"),
        io.BytesIO(CONTENT),
        Trickle(CONTENT),
        pa.BufferReader(CONTENT),
    ]


@pytest.mark.parametrize("target", targets(), ids=lambda target: type(target).__name__)
def test_reads_exact_ranges(target):
    with open_source(target) as source:
        assert source.size() == 200
        assert source.read(10, 100) == CONTENT[10:110]
        assert source.read_ranges([(199, 1), (0, 0)]) == [CONTENT[199:], b""]
        for position, size in ((200, 1), (-1, 1), (0, 201), (2**64, 0)):
            with pytest.raises(FormatError):
                source.read(position, size)


def test_a_source_is_itself():
    source = MemorySource(CONTENT)
    assert open_source(source) is source
    sink = MemorySink()
    assert open_sink(sink) is sink


def test_memory_sources_pickle():
    for data in (CONTENT, memoryview(bytearray(CONTENT))[50:]):
        again = pickle.loads(pickle.dumps(MemorySource(data, name="x")))
        assert again.name == "x"
        assert again.read(0, again.size()) == bytes(data)


def test_a_file_object_that_shrinks():
    file = io.BytesIO(CONTENT)
    source = FileObjectSource(file)
    file.truncate(50)
    with pytest.raises(FormatError, match="ends at 50"):
        source.read(40, 20)


@pytest.mark.parametrize("target", [3, None, io.StringIO("text"), np.arange(8)[::2]])
def test_unreadable_targets(target):
    with pytest.raises(OptionError):
        open_source(target)


@pytest.mark.parametrize("target", [3, None, io.StringIO(), b"bytes"])
def test_unwritable_targets(target):
    with pytest.raises(OptionError):
        open_sink(target)


def test_memory_sink():
    sink = MemorySink()
    sink.write(b"ab")
    sink.write(np.array([1], dtype="<u2"))
    with pytest.raises(ValueError, match="not committed"):
        sink.getbuffer()
    sink.commit()
    sink.commit()
    assert sink.tell() == 4
    assert sink.getbuffer().to_pybytes() == b"ab\x01\x00"
    sink.abort()
    assert sink.getbuffer().size == 4
    with pytest.raises(ValueError):
        sink.write(b"x")
    gone = MemorySink()
    gone.abort()
    with pytest.raises(ValueError):
        gone.commit()


@pytest.mark.parametrize("make", [io.BytesIO, Trickle])
def test_file_object_sink(make):
    file = make()
    with open_sink(file) as sink:
        sink.write(CONTENT)
        sink.write(b"")
        sink.write(np.array([1], dtype="<u2"))
        assert sink.tell() == 202
        sink.commit()
    with pytest.raises(ValueError):
        sink.write(b"x")
    assert getattr(file, "inner", file).getvalue() == CONTENT + b"\x01\x00"


def test_an_aborted_file_object_is_cut_back():
    for end in ("abort", "drop"):
        file = io.BytesIO()
        sink = FileObjectSink(file)
        sink.write(b"half a file")
        if end == "abort":
            sink.abort()
        del sink
        assert file.getvalue() == b""


def test_a_file_must_begin_at_zero():
    file = io.BytesIO(b"12345")
    file.seek(5)
    with pytest.raises(OptionError, match="position 5"):
        open_sink(file)


def test_copies_of_ranges():
    source = MemorySource(b"0123456789")
    assert list(source.read_copies([[(7, 3), (0, 2)], [], [(4, 1)]], bytearray)) == [b"78901", b"", b"4"]
    with pytest.raises(FormatError):
        list(source.read_copies([[(7, 4)]], bytearray))
