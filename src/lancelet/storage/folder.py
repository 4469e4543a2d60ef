"""A folder of the local file system as a store."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from lancelet.errors import FormatError, OptionError
from lancelet.storage.local import LocalSink, LocalSource, path_text, sync_directory
from lancelet.storage.store import ObjectInfo, Store, check_path, check_prefix, check_size, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lancelet.buffers import Data
    from lancelet.storage.base import Sink, Source

__all__ = ["LocalStore"]

#: Names under which :class:`~lancelet.storage.local.LocalSink` writes: such files are no objects yet, or never became any.
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.tmp", re.DOTALL)


class LocalStore(Store):
    """The files below a folder.

    Folders are made when something is written into them, and stay when the last file is deleted. Links are followed: who may make
    links in the folder may lead out of it. A file that is deleted or replaced can be read on by those who opened it. To write where
    a folder has the name of the file, or a file that of a folder, is a :class:`FormatError`. Pickled, a store carries its path.

    Parameters
    ----------
    root
        The folder. It need not exist.
    mmap
        Whether files are mapped when they are read; see :class:`~lancelet.storage.local.LocalSource`.

    Raises
    ------
    OptionError
        The path of the folder is none.
    """

    def __init__(self, root: str | os.PathLike[str], *, mmap: bool = True) -> None:
        self.name = os.path.abspath(path_text(root))  # noqa: PTH100 - a plain string, links kept
        self._mmap = mmap

    def size(self, path: str) -> int:
        """Return the size of a file; see :meth:`Store.size`."""
        with self._open(path, mmap=False) as source:
            return source.size()

    def get_range(self, path: str, position: int, size: int) -> memoryview:
        """Return bytes of a file; see :meth:`Store.get_range`."""
        return self.get_ranges(path, [(position, size)])[0]

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return bytes of a file, which is opened once; see :meth:`Store.get_ranges`."""
        with self._open(path, mmap=False) as source:
            return source.read_ranges(ranges)

    def put(self, path: str, data: Data) -> None:
        """Write a file; see :meth:`Store.put`."""
        self._put(path, data, replace=True)

    def put_note(self, path: str, data: Data) -> None:
        """Write a file without waiting for the disk; see :meth:`Store.put_note`."""
        with self._sink(path, replace=True, durable=False) as sink:
            sink.write(data)
            sink.commit()

    def put_if_absent(self, path: str, data: Data) -> None:
        """Write a file and link it to its name, which fails where there is one; see :meth:`Store.put_if_absent`."""
        self._put(path, data, replace=False)

    def list(self, folder: str = "") -> list[str]:
        """Return the paths of the files below a folder, without those that are being written; see :meth:`Store.list`."""
        return sorted(self.list_unordered(folder))

    def list_unordered(self, folder: str = "") -> Sequence[str]:
        """Return the same in any order; see :meth:`Store.list_unordered`."""
        start = self._start
        return [entry.path[start:] for entry in self._found(folder, unfinished=False)]

    def describe(self, folder: str = "", *, unfinished: bool = False) -> Sequence[ObjectInfo]:
        """Return sizes and times of the files below a folder, or of those that are being written; see :meth:`Store.describe`."""
        found = []
        for entry in self._found(folder, unfinished=unfinished):
            try:
                known = entry.stat()
            except FileNotFoundError:
                continue
            found.append(ObjectInfo(entry.path[self._start :], known.st_size, known.st_mtime))
        return sorted(found)

    @property
    def _start(self) -> int:
        """Where paths of the store begin in those of the system."""
        return len(self.name.rstrip("/")) + 1

    def _found(self, folder: str, *, unfinished: bool) -> Sequence[os.DirEntry[str]]:
        return _files(os.path.join(self.name, check_prefix(folder)), unfinished)  # noqa: PTH118

    def delete(self, path: str) -> None:
        """Remove a file; see :meth:`Store.delete`."""
        file = self._file(path)
        try:
            os.unlink(file)  # noqa: PTH108
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise missing(file) from None

    def open_source(self, path: str, *, size: int | None = None) -> Source:
        """Open a file; see :meth:`Store.open_source`."""
        source = self._open(path, self._mmap)
        try:
            check_size(source.name, source.size(), size)
        except FormatError:
            source.close()
            raise
        return source

    def open_sink(self, path: str, *, replace: bool = True) -> Sink:
        """Write a file in pieces; see :meth:`Store.open_sink`."""
        return self._sink(path, replace=replace, durable=True)

    def _sink(self, path: str, *, replace: bool, durable: bool) -> LocalSink:
        file = self._file(path)
        if _TEMPORARY.fullmatch(os.path.basename(file)):  # noqa: PTH119
            raise OptionError(f"{path!r} is a name of files that are being written")
        try:
            _make_folder(os.path.dirname(file))  # noqa: PTH120
            return LocalSink(file, replace=replace, durable=durable)
        except IsADirectoryError:
            raise FormatError("a folder stands where a file should be", path=file) from None
        except NotADirectoryError:
            if os.path.isdir(self.name):  # noqa: PTH112
                raise FormatError(
                    "a file stands where a folder should be, above this one", path=file
                ) from None
            raise OptionError(f"{self.name} is no folder, or lies below a file") from None

    def _open(self, path: str, mmap: bool) -> LocalSource:
        file = self._file(path)
        try:
            return LocalSource(file, mmap=mmap)
        except (IsADirectoryError, NotADirectoryError):  # folders are no objects
            raise missing(file) from None

    def _put(self, path: str, data: Data, *, replace: bool) -> None:
        with self.open_sink(path, replace=replace) as sink:
            sink.write(data)
            sink.commit()

    def _file(self, path: str) -> str:
        return f"{self.name.rstrip('/')}/{check_path(path)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_open_again, (self.name, self._mmap))


def _open_again(root: str, mmap: bool) -> LocalStore:
    return LocalStore(root, mmap=mmap)


def _make_folder(folder: str) -> None:
    """Make a folder and those around it, so that they outlive a crash as the files in them do."""
    if os.path.isdir(folder):  # noqa: PTH112
        return
    parent = os.path.dirname(folder)  # noqa: PTH120
    _make_folder(parent)
    try:
        os.mkdir(folder)  # noqa: PTH102
    except FileExistsError:  # somebody else was faster, or it is no folder, which the file in it will say
        return
    sync_directory(parent)


def _files(folder: str, unfinished: bool) -> list[os.DirEntry[str]]:
    """Return the files below a folder; what vanishes meanwhile, and what no path can name, is left out."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = "/".join(["", *[entry.name for entry in entries]])
    if names.isascii() and "/." not in names:  # thousands of versions, and nothing else
        found = [entry for entry in entries if entry.is_file()]
        if len(found) == len(entries):
            return [] if unfinished else found
    found, folders = [], []
    for entry in entries:
        name = entry.name
        if name.isascii() or _has_utf8(name):
            if not entry.is_file():
                folders.append(entry)
            elif (_TEMPORARY.fullmatch(name) is not None) == unfinished:
                found.append(entry)
    for entry in folders:
        if entry.is_dir() and not _leads_back(entry):
            found += _files(entry.path, unfinished)
    return found


def _has_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leads_back(entry: os.DirEntry[str]) -> bool:
    """Tell whether a folder is a link to a folder that it lies in."""
    if not entry.is_symlink():
        return False
    target, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))  # noqa: PTH120
    return os.path.commonpath([target, here]) == target
