"""Files of the local file system: read through a memory map or with ``pread``, written atomically.

A sink writes to ``.<name>.<random>.tmp`` in the directory of the target and renames it at the end, so that
nobody ever sees half a file under the target's name: not after an exception, a dropped writer, or a killed
process (which leaves the temporary file).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import weakref
from mmap import ACCESS_READ, MADV_DONTNEED, PAGESIZE, mmap
from typing import TYPE_CHECKING, Any

from lancelet import kernels
from lancelet.buffers import allocate
from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.storage.base import Sink, Source
from lancelet.storage.write_back import start_write_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lancelet.buffers import Allocate, Data

__all__ = ["LocalSink", "LocalSource", "path_text", "sync_directory"]

#: Tells whether a byte is in memory; not every system can.
_NO_WAIT = getattr(os, "RWF_NOWAIT", None)


class _OpenFile:
    """A descriptor that is closed when nobody uses it any more.

    A read on another thread may outlive the :meth:`~LocalSource.close` of its source, and must not find another file under the
    number.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)


class LocalSource(Source):
    """A file that is read.

    The descriptor and the map outlive a rename or a replacement of the file, and stay valid in a forked
    child, because nothing depends on a file position. A pickled source carries the path; it is opened again
    where it arrives, and must have the same size there.

    A mapped file that another program truncates would kill the process when the lost part is touched. Every
    read checks the size first, but views handed out earlier cannot be protected: use ``mmap=False`` for files
    that others may truncate.

    Parameters
    ----------
    path
        The file.
    mmap
        Map the file, at the first read, and hand out views of the map. Otherwise every read is a copy.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        There is no such file, or it cannot be opened.
    OptionError
        The path names a pipe or a device, or it is none.
    """

    #: Single reads up to this size are parts of metadata: what is around them is not wanted. See :meth:`prefetch`.
    SMALL_BYTES = 256 << 10

    def __init__(self, path: str | os.PathLike[str], *, mmap: bool = True) -> None:
        self.name = path_text(path)
        self._absolute = os.path.abspath(self.name)  # noqa: PTH100 - a plain string, links kept
        self._mmap = self.gives_views = mmap
        self.copies_scattered = (
            mmap  # the first touch of a page of the map costs as much as a read of several
        )
        if mmap:
            self.gap_bytes = 0
        self._view: memoryview | None = None
        try:
            # A pipe without a writer would block without O_NONBLOCK, which means nothing to files.
            descriptor = os.open(self._absolute, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self.name) from None
        self._file: _OpenFile | None = _OpenFile(descriptor)
        status = os.fstat(descriptor)
        _check_regular(status.st_mode, self.name)
        self._size = status.st_size

    def size(self) -> int:
        """Return the size that the file had when it was opened."""
        return self._size

    def read(self, position: int, size: int) -> memoryview:
        """Return exactly `size` bytes from `position` on; see :meth:`Source.read`."""
        file = self._checked_file()
        if self._mmap and size <= self.SMALL_BYTES:
            self._read_ahead(file, [(position, size)])
        return self._read(file, position, size)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)``; the state of the file is checked once."""
        file = self._checked_file()
        return [self._read(file, position, size) for position, size in ranges]

    def read_copies(self, runs: Sequence[Sequence[tuple[int, int]]], allocate: Allocate) -> Iterator[Data]:
        """Read the ranges of each run past the map; see :meth:`Source.read_copies`.

        What is in memory is read at once. When the first range is not, the system is told of all that are left.
        """
        file, waits = self._checked_file(), False
        for number, ranges in enumerate(runs):
            total = 0
            for position, size in ranges:
                if position < 0 or size < 0 or position > self._size - size:
                    self._check_range(position, size)
                total += size
            buffer = allocate(total)
            done = kernels.read_ranges(file.descriptor, ranges, waits, buffer)
            if done < len(ranges) and not waits:
                waits, left = True, ranges[done:]
                self._read_ahead(file, [range_ for own in (left, *runs[number + 1 :]) for range_ in own])
                rest = memoryview(buffer).cast("B")[sum([size for _, size in ranges[:done]]) :]
                done += kernels.read_ranges(file.descriptor, left, waits, rest)
            if done < len(ranges):
                position, size = ranges[done]
                raise FormatError(f"the file ends within {size} bytes at {position}", path=self.name)
            yield buffer

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Have the system read these ranges at once and nothing around them; see :meth:`Source.prefetch`.

        Without it, each range that is touched in a cold map waits for the disk alone, and for all that the system reads ahead.
        """
        if ranges:
            file = self._checked_file()
            if not self._is_cached(file, ranges):
                self._read_ahead(file, ranges)

    def release(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Take mapped pages out of the memory of this process; the system still has them. See :meth:`Source.release`."""
        view = self._view
        if view is None or not isinstance(view.obj, mmap) or not hasattr(view.obj, "madvise"):
            return
        for position, size in ranges:
            start, stop = -(-position // PAGESIZE) * PAGESIZE, (position + size) // PAGESIZE * PAGESIZE
            if 0 <= start < stop <= self._size:
                view.obj.madvise(MADV_DONTNEED, start, stop - start)

    def close(self) -> None:
        """Close the file, after the reads that are under way. The map is freed with the last view of it."""
        self._view = self._file = None

    def _checked_file(self) -> _OpenFile:
        file = self._file
        if file is None:
            raise ValueError(f"{self.name} is closed")
        now = os.fstat(file.descriptor).st_size
        if now < self._size:
            raise FormatError(f"the file has shrunk from {self._size} to {now} bytes", path=self.name)
        return file

    def _is_cached(self, file: _OpenFile, ranges: Sequence[tuple[int, int]]) -> bool:
        """Tell from the first, the middle and the last range whether all are in memory: a look costs as much as advice."""
        if _NO_WAIT is None or len(ranges) < 3:
            return False
        byte = [bytearray(1)]
        try:
            for number in (0, len(ranges) // 2, -1):
                if 0 <= ranges[number][0] < self._size:
                    os.preadv(file.descriptor, byte, ranges[number][0], _NO_WAIT)
        except OSError:  # not in memory, or nobody can tell
            return False
        return True

    def _read_ahead(self, file: _OpenFile, ranges: Sequence[tuple[int, int]]) -> None:
        if not hasattr(os, "posix_fadvise"):
            return
        for position, size in ranges:
            if position >= 0 and 0 < size <= self._size - position:
                os.posix_fadvise(file.descriptor, position, size, os.POSIX_FADV_WILLNEED)

    def _read(self, file: _OpenFile, position: int, size: int) -> memoryview:
        self._check_range(position, size)
        if not self._mmap:
            return self._read_copy(file, position, size)
        view = self._view
        if view is None:
            # An empty file cannot be mapped. Two threads may both map; one map is then dropped, which is
            # harmless.
            whole = mmap(file.descriptor, self._size, access=ACCESS_READ) if self._size else b""
            view = self._view = memoryview(whole)
        return view[position : position + size]

    def _read_copy(self, file: _OpenFile, position: int, size: int) -> memoryview:
        buffer = memoryview(allocate(size)).cast("B")
        self._fill(file, position, buffer)
        return buffer.toreadonly()

    def _fill(self, file: _OpenFile, position: int, buffer: memoryview) -> None:
        done, size = 0, len(buffer)
        while done < size:  # the system reads at most 2 GiB a call
            count = os.preadv(file.descriptor, [buffer[done:] if done else buffer], position + done)
            if count == 0:
                raise FormatError(f"the file ends at {position + done}", path=self.name)
            done += count

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (self.name, self._absolute, self._mmap, self._size))


def _reopen(name: str, absolute: str, mmap: bool, size: int) -> LocalSource:
    source = LocalSource(absolute, mmap=mmap)
    source.name = name
    if source.size() != size:
        found = source.size()
        source.close()
        raise FormatError(f"the file had {size} bytes and has {found} now", path=name)
    return source


class LocalSink(Sink):
    """A file that is written under a temporary name and renamed at :meth:`commit`.

    Small pieces (metadata, padding) are gathered and go to the system together with the next large one, which
    is not copied. The disk gets to work while the file grows, so that the commit has little left to wait for.

    Parameters
    ----------
    path
        The file.
    replace
        Replace the file that is there at the time of the commit. Otherwise the commit raises FileExistsError and removes what was
        written: of many that commit to one name at once, exactly one succeeds.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        There is no such directory, the path is one, or nothing can be made in it.
    OptionError
        The path names a pipe or a device, which must not be replaced, or it is none.
    """

    #: Pieces below this size are copied and gathered.
    SMALL_BYTES = 16 * 1024
    #: So many bytes of them are gathered.
    GATHERED_BYTES = 128 * 1024
    #: After so many bytes the system is told to bring them to the disk.
    WRITE_BACK_BYTES = 8 << 20

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = True, durable: bool = True) -> None:
        self.name = path_text(path)
        self._replace = replace
        self._durable = durable
        self._target = os.path.abspath(self.name)  # noqa: PTH100 - a plain string, links kept
        self._directory, base = os.path.split(self._target)
        if os.path.exists(self._target):  # noqa: PTH110
            _check_regular(os.stat(self._target).st_mode, self.name)  # noqa: PTH116
        # A name may have 255 bytes; leave room for the random part.
        stem = os.fsdecode(os.fsencode(base)[:200])
        self._temporary = os.path.join(self._directory, f".{stem}.{secrets.token_hex(6)}.tmp")  # noqa: PTH118
        try:
            self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, self.name) from None
        self._discard = weakref.finalize(self, _discard, self._descriptor, self._temporary, os.getpid())
        self._pending = bytearray()
        self._position = 0
        self._written = self._written_back = 0
        self._committed = False

    def write(self, data: Data) -> None:
        """Append `data`; see :meth:`Sink.write`."""
        self._check_open()
        view = memoryview(data)
        if view.nbytes >= self.SMALL_BYTES:
            self._flush(view.cast("B"))
        else:
            self._pending += view
            if len(self._pending) >= self.GATHERED_BYTES:
                self._flush()
        self._position += view.nbytes

    def flush(self) -> None:
        """Hand small pieces that wait to the system; see :meth:`Sink.flush`."""
        self._check_open()
        self._flush()

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position

    def commit(self) -> None:
        """Write everything to disk and give the file its name.

        Raises
        ------
        FileExistsError
            There is a file of that name, and it is not to be replaced.
        UnsupportedError
            The file system has no hard links, and so no way not to replace a file.
        """
        if self._committed:
            return
        self._check_open()
        self._flush()
        try:
            if self._durable:
                os.fsync(self._descriptor)
            if self._replace:
                os.replace(self._temporary, self._target)  # noqa: PTH105
            else:
                self._link()
        except (OSError, UnsupportedError):
            self.abort()
            raise
        self._committed = True
        self._discard.detach()
        os.close(self._descriptor)
        if self._durable:
            sync_directory(self._directory)

    def _link(self) -> None:
        """Give the file its name beside the temporary one, which fails where there is one; then remove the temporary name."""
        try:
            os.link(self._temporary, self._target)
        except FileExistsError:
            # A network file system may have lost the answer to a link that it made.
            if os.fstat(self._descriptor).st_nlink < 2:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.name) from None
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise UnsupportedError(
                    f"{self.name}: the file system has no hard links, which writing a file only if there is none needs"
                ) from None
            raise
        os.unlink(self._temporary)  # noqa: PTH108

    def abort(self) -> None:
        """Remove the temporary file."""
        self._pending = bytearray()
        self._discard()

    def _check_open(self) -> None:
        if not self._discard.alive:
            raise ValueError(f"{self.name} was {'written' if self._committed else 'aborted'} already")

    def _flush(self, last: memoryview | None = None) -> None:
        pieces = [memoryview(self._pending)] if self._pending else []
        if last is not None:
            pieces.append(last)
        self._pending = bytearray()
        try:
            while pieces:
                done = os.writev(self._descriptor, pieces)
                self._written += done
                while pieces and done >= pieces[0].nbytes:
                    done -= pieces.pop(0).nbytes
                if done:
                    pieces[0] = pieces[0][done:]
        except OSError:
            self.abort()
            raise
        if self._written - self._written_back >= self.WRITE_BACK_BYTES:
            start_write_back(self._descriptor, self._written_back, self._written - self._written_back)
            self._written_back = self._written


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text.

    Raises
    ------
    OptionError
        No file can have this path.
    """
    name = os.fsdecode(path)
    if not name:
        raise OptionError("the path is empty")
    if "\0" in name:
        raise OptionError(f"the path {name!r} has a NUL in it")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise OptionError(f"the path {name!r} cannot be written in the encoding of this system") from None
    return name


def _check_regular(mode: int, name: str) -> None:
    """Check that a path names a file: pipes have no end to read from, and a rename would replace a device."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(mode):
        raise OptionError(f"{name} is not a regular file, but a pipe or a device")


def _discard(descriptor: int, temporary: str, process: int) -> None:
    """Close and remove a temporary file; a forked child must leave its parent's file alone."""
    os.close(descriptor)
    if os.getpid() == process:
        try:
            os.unlink(temporary)  # noqa: PTH108
        except FileNotFoundError:
            return


def sync_directory(directory: str) -> None:
    """Make the new name durable, where the file system can do that."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
