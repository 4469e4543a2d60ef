"""Blobs as files: each is read where it lies, as much of it as is asked for (versions.md 5.9)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lancelet.errors import FormatError, OptionError, UnsupportedError
from lancelet.fields.blob import DEDICATED, EXTERNAL, INLINE, PACKED
from lancelet.schema.blobs import is_blob
from lancelet.schema.project import find_field
from lancelet.table.formats.column_names import ROW_ADDRESS
from lancelet.table.formats.names import DATA
from lancelet.table.formats.sidecars import sidecar_path
from lancelet.table.reads.projection import Projection
from lancelet.table.reads.take import take_addresses, take_positions, take_row_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lancelet.storage import Store
    from lancelet.table.reads.snapshot import Snapshot

__all__ = ["DEFAULT_BUFFER_BYTES", "BlobFile", "BlobPlace", "place_of", "take_blobs"]

#: Bytes that are read ahead where a blob is read front to back in small pieces.
DEFAULT_BUFFER_BYTES = 512 << 10


class BlobPlace(NamedTuple):
    """Where the body of a blob lies.

    Attributes
    ----------
    path
        The file, from the root of the dataset; ``None``: it is none of the dataset's.
    position, size
        The bytes of that file or object. An external blob of size 0 is a whole object.
    uri
        The object of an external blob; else ``""``.
    """

    path: str | None
    position: int
    size: int
    uri: str = ""


class BlobFile(io.BufferedIOBase):
    """A blob as a binary file to read; made by :meth:`Dataset.take_blobs`. Belongs to one thread.

    Nothing is held open: every read is one of the store, and what is read in small pieces is read ahead.

    Parameters
    ----------
    store
        The dataset.
    place
        Where the body lies.
    buffer_size
        Bytes to read ahead; 0: none.
    """

    def __init__(self, store: Store, place: BlobPlace, buffer_size: int = DEFAULT_BUFFER_BYTES) -> None:
        super().__init__()
        self._store = store
        self._place = place
        self._buffer_size = buffer_size
        self._position = 0
        self._ahead: tuple[int, bytes] = (0, b"")

    @property
    def place(self) -> BlobPlace:
        """Where the body lies."""
        return self._place

    @property
    def uri(self) -> str:
        """The object that an external blob is, or is a part of; else ``""``."""
        return self._place.uri

    def size(self) -> int:
        """Return the size in bytes.

        Raises
        ------
        UnsupportedError
            The blob is a whole object outside of the dataset, whose size is not noted.
        """
        if self._place.path is None and not self._place.size:
            raise self._external()
        return self._place.size

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another position, as :meth:`io.IOBase.seek` does; it may lie behind the end."""
        self._check_open()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}
        base = self.size() if whence == io.SEEK_END else bases.get(whence)
        if base is None or base + offset < 0:
            raise ValueError(f"seek({offset}, {whence}) leads nowhere")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, by default all that follow.

        Raises
        ------
        FormatError
            The file that the body lies in is missing, or is too short.
        UnsupportedError
            The body lies outside of the dataset.
        """
        self._check_open()
        left = max(self.size() - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        start, data = self._ahead
        if not start <= self._position <= self._position + wanted <= start + len(data):
            if wanted >= self._buffer_size:
                found = self._fetch(self._position, wanted)
                self._position += wanted
                return found
            start, data = self._position, self._fetch(self._position, min(self._buffer_size, left))
            self._ahead = start, data
        found = data[self._position - start : self._position - start + wanted]
        self._position += wanted
        return found

    def read1(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; see :meth:`read`."""
        return self.read(io.DEFAULT_BUFFER_SIZE if size < 0 else size)

    def readall(self) -> bytes:
        """Return all bytes that follow."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Fill a writable buffer as far as there are bytes; returns how many there were."""
        target = memoryview(buffer).cast("B")
        found = self.read(len(target))
        target[: len(found)] = found
        return len(found)

    def readinto1(self, buffer: Any, /) -> int:
        """Fill a writable buffer; see :meth:`readinto`."""
        return self.readinto(buffer)

    def read_range(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` on; the position for :meth:`read` stays.

        Raises
        ------
        OptionError
            They do not lie inside of the blob.
        """
        self._check_open()
        if offset < 0 or length < 0 or offset > self.size() - length:
            raise OptionError(
                f"{length} bytes at {offset} do not lie inside of a blob of {self.size()} bytes"
            )
        return self._fetch(offset, length)

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several ``(offset, length)``; see :meth:`read_range`."""
        return [self.read_range(offset, length) for offset, length in ranges]

    def close(self) -> None:
        """Let go of what was read ahead."""
        self._ahead = (0, b"")
        super().close()

    def _fetch(self, offset: int, size: int) -> bytes:
        path = self._place.path
        if path is None:
            raise self._external()
        if not size:
            return b""
        try:
            return bytes(self._store.get_range(path, self._place.position + offset, size))
        except FileNotFoundError:
            raise FormatError(
                "the file that a blob lies in does not exist", path=f"{self._store.name}/{path}"
            ) from None

    def _external(self) -> UnsupportedError:
        part = f", {self._place.size} bytes at {self._place.position}" if self._place.size else ""
        return UnsupportedError(
            f"the blob is an object of the user's, {self.uri!r}{part}, which is not read; open it by other means"
        )

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the blob is closed")

    def __repr__(self) -> str:
        return f"<lancelet.BlobFile: {self.uri or f'{self._place.size} bytes'}>"


def take_blobs(
    snapshot: Snapshot,
    column: str,
    ids: Any = None,
    addresses: Any = None,
    indices: Any = None,
    *,
    buffer_size: int = DEFAULT_BUFFER_BYTES,
) -> list[BlobFile | None]:
    """Return blobs of single rows as files, in the order asked for; only their descriptors are read.

    Parameters
    ----------
    snapshot
        The version of the dataset.
    column
        A column of blobs, ``"a.b"`` for one in a struct.
    ids, addresses, indices
        The rows: row ids, row addresses, or positions. One of them is given.
    buffer_size
        Bytes that each file reads ahead.

    Raises
    ------
    FormatError
        A data file is damaged, or a body does not lie inside of it.
    OptionError
        There is no such row or column, or the column holds no blobs.
    UnsupportedError
        A body is of a kind that is not known here.
    """
    if isinstance(buffer_size, bool) or not isinstance(buffer_size, int) or buffer_size < 0:
        raise OptionError(f"buffer_size is {buffer_size!r}; it must be a whole number of at least 0")
    given = [
        (take, rows)
        for take, rows in ((take_row_ids, ids), (take_addresses, addresses), (take_positions, indices))
        if rows is not None
    ]
    if len(given) != 1:
        raise OptionError("give one of ids, addresses and indices")
    path = find_field(snapshot.stored_schema, column)
    if not is_blob(path[-1]) or any(field.logical_type != "struct" for field in path[:-1]):
        raise OptionError(f"column {column!r} holds no blobs")
    projection = Projection(snapshot, [column], with_row_address=True, blobs="descriptors")
    take, rows = given[0]
    table = take(snapshot, rows, projection)
    found = table.column(0).to_pylist()
    fragments = (table.column(ROW_ADDRESS).to_numpy() >> np.uint64(32)).tolist()
    homes = {fragment: _home(snapshot, fragment, path[-1].id) for fragment in set(fragments)}
    files: list[BlobFile | None] = []
    for blob, fragment in zip(found, fragments, strict=True):
        store, stem = homes[fragment]
        files.append(None if blob is None else BlobFile(store, place_of(blob, stem, column), buffer_size))
    return files


def _home(snapshot: Snapshot, fragment_id: int, field_id: int) -> tuple[Store, str]:
    """Return where the data file that holds a field of a fragment lies, and its name without suffix; ``""``: none holds it."""
    metadata = snapshot.fragments[snapshot.place_of(fragment_id)]
    for file in metadata.files:
        if field_id in file.fields:
            return snapshot.store_of(file.base_id), file.path.removesuffix(".lance")
    return snapshot.store, ""


def place_of(blob: Mapping[str, Any], stem: str, column: str) -> BlobPlace:
    """Return where a body lies.

    Parameters
    ----------
    blob
        Its descriptor, of either kind.
    stem
        Name of its data file, without suffix.
    column
        What an error names.

    Raises
    ------
    UnsupportedError
        The kind is not known.
    """
    kind, position, size = blob.get("kind", INLINE), blob["position"], blob["size"]
    if kind == INLINE:
        return BlobPlace(f"{DATA}/{stem}.lance", position, size)
    if kind in (PACKED, DEDICATED):
        return BlobPlace(sidecar_path(stem, blob["blob_id"]), position, size)
    if kind == EXTERNAL:
        return BlobPlace(None, position, size, blob["blob_uri"])
    raise UnsupportedError(f"column {column!r}: blobs of kind {kind} are not known here")
