"""A store: many objects under paths, as a dataset needs them.

Paths are relative to the root of the store, with ``/`` between their parts, whatever the system. They are taken literally, and none
leads out of the root: :func:`check_path` refuses absolute paths and empty, ``.`` and ``..`` parts.

======================  =========================================================  ==================================
verb                    what it does                                               the path does not exist / exists
======================  =========================================================  ==================================
``size``                size of an object in bytes                                 ``FileNotFoundError`` / -
``get_range(s)``        bytes of an object                                         ``FileNotFoundError`` / -
``open_source``         an object to read, as ``FileReader`` takes it              ``FileNotFoundError`` / -
``put``                 write an object as a whole                                 - / replaces it
``put_note``            the same, where the object may be lost in a crash          - / replaces it
``put_if_absent``       the same, once: of many that try, one succeeds             - / ``FileExistsError``
``open_sink``           an object to write in pieces, as ``FileWriter`` takes it   - / as wished
``list``                paths below a folder, in the order of their code points    no paths / -
``describe``            the same with sizes and times, or what is being written    nothing / -
``delete``              remove an object                                           ``FileNotFoundError`` / -
======================  =========================================================  ==================================

Whatever is written appears as a whole or not at all, and is seen by every read and listing that begins afterwards. Folders are not
objects: they come with the first object in them, and nobody makes, lists or removes them.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from lancelet.errors import FormatError, OptionError
from lancelet.storage.base import Sink, Source
from lancelet.storage.memory import MemorySink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data

__all__ = [
    "BufferedSink",
    "ObjectInfo",
    "Store",
    "StoreSource",
    "check_path",
    "check_prefix",
    "check_size",
    "exists",
    "missing",
]

#: What file systems take as the name of a file or a folder.
_MOST_NAME_BYTES = 255


class ObjectInfo(NamedTuple):
    """What a store knows of an object without reading it.

    Attributes
    ----------
    path
        Path from the root of the store.
    size
        Size in bytes.
    modified
        When it was last written: seconds since 1970, UTC, by the clock of the store.
    """

    path: str
    size: int
    modified: float


class Store(ABC):
    """Objects under paths. Threads may share a store.

    What is abstract is all that a new kind of store needs; the other methods are there to be replaced by better ones.

    Attributes
    ----------
    name
        How errors call the store.
    """

    name: str

    @abstractmethod
    def size(self, path: str) -> int:
        """Return the size of an object in bytes.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        OptionError
            This is no path; see :func:`check_path`. All methods raise it.
        """

    @abstractmethod
    def get_range(self, path: str, position: int, size: int) -> memoryview:
        """Return exactly `size` bytes of an object from `position` on.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        FormatError
            The bytes do not lie inside of the object.
        """

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return several ``(position, size)`` of an object in the order given; see :meth:`get_range`."""
        return [self.get_range(path, position, size) for position, size in ranges]

    @abstractmethod
    def put(self, path: str, data: Data) -> None:
        """Write an object as a whole, and replace the one that is there."""

    def put_note(self, path: str, data: Data) -> None:
        """Write an object that nothing depends on: as :meth:`put`, but it need not outlive a crash of the machine."""
        self.put(path, data)

    @abstractmethod
    def put_if_absent(self, path: str, data: Data) -> None:
        """Write an object as a whole, unless there is one. Of many that try at once, exactly one succeeds.

        Raises
        ------
        FileExistsError
            There is an object of that name. It is not touched.
        UnsupportedError
            The store cannot promise this.
        """

    @abstractmethod
    def list(self, folder: str = "") -> list[str]:
        """Return the paths of all objects below a folder, at any depth, by default all of the store.

        Parameters
        ----------
        folder
            Whole parts of a path: ``"a"`` has ``a/b`` below it, and neither ``a`` nor ``ab``. One that does not exist is empty.

        Returns
        -------
        list[str]
            Paths from the root of the store, ordered by code points.
        """

    def list_unordered(self, folder: str = "") -> Sequence[str]:
        """Return what :meth:`list` does, in any order: thousands of paths take longer to sort than to find."""
        return self.list(folder)

    @abstractmethod
    def describe(self, folder: str = "", *, unfinished: bool = False) -> Sequence[ObjectInfo]:
        """Return what :meth:`list` finds, with sizes and times.

        Parameters
        ----------
        folder
            See :meth:`list`.
        unfinished
            Return what is being written instead, or was never finished, if the store keeps it where it can be deleted by its path.
            Such things are no objects: no other method sees them.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove an object. Sources that were opened before can read on where the store allows it.

        Raises
        ------
        FileNotFoundError
            There is no such object. Where many may delete, one may see this error though it never deleted.
        """

    def open_source(self, path: str, *, size: int | None = None) -> Source:
        """Open an object for many reads.

        Parameters
        ----------
        size
            Its size in bytes, where that is known: it saves a request.

        Raises
        ------
        FileNotFoundError
            There is no such object. Where `size` is given, the first read may be the one that says so.
        FormatError
            The object has another size than `size`. Stores that would have to ask do not.
        """
        return StoreSource(self, path, self.size(path) if size is None else size)

    def open_sink(self, path: str, *, replace: bool = True) -> Sink:
        """Write an object in pieces. It appears when the sink is committed.

        Parameters
        ----------
        replace
            Replace what is there. Otherwise the commit raises FileExistsError, and what was written is dropped.
        """
        return BufferedSink(self, path, replace)


