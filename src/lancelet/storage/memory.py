"""Bytes in memory and file objects that the user opened."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lancelet.buffers import allocate
from lancelet.errors import FormatError, OptionError
from lancelet.storage.base import Sink, Source

if TYPE_CHECKING:
    from lancelet.buffers import Data

__all__ = ["FileObjectSink", "FileObjectSource", "MemorySink", "MemorySource"]


class MemorySource(Source):
    """A file that lies in memory as a whole. Reads are views; the memory lives as long as any of them.

    Raises
    ------
    OptionError
        The memory is not contiguous.
    """

    gives_views = True
    gap_bytes = 0

    def __init__(self, data: Data, *, name: str = "<memory>") -> None:
        self.name = name
        try:
            self._buffer = pa.py_buffer(data)
        except (BufferError, ValueError, pa.ArrowException) as error:
            raise OptionError(f"cannot read from this memory: {error}") from None
        self._view = memoryview(self._buffer).cast("B").toreadonly()

    def size(self) -> int:
        """Return the size in bytes."""
        return self._view.nbytes

    def read(self, position: int, size: int) -> memoryview:
        """Return a view of `size` bytes from `position` on."""
        self._check_range(position, size)
        return self._view[position : position + size]

    def close(self) -> None:
        """Do nothing: the memory belongs to the user."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_memory_source, (self._buffer, self.name))


def _memory_source(buffer: Data, name: str) -> MemorySource:
    return MemorySource(buffer, name=name)


class FileObjectSource(Source):
    """A seekable binary file object, as a whole from its position 0. Reads are copies, one at a time.

    The object stays the user's: it is not closed here, and its position changes. A forked child shares the position of a file with
    its parent, so that only one of them may read; a path has no such limit.

    Raises
    ------
    OptionError
        The object gives text, or cannot be sought.
    """

    def __init__(self, file: Any) -> None:
        _refuse_text(file)
        self.name = _name_of(file)
        self._file = file
        self._lock = threading.Lock()
        self._process = os.getpid()
        try:
            file.seek(0, io.SEEK_END)
            self._size = int(file.tell())
        except (OSError, io.UnsupportedOperation) as error:
            raise OptionError(f"{self.name} cannot be sought: {error}") from None

    def size(self) -> int:
        """Return the size that the object had at the beginning."""
        return self._size

    def read(self, position: int, size: int) -> memoryview:
        """Return a copy of `size` bytes from `position` on."""
        self._check_range(position, size)
        if self._process != os.getpid():
            # A thread that was reading when the process was forked is not here to let go.
            self._lock, self._process = threading.Lock(), os.getpid()
        with self._lock:
            self._file.seek(position)
            data = self._file.read(size)
            if data is not None and len(data) == size:
                return memoryview(data).cast("B").toreadonly()
            return self._read_on(data or b"", position, size)

    def _read_on(self, first: Data, position: int, size: int) -> memoryview:
        """Complete a short read, as raw files give them."""
        buffer = memoryview(allocate(size)).cast("B")
        piece = memoryview(first).cast("B")
        done = 0
        while True:
            if done + piece.nbytes > size:
                raise FormatError(
                    f"the file object gave more than the {size} bytes asked for", path=self.name
                )
            buffer[done : done + piece.nbytes] = piece
            done += piece.nbytes
            if done == size:
                return buffer.toreadonly()
            piece = memoryview(self._file.read(size - done) or b"").cast("B")
            if piece.nbytes == 0:
                raise FormatError(f"the file object ends at {position + done}", path=self.name)

    def close(self) -> None:
        """Do nothing: the object belongs to the user."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (FileObjectSource, (self._file,))


class MemorySink(Sink):
    """A file that is written to memory; :meth:`getbuffer` gives it after :meth:`commit`."""

    def __init__(self) -> None:
        self.name = "<memory>"
        self._stream: Any = pa.BufferOutputStream()
        self._buffer: Any = None
        self._position = 0

    def write(self, data: Data) -> None:
        """Append `data`; see :meth:`Sink.write`."""
        if self._stream is None:
            raise ValueError("the sink was written or aborted already")
        view = memoryview(data).cast("B")
        self._stream.write(view)
        self._position += view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def commit(self) -> None:
        """Finish the file."""
        if self._buffer is not None:
            return
        if self._stream is None:
            raise ValueError("the sink was aborted already")
        self._buffer = self._stream.getvalue()
        self._stream = None

    def abort(self) -> None:
        """Forget what was written, unless it was committed."""
        self._stream = None

    def getbuffer(self) -> Any:
        """Return the file as a ``pyarrow.Buffer``."""
        if self._buffer is None:
            raise ValueError("the sink was not committed")
        return self._buffer


class FileObjectSink(Sink):
    """A binary file object that the user opened, written from its position 0 on.

    It cannot be replaced atomically. After :meth:`abort` it is cut back to nothing if it can be, else it
    holds a file without footer.

    Raises
    ------
    OptionError
        The object takes text, or its position is not 0 (offsets in a file count from its beginning).
    """

    def __init__(self, file: Any) -> None:
        _refuse_text(file)
        self.name = _name_of(file)
        try:
            start = int(file.tell())
        except (AttributeError, OSError, io.UnsupportedOperation):
            start = 0  # a pipe: it begins here
        if start != 0:
            raise OptionError(f"{self.name} is at position {start}; a Lance file must begin at 0")
        self._file = file
        self._position = 0
        self._open = True
        self._committed = False

    def write(self, data: Data) -> None:
        """Append `data`; see :meth:`Sink.write`."""
        self._check_open()
        rest = memoryview(data).cast("B")
        self._position += rest.nbytes
        while rest.nbytes:
            count = self._file.write(rest)
            # Objects that say nothing, or that take everything, are done; raw files may take a part.
            rest = rest[count:] if isinstance(count, int) else rest[:0]

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def commit(self) -> None:
        """Flush the object. It is not closed: it belongs to the user."""
        if self._committed:
            return
        self._check_open()
        if hasattr(self._file, "flush"):
            self._file.flush()
        self._open = False
        self._committed = True

    def abort(self) -> None:
        """Cut the object back, where that is possible."""
        if not self._open:
            return
        self._open = False
        try:
            self._file.seek(0)
            self._file.truncate(0)
        except (AttributeError, OSError, ValueError):
            return

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self.name} was {'written' if self._committed else 'aborted'} already")

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.abort()


def _refuse_text(file: Any) -> None:
    if isinstance(file, io.TextIOBase):
        raise OptionError(f"{_name_of(file)} is a text file; open it in binary mode")


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else f"<{type(file).__name__}>"
