"""What is kept open between reads of a dataset: data files, deletions and sequences of row ids.

The versions of a dataset share a session, because they share most of their files. Files never change, so what is kept is never
stale. What was used last stays, up to a number of files and of bytes. What is dropped lives on as long as somebody works with it.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lancelet.container.reader import Container
from lancelet.errors import FormatError, OptionError
from lancelet.file.selection import Columns, Selection
from lancelet.table.formats.sidecars import SidecarFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lancelet.schema.blobs import BlobView
    from lancelet.schema.fields import Schema
    from lancelet.storage import Store
    from lancelet.table.formats.metadata import DataFile

__all__ = ["DEFAULT_SESSION_BYTES", "OpenFile", "Session"]

#: Bytes that are kept beside the files themselves: metadata of columns, heads of pages, deletions, row ids.
DEFAULT_SESSION_BYTES = 256 << 20
#: Open files: at least and at most, whatever the process may open. A mapped file takes two descriptors.
_FEWEST_FILES, _MOST_FILES = 64, 2048
#: Part of its descriptors that a process gives to a session.
_SHARE = 4
#: What an open file takes in any case: objects.
_FILE_BYTES = 8 << 10
#: Selections of a file that are kept; reads of one kind need one.
_MOST_SELECTIONS = 16


class _Kept(Protocol):
    @property
    def held_bytes(self) -> int: ...


T = TypeVar("T", bound=_Kept)


class OpenFile:
    """An open data file. Threads share it.

    Parameters
    ----------
    container
        The file.
    columns_of
        Field id of the dataset -> physical column.
    sidecars
        Its sidecar files.
    """

    def __init__(self, container: Container, columns_of: dict[int, int], sidecars: SidecarFiles) -> None:
        self.container = container
        self._columns = Columns(container, None, columns_of, sidecars)
        self._envelope_bytes = _FILE_BYTES + container.footer.column_table_offset - container.data_stop
        self._selections: OrderedDict[tuple[int, BlobView], tuple[Schema, Selection]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """About how many bytes of memory it takes."""
        return self._envelope_bytes + self._columns.held_bytes

    def select(self, schema: Schema, shown: Schema, blobs: BlobView) -> Selection:
        """Return what reads the fields of `schema`, which is the same object in repeated reads; `shown` is how it is shown."""
        key = (id(schema), blobs)
        kept = self._selections.get(key)
        if kept is not None and kept[0] is schema:
            return kept[1]
        selection = Selection(self._columns, schema, blobs, shown)
        while len(self._selections) >= _MOST_SELECTIONS:
            try:
                self._selections.popitem(last=False)
            except KeyError:  # another thread was faster
                break
        self._selections[key] = (schema, selection)
        return selection


class Session:
    """Open files and what was read of others, shared by the versions of a dataset and by threads.

    A pickled session arrives empty.

    Parameters
    ----------
    max_files
        Most open data files; by default a quarter of the descriptors that this process may have, and never more than 2,048.
    max_bytes
        Most bytes that is kept beside the files, by default 256 MiB.

    Raises
    ------
    OptionError
        A limit is no whole number of at least 1.
    """

    def __init__(self, *, max_files: int | None = None, max_bytes: int = DEFAULT_SESSION_BYTES) -> None:
        for name, value in (("max_files", max_files), ("max_bytes", max_bytes)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise OptionError(f"{name} is {value!r}; it must be a whole number of at least 1")
        self._limits = (max_files, max_bytes)
        self._max_files = _files_allowed() if max_files is None else max_files
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._num_files = 0

    @property
    def num_files(self) -> int:
        """Data files that are open."""
        return self._num_files

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept beside the files, as far as they were counted when they were used last."""
        return self._bytes

    def open(self, store: Store, file: DataFile, schema_key: str) -> OpenFile:
        """Open a data file, if it is not open yet.

        Parameters
        ----------
        store
            The dataset that the file lies in.
        file
            The data file.
        schema_key
            What tells the types of the schema's fields from those of other versions of the dataset.

        Raises
        ------
        FormatError
            There is no such file, its envelope is damaged, or it has another version or fewer columns than the manifest says.
        UnsupportedError
            Its version is not known here.
        """
        place = None if file.base_id is None else store.name
        key = (place, file.path, file.fields, file.column_indices, schema_key)
        return self.get(key, lambda: self._open(store, file))

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under `key`; otherwise make it, outside of the lock, and keep it."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                kept: T = found[0]
                self._weigh(key, kept)
                return kept
        made = make()
        with self._lock:
            found = self._kept.get(key)
            if found is not None:  # another thread was faster
                return found[0]  # type: ignore[no-any-return]
            self._kept[key] = (made, 0)
            self._num_files += isinstance(made, OpenFile)
            self._weigh(key, made)
            while len(self._kept) > 1 and (
                self._num_files > self._max_files or self._bytes > self._max_bytes
            ):
                self._drop_oldest()
        return made

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            while self._kept:
                self._drop_oldest()

    def _weigh(self, key: Hashable, kept: _Kept) -> None:
        """Note what something takes now; open files grow with their use."""
        before, now = self._kept[key][1], kept.held_bytes
        self._kept[key] = (kept, now)
        self._bytes += now - before

    def _drop_oldest(self) -> None:
        _, (dropped, num_bytes) = self._kept.popitem(last=False)
        self._bytes -= num_bytes
        self._num_files -= isinstance(dropped, OpenFile)

    def _open(self, store: Store, file: DataFile) -> OpenFile:
        columns = file.columns_of
        if len(set(columns.values())) < len(columns):
            raise FormatError("two fields have the same column", path=file.path)
        try:
            container = self._container(store, file)
        except FileNotFoundError:
            raise FormatError(
                f"data file {file.path!r} does not exist, and a manifest names it", path=store.name
            ) from None
        except OptionError as error:  # the name is none
            raise FormatError(str(error), path=store.name) from None
        if container.version != file.version:
            raise FormatError(
                f"the file has version {container.version.text}, and the manifest says {file.version.text}",
                path=container.source.name,
            )
        highest = max(columns.values(), default=-1)
        if highest >= container.num_columns:
            raise FormatError(
                f"the manifest says that a field has column {highest}, and the file has {container.num_columns} columns",
                path=container.source.name,
            )
        return OpenFile(container, columns, SidecarFiles(store, file.path.removesuffix(".lance")))

    def _container(self, store: Store, file: DataFile) -> Container:
        path = f"data/{file.path}"
        try:
            return Container.open(store.open_source(path, size=file.file_size_bytes))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self.clear()  # there are no descriptors left: give ours back, and try again
        return Container.open(store.open_source(path, size=file.file_size_bytes))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, self._limits)

    def __repr__(self) -> str:
        return f"<lancelet.Session: {self._num_files} open files, {self._bytes} bytes>"


def _again(max_files: int | None, max_bytes: int) -> Session:
    return Session(max_files=max_files, max_bytes=max_bytes)


def _files_allowed() -> int:
    """Return how many files a session may have open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit  # not on every system
    except ImportError:
        return _FEWEST_FILES
    soft, _ = getrlimit(RLIMIT_NOFILE)
    if soft == RLIM_INFINITY:
        return _MOST_FILES
    return min(max(soft // _SHARE, _FEWEST_FILES), _MOST_FILES)