class StoreSource(Source):
    """An object of a store; each read is a request.

    Parameters
    ----------
    store, path
        The object. A pickled source carries both.
    size
        Its size in bytes.
    """

    # Tens of milliseconds a request at a hundred megabytes a second.
    gap_bytes = 256 << 10
    most_bytes = 8 << 20

    def __init__(self, store: Store, path: str, size: int) -> None:
        self.name = f"{store.name}/{check_path(path)}"
        self._store = store
        self._path = path
        self._size = size

    def size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def read(self, position: int, size: int) -> memoryview:
        """Return exactly `size` bytes from `position` on; see :meth:`Source.read`."""
        return self.read_ranges([(position, size)])[0]

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read several ``(position, size)`` in one call of the store; those of no bytes ask for nothing."""
        for position, size in ranges:
            self._check_range(position, size)
        asked = [range_ for range_ in ranges if range_[1]]
        data = iter(self._store.get_ranges(self._path, asked) if asked else ())
        return [next(data) if size else memoryview(b"") for _, size in ranges]

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    def __reduce__(self) -> tuple[type[StoreSource], tuple[Store, str, int]]:
        return (StoreSource, (self._store, self._path, self._size))


class BufferedSink(Sink):
    """An object that is gathered in memory and put as a whole at :meth:`commit`."""

    def __init__(self, store: Store, path: str, replace: bool) -> None:
        self.name = f"{store.name}/{check_path(path)}"
        self._memory = MemorySink()
        self._put = store.put if replace else store.put_if_absent
        self._path = path
        self._committed = False

    def write(self, data: Data) -> None:
        """Append `data`; see :meth:`Sink.write`."""
        self._memory.write(data)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._memory.tell()

    def commit(self) -> None:
        """Put the object; see :meth:`Store.open_sink`."""
        if self._committed:
            return
        self._memory.commit()
        self._put(self._path, self._memory.getbuffer())
        self._committed = True

    def abort(self) -> None:
        """Forget what was written."""
        self._memory.abort()


def check_path(path: str) -> str:
    """Return `path`, if it names an object below a root.

    Raises
    ------
    OptionError
        The path is empty or absolute, has an empty, ``.`` or ``..`` part, a NUL, a name of more than 255 bytes, or characters
        without a UTF-8 form.
    """
    if not isinstance(path, str):
        raise OptionError(f"a path in a store is text, not {type(path).__name__}")
    if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise OptionError(f"{path!r} is no path below the root of a store")
    try:
        longest = max(len(part) for part in path.encode().split(b"/"))
    except UnicodeEncodeError:
        raise OptionError(f"{path!r} has no UTF-8 form") from None
    if longest > _MOST_NAME_BYTES:
        raise OptionError(f"{path[:80]!r}...: a name of {longest} bytes is longer than any file system takes")
    return path


def check_prefix(folder: str) -> str:
    """Return the beginning of all paths below `folder`, which may be the root: ``""``."""
    return f"{check_path(folder)}/" if folder else ""


def check_size(name: str, found: int, expected: int | None) -> None:
    """Check a size that somebody wrote down.

    Raises
    ------
    FormatError
        The object has another.
    """
    if expected is not None and found != expected:
        raise FormatError(f"there should be {expected} bytes and there are {found}", path=name)


def missing(name: str) -> FileNotFoundError:
    """Return the error for an object that does not exist."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def exists(name: str) -> FileExistsError:
    """Return the error for an object that should not exist."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
